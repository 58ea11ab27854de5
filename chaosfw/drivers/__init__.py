"""The seams to other people's systems. Everything here runs in the executor's child, never in the pytest process."""
