"""
The embedded cluster: a Kubernetes without Docker, root or network, that stock clients and drivers believe.

A product of its own: it knows nothing of experiments, verdicts or reports, and imports only ``chaosfw.errors`` and
``chaosfw.timing``. Its public face is :mod:`chaosfw.sandbox.public`.
"""
