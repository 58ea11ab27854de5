"""The data plane: a process of its own that carries every connection to a service. See :mod:`.table` for what it is told."""
