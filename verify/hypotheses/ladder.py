"""The unconditional hypotheses about one output leaf, simplest first, each with how well it fits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from verify.hypotheses import structure
from verify.hypotheses.cases import Case, Fit, fit_pair
from verify.hypotheses.scale import (
    LeftRight,
    Scale,
    explain,
    proportions,
    scale_kind,
    scale_text,
)
from verify.records.record import Diagnosis


@dataclass(frozen=True)
class View:
    """One output leaf: its name for a reader, the dimension names of its axes, re-evaluations to compare with."""

    noun: str
    dims: tuple[str, ...] = ()
    candidates: Mapping[str, Callable] | None = None


@dataclass(frozen=True)
class Found:
    """A hypothesis that explains failing cases; several mistakes together give several diagnoses."""

    diagnoses: tuple[Diagnosis, ...]
    fit: Fit

    @classmethod
    def one(cls, kind: str, text: str, value: str | None, fit: Fit) -> Found:
        return cls((Diagnosis(kind, text, value, fit.evidence()),), fit)


Stage = Callable[[Sequence[Case], View], Iterator[Found]]


def scaled(cases: Sequence[Case], left_right: LeftRight, rich: bool = True) -> Iterator[tuple[Scale, Fit]]:
    """The expressions ``c`` with left = c * right, each fitted to all cases."""
    pairs = proportions(cases, left_right)
    if not pairs:
        return

    for scale in explain(cases, pairs, rich):

        def compared(case: Case, scale=scale) -> tuple:
            left, right = left_right(case)
            return left, None if right is None else scale(case) * right

        yield scale, fit_pair(cases, compared)


def proportional(cases: Sequence[Case], view: View) -> Iterator[Found]:
    """Sign, factor, expression in the sizes, scalar argument."""

    def both(case: Case) -> tuple:
        return (case.hand, case.truth) if case.same_shape else (None, None)

    for scale, how in scaled(cases, both):
        kind = scale_kind(scale, cases, view.dims)
        yield Found.one(kind, scale_text(scale, kind, view.noun), scale.name, how)


def rearranged(cases: Sequence[Case], view: View) -> Iterator[Found]:
    """Transposed, conjugated, flipped, summed or averaged over an axis, alone or with a factor besides."""
    known = list(structure.structures(cases, view.dims, view.noun))
    off = [case for case in cases if case.failed and not case.same_shape]
    if off:
        reshaped = list(structure.reshapings(view.noun))
        known = [*known, *reshaped] if off[0].hand.ndim == off[0].truth.ndim else [*reshaped, *known]
    for change in known:
        how = fit_pair(cases, change.pair)
        if how.everything:
            yield Found.one(change.kind, change.text, change.value, how)
    for change in known:
        for scale, how in scaled(cases, change.pair, False):
            if how.everything and abs(scale.constant) > 0:
                first = Diagnosis(change.kind, f"up to a factor, {change.text}", change.value, how.evidence())
                kind = scale_kind(scale, cases, view.dims)
                second = Diagnosis(
                    kind, "besides, " + scale_text(scale, kind, view.noun), scale.name, how.evidence()
                )
                yield Found((first, second), how)
