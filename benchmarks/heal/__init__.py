"""
The way back, measured: runners, watchdogs and healers killed at every durable write, request and reply, and at random instants; the
time from the kill to a healed environment as an observer of its own sees it.

``python -m benchmarks.heal``; a quick mode of it is in ``tests/plugin/test_kills.py``.
"""
