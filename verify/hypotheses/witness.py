"""Witnesses for the diagnosis: named inputs, and what the derivative would be under a likely mix-up."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from verify.cells.comparison import as_wide
from verify.drawing.cases import Case
from verify.hypotheses.evidence import Edit, Sample
from verify.hypotheses.program_edits import edits_of
from verify.tracing.engine import Arrays, Engine

MOST_CANDIDATES = 40
LARGEST_DIAGONAL = 24


def named_inputs(engine: Engine, case: Case) -> dict[str, Any]:
    """Every input of a case by its label, static options included."""
    traced = engine.formula(case)
    named: dict[str, Any] = {
        leaf.label: v for leaf, v in zip(case.structure.leaves, case.values, strict=True)
    }
    named.update(zip(traced.extra_labels, case.extra, strict=True))
    named.update({k: v for k, v in case.structure.statics.items() if isinstance(v, int | float | str | bool)})
    return named


def candidates_of(engine: Engine, cases: Sequence[Case]) -> Mapping[str, Callable[[Sample], Arrays]]:
    """The truth re-evaluated with two inputs exchanged, one in place of another, or at the function's own value.

    Besides, the edits of the reference's program.
    """
    by_id = {c.id: c for c in cases}
    first = cases[0]
    traced = engine.formula(first)
    labels = [*(leaf.label for leaf in first.structure.leaves), *traced.extra_labels]
    shapes = [*(leaf.shape for leaf in first.structure.leaves), *(s for s, _ in traced.extra_shapes)]
    floating = [i for i, v in enumerate((*first.values, *first.extra)) if v.dtype.kind not in "iub"]
    found: dict[str, Callable[[Sample], Arrays]] = {}
    for i, j in itertools.combinations(floating, 2):
        if shapes[i] == shapes[j]:
            found[f"with {labels[i]} and {labels[j]} exchanged"] = _moved(engine, by_id, {i: j, j: i})
    for i, j in itertools.permutations(floating, 2):
        if shapes[i] == shapes[j]:
            found[f"with {labels[j]} in place of {labels[i]}"] = _moved(engine, by_id, {i: j})
    values = engine.primal(first)
    for i in floating:
        if len(values) == 1 and i < len(first.values) and values[0].shape == first.values[i].shape:
            found[f"at the function's value in place of {labels[i]}"] = _at_value(engine, by_id, i)
    chosen = dict(itertools.islice(found.items(), MOST_CANDIDATES))
    return {**chosen, **_diagonal(engine, by_id, first), **edits_of(engine, cases)}


def _diagonal(engine: Engine, by_id: Mapping[str, Case], first: Case) -> dict[str, Edit]:
    """The derivative as if every entry of the output depended on its own entry of the input alone."""
    if engine.claim.relation not in ("vjp", "jvp") or len(first.extra) != 1:
        return {}
    if all(value.shape != first.extra[0].shape for value in engine.wide(first)[1]):
        return {}

    def evaluate(sample: Sample) -> Arrays:
        case = by_id[sample.case_id]
        along = case.extra[0]
        if along.size > LARGEST_DIAGONAL:
            raise KeyError(sample.case_id)  # too many evaluations
        values = [np.array(value) for value in engine.wide(case)[1]]
        for index in np.ndindex(along.shape):
            alone = np.zeros_like(along)
            alone[index] = along[index]
            for value, part in zip(values, engine.wide(replace(case, extra=(alone,)))[1], strict=True):
                if part.shape == along.shape:
                    value[index] = part[index]
        return tuple(values)

    text = "uses the diagonal of the Jacobian alone: the terms of all other entries are missing"
    return {"by the diagonal": Edit("missing_term", text, False, evaluate)}


def _moved(engine: Engine, by_id: Mapping[str, Case], moves: Mapping[int, int]) -> Callable[[Sample], Arrays]:
    def evaluate(sample: Sample) -> Arrays:
        case = by_id[sample.case_id]
        flat = [*case.values, *case.extra]
        new = [flat[moves.get(i, i)] for i in range(len(flat))]
        count = len(case.values)
        return engine.wide(replace(case, values=tuple(new[:count]), extra=tuple(new[count:])))[1]

    return evaluate


def _at_value(engine: Engine, by_id: Mapping[str, Case], leaf: int) -> Callable[[Sample], Arrays]:
    def evaluate(sample: Sample) -> Arrays:
        case = by_id[sample.case_id]
        values = list(case.values)
        values[leaf] = np.asarray(as_wide(engine.primal(case)[0]))
        return engine.wide(replace(case, values=tuple(values)))[1]

    return evaluate
