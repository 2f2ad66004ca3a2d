"""The page of ``handgrad.post``: every formula of the post in its order, and what the record says of it.

What is on the page comes from two places: formulas, readings and corrected forms from ``handgrad/post/formulas.json``,
verdicts, diagnoses and counterexamples from a run's record.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any

from verify.records.record import ClaimRecord, Record
from verify.records.serial import write_atomically
from verify.report.explain import SYMBOLS
from verify.report.numerals import brief, clean, count

RELATIONS = {"equal_to": "must equal", "at_most": "must be at most"}


@dataclass(frozen=True)
class Line:
    """One entry of the page: a formula, and the claims made of it."""

    entry: Mapping[str, Any]
    printed: Sequence[ClaimRecord]
    corrected: Sequence[ClaimRecord]

    @property
    def holds(self) -> bool:
        return all(claim.verdict == "agrees" for claim in self.printed)

    @property
    def verdict(self) -> str:
        """Of the formula as printed: that of the first claim that does not simply agree."""
        others = [claim.verdict for claim in self.printed if claim.verdict != "agrees"]
        return others[0] if others else "agrees"

    @property
    def executable(self) -> bool:
        """Whether values came out: not where sizes clash, and not where nothing can be executed."""
        return not self.entry["reason"] and not self.clash

    @property
    def clash(self) -> bool:
        return any(c.diagnosis is not None and c.diagnosis.kind == "shape" for c in self.printed)

    @property
    def failing(self) -> list[ClaimRecord]:
        return [claim for claim in self.printed if claim.verdict != "agrees"]


@cache
def contents() -> Mapping[str, Any]:
    """The formulas of the post, the readings of its symbols, and its entries. Starts no JAX."""
    return json.loads((files("handgrad") / "post" / "formulas.json").read_text("utf-8"))


def lines_of(record: Record) -> list[Line] | None:
    """The entries with their claims, in the order of the post; None unless the record has a claim for each."""
    claims: dict[tuple[str | None, str | None], list[ClaimRecord]] = defaultdict(list)
    for claim in record.claims:
        claims[claim.equation, claim.form].append(claim)
    lines = [
        Line(entry, claims[entry["place"], "printed"], claims[entry["place"], "corrected"])
        for entry in contents()["entries"]
    ]
    whole = all(
        line.entry["reason"] or (line.printed and bool(line.corrected) == bool(line.entry["instead"])) for line in lines
    )
    return lines if whole else None


def counterexample(claim: ClaimRecord) -> list[tuple[str, str]]:
    """Where the formula fails: sizes, inputs, what is printed and what is true."""
    example = claim.counterexample
    if example is None:
        return []
    truth = example.reference if claim.relation in RELATIONS else example.oracle
    named = [(name, brief(value, example.dtype)) for name, value in example.inputs.items()]
    sizes = ", ".join(f"{name} = {n}" for name, n in example.dims.items())
    found = [("sizes", sizes)] if sizes else []
    wanted = RELATIONS.get(claim.relation, "must be")
    return [*found, *named, ("as printed", _values(example.hand, example.dtype)),
            (wanted, _values(truth, example.dtype))]  # fmt: skip


def _values(value: Any, dtype: str) -> str:
    if isinstance(value, Mapping) and len(value) == 1:
        value = next(iter(value.values()))
    return brief(value, dtype)


def write_page(record: Record, folder: Path) -> bool:
    """Writes ``index.html`` and ``README.md``, whole or not at all; False if the record lacks lines of the post."""
    lines = lines_of(record)
    if lines is None:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "index.html", page(record, lines).encode())
    write_atomically(folder / "README.md", markdown(record, lines).encode())
    return True


def summary(lines: Sequence[Line]) -> str:
    """``123 entries: 90 hold as printed, 14 do not, 19 cannot be executed.``"""
    told = [line for line in lines if not line.entry["reason"]]
    hold = sum(line.holds for line in told)
    wrong = sum(line.verdict == "wrong" for line in told)
    other = len(told) - hold - wrong
    rest = f", {other} are neither" if other else ""
    return (
        f"{len(lines)} entries: {hold} hold as printed, {wrong} do not{rest}, "
        f"{len(lines) - len(told)} state nothing that could be executed."
    )


def command(record: Record) -> str:
    """What to type for the same run."""
    versions = ", ".join(f"{k} {record.environment[k]}" for k in ("python", "jax", "numpy") if k in record.environment)
    cases = count(sum(claim.cases for claim in record.claims), "case")
    return f"verify run handgrad.post --seed {record.seed} ({versions}; {cases})"


def sections(lines: Sequence[Line]) -> list[tuple[str, list[Line]]]:
    return [(name, list(group)) for name, group in groupby(lines, key=lambda line: line.entry["section"])]


def page(record: Record, lines: Sequence[Line]) -> str:
    """The page as one HTML file; formulas are MathML, which browsers render themselves."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"math": Markup, "prose": _prose, "clean": clean, "counterexample": counterexample}
    template = environment.from_string(Path(__file__).with_name("post.html").read_text(encoding="utf-8"))
    return template.render(
        summary=summary(lines), command=command(record), sections=sections(lines), symbols=SYMBOLS,
        readings=contents()["readings"], wrong=[line for line in lines if line.verdict == "wrong"],
        formulas=len(contents()["formulas"]),
    )  # fmt: skip


def _prose(text: str) -> Any:
    """A diagnosis, with what stands between backticks as code."""
    from markupsafe import Markup, escape

    parts = [escape(part) for part in clean(text).split("`")]
    return Markup("").join(Markup("<code>{}</code>").format(p) if i % 2 else p for i, p in enumerate(parts))


def markdown(record: Record, lines: Sequence[Line]) -> str:
    """The same in Markdown, with formulas as GitHub renders them."""
    out = ["# The post, line by line", "", summary(lines), "", f"`{command(record)}`", "", "## Readings", ""]
    out += ["| symbol | reading |", "|---|---|"]
    out += [f"| {symbol} | {reading} |" for symbol, reading in contents()["readings"]]
    for name, group in sections(lines):
        out += ["", f"## {name}"]
        for line in group:
            out += ["", *_markdown_line(line)]
    return "\n".join(out) + "\n"


def _markdown_line(line: Line) -> list[str]:
    entry = line.entry
    symbol = "–" if entry["reason"] else SYMBOLS[line.verdict][0]
    word = "not executable" if entry["reason"] else line.verdict
    out = [f"**{entry['place']}** {symbol} {word}" + (f": {entry['words']}" if entry["words"] else "")]
    out += ["", "```math", entry["latex"], "```"] if entry["latex"] else []
    out += ["", f"Not executable: {entry['reason']}."] if entry["reason"] else []
    out += ["", entry["note"]] if entry["note"] else []
    for claim in line.failing:
        out += ["", *(f"- {d.kind}: {d.text}" for d in claim.diagnoses)]
        out += ["", "```", *(f"{name}: {value}" for name, value in counterexample(claim)), "```"] * bool(
            claim.counterexample
        )
    if entry["instead"]:
        verdicts = ", ".join(dict.fromkeys(claim.verdict for claim in line.corrected))
        out += ["", f"Corrected: {verdicts}", "", "```math", entry["instead"], "```"]
    return out
