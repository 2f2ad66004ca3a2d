"""The best condition among many features: one, two nested, two joined, or one that all failures meet."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from verify.hypotheses.conditions import Condition, Feature, integral, lower_bound, separate, upper_bound
from verify.hypotheses.numbers import show

_OUTER, _INNER = 12, 80
_MOST_SPARED = 0.7


def surprise(failing: int, passing: int) -> float:
    """log10 of the odds against such a separation by chance, for one threshold on one feature."""
    total = failing + passing
    return (math.lgamma(total + 1) - math.lgamma(failing + 1) - math.lgamma(passing + 1)) / math.log(10)


def best(
    features: Sequence[Feature], fails: np.ndarray, errors: np.ndarray | None = None, margin: float = 2.0
) -> Condition | None:
    """The plainest condition that separates, if chance among so many features does not explain it."""
    needed = margin + math.log10(max(len(features), 1))
    if surprise(int(fails.sum()), int((~fails).sum())) < needed:
        return None
    found = [
        condition
        for condition in (separate(feature, fails, errors) for feature in features)
        if condition is not None
    ]
    order = {"flag": 0, "point": 0, "above": 1, "below": 1, "not point": 2, "between": 3, "outside": 3}
    return min(found, key=lambda condition: order[condition.form], default=None)


def best_nested(
    features: Sequence[Feature], fails: np.ndarray, errors: np.ndarray | None = None
) -> Condition | None:
    """A condition that all failing rows meet, and among the rows that meet it one that separates."""
    failing, passing = int(fails.sum()), int((~fails).sum())
    if failing < 3 or passing < 8 or surprise(failing, passing) < 6:
        return None
    covers = [(feature, *cover) for feature in features for cover in _covers(feature, fails)]
    covers.sort(key=lambda cover: int(cover[2].sum()))
    for outer, text, met in covers[:_OUTER]:
        rest = fails[met]
        if rest.all():
            continue
        inner_errors = errors[met] if errors is not None else None
        inner = [
            replace(feature, values=feature.values[met])
            for feature in features[:_INNER]
            if feature is not outer
        ]
        found = best(inner, rest, inner_errors, margin=3.0)
        if found is not None and surprise(int(rest.sum()), int((~rest).sum())) > 4:
            special = "point" if found.form == "point" or " == " in text else "pair"
            return replace(
                found, text=f"{found.text} and {text}", form=special, failing=failing, passing=passing
            )
    return None


def best_within(inner: Sequence[Feature], outer: Sequence[Feature], fails: np.ndarray) -> Condition | None:
    """One of the inner features that separates, if need be only among the rows that an outer condition holds for."""
    covers = [np.ones(len(fails), bool), *(met for feature in outer for _, met in _covers(feature, fails))]
    for met in covers:
        rest = fails[met]
        if surprise(int(rest.sum()), int((~rest).sum())) > 3.5:
            for feature in inner:
                found = separate(replace(feature, values=feature.values[met]), rest)
                if found is not None:
                    return found
    return None


def best_necessary(features: Sequence[Feature], fails: np.ndarray, trivial: bool = True) -> Condition | None:
    """The condition that all failing rows meet and few passing rows do: where it can fail, though it need not."""
    failing, passing = int(fails.sum()), int((~fails).sum())
    if failing < 5 or passing < 10 or passing < 0.2 * failing:
        return None
    found: list[tuple[float, Condition]] = []
    for feature in features:
        for text, met in _covers(feature, fails):
            spared = int((met & ~fails).sum())
            share = (spared + 0.5) / (passing + 1)
            gain = -failing * math.log10(share) - math.log10(3 * len(features))
            enough = 3.5 if share < 0.35 else 8 if share < 0.5 else 12
            if share >= 0.35 and feature.family in ("value", "degenerate"):
                continue
            made = Condition(text, "necessary", feature.family, failing, passing, spared=spared)
            if gain > enough and share < _MOST_SPARED and (trivial or not made.trivial):
                found.append((gain, made))
    return max(found, key=lambda item: item[0], default=(0.0, None))[1]


def _covers(feature: Feature, fails: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Simple conditions on one feature that hold wherever ``fails``, and not everywhere."""
    if feature.yes:
        holds = feature.values.astype(bool)
        if holds[fails].all() and not holds.all():
            yield feature.yes, holds
        elif feature.no and not holds[fails].any() and holds.any():
            yield feature.no, ~holds
        return
    values, spoken = feature.values, feature.spoken or {}
    inside = values[fails]
    if np.isnan(inside).any():
        return
    low, high, whole = inside.min(), inside.max(), integral(values[~np.isnan(values)])
    below, above = values[values < low], values[values > high]
    if low == high:
        if below.size or above.size:
            text = f"== {show(low)}"
            yield spoken.get(text) or f"{feature.name} {text}", values == low
        return
    if below.size:
        text = lower_bound(below.max(), low, whole)
        yield spoken.get(text) or f"{feature.name} {text}", values >= low
    if above.size:
        text = upper_bound(high, above.min(), whole)
        yield spoken.get(text) or f"{feature.name} {text}", values <= high
    if below.size and above.size:
        start, stop = lower_bound(below.max(), low, whole), upper_bound(high, above.min(), whole)
        sign = "<=" if start.startswith(">=") else "<"
        yield f"{start.split()[1]} {sign} {feature.name} {stop}", (values >= low) & (values <= high)
    if whole and low < 0 < high and not np.any(inside == 0) and np.any(values == 0):
        yield spoken.get("!= 0") or f"{feature.name} != 0", values != 0


def _atoms(features: Sequence[Feature]) -> list[tuple[str, np.ndarray]]:
    atoms = []
    for feature in features:
        if feature.yes:
            holds = feature.values.astype(bool)
            atoms += [(feature.yes, holds)] + ([(feature.no, ~holds)] if feature.no else [])
            continue
        values = np.unique(feature.values)
        if len(values) > 12:
            continue
        spoken = feature.spoken or {}
        for value in values:
            for text, mask in (
                (f"== {show(value)}", feature.values == value),
                (f"!= {show(value)}", feature.values != value),
                (f"> {show(value)}", feature.values > value),
                (f"<= {show(value)}", feature.values <= value),
            ):
                if mask.any() and not mask.all():
                    atoms.append((spoken.get(text) or f"{feature.name} {text}", mask))
    return atoms


def best_pair(features: Sequence[Feature], fails: np.ndarray) -> Condition | None:
    """Two conditions joined by "and" or "or" (a decision tree of depth two)."""
    failing, passing = int(fails.sum()), int((~fails).sum())
    if failing < 4 or passing < 4 or surprise(failing, passing) < 5:
        return None
    atoms = _atoms(features)
    covering = [(text, mask) for text, mask in atoms if not np.any(fails & ~mask)]
    covered = [(text, mask) for text, mask in atoms if not np.any(mask & ~fails)]
    for (one, a), (two, b) in itertools.combinations(covering, 2):
        if np.array_equal(a & b, fails):
            return Condition(f"{one} and {two}", "pair", features[0].family, failing, passing)
    for (one, a), (two, b) in itertools.combinations(covered, 2):
        if np.array_equal(a | b, fails):
            return Condition(f"{one} or {two}", "pair", features[0].family, failing, passing)
    return None
