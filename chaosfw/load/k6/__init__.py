"""
k6 as a generator: an outside program (1.x and 2.x), called and never linked; the user's own script, unchanged, or one of ours.

``program`` finds it and knows its versions, ``script`` writes the script of a plain load, ``driver`` runs in the pytest process.
``collecting`` and ``stream`` run in the child ``python -m chaosfw.processes.k6``, which runs k6 and turns its stream of points into
samples. Its own summary is switched off: no figure comes from it.
"""
