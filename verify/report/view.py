"""What every report shows of a record, computed once: order, counts, the matrix, where the cases went."""

from __future__ import annotations

import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from verify.records.record import DID_NOT_RUN, WORST_FIRST, Cell, CellVerdict, ClaimRecord, Record
from verify.report.explain import cell_name, sentence
from verify.report.numerals import clip, count, size, small

_NUMBERED = {"agrees": ("agrees", "agree"), "reference_wrong": ("reference wrong", "reference wrong")}
_SEVERITY = {word: rank for rank, word in enumerate((*WORST_FIRST, "compiled_only", "skipped"))}


def summary_line(record: Record) -> str:
    """``3 claims: 2 agree, 1 wrong in 3.1 s (120,000 cases)``."""
    counts = Counter((claim.verdict, claim.expected is not None, claim.ok) for claim in record.claims)
    order = sorted(counts, key=lambda key: (-_SEVERITY[key[0]], key[1:]))
    parts = [_counted(counts[key], *key) for key in order]
    if record.problems:
        parts.append(count(len(record.problems), "problem"))
    effort = f"in {duration(record.seconds)} ({count(sum(c.cases for c in record.claims), 'case')})"
    total = count(len(record.claims), "claim") if record.claims else "no claims"
    return f"{total}: {', '.join(parts)} {effort}" if parts else f"{total} {effort}"


def _counted(n: int, verdict: str, expected: bool, ok: bool) -> str:
    singular, plural = _NUMBERED.get(verdict, (verdict, verdict))
    return f"{n} {singular if n == 1 else plural}" + (
        "" if not expected else " as expected" if ok else " unexpectedly"
    )


def opening(record: Record) -> str:
    """What is wrong, in one sentence: the first thing that a reader wants to know."""
    failed = failing(record)
    if not record.claims:
        return "Nothing was judged."
    if not failed:
        passed = "the claim passes" if len(record.claims) == 1 else f"all {len(record.claims):,} claims pass"
        return f"{passed[0].upper()}{passed[1:]}." + (" But there were problems." if record.problems else "")
    first = failed[0]
    said = clip(sentence(first) or first.verdict, 220)
    if len(failed) == 1:
        return f"{first.name} is {first.verdict.replace('_', ' ')}: {said}"
    return f"{len(failed):,} of {len(record.claims):,} claims fail. First {first.name}, {first.verdict}: {said}"


def four_numbers(record: Record) -> list[tuple[str, str]]:
    """How much failed, how much was tried, and how small a mistake would have been seen in every claim."""
    visible = [c.smallest_visible_error for c in record.claims if c.smallest_visible_error is not None]
    return [
        (f"{len(failing(record)):,} of {len(record.claims):,}", "claims fail"),
        (f"{sum(c.cases for c in record.claims):,}", "cases"),
        (f"{sum(c.fresh_shapes for c in record.claims):,}", "fresh shapes"),
        (small(max(visible)) if visible else "none", "relative error in one entry that every claim would have shown"),
    ]


def duration(seconds: float) -> str:
    """``3.1 s``, ``2 min 5 s``."""
    if seconds < 59.95:
        return f"{seconds:.1f} s" if seconds >= 0.095 else f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def failing(record: Record) -> list[ClaimRecord]:
    """The claims that do not pass, the worst first."""
    return [claim for claim in worst_first(record) if not record.passes(claim)]


def worst_first(record: Record) -> list[ClaimRecord]:
    """All claims: those that do not pass, the worst first, then the others in their own order."""
    return sorted(
        record.claims, key=lambda c: (True, 0) if record.passes(c) else (False, _SEVERITY[c.verdict])
    )


def first_breaks(record: Record) -> list[tuple[str, ClaimRecord]]:
    """Of every derivation that does not hold: what names it on the command line, and the first step that breaks."""
    first: dict[str, tuple[int, ClaimRecord]] = {}
    for claim in record.claims:
        step = _STEP.fullmatch(target(claim))
        if step and claim.relation == "equal_to" and not record.passes(claim):
            first[step[1]] = min(first.get(step[1], (sys.maxsize, claim)), (int(step[2]), claim), key=lambda s: s[0])
    return [(derivation, claim) for derivation, (_, claim) in first.items()]


_STEP = re.compile(r"(.+)\.step(\d+)")


def target(claim: ClaimRecord) -> str:
    """What names a claim on the command line."""
    return claim.target or f"{claim.file or claim.module}::{claim.name}"


def environment_rows(environment: Mapping[str, Any]) -> list[tuple[str, str]]:
    """An environment as names and one-line texts."""
    return [
        (str(key), _one_line(value)) for key, value in environment.items() if value not in (None, "", [], {})
    ]


def _one_line(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_one_line(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(_one_line(item) for item in value)
    return "yes" if value is True else "no" if value is False else str(value)


# The matrix of claims and cells ----------------------------------------------------------------------------


def columns(record: Record) -> list[str]:
    """The names of the cells that occur, in the order of their first claim."""
    return list(dict.fromkeys(cell_name(cell) for claim in record.claims for cell in claim.cells))


def by_column(claim: ClaimRecord) -> dict[str, Cell]:
    """The cells of a claim by name; where two share a name, the worse."""
    cells: dict[str, Cell] = {}
    for cell in claim.cells:
        known = cells.get(cell_name(cell))
        if known is None or _SEVERITY[cell.verdict] < _SEVERITY[known.verdict]:
            cells[cell_name(cell)] = cell
    return cells


TRACED = {"symbolic": "with symbolic sizes", "concrete": "shape by shape", "jax": "by JAX, without a NumPy form"}
"""What evaluated a cell of the numpy engine; a note of the claim says why it was not the first of them."""


def cell_note(cell: Cell) -> str:
    """``agrees: worst error 3e-16, explained up to 5e-16; 400 cases, sees 1e-9``."""
    parts = []
    if cell.worst_error is not None:
        explained = f", explained up to {small(cell.bound)}" if cell.bound is not None else ""
        parts.append(f"worst error {small(cell.worst_error)}{explained}")
    if cell.cases:
        parts.append(count(cell.cases, "case"))
    if cell.smallest_visible_error is not None:
        parts.append(f"sees {small(cell.smallest_visible_error)}")
    if cell.engine and cell.backend == "numpy":
        parts.append(f"traced {' and '.join(TRACED.get(e, e) for e in cell.engine.split('+'))}")
    if cell.reason:
        parts.append(cell.reason)
    return f"{cell.verdict}: {'; '.join(parts)}" if parts else cell.verdict


def doubtful(claim: ClaimRecord) -> list[Cell]:
    """The cells that ran and do not simply agree."""
    return [cell for cell in claim.cells if cell.verdict not in ("agrees", *DID_NOT_RUN)]


# Where the cases went --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Share:
    """The cells that have something in common (a dtype, a backend, a mode)."""

    of: str
    name: str
    cells: int
    cases: int
    fresh_shapes: int
    verdicts: Mapping[CellVerdict, int]


def shares(record: Record) -> list[Share]:
    """Cases by backend, by dtype, by precision and by mode."""
    groups: dict[tuple[str, str], list[Cell]] = defaultdict(list)
    for cell in (cell for claim in record.claims for cell in claim.cells):
        for of in ("backend", "dtype", "precision", "mode"):
            name = getattr(cell, of)
            if name is not None:
                groups[of, name].append(cell)
    order = {of: i for i, of in enumerate(("backend", "dtype", "precision", "mode"))}
    return [_share(of, name, groups[of, name]) for of, name in sorted(groups, key=lambda key: order[key[0]])]


def _share(of: str, name: str, cells: Sequence[Cell]) -> Share:
    ran = [cell for cell in cells if cell.verdict not in DID_NOT_RUN]
    return Share(
        of,
        name,
        len(ran),
        sum(cell.cases for cell in ran),
        sum(cell.fresh_shapes for cell in ran),
        Counter(cell.verdict for cell in cells),
    )


def spreads(record: Record) -> list[tuple[str, str, str, str]]:
    """Cases, fresh shapes and input entries a claim: least, median and most."""
    claims = [claim for claim in record.claims if claim.cases]
    of = {
        "cases a claim": [float(claim.cases) for claim in claims],
        "fresh shapes a claim": [float(claim.fresh_shapes) for claim in claims],
        "input entries a case, median": [claim.entries.get("median", 0) for claim in claims],
        "input entries a case, largest": [claim.entries.get("max", 0) for claim in claims],
    }
    return [(name, size(min(x)), size(median(x)), size(max(x))) for name, x in of.items() if x]


def verdict_counts(counts: Mapping[CellVerdict, int]) -> str:
    """``40 agrees, 2 skipped``."""
    return ", ".join(
        f"{n} {word}" for word, n in sorted(counts.items(), key=lambda item: -_SEVERITY[item[0]])
    )


def aligned(rows: Iterable[Sequence[str]], indent: str = "") -> list[str]:
    """Rows as lines with aligned columns."""
    rows = [tuple(row) for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return [(indent + line).rstrip() for line in lines]
