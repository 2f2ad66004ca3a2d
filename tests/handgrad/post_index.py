"""The index of the post's formulas, and what the published page shows of them: ``handgrad/post/formulas.json``.

    python -m tests.handgrad.post_index PATH_OF_THE_POST

writes it anew (extra ``post``): the formulas of the text with their lines, and the entries of ``handgrad.post`` with
every formula rendered as MathML, so that making the page needs neither the text nor a renderer.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

INDEX = Path(__file__).parents[2] / "handgrad" / "post" / "formulas.json"
RELATION = re.compile(r"=|\\(?:leq|geq|neq|in(?!ft)|to|subseteq)")
SECTIONS = (
    (1, "Gradient and traces"),
    (101, "Linear regression"),
    (206, "The network"),
    (225, "The activation"),
    (271, "Backpropagation"),
)
SYMBOL = "a symbol: it states nothing by itself; the table of readings says what it stands for"


@dataclass(frozen=True)
class Formula:
    """A row of a displayed formula, or an inline formula, and the line on which it begins."""

    line: int
    display: bool
    latex: str


def formulas_of(text: str) -> list[Formula]:
    """Every formula of a Markdown text, in order."""
    found = []
    for match in re.finditer(r"\\\[(.*?)\\\]|\\\((.*?)\\\)", text, re.DOTALL):
        display = match[1] is not None
        for start, row in _rows(match[1]) if display else [(0, match[2])]:
            begin = match.start(1 if display else 2) + start + len(row) - len(row.lstrip())
            found.append(Formula(text.count("\n", 0, begin) + 1, display, " ".join(row.split())))
    return found


def _rows(display: str) -> list[tuple[int, str]]:
    """The rows of a display and where they start; the rows of a matrix are not rows of the display."""
    inside = re.sub(r"\\(?:begin|end)\{align\*\}", lambda m: " " * len(m[0]), display)
    hidden = re.sub(
        r"\\begin\{bmatrix\}.*?\\end\{bmatrix\}", lambda m: "x" * len(m[0]), inside, flags=re.DOTALL
    )
    ends = [m.start() for m in re.finditer(r"\\\\", hidden)] + [len(inside)]
    starts = [0, *(end + 2 for end in ends[:-1])]
    return [(a, inside[a:b]) for a, b in zip(starts, ends, strict=True) if inside[a:b].strip()]


def compact(latex: str) -> str:
    """LaTeX without what does not change a formula: spaces, alignment, and a final stop or comma."""
    return re.sub(r"[\s&]", "", latex).rstrip(".,")


def uncovered(formula: Formula, parts: list[str]) -> str | None:
    """What of a formula no entry repeats: the first relation outside all ``parts``; None where all are covered.

    A row that begins with ``=`` continues the one before; what it states is the rest.
    """
    whole = compact(formula.latex).removeprefix("=")
    covered: set[int] = set()
    for part in map(compact, parts):
        for at in (m.start() for m in re.finditer(re.escape(part), whole)):
            covered.update(range(at, at + len(part)))
    if not parts and RELATION.search(whole) is None:
        return None
    missing = [m for m in RELATION.finditer(whole) if m.start() not in covered]
    if missing:
        return whole[max(0, missing[0].start() - 12) : missing[0].end() + 12]
    return None if covered else whole


def section_of(line: int) -> str:
    return [name for start, name in SECTIONS if line >= start][-1]


def readings() -> list[list[str]]:
    """The table in the docstring of ``handgrad.post``."""
    import handgrad.post

    table = (handgrad.post.__doc__ or "").split("=====  ===")[-2]
    rows = (re.match(r"(\S.*?)  +(\S.*)", line) for line in table.splitlines())
    return [[row[1], row[2]] for row in rows if row and "===" not in row[0]]


def entries() -> list[dict[str, Any]]:
    """The entries of ``handgrad.post`` in the order of the post, without MathML."""
    from handgrad.post import ENTRIES
    from handgrad.post.places import line_of

    ordered = sorted(ENTRIES.values(), key=lambda entry: (line_of(entry.place), entry.place))
    return [
        {**asdict(entry), "line": line_of(entry.place), "section": section_of(line_of(entry.place))}
        for entry in ordered
    ]


def content(text: str) -> dict[str, Any]:
    """What ``formulas.json`` holds, without MathML."""
    formulas = []
    for formula in formulas_of(text):
        stated = [e for e in entries() if e["line"] == formula.line and compact(e["latex"]) in compact(formula.latex)]
        reason = {} if any(e["latex"] for e in stated) else {"reason": SYMBOL}
        formulas.append({**asdict(formula), **reason})
    return {"readings": readings(), "formulas": formulas, "entries": entries()}


def main(path: str) -> None:
    from latex2mathml.converter import convert

    found = content(Path(path).read_text("utf-8"))
    for entry in found["entries"]:
        entry["mathml"] = convert(entry["latex"], display="block") if entry["latex"] else ""
        entry["instead_mathml"] = convert(entry["instead"], display="block") if entry["instead"] else ""
    INDEX.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
