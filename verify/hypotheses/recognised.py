"""Values that are a short expression: what the hand computes, and what it should compute instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from verify.hypotheses.candidate_terms import deep_products
from verify.hypotheses.cases import Case, Fit, is_direction
from verify.hypotheses.chains import chains
from verify.hypotheses.expressions import (
    Expr,
    atoms,
    common_names,
    functions_in,
    in_shape,
    spell,
)
from verify.hypotheses.ladder import Found, View, scaled
from verify.hypotheses.scale import Scale
from verify.hypotheses.terms import (
    Table,
    fill,
    parallel,
    probe_of,
    tabulate,
)
from verify.records.record import Diagnosis


def multiple(scale: Scale, expr: Expr) -> str:
    number, term = scale.name, spell(expr)
    if number == "1":
        return term
    return f"-{term}" if number == "-1" else f"{number} * {term}"


def expressed(cases: Sequence[Case], view: View, table: Table, deep: bool) -> Iterator[Found]:
    """Both values are recognised: the hand computes one expression where another one is wanted."""

    def hand(case: Case) -> np.ndarray:
        return case.hand

    def truth(case: Case) -> np.ndarray:
        return case.truth

    wanted = _recognised(cases, view, table, truth)
    got = _recognised(cases, view, table, hand)
    if deep and (wanted is None or got is None) and len(table.probes) == 1:
        names = common_names([case for case in cases if case.failed and case.tame])
        inner = fill(probe_of(table), deep_products(table.probes[0], names))
        wanted = wanted or _recognised(cases, view, inner, truth)
        got = got or (_recognised(cases, view, inner, hand) if wanted is not None else None)
    for known, other, mine in ((got, truth, True), (wanted, hand, False)):
        turned = _turned(cases, known[0], other) if known is not None else None
        if known is not None and turned is not None:
            yield _told_turned(view, known, turned) if mine else _told_turned(view, turned, known)
            return
    if wanted is None or got is None or got[0] == wanted[0]:
        return
    (expr, scale, how), (true_expr, true_scale, _) = got, wanted
    mine, true = multiple(scale, expr), _RESULT.sub(r"\1", multiple(true_scale, true_expr))
    yield Found.one(
        replaced_kind(table.probes[0], expr, true_expr),
        f"is {mine}, but the {view.noun} is {true}",
        mine,
        how,
    )


_RESULT = re.compile(r"^an intermediate value \((the result of `\w+`)\)(?: no\. \d+)?$")

Fitted = tuple[Expr, Scale, Fit]


def _turned(cases: Sequence[Case], expr: Expr, of: Callable[[Case], np.ndarray]) -> Fitted | None:
    """The same expression with one matrix in it transposed (or conjugated), where that equals the other value."""
    return next((found for v in variants(expr) if (found := _verified(cases, [v], of)) is not None), None)


def variants(expr: Expr) -> Iterator[Expr]:
    """The expression with one operand transposed, or one conjugated."""
    match expr:
        case ("base", _) | ("inv", _) | ("column", _):
            yield ("T", expr)
            yield ("conj", expr)
            yield ("conj", ("T", expr))
        case ("T", inner) | ("conj", inner):
            yield inner
    for at, part in enumerate(expr):
        if isinstance(part, tuple) and part and isinstance(part[0], str):
            yield from ((*expr[:at], other, *expr[at + 1 :]) for other in variants(part))


def _told_turned(view: View, got: Fitted, wanted: Fitted) -> Found:
    mine, true = multiple(got[1], got[0]), multiple(wanted[1], wanted[0])
    conjugated = spell(got[0]).count("conj") != spell(wanted[0]).count("conj")
    kind, what = ("conjugate", "conj") if conjugated else ("transpose", "transpose")
    text = f"is {mine}, but the {view.noun} is {true}: a {what} is missing, or one too many"
    return Found.one(kind, text, mine, got[2])


def _recognised(cases, view: View, table: Table, of: Callable[[Case], np.ndarray]):
    value = table.stack(of)
    for index in parallel(table.rows, value) if value is not None else []:
        expr = table.terms[index]
        if {"hand", "truth"} & atoms(expr).keys():
            continue
        for scale, how in scaled(cases, lambda case, expr=expr: (of(case), in_shape(expr, case))):
            if how.everything and scale.constant != 0:
                return expr, scale, how
    return None


def chained(
    cases: Sequence[Case], view: View, table: Table, found: Mapping[str, list[Expr]]
) -> Iterator[Found]:
    """Hand and truth are two different products of three."""
    wanted = _verified(cases, found["truth"], lambda case: case.truth)
    got = _verified(cases, found["hand"], lambda case: case.hand) if wanted else None
    if wanted is None or got is None or wanted[0] == got[0]:
        return
    mine, true = multiple(got[1], got[0]), multiple(wanted[1], wanted[0])
    kind = replaced_kind(table.probes[0], got[0], wanted[0])
    yield Found.one(kind, f"is {mine}, but the {view.noun} is {true}", mine, got[2])


def recognised_hand(cases: Sequence[Case], view: View) -> Diagnosis | None:
    """What the hand-written function computes, where that is a short expression: it is no derivative."""
    table = tabulate(cases)
    if table is None or len(table.probes) != 1:
        return None

    def hand(case: Case) -> np.ndarray:
        return case.hand

    names = common_names([case for case in cases if case.failed and case.tame])
    got = _recognised(cases, view, table, hand)
    got = got or _verified(cases, chains(table.probes[0], names, {"hand": table.hand})["hand"], hand)
    if got is None:
        return None
    turned = _turned(cases, got[0], lambda case: case.truth)
    if turned is not None:
        return _told_turned(view, got, turned).diagnoses[0]
    mine, sample = multiple(got[1], got[0]), table.probes[0].sample
    linear = {name: count for name, count in atoms(got[0]).items() if is_direction(name, sample)}
    once = not any(is_direction(name, sample) for name in sample.inputs) or set(linear.values()) == {1}
    text = f"is {mine}, but the {view.noun} is another function of the arguments"
    return Diagnosis("wrong_argument" if once else "cotangent", text, mine, got[2].evidence())


def _verified(cases, exprs: Sequence[Expr], of: Callable[[Case], np.ndarray]):
    for expr in exprs:
        for scale, how in scaled(cases, lambda case, expr=expr: (of(case), in_shape(expr, case)), False):
            if how.everything and scale.constant != 0:
                return expr, scale, how
    return None


def replaced_kind(case: Case, mine: Expr, true: Expr) -> str:
    """What it is to compute ``mine`` in place of ``true``, by the arguments that occur in each."""
    got, wanted = atoms(mine), atoms(true)
    directions = {name for name in wanted.keys() | got.keys() if is_direction(name, case.sample)}
    replaced = bool(wanted - got and got - wanted)
    if not replaced and any(got[name] != wanted[name] for name in directions):
        return "cotangent"
    if functions_in(mine) != functions_in(true) and got == wanted:
        return "wrong_argument"
    if got == wanted:
        written = spell(mine), spell(true)
        if written[0].count("conj") != written[1].count("conj"):
            return "conjugate"
        same_turns = written[0].count(".T") == written[1].count(".T")
        return "reduction" if same_turns and any("sum" in text for text in written) else "transpose"
    return "wrong_argument" if replaced else "factor"
