"""What the plots of a report are drawn from: a few hundred numbers a claim, part of its record. Pure Python."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AxisErrors:
    """The worst error, in ulp of ``dtype``, at inputs of each magnitude, by hand and of the reference.

    Of an element-wise claim ``inputs`` are the entries themselves, signed; of any other the largest one of a case.
    The reference's error is the noise that this arithmetic has at the same inputs; above ``counts`` a difference is
    looked into. ``against`` names what both are held against.
    """

    dtype: str
    signed: bool
    inputs: tuple[float, ...]
    hand: tuple[float, ...]
    reference: tuple[float, ...]
    counts: float
    against: str


@dataclass(frozen=True)
class SizeErrors:
    """The worst relative error at every size of one dimension (or number of input entries)."""

    dimension: str
    sizes: tuple[int, ...]
    hand: tuple[float, ...]
    reference: tuple[float, ...]


@dataclass(frozen=True)
class EntryErrors:
    """The relative error of every entry of one output at one case, the worst of each block where it is large."""

    output: str
    shape: tuple[int, ...]
    case_id: str
    rows: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Remainder:
    """What is left of f(x + t v) - f(x) - t D(v) as t shrinks: of order t² if D is the derivative, of order t if not.

    ``floor`` is the round-off of f itself, below which nothing can be seen.
    """

    case_id: str
    steps: tuple[float, ...]
    hand: tuple[float, ...]
    reference: tuple[float, ...]
    floor: float


@dataclass(frozen=True)
class Figures:
    """The plots of one claim."""

    axis: tuple[AxisErrors, ...] = ()
    sizes: tuple[SizeErrors, ...] = ()
    entries: tuple[EntryErrors, ...] = ()
    remainder: Remainder | None = None


@dataclass(frozen=True)
class Source:
    """The hand-written function as its author wrote it: the derivation (its docstring) and the code without it."""

    code: str
    derivation: str = ""
    line: int = 0


def short(x: float) -> float:
    """Four digits are enough to draw a point."""
    return float(f"{float(x):.4g}")
