"""A benchmark function: one reference and one hand-written rule, in the form that each tool wants.

All forms are the same mathematics. Every rule has a planted variant, in which a single term is ``1 + mistake`` times
what it should be.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from handgrad.claims import Claim

Arrays = tuple[np.ndarray, ...]
LARGEST = 32
"""Sizes are drawn from 1 to this, each as likely, for every tool."""


@dataclass(frozen=True)
class Form:
    """The function and its rule in one library.

    ``primal(*arguments)`` is the function; ``pullback(cotangent, *arguments, mistake=0.0)`` the hand-written rule:
    a tuple of the cotangents of the arguments that are differentiated.
    """

    primal: Callable[..., Any]
    pullback: Callable[..., tuple[Any, ...]]


@dataclass(frozen=True, eq=False)
class Function:
    """``hand`` and ``reference`` are the two formulas in plain NumPy, as a person would write them: what the floor
    evaluates. ``values(rng, *sizes)`` are the arguments, and last the cotangent where the claim is of a VJP."""

    name: str
    title: str
    term: str
    """The term in which a mistake is planted."""
    dims: tuple[str, ...]
    wrt: tuple[int, ...]
    """The arguments that are differentiated, by position."""
    claim: Claim
    planted: Callable[[float], Claim]
    values: Callable[..., Arrays]
    hand: Callable[..., Arrays]
    reference: Callable[..., Arrays]
    numpy: Form
    torch: Form
    work: Literal["products", "entries"]
    """What a large case spends its time on: matrix products, or operations entry by entry."""
    entries: Callable[[int], int]
    """The input entries of a case whose sizes are all equal to this."""

    def draw(self, rng: np.random.Generator) -> Arrays:
        """A case at fresh sizes: arguments, and the cotangent where there is one."""
        return self.values(rng, *rng.integers(1, LARGEST + 1, len(self.dims)).tolist())

    @property
    def has_cotangent(self) -> bool:
        return self.claim.relation == "vjp"


def changed_by(function: Function, mistake: float, values: Arrays, dtype: Any = np.float64) -> tuple[Arrays, Arrays]:
    """The rule with and without the planted mistake at a case, from the NumPy form; independent of ``verify``."""
    given = [np.asarray(v, dtype) for v in values]
    arguments, cotangent = (given[:-1], given[-1]) if function.has_cotangent else (given, dtype(1))
    pullback = function.numpy.pullback
    return pullback(cotangent, *arguments, mistake=mistake), pullback(cotangent, *arguments)
