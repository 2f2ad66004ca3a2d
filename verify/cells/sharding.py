"""Sharded cells: the columns of a data set spread over all devices, under meshes with Auto and with Explicit axes.

In a process that has joined others (``jax.distributed``) the mesh spans all of them: each calls ``verify`` alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from verify.drawing.cases import Case, Structure
from verify.tracing.engine import Engine

SHARDED = {"sharded": AxisType.Auto, "sharded_explicit": AxisType.Explicit}
EACH = 2
"""Columns a device."""
PREFERRED = ("N", "B", "batch", "T")
AXIS = "data"
GIVEN_CASES = 40
"""Cases of a user's strategy among which one is looked for whose columns can be spread."""


def batch_dimension(structure: Structure) -> str | None:
    """The dimension that is spread: the customary names first, else the last one that no array has twice."""
    in_expressions = {s for shape in structure.shapes for s in shape if not s.isidentifier()}
    spread = [
        name
        for name in structure.dims
        if any(name in shape for shape in structure.shapes)
        and all(shape.count(name) < 2 for shape in structure.shapes)
        and not any(name in text for text in in_expressions)
    ]
    return next((name for name in PREFERRED if name in spread), spread[-1] if spread else None)


def batched_case(engine: Engine, dtype: str, index: int, count: int) -> Case | None:
    """A case whose batch can be spread over ``count`` devices (of a strategy's cases the best); None if none can."""
    first = engine.case(index, dtype)
    batch = batch_dimension(first.structure)
    if batch is None:
        return None
    if not engine.draws.given:
        return engine.completed(engine.draws.resized(first, {**first.dims, batch: EACH * count}))
    cases = [c for i in range(GIVEN_CASES) if (c := engine.case(i, dtype)).dims.get(batch)]
    best = max(cases, key=lambda c: math.gcd(c.dims[batch], count), default=None)
    return None if best is None or math.gcd(best.dims[batch], count) < 2 else best


class Spread:
    """How the arrays of one case lie on a mesh."""

    def __init__(self, engine: Engine, case: Case, devices: Sequence[Any], axes: AxisType):
        batch = batch_dimension(case.structure)
        assert batch is not None
        count = math.gcd(case.dims[batch], len(devices))
        self.mesh = Mesh(np.asarray(devices[:count]), (AXIS,), axis_types=(axes,))
        extra = engine.traced(case.structure, case.dtype, case.dims).extra_shapes
        shapes = [*case.structure.shapes, *(shape for shape, _ in extra)]
        self._specs = [
            PartitionSpec(*(AXIS if s == batch else None for s in shape))
            for shape in shapes
        ]  # fmt: skip

    def placed(self, arrays: Sequence[np.ndarray]) -> list[jax.Array]:
        """Arguments and cotangents, each process with its own columns."""
        return [self._placed(np.asarray(a), spec) for a, spec in zip(arrays, self._specs, strict=True)]

    def _placed(self, array: np.ndarray, spec: PartitionSpec) -> jax.Array:
        spec = PartitionSpec(*spec[: array.ndim])  # a key has an axis more than its shape says
        sharding = NamedSharding(self.mesh, spec)
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def gathered(x: Any) -> np.ndarray:
    """A result as a whole, wherever its parts lie."""
    if isinstance(x, jax.Array) and not x.is_fully_addressable:
        return np.asarray(multihost_utils.process_allgather(x, tiled=True))
    return np.asarray(x)
