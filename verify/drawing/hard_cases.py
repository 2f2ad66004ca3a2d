"""Hard cases, made from drawn ones: what random values seldom meet.

One array along the whole range of exponents; entries at the numbers that a program itself is written with; sizes that
are compiled once and kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from verify.drawing.cases import Case, Structure
from verify.drawing.draws import Draws
from verify.drawing.sizes import draw_sizes
from verify.drawing.values import binades, reach, to_dtype

COVERING = 4
FREE = ("real", "positive", "nonnegative")
"""Domains of any number, or any of one sign."""
BINADES = 81
"""Entries of an array along the range of exponents."""
LEAST_WHOLE, MOST_WHOLE, MOST_TURNS = 5, 2**17, 2000
"""Whole numbers beyond those that are drawn anyway: the least; the largest in an array; the largest alone."""


def at_covering_sizes(draws: Draws, case: Case) -> Case:
    """The case at one of few random sizes, the same for all seeds: what is compiled once can be kept."""
    rng = np.random.default_rng([draws.number, draws.seed % COVERING])
    structure = case.structure
    return draws.resized(case, draw_sizes(rng, structure.dims, structure.shapes))


def has_free_whole_numbers(structure: Structure) -> bool:
    """Whether an argument is any whole number, or any of one sign."""
    return any(leaf.kind == "int" and leaf.domain.kind in FREE for leaf in structure.leaves)


def has_one_shape(draws: Draws, structure: Structure) -> bool:
    """Whether all arrays have one named shape, scalars apart, and one of them at least takes any number."""
    shapes = {leaf.shape for leaf in structure.leaves} - {()}
    if draws.given or len(shapes) != 1 or not _free(structure):
        return False
    names = next(iter(shapes))
    return all(s.isidentifier() for s in names) and len(set(names)) == len(names)


def along_binades(draws: Draws, case: Case) -> Case:
    """The case with one array along the whole range of exponents, the others at ordinary values."""
    rng = draws.stream(7, case.dtype, case.index)
    leaves, free = case.structure.leaves, _free(case.structure)
    walked = free[case.index // len(draws.variants()) % len(free)]
    names = list(leaves[walked].shape)
    dims = dict(case.dims) | dict.fromkeys(names, 3)
    dims[names[int(rng.integers(len(names)))]] = max(3, BINADES // 3 ** (len(names) - 1))
    values = draws.drawn(rng, leaves, dims, case.dtype, plain=True)
    domain = leaves[walked].domain.kind
    dtype, zeros = leaves[walked].in_dtype(case.dtype), domain != "positive"
    values[walked] = binades(rng, values[walked].shape, dtype, zeros, signs=domain == "real")
    return replace(case, dims=dims, values=tuple(values), plain=False)


def among(draws: Draws, case: Case, numbers: Sequence[float]) -> Case:
    """The case with some entries at these numbers or around them: 20, 7 and 150 where a program asks ``x > 20``, -100
    where it asks ``label == -100``."""
    rng = draws.stream(8, case.dtype, case.index)
    low, high = reach(case.dtype)
    numbers = [n for n in numbers if low <= n <= high] or [1.0]
    values = []
    for leaf, value in zip(case.structure.leaves, case.values, strict=True):
        if leaf.kind == "float" and leaf.domain.kind in FREE:
            signs = (-1.0, 1.0) if leaf.domain.kind == "real" else (1.0,)
            drawn = rng.choice(signs, value.shape) * rng.choice(numbers, value.shape)
            beside = np.exp2(rng.uniform(-3, 3, value.shape))
            drawn = drawn * np.where(rng.random(value.shape) < 0.5, 1.0, beside)
            wide = np.where(rng.random(value.shape) < 0.5, drawn, value.astype(np.float64))
            value = to_dtype(wide, str(value.dtype))
        elif leaf.kind == "int" and leaf.domain.kind in FREE:
            value = _whole_among(rng, value, leaf.domain.kind, numbers)
        values.append(value)
    return replace(case, values=tuple(values), plain=False)


def _whole_among(rng: np.random.Generator, value: np.ndarray, domain: str, numbers: Sequence[float]) -> np.ndarray:
    """Whole numbers of any magnitude, most of them at these, beside them or at their doubles: a single one, or half of
    many. A single one may count turns: it is not made large."""
    most, info = MOST_WHOLE if value.ndim else MOST_TURNS, np.iinfo(value.dtype)
    largest = math.log(min(most, math.isqrt(info.max)))  # the square of a whole number does not overflow
    drawn = np.exp(rng.uniform(math.log(LEAST_WHOLE), largest, value.shape)).astype(np.int64)
    wanted = [int(n) for n in numbers if n == int(n) and LEAST_WHOLE < n <= most]
    if wanted:
        own = rng.choice(wanted, value.shape)
        own = np.where(rng.random(value.shape) < 0.5, own, rng.choice((own - 1, own + 1, 2 * own)))
        drawn = np.where(rng.random(value.shape) < 0.75, own, drawn)
    if domain == "real" and value.dtype.kind == "i":
        drawn = rng.choice((-1, 1), value.shape) * drawn
    drawn = np.clip(drawn, max(info.min, -MOST_WHOLE), min(info.max, MOST_WHOLE))
    return np.where(rng.random(value.shape) < (0.5 if value.ndim else 1.0), drawn, value).astype(value.dtype)


def _free(structure: Structure) -> list[int]:
    """The floating arrays, scalars apart, that take any number, or any of one sign."""
    return [i for i, x in enumerate(structure.leaves) if x.kind == "float" and x.shape and x.domain.kind in FREE]
