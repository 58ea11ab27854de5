"""
The pytest plugin, a guest in somebody's test run. ``plugin`` is the entry point and imports pytest and the standard library
only; everything else is loaded when a chaos experiment is really there.
"""
