"""What the loaded Hypothesis profile says of a test: how many cases, and whether they are fresh ones.

``max_examples`` is relative to its default of 100: 1000 of them are ten times the cases. ``derandomize`` (which
Hypothesis itself turns on under continuous integration) means seed 0 every time.
"""

from __future__ import annotations

import secrets

from hypothesis import settings

DEFAULT_EXAMPLES = 100


def scaled(cases: int) -> int:
    """The cases of a claim, where the default profile means ``cases``."""
    return max(1, cases * settings().max_examples // DEFAULT_EXAMPLES)


def seed() -> int:
    """A fresh seed, or always the same if the profile wants repeatable tests."""
    return 0 if settings().derandomize else secrets.randbelow(2**32)
