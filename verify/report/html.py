"""The report as HTML: one file that opens offline, in light and dark, and reads without JavaScript.

Its content security policy lets the browser run the one script that is part of the page, known by its hash, and load
nothing at all: what a user's file says cannot do anything, even if it were not escaped.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verify.records.record import DID_NOT_RUN, Cell, ClaimRecord, Record
from verify.report.entries import MOST_TABULATED, comparison
from verify.report.explain import MEANINGS, SYMBOLS, cell_name, effort, explain, place, sentence
from verify.report.numerals import brief, clean, size, small
from verify.report.plots import Plot, plots_of
from verify.report.view import (
    by_column,
    cell_note,
    columns,
    environment_rows,
    failing,
    four_numbers,
    opening,
    shares,
    spreads,
    summary_line,
    target,
    verdict_counts,
    worst_first,
)

if TYPE_CHECKING:
    from jinja2 import Environment, Template

MOST_OPEN = 10
"""Further failing claims are folded, so that a page of many failures can be overlooked."""
MOST_PLOTTED = 30
"""Plots are a few dozen kilobytes a claim: a page of a thousand failures shows those of the first."""
MOST_DETAILED = 100
"""Of further claims the cells and the text to paste are left to ``verify show``."""


@dataclass(frozen=True)
class MatrixRow:
    claim: ClaimRecord
    passes: bool
    cells: tuple[Cell | None, ...]
    anchor: str | None
    """Where on the page there is more of it."""


@dataclass(frozen=True)
class Detail:
    claim: ClaimRecord
    anchor: str
    whole: bool
    plots: tuple[Plot, ...]


def html_report(record: Record) -> str:
    """The whole page."""
    names = columns(record)
    failed = failing(record)
    noted = [c for c in worst_first(record) if record.passes(c) and (c.verdict != "agrees" or c.notes)]
    anchors = {id(c): f"claim-{i}" for i, c in enumerate((*failed, *noted), start=1)}

    def detailed(claims: list[ClaimRecord]) -> list[Detail]:
        return [
            Detail(c, anchors[id(c)], i < MOST_DETAILED,
                   tuple(plots_of(c.figures)) if c.figures is not None and i < MOST_PLOTTED else ())
            for i, c in enumerate(claims)
        ]  # fmt: skip

    return _template().render(
        record=record,
        title=summary_line(record),
        opening=opening(record),
        numbers=four_numbers(record),
        summary=record.summary,
        failing=detailed(failed),
        noted=detailed(noted),
        most_open=MOST_OPEN,
        most_tabulated=MOST_TABULATED,
        columns=[name.split() for name in names],
        rows=[_row(record, claim, names, anchors.get(id(claim))) for claim in worst_first(record)],
        shares=shares(record),
        spreads=spreads(record),
        data={name: environment_rows(facts) for name, facts in record.data.items()},
        environment=environment_rows(record.environment),
        symbols={word: pair[0] for word, pair in SYMBOLS.items()},
        meanings=MEANINGS,
        style=part("report.css"),
        script=part("report.js"),
        script_hash=_hash(part("report.js")),
    )


@cache
def _template() -> Template:
    return environment_of_templates().from_string(part("report.html"))


@cache
def environment_of_templates() -> Environment:
    """jinja2 with everything escaped, and what reports write with."""
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
        "place": place,
        "effort": effort,
        "sentence": sentence,
        "explain": explain,
        "cell_name": cell_name,
        "cell_note": cell_note,
        "comparison": comparison,
        "ran": lambda cells: [c for c in cells if c.verdict not in DID_NOT_RUN],
        "verdict_counts": verdict_counts,
    }
    return environment


@cache
def part(name: str) -> Any:
    """A file beside this one, to be put in a page as it is."""
    from markupsafe import Markup

    return Markup(Path(__file__).with_name(name).read_text(encoding="utf-8"))


def _hash(script: str) -> str:
    """The script as the policy names it."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _row(record: Record, claim: ClaimRecord, names: list[str], anchor: str | None) -> MatrixRow:
    cells = by_column(claim)
    return MatrixRow(claim, record.passes(claim), tuple(cells.get(name) for name in names), anchor)
