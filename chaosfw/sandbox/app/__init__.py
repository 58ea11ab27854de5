"""The stand-in app: what a pod runs when no command is configured for its image. :mod:`.character` is how the kubelet describes it."""
