"""
Reconcilers: each makes one kind of promise true, from a cache and through the client, event by event.

They are clients of whichever API server they are given, and never import it. :mod:`.manager` runs them all.
"""
