"""Quantities: the numbers of a case of which a factor may be made: sizes, scalar inputs, sums and norms of arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from verify.hypotheses.cases import Case, is_direction


@dataclass(frozen=True)
class Quantity:
    """A number a case: a size (``N``), a size plus or minus one, a scalar input, a norm."""

    name: str
    of: Callable[[Case], Any]
    family: str


def dimension_quantities(cases: Sequence[Case]) -> list[Quantity]:
    """The named sizes, then axes of arguments that no name covers."""
    names = [name for name in cases[0].sample.dims if all(name in case.sample.dims for case in cases)]
    found = [Quantity(name, lambda case, name=name: case.sample.dims[name], "dims") for name in names]
    covered = {tuple(case.sample.dims[name] for case in cases) for name in names}
    for name, array in cases[0].bases.items():
        if name not in cases[0].sample.inputs or np.shape(cases[0].sample.inputs[name]) != array.shape:
            continue
        for axis in range(array.ndim):
            try:
                sizes = tuple(case.bases[name].shape[axis] for case in cases)
            except (KeyError, IndexError):
                continue
            if sizes not in covered:
                covered.add(sizes)
                found.append(
                    Quantity(
                        f"{name}.shape[{axis}]",
                        lambda case, name=name, axis=axis: case.bases[name].shape[axis],
                        "dims",
                    )
                )
    return found


def shifted(quantities: Iterable[Quantity], shifts=(-1, 1)) -> list[Quantity]:
    """One more and one less of each."""
    return [
        Quantity(
            f"{q.name}{shift:+d}",
            lambda case, q=q, shift=shift: q.of(case) + shift,
            q.family if q.family == "scalar" else q.family + " shifted",
        )
        for q in quantities
        for shift in shifts
    ]


def scalar_quantities(cases: Sequence[Case]) -> list[Quantity]:
    """Scalar inputs and scalar intermediates, and one minus or plus a scalar input."""
    found = []
    first = cases[0]
    for name, array in first.bases.items():
        if array.ndim or any(name not in case.bases or case.bases[name].ndim for case in cases):
            continue
        family = (
            "direction"
            if is_direction(name, first.sample)
            else ("scalar" if name in first.sample.inputs else "intermediate")
        )
        quantity = Quantity(name, lambda case, name=name: case.bases[name][()], family)
        found.append(quantity)
        if family == "scalar" and np.asarray(first.sample.inputs[name]).dtype.kind in "iu":
            found += shifted([quantity])
        elif family == "scalar":
            found.append(Quantity(f"1 - {name}", lambda case, q=quantity: 1 - q.of(case), "scalar"))
            found.append(Quantity(f"1 + {name}", lambda case, q=quantity: 1 + q.of(case), "scalar"))
    return found


def summaries(cases: Sequence[Case]) -> list[Quantity]:
    """Sums, means, norms and extremes of arrays."""
    measures = {
        "sum({})": np.sum,
        "mean({})": np.mean,
        "norm({})": lambda a: np.sqrt(np.sum(np.abs(a) ** 2)),
        "max({})": lambda a: np.max(a.real),
        "min({})": lambda a: np.min(a.real),
    }
    found = []
    for name in cases[0].bases:
        if any(name not in case.bases or case.bases[name].size == 0 for case in cases):
            continue
        family = "direction" if is_direction(name, cases[0].sample) else "summary"
        for pattern, measure in measures.items():
            found.append(
                Quantity(
                    pattern.format(name),
                    lambda case, name=name, measure=measure: measure(case.bases[name]),
                    family,
                )
            )
    return found
