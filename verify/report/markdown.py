"""The report as Markdown: claims, failures in detail, cells, where the cases went, environment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from verify.records.record import ClaimRecord, Record
from verify.report.explain import SYMBOLS, cell_name, explain, sentence
from verify.report.numerals import clean, size, small
from verify.report.view import (
    cell_note,
    doubtful,
    environment_rows,
    failing,
    opening,
    shares,
    spreads,
    summary_line,
    target,
    verdict_counts,
    worst_first,
)

MOST_IN_DETAIL = 50


def markdown_report(record: Record) -> str:
    """The whole report; GitHub's Markdown, no HTML."""
    return "\n".join(_lines(record)) + "\n"


def _lines(record: Record) -> Iterator[str]:
    failed = failing(record)
    yield f"# {summary_line(record)}"
    yield from ("", _text(opening(record)), "")
    yield f"Exit code {record.exit_code}, seed {record.seed}, {_text(record.started or 'time not recorded')}."
    yield from ("", f"    {' '.join(clean(' '.join(record.argv)).split())}") if record.argv else ()
    if record.problems:
        yield from ("", "## Problems", "")
        yield from (f"- {_text(message)}" for message in record.problems)
    if failed:
        yield from ("", "## Failing claims")
        for claim in failed[:MOST_IN_DETAIL]:
            yield from _detail(claim)
        if len(failed) > MOST_IN_DETAIL:
            yield from ("", f"{len(failed) - MOST_IN_DETAIL} more are in the table below.")
    yield from ("", "## Claims", "")
    header = ("", "claim", "verdict", "relation", "cases", "fresh shapes", "entries", "sees", "cells", "says")
    yield from _table(header, map(_claim_row, worst_first(record)))
    yield ""
    yield "`entries` are the input entries a case, median to largest; `sees` is the smallest relative error"
    yield "in one entry that would have been seen; `cells` are those that ran."
    yield from ("", "## Where the cases went", "")
    rows = (
        (s.of, s.name, f"{s.cells:,}", f"{s.cases:,}", f"{s.fresh_shapes:,}", verdict_counts(s.verdicts))
        for s in shares(record)
    )
    yield from _table(("", "", "cells run", "cases", "fresh shapes", "verdicts"), rows)
    yield ""
    yield from _table(("", "least", "median", "most"), spreads(record))
    for name, facts in record.data.items():
        yield from ("", f"## Real data: {_text(name)}", "")
        yield from _table(("", ""), environment_rows(facts))
    yield from ("", "## Environment", "")
    yield from _table(("", ""), environment_rows(record.environment))


def _claim_row(claim: ClaimRecord) -> tuple[str, ...]:
    verdict = claim.verdict if claim.expected is None else f"{claim.verdict} (expected {claim.expected})"
    ran = sum(cell.verdict not in ("skipped", "compiled_only") for cell in claim.cells)
    return (
        SYMBOLS[claim.verdict][0],
        claim.name + (f" ({claim.form} {claim.equation})" if claim.equation else ""),
        verdict,
        claim.relation,
        f"{claim.cases:,}",
        f"{claim.fresh_shapes:,}",
        f"{size(claim.entries.get('median'))} to {size(claim.entries.get('max'))}",
        small(claim.smallest_visible_error),
        f"{ran} of {len(claim.cells)}",
        sentence(claim),
    )


def _detail(claim: ClaimRecord) -> Iterator[str]:
    yield from ("", f"### {_text(target(claim))}", "")
    yield from _fenced(explain(claim))
    if claim.source:
        yield from ("", *_fenced(claim.source.code, "python"))
    if claim.source and claim.source.derivation:
        yield from ("", "Derivation:", "", *_fenced(claim.source.derivation))
    evidence = [d for d in claim.diagnoses or (claim.diagnosis,) if d and d.evidence]
    yield from ("",) if evidence else ()
    yield from (f"- {d.kind}: {_text(d.evidence or '')}" for d in evidence)
    if doubtful(claim):
        yield ""
        yield from _table(
            ("cell", "verdict"), ((cell_name(cell), cell_note(cell)) for cell in doubtful(claim))
        )


def _fenced(text: str, language: str = "") -> tuple[str, str, str]:
    text = clean(text)
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return fence + language, text, fence


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    rows = list(rows)
    if not rows:
        yield "(none)"
        return
    yield "| " + " | ".join(header) + " |"
    yield "|" + " --- |" * len(header)
    for row in rows:
        yield "| " + " | ".join(_text(cell) for cell in row) + " |"


def _text(text: str) -> str:
    """Text that Markdown does not interpret, on one line."""
    return re.sub(r"([\\`*_\[\]<>|#&~])", r"\\\1", " ".join(clean(text).split()))
