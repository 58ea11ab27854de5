"""
What users write with, turned into the nouns of ``model``: ``"97%"`` becomes 0.97, ``"20s"`` becomes 20.0, and a name that is
wrong becomes an error that says what there is. Everything public here is exported by ``chaosfw`` itself.
"""
