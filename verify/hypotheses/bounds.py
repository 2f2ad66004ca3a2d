"""What is wrong with an inequality: it holds the other way round, or with another power of the bound."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from verify.hypotheses.cases import Case
from verify.records.record import Diagnosis

FEWEST = 5
"""Failing cases below which nothing is said."""
ATTAINED = 0.99
"""How close to another bound some value must come: any bound holds that is large enough."""


def reversed_bound(cases: Sequence[Case]) -> Diagnosis | None:
    """The hand-written function is never below the reference."""
    if sum(case.failed for case in cases) < FEWEST:
        return None
    with np.errstate(all="ignore"):
        if any(np.any(np.real(case.hand - case.truth) < -case.noise) for case in cases if case.same_shape):
            return None
    return Diagnosis(
        "sign",
        "is never smaller than the reference: the inequality holds the other way round",
        "reversed",
        f"on all {len(cases)} cases",
    )


def bound_of_another_power(cases: Sequence[Case]) -> Diagnosis | None:
    """The bound holds, and is attained, for the square of the reference or for its root."""
    if sum(case.failed for case in cases) < FEWEST:
        return None
    for power, text in (
        (2.0, "is at most the square of the reference: a square is missing, or a root is too many"),
        (0.5, "is at most the root of the reference: a root is missing, or a square is too many"),
    ):
        closest = _closest(cases, power)
        if ATTAINED <= closest <= 1 + 1e-9:
            return Diagnosis("factor", text, f"reference ** {power:g}", f"on all {len(cases)} cases, and attained")
    return None


def _closest(cases: Sequence[Case], power: float) -> float:
    """The largest quotient of the hand-written value and this power of the reference; infinite where it is negative."""
    largest = 0.0
    with np.errstate(all="ignore"):
        for case in cases:
            hand, bound = np.real(case.hand), np.real(case.truth)
            if not case.same_shape or np.any(bound < 0):
                return np.inf
            counted = bound > 0
            if counted.any():
                largest = max(largest, float(np.max(hand[counted] / bound[counted] ** power)))
    return largest
