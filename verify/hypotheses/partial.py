"""Mistakes that show only somewhere: under a condition on sizes or values, or at some positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from verify.hypotheses.case_values import case_features
from verify.hypotheses.cases import Case, is_direction, largest
from verify.hypotheses.conditions import Condition
from verify.hypotheses.dimension_values import dimension_features
from verify.hypotheses.entry_values import at_entries, entry_table, spread
from verify.hypotheses.entrywise import entrywise
from verify.hypotheses.ladder import Found, View, proportional
from verify.hypotheses.numbers import exact_name
from verify.hypotheses.positions import positions
from verify.hypotheses.trees import best, best_necessary, best_nested, best_pair, best_within
from verify.records.record import Diagnosis

Told = tuple[Diagnosis, ...]
_NESTED = 24


def condition_on_entries(
    cases: Sequence[Case], view: View, partial: Found | None, narrow: bool
) -> Told | None:
    """Entries fail exactly where a condition on the values there holds.

    ``narrow``: only conditions that an ordinary missing term would not produce (not merely "where it is not zero").
    """
    found = entry_condition(cases, narrow)
    if found is None:
        return None
    there = None if partial is not None else explained_there(cases, view)
    if there is not None and (found.family == "mask" or there.diagnoses[0].kind == "cotangent"):
        return tuple(replace(d, text=f"{d.text} (only where {found.text})") for d in there.diagnoses)
    partial = partial or there
    text = f"is wrong only where {found.text}, and right elsewhere{_what_it_does(cases, view)}"
    evidence = f"{found.failing} failing and {found.passing} passing entries, separated exactly"
    if found.form == "necessary":
        text = f"is wrong only where {found.text} (though not always there){_what_it_does(cases, view)}"
        evidence = (
            f"all {found.failing} failing entries and {found.spared} of {found.passing} passing ones meet it"
        )
    return (Diagnosis(condition_kind(found), text, found.text, evidence), *_explanations(partial))


def explained_there(cases: Sequence[Case], view: View) -> Found | None:
    """What explains the failing entries alone, as if they were the whole output."""
    alone = [_failing_part(case) for case in cases if case.failed]
    for stage in (proportional, entrywise):
        for found in stage(alone, replace(view, dims=())):
            if found.fit.everything and found.diagnoses[0].value != "0":
                return found
    return None


def _failing_part(case: Case) -> Case:
    bases = {}
    for name, array in case.bases.items():
        spread_out = at_entries(case, name)
        if array.ndim == 0:
            bases[name] = array
        elif spread_out is not None:
            bases[name] = spread_out[case.bad]
    bad = np.ones(int(case.bad.sum()), bool)
    return replace(case, hand=case.hand[case.bad], truth=case.truth[case.bad], bad=bad, _bases=bases)


def special_entries(cases: Sequence[Case], view: View) -> Told | None:
    """Entries fail only at masked, tied or special values, and another formula explains those that do."""
    table = entry_table(cases, quiet=True)
    if table is None or table.failing_cases < 4:
        return None
    special = [
        f for f in table.features if f.family in ("mask", "tie", "value") and (f.yes or np.any(f.values == 0))
    ]
    found = best_necessary(special, table.fails)
    there = explained_there(cases, view) if found is not None else None
    if found is None or there is None:
        return None
    return tuple(replace(d, text=f"{d.text} (only where {found.text})") for d in there.diagnoses)


def entry_condition(cases: Sequence[Case], narrow: bool) -> Condition | None:
    for quiet in (True, False):
        table = entry_table(cases, quiet)
        if table is None or not table.fails.any() or table.fails.all():
            continue
        for families in (("value", "mask"), ("tie", "maximum", "accumulated"), ("intermediate", "direction")):
            features = [feature for feature in table.features if feature.family in families]
            found = best(features, table.fails, table.errors)
            if found is not None and (found.narrow or not narrow):
                return found
        if not narrow and table.failing_cases >= 4:
            families = ("value", "mask", "tie", "scalar", "size")
            features = [feature for feature in table.features if feature.family in families][:_NESTED]
            found = best_nested(features, table.fails, table.errors)
            if found is not None:
                return found
        if not narrow and table.failing_cases >= 4:
            special = [feature for feature in table.features if feature.family in ("mask", "tie", "value")]
            found = best_necessary([f for f in special if f.yes or np.any(f.values == 0)], table.fails)
            if found is not None and (
                found.family == "mask" or " == " in found.text or found.family == "tie"
            ):
                return found
    return None


def condition_on_cases(
    cases: Sequence[Case], view: View, partial: Found | None, trivial: bool = True, loose: bool = True
) -> Told | None:
    """Cases fail exactly where a condition on sizes, on options or on values holds.

    ``trivial``: also where any mistake would show just so; ``loose``: also conditions on values that the failing
    cases meet and some passing ones do, or that join two.
    """
    loud = [case for case in cases if case.failed or largest(case.truth) or largest(case.hand)]
    for kept in (loud, cases):
        found = _case_condition(kept, loose, trivial)
        if found is None or (found.family == "direction" and found.form == "not point" and found.low == 0):
            continue
        if found.trivial and not trivial:
            return None
        if found.family == "option" and partial is not None:
            return tuple(replace(d, text=f"{d.text} (only where {found.text})") for d in partial.diagnoses)
        kind = condition_kind(found)
        text = f"is wrong only where {found.text}, and right elsewhere"
        evidence = f"{found.failing} failing and {found.passing} passing cases, separated exactly"
        if found.form == "necessary":
            text = f"is wrong only where {found.text} (though not always there)"
            evidence = f"all {found.failing} failing cases and {found.spared} of {found.passing} passing cases meet it"
        if kind == "reduction":
            text = f"is wrong only where {found.text}: what arrives there must be added up, not overwritten"
        elif kind == "transpose":
            text = f"is wrong only where {found.text}: a transpose is missing, or one too many"
        elif kind == "conjugate":
            text = f"is wrong only where {found.text}: a conj is missing, or one too many"
        elif kind == "cotangent":
            text = f"is wrong exactly where {found.text}: multiply by it, entry by entry, before any sum"
        return (Diagnosis(kind, text, found.text, evidence), *_explanations(partial))
    return None


def imaginary_only(cases: Sequence[Case], view: View) -> Told | None:
    """Right for real arguments, and wrong wherever one of them has an imaginary part: a conj."""
    fails = np.array([case.failed for case in cases])
    if fails.all() or not any(np.iscomplexobj(array) for array in cases[0].bases.values()):
        return None
    imaginary = [feature for feature in case_features(cases) if feature.family == "imaginary"]
    found = best_within(imaginary, dimension_features([case.sizes for case in cases]), fails)
    if found is None:
        return None
    text = f"is wrong only where {found.text}: a conj is missing, or one too many"
    evidence = f"{found.failing} failing and {found.passing} passing cases, separated exactly"
    return (Diagnosis("conjugate", text, found.text, evidence),)


def _case_condition(cases: Sequence[Case], loose: bool, trivial: bool) -> Condition | None:
    fails = np.array([case.failed for case in cases])
    if not fails.any() or fails.all():
        return None
    dims = dimension_features([case.sizes for case in cases], fails)
    values = case_features(cases)
    flags = [feature for feature in values if feature.yes]
    imaginary = [feature for feature in values if feature.family == "imaginary"]
    found = best(dims, fails) or best(flags, fails) or best(values, fails)
    if found is None or found.trivial:
        found = best_within(imaginary, dims, fails) or found
    found = found or best_pair(dims, fails) or best_pair(dims + flags, fails)
    options = [feature for feature in values if feature.family in ("count", "option", "imaginary")]
    found = found or best_necessary(options + dims, fails, trivial)
    if loose and found is None:
        firm = [feature for feature in flags if feature.family != "direction"]
        found = best_necessary(firm, fails, False) or best_nested(flags + dims + values, fails)
        found = found or best_necessary([f for f in values if f.family != "direction"], fails, False)
    return found


def _explanations(partial: Found | None) -> Told:
    if partial is None:
        return ()
    return tuple(replace(d, text=f"besides, there, {d.text}") for d in partial.diagnoses)


def condition_kind(found: Condition) -> str:
    """The kind of a mistake that shows exactly under this condition."""
    match found.family:
        case "dims":
            return "dimension"
        case "degenerate":
            return "singular"
        case "tie":
            return "singular" if found.form in ("flag", "point") else "region"
        case "direction" if "not all" in found.text:
            return "cotangent"
        case "symmetry":
            return "dimension" if found.form == "necessary" else "transpose"
        case "imaginary":
            return "conjugate"
        case "mask" | "maximum":
            return "entries"
        case "accumulated":
            return "reduction"
        case "value" | "intermediate":
            return "singular" if found.form == "point" or " == " in found.text else "region"
    return "region"


def _what_it_does(cases: Sequence[Case], view: View) -> str:
    """What the hand-written value is on the failing entries, where that is simple."""
    bad = [case for case in cases if case.failed and case.same_shape and case.bad.any()]
    hand = np.concatenate([case.hand[case.bad] for case in bad])
    truth = np.concatenate([case.truth[case.bad] for case in bad])
    if not np.isfinite(hand).all():
        return ": it is not finite there" if not np.isfinite(hand).any() else ""
    told = [_constants(hand, truth, "it")]
    arrays = spread(bad)
    directions = [name for name in arrays if is_direction(name, bad[0].sample)]
    if len(directions) == 1:
        parts = [part[case.bad] for part, case in zip(arrays[directions[0]], bad, strict=True)]
        along = np.concatenate(parts)
        if np.all(along != 0):
            told.append(_constants(hand / along, truth / along, "the slope"))
    known = [text for text in told if text]
    if known:
        return max(known, key=lambda text: ", should be" in text)
    ratio = hand / truth
    if np.isfinite(ratio).all() and np.all(np.abs(ratio - ratio[0]) < 1e-6 * abs(ratio[0])):
        return f": there it is {_name(ratio[0])} times the {view.noun}"
    for name in bad[0].bases:
        entries = [at_entries(case, name) for case in bad]
        known = [part[case.bad] for part, case in zip(entries, bad, strict=True) if part is not None]
        if len(known) == len(bad):
            other = np.concatenate(known)
            if np.all(np.abs(hand - other) <= 1e-9 * np.abs(other)):
                return f": there it equals {name}"
    return ""


def _constants(hand: np.ndarray, truth: np.ndarray, what: str) -> str | None:
    is_one, should_be_one = _constant(hand), _constant(truth)
    if is_one and should_be_one:
        return f": there {what} is {_name(hand[0])}, should be {_name(truth[0])}"
    if is_one:
        return f": there {what} is {_name(hand[0])}"
    return f": there {what} should be {_name(truth[0])}" if should_be_one else None


def _constant(values: np.ndarray) -> bool:
    return bool(np.all(np.abs(values - values[0]) <= 1e-9 * np.abs(values[0])))


def _name(value) -> str:
    return exact_name(value) or f"{value:.6g}"


def wrong_place(cases: Sequence[Case], view: View, plain: bool) -> Told | None:
    """Only entries at certain positions fail: at plain ones, or at others."""
    found = positions(cases, view.dims, plain)
    if found is None:
        return None
    place, hit, inside = found
    text = f"is wrong only in {place}{_what_it_does(cases, view)}"
    return (
        Diagnosis("entries", text, place, f"{hit} of the {inside} entries there fail, and none elsewhere"),
    )
