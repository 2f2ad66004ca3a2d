"""Accuracy: does the hand-written function lose digits, in the arithmetic of a cell, where its reference does not?

One unlucky rounding proves nothing, and neither does an accidental cancellation: of a sum whose terms happen to
cancel any rounding leaves a large relative error. So the inputs' neighbours are tried too, a relative distance of
2 u^(1/4) away (u the unit roundoff): there an accident has a size of u^(1/4), an error of u is no more than a loss of
u^(3/4), and only what the formula itself loses remains: a loss counts from u^(1/2), half of the digits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal, NamedTuple, TypeVar

import numpy as np

from handgrad.domains import Domain, real
from verify.cells.comparison import WORSE, Precision, errors, precision, scale_of, worse
from verify.drawing.cases import Case
from verify.drawing.values import to_dtype

NEIGHBOURS = 14
T = TypeVar("T")
Arrays = tuple[np.ndarray, ...]
Evaluate = Callable[[Sequence[Case]], Iterable[tuple[Arrays, Arrays]]]
"""Hand and reference at some cases, as float64 arrays, in the arithmetic of a cell."""
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
    relative: float
    overflow: bool


class Suspicion(NamedTuple):
    """An entry at which one side is clearly worse: by how much, and how much of the largest entry is lost."""

    side: Literal["hand", "reference"]
    leaf: int
    entry: tuple[int, ...]
    ratio: float
    share: float


def most_telling(suspects: Sequence[T], of: Callable[[T], Suspicion]) -> list[T]:
    """In the order in which to look at them: by ratio and by share in turn.

    A sum that cancels by accident has the largest ratios and proves nothing; one that stopped growing has lost more.
    """
    by_ratio = sorted(suspects, key=lambda s: -of(s).ratio)
    by_share = sorted(suspects, key=lambda s: -of(s).share)
    in_turn = [s for pair in zip(by_ratio, by_share, strict=True) for s in pair]
    return list({id(s): s for s in in_turn}.values())


def suspicions(
    hand: Sequence[np.ndarray],
    reference: Sequence[np.ndarray],
    truth: Sequence[np.ndarray],
    p: Precision,
    reference_truth: Sequence[np.ndarray] | None = None,
) -> tuple[list[Suspicion], float]:
    """Entries at which one side is clearly worse, the worst of each leaf and side; and the largest error seen."""
    found: list[Suspicion] = []
    largest = 0.0
    for leaf, (h, r, t) in enumerate(zip(hand, reference, truth, strict=True)):
        if not t.size:
            continue
        size = np.abs(t)
        t2 = t if reference_truth is None else reference_truth[leaf]
        mine, theirs, few = np.abs(h - t), np.abs(r - t2), p.loss * size
        if ((mine <= few) & (theirs <= few)).all() and few.max(initial=0.0) < np.inf:  # nothing to look at
            tiny = 4 * p.tiny
            scaled = np.divide(mine, size, out=np.zeros(size.shape), where=size > tiny)
            largest = max(largest, float(scaled.max(initial=0.0)))
            continue
        eh = errors(h, t)
        er = errors(r, t2)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            scaled = np.where((np.abs(t) > 4 * p.tiny) & np.isfinite(eh), eh / np.abs(t), 0.0)
        largest = max(largest, float(np.nanmax(scaled, initial=0.0)))
        sides: tuple[tuple[Literal["hand", "reference"], np.ndarray, np.ndarray], ...]
        sides = ("hand", eh, er), ("reference", er, eh)
        for side, mine, other in sides:
            bad = worse(mine, other, t, p)
            if bad.any():
                floor = np.maximum(other, p.roundoff * scale_of(t)) + p.tiny
                ratio = np.where(bad, np.minimum(mine, p.largest) / floor, 0.0)
                ratio = np.where(t == 0, np.minimum(ratio, 1.0), ratio)  # a loss where something was to lose says more
                at = np.unravel_index(int(np.argmax(ratio)), t.shape) if t.shape else ()
                share = min(float(mine[at]), p.largest) / (float(np.nanmax(np.abs(t))) or 1.0)
                found.append(Suspicion(side, leaf, tuple(int(i) for i in at), float(ratio[at]), share))
    return found, largest


def one_by_one(evaluate: Callable[[Case], tuple[Arrays, Arrays]]) -> Evaluate:
    """Evaluates a case when it is wanted."""
    return lambda cases: (evaluate(case) for case in cases)


def confirm(
    evaluate: Evaluate,
    truth_of: TruthOf,
    case: Case,
    suspicion: Suspicion,
    p: Precision,
    usual: Callable[[Case, int], float] = lambda case, leaf: 0.0,
) -> Loss | None:
    """Tries the neighbours of a case; None if the loss was luck, or is shared.

    ``usual`` is the size that an output ordinarily has: the error of a hand-written function is held against it where
    entries mix (a saturated attention row has gradients of 1e-70, and nobody wants their digits). An element-wise
    function has no such excuse, and neither has the reference: it is only passed over if the hand is no better.
    """
    side, leaf, at = suspicion.side, suspicion.leaf, suspicion.entry
    floor = p.loss
    mine, others, small = [], [], 0
    (first,) = evaluate([case])
    around = neighbours(case, first[side == "reference"][leaf][at], one_hot=side == "reference")
    evaluated = chain([first], evaluate(around))
    for number, (near, results) in enumerate(zip((case, *around), evaluated, strict=False)):
        whole = truth_of(near)
        truths = [np.asarray(t[leaf][at]) for t in whole]
        size = float(scale_of(whole[0][leaf])[at])
        if side == "hand" and (ordinary := usual(near, leaf)):
            top = float(np.nanmax(np.abs(whole[0][leaf]), initial=0.0))
            size = max(size, ordinary, p.roundoff / floor * top)  # one rounding of the largest entry is nobody's loss
        if not size < p.roomy:
            continue
        eh, er = (float(errors(np.asarray(x[leaf][at]), t)) for x, t in zip(results, truths, strict=True))
        size = max(size, p.tiny)
        mine.append((eh if side == "hand" else er) / size)
        others.append((er if side == "hand" else eh) / size)
        small += number > 0 and not mine[-1] > floor
        if small > NEIGHBOURS // 2 - 1:  # the median cannot be large any more
            return None
    if len(mine) < NEIGHBOURS // 3:
        return None
    # The first is the case itself, chosen because it is bad: only its neighbours vote.
    typical, other = np.median(mine[1:]), np.quantile(others[1:], 0.75)
    if not typical > max(WORSE * other, floor) or other > floor:  # both lose digits alike
        return None
    whole_leaf = truth_of(case)[0][leaf]
    t, size = np.asarray(whole_leaf[at]), max(float(scale_of(whole_leaf)[at]), p.tiny)
    return Loss(
        "hand" if side == "hand" else "reference", leaf, at, mine[0] * size, others[0] * size,
        float(np.real(t)), mine[0], not np.isfinite(mine[0]),
    )  # fmt: skip


def neighbours(case: Case, result: complex, one_hot: bool = False) -> list[Case]:
    """Cases near by, each entry moved on its own, within its domain.

    Zeros move with the others: a single non-zero entry makes results vanish as a small size does. Only where the
    result in question is not finite they stay, for they may be the reason; those of a cotangent
    stay if asked to, for many a gradient is that of a single output.
    """
    zeros_stay = not np.isfinite(result)
    rng = np.random.default_rng(case.index)

    def moved(v: np.ndarray, domain: Domain = real, zeros_stay: bool = zeros_stay) -> np.ndarray:
        if v.dtype.kind in "iub" or domain.kind == "one_hot":
            return v
        dtype = str(v.dtype)
        wide = v.astype(np.complex128 if v.dtype.kind == "c" else np.float64)
        distance = 2 * precision(dtype).roundoff ** 0.25
        if domain.kind in ("spd", "symmetric"):  # a congruence keeps both
            d = 1 + distance * rng.uniform(-1, 1, v.shape[:-1])
            return to_dtype(wide * (d[..., :, None] * d[..., None, :]), dtype)
        if domain.kind == "orthogonal":
            q, r = np.linalg.qr(wide + distance * rng.uniform(-1, 1, v.shape))
            return to_dtype(q * np.sign(np.diagonal(r, axis1=-2, axis2=-1))[..., None, :], dtype)
        x = wide * (1 + distance * rng.uniform(-1, 1, v.shape))
        if domain.kind == "real" and not zeros_stay and v.size > 1:
            x = np.where(wide == 0, distance * np.abs(wide).max() * rng.uniform(-1, 1, v.shape), x)
        if domain.kind == "simplex" and v.ndim:
            x = x / x.sum(-1, keepdims=True)
        elif domain.low is not None and domain.high is not None:
            x = np.clip(x, domain.low, domain.high)
        return x.astype(dtype) if v.dtype.kind == "c" else to_dtype(x, dtype)

    domains = [leaf.domain for leaf in case.structure.leaves]
    return [
        replace(
            case,
            values=tuple(moved(v, d) for v, d in zip(case.values, domains, strict=True)),
            extra=tuple(moved(v, zeros_stay=zeros_stay or one_hot) for v in case.extra),
        )
        for _ in range(NEIGHBOURS)
    ]
