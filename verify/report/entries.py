"""The entries of a counterexample, hand, reference and oracle side by side. Pure Python."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from verify.records.record import Counterexample
from verify.records.serial import plain
from verify.report.numerals import is_complex, number, small

MOST_TABULATED = 40
"""Of more entries those that differ most are shown."""
NOT_ASKED = "not asked"
"""The oracle's value where there is none: only entries that differ are looked at."""


@dataclass(frozen=True)
class Entry:
    """One entry of a counterexample's output."""

    name: str
    hand: str
    reference: str
    oracle: str
    difference: str
    stands_out: bool


def comparison(example: Counterexample, most: int = MOST_TABULATED) -> list[Entry]:
    """The entries side by side; of many, those that differ most; none where the outputs do not correspond."""
    sides = [_entries(plain(value)) for value in (example.hand, example.reference, example.oracle)]
    hand, reference, oracle = sides
    if hand is None or reference is None or oracle is None:
        return []
    if not hand.keys() == reference.keys() == oracle.keys():
        return []
    gaps = {name: _gap(hand[name], oracle[name], reference[name]) for name in hand}
    largest = max(gaps.values(), default=0.0)
    if len(gaps) > most:
        gaps = dict(sorted(gaps.items(), key=lambda item: -item[1])[:most])
    return [
        Entry(
            name,
            number(hand[name], example.dtype),
            number(reference[name], example.dtype),
            NOT_ASKED if _is_nan(oracle[name]) else number(oracle[name], example.dtype),
            difference=small(gap),
            stands_out=gap > 0 and gap >= largest / 1000,
        )
        for name, gap in gaps.items()
    ]


def inputs_at(example: Counterexample, entry: Entry) -> list[tuple[str, str]]:
    """The entries of the inputs at the same place, where there is one: what an element-wise function saw."""
    at = entry.name[entry.name.find("[") :] if "[" in entry.name else ""
    if not at:
        return []
    found = []
    for name, value in example.inputs.items():
        entries = _entries(plain(value)) if isinstance(plain(value), list) else None
        if entries is not None and at in entries:
            found.append((f"{name}{at}", number(entries[at], example.dtype)))
    return found


def _gap(hand: Any, *truths: Any) -> float:
    """The relative difference of ``hand`` from the first that is a number; infinite from zero, or where only one is."""
    truth = next((x for x in truths if not _is_nan(x)), truths[0])
    try:
        gap = abs(_value(hand) - _value(truth)) / abs(_value(truth))
    except ZeroDivisionError:
        gap = math.inf
    except (TypeError, ValueError, OverflowError):
        return 0.0 if hand == truth else math.inf
    return 0.0 if hand == truth else math.inf if math.isnan(gap) else gap


def _is_nan(x: Any) -> bool:
    return x != x or x == "nan"


def _value(x: Any) -> complex:
    return complex(float(x["re"]), float(x["im"])) if isinstance(x, dict) else complex(x)


def _entries(value: Any, name: str = "") -> dict[str, Any] | None:
    """The entries of a nested list by index, None where it was abbreviated."""
    found: dict[str, Any] = {}
    return found if _collect(value, name, found) else None


def _collect(value: Any, name: str, found: dict[str, Any]) -> bool:
    if not isinstance(value, list | dict) or is_complex(value):
        found[name or "value"] = value
        return True
    if isinstance(value, dict) and "first" in value:
        return False
    parts: Sequence[tuple[str, Any]]
    parts = list(value.items()) if isinstance(value, dict) else [(f"[{i}]", item) for i, item in enumerate(value)]
    return all(_collect(item, f"{name}{key}", found) for key, item in parts)
