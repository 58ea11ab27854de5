"""
Runs provider calls and FaultKind verbs in a child process that can be killed.

``child`` is the parent's side, ``serving`` what runs in the child; the main of the child is ``processes.executor``.
"""
