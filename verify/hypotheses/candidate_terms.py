"""Candidate terms for a formula: arguments, their products, matrix products, sums and projections, simplest first."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from verify.hypotheses.cases import Case
from verify.hypotheses.expressions import Expr, broadcasts, evaluate
from verify.hypotheses.functions import FUNCTIONS

Pool = list[tuple[Expr, np.ndarray]]
_BASES = 40
_INVERSES = 8


def expressions(probe: Case, names: Sequence[str]) -> Iterator[Expr]:
    """Candidate terms whose value at the probe broadcasts to the output's shape, simplest first."""
    shape = probe.truth.shape
    everything = _operands(probe, names, len(shape))
    itself: Pool = [(("hand",), probe.hand), (("truth",), probe.truth)]
    fitting = [(expr, array) for expr, array in everything if broadcasts(array, shape)]
    yield from (expr for expr, _ in fitting)
    yield from _own_sums(itself, len(shape))
    if shape == ():
        yield from _totals(everything, list(probe.sample.dims))
    yield from _products(fitting, itself)
    yield from _function_terms([pair for pair in fitting if pair[0][-1] in probe.sample.inputs])
    yield from _matrix_products(everything, shape)
    yield from _reduced(everything, shape)
    yield from _own_products(fitting, itself)
    if shape:
        yield from (("total", expr) for expr, array in everything if array.ndim)
        yield from _projections(fitting, itself, shape)
    yield from _triples(fitting)


def _operands(probe: Case, names: Sequence[str], ndim: int) -> Pool:
    found: Pool = []
    for name in names[:_BASES]:
        array, base = probe.bases[name], ("base", name)
        variants: Pool = [(base, array)]
        if _invertible(array) and sum(expr[0] == "inv" for expr, _ in found) < _INVERSES:
            variants.append((("inv", base), np.linalg.inv(array)))
        if np.iscomplexobj(array):
            variants.append((("conj", base), np.conj(array)))
        for expr, value in variants:
            found.append((expr, value))
            if value.ndim == 2:
                found.append((("T", expr), value.T))
            if value.ndim == 1 and ndim == 2:
                found.append((("column", expr), value[:, None]))
    return found


def _invertible(array: np.ndarray) -> bool:
    if array.ndim != 2 or array.shape[0] != array.shape[1] or not np.isfinite(array).all():
        return False
    return bool(array.shape[0] > 1 and np.linalg.cond(array) < 1e8)


def deep_products(probe: Case, names: Sequence[str]) -> Iterator[Expr]:
    """``(a * f(u)) @ b`` and ``a @ (b * f(u))``, and their sums: a function inside a product."""
    shape = probe.truth.shape
    names = names[:10]
    inner = list(_matrix_products(_operands(probe, names, len(shape)), shape))
    reduced = [expr for expr in _reduced(_operands(probe, names, len(shape)), shape)]
    for product in inner[:16] + reduced[:8]:
        for position in range(1, len(product)):
            operand = product[position]
            value = (
                evaluate(operand, probe)
                if isinstance(operand, tuple) and operand and isinstance(operand[0], str)
                else None
            )
            if value is None:
                continue
            for name, pattern in itertools.product(names, FUNCTIONS):
                for base in (("base", name), ("T", ("base", name))):
                    array = evaluate(base, probe) if probe.bases[name].ndim > 1 or base[0] == "base" else None
                    if array is None or not array.ndim or not broadcasts(array, value.shape):
                        continue
                    yield (
                        *product[:position],
                        ("times", operand, ("apply", pattern, base)),
                        *product[position + 1 :],
                    )


def _own_sums(itself: Pool, ndim: int) -> Iterator[Expr]:
    for expr, _ in itself:
        for axis in range(ndim if ndim > 1 else 0):
            yield ("sum", expr, (axis,))
        if ndim:
            yield ("total", expr)


def _reduced(everything: Pool, shape: tuple[int, ...]) -> Iterator[Expr]:
    """Sums over the axes that an array, a product of two or a matrix product has and the output has not."""
    plain = [(expr, array) for expr, array in everything if expr[0] in ("base", "conj")]

    def axes_of(size: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if len(shape) < len(size) <= len(shape) + 2 and shape:
            for axes in itertools.combinations(range(len(size)), len(size) - len(shape)):
                if tuple(s for axis, s in enumerate(size) if axis not in axes) == shape:
                    yield axes

    def kept_axes(size: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if len(size) == len(shape):
            for axis in range(len(size)):
                if all(a == b for k, (a, b) in enumerate(zip(size, shape, strict=True)) if k != axis):
                    yield (axis,)

    for expr, array in plain:
        yield from (("reduce", expr, axes) for axes in axes_of(array.shape))
        yield from (("sum", expr, axes) for axes in kept_axes(array.shape))
    for (one, a), (two, b) in itertools.combinations(plain, 2):
        try:
            size = np.broadcast_shapes(a.shape, b.shape)
        except ValueError:
            continue
        if a.ndim and b.ndim:
            yield from (("reduce", ("times", one, two), axes) for axes in axes_of(size))
            if 1 in shape:
                yield from (("sum", ("times", one, two), axes) for axes in kept_axes(size))
    if len(shape) == 1 or (len(shape) == 2 and 1 in shape):
        for (one, a), (two, b) in itertools.product(everything, repeat=2):
            if a.ndim == b.ndim == 2 and a.shape[1] == b.shape[0]:
                product = ("matmul", one, two)
                yield from (("reduce", product, axes) for axes in axes_of((a.shape[0], b.shape[1])))
                if a.shape[0] > 1 and b.shape[1] > 1:
                    yield from (("sum", product, axes) for axes in kept_axes((a.shape[0], b.shape[1])))


def _totals(everything: Pool, dims: Sequence[str]) -> Iterator[Expr]:
    """For scalar outputs: sums of arrays, squares and products, times scalars and sizes."""
    arrays = [(expr, array) for expr, array in everything if array.ndim]
    scalars = [expr for expr, array in everything if not array.ndim]
    sizes: list[Expr] = [("dim", name) for name in dims]
    totals: list[Expr] = [("total", expr) for expr, _ in arrays if expr[0] == "base"]
    totals += [("total", ("power", expr, 2)) for expr, _ in arrays if expr[0] == "base"]
    totals += [("total", ("abs", expr)) for expr, _ in arrays if expr[0] == "base"]
    totals += [
        ("total", ("times", one, two))
        for (one, a), (two, b) in itertools.combinations(arrays, 2)
        if a.shape == b.shape
    ]
    yield from totals
    yield from sizes
    multipliers = scalars + sizes + [("power", size, -1) for size in sizes]
    multipliers += [("power", scalar, 2) for scalar in scalars]
    for one, two in itertools.product(multipliers, totals[:150]):
        yield ("times", one, two)
    for one, two in itertools.combinations(multipliers, 2):
        yield ("times", one, two)


def _products(fitting: Pool, itself: Pool) -> Iterator[Expr]:
    arrays = [(expr, array) for expr, array in fitting if array.ndim]
    for expr, _ in arrays:
        yield ("power", expr, 2)
    for (left, _), (right, _) in itertools.combinations(fitting, 2):
        yield ("times", left, right)
    for (left, _), (right, _) in itertools.product(fitting, itself):
        yield ("times", left, right)


def _function_terms(fitting: Pool) -> Iterator[Expr]:
    """``a * f(b)`` and ``f(b)`` of a few arguments, for functions that derivatives are made of."""
    arrays = [expr for expr, array in fitting if array.ndim and expr[0] == "base"][:4]
    if any(np.iscomplexobj(array) for _, array in fitting):
        return
    for pattern, inner in itertools.product(list(FUNCTIONS)[2:], arrays):
        applied = ("apply", pattern, inner)
        yield applied
        yield from (("times", outer, applied) for outer in arrays)


def _own_products(fitting: Pool, itself: Pool) -> Iterator[Expr]:
    arrays = [expr for expr, array in fitting if array.ndim]
    for left, (right, _) in itertools.product(arrays, itself):
        yield ("times", ("power", left, 2), right)
    for expr in arrays:
        yield ("power", expr, 3)
        yield ("power", expr, -1)
        yield ("abs", expr)
    for left, right in itertools.permutations(arrays[:20], 2):
        yield ("times", ("power", left, 2), right)


def _triples(fitting: Pool) -> Iterator[Expr]:
    arrays = [expr for expr, array in fitting if array.ndim]
    for one, two, three in itertools.combinations(arrays[:14], 3):
        yield ("times", ("times", one, two), three)


def _matrix_products(everything: Pool, shape: tuple[int, ...]) -> Iterator[Expr]:
    for (left, a), (right, b) in itertools.product(everything, repeat=2):
        if not (a.ndim and b.ndim):
            continue
        if max(a.ndim, b.ndim) == 2 and a.shape[-1] == b.shape[-2 if b.ndim > 1 else 0]:
            behind = b.shape[1:] if b.ndim > 1 else ()
            if a.shape[:-1] + behind == shape:
                yield ("matmul", left, right)
        if a.ndim == b.ndim == 1 and a.shape + b.shape == shape:
            yield ("outer", left, right)


def _projections(fitting: Pool, itself: Pool, shape: tuple[int, ...]) -> Iterator[Expr]:
    """``w * sum(u * v)``: what centring, normalising and softmax subtract."""
    full = [(expr, array) for expr, array in fitting if array.ndim == len(shape)]
    inner = itself[:1] + [(expr, array) for expr, array in full if array.shape == shape]
    axes = [(axis,) for axis in range(len(shape))] if len(shape) > 1 else []
    for (outer, _), (one, _) in itertools.product(full[:16], inner[:16]):
        yield from (("times", outer, ("sum", one, axis)) for axis in axes)
        yield ("times", outer, ("total", one))
    pairs = list(itertools.combinations_with_replacement(inner[:12], 2))
    for (outer, _), ((one, _), (two, _)) in itertools.product(full[:12], pairs):
        product = ("times", one, two)
        yield from (("times", outer, ("sum", product, axis)) for axis in axes)
        yield ("times", outer, ("total", product))
