"""Fixed draws: a claim at given arguments, and around them at the same shapes and dtypes.

For code without annotations (``verify(hand, loss, wrt="W", at=(W, X, Y))``) and for real states (a network in
training). The first case is the given one, bit for bit; the others move its entries and keep their signs and zeros, so
that they stay in a domain that nobody has described.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from handgrad.claims import Claim
from verify.drawing.cases import DTYPES, Case, Leaf, Structure
from verify.drawing.draws import GIVEN_DOMAIN, Draws
from verify.drawing.specification import SignatureError
from verify.drawing.values import numpy_dtype, to_dtype


class FixedDraws(Draws):
    """Cases around one call. ``exact`` lists the cases themselves when only they are wanted."""

    def __init__(self, claim: Claim, seed: int, at: Sequence[Any] | Mapping[str, Any], only: bool = False):
        self.claim, self.seed, self.only = claim, seed, only
        self._prepare()
        self.given = ["at"]  # type: ignore[list-item]
        arguments = _bound(claim, at)
        leaves, treedef = jax.tree_util.tree_flatten_with_path(arguments, is_leaf=lambda x: x is None)
        arrays = [_as_array(x) for _, x in leaves]
        self.values = [a for a in arrays if a is not None]
        self._dtypes = _dtypes(self.values)
        labels = [_label(path) for (path, _), a in zip(leaves, arrays, strict=True) if a is not None]
        fixed = [str(a.dtype) if a.dtype.kind in "iub" else None for a in self.values]
        described = tuple(
            Leaf(k, _kind(v), d, tuple(map(str, v.shape)), GIVEN_DOMAIN)
            for k, v, d in zip(labels, self.values, fixed, strict=True)
        )
        statics = [x if a is None else None for (_, x), a in zip(leaves, arrays, strict=True)]

        def build(flat: Sequence[Any]) -> dict[str, Any]:
            given = iter(flat)
            return treedef.unflatten(
                [next(given) if a is not None else s for a, s in zip(arrays, statics, strict=True)]
            )

        shown = {
            _label(path): x for (path, x), a in zip(leaves, arrays, strict=True) if a is None and x is not None
        }
        self.structure = Structure("at", described, (), shown, build)

    def dtypes(self) -> tuple[str, ...]:
        return self._dtypes

    def is_fresh(self, index: int) -> bool:
        return False  # one shape, that of the call

    def case(self, index: int, dtype: str) -> Case:
        rng = self.stream(7, dtype, index)
        values = []
        for leaf, x in zip(self.structure.leaves, self.values, strict=True):
            target = leaf.in_dtype(dtype)
            moved = x if index == 0 or self.only or x.dtype.kind in "iub" else _moved(rng, x)
            floating = leaf.kind == "float"
            values.append(to_dtype(moved, target) if floating else np.asarray(moved).astype(numpy_dtype(target)))
        return Case(self.case_id(index, dtype), index, self.structure, {}, tuple(values), dtype, plain=index % 2 == 0)


def _bound(claim: Claim, at: Sequence[Any] | Mapping[str, Any]) -> dict[str, Any]:
    signature = inspect.signature(claim.reference)
    try:
        call = signature.bind(**at) if isinstance(at, Mapping) else signature.bind(*at)
    except TypeError as error:
        name = getattr(claim.reference, "__name__", "the reference")
        raise SignatureError(f"at=: {name}{signature} cannot be called with it: {error}") from None
    call.apply_defaults()
    return dict(call.arguments)


def _as_array(x: Any) -> np.ndarray | None:
    """Arrays and Python floats are data; everything else is a static option."""
    if isinstance(x, np.ndarray | np.generic | jax.Array):
        return np.asarray(x)
    return np.asarray(x) if isinstance(x, float | complex) else None


def _kind(x: np.ndarray) -> str:
    if x.dtype.kind == "c":
        return "complex"
    if x.dtype.kind == "b":
        return "bool"
    return "int" if x.dtype.kind in "iu" else "float"


def _dtypes(values: Sequence[np.ndarray]) -> tuple[str, ...]:
    """float64, where the formula is judged, then the dtype that the call itself has."""
    floating = [str(v.dtype) for v in values if v.dtype.kind not in "iub"]
    names = {"complex128": "float64", "complex64": "float32"}
    own = {names.get(d, d) for d in floating}
    return ("float64", *(d for d in DTYPES[1:] if d in own))


def _moved(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """The same array with its entries moved by some tenths, or exchanged for one another."""
    wide = x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)
    if rng.random() < 0.3 and wide.size > 1:
        wide = rng.permutation(wide.reshape(-1)).reshape(x.shape)
    return wide * np.exp(rng.choice([0.01, 0.3, 1.0]) * rng.standard_normal(x.shape))


def _label(path: tuple[Any, ...]) -> str:
    return path[0].key + jax.tree_util.keystr(path[1:])
