"""
The control plane that Kubernetes itself ships, under our kubelet and data plane: its programs found or built, started, and watched.

Used by the control process where a sandbox is asked for with ``control_plane = "kubernetes"``, and by ``chaosfw sandbox
build-control-plane``. Nothing here knows the embedded API server.
"""
