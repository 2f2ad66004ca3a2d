"""What ``verify bench --derivations`` measured, as written to ``derivations.json``. No JAX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from verify.records.serial import RecordError, build, load

SCHEMA = 1
HAND, PLAIN, BEST = "by hand", "plain", "best"
PARTS = ("backpropagate", "recompute", "norms", "curvature", "ridge", "closed form", "cross-entropy")


@dataclass(frozen=True)
class Way:
    """One way to compute it: ``who`` is one of ``by hand``, ``plain`` (``jax.grad`` of the formulation that one writes
    down first) and ``best`` (``jax.grad`` of the best that one could hand to it), ``text`` says how. Seconds a call,
    one number a turn; bytes of temporary memory and operations as the compiler counts them."""

    who: str
    text: str
    seconds: tuple[float, ...]
    memory: int | None = None
    flops: float | None = None


@dataclass(frozen=True)
class Comparison:
    """All ways to compute one thing, which took turns; ``part`` is one of ``PARTS``. ``facts`` are said besides."""

    part: str
    case: str
    ways: tuple[Way, ...]
    facts: Mapping[str, Any]

    def way(self, who: str) -> Way | None:
        return next((w for w in self.ways if w.who == who), None)

    def time(self, to: str = PLAIN) -> float | None:
        """By hand over another way: the median of the ratios within a turn, which a busy machine disturbs least."""
        ours, other = self.way(HAND), self.way(to)
        if ours is None or other is None:
            return None
        return median(a / b for a, b in zip(ours.seconds, other.seconds, strict=True))

    def memory(self, to: str = PLAIN) -> float | None:
        return self._ratio("memory", to)

    def flops(self, to: str = PLAIN) -> float | None:
        return self._ratio("flops", to)

    def _ratio(self, what: str, to: str) -> float | None:
        ours, other = (getattr(self.way(who), what, None) for who in (HAND, to))
        return ours / other if ours is not None and other else None


@dataclass(frozen=True)
class Derivations:
    """One run of ``verify bench --derivations``."""

    argv: tuple[str, ...]
    seed: int
    quick: bool
    environment: Mapping[str, Any]
    started: str
    seconds: float
    comparisons: tuple[Comparison, ...] = ()
    absent: tuple[str, ...] = ()
    schema: int = SCHEMA

    def of(self, part: str) -> list[Comparison]:
        return [c for c in self.comparisons if c.part == part]


def read_derivations(path: str | Path) -> Derivations:
    """The record in a file. Raises ``RecordError`` where it cannot be read."""
    try:
        found = build(Derivations, load(Path(path)), "")
    except RecordError as error:
        raise RecordError(f"{path}: {error}; `verify bench --derivations` writes a new one") from None
    if found.schema != SCHEMA:
        raise RecordError(f"{path}: has schema {found.schema}, and this version reads {SCHEMA}")
    return found
