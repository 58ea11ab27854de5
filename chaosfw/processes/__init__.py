"""The mains of child processes, each under a hundred lines: they read their orders, join the rooms and wait."""
