"""Cases: one draw of sizes and values for a claim.

A *structure* is everything that forces a fresh trace: ranks of variadic axes, static options, the shape of a
drawn pytree. Within a structure sizes and values vary freely, so it is traced once, with symbolic dimensions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from handgrad.domains import Domain, real
from verify.drawing.values import complex_dtype

DTYPES = ("float64", "float32", "bfloat16", "float16")
SHRUNK, CLIMBED, TRIAL = "-shrunk", "-climbed", "-trial"
"""How the id of a case ends that was made from the one of its index."""
_ENDINGS = re.compile(rf"-(\d+)({TRIAL}\d+|{CLIMBED}|{SHRUNK})*$")


def index_of(case_id: str) -> int:
    """The index from which the case of this id was made."""
    found = _ENDINGS.search(case_id)
    if found is None:
        raise ValueError(f"{case_id!r} is not the id of a case; wanted one like `ridge_gradient-1a2b3c-0-float64-17`")
    return int(found.group(1))


@dataclass(frozen=True)
class Leaf:
    """One array argument, or one leaf of a pytree: ``params[0].W``."""

    label: str
    kind: str
    dtype: str | None
    shape: tuple[str, ...]
    domain: Domain = real

    def in_dtype(self, dtype: str) -> str:
        """The dtype of this leaf in a cell of ``dtype``."""
        if self.dtype is not None:
            return self.dtype
        if self.kind == "float":
            return dtype
        if self.kind == "complex":
            return complex_dtype(dtype)
        if self.kind == "key":
            return "uint32"
        return "bool" if self.kind == "bool" else ("int64" if dtype == "float64" else "int32")


@dataclass(frozen=True, eq=False)
class Structure:
    """What a trace depends on: the leaves with their symbolic shapes, the static options, the pytrees."""

    key: Any
    leaves: tuple[Leaf, ...]
    dims: tuple[str, ...]
    statics: Mapping[str, Any]
    build: Callable[[Sequence[Any]], dict[str, Any]]
    shapes: tuple[tuple[str, ...], ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shapes", tuple(leaf.shape for leaf in self.leaves))

    def __str__(self) -> str:
        return ", ".join(f"{k}={v!r}" for k, v in self.statics.items())


@dataclass(frozen=True, eq=False)
class Case:
    """One draw. ``values`` are the leaves of the arguments; cotangents and tangents come later."""

    id: str
    index: int
    structure: Structure
    dims: Mapping[str, int]
    values: tuple[np.ndarray, ...]
    dtype: str
    extra: tuple[np.ndarray, ...] = ()
    plain: bool = False

    @cached_property
    def size(self) -> int:
        """Entries of all input arrays together."""
        return sum([v.size for v in self.values])
