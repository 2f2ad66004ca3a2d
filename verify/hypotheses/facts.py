"""What can be said without a formula: not finite, digits lost, a wrong shape, or only the facts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from verify.hypotheses import structure
from verify.hypotheses.case_values import case_features
from verify.hypotheses.cases import Case, epsilon, largest
from verify.hypotheses.conditions import Condition
from verify.hypotheses.dimension_values import dimension_features
from verify.hypotheses.ladder import View
from verify.hypotheses.partial import condition_kind, entry_condition
from verify.hypotheses.trees import best
from verify.records.record import Diagnosis


def nonfinite(cases: Sequence[Case], view: View) -> Diagnosis:
    """Infinite or NaN where the truth is finite."""
    marked = [
        Case(
            case.sample,
            case.leaf,
            case.hand,
            case.truth,
            case.noise,
            case.tame,
            case.bad & ~np.isfinite(case.hand),
            case.failed,
        )
        for case in cases
    ]
    for case in marked:
        case.failed = bool(case.bad.any())
    failing = [case for case in marked if case.failed]
    values = np.concatenate([case.hand[case.bad] for case in failing])
    word = (
        "NaN" if np.isnan(values).all() else "infinite" if not np.isnan(values).any() else "NaN or infinite"
    )
    found = entry_condition(marked, narrow=True)
    if found is None:
        fails = np.array([case.failed for case in marked])
        found = best(case_features(marked), fails) or best(
            dimension_features([case.sizes for case in marked], fails), fails
        )
    evidence = f"on {len(failing)} of {len(cases)} cases"
    if found is None:
        big = min(max((largest(array) for array in case.bases.values()), default=0) for case in failing) > 50
        kind = "overflow" if big or not np.isnan(values).any() else _degenerate(failing)
        return Diagnosis(kind, f"is {word} where the {view.noun} is finite", word, evidence)
    text = f"is {word} where {found.text}; the {view.noun} is finite there"
    kind = condition_kind(found)
    if kind == "region" or (kind == "singular" and abs(found.low) > 50):
        small = (found.form == "below" and 0 <= found.high < 1e-2) or (
            found.form == "between" and largest(np.array([found.low, found.high])) < 1e-2
        )
        kind = "singular" if small else "overflow" if _large(found) else "region"
    return Diagnosis(kind, text, found.text, evidence)


def _large(found: Condition) -> bool:
    edges = [abs(edge) for edge in (found.low, found.high) if np.isfinite(edge)]
    return bool(edges) and max(edges) > 5


def _degenerate(failing: Sequence[Case]) -> str:
    degenerate = all(
        any(
            np.any(array == 0) or (array.size > 1 and len(np.unique(array)) < array.size)
            for array in case.bases.values()
        )
        for case in failing
    )
    return "singular" if degenerate else "overflow"


def precision(cases: Sequence[Case], view: View) -> Diagnosis:
    """Right in exact arithmetic, with fewer digits than the dtype has."""
    failing = [case for case in cases if case.failed]
    worst, lost, dtype = 0.0, 0.0, failing[0].sample.dtype
    for case in failing:
        with np.errstate(all="ignore"):
            error = np.abs(case.hand - case.truth) / np.maximum(np.abs(case.truth), 1e-300)
        error = largest(np.where(case.bad, error, 0))
        if error / epsilon(case.sample.dtype) > lost:
            worst, lost, dtype = error, error / epsilon(case.sample.dtype), case.sample.dtype
    digits = max(0, round(np.log10(max(lost, 1))))
    found = entry_condition(cases, narrow=True)
    where = f", only where {found.text}" if found is not None else ""
    text = (
        f"loses {digits} digits in {dtype}{where}: an entry is off by {min(worst, 1e300):.1e} of its size; "
        "look for a cancellation, or for a step in lower precision"
    )
    return Diagnosis("precision", text, dtype, f"on {len(failing)} failing cases of {len(cases)}")


def wrong_shape(cases: Sequence[Case], view: View) -> Diagnosis:
    """The shapes got and wanted, in the names of the dimensions."""
    off = [case for case in cases if case.failed and not case.same_shape]
    got = structure.shape_name([case.hand.shape for case in off], [dict(case.sample.dims) for case in off])
    wanted = structure.wanted_name(view.dims, off)
    fails = np.array([not case.same_shape for case in cases])
    dims = dimension_features([case.sizes for case in cases], fails)
    condition = best(dims, fails) if not fails.all() else None
    where = f" where {condition.text}" if condition is not None else ""
    return Diagnosis(
        "shape",
        f"has shape {got}{where}, the {view.noun} has shape {wanted}",
        f"{got}, not {wanted}",
        f"on {len(off)} of {len(cases)} cases",
    )


def unknown(cases: Sequence[Case], view: View) -> Diagnosis:
    """The facts, where no hypothesis holds."""
    failing = [case for case in cases if case.failed] or list(cases)
    bad = sum(int(case.bad.sum()) for case in failing)
    entries = sum(case.bad.size for case in failing)
    errors = [
        largest(case.hand - case.truth) / max(largest(case.truth), 1e-300)
        for case in failing
        if case.same_shape
    ]
    simplest = min(failing, key=lambda case: (sum(case.sample.dims.values()), case.truth.size))
    sizes = ", ".join(f"{name} = {size}" for name, size in simplest.sample.dims.items())
    typical = f"; the typical error is {float(np.median(errors)):.2g} of the largest entry" if errors else ""
    text = f"differs in no simple way{typical}" + (
        f"; the smallest failing sizes are {sizes}" if sizes else ""
    )
    return Diagnosis(
        "unknown",
        text,
        None,
        f"{len(failing)} of {len(cases)} cases fail, {bad} of {entries} entries in them",
    )
