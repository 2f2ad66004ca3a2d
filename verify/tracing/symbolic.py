"""Symbolic sizes: a program is traced once for all sizes, but for those that the code asks about."""

from __future__ import annotations

import dis
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import jax

from verify.drawing.sizes import SizeError, size_of

LIBRARY = (os.path.dirname(jax.__file__), os.path.dirname(os.path.dirname(__file__)))
BRANCHING = (os.path.join("numpy", "linalg.py"),)
"""Files of JAX that choose a formula by the size."""
MOST_QUESTIONS = 8
"""Pairs of sizes that are taken to differ. Code that asks about more is traced size by size."""


class SizeDecided(Exception):
    """The code looks a symbolic size up, or asks too often whether one equals something: it must be traced size by
    size."""


class Symbols:
    """The symbolic sizes of one claim. A name is one symbol in all its traces: JAX finds again what it has traced.

    JAX answers ``n == 1`` with False for a symbolic n, and a branch would be lost without a word. So what the user's
    code asks is kept, and sizes that are equal after all have a trace of their own. JAX's own code may ask, where it
    only wants to know what to broadcast; but its determinant of size 1, 2 or 3 is another formula.
    """

    def __init__(self) -> None:
        self._scope = jax.export.SymbolicScope()
        self._apart: set[tuple[str, str]] = set()

    def named(self, names: Sequence[str]) -> tuple[Any, ...]:
        return tuple(jax.export.symbolic_shape(", ".join(names), scope=self._scope))

    def stand_for(self, dims: Mapping[str, int]) -> bool:
        """Whether at these sizes no question has another answer than the one that was given."""
        return not any(_are_equal(a, b, dims) for a, b in self._apart)

    @property
    def questions(self) -> tuple[str, ...]:
        """What was answered with no: ``n is 1``."""
        return tuple(f"{a} is {b}" for a, b in sorted(self._apart))

    @contextmanager
    def asked(self) -> Iterator[None]:
        """While it lasts, questions are kept."""
        expression: Any = type(self.named(("n",))[0])
        original, original_power, original_hash = expression.__eq__, expression.__pow__, expression.__hash__

        def equal(a: Any, b: Any) -> bool:
            answer = original(a, b)
            if not answer and isinstance(b, int | expression):
                asking = sys._getframe(1)
                if asking.f_code.co_name == "__ne__":
                    asking = asking.f_back or asking
                if _must_be_kept(asking) and not _differ_for_sure(a, b):
                    self._keep(str(a), str(b))
            return answer

        def is_true(a: Any) -> bool:
            """``if n % 4``: whether it is 0."""
            if _must_be_kept(sys._getframe(1)) and not _differ_for_sure(a, 0):
                self._keep(str(a), "0")
            return True

        def hashed(a: Any) -> int:
            """``n in {1, 2}`` and ``table[n]`` compare hashes, and what is equal to n would not be found."""
            if _looks_up(sys._getframe(1)):
                raise SizeDecided(f"{a} is looked up")
            return original_hash(a)

        def power(a: Any, exponent: Any) -> Any:
            """``n ** 0.5``: a root of a size is a number of the program, weakly typed as Python's is."""
            if isinstance(exponent, float):
                return (a.__jax_array__() * 1.0) ** exponent
            return original_power(a, exponent)

        expression.__eq__, expression.__pow__ = equal, power
        expression.__bool__, expression.__hash__ = is_true, hashed
        try:
            yield
        finally:
            expression.__eq__, expression.__pow__, expression.__hash__ = original, original_power, original_hash
            del expression.__bool__

    def _keep(self, a: str, b: str) -> None:
        self._apart.add((a, b))
        if len(self._apart) > MOST_QUESTIONS:
            raise SizeDecided(f"a branch on whether {a} is {b}, after {MOST_QUESTIONS} others")


def _must_be_kept(asking: FrameType) -> bool:
    """Whether the user's code asks, or a file of JAX that branches."""
    place = asking.f_code.co_filename
    return not place.startswith(LIBRARY) or place.endswith(BRANCHING)


def _looks_up(asking: FrameType) -> bool:
    """Whether the user's code is at a set's ``in`` or at a subscript; calls of jitted functions hash sizes, too."""
    if asking.f_code.co_filename.startswith(LIBRARY):
        return False
    return dis.opname[asking.f_code.co_code[asking.f_lasti]] in ("CONTAINS_OP", "BINARY_SUBSCR")


def _are_equal(a: str, b: str, dims: Mapping[str, int]) -> bool:
    try:
        return size_of(a, dims) == size_of(b, dims)
    except SizeError:  # sizes that this structure does not have
        return False


def _differ_for_sure(a: Any, b: Any) -> bool:
    try:
        return bool(a > b) or bool(b > a)
    except Exception:  # inconclusive
        return False
