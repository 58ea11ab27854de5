"""The keeper: the process that owns one sandbox, and stops it when nobody holds a lease any more. :mod:`.launch` starts it."""
