"""
The game day on disk: folders, journals, records. Plain files that a person can read.

Used by ``engine`` through :mod:`chaosfw.ports`, and by the doors. It judges nothing: what a journal means is
:mod:`chaosfw.analysis`' business.
"""
