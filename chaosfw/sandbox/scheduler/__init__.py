"""The scheduler: a client that gives pods their nodes. What fits is :mod:`.fit`, what is best :mod:`.spread`; both are pure."""
