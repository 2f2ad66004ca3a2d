"""The condition that separates what fails from what passes: one threshold, an equality, or two of them."""

from __future__ import annotations

import math
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

    ``form`` is ``point``, ``not point``, ``above``, ``below``, ``between``, ``outside``, ``flag``, ``pair``
    or ``necessary``.
    """

    text: str
    form: str
    family: str
    failing: int
    passing: int
    low: float = math.nan
    high: float = math.nan
    spared: int = 0
    """Of a necessary condition: how many rows meet it and pass."""

    @property
    def narrow(self) -> bool:
        """Whether only special values fail, so that the mistake is unlikely to be an ordinary term."""
        return self.form != "not point"

    @property
    def trivial(self) -> bool:
        """Whether an ordinary mistake would fail just so: it does not show at size 1, at zero, in a square."""
        if self.form == "necessary":
            unequal = self.text.endswith((" != 0", " > 0")) and "%" not in self.text
            return unequal or (self.family == "dims" and self.text.endswith((" > 1", " >= 2")))
        return self.form == "not point" and (self.family == "dims" or self.low == 0)


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
    name, whole = feature.name, integral(feature.values)
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
            return made(upper_bound(high, above.min(), whole), "below", -math.inf, high)
        magnitude = not whole and feature.values.min() >= 0
        if magnitude and not above.size and below.size and below.max() < 1e-3 * np.median(inside):
            return made("!= 0", "not point", 0.0)  # too small to be seen there: no threshold
        if not above.size and below.size:
            return made(lower_bound(below.max(), low, whole), "above", low, math.inf)
        start, stop = lower_bound(below.max(), low, whole), upper_bound(high, above.min(), whole)
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
        text = f"{name} {upper_bound(left.max(), first, whole)} or {name} {lower_bound(last, right.min(), whole)}"
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


def integral(values: np.ndarray) -> bool:
    finite = values[np.isfinite(values)]
    return bool(np.all(finite == np.round(finite)))


def lower_bound(passes: float, fails: float, whole: bool) -> str:
    """A threshold with ``passes`` below it and ``fails`` above it."""
    return _threshold(passes, fails, whole, ">", ">=")


def upper_bound(fails: float, passes: float, whole: bool) -> str:
    return _threshold(passes, fails, whole, "<", "<=")


def _threshold(passes: float, fails: float, whole: bool, strict: str, loose: str) -> str:
    if whole and abs(fails - passes) == 1:
        return f"{strict} {show(passes)}"
    round_value = roundest(passes, fails)
    if round_value == fails and round_value != passes:
        return f"{loose} {show(fails)}"
    return f"{strict} {show(round_value)}"
