"""The report as HTML: one file that opens offline, in light and dark, and reads without JavaScript."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verify.explain import (
    MEANINGS,
    SYMBOLS,
    cell_name,
    clean,
    explain,
    is_complex,
    number,
    plain,
    sentence,
    size,
    small,
)
from verify.record import Cell, ClaimRecord, Counterexample, Record
from verify.report.view import (
    by_column,
    cell_note,
    columns,
    doubtful,
    environment_rows,
    failing,
    shares,
    spreads,
    summary_line,
    target,
    verdict_counts,
    worst_first,
)

if TYPE_CHECKING:
    from jinja2 import Template

MOST_OPEN = 10
"""Further failing claims are folded, so that a page of many failures can be overlooked."""
MOST_TABULATED = 100


@dataclass(frozen=True)
class MatrixRow:
    claim: ClaimRecord
    passes: bool
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class Entry:
    """One entry of a counterexample's output."""

    name: str
    hand: str
    reference: str
    oracle: str
    difference: str
    stands_out: bool


def html_report(record: Record) -> str:
    """The whole page."""
    names = columns(record)
    rows = [_row(record, claim, names) for claim in worst_first(record)]
    return _template().render(
        record=record,
        title=summary_line(record),
        summary=record.summary,
        failing=failing(record),
        noted=[row.claim for row in rows if row.passes and _has_more(row.claim)],
        most_open=MOST_OPEN,
        columns=[name.split() for name in names],
        rows=rows,
        shares=shares(record),
        spreads=spreads(record),
        data={name: environment_rows(facts) for name, facts in record.data.items()},
        environment=environment_rows(record.environment),
        symbols={word: pair[0] for word, pair in SYMBOLS.items()},
        meanings=MEANINGS,
    )


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "clean": clean,
        "small": small,
        "size": size,
        "target": target,
        "sentence": sentence,
        "explain": explain,
        "cell_name": cell_name,
        "cell_note": cell_note,
        "comparison": comparison,
        "doubtful": doubtful,
        "verdict_counts": verdict_counts,
    }
    return environment.from_string(Path(__file__).with_name("report.html").read_text(encoding="utf-8"))


def _row(record: Record, claim: ClaimRecord, names: list[str]) -> MatrixRow:
    cells = by_column(claim)
    return MatrixRow(claim, record.passes(claim), tuple(cells.get(name) for name in names))


def _has_more(claim: ClaimRecord) -> bool:
    return claim.verdict != "agrees" or bool(claim.notes)


def comparison(example: Counterexample) -> list[Entry]:
    """Entries of hand, reference and oracle side by side, where they are few."""
    sides = [_entries(plain(value)) for value in (example.hand, example.reference, example.oracle)]
    hand, reference, oracle = sides
    if hand is None or reference is None or oracle is None or len(hand) > MOST_TABULATED:
        return []
    if not hand.keys() == reference.keys() == oracle.keys():
        return []
    gaps = {name: _gap(hand[name], oracle[name], reference[name]) for name in hand}
    largest = max(gaps.values(), default=0.0)
    return [
        Entry(
            name,
            *(number(side[name], example.dtype) for side in (hand, reference, oracle)),
            difference=small(gap),
            stands_out=gap > 0 and gap >= largest / 1000,
        )
        for name, gap in gaps.items()
    ]


def _gap(hand: Any, *truths: Any) -> float:
    """The relative difference of ``hand`` from the first that is a number; infinite where only one is."""
    truth = next((x for x in truths if x == x and x != "nan"), truths[0])
    try:
        gap = abs(_value(hand) - _value(truth)) / max(abs(_value(truth)), sys.float_info.min)
    except (TypeError, ValueError, OverflowError):
        return 0.0 if hand == truth else math.inf
    return 0.0 if hand == truth else math.inf if math.isnan(gap) else gap


def _value(x: Any) -> complex:
    return complex(float(x["re"]), float(x["im"])) if isinstance(x, dict) else complex(x)


def _entries(value: Any, name: str = "") -> dict[str, Any] | None:
    """The entries of a nested list by index, None where it was abbreviated."""
    if not isinstance(value, list | dict) or is_complex(value):
        return {name or "value": value}
    if isinstance(value, dict) and "first" in value:
        return None
    parts = value.items() if isinstance(value, dict) else ((f"[{i}]", item) for i, item in enumerate(value))
    entries: dict[str, Any] = {}
    for key, item in parts:
        inner = _entries(item, f"{name}{key}")
        if inner is None:
            return None
        entries |= inner
    return entries
