"""Where it fails, by value: what the inputs are at each output entry, for conditions such as ``x > 3``."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from verify.hypotheses.cases import Case, is_direction
from verify.hypotheses.conditions import Feature
from verify.hypotheses.dimension_values import compared

_ROWS = 20000
Column = Callable[[Sequence[np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class Entries:
    """Rows of the table: output entries. ``errors`` are relative, ``owners`` number the cases."""

    features: list[Feature]
    fails: np.ndarray
    errors: np.ndarray
    owners: np.ndarray

    @property
    def failing_cases(self) -> int:
        return len(np.unique(self.owners[self.fails]))


def entry_table(cases: Sequence[Case], quiet: bool) -> Entries | None:
    """The entries of failing and passing cases, with what the inputs are there.

    ``quiet``: leave out entries where both values are zero or drown in rounding: no mistake shows there.
    """
    kept = _within_budget(cases)
    if not kept:
        return None
    masks = []
    for case in kept:
        mask = np.isfinite(case.truth)
        seen = np.maximum(np.abs(case.hand), np.abs(case.truth)) > case.noise
        masks.append(mask & (seen | case.bad) if quiet else mask)

    def column(parts: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate([part[mask] for part, mask in zip(parts, masks, strict=True)])

    size = [np.maximum(np.abs(case.hand), np.abs(case.truth)) for case in kept]
    gaps = [
        np.abs(case.hand - case.truth) / np.maximum(s, 1e-300) for case, s in zip(kept, size, strict=True)
    ]
    errors = np.nan_to_num(column(gaps), nan=np.inf, posinf=np.inf)
    features = [*_values(kept, column), *_indexed(kept, column), *_of_the_case(kept, column)]
    owners = column([np.full(case.truth.shape, number) for number, case in enumerate(kept)])
    return Entries(features, column([case.bad for case in kept]), errors, owners)


def _of_the_case(cases: Sequence[Case], column: Column) -> Iterator[Feature]:
    """Scalar arguments and sizes, the same at every entry of a case: for conditions that join two."""
    for name, array in cases[0].bases.items():
        if array.ndim == 0 and name in cases[0].sample.inputs and all(name in case.bases for case in cases):
            yield Feature(
                name, column([np.full(c.truth.shape, np.real(c.bases[name])) for c in cases]), "scalar"
            )
    for name in cases[0].sample.dims:
        if all(name in case.sample.dims for case in cases):
            yield Feature(
                name, column([np.full(c.truth.shape, float(c.sample.dims[name])) for c in cases]), "size"
            )


def _within_budget(cases: Sequence[Case]) -> list[Case]:
    usable = [case for case in cases if case.same_shape and case.truth.size]
    usable.sort(key=lambda case: not case.failed)
    total, kept = 0, []
    for case in usable:
        if total + case.truth.size <= _ROWS:
            kept.append(case)
            total += case.truth.size
    return kept


def _values(cases: Sequence[Case], column: Column) -> Iterator[Feature]:
    """Each array that lies along the output, its magnitude, two compared, repeats and maxima."""
    arrays = spread(cases)
    inputs = cases[0].sample.inputs
    for name, parts in arrays.items():
        if name in inputs and np.asarray(inputs[name]).dtype == bool:
            yield Feature(name, np.real(column(parts)), "mask", yes=f"{name} is True", no=f"{name} is False")
            continue
        family = "intermediate"
        if name in inputs:
            family = "direction" if is_direction(name, cases[0].sample) else "value"
        yield Feature(name, np.real(column(parts)), family)
        zero = {"== 0": f"{name} == 0", "!= 0": f"{name} != 0"}
        yield Feature(f"|{name}|", np.abs(column(parts)), family, zero)
    own = [name for name in arrays if name in inputs and np.asarray(inputs[name]).dtype != bool]
    for one, two in itertools.combinations(own, 2):
        gap = np.real(column([a - b for a, b in zip(arrays[one], arrays[two], strict=True)]))
        yield compared(one, two, gap, "tie")
    for name in own:
        parts = [np.real(part) for part in arrays[name]]
        yield from _ties(name, parts, column)


def _ties(name: str, parts: Sequence[np.ndarray], column: Column) -> Iterator[Feature]:
    repeated = f"{name} has another entry of the same value"
    yield Feature(repeated, column([_repeats(part) > 1 for part in parts]), "tie", yes=repeated)
    for axis in range(parts[0].ndim):
        along = f"along axis {axis}"
        for text, slices in (
            (f"{name} is all zero {along}", [part == 0 for part in parts]),
            (f"{name} is constant {along}", [part == part.take([0], axis) for part in parts]),
        ):
            whole = [np.broadcast_to(s.all(axis=axis, keepdims=True), s.shape) for s in slices]
            yield Feature(text, column(whole), "tie", yes=text)
        tops = [part == part.max(axis=axis, keepdims=True) for part in parts]
        largest = f"{name} is the largest along axis {axis}"
        yield Feature(
            largest, column(tops), "maximum", yes=largest, no=f"{name} is not the largest along axis {axis}"
        )
        tied = f"{name} ties for the largest along axis {axis}"
        yield Feature(
            tied, column([top & (top.sum(axis=axis, keepdims=True) > 1) for top in tops]), "tie", yes=tied
        )


def _indexed(cases: Sequence[Case], column: Column) -> Iterator[Feature]:
    """Integer arguments as indices into an axis of the output: which positions they name, and how often."""
    ndim = cases[0].truth.ndim
    if any(case.truth.ndim != ndim for case in cases):
        return
    for name, value in cases[0].sample.inputs.items():
        if np.asarray(value).dtype.kind not in "iu" or any(name not in case.bases for case in cases):
            continue
        for axis in range(ndim):
            counts = [_counts(case, name, axis) for case in cases]
            if any(part is None for part in counts):
                continue
            known = [part for part in counts if part is not None]
            named = f"the index along axis {axis} occurs in {name}"
            other = f"the index along axis {axis} does not occur in {name}"
            yield Feature(named, column([part > 0 for part in known]), "mask", yes=named, no=other)
            twice = f"the index along axis {axis} occurs more than once in {name}"
            yield Feature(twice, column([part > 1 for part in known]), "accumulated", yes=twice)
        labels = [_labels(case, name) for case in cases]
        if all(part is not None for part in labels):
            hit = f"the entry is the one that {name} names"
            yield Feature(
                hit,
                column([part for part in labels if part is not None]),
                "mask",
                yes=hit,
                no=f"the entry is not the one that {name} names",
            )


def _counts(case: Case, name: str, axis: int) -> np.ndarray | None:
    size = case.truth.shape[axis]
    indices = np.real(case.bases[name]).astype(int).ravel()
    indices = np.where(indices < 0, indices + size, indices)
    if np.any((indices < 0) | (indices >= size)):
        return None
    counts = np.bincount(indices, minlength=size)
    shape = [1] * case.truth.ndim
    shape[axis] = size
    return np.broadcast_to(counts.reshape(shape), case.truth.shape)


def _labels(case: Case, name: str) -> np.ndarray | None:
    """One label a column (or a row): where the entry's other index equals it."""
    labels, shape = np.real(case.bases[name]), case.truth.shape
    if labels.ndim != 1 or len(shape) != 2:
        return None
    rows, columns = np.indices(shape)
    if len(labels) == shape[1] and (labels.size == 0 or labels.max() < shape[0]):
        return rows == labels[None, :]
    if len(labels) == shape[0] and (labels.size == 0 or labels.max() < shape[1]):
        return columns == labels[:, None]
    return None


def spread(cases: Sequence[Case]) -> dict[str, list[np.ndarray]]:
    """The arrays that broadcast to the output in every case, so spread."""
    found = {}
    for name in cases[0].bases:
        parts = [at_entries(case, name) for case in cases]
        known = [part for part in parts if part is not None]
        if len(known) == len(parts):
            found[name] = known
    return found


def at_entries(case: Case, name: str) -> np.ndarray | None:
    """The array spread over the output's entries; None for scalars and for what does not broadcast."""
    array = case.bases.get(name)
    if array is None or array.ndim == 0 or array.ndim > case.truth.ndim:
        return None
    try:
        return np.broadcast_to(array, case.truth.shape)
    except ValueError:
        return None


def _repeats(array: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(array, return_inverse=True, return_counts=True)
    return counts[inverse].reshape(array.shape)
