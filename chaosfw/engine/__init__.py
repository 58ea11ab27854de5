"""
Carries one experiment from plan to proven healing: ``machine`` decides without I/O, ``loop`` performs what it decides.

Called by ``assembly``. Judges nothing: what happened goes into the journal, and ``analysis`` reads that.
"""
