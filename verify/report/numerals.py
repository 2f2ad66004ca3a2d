"""How reports write numbers, arrays and text that comes from a user's file."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from typing import Any

from verify.records.serial import plain

MOST_INLINE = 16
"""Larger arrays are shown by their shape and first entries."""


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
