"""
What we claim, measured: ``python -m benchmarks`` prints one table with machine and versions; each module runs alone too.

Loads are bounded and everything stops by itself. Not part of the tests: figures are told, never asserted.
"""
