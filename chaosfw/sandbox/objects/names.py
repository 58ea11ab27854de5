"""Random and hashed name endings, from letters that make no words."""

from __future__ import annotations

import hashlib
import secrets

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def random_suffix(length: int = 5) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def hashed(text: str, length: int = 10) -> str:
    """The same ending for the same text."""
    digest = hashlib.sha256(text.encode()).digest()
    return "".join(ALPHABET[byte % len(ALPHABET)] for byte in digest[:length])
