"""Where it fails, by size: the dimensions, their differences and remainders."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from verify.hypotheses.conditions import Feature


def dimension_features(dims: Sequence[Mapping[str, int]], fails: np.ndarray | None = None) -> list[Feature]:
    """Sizes, their differences and remainders; those after the common divisor of the sizes that fail, too."""
    names = [name for name in dims[0] if all(name in one for one in dims)]
    table = {name: np.array([float(one[name]) for one in dims]) for name in names}
    names = [
        name
        for k, name in enumerate(names)
        if not any(np.array_equal(table[name], table[other]) for other in names[:k])
    ]
    found = [Feature(name, table[name], "dims") for name in names]
    for one, two in itertools.combinations(names, 2):
        found.append(compared(one, two, table[one] - table[two], "dims"))
    for name in names:
        common = math.gcd(*table[name][fails].astype(int).tolist()) if fails is not None and fails.any() else 0
        for divisor in dict.fromkeys((2, 3, 4, 8, 16, 32, 64, 128, *([common] if common > 1 else ()))):
            if table[name].max() >= divisor:
                remainder = table[name] % divisor
                whole, odd = f"{name} % {divisor} == 0", f"{name} % {divisor} != 0"
                found.append(Feature(odd, (remainder != 0).astype(float), "dims", yes=odd, no=whole))
                found.append(Feature(f"{name} % {divisor}", remainder, "dims"))
    return found


def compared(one: str, two: str, gap: np.ndarray, family: str) -> Feature:
    """Which of two numbers is larger."""
    words = {"== 0": "==", "!= 0": "!=", "> 0": ">", "< 0": "<", ">= 0": ">=", "<= 0": "<=", "== 1": ">", "> -1": ">=",
             "== -1": "<", "< 1": "<=", "!= 1": "<=", "!= -1": ">=", ">= 1": ">", "<= -1": "<"}  # fmt: skip
    spoken = {outcome: f"{one} {sign} {two}" for outcome, sign in words.items()}
    return Feature(f"sign({one} - {two})", np.sign(gap), family, spoken)
