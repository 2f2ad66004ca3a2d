"""The condition that separates what fails from what passes: one threshold, an equality, or two of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from verify.hypotheses.numbers import roundest, show


@dataclass(frozen=True)
class Feature:
    """A number a row (a case or an entry), or with ``yes`` a truth value.

    ``spoken`` maps outcomes such as ``== 0`` to words; ``yes`` and ``no`` are the words for a truth value.
    """

    name: str
    values: np.ndarray
    family: str
    spoken: dict[str, str] | None = None
    yes: str = ""
    no: str = ""


@dataclass(frozen=True)
class Condition:
    """Rows fail if and only if it holds.

    ``form`` is ``point``, ``not point``, ``above``, ``below``, ``between``, ``outside``, ``flag`` or ``pair``.
    """

    text: str
    form: str
    family: str
    failing: int
    passing: int
    low: float = math.nan
    high: float = math.nan

    @property
    def narrow(self) -> bool:
        """Whether only special values fail, so that the mistake is unlikely to be an ordinary term."""
        return self.form != "not point"


def separate(feature: Feature, fails: np.ndarray, errors: np.ndarray | None = None) -> Condition | None:
    """The condition on one feature that holds exactly where ``fails``.

    With ``errors``, an interval at whose end the error fades out is open there: it is no threshold.
    """
    if feature.yes:
        return _flag(feature, fails)
    known = ~np.isnan(feature.values)
    if not known.all():
        errors = errors[known] if errors is not None else None
        feature, fails = replace(feature, values=feature.values[known]), fails[known]
    inside, outside = feature.values[fails], feature.values[~fails]
    if not inside.size or not outside.size:
        return None
    name, whole = feature.name, _integers(feature.values)
    low, high = inside.min(), inside.max()
    below, above = outside[outside < low], outside[outside > high]

    def made(text: str, form: str, start: float = math.nan, stop: float = math.nan) -> Condition:
        spoken = (feature.spoken or {}).get(text)
        return Condition(
            spoken or f"{name} {text}", form, feature.family, inside.size, outside.size, start, stop
        )

    clear = not np.any((outside >= low) & (outside <= high))
    if (
        clear
        and low == high
        and feature.family == "dims"
        and not feature.spoken
        and below.size
        and not above.size
    ):
        return made(f">= {show(low)}", "above", low, math.inf)
    if clear and low == high:
        return made(f"== {show(low)}", "point", low, high)
    point = outside[0]
    both_sides = low < point < high
    if np.all(outside == point) and not np.any(inside == point) and (both_sides or point == 0 or whole):
        return made(f"> {show(point)}" if whole and low > point else f"!= {show(point)}", "not point", point)
    if clear:
        if not below.size and above.size:
            return made(_upper(high, above.min(), whole), "below", -math.inf, high)
        if not above.size and below.size:
            return made(_lower(below.max(), low, whole), "above", low, math.inf)
        start, stop = _lower(below.max(), low, whole), _upper(high, above.min(), whole)
        faded = _faded(inside, errors[fails]) if errors is not None else ""
        if faded == "high":
            return made(start, "above", low, math.inf)
        if faded == "low":
            return made(stop, "below", -math.inf, high)
        bound, sign = start.split()[1], "<=" if start.startswith(">=") else "<"
        return Condition(
            f"{bound} {sign} {name} {stop}", "between", feature.family, inside.size, outside.size, low, high
        )
    first, last = outside.min(), outside.max()
    if not np.any((inside >= first) & (inside <= last)):
        left, right = inside[inside < first], inside[inside > last]
        text = f"{name} {_upper(left.max(), first, whole)} or {name} {_lower(last, right.min(), whole)}"
        return Condition(text, "outside", feature.family, inside.size, outside.size, first, last)
    return None


def _flag(feature: Feature, fails: np.ndarray) -> Condition | None:
    failing, passing = int(fails.sum()), int((~fails).sum())
    holds = feature.values.astype(bool)
    if not failing or not passing:
        return None
    if np.array_equal(holds, fails):
        return Condition(feature.yes, "flag", feature.family, failing, passing)
    if feature.no and np.array_equal(~holds, fails):
        return Condition(feature.no, "not point", feature.family, failing, passing)
    return None


def _faded(inside: np.ndarray, errors: np.ndarray) -> str:
    """The end of an interval at which the error vanishes against its largest value."""
    largest = errors.max()
    at_high, at_low = errors[inside == inside.max()].max(), errors[inside == inside.min()].max()
    if at_high < 1e-2 * largest < at_low:
        return "high"
    return "low" if at_low < 1e-2 * largest < at_high else ""


def _integers(values: np.ndarray) -> bool:
    finite = values[np.isfinite(values)]
    return bool(np.all(finite == np.round(finite)))


def _lower(passes: float, fails: float, whole: bool) -> str:
    """A threshold with ``passes`` below it and ``fails`` above it."""
    return _threshold(passes, fails, whole, ">", ">=")


def _upper(fails: float, passes: float, whole: bool) -> str:
    return _threshold(passes, fails, whole, "<", "<=")


def _threshold(passes: float, fails: float, whole: bool, strict: str, loose: str) -> str:
    if whole and abs(fails - passes) == 1:
        return f"{strict} {show(passes)}"
    round_value = roundest(passes, fails)
    if round_value == fails and round_value != passes:
        return f"{loose} {show(fails)}"
    return f"{strict} {show(round_value)}"


def surprise(failing: int, passing: int) -> float:
    """log10 of the odds against such a separation by chance, for one threshold on one feature."""
    total = failing + passing
    return (math.lgamma(total + 1) - math.lgamma(failing + 1) - math.lgamma(passing + 1)) / math.log(10)


def best(
    features: Sequence[Feature], fails: np.ndarray, errors: np.ndarray | None = None, margin: float = 2.0
) -> Condition | None:
    """The first feature that separates, if chance among so many features does not explain it."""
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
    for outer in features:
        for text, met in _covers(outer, fails):
            rest = fails[met]
            if rest.all():
                continue
            inner_errors = errors[met] if errors is not None else None
            inner = [
                replace(feature, values=feature.values[met]) for feature in features if feature is not outer
            ]
            found = best(inner, rest, inner_errors, margin=3.0)
            if found is not None:
                special = "point" if "point" in (found.form, "point" if " == " in text else "") else "pair"
                return replace(
                    found, text=f"{found.text} and {text}", form=special, failing=failing, passing=passing
                )
    return None


def _covers(feature: Feature, fails: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Simple conditions on one feature that hold wherever ``fails``, and not everywhere."""
    if feature.yes:
        holds = feature.values.astype(bool)
        if holds[fails].all() and not holds.all():
            yield feature.yes, holds
        elif feature.no and not holds[fails].any():
            yield feature.no, ~holds
        return
    values, spoken = feature.values, feature.spoken or {}
    inside = values[fails]
    if np.isnan(inside).any():
        return
    low, high, whole = inside.min(), inside.max(), _integers(values[~np.isnan(values)])
    below, above = values[values < low], values[values > high]
    if low == high and (below.size or above.size):
        text = f"== {show(low)}"
        yield spoken.get(text) or f"{feature.name} {text}", values == low
        return
    if below.size:
        text = _lower(below.max(), low, whole)
        yield spoken.get(text) or f"{feature.name} {text}", values >= low
    if above.size:
        text = _upper(high, above.min(), whole)
        yield spoken.get(text) or f"{feature.name} {text}", values <= high


def dimension_features(dims: Sequence[dict]) -> list[Feature]:
    """Sizes, their differences and remainders."""
    names = [name for name in dims[0] if all(name in one for one in dims)]
    table = {name: np.array([float(one[name]) for one in dims]) for name in names}
    found = [Feature(name, table[name], "dims") for name in names]
    for one, two in itertools.combinations(names, 2):
        spoken = {
            "== 0": f"{one} == {two}",
            "!= 0": f"{one} != {two}",
            "> 0": f"{one} > {two}",
            "< 0": f"{one} < {two}",
            ">= 0": f"{one} >= {two}",
            "<= 0": f"{one} <= {two}",
            ">= 1": f"{one} > {two}",
            "> -1": f"{one} >= {two}",
            "<= -1": f"{one} < {two}",
            "< 1": f"{one} <= {two}",
        }
        found.append(Feature(f"{one} - {two}", table[one] - table[two], "dims", spoken))
    for name in names:
        for divisor in (2, 3, 4, 8, 16, 32, 64, 128):
            if table[name].max() >= divisor:
                remainder = table[name] % divisor
                found.append(Feature(f"{name} % {divisor}", remainder, "dims"))
                whole, odd = f"{name} % {divisor} == 0", f"{name} % {divisor} != 0"
                found.append(Feature(odd, (remainder != 0).astype(float), "dims", yes=odd, no=whole))
    return found


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
