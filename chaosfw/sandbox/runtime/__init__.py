"""The runtime: the only process that spawns pods. :mod:`.__main__` runs in it, :mod:`.door` is how the kubelet talks to it."""
