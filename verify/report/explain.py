"""An outcome in words: what every report says of a claim, and how it shows numbers and arrays."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path

from verify.records.record import Cell, ClaimRecord, Counterexample, Diagnosis
from verify.report.entries import comparison, inputs_at
from verify.report.numerals import MOST_INLINE, brief, clean, clip, count, small

# One symbol a verdict, always beside its word or a legend. The second is for terminals without Unicode.
SYMBOLS = {
    "agrees": ("✓", "."),
    "wrong": ("✗", "W"),
    "inaccurate": ("≈", "I"),
    "reference_wrong": ("R", "R"),
    "convention": ("c", "c"),
    "unresolved": ("?", "?"),
    "error": ("!", "E"),
    "skipped": ("–", "-"),
    "compiled_only": ("▫", "o"),
}
MEANINGS = {
    "agrees": "the hand-written function is the derivative, to within the error that the arithmetic explains",
    "wrong": "the formula is wrong",
    "inaccurate": "the formula is right, and loses digits where the reference does not",
    "reference_wrong": "the hand-written function agrees with the oracle, and jax.grad does not",
    "convention": "they differ only at points of non-differentiability, and both values are valid there",
    "unresolved": "no cell that ran could have seen a small mistake",
    "error": "it could not be judged",
    "skipped": "did not run",
    "compiled_only": "compiled for the device, not run",
}
MOST_WIDTH = 160


def sentence(claim: ClaimRecord) -> str:
    """What there is to say of a claim beside its verdict, on one line; may be empty."""
    text = claim.diagnosis.text if claim.diagnosis else claim.reason or ""
    if not text and claim.verdict != "agrees":
        text = claim.notes[0] if claim.notes else MEANINGS[claim.verdict]
    text = " ".join(text.split())
    if claim.expected is None:
        return text
    if claim.ok:
        return f"as expected: {text}" if text else "as expected"
    return f"expected {claim.expected}" + (f": {text}" if text else "")


def headline(claim: ClaimRecord) -> str:
    """``wrong: is exactly 1/2 of the gradient``."""
    text = sentence(claim)
    return f"{claim.verdict}: {text}" if text else claim.verdict


def explain(claim: ClaimRecord) -> str:
    """An outcome to read, at most 20 lines: verdict, place, counterexample, how to replay."""
    lines = [f"{claim.name} - {clip(headline(claim), 400)}", f"  {claim.relation}, {place(claim)}"]
    if claim.reason and "\n" in claim.reason:
        lines += [f"  | {line}" for line in claim.reason.strip().splitlines()[1:4]]
    lines += [f"  also {d.kind}: {d.text}" for d in other_diagnoses(claim)[:2]]
    lines += [f"  note: {note}" for note in claim.notes[:2]]
    if claim.counterexample:
        lines += [f"  {line}" for line in counterexample_lines(claim.counterexample)]
    if claim.cases:
        lines.append(f"  {effort(claim)}")
    if claim.replay:
        lines.append(f"  replay: {claim.replay}")
    return "\n".join(clip(line, 400) for line in lines)


def narrow(claim: ClaimRecord, width: int, title: str = "") -> str:
    """As ``explain``, on fewer than 25 lines of at most ``width`` columns; a line to be pasted stays one line."""
    lines = [f"{title}{headline(claim)}", f"  {claim.relation}, {place(claim)}"]
    if claim.reason and "\n" in claim.reason:
        lines += [f"  | {line}" for line in claim.reason.strip().splitlines()[1:4]]
    lines += [f"  also {d.kind}: {d.text}" for d in other_diagnoses(claim)[:1]]
    lines += [f"  note: {note}" for note in claim.notes[:1]]
    folded = [part for i, line in enumerate(lines) for part in _folded(line, width, 5 if i == 0 else 3)]
    if claim.counterexample:
        folded += [clip(f"  {line}", width) for line in counterexample_lines(claim.counterexample)]
    if claim.cases:
        folded += _folded(f"  {effort(claim)}", width, 2)
    return "\n".join([*folded, f"  replay: {clean(claim.replay)}"] if claim.replay else folded)


def _folded(line: str, width: int, most: int) -> list[str]:
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.wrap(
        clean(line), width, subsequent_indent=indent, max_lines=most, placeholder=" ...", break_on_hyphens=False
    )


def place(claim: ClaimRecord) -> str:
    """File and line, as short as they can be pasted into an editor from here."""
    path = Path(claim.file)
    short = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f"{short}:{claim.line}"


def other_diagnoses(claim: ClaimRecord) -> list[Diagnosis]:
    """The mistakes found beside the first and largest."""
    return [d for d in claim.diagnoses if d != claim.diagnosis]


def effort(claim: ClaimRecord) -> str:
    """``40,000 cases, 9,000 fresh shapes; a relative error of 1e-9 in one entry would have been seen``."""
    text = f"{count(claim.cases, 'case')}, {count(claim.fresh_shapes, 'fresh shape')}"
    if claim.smallest_visible_error is not None and math.isfinite(claim.smallest_visible_error):
        text += (
            f"; a relative error of {small(claim.smallest_visible_error)} in one entry would have been seen"
        )
    return text


def counterexample_lines(example: Counterexample, most_inputs: int = 5) -> list[str]:
    """The failing case: where it is, then inputs and results, one a line."""
    dims = ", ".join(f"{name} = {size}" for name, size in example.dims.items())
    place = ", ".join(part for part in (dims, example.dtype, example.backend, example.mode) if part)
    inputs = list(example.inputs.items())
    if len(inputs) > most_inputs:
        left = f"and {len(inputs) - most_inputs + 1} more inputs"
        inputs = [*inputs[: most_inputs - 1], ("...", left)]
    rows = [*inputs, ("hand", example.hand), ("reference", example.reference), ("oracle", example.oracle)]
    width = min(20, max(len(name) for name, _ in rows))
    values = [(name, brief(value, example.dtype)) for name, value in rows]
    lines = [f"  {name:<{width}}  {value}" for name, value in values]
    if any(len(line) > MOST_WIDTH for line in lines[-3:]) or len(comparison(example, MOST_INLINE + 1)) > MOST_INLINE:
        lines += [f"  furthest off: {entry}" for entry in _worst_entry(example)]
    return [f"at {place}:", *(clip(line, MOST_WIDTH) for line in lines)]


def _worst_entry(example: Counterexample) -> list[str]:
    """The entry of a longer output that says most."""
    found = comparison(example, 1)
    return [
        f"{e.name}: hand {e.hand}, reference {e.reference}, oracle {e.oracle}"
        + "".join(f", {name} = {value}" for name, value in inputs_at(example, e))
        for e in found
    ]


def cell_name(cell: Cell) -> str:
    """``cpu float32 highest jit``."""
    return " ".join(part for part in (cell.backend, cell.dtype, cell.precision, cell.mode) if part)
