"""Values that are a short expression: what the hand computes, and what it should compute instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from verify.hypotheses.candidate_terms import deep_products
from verify.hypotheses.cases import Case, is_direction
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
    if wanted is None or got is None or got[0] == wanted[0]:
        return
    (expr, scale, how), (true_expr, true_scale, _) = got, wanted
    mine, true = multiple(scale, expr), multiple(true_scale, true_expr)
    yield Found.one(
        replaced_kind(table.probes[0], expr, true_expr),
        f"is {mine}, but the {view.noun} is {true}",
        mine,
        how,
    )


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


def recognised_hand(cases: Sequence[Case]) -> str | None:
    """What the hand-written function computes, where that is a short expression."""
    table = tabulate(cases)
    if table is None or len(table.probes) != 1:
        return None

    def hand(case: Case) -> np.ndarray:
        return case.hand

    names = common_names([case for case in cases if case.failed and case.tame])
    got = _recognised(cases, View(""), table, hand)
    got = got or _verified(cases, chains(table.probes[0], names, {"hand": table.hand})["hand"], hand)
    return None if got is None else multiple(got[1], got[0])


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
