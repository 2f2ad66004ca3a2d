"""Symbolic sizes: a program is traced once for all of them, unless the user's code asks what a size is."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import Any

import jax

BRANCHING = (os.path.join("numpy", "linalg.py"),)
"""Files of JAX that choose a formula by the size."""


class SizeDecided(Exception):
    """The user's code asks whether a symbolic size equals something: it must be traced size by size."""


@contextmanager
def undecided_sizes_raise() -> Any:
    """JAX answers ``n == 1`` with False for a symbolic n, and a branch would be lost without a word.

    So in the user's code such a question raises instead. JAX's own may ask, where it only wants to know what
    to broadcast; but its determinant of size 1, 2 or 3 is another formula.
    """
    expression = type(jax.export.symbolic_shape("n")[0])
    original = expression.__eq__
    library = (os.path.dirname(jax.__file__), os.path.dirname(os.path.dirname(__file__)))

    def equal(self: Any, other: Any) -> bool:
        answer = original(self, other)
        if not answer and isinstance(other, int | expression):
            asking = sys._getframe(1)
            if asking.f_code.co_name == "__ne__":
                asking = asking.f_back or asking
            place = asking.f_code.co_filename
            may_ask = place.startswith(library) and not place.endswith(BRANCHING)
            if not may_ask and not _differ_for_sure(self, other):
                raise SizeDecided(f"a branch on whether {self} is {other}")
        return answer

    def power(self: Any, exponent: Any) -> Any:
        """``n ** 0.5``: a root of a size is a number of the program, weakly typed as Python's is."""
        if isinstance(exponent, float):
            return (self.__jax_array__() * 1.0) ** exponent
        return original_power(self, exponent)

    original_power = expression.__pow__
    expression.__eq__, expression.__pow__ = equal, power  # type: ignore[method-assign]
    try:
        yield
    finally:
        expression.__eq__, expression.__pow__ = original, original_power  # type: ignore[method-assign]


def _differ_for_sure(a: Any, b: Any) -> bool:
    try:
        return bool(a > b) or bool(b > a)
    except Exception:  # inconclusive
        return False
