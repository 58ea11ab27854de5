"""The kubelet: one object per node that runs the pods bound to it as processes. See :mod:`.kubelet`, then :mod:`.pod`."""
