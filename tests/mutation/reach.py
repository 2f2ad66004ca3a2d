"""Which lines of the catalogue the hand-written side of which claim executes, and the reference's side.

Found by tracing both sides of every claim once for every structure of its arguments, with Python's line tracer on.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import handgrad
from handgrad.claims import Claim
from verify.drawing.draws import Draws
from verify.sessions.collect import collect
from verify.tracing.engine import Engine

FOLDER = os.path.dirname(handgrad.__file__) + os.sep
MOST_CASES = 400
Lines = set[tuple[str, int]]


@dataclass(frozen=True)
class Reach:
    """Lines, as ``(module, number)``, that each claim's sides execute; claims by target, in order."""

    hand: dict[str, Lines] = field(default_factory=dict)
    reference: dict[str, Lines] = field(default_factory=dict)
    relation: dict[str, str] = field(default_factory=dict)

    def affected(self, module: str, first: int, last: int) -> tuple[list[str], list[str]]:
        """Claims whose hand side alone executes one of these lines; and claims both sides of which do."""
        lines = {(module, n) for n in range(first, last + 1)}
        hand = [t for t, seen in self.hand.items() if seen & lines]
        return (
            [t for t in hand if not self.reference[t] & lines],
            [t for t in hand if self.reference[t] & lines],
        )


def reach(target: str = "handgrad", told: Callable[[str], None] = lambda name: None) -> Reach:
    """Traces every claim of the catalogue that is expected to hold; the lines of a text are no part of it."""
    found = Reach()
    for claim in collect(target)[0]:
        if claim.expect is None and claim.equation is None:
            name = f"{claim.module}::{claim.name}"
            told(name)
            found.hand[name], found.reference[name] = sides(claim)
            found.relation[name] = claim.relation
    return found


def sides(claim: Claim) -> tuple[Lines, Lines]:
    """The lines that the hand function executes, and those that the reference does."""
    hand: Lines = set()
    reference: Lines = set()
    watched = replace(claim, hand=_watched(claim.hand, hand), reference=_watched(claim.reference, reference))
    engine = Engine(watched, Draws(watched, seed=0))
    seen = set()
    for index in range(MOST_CASES):
        case = engine.draws.case(index, engine.formula_dtype)
        if case.structure.key not in seen:
            seen.add(case.structure.key)
            engine.traced(case.structure, case.dtype, case.dims)
    for dtype in engine.dtypes[1:]:  # code may depend on the dtype, too
        case = engine.draws.case(0, dtype)
        engine.traced(case.structure, dtype, case.dims)
    return hand, reference


def _watched(function: Callable[..., Any], lines: Lines) -> Callable[..., Any]:
    @functools.wraps(function)
    def watched(*args: Any, **kwargs: Any) -> Any:
        with _tracing(lines):
            return function(*args, **kwargs)

    return watched


@contextmanager
def _tracing(lines: Lines) -> Iterator[None]:
    def local(frame: Any, event: str, _: Any) -> Any:
        if event == "line":
            lines.add((frame.f_globals["__name__"], frame.f_lineno))
        return local

    def entering(frame: Any, event: str, _: Any) -> Any:
        return local if frame.f_code.co_filename.startswith(FOLDER) else None

    before = sys.gettrace()
    sys.settrace(entering)
    try:
        yield
    finally:
        sys.settrace(before)
