"""What a TPU program computes in less precision than was asked for, read from its optimised text. Pure Python."""

from __future__ import annotations

import re
from collections import Counter

_DEFINED = re.compile(r"^\s*(?:ROOT )?%([\w.\-]+) = (\w+)\[", re.MULTILINE)
_PRODUCT = re.compile(r" = \w+\[[^\n]*? (?:convolution|dot)\(%([\w.\-]+), %([\w.\-]+)\)([^\n]*)")
_PRECISION = re.compile(r"operand_precision=\{(\w+),(\w+)\}")
_ENTRY = re.compile(r"entry_computation_layout=\{(.*)")
SINGLE = frozenset({"f32", "c64"})


def demotions(text: str) -> tuple[str, ...]:
    """One sentence for every kind of demotion in an optimised HLO module."""
    types = dict(_DEFINED.findall(text))
    counts: Counter[str] = Counter()
    for left, right, rest in _PRODUCT.findall(text):
        if types.get(left) in SINGLE and types.get(right) in SINGLE:
            found = _PRECISION.search(rest)
            counts[min(found.groups(), key=_ORDER.index) if found else "default"] += 1
    told = []
    if counts["default"]:
        told.append(f"{_products(counts['default'], 'rounds its', 'round their')} float32 inputs to bfloat16")
    if counts["high"]:
        told.append(f"{_products(counts['high'], 'takes', 'take')} float32 inputs in three passes of bfloat16")
    entry = _ENTRY.search(text)
    if entry and re.search(r"\b(?:f64|c128)\[", entry[1]):
        told.append("float64 is computed in pairs of float32: 48 bits, and the range of float32")
    return tuple(told)


_ORDER = ("default", "high", "highest")


def _products(count: int, one: str, many: str) -> str:
    return f"{count} matrix product{'' if count == 1 else 's'} {one if count == 1 else many}"
