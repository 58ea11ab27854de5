"""chaosfw: chaos engineering as pytest."""
