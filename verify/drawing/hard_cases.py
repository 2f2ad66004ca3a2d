"""Hard cases, made from drawn ones: what random values seldom meet.

One array along the whole range of exponents; entries at the numbers that a program itself is written with; sizes that
are compiled once and kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from verify.drawing.cases import Case, Structure
from verify.drawing.draws import Draws
from verify.drawing.sizes import draw_sizes
from verify.drawing.values import binades, reach, to_dtype

COVERING = 4
BINADES = 81
"""Entries of an array along the range of exponents."""


def at_covering_sizes(draws: Draws, case: Case) -> Case:
    """The case at one of few random sizes, the same for all seeds: what is compiled once can be kept."""
    rng = np.random.default_rng([draws.number, draws.seed % COVERING])
    structure = case.structure
    return draws.resized(case, draw_sizes(rng, structure.dims, structure.shapes))


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
    """The case with some entries at these numbers or around them: 20, 7 and 150 where a program asks ``x > 20``."""
    rng = draws.stream(8, case.dtype, case.index)
    low, high = reach(case.dtype)
    numbers = [n for n in numbers if low <= n <= high] or [1.0]
    values = []
    for leaf, value in zip(case.structure.leaves, case.values, strict=True):
        if leaf.kind == "float" and leaf.domain.kind in ("real", "positive", "nonnegative"):
            signs = (-1.0, 1.0) if leaf.domain.kind == "real" else (1.0,)
            drawn = rng.choice(signs, value.shape) * rng.choice(numbers, value.shape)
            beside = np.exp2(rng.uniform(-3, 3, value.shape))
            drawn = drawn * np.where(rng.random(value.shape) < 0.5, 1.0, beside)
            wide = np.where(rng.random(value.shape) < 0.5, drawn, value.astype(np.float64))
            value = to_dtype(wide, str(value.dtype))
        values.append(value)
    return replace(case, values=tuple(values), plain=False)


def _free(structure: Structure) -> list[int]:
    """The floating arrays, scalars apart, that take any number, or any of one sign."""
    kinds = ("real", "positive", "nonnegative")
    return [i for i, x in enumerate(structure.leaves) if x.kind == "float" and x.shape and x.domain.kind in kinds]
