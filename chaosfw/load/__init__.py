"""
Load generators, each in a process of its own, and the one sample stream that all of them leave.

Driven by the engine through ``ports.LoadDriver``. What samples mean is :mod:`chaosfw.analysis`' business; only the live
figures of the last seconds are computed here, in :mod:`chaosfw.load.window`.
"""
