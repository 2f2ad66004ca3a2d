"""Mistakes that show only somewhere: under a condition, at some positions, in some dtype. And what is left unknown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from verify.hypotheses import places, structure
from verify.hypotheses.cases import Case, epsilon, is_direction, largest
from verify.hypotheses.conditions import Condition, best, best_pair, dimension_features
from verify.hypotheses.ladder import Found, View
from verify.hypotheses.numbers import exact_name
from verify.record import Diagnosis


def condition_on_entries(
    cases: Sequence[Case], view: View, partial: Found | None, narrow: bool
) -> tuple[Diagnosis, ...] | None:
    """Entries fail exactly where a condition on the input's entry holds. ``narrow``: not merely where it is non-zero."""
    found = _entry_condition(cases, narrow)
    if found is None:
        return None
    kind = _condition_kind(found)
    text = f"is wrong only where {found.text}, and right elsewhere{_what_it_does(cases, view)}"
    evidence = f"{found.failing} failing and {found.passing} passing entries, separated exactly"
    return (Diagnosis(kind, text, found.text, evidence), *_explanations(partial))


def _entry_condition(cases: Sequence[Case], narrow: bool) -> Condition | None:
    for quiet in (False, True):
        features, fails = places.entry_rows(cases, quiet)
        if not fails.any() or fails.all():
            continue
        groups = (("value", "mask"), ("tie", "maximum"), ("intermediate", "direction"))
        for families in groups:
            found = best([feature for feature in features if feature.family in families], fails)
            if found is not None and (found.narrow or not narrow):
                return found
    return None


def condition_on_cases(
    cases: Sequence[Case], view: View, partial: Found | None
) -> tuple[Diagnosis, ...] | None:
    """Cases fail exactly where a condition on sizes, on options or on values holds."""
    for kept in (cases, [case for case in cases if case.failed or largest(case.truth) or largest(case.hand)]):
        fails = np.array([case.failed for case in kept])
        if not fails.any() or fails.all():
            continue
        dims = dimension_features([dict(case.sample.dims) for case in kept])
        values = places.case_features(kept)
        found = best(dims, fails) or best(values, fails) or best_pair(dims, fails)
        if found is None:
            options = [feature for feature in values if feature.family == "option"]
            found = best_pair(options, fails) or best_pair(dims + options, fails)
        if found is not None:
            kind = _condition_kind(found)
            text = f"is wrong only where {found.text}, and right elsewhere"
            if kind == "cotangent":
                text = f"is right only where the cotangent is all ones ({found.text} otherwise): multiply by the cotangent"
            evidence = f"{found.failing} failing and {found.passing} passing cases, separated exactly"
            return (Diagnosis(kind, text, found.text, evidence), *_explanations(partial))
    return None


def _explanations(partial: Found | None) -> tuple[Diagnosis, ...]:
    if partial is None:
        return ()
    return tuple(
        Diagnosis(d.kind, f"besides, there, {d.text}", d.value, d.evidence) for d in partial.diagnoses
    )


def _condition_kind(found: Condition) -> str:
    if found.family == "dims":
        return "dimension"
    if found.family in ("degenerate",):
        return "singular"
    if found.family == "tie" and (
        "==" in found.text or "another entry" in found.text or "ties" in found.text
    ):
        return "singular"
    if found.family == "direction" and "all ones" in found.text:
        return "cotangent"
    if found.family in ("mask", "maximum"):
        return "entries"
    return "singular" if found.form == "point" and found.family in ("value", "intermediate") else "region"


def _what_it_does(cases: Sequence[Case], view: View) -> str:
    """What the hand-written value is on the failing entries, where that is simple."""
    bad = [case for case in cases if case.failed and case.same_shape and case.bad.any()]
    hand = np.concatenate([case.hand[case.bad] for case in bad])
    truth = np.concatenate([case.truth[case.bad] for case in bad])
    if not np.isfinite(hand).all():
        return ": it is not finite there" if not np.isfinite(hand).any() else ""
    for values, who in ((hand, "it is"), (truth, "it should be")):
        if np.ptp(np.abs(values)) <= 1e-9 * np.abs(values).max() and np.all(
            np.abs(values - values[0]) <= 1e-9 * abs(values[0])
        ):
            name = exact_name(values[0]) or f"{values[0]:.6g}"
            return f": there {who} {name}" + ("" if who == "it should be" else _should(truth))
    with np.errstate(all="ignore"):
        ratio = hand / truth
    if np.isfinite(ratio).all() and np.all(np.abs(ratio - ratio[0]) < 1e-6 * abs(ratio[0])):
        return f": there it is {exact_name(ratio[0]) or format(ratio[0], '.6g')} times the {view.noun}"
    for name in bad[0].bases:
        entries = [places._at_entries(case, name) for case in bad]
        if all(part is not None for part in entries):
            other = np.concatenate([part[case.bad] for part, case in zip(entries, bad, strict=True)])  # type: ignore[index]
            if np.all(np.abs(hand - other) <= 1e-9 * np.abs(other)):
                return f": there it equals {name}"
    return ""


def _should(truth: np.ndarray) -> str:
    if np.all(np.abs(truth - truth[0]) <= 1e-9 * abs(truth[0])):
        return f", should be {exact_name(truth[0]) or format(truth[0], '.6g')}"
    return ""


def wrong_place(cases: Sequence[Case], view: View) -> tuple[Diagnosis, ...] | None:
    """Only entries at certain positions fail."""
    found = places.positions(cases, view.dims)
    if found is None:
        return None
    place, hit, inside = found
    text = f"is wrong only in {place}{_what_it_does(cases, view)}"
    return (
        Diagnosis("entries", text, place, f"{hit} of the {inside} entries there fail, and none elsewhere"),
    )


def cotangent_evidence(cases: Sequence[Case], view: View) -> tuple[Diagnosis, ...] | None:
    """Not linear in the cotangent (or tangent): non-zero where it is zero, or of another degree in it."""
    names = [name for name in cases[0].sample.inputs if is_direction(name, cases[0].sample)]
    if not names:
        return None
    word = "cotangent" if names[0].startswith("cotangent") else "tangent"
    nonzero = [
        case
        for case in cases
        if case.failed
        and largest(case.hand) > 0
        and all(largest(case.bases[name]) == 0 for name in names if name in case.bases)
    ]
    if nonzero:
        text = f"is not zero where the {word} is zero: every term must carry the {word} exactly once"
        return (Diagnosis("cotangent", text, "not linear", f"on {len(nonzero)} cases with a zero {word}"),)
    rows = []
    for case in cases:
        sizes = [largest(case.hand), largest(case.truth), max(largest(case.bases[name]) for name in names)]
        if case.tame and all(size > 0 for size in sizes):
            rows.append(np.log(sizes))
    if len(rows) >= 12:
        hand, truth, direction = np.array(rows).T
        if np.ptp(direction) > 2:
            ratio = hand - truth
            slope, _ = np.polyfit(direction, ratio, 1)
            strength = np.corrcoef(direction, ratio)[0, 1] ** 2 if np.ptp(ratio) > 0 else 0.0
            if abs(abs(slope) - round(abs(slope))) < 0.15 and round(abs(slope)) >= 1 and strength > 0.8:
                degree = 1 + round(slope)
                what = (
                    f"does not depend on the {word}"
                    if degree == 0
                    else f"is of degree {degree} in the {word}"
                )
                text = f"{what}, where the {view.noun} is linear in it: multiply by the {word} exactly once"
                return (
                    Diagnosis(
                        "cotangent", text, f"degree {degree}", f"on {len(rows)} cases of many magnitudes"
                    ),
                )
    return None


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
    found = _entry_condition(marked, narrow=True)
    if found is None:
        fails = np.array([case.failed for case in marked])
        found = best(places.case_features(marked), fails) or best(
            dimension_features([dict(case.sample.dims) for case in marked]), fails
        )
    evidence = f"on {len(failing)} of {len(cases)} cases"
    if found is None:
        big = min(max((largest(array) for array in case.bases.values()), default=0) for case in failing) > 50
        kind = "overflow" if big or not np.isnan(values).any() else _degenerate(failing)
        return Diagnosis(kind, f"is {word} where the {view.noun} is finite", word, evidence)
    text = f"is {word} where {found.text}; the {view.noun} is finite there"
    kind = _condition_kind(found)
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
    found = _entry_condition(cases, narrow=True)
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
    dims = dimension_features([dict(case.sample.dims) for case in cases])
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
