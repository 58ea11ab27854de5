"""
Chaos Toolkit functions of our own, with frozen signatures: files that name them run under stock ``chaos run`` too.

They take plain JSON arguments. Whatever chaosfw adds for its own safety is an optional argument that a file leaves out.
"""
