"""The report as HTML: one file that opens offline, in light and dark, and reads without JavaScript."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verify.explain import (
    MEANINGS,
    SYMBOLS,
    brief,
    cell_name,
    clean,
    explain,
    number,
    plain,
    sentence,
    shape_of,
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
        "brief": brief,
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


def comparison(example: Counterexample) -> list[tuple[str, str, str, str, bool]]:
    """Entries of hand, reference and oracle side by side (and whether they differ), where they are few."""
    sides = [_entries(plain(value)) for value in (example.hand, example.reference, example.oracle)]
    hand, reference, oracle = sides
    if hand is None or reference is None or oracle is None or len(hand) > MOST_TABULATED:
        return []
    if not hand.keys() == reference.keys() == oracle.keys():
        return []
    shown = {name: [number(side[name], example.dtype) for side in (hand, reference, oracle)] for name in hand}
    return [(name, h, r, o, h != (r if o == "nan" else o)) for name, (h, r, o) in shown.items()]


def _entries(value: Any, name: str = "") -> dict[str, Any] | None:
    """The entries of a nested list by index, None where it was abbreviated."""
    if isinstance(value, dict):
        return {name or "value": brief(value)} if value.keys() == {"re", "im"} else None
    if not isinstance(value, list):
        return {name or "value": value}
    if shape_of(value) == (0,):
        return {}
    entries: dict[str, Any] = {}
    for i, item in enumerate(value):
        inner = _entries(item, f"{name}[{i}]")
        if inner is None:
            return None
        entries |= inner
    return entries
