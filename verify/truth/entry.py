"""The truth of one entry of a result: the value or derivative that belongs there, from the oracle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from flint import acb

from verify.cells.comparison import as_wide
from verify.truth.oracle import Oracle, Truth, radius, to_floats
from verify.truth.sides import Sides

WITH_VALUES = ("value_and_gradient", "custom_vjp", "custom_jvp", "equal_to", "at_most")
"""Relations whose result begins with the outputs of the primal."""


@dataclass(frozen=True)
class Entry:
    """One entry of the result and its truth, ``value`` to within ``error``; see :class:`Truth`."""

    leaf: int
    at: tuple[int, ...]
    value: Any
    error: float
    left: Any
    right: Any
    kink: bool
    exact: Any = None
    """The ball, where there is one."""


class Entries:
    """The truth of any entry at one case."""

    def __init__(self, sides: Sides, oracle: Oracle):
        self.sides, self.oracle = sides, oracle
        self._tangents: list[Truth] | None = None

    def at(self, leaf: int, flat: int) -> Entry:
        """The truth of the entry that is the ``flat``-th of an output."""
        shape = np.shape(self.sides.reference[leaf])
        at = tuple(int(i) for i in np.unravel_index(flat, shape)) if shape else ()
        truth, position = self.truth_at(leaf, at, flat)
        of = lambda x: x.reshape(-1)[position]  # noqa: E731
        return Entry(
            leaf, at, of(truth.value), float(of(truth.error)), of(truth.left), of(truth.right), bool(of(truth.kink)),
            None if truth.exact is None else of(truth.exact),
        )  # fmt: skip

    def truth_at(self, leaf: int, at: tuple[int, ...], flat: int) -> tuple[Truth, int]:
        """The derivative that belongs to one entry, and where it stands in the array returned."""
        relation, wrt, oracle = self.sides.relation, self.sides.traced.wrt, self.oracle
        values = oracle.value() if relation in WITH_VALUES else ()
        outputs = [v for v in values if v.dtype == object or v.dtype.kind in "fc"]
        if leaf < len(outputs):
            return _exactly(outputs[leaf], self.sides.exact), flat
        if relation in ("jvp", "custom_jvp"):
            if self._tangents is None:
                self._tangents = oracle.tangent(wrt)
            return self._tangents[leaf - len(outputs)], flat
        return self._partial(wrt[leaf - len(outputs)], at), 0

    def _partial(self, leaf: int, at: tuple[int, ...]) -> Truth:
        oracle = self.oracle
        if self.sides.relation == "hvp":
            return oracle.second(self.sides.traced.wrt, leaf, at)
        if self.sides.case.values[leaf].dtype.kind != "c":
            return oracle.entry(leaf, at)
        # JAX's convention: the cotangent of z = x + iy is d/dx - i d/dy.
        return _complex(oracle.entry(leaf, at), oracle.entry(leaf, at, imaginary=True))


def _exactly(output: np.ndarray, exact: bool) -> Truth:
    """The truth of a value: the primal itself."""
    value = to_floats(output) if exact else as_wide(output)
    error = radius(output) if exact else np.finfo(np.longdouble).eps * np.abs(value)
    return Truth(value, np.asarray(error), value, value, np.zeros(value.shape, bool), output if exact else None)


def _complex(real: Truth, imaginary: Truth) -> Truth:
    exact = None
    if real.exact is not None and imaginary.exact is not None:
        combine = np.frompyfunc(lambda a, b: acb(getattr(a, "real", a), -getattr(b, "real", b)), 2, 1)
        exact = np.asarray(combine(real.exact, imaginary.exact), dtype=object)
    return Truth(
        real.value - 1j * imaginary.value,
        real.error + imaginary.error,
        real.left - 1j * imaginary.left,
        real.right - 1j * imaginary.right,
        real.kink | imaginary.kink,
        exact,
    )
