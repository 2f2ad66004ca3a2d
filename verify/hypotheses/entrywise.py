"""A factor an entry: an array that multiplies once too often or too seldom, the cotangent above all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from verify.evidence import Sample
from verify.hypotheses.cases import Case, Fit, is_direction
from verify.hypotheses.expressions import common_names
from verify.hypotheses.ladder import Found, View, scaled
from verify.hypotheses.scale import Scale
from verify.record import Diagnosis

_MULTIPLIERS: tuple[tuple[str, Callable[[np.ndarray], np.ndarray]], ...] = (
    ("{}", lambda u: u),
    ("{}**2", lambda u: u * u),
    ("(1 - {})", lambda u: 1 - u),
    ("(1 + {})", lambda u: 1 + u),
    ("(1 - {}**2)", lambda u: 1 - u * u),
    ("(1 + {}**2)", lambda u: 1 + u * u),
    ("|{}|", np.abs),
    ("sign({})", np.sign),
    ("sqrt(|{}|)", lambda u: np.sqrt(np.abs(u))),
    ("exp({})", np.exp),
    ("conj({})", np.conj),
)
_AVERAGED: tuple[tuple[str, Callable[[np.ndarray], np.ndarray]], ...] = (
    ("sum({})", np.sum),
    ("{}'s first entry", lambda u: u.ravel()[0]),
    ("max({})", np.max),
)


def entrywise(cases: Sequence[Case], view: View) -> Iterator[Found]:
    """A factor an entry: an array argument or intermediate that multiplies once too often or too seldom."""
    if not all(case.same_shape for case in cases):
        return
    names = sorted(
        common_names([case for case in cases if case.failed]),
        key=lambda name: not is_direction(name, cases[0].sample),
    )
    for name in names:
        direction = is_direction(name, cases[0].sample)
        if cases[0].bases[name].ndim == 0:
            continue
        for pattern, of in _MULTIPLIERS:
            if pattern.startswith("conj") and not np.iscomplexobj(cases[0].bases[name]):
                continue

            def multiplier(case: Case, name=name, of=of) -> np.ndarray | None:
                array = case.bases.get(name)
                return None if array is None or not _fits(array, case) else of(array)

            spelled = pattern.format(name)
            for value, text, pair in _too_seldom_or_often(multiplier, spelled, view.noun):
                for scale, how in scaled(cases, pair, False):
                    if how.everything and scale.constant != 0:
                        yield _entry_factor(cases[0].sample, value, text, scale, how, name)
        if direction:
            for pattern, of in _AVERAGED:

                def swapped(case: Case, name=name, of=of) -> tuple:
                    array = case.bases[name]
                    return (case.hand * array, case.truth * of(array)) if _fits(array, case) else (None, None)

                for scale, how in scaled(cases, swapped, False):
                    if how.everything and scale.constant != 0:
                        yield Found.one(
                            "cotangent",
                            f"uses {pattern.format(name)} in place of the entries of {name}",
                            pattern.format(name),
                            how,
                        )


def _fits(array: np.ndarray, case: Case) -> bool:
    try:
        return np.broadcast_shapes(array.shape, case.truth.shape) == case.truth.shape
    except ValueError:
        return False


def _too_seldom_or_often(multiplier, spelled: str, noun: str):
    def often(case: Case) -> tuple:
        u = multiplier(case)
        return (None, None) if u is None else (case.hand, case.truth * u)

    def seldom(case: Case) -> tuple:
        u = multiplier(case)
        return (None, None) if u is None else (case.hand * u, case.truth)

    yield f"1/{spelled}", f"equals the {noun} without its factor {spelled}: multiply by {spelled}", seldom
    yield spelled, f"is {spelled} times the {noun}: remove that factor", often


def _is_mask(name: str, sample: Sample) -> bool:
    return name in sample.inputs and np.asarray(sample.inputs[name]).dtype == bool


def _entry_factor(sample: Sample, value: str, text: str, scale: Scale, how: Fit, name: str) -> Found:
    direction = is_direction(name, sample)
    mask = _is_mask(name, sample)
    kind = "cotangent" if direction else "entries" if mask else "factor"
    if mask and value == f"1/{name}":
        text = f"ignores {name}: it must be zero where {name} is False"
    if direction and value == f"1/{name}":
        text = f"ignores {name}: multiply by {name}"
    first = Diagnosis(kind, text, value, how.evidence())
    if abs(scale.constant - 1) < 1e-7 and not scale.powers:
        return Found((first,), how)
    second = Diagnosis(
        "factor", f"besides, lacks a factor {scale.inverse().name}", scale.name, how.evidence()
    )
    return Found((first, second), how)
