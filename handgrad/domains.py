"""Domains: which values an argument may take.

A domain restricts an annotated array, ``Annotated[Float[Array, "n n"], spd]``, or describes a static
option, ``Annotated[int, integers(1, 4)]``. It is a description only; ``verify`` draws from it, always with the
zeros, ties, kinks and end points that lie in it.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "Domain",
    "index",
    "integers",
    "interval",
    "lower_triangular",
    "nonnegative",
    "one_hot",
    "orthogonal",
    "positive",
    "real",
    "simplex",
    "spd",
    "symmetric",
    "unit_interval",
]


@dataclass(frozen=True)
class Domain:
    """A set of values. ``low`` and ``high`` bound it where it has bounds; ``size`` is the bound of
    an index: a dimension name or a number."""

    kind: str
    low: float | None = None
    high: float | None = None
    size: str | int | None = None

    def __repr__(self) -> str:
        if self.kind == "index":
            return f"index({self.size!r})"
        if self.kind in ("integers", "interval"):
            return f"{self.kind}({self.low}, {self.high})"
        return self.kind


real = Domain("real")
positive = Domain("positive", low=0.0)
nonnegative = Domain("nonnegative", low=0.0)
unit_interval = Domain("unit_interval", low=0.0, high=1.0)
simplex = Domain("simplex", low=0.0, high=1.0)
"""The last axis is non-negative and sums to one."""
spd = Domain("spd")
"""Symmetric positive definite, of varying condition."""
symmetric = Domain("symmetric")
lower_triangular = Domain("lower_triangular")
"""Lower triangular with a non-zero diagonal."""
orthogonal = Domain("orthogonal")
one_hot = Domain("one_hot")
"""The last axis holds a single one."""


def index(size: str | int) -> Domain:
    """Integers in [0, size); ``size`` is a dimension name or a number."""
    if not isinstance(size, str) and size < 1:
        raise ValueError(f"handgrad.domains: index({size}) holds no number; wanted a dimension name or at least 1")
    return Domain("index", size=size)


def integers(low: int, high: int) -> Domain:
    """Integers from ``low`` to ``high``, both included."""
    return Domain("integers", low=_ordered(low, high), high=high)


def interval(low: float, high: float) -> Domain:
    """Reals from ``low`` to ``high``, both included."""
    return Domain("interval", low=_ordered(low, high), high=high)


def _ordered(low: float, high: float) -> float:
    if not low <= high:
        raise ValueError(f"handgrad.domains: low is {low} and high is {high}; wanted low <= high: swap them")
    return low
