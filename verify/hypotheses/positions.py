"""Where it fails, by position in the output: the diagonal, a triangle, the first row, every second entry."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from verify.hypotheses.cases import Case
from verify.hypotheses.structure import axis_name


def positions(cases: Sequence[Case], dims: Sequence[str], plain: bool) -> tuple[str, int, int] | None:
    """The place (``the diagonal``) that holds every failing entry, and nearly only such; with counts inside it."""
    failing = [case for case in cases if case.failed and case.same_shape and case.truth.ndim]
    if not failing or len({case.truth.ndim for case in failing}) != 1:
        return None
    places = _plain_places if plain else _other_places
    for name, place in places(failing[0].truth.ndim, dims):
        inside = hit = spared = wide = 0
        for case in failing:
            mask = np.broadcast_to(place(np.indices(case.truth.shape), case.truth.shape), case.truth.shape)
            if np.any(case.bad & ~mask):
                break
            inside, hit = inside + mask.sum(), hit + case.bad.sum()
            spared += (~mask).sum()
            wide += (~mask).any()
        else:
            if hit >= 0.8 * inside and spared >= 3 and wide >= 2:
                return name, int(hit), int(inside)
    return None if plain else _same_entries(failing)


def _same_entries(failing: Sequence[Case]) -> tuple[str, int, int] | None:
    """One entry, or two, at the same index in every failing case, of many."""
    found = {tuple(int(i) for i in index) for case in failing for index in np.argwhere(case.bad)[: _FEW + 1]}
    if len(failing) < 3 or len(found) > _FEW or any(case.bad.size <= 9 * _FEW for case in failing):
        return None
    hit = sum(int(case.bad.sum()) for case in failing)
    word = "the entry" if len(found) == 1 else "the entries"
    names = " and ".join(f"[{', '.join(map(str, index))}]" for index in sorted(found))
    return f"{word} {names}", hit, len(found) * len(failing)


_FEW = 2
Place = Callable[[np.ndarray, tuple[int, ...]], np.ndarray]


def _plain_places(ndim: int, dims: Sequence[str]) -> Iterator[tuple[str, Place]]:
    if ndim >= 2:
        yield "the diagonal", lambda at, shape: at[-1] == at[-2]
    for axis in range(ndim):
        label = axis_name(axis, dims)
        word = {1: ["entry"], 2: ["row", "column"]}.get(ndim, [f"slice along {label}"] * ndim)[axis]
        yield f"the first {word}", lambda at, shape, axis=axis: at[axis] == 0
        yield f"the last {word}", lambda at, shape, axis=axis: at[axis] == shape[axis] - 1
    if ndim >= 2:
        yield "the strict lower triangle", lambda at, shape: at[-2] > at[-1]
        yield "the strict upper triangle", lambda at, shape: at[-2] < at[-1]
        yield "the lower triangle", lambda at, shape: at[-2] >= at[-1]
        yield "the upper triangle", lambda at, shape: at[-2] <= at[-1]
        yield "the superdiagonal", lambda at, shape: at[-1] == at[-2] + 1
        yield "the subdiagonal", lambda at, shape: at[-2] == at[-1] + 1


def _other_places(ndim: int, dims: Sequence[str]) -> Iterator[tuple[str, Place]]:
    for axis in range(ndim):
        label = axis_name(axis, dims)
        yield (
            f"the first and last index of {label}",
            (lambda at, shape, axis=axis: (at[axis] == 0) | (at[axis] == shape[axis] - 1)),
        )
        for index in (1, 2):
            yield f"index {index} of {label}", lambda at, shape, axis=axis, index=index: at[axis] == index
        for index in (2, 3, 4, 8, 16, 32, 64, 128):
            yield (
                f"index {index} and later of {label}",
                lambda at, shape, axis=axis, index=index: at[axis] >= index,
            )
        yield f"the odd indices of {label}", lambda at, shape, axis=axis: at[axis] % 2 == 1
        yield f"the even indices of {label}", lambda at, shape, axis=axis: at[axis] % 2 == 0
    for axis in range(ndim):
        label = axis_name(axis, dims)
        yield f"all but the first index of {label}", lambda at, shape, axis=axis: at[axis] != 0
        yield f"all but the last index of {label}", lambda at, shape, axis=axis: at[axis] != shape[axis] - 1
    if ndim >= 2:
        yield "the entries off the diagonal", lambda at, shape: at[-1] != at[-2]
        yield (
            "the edges",
            lambda at, shape: np.any(
                [(at[axis] == 0) | (at[axis] == shape[axis] - 1) for axis in range(len(shape))], axis=0
            ),
        )
