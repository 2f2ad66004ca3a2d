"""An outcome in words: what every report says of a claim, and how it shows numbers and arrays."""

from __future__ import annotations

import math
import struct
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from verify.record import Cell, ClaimRecord, Counterexample, Diagnosis
from verify.serial import plain

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
MOST_INLINE = 16
"""Larger arrays are shown by their shape and first entries."""
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
    return [f"at {place}:", *(clip(f"  {name:<{width}}  {value}", MOST_WIDTH) for name, value in values)]


def cell_name(cell: Cell) -> str:
    """``cpu float32 highest jit``."""
    return " ".join(part for part in (cell.backend, cell.dtype, cell.precision, cell.mode) if part)


# Numbers and arrays ----------------------------------------------------------------------------------------


def brief(value: Any, dtype: str = "float64") -> str:
    """A value on one short line: small arrays whole, larger ones by their shape and first entries."""
    value = plain(value)
    if isinstance(value, dict):
        if is_complex(value):
            return number(value, dtype)
        if value.keys() == {"shape", "dtype", "first"}:
            return _abbreviated(value["shape"], [brief(item, dtype) for item in value["first"]])
        return "{" + ", ".join(f"{key}: {brief(item, dtype)}" for key, item in value.items()) + "}"
    if not isinstance(value, list):
        return number(value, dtype)
    shape = shape_of(value)
    if shape is None:  # a tuple of arrays
        return "(" + ", ".join(brief(item, dtype) for item in value) + ")"
    if math.prod(shape) <= MOST_INLINE:
        return "[" + ", ".join(brief(item, dtype) for item in value) + "]"
    entries = flat(value)
    return _abbreviated(shape, [brief(next(entries), dtype) for _ in range(6)])


def _abbreviated(shape: Sequence[int], entries: list[str]) -> str:
    size = " x ".join(map(str, shape))
    return f"array {size}: " + ", ".join([*entries, "..."] if entries else ["(no values)"])


def shape_of(value: Any) -> tuple[int, ...] | None:
    """The shape of a nested list, None where it is ragged."""
    if not isinstance(value, list):
        return ()
    shapes = {shape_of(item) for item in value}
    if not shapes:
        return (0,)
    inner = shapes.pop()
    return None if shapes or inner is None else (len(value), *inner)


def flat(value: Any) -> Iterator[Any]:
    """The entries of a nested list, in order."""
    if isinstance(value, list):
        for item in value:
            yield from flat(item)
    else:
        yield value


def number(x: Any, dtype: str = "float64") -> str:
    """The fewest digits that name ``x`` among the numbers of ``dtype`` (all 17 if it is not one of them)."""
    if is_complex(x):
        return _complex(x, dtype)
    if not isinstance(x, float) or not math.isfinite(x):
        return str(x)
    for digits in range(1, 17):
        text = f"{x:.{digits}g}"
        if _rounded(float(text), dtype) == x:
            return _tidy(float(text))
    return _tidy(x)


def is_complex(value: Any) -> bool:
    """Whether this is a complex number as JSON holds it."""
    return isinstance(value, dict) and value.keys() == {"re", "im"}


def _complex(value: dict[str, Any], dtype: str) -> str:
    real = {"complex64": "float32", "complex128": "float64"}.get(dtype, dtype)
    imaginary = number(value["im"], real)
    return f"{number(value['re'], real)}{'' if imaginary.startswith('-') else '+'}{imaginary}j"


def _rounded(x: float, dtype: str) -> float:
    """``x`` rounded to ``dtype``."""
    try:
        if dtype == "float16":
            return struct.unpack("e", struct.pack("e", x))[0]
        if dtype == "float32":
            return struct.unpack("f", struct.pack("f", x))[0]
        if dtype == "bfloat16":
            bits = struct.unpack("I", struct.pack("f", x))[0]
            bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
            return struct.unpack("f", struct.pack("I", bits))[0]
    except OverflowError:
        return math.copysign(math.inf, x)
    return x


def _tidy(x: float) -> str:
    """``100``, ``0.1``, ``1e-9``, where Python writes ``100.0``, ``0.1``, ``1e-09``."""
    mantissa, e, exponent = repr(x).removesuffix(".0").partition("e")
    return f"{mantissa}e{int(exponent)}" if e else mantissa


def small(x: float | None) -> str:
    """An error: two digits; ``-`` where there is none."""
    return "-" if x is None else _tidy(float(f"{x:.2g}"))


def size(x: float | None) -> str:
    """A number of entries; medians may be halves."""
    return "-" if x is None else f"{x:,.0f}" if x == int(x) else f"{x:,.1f}"


def count(n: int, noun: str) -> str:
    """``1 case``, ``40,000 cases``."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def clean(text: str) -> str:
    """``text`` with control characters made visible, so that no input drives the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


def clip(text: str, width: int) -> str:
    """At most ``width`` characters of ``text``, clean."""
    text = clean(text)
    return text if len(text) <= width else text[: width - 3] + "..."
