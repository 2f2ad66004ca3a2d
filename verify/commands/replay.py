"""``verify replay``: one recorded case again, bit for bit; hand, reference and oracle side by side."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Mapping
from typing import Any

from verify.options import Parser, add_color, add_output

MOST_ROWS = 20
"""Of larger arrays the entries that differ most are shown."""


def parser() -> Parser:
    parser = Parser(
        "verify replay",
        "Run one recorded case again, bit for bit; hand, reference and oracle side by side.",
        "exit codes: 0 the same bits as recorded, 1 others, 4 there is no such case",
    )
    parser.add_argument("case_id", metavar="CASE_ID", help="from the end of a failing claim's explanation")
    add_output(parser)
    add_color(parser)
    return parser


def execute(parsed: Namespace, argv: list[str]) -> int:
    from verify.records.runs import recorded_case
    from verify.report.terminal import Lines

    recorded = recorded_case(parsed.output, parsed.case_id)
    from verify.sessions.replaying import replay  # loads JAX: only once there is something to replay

    replayed = replay(recorded)
    lines = Lines(parsed.color)
    for text in replay_lines(replayed):
        lines.line(text)
    lines.line((replayed.message, "green" if replayed.identical else "bold red"))
    return 0 if replayed.identical else 1


def replay_lines(replayed: Any) -> Iterator[str]:
    """The case, then for every output its entries in a table."""
    from verify.report.numerals import brief
    from verify.report.view import aligned

    dims = ", ".join(f"{name} = {size}" for name, size in replayed.dims.items())
    yield f"{replayed.claim}, case {replayed.case_id}" + (f", at {dims}" if dims else "")
    rows = [(name, _dtype(value), brief(value, _dtype(value))) for name, value in replayed.inputs.items()]
    yield from aligned(rows, "    ")
    for name in dict.fromkeys([*replayed.hand, *replayed.reference, *replayed.oracle]):
        yield ""
        yield from _side_by_side(name, replayed.hand, replayed.reference, replayed.oracle)


def _side_by_side(name: str, *sides: Mapping[str, Any]) -> Iterator[str]:
    """One output: a row an entry, those that differ most if there are many."""
    import numpy as np

    from verify.report.numerals import number, small
    from verify.report.view import aligned

    arrays = [np.asarray(side[name]) if name in side else None for side in sides]
    shapes = {array.shape for array in arrays if array is not None}
    if len(shapes) > 1:
        shown = [f"{side} {_shape(array)}" for side, array in zip(_SIDES, arrays, strict=True)]
        yield f"{name or 'output'}: the shapes differ: {', '.join(shown)}"
        return
    shape = shapes.pop()
    yield f"{name or 'output'}, shape {shape}"
    gaps = _gaps(arrays[0], arrays[2] if arrays[2] is not None else arrays[1], shape)
    order = np.arange(gaps.size) if gaps.size <= MOST_ROWS else np.argsort(-gaps, kind="stable")[:MOST_ROWS]
    rows: list[tuple[str, ...]] = [("entry", *_SIDES, "relative difference")]
    for i in order:
        index = "[" + ", ".join(map(str, np.unravel_index(i, shape))) + "]" if shape else "value"
        values = ["-" if a is None else number(_scalar(a.ravel()[i]), _dtype(a)) for a in arrays]
        rows.append((index, *values, small(float(gaps[i])) if gaps[i] else "0"))
    yield from aligned(rows, "    ")
    if gaps.size > MOST_ROWS:
        yield f"    ... and {gaps.size - MOST_ROWS:,} entries that differ no more"


_SIDES = ("hand", "reference", "oracle")


def _gaps(hand: Any, truth: Any, shape: tuple[int, ...]) -> Any:
    """The relative difference of every entry; infinite where only one of them is a number."""
    import numpy as np

    if hand is None or truth is None or hand.dtype.kind not in "biufcV" or truth.dtype.kind not in "biufcV":
        return np.zeros(int(np.prod(shape)))
    wide = [a.astype(np.complex128 if a.dtype.kind == "c" else np.longdouble).ravel() for a in (hand, truth)]
    with np.errstate(all="ignore"):
        gap = np.abs(wide[0] - wide[1]) / np.maximum(np.abs(wide[1]), np.finfo(np.float64).tiny)
    same = (wide[0] == wide[1]) | (np.isnan(wide[0]) & np.isnan(wide[1]))
    return np.where(same, 0.0, np.where(np.isnan(gap), np.inf, gap)).astype(np.float64)


def _scalar(x: Any) -> Any:
    return float(x) if x.dtype.kind in "fV" else x.item()


def _dtype(value: Any) -> str:
    return str(getattr(value, "dtype", type(value).__name__))


def _shape(array: Any) -> str:
    return "absent" if array is None else str(array.shape)
