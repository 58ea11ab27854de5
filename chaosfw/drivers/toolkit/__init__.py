"""The seam to chaoslib: the only room that imports it."""
