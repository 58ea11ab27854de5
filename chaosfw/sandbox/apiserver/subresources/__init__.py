"""Doors of single objects that are more than another way to store them: scale, eviction, binding, log, token."""
