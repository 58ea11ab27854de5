"""
The built-in generator: an open model over raw sockets, one thread, one epoll loop.

``driver`` runs in the pytest process, everything else in the child ``python -m chaosfw.processes.prober``. It sends what is
due and writes down what became of it; it knows nothing of phases, objectives or verdicts.
"""
