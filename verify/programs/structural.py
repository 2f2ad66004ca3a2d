"""Movement of entries, whatever they are: helpers that every arithmetic shares.

Nothing here computes with values, except through operations it is given; arrays may hold floats of any kind,
integers, or objects such as balls.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from verify.programs.arithmetic import Undecided

Pairs = Sequence[Sequence[int]]


def broadcast(value: Any, shape: tuple[int, ...]) -> np.ndarray:
    out = np.empty(shape, getattr(value, "dtype", object))
    out[...] = value
    return out


def choose(which: Any, cases: Sequence[Any]) -> Any:
    which = np.asarray(which)
    out = cases[0]
    for i, case in enumerate(cases[1:], 1):
        out = np.where(which == i, case, out)
    return out


def pad(operand: Any, value: Any, config: Pairs) -> np.ndarray:
    """lax.pad: (low, high, interior) per axis; negative low or high cuts."""
    operand = np.asarray(operand)
    inner = [n + max(n - 1, 0) * c[2] for n, c in zip(operand.shape, config, strict=True)]
    out = np.empty([max(n + c[0] + c[1], 0) for n, c in zip(inner, config, strict=True)], operand.dtype)
    out[...] = value
    target, source = [], []
    for n, size, (low, _, interior) in zip(out.shape, operand.shape, config, strict=True):
        step = interior + 1
        first = max(0, -(low // step)) if low < 0 else 0  # first entry that lands inside
        last = min(size, (n - 1 - low) // step + 1) if n else 0
        start = low + first * step
        target.append(slice(start, start + max(last - first, 0) * step, step))
        source.append(slice(first, max(last, first)))
    out[tuple(target)] = operand[tuple(source)]
    return out


def _starts(starts: Sequence[Any], shape: Sequence[int], sizes: Sequence[int]) -> tuple[slice, ...]:
    clamped = [min(max(int(i), 0), n - size) for i, n, size in zip(starts, shape, sizes, strict=True)]
    return tuple(slice(i, i + size) for i, size in zip(clamped, sizes, strict=True))


def dynamic_slice(operand: np.ndarray, starts: Sequence[Any], sizes: Sequence[int]) -> np.ndarray:
    return operand[_starts(starts, operand.shape, sizes)]


def dynamic_update_slice(operand: np.ndarray, update: np.ndarray, starts: Sequence[Any]) -> np.ndarray:
    out = operand.copy()
    out[_starts(starts, operand.shape, update.shape)] = update
    return out


# -- gather and scatter ----------------------------------------------------------------------------
def _windows(shape: tuple[int, ...], indices: np.ndarray, sizes: Sequence[int], rank: int,
             window: Sequence[int],
             windowed: Sequence[int], spec: tuple, clip: bool) -> tuple[list[np.ndarray], np.ndarray]:
    """For each axis of the operand the index of every entry of the windows, and which windows lie inside.

    `rank` is that of the gathered (scattered) array, `window` its axes that run along the axes `windowed` of
    the operand; its other axes are those of `indices`, the last excepted.
    """
    _, _, indexed, batching, indices_batching = spec
    batch = [i for i in range(rank) if i not in window]
    along = dict(zip(windowed, window, strict=True))
    expand = [1] * rank
    inside: Any = np.True_
    index = []
    for axis, (n, size) in enumerate(zip(shape, sizes, strict=True)):
        at: Any = 0
        if axis in indexed:
            start = indices[..., indexed.index(axis)].astype(np.int64)
            sizes_here = list(expand)
            for i, m in zip(batch, start.shape, strict=True):
                sizes_here[i] = m
            at = start.reshape(sizes_here)
            if not clip:
                inside = inside & (at >= 0) & (at <= n - size)
            at = np.minimum(np.maximum(at, 0), n - size)
        elif axis in batching:
            i = batch[indices_batching[batching.index(axis)]]
            at = np.arange(n).reshape([n if j == i else 1 for j in range(rank)])
        if axis in along:
            at = at + np.arange(size).reshape([size if j == along[axis] else 1 for j in range(rank)])
        index.append(np.asarray(at))
    return index, np.asarray(inside)


def _rows(shape: tuple[int, ...], sizes: Sequence[int], window: Sequence[int], collapsed: Sequence[int],
          indexed: Sequence[int], batching: Sequence[int], rank: int) -> int | None:
    """The axis, if whole slices along one axis are taken and its place goes to the axes of the indices."""
    if len(indexed) != 1 or tuple(collapsed) != tuple(indexed) or batching:
        return None
    (axis,) = indexed
    full = all(s == n for i, (s, n) in enumerate(zip(sizes, shape, strict=True)) if i != axis)
    places = [i for i in range(rank) if i not in window]
    in_place = places == list(range(axis, axis + len(places)))
    return axis if full and in_place and shape[axis] else None


def gather(operand: Any, indices: np.ndarray, spec: tuple, sizes: Sequence[int], mode: str, fill: Any) -> Any:
    operand, indices = np.asarray(operand), np.asarray(indices)
    offset, collapsed, indexed, batching, _ = spec
    rank = indices.ndim - 1 + len(offset)
    axis = _rows(operand.shape, sizes, offset, collapsed, indexed, batching, rank)
    if axis is not None:
        at = indices[..., 0]
        out = operand.take(at, axis, mode="clip")
        if mode != "FILL_OR_DROP":
            return out
        inside = (at >= 0) & (at < operand.shape[axis])
        if inside.all():
            return out
        return np.where(inside.reshape(*at.shape, *[1] * (operand.ndim - axis - 1)), out, fill)
    windowed = [d for d in range(operand.ndim) if d not in collapsed and d not in batching]
    index, inside = _windows(operand.shape, indices, sizes, rank, offset, windowed, spec,
                             mode != "FILL_OR_DROP")
    lengths = iter(indices.shape[:-1])
    shape = [sizes[windowed[offset.index(i)]] if i in offset else next(lengths) for i in range(rank)]
    empty = 0 in operand.shape
    out = broadcast(fill, tuple(shape)) if empty else np.broadcast_to(operand[tuple(index)], shape)
    return out if inside.all() else np.where(inside, out, fill)


def scatter(combine: Callable[..., None], operand: Any, indices: np.ndarray, updates: Any, spec: tuple,
            mode: str) -> Any:
    out, updates, indices = np.array(operand), np.asarray(updates), np.asarray(indices)
    window, inserted, indexed, batching, _ = spec
    windowed = [d for d in range(out.ndim) if d not in inserted and d not in batching]
    along = dict(zip(windowed, window, strict=True))
    sizes = [updates.shape[along[d]] if d in along else 1 for d in range(out.ndim)]
    axis = _rows(out.shape, sizes, window, inserted, indexed, batching, updates.ndim)
    if axis is not None and mode != "CLIP":
        at = indices[..., 0]
        if not at.size or (at.min() >= 0 and at.max() < out.shape[axis]):
            combine(out, (slice(None),) * axis + (at,), updates)
            return out
    index, inside = _windows(out.shape, indices, sizes, updates.ndim, window, windowed, spec, mode == "CLIP")
    index = [np.broadcast_to(i, updates.shape) for i in index]
    if not inside.all():
        keep = np.broadcast_to(inside, updates.shape)
        index, updates = [i[keep] for i in index], updates[keep]
    combine(out, tuple(index), updates)
    return out


# -- order -----------------------------------------------------------------------------------------
def top_k(sort: Callable, to_index: Callable, operand: np.ndarray, k: int, axis: int) -> tuple:
    """The k largest, ties in order of position: the reverse of a stable sort of the reversed array."""
    flipped = np.flip(operand, axis)
    n = operand.shape[axis]
    places = np.arange(n - 1, -1, -1).reshape([n if i == axis else 1 for i in range(operand.ndim)])
    values, order = sort((flipped, np.broadcast_to(places, operand.shape)), axis, 1)
    largest = (slice(None),) * axis + (slice(None, n - k - 1 if n > k else None, -1),)
    return values[largest], to_index(order[largest])


def cumulative(accumulate: Callable, operand: np.ndarray, axis: int, reverse: bool) -> np.ndarray:
    if reverse:
        return np.flip(accumulate(np.flip(operand, axis), axis), axis)
    return accumulate(operand, axis)


# -- windows ---------------------------------------------------------------------------------------
def windows(operand: np.ndarray, value: Any, sizes: Sequence[int], strides: Sequence[int], padding: Pairs,
            base_dilation: Sequence[int], window_dilation: Sequence[int]) -> np.ndarray:
    """Every window of a padded array: its positions, then the axes inside a window."""
    config = [(low, high, d - 1) for (low, high), d in zip(padding, base_dilation, strict=True)]
    if any(any(c) for c in config):
        operand = pad(operand, value, config)
    extent = [(size - 1) * d + 1 for size, d in zip(sizes, window_dilation, strict=True)]
    view = sliding_window_view(operand, extent)
    return view[tuple(slice(None, None, step) for step in (*strides, *window_dilation))]


def reduce_window(reduce: Callable, operand: np.ndarray, empty: Any, geometry: tuple) -> Any:
    view = windows(operand, empty, *geometry)
    return reduce(view, tuple(range(operand.ndim, view.ndim)))


def fold(f: Callable, operands: Sequence[Any], inits: Sequence[Any], axes: Sequence[int]) -> tuple:
    """lax.reduce with a combination of its own, applied entry by entry."""
    kept = [i for i in range(operands[0].ndim) if i not in axes]
    shape = [operands[0].shape[i] for i in kept]
    lanes = [o.transpose((*kept, *axes)).reshape((*shape, -1)) for o in operands]
    state = tuple(broadcast(init, tuple(shape)) for init in inits)
    for i in range(lanes[0].shape[-1]):
        state = f(*state, *(lane[..., i] for lane in lanes))
    return state


def fold_window(f: Callable, operands: Sequence[Any], inits: Sequence[Any], geometry: tuple) -> tuple:
    views = [windows(o, i, *geometry) for o, i in zip(operands, inits, strict=True)]
    return fold(f, views, inits, range(operands[0].ndim, views[0].ndim))


def _selected(arg: Callable, operand: np.ndarray, worst: Any, geometry: tuple) -> np.ndarray:
    """For every window the flat position in the operand of the entry that it selects."""
    view = windows(operand, worst, *geometry)
    places = windows(np.arange(operand.size).reshape(operand.shape), -1, *geometry)
    shape = view.shape[:operand.ndim]
    best = np.asarray(arg(view.reshape((*shape, -1)), operand.ndim))
    return np.take_along_axis(places.reshape((*shape, -1)), best[..., None], -1)[..., 0]


def select_and_scatter(arg: Callable, add_at: Callable, source: np.ndarray, operand: np.ndarray, worst: Any,
                       zero: Any, geometry: tuple) -> np.ndarray:
    chosen = _selected(arg, operand, worst, geometry)
    out = broadcast(zero, (operand.size,))
    add_at(out, (chosen.reshape(-1),), source.reshape(-1))
    return out.reshape(operand.shape)


def select_and_gather(arg: Callable, tangents: np.ndarray, operand: np.ndarray, worst: Any,
                      geometry: tuple) -> np.ndarray:
    return tangents.reshape(-1)[_selected(arg, operand, worst, geometry)]


def conv(matmul: Callable, lhs: np.ndarray, rhs: np.ndarray, strides: Sequence[int], padding: Pairs,
         lhs_dilation: Sequence[int], rhs_dilation: Sequence[int], specs: tuple, feature_groups: int,
         batch_groups: int) -> np.ndarray:
    """Convolution as one matrix product per group, over all windows."""
    lhs_spec, rhs_spec, out_spec = specs
    lhs, rhs = lhs.transpose(lhs_spec), rhs.transpose(rhs_spec)  # batch, features, space; out, in, space
    if batch_groups > 1:
        n, c, *space = lhs.shape
        lhs = lhs.reshape(batch_groups, n // batch_groups, c, *space).swapaxes(0, 1)
        lhs = lhs.reshape(n // batch_groups, batch_groups * c, *space)
        feature_groups = batch_groups
    out_features, in_features, *kernel = rhs.shape
    geometry = ((1, 1, *kernel), (1, 1, *strides), ((0, 0), (0, 0), *padding), (1, 1, *lhs_dilation),
                (1, 1, *rhs_dilation))
    zero = np.zeros((), lhs.dtype)[()]
    view = windows(lhs, zero, *geometry)
    dims = len(kernel)
    n, _, *out_space = view.shape[:2 + dims]
    view = view.reshape(n, feature_groups, in_features, *out_space, *kernel)
    order = (1, 0, *range(3, 3 + dims), 2, *range(3 + dims, 3 + 2 * dims))
    patches = view.transpose(order).reshape(feature_groups, n * int(np.prod(out_space, dtype=int)), -1)
    weights = rhs.reshape(feature_groups, out_features // feature_groups, -1).transpose(0, 2, 1)
    out = matmul(patches, weights).reshape(feature_groups, n, *out_space, out_features // feature_groups)
    out = out.transpose(1, 0, 2 + dims, *range(2, 2 + dims)).reshape(n, out_features, *out_space)
    return out.transpose(np.argsort(out_spec))


# -- control flow ----------------------------------------------------------------------------------
def scan(body: Callable, consts: tuple, carry: tuple, xs: tuple, length: int, reverse: bool,
         stacked: Sequence[tuple[int, ...]]) -> tuple:
    n = len(carry)
    rows: list[tuple] = []
    for i in reversed(range(length)) if reverse else range(length):
        out = body(*consts, *carry, *(x[i] for x in xs))
        carry = out[:n]
        rows.append(out[n:])
    if reverse:
        rows.reverse()
    if not rows:
        return (*carry, *(np.zeros(shape) for shape in stacked))
    return (*carry, *(_stacked(column, shape) for column,
                      shape in zip(zip(*rows, strict=True), stacked, strict=True)))


def _stacked(rows: Sequence[Any], shape: tuple[int, ...]) -> np.ndarray:
    out = np.empty(shape, getattr(rows[0], "dtype", object))
    for i, row in enumerate(rows):
        out[i] = row
    return out


def while_loop(condition: Callable, body: Callable, cond_consts: tuple, body_consts: tuple,
               carry: tuple, most: float = math.inf) -> tuple:
    """Of a batch, as vmap makes it, each element stops when its own condition fails.

    One that never stops has no value, nor has a loop that is far from its end after long; one of more than ``most``
    turns is given up.
    """
    count = 0
    while np.any(going := np.asarray(condition(*cond_consts, *carry)[0])):
        count += 1
        if count > most:
            raise Undecided(f"a loop has not ended after {most:g} turns")
        if count > (MOST_REPEATED if going.ndim else MOST_TURNS):
            return tuple(np.where(_leading(going, np.ndim(c)), _nothing(c), c) for c in carry)
        after = body(*body_consts, *carry)
        if going.ndim and not going.all():
            after = tuple(np.where(_leading(going, np.ndim(a)), a, c) for a, c in zip(after, carry, strict=True))
        carry = after
    return carry


MOST_REPEATED, MOST_TURNS = 2000, 100_000
"""Far more than a series or a fraction takes that converges in double precision; and what a loop may take that may also
count."""


def _nothing(like: np.ndarray) -> Any:
    return like if like.dtype.kind in "iub" else like * float("nan")


def _leading(which: np.ndarray, ndim: int) -> np.ndarray:
    return which.reshape(which.shape + (1,) * (ndim - which.ndim))


def branch(index: Any, branches: Sequence[Callable]) -> Callable:
    return branches[min(max(int(index), 0), len(branches) - 1)]


def permutation(pivots: np.ndarray, size: int) -> np.ndarray:
    """LAPACK's row swaps as a permutation."""
    out = np.broadcast_to(np.arange(size, dtype=pivots.dtype), (*pivots.shape[:-1], size)).copy()
    for at in product(*map(range, pivots.shape[:-1])):
        row = out[at]
        for i, j in enumerate(pivots[at]):
            row[i], row[j] = row[j], row[i]
    return out


NAMES: dict[str, Any] = {
    f.__name__: f for f in (
        broadcast, choose, pad, dynamic_slice, dynamic_update_slice, gather, scatter, top_k, cumulative,
        reduce_window, fold, fold_window, select_and_scatter, select_and_gather, conv, scan, while_loop,
        branch,
        permutation)
} | {
    "reshape": np.reshape, "concatenate": np.concatenate, "stack": np.stack, "tile": np.tile,
    "dim_floordiv": operator.floordiv, "dim_mod": operator.mod, "dim_max": max, "dim_min": min,
}
