"""Sizes: how large each named dimension is in a case.

Small and unequal sizes find most mistakes cheaply; ones, equal pairs, primes and sizes beside powers of two
find the rest.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from types import CodeType
from typing import Any

import numpy as np

LARGEST_CASE = 4096
"""Entries of one array in a randomly drawn case; fixed sizes may exceed it."""
LARGEST_NAMED = 2**17
"""The same where a size is one that the code names: 257 rows and columns."""
LARGEST_FIXED = 2**27
"""Entries of an array of fixed sizes: a gibibyte in float64, several times over while it is judged."""

NAMED = range(33, 2048)
"""Whole numbers in a claim's code that are sizes, perhaps, and are seldom drawn otherwise."""
MOST_NAMED = 6
FIRST_NAMED = 12
"""So many of them follow the corner cases: code that orders sizes is traced at few shapes alone."""
BESIDE_POWERS = (31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257)
ARITHMETIC = {
    "floordiv": lambda a, b: a // b,
    "mod": lambda a, b: a % b,
    "max": max,
    "min": min,
    "non_negative": lambda a: max(a, 0),
}


class SizeError(ValueError):
    """A size expression that cannot be evaluated, or no sizes that make every axis positive."""


@lru_cache(maxsize=4096)
def _compiled(text: str) -> CodeType:
    tree = ast.parse(text, mode="eval")
    allowed = (
        ast.Expression, ast.BinOp, ast.UnaryOp, ast.Name, ast.Constant, ast.Load, ast.Call,
        ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod, ast.Pow, ast.USub,
    )  # fmt: skip
    numbers = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    if any(not isinstance(node, allowed) for node in ast.walk(tree)) or not all(type(n) is int for n in numbers):
        raise SizeError(f"the size {text!r} is no arithmetic of dimension names and whole numbers")
    return compile(tree, "<size>", "eval")


def size_of(text: str, dims: Mapping[str, Any]) -> Any:
    """Evaluates a size expression: ``"n+1"``, ``"2*n"``, JAX's own ``"floordiv(n, 2)"``."""
    if text in dims:
        return dims[text]
    if text.isdigit():
        return int(text)
    try:
        return eval(_compiled(text), {"__builtins__": {}}, {**ARITHMETIC, **dims})
    except SizeError:
        raise
    except Exception as error:
        raise SizeError(f"the size {text!r} cannot be evaluated: {error}") from None


def named_sizes(numbers: Iterable[int]) -> tuple[int, ...]:
    """Sizes at which code that is written with these numbers may begin to do something else: a branch on a size, blocks
    of 512 columns, of which there should be two and a rest. What tells most comes first; of many numbers the first
    count."""
    found = [k for k in dict.fromkeys(numbers) if k in NAMED][:MOST_NAMED]
    places = (lambda k: k + 1, lambda k: 2 * k + 1, lambda k: k, lambda k: k + k // 3, lambda k: 2 * k, lambda k: k - 1)
    sizes = (place(k) for place in places for k in found)
    return tuple(dict.fromkeys(size for size in sizes if size <= LARGEST_CASE))


def draw_sizes(
    rng: np.random.Generator,
    dims: Sequence[str],
    shapes: Sequence[Sequence[str]],
    index: int | None = None,
    named: Sequence[int] = (),
) -> dict[str, int]:
    """Sizes for every dimension name. The first indices cover the corner cases in a fixed order, then what is
    ``named``."""
    return sizes_of(rng.random(len(dims) + 2).tolist(), dims, shapes, index, named)


def sizes_of(
    numbers: Sequence[float],
    dims: Sequence[str],
    shapes: Sequence[Sequence[str]],
    index: int | None = None,
    named: Sequence[int] = (),
) -> dict[str, int]:
    """As ``draw_sizes``, from numbers in [0, 1), two more than there are dimensions or any number beyond that."""
    proposal = _named_proposal(numbers, len(dims), index, named)
    most = LARGEST_CASE if proposal is None else LARGEST_NAMED
    sizes = dict(zip(dims, proposal or _proposal(numbers, len(dims), index), strict=True))
    factors = _factors(tuple(dims), tuple(map(tuple, shapes)))
    if factors is not None and all([math.prod([sizes[k] for k in names]) <= most for names in factors]):
        return sizes
    for _ in range(64):
        axes = [[size_of(a, sizes) for a in shape] for shape in shapes]
        if any(a < 1 for shape in axes for a in shape):
            sizes = _grown(sizes, [a for shape in shapes for a in shape])
            continue
        largest = max(map(math.prod, axes), default=1)
        if largest <= most:
            return sizes
        if all(v == 1 for v in sizes.values()):
            return _fitting(sizes, shapes, largest)
        widest = max(sizes, key=lambda k: sizes[k])
        shrunk = {**sizes, widest: max(1, sizes[widest] // 2)}
        if any(size_of(a, shrunk) < 1 for shape in shapes for a in shape):
            return _fitting(sizes, shapes, largest)
        sizes = shrunk
    small = [a for shape in shapes for a in shape if size_of(a, sizes) < 1]
    if not dims:
        raise SizeError(f"the axis {small[0]} of {_shown(shapes)} is below 1; wanted sizes of at least 1")
    raise SizeError(f"no sizes of {', '.join(dims)} make every axis of {_shown(shapes)} at least 1")


def _fitting(sizes: dict[str, int], shapes: Sequence[Sequence[str]], largest: int) -> dict[str, int]:
    """Sizes that cannot be made smaller, if memory holds them."""
    if largest > LARGEST_FIXED:
        raise SizeError(
            f"an array of {_shown(shapes)} has {largest:,} entries at least; wanted at most {LARGEST_FIXED:,}: use "
            f"dimension names for large numbers"
        )
    return sizes


def _shown(shapes: Sequence[Sequence[str]]) -> str:
    return ", ".join(" ".join(shape) for shape in shapes)


@lru_cache(maxsize=1024)
def _factors(dims: tuple[str, ...], shapes: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...] | None:
    """The dimensions whose product is the size of each array, where axes are dimensions and nothing else."""
    plain = all(axis in dims for shape in shapes for axis in shape)
    return tuple(dict.fromkeys(shape for shape in shapes if shape)) if plain else None


def _grown(sizes: Mapping[str, int], axes: Sequence[str]) -> dict[str, int]:
    """One size raised so that an axis that is too small ("L-w+1") grows; all of them where no single one helps."""
    for axis in axes:
        now = size_of(axis, sizes)
        for k, v in sizes.items():
            if now < 1 and size_of(axis, {**sizes, k: v + 1}) > now:
                return {**sizes, k: v + 1 - now}
    return {k: v + 1 for k, v in sizes.items()}


def _named_proposal(
    numbers: Sequence[float], count: int, index: int | None, named: Sequence[int]
) -> list[int] | None:
    """One size of those that are named: every one in every dimension after the corner cases, then one in 25."""
    turn = math.inf if index is None else index - len(_corners(count))
    if not named or not count or turn < 0:
        return None
    kind, where, *u = numbers[: count + 2]
    every = len(named) * count
    is_first = turn < min(FIRST_NAMED, every)
    if not is_first and kind >= 0.04:
        return None
    number = int(turn if is_first else where * every)
    size, at = named[number // count], number % count
    others = max(1, min(4, LARGEST_CASE // size))
    return [size if i == at else 1 + int(others * x) for i, x in enumerate(u)]


def _proposal(numbers: Sequence[float], count: int, index: int | None) -> list[int]:
    if index is not None and index < len(_corners(count)):
        return list(_corners(count)[index])
    kind, where, *u = numbers[: count + 2]
    at = int(where * count)
    if kind < 0.30:
        return [1 + int(4 * x) for x in u]
    if kind < 0.88:
        top = math.log((16 if kind < 0.68 else 32) + 0.999)
        return [int(math.exp(top * x)) for x in u]
    if kind < 0.92:
        return [1 + int(8 * where)] * count
    if kind < 0.96:
        sizes = [1 + int(4 * x) for x in u]
        if count:
            sizes[at] = BESIDE_POWERS[int(u[at] * len(BESIDE_POWERS))]
        return sizes
    sizes = [1 + int(8 * x) for x in u]
    if count:
        sizes[at] = 1
    return sizes


@lru_cache(maxsize=64)
def _corners(count: int) -> tuple[list[int], ...]:
    """What the first cases must have: ones, unequal primes, equal sizes, one size alone that is 1, or large."""
    primes = [2, 3, 5, 7, 4, 6, 1]
    return (
        [1] * count,
        [primes[i % 7] for i in range(count)],
        [primes[(count - 1 - i) % 7] for i in range(count)],
        [3] * count,
        *([1 if i == j else primes[(i + 1) % 7] for i in range(count)] for j in range(min(count, 4))),
        *([9 if i == j else primes[i % 4] for i in range(count)] for j in range(min(count, 4))),
    )
