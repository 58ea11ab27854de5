"""The public testing kit: fakes, a clock that moves only when told, builders of journals and records."""
