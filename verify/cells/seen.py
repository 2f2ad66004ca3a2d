"""What was seen of one dtype's cases on the numpy engine."""

from __future__ import annotations

from dataclasses import dataclass, field

from verify.cells.accuracy import Loss
from verify.drawing.cases import Case
from verify.tracing.engine import Arrays
from verify.tracing.trace import Traced
from verify.truth.formula import Examined

TRIED = {"hand": 12, "reference": 5}
"""Suspected losses of each side that are looked into: the hand-written function is what is judged."""


@dataclass(frozen=True, eq=False)
class Seen:
    """One case and both float64 results at it."""

    case: Case
    hand: Arrays
    reference: Arrays


@dataclass
class Breadth:
    """What a dtype's cases showed."""

    dtype: str
    cases: int = 0
    shapes: set[tuple[object, ...]] = field(default_factory=set)
    fresh: int = 0
    """Cases whose sizes were drawn anew."""
    entries: list[int] = field(default_factory=list)
    passing: list[Seen] = field(default_factory=list)
    differing: list[Seen] = field(default_factory=list)
    faint: list[Seen] = field(default_factory=list)
    """Cases that pass, but differ by what may be more than rounding."""
    examined: list[tuple[Seen, Examined]] = field(default_factory=list)
    losses: list[tuple[Case, Loss]] = field(default_factory=list)
    dependent: list[tuple[Case, Loss]] = field(default_factory=list)
    """Losses that widening the cell's own trace does not cure: the formula depends on the dtype."""
    uncounted: int = 0
    undecided: int = 0
    worst_error: float = 0.0
    engines: set[str] = field(default_factory=set)
    seconds: float = 0.0
    shape_mistake: tuple[Case, str] | None = None
    total: int = 0
    """Entries of all cases together."""
    traces: set[Traced] = field(default_factory=set)
    tried: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TRIED, 0))

    def found(self, finding: str) -> list[tuple[Seen, Examined]]:
        return [(s, e) for s, e in self.examined if e.finding == finding]
