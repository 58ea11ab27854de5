"""Everything around a game day: the sandbox, plans, the way back, reports. ``pytest`` itself runs experiments."""
