"""A factor an entry: an array that multiplies once too often or too seldom, the cotangent above all."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from verify.hypotheses.cases import Case, Fit, is_direction
from verify.hypotheses.entry_values import at_entries
from verify.hypotheses.evidence import Sample
from verify.hypotheses.expressions import common_names
from verify.hypotheses.functions import COMPLEX, FUNCTIONS, PAIRED
from verify.hypotheses.ladder import Found, View, scaled
from verify.hypotheses.scale import Scale
from verify.hypotheses.terms import Table, parallel, probe_table
from verify.records.record import Diagnosis

_NAMES = 40
_INSTEAD: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sum({})": np.sum,
    "the first entry of {}": lambda u: u.ravel()[0],
    "the largest entry of {}": lambda u: np.max(np.real(u)),
}


@dataclass(frozen=True)
class Multiplier:
    """A factor that may be missing or too much: how it is written, of what, its value at a case."""

    text: str
    names: tuple[str, ...]
    of: Callable[[Case], np.ndarray | None]


def entrywise(cases: Sequence[Case], view: View) -> Iterator[Found]:
    """Missing or superfluous factors, then a factor evaluated at the wrong argument."""
    table = probe_table(cases)
    if table is None:
        return
    failing = [case for case in cases if case.failed]
    names = [name for name in common_names(failing) if failing[0].bases[name].ndim][:_NAMES]
    names.sort(key=lambda name: not is_direction(name, failing[0].sample))
    for multiplier in _multipliers(failing, names):
        yield from _factor(cases, view, table, multiplier)
    for name in names:
        if is_direction(name, failing[0].sample):
            yield from _replaced(cases, name)
    yield from _wrong_variable(cases, view, table, names)


def _multipliers(cases: Sequence[Case], names: Sequence[str]) -> Iterator[Multiplier]:
    functions = dict(FUNCTIONS)
    if any(np.iscomplexobj(cases[0].bases[name]) for name in names):
        functions |= COMPLEX
    for pattern, name in itertools.product(functions, names):
        function = functions[pattern]

        def single(case: Case, name=name, function=function) -> np.ndarray | None:
            array = at_entries(case, name)
            return None if array is None else function(array)

        yield Multiplier(pattern.format(name), (name,), single)
    own = [name for name in names if name in cases[0].sample.inputs][:6]
    for pattern, (one, two) in itertools.product(PAIRED, itertools.permutations(own, 2)):
        if (pattern != "{}/{}" and one > two) or is_direction(one, cases[0].sample):
            continue

        def double(case: Case, one=one, two=two, function=PAIRED[pattern]) -> np.ndarray | None:
            first, second = at_entries(case, one), at_entries(case, two)
            return None if first is None or second is None else function(first, second)

        yield Multiplier(pattern.format(one, two), (one, two), double)


def _factor(cases: Sequence[Case], view: View, table: Table, by: Multiplier) -> Iterator[Found]:
    def seldom(case: Case) -> tuple:
        value = by.of(case)
        return (None, None) if value is None or not case.same_shape else (case.hand * value, case.truth)

    def often(case: Case) -> tuple:
        value = by.of(case)
        return (None, None) if value is None or not case.same_shape else (case.hand, case.truth * value)

    lacking = f"equals the {view.noun} without its factor {by.text}: multiply by {by.text}"
    excess = f"is {by.text} times the {view.noun}: remove that factor"
    for value, text, pair in ((f"1/{by.text}", lacking, seldom), (by.text, excess, often)):
        if not _plausible(table, pair):
            continue
        for scale, how in scaled(cases, pair, False):
            if how.everything and scale.constant != 0:
                yield _factor_found(table.probes[0].sample, by, value, text, scale, how)
                break


def _plausible(table: Table, pair: Callable[[Case], tuple]) -> bool:
    """Whether the probes agree: cheap, before all cases are asked."""
    left, right = table.stack(lambda case: pair(case)[0]), table.stack(lambda case: pair(case)[1])
    if left is None or right is None:
        return False
    usable = np.isfinite(left) & np.isfinite(right)
    return bool(parallel(np.where(usable, left, 0)[None], np.where(usable, right, 0)))


def _factor_found(sample: Sample, by: Multiplier, value: str, text: str, scale: Scale, how: Fit) -> Found:
    name = by.names[0]
    kind = "factor"
    if by.text.startswith("conj("):
        kind = "conjugate"
        if by.text == f"conj({name})/{name}":
            text = f"conjugates {name}, or does not where it should: check every conj"
    elif any(is_direction(name, sample) for name in by.names):
        kind = "cotangent"
        if value == f"1/{name}":
            text = f"ignores {name}: multiply by {name}, entry by entry"
    elif name in sample.inputs and np.asarray(sample.inputs[name]).dtype == bool:
        kind = "entries"
        if value.startswith("1/"):
            text = f"ignores {name}: it must be zero where {by.text} is zero"
    first = Diagnosis(kind, text, value, how.evidence())
    if abs(scale.constant - 1) < 1e-7 and not scale.powers:
        return Found((first,), how)
    lacks = f"besides, lacks a factor {scale.inverse().name}"
    if abs(scale.constant + 1) < 1e-7 and not scale.powers:
        return Found((first, Diagnosis("sign", "besides, has the wrong sign", "-1", how.evidence())), how)
    return Found((first, Diagnosis("factor", lacks, scale.name, how.evidence())), how)


def _replaced(cases: Sequence[Case], name: str) -> Iterator[Found]:
    """One number made of the cotangent stands in place of its entries."""
    for pattern, of in _INSTEAD.items():

        def swapped(case: Case, of=of) -> tuple:
            array = at_entries(case, name)
            if array is None or not case.same_shape:
                return None, None
            return case.hand * array, case.truth * of(case.bases[name])

        for scale, how in scaled(cases, swapped, False):
            if how.everything and scale.constant != 0:
                value = pattern.format(name)
                yield Found.one("cotangent", f"uses {value} in place of the entries of {name}", value, how)


def _wrong_variable(cases, view: View, table: Table, names: Sequence[str]) -> Iterator[Found]:
    """hand / truth = f(u) / f(v): the right function at the wrong argument."""
    for pattern, function in FUNCTIONS.items():
        values = {}
        for name in names:
            stacked = table.stack(lambda case, name=name: at_entries(case, name))
            if stacked is not None:
                values[name] = function(_unweighted(table, name))
        for mine, true in itertools.permutations(values, 2):
            left, right = table.hand * values[true], table.truth * values[mine]
            if not np.isfinite(left).all() or not np.isfinite(right).all():
                continue
            if np.allclose(values[mine], values[true], 1e-9, 0.0) or not parallel(left[None], right):
                continue

            def pair(case: Case, mine=mine, true=true, function=function) -> tuple:
                used, wanted = at_entries(case, mine), at_entries(case, true)
                if used is None or wanted is None or not case.same_shape:
                    return None, None
                rightly, wrongly = function(wanted), function(used)
                unit = np.maximum(np.maximum(np.abs(rightly), np.abs(wrongly)), 1e-300)
                return case.hand * (rightly / unit), case.truth * (wrongly / unit)

            for scale, how in scaled(cases, pair, False):
                if how.everything and scale.constant != 0:
                    got, wanted = pattern.format(mine), pattern.format(true)
                    yield Found.one(
                        "wrong_argument",
                        f"has {got} where the {view.noun} has {wanted}",
                        f"{got} for {wanted}",
                        how,
                    )
                    break


def _unweighted(table: Table, name: str) -> np.ndarray:
    parts = [at_entries(case, name) for case in table.probes]
    return np.concatenate([part.ravel() for part in parts if part is not None])
