"""Where it fails: positions in the output, values of the input at an entry, values in a whole case."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from verify.hypotheses.cases import Case, as_float, is_direction
from verify.hypotheses.conditions import Feature
from verify.hypotheses.structure import axis_name

_ROWS = 20000


def positions(cases: Sequence[Case], dims: Sequence[str]) -> tuple[str, int, int] | None:
    """The place (``the diagonal``) that holds every failing entry, and nearly only such; with counts inside it."""
    failing = [case for case in cases if case.failed and case.same_shape and case.truth.ndim]
    if not failing or len({case.truth.ndim for case in failing}) != 1:
        return None
    for name, place in _places(failing[0].truth.ndim, dims):
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
    return None


Place = Callable[[np.ndarray, tuple[int, ...]], np.ndarray]


def _places(ndim: int, dims: Sequence[str]) -> Iterator[tuple[str, Place]]:
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


def entry_rows(cases: Sequence[Case], quiet: bool) -> tuple[list[Feature], np.ndarray]:
    """Features an entry: the input there, its magnitude, pairs of inputs, ties; and whether the entry fails.

    ``quiet``: leave out entries where both values are zero, at which no mistake shows.
    """
    usable = [case for case in cases if case.same_shape and case.truth.size]
    usable.sort(key=lambda case: not case.failed)
    total, kept = 0, []
    for case in usable:
        if total + case.truth.size <= _ROWS:
            kept.append(case)
            total += case.truth.size
    if not kept:
        return [], np.zeros(0, bool)
    masks = []
    for case in kept:
        mask = np.isfinite(case.truth)
        if quiet:
            mask &= (case.hand != 0) | (case.truth != 0) | case.bad
        masks.append(mask)
    fails = np.concatenate([case.bad[mask] for case, mask in zip(kept, masks, strict=True)])
    features = []
    arrays: dict[str, list[np.ndarray]] = {}
    for name in kept[0].bases:
        spread = [_at_entries(case, name) for case in kept]
        if all(part is not None for part in spread):
            arrays[name] = spread  # type: ignore[assignment]

    def column(parts: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate([part[mask] for part, mask in zip(parts, masks, strict=True)])

    def add(
        name: str, parts: Sequence[np.ndarray], family: str, spoken: dict[str, str] | None = None
    ) -> None:
        features.append(Feature(name, column(parts).real, family, spoken))

    for name, parts in arrays.items():
        family = (
            "direction"
            if is_direction(name, kept[0].sample)
            else ("value" if name in kept[0].sample.inputs else "intermediate")
        )
        if _boolean(kept[0], name):
            add(
                name,
                parts,
                "mask",
                {
                    "== 1": f"{name} is True",
                    "== 0": f"{name} is False",
                    "!= 0": f"{name} is True",
                    "> 0": f"{name} is True",
                },
            )
            continue
        add(name, parts, family)
        add(
            f"|{name}|",
            [np.abs(part) for part in parts],
            family,
            {"== 0": f"{name} == 0", "!= 0": f"{name} != 0"},
        )
    own = [name for name in arrays if name in kept[0].sample.inputs]
    for one, two in itertools.combinations(own, 2):
        parts = [a - b for a, b in zip(arrays[one], arrays[two], strict=True)]
        add(
            f"{one} - {two}",
            parts,
            "tie",
            {
                "== 0": f"{one} == {two}",
                "!= 0": f"{one} != {two}",
                "> 0": f"{one} > {two}",
                "< 0": f"{one} < {two}",
                ">= 0": f"{one} >= {two}",
                "<= 0": f"{one} <= {two}",
            },
        )
    for name in own:
        ties = [_repeats(part) for part in arrays[name]]
        add(
            f"repeats of {name}",
            ties,
            "tie",
            {
                "> 1": f"{name} has another entry of the same value",
                "!= 1": f"{name} has another entry of the same value",
                "> 0": f"{name} has another entry of the same value",
                ">= 2": f"{name} has another entry of the same value",
            },
        )
        for axis in range(arrays[name][0].ndim):
            if all(part.ndim > axis for part in arrays[name]):
                top = [part.real == part.real.max(axis=axis, keepdims=True) for part in arrays[name]]
                tied = [mark * mark.sum(axis=axis, keepdims=True) for mark in top]
                add(
                    f"maximum of {name}",
                    [np.asarray(mark, float) for mark in top],
                    "maximum",
                    {
                        "== 1": f"{name} is the largest along axis {axis}",
                        "> 0": f"{name} is the largest along axis {axis}",
                        "== 0": f"{name} is not the largest along axis {axis}",
                        "< 1": f"{name} is not the largest along axis {axis}",
                    },
                )
                add(
                    f"tied maxima of {name}",
                    [np.asarray(mark, float) for mark in tied],
                    "tie",
                    {
                        "> 1": f"{name} ties for the largest along axis {axis}",
                        "== 2": f"{name} ties for the largest along axis {axis}",
                    },
                )
    return features, fails


def _boolean(case: Case, name: str) -> bool:
    return name in case.sample.inputs and np.asarray(case.sample.inputs[name]).dtype == bool


def _at_entries(case: Case, name: str) -> np.ndarray | None:
    array = case.bases.get(name)
    if array is None or array.ndim == 0 or array.ndim > case.truth.ndim:
        return None
    try:
        return np.broadcast_to(array, case.truth.shape)
    except ValueError:
        return None


def _repeats(array: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(array, return_inverse=True, return_counts=True)
    return counts[inverse].reshape(array.shape).astype(float)


def case_features(cases: Sequence[Case]) -> list[Feature]:
    """Features a case: scalar inputs, options, and what is extreme or degenerate in an array."""
    features: list[Feature] = []
    first = cases[0].sample
    for name, value in first.inputs.items():
        if any(name not in case.sample.inputs for case in cases):
            continue
        values = [case.sample.inputs[name] for case in cases]
        if as_float(value) is None or (np.asarray(value).dtype == bool and np.ndim(value) == 0):
            for option in sorted({str(v) for v in values}):
                features.append(
                    Feature(
                        f"{name} {option}",
                        np.array([float(str(v) == option) for v in values]),
                        "option",
                        {
                            "== 1": f"{name} is {option}",
                            "== 0": f"{name} is not {option}",
                            "> 0": f"{name} is {option}",
                            "!= 1": f"{name} is not {option}",
                        },
                    )
                )
            continue
        arrays = [case.bases[name] for case in cases]
        family = "direction" if is_direction(name, first) else "value"
        features += _array_features(name, arrays, family)
    return features


def _array_features(name: str, arrays: Sequence[np.ndarray], family: str) -> Iterator[Feature]:
    def measured(measure) -> np.ndarray:
        with np.errstate(all="ignore"):
            return np.array([float(measure(array)) if array.size else np.nan for array in arrays])

    if all(array.ndim == 0 for array in arrays):
        yield Feature(name, measured(lambda a: a.real), family)
        yield Feature(f"|{name}|", measured(np.abs), family, {"== 0": f"{name} == 0", "!= 0": f"{name} != 0"})
        return
    yield Feature(
        f"max |{name}|", measured(lambda a: np.abs(a).max()), family, {"== 0": f"{name} is all zero"}
    )
    yes = {"== 1", "> 0"}
    zero, tied = f"{name} has a zero entry", f"{name} has repeated entries"
    yield Feature(zero, measured(lambda a: np.any(a == 0)), "degenerate", dict.fromkeys(yes, zero))
    yield Feature(
        tied, measured(lambda a: len(np.unique(a)) < a.size), "degenerate", dict.fromkeys(yes, tied)
    )
    constant = f"all entries of {name} are equal"
    yield Feature(
        constant,
        measured(lambda a: a.max() == a.min() if a.dtype.kind == "f" else np.ptp(np.abs(a)) == 0),
        "degenerate",
        dict.fromkeys(yes, constant),
    )
    row = f"{name} has a zero row or column"
    yield Feature(
        row,
        measured(lambda a: a.ndim > 1 and any(np.any(np.all(a == 0, axis=axis)) for axis in range(a.ndim))),
        "degenerate",
        dict.fromkeys(yes, row),
    )
    if family == "direction":
        ones = f"{name} is not all ones"
        yield Feature(
            ones, measured(lambda a: np.any(a != 1)), "direction", {"== 1": ones, "> 0": ones, "!= 0": ones}
        )
    yield Feature(f"max {name}", measured(lambda a: a.real.max()), family)
    yield Feature(f"min {name}", measured(lambda a: a.real.min()), family)
    yield Feature(f"min |{name}|", measured(lambda a: np.abs(a).min()), family, {"== 0": zero})
    yield Feature(f"norm({name})", measured(lambda a: np.sqrt(np.sum(np.abs(a) ** 2))), family)
    if all(array.ndim == 2 for array in arrays):
        unequal = f"{name} is not symmetric"
        yield Feature(
            unequal,
            measured(lambda a: a.shape[0] != a.shape[1] or np.any(a != a.T)),
            "degenerate",
            dict.fromkeys(yes, unequal),
        )
