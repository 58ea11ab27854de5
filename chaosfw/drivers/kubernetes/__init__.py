"""
The seam to Kubernetes: FaultKinds for pods, nodes and zones, the facts that guards need, and the audit.

``cluster`` is the only module that sends requests; ``pods`` and ``nodes`` read, ``kill``, ``cordon`` and ``zone`` are FaultKinds.
"""
