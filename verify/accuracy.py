"""Accuracy: does the hand-written function lose digits, in the arithmetic of a cell, where its reference does not?

One unlucky rounding proves nothing. So where one side is clearly worse at a case, the case's neighbours are
tried too, a few ulps and some percent away: it is the formula's fault only if the better side is better at its worst than
the other typically is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from verify.cases import Case
from verify.comparison import WORSE, Precision, errors, precision, worse
from verify.values import to_dtype

NEIGHBOURS = 24
Arrays = tuple[np.ndarray, ...]
Evaluate = Callable[[Case], tuple[Arrays, Arrays]]
"""Hand and reference at a case, as float64 arrays, in the arithmetic of a cell."""
TruthOf = Callable[[Case], tuple[Arrays, Arrays]]
"""What hand and reference should each give."""


@dataclass(frozen=True)
class Loss:
    """A confirmed loss of accuracy: who lost, at which entry, and how much."""

    side: Literal["hand", "reference"]
    leaf: int
    entry: tuple[int, ...]
    error: float
    other: float
    truth: float
    overflow: bool

    @property
    def relative(self) -> float:
        return self.error / abs(self.truth) if self.truth else np.inf


def suspicions(
    hand: Sequence[np.ndarray],
    reference: Sequence[np.ndarray],
    truth: Sequence[np.ndarray],
    p: Precision,
    reference_truth: Sequence[np.ndarray] | None = None,
) -> tuple[list[tuple[str, int, tuple[int, ...], float]], float]:
    """Entries at which one side is clearly worse, the worst of each leaf and side; and the largest error seen."""
    found, largest = [], 0.0
    for leaf, (h, r, t) in enumerate(zip(hand, reference, truth, strict=True)):
        if not t.size:
            continue
        eh = errors(h, t)
        er = errors(r, t if reference_truth is None else reference_truth[leaf])
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            scaled = np.where((np.abs(t) > 4 * p.tiny) & np.isfinite(eh), eh / np.abs(t), 0.0)
        largest = max(largest, float(np.nanmax(scaled, initial=0.0)))
        for side, mine, other in (("hand", eh, er), ("reference", er, eh)):
            bad = worse(mine, other, t, p)
            if bad.any():
                floor = np.maximum(other, p.roundoff * np.abs(t)) + p.tiny
                ratio = np.where(bad, np.minimum(mine, p.largest) / floor, 0.0)
                ratio = np.where(t == 0, np.minimum(ratio, 1.0), ratio)  # a loss where something was to lose says more
                at = np.unravel_index(int(np.argmax(ratio)), t.shape) if t.shape else ()
                found.append((side, leaf, tuple(int(i) for i in at), float(ratio[at])))
    return found, largest


def confirm(
    evaluate: Evaluate,
    truth_of: TruthOf,
    case: Case,
    suspicion: tuple[str, int, tuple[int, ...], float],
    p: Precision,
) -> Loss | None:
    """Tries the neighbours of a case; None if the loss was luck, or is shared."""
    side, leaf, at, _ = suspicion
    mine, others, truths = [], [], []
    for near in (case, *neighbours(case)):
        truths_here = [np.asarray(t[leaf][at]) for t in truth_of(near)]
        truth = float(np.abs(truths_here[0]))
        if not np.isfinite(truth) or truth >= p.roomy:
            continue
        hand, reference = evaluate(near)
        eh, er = (
            float(errors(np.asarray(x[leaf][at]), t))
            for x, t in zip((hand, reference), truths_here, strict=True)
        )
        mine.append(eh if side == "hand" else er)
        others.append(er if side == "hand" else eh)
        truths.append(truth)
    if len(mine) < NEIGHBOURS // 3:
        return None
    typical, worst_other, size = float(np.median(mine)), max(others), float(np.median(truths))
    if not typical > WORSE * worst_other or not typical > p.loss * size + 4 * p.tiny:
        return None
    t = truth_of(case)[0][leaf][at]
    return Loss(
        "hand" if side == "hand" else "reference",
        leaf, at, mine[0], others[0], float(np.real(t)), not np.isfinite(mine[0]),
    )  # fmt: skip


def neighbours(case: Case) -> list[Case]:
    """Cases near by: half within a few ulps, half within some percent; zeros stay zero."""
    rng = np.random.default_rng(case.index)
    found = []
    for k in range(NEIGHBOURS):
        values = []
        for leaf, v in zip(case.structure.leaves, case.values, strict=True):
            if v.dtype.kind in "iub" or leaf.domain.kind in ("one_hot", "orthogonal", "spd", "symmetric"):
                values.append(v)
                continue
            wide = v.astype(np.complex128 if v.dtype.kind == "c" else np.float64)
            dtype = str(v.dtype)
            spread = 8 * precision(dtype).roundoff if k % 2 else 0.05
            moved = wide * (1 + spread * rng.uniform(-1, 1, v.shape))
            low, high = leaf.domain.low, leaf.domain.high
            if leaf.domain.kind == "simplex" and v.ndim:
                moved = moved / moved.sum(-1, keepdims=True)
            elif low is not None and high is not None:
                moved = np.clip(moved, low, high)
            values.append(moved.astype(dtype) if v.dtype.kind == "c" else to_dtype(moved, dtype))
        found.append(replace(case, values=tuple(values)))
    return found
