"""Derivatives of a primal that JAX cannot differentiate: what a custom rule is often written for.

A while loop has no reverse mode: the pullback is put together from tangents, entry by entry. A callback has no
derivative at all: difference quotients of the primal's program stand in, in extended precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import core

from verify.programs.arithmetic import wide
from verify.programs.primitives import ELEMENTWISE, IDENTITY, INLINED
from verify.programs.program import Untranslatable, translate

STEPS = (2.0**-14, 2.0**-17)
"""Relative steps of the central quotients, extrapolated: in extended precision some 14 digits are left."""
STEPS_OF_DOUBLES = (2.0**-8, 2.0**-11)
"""The same where the user's Python is called back, which computes in float64."""
ENTRY_BY_ENTRY = {*ELEMENTWISE, *IDENTITY, "convert_element_type", "integer_pow", "select_n", "stop_gradient"}
NO_DERIVATIVE = ("differentiation", "JVP", "jvp")
Function = Callable[[Any], Any]


def pulled_back(function: Function, point: Any, cotangent: Any, quotients: bool = True) -> tuple[Any, Any]:
    """Value and pullback: by reverse mode, else by forward mode, else by ``quotients``."""

    def backward() -> tuple[Any, Any]:
        value, pull = jax.vjp(function, point)
        return value, pull(cotangent)[0]

    def forward() -> tuple[Any, Any]:
        return function(point), _by_tangents(function, point, cotangent)

    def numerically() -> tuple[Any, Any]:
        return function(point), _by_quotients(function, point, cotangent, transposed=True)

    return _first_that_works(backward, forward, *([numerically] if quotients else []))


def pushed_forward(function: Function, point: Any, tangent: Any) -> tuple[Any, Any]:
    """Value and tangent: by forward mode, else by quotients."""

    def forward() -> tuple[Any, Any]:
        return jax.jvp(function, (point,), (tangent,))

    def numerically() -> tuple[Any, Any]:
        return function(point), _by_quotients(function, point, tangent, transposed=False)

    return _first_that_works(forward, numerically)


def _first_that_works(*ways: Callable[[], tuple[Any, Any]]) -> tuple[Any, Any]:
    first: Exception | None = None
    for way in ways:
        try:
            return way()
        except Exception as error:
            if not _has_no_derivative(error):
                raise first or error from None
            first = first or error
    assert first is not None
    raise first


def _has_no_derivative(error: Exception) -> bool:
    return isinstance(error, NotImplementedError | Untranslatable) or any(w in str(error) for w in NO_DERIVATIVE)


def _weighed(outputs: Any, weights: Any) -> Any:
    pairs = zip(jax.tree_util.tree_leaves(weights), jax.tree_util.tree_leaves(outputs), strict=True)
    return sum((jnp.sum(w * x) for w, x in pairs if w.dtype != jax.dtypes.float0), start=jnp.zeros(()))


def _by_tangents(function: Function, point: Any, cotangent: Any) -> Any:
    """The pullback from one tangent for every entry of the point."""
    leaves, treedef = jax.tree_util.tree_flatten(point)
    if any(jnp.iscomplexobj(x) for x in leaves):
        raise NotImplementedError("complex differentiation entry by entry")

    def entry_of(number: int) -> Callable[[Any], Any]:
        def along(unit: Any) -> Any:
            moving = [unit if i == number else jnp.zeros_like(x) for i, x in enumerate(leaves)]
            moved = jax.jvp(function, (point,), (treedef.unflatten(moving),))[1]
            return _weighed(moved, cotangent).astype(unit.dtype)

        return along

    found = []
    for number, x in enumerate(leaves):
        units = jnp.eye(x.size, dtype=x.dtype).reshape(x.size, *x.shape)
        found.append(jax.vmap(entry_of(number))(units).reshape(x.shape))
    return treedef.unflatten(found)


def _by_quotients(function: Function, point: Any, along: Any, transposed: bool) -> Any:
    """The Jacobian of the primal's program, applied to a tangent or (``transposed``) to a cotangent."""
    leaves, treedef = jax.tree_util.tree_flatten(point)
    closed = jax.make_jaxpr(lambda leaves: jax.tree_util.tree_leaves(function(treedef.unflatten(leaves))))(leaves)
    outputs = [x for x in closed.out_avals if jnp.issubdtype(x.dtype, jnp.inexact)]
    if not all(isinstance(d, int) for x in (*leaves, *closed.out_avals) for d in x.shape):
        raise ValueError("quotients want sizes that are numbers")
    if any(jnp.iscomplexobj(x) for x in leaves):
        raise NotImplementedError("complex differentiation by quotients")
    count = len(closed.consts)
    whole = jax.make_jaxpr(lambda *flat: core.eval_jaxpr(closed.jaxpr, flat[:count], *flat[count:]))
    translated = translate(whole(*closed.consts, *leaves))
    program = translated.link(wide(np.longdouble))
    calls_back = any(key[0] == "pure_callback" for key in translated.operations.values())
    steps = STEPS_OF_DOUBLES if calls_back else STEPS
    weights = [w for w in jax.tree_util.tree_leaves(along) if w.dtype != jax.dtypes.float0]

    def applied(*flat: np.ndarray) -> tuple[np.ndarray, ...]:
        constants, at, given = flat[:count], flat[count : count + len(leaves)], flat[count + len(leaves) :]
        kept = [np.asarray(x) for x in constants]
        here = [np.asarray(x).astype(np.longdouble) for x in at]
        given = tuple(np.asarray(x).astype(np.longdouble) for x in given)

        def outputs_at(moved: Sequence[np.ndarray]) -> list[np.ndarray]:
            return [np.asarray(o) for o in program({}, [*kept, *moved]) if o.dtype.kind == "f"]

        with np.errstate(all="ignore"):
            if entry_by_entry:
                return applied_by_entry(list(_diagonals(outputs_at, here, steps)), given)
            columns = _columns(outputs_at, here, steps)
            if transposed:
                entries = np.array([_inner(given, c) for c in columns], np.longdouble)
                found = np.split(entries, np.cumsum([x.size for x in here])[:-1])
            else:
                amounts = np.concatenate([g.reshape(-1) for g in given]) if given else np.zeros(0)
                found = [np.zeros(x.shape, np.longdouble) for x in outputs]
                for amount, column in zip(amounts, columns, strict=True):
                    found = [f + amount * c for f, c in zip(found, column, strict=True)]
        return tuple(f.reshape(x.shape).astype(x.dtype) for f, x in zip(found, wanted, strict=True))

    def applied_by_entry(diagonals: list[list[np.ndarray]], given: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        if transposed:
            found = [sum(g * d for g, d in zip(given, of_leaf, strict=True)) for of_leaf in diagonals]
        else:
            by_output = zip(*diagonals, strict=True)
            found = [sum(v * d for v, d in zip(given, of_output, strict=True)) for of_output in by_output]
        return tuple(np.asarray(f).astype(x.dtype) for f, x in zip(found, wanted, strict=True))

    entry_by_entry = is_entry_by_entry(closed.jaxpr, leaves[0].shape) if leaves else False
    wanted = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in (leaves if transposed else outputs)]
    found = list(
        jax.pure_callback(applied, tuple(wanted), *closed.consts, *leaves, *weights, vmap_method="sequential")
    )
    if transposed:
        return treedef.unflatten(found)
    structure = jax.tree_util.tree_structure(jax.eval_shape(function, point))
    moving = iter(found)
    return structure.unflatten(
        [
            next(moving) if jnp.issubdtype(x.dtype, jnp.inexact) else np.zeros(x.shape, jax.dtypes.float0)
            for x in closed.out_avals
        ]
    )


def is_entry_by_entry(jaxpr: Any, shape: tuple[int, ...]) -> bool:
    """Whether, by its operations alone, an entry of a result depends on the same entry of the inputs and no other."""
    if any(v.aval.shape != shape for v in (*jaxpr.invars, *jaxpr.outvars)):
        return False
    for eqn in jaxpr.eqns:
        name = eqn.primitive.name
        if any(v.aval.shape not in (shape, ()) for v in (*eqn.invars, *eqn.outvars)):
            return False
        if name in INLINED:
            if not is_entry_by_entry(getattr(INLINED[name](eqn.params), "jaxpr", None), shape):
                return False
        elif name == "broadcast_in_dim":
            if eqn.invars[0].aval.shape != ():
                return False
        elif name not in ENTRY_BY_ENTRY:
            return False
    return True


def _inner(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> Any:
    return sum((np.sum(x * y) for x, y in zip(a, b, strict=True)), start=np.longdouble(0))


def _diagonals(
    outputs_at: Callable[[Sequence[np.ndarray]], list[np.ndarray]],
    here: Sequence[np.ndarray],
    steps: Sequence[float],
) -> Iterator[list[np.ndarray]]:
    """Of each array of the point the derivative of each output, entry by entry: all its entries move at once."""
    for number, x in enumerate(here):
        sizes = np.where(x == 0, _smallest(x), np.abs(x))

        def along(step: np.ndarray) -> list[np.ndarray]:
            return outputs_at([x + step if i == number else y for i, y in enumerate(here)])

        yield _slopes(along, [np.longdouble(relative) * sizes for relative in steps])


def _columns(
    outputs_at: Callable[[Sequence[np.ndarray]], list[np.ndarray]],
    here: Sequence[np.ndarray],
    steps: Sequence[float],
) -> Iterator[list[np.ndarray]]:
    """The derivative of all outputs in every entry of the point, in order."""
    for number, x in enumerate(here):
        smallest = _smallest(x)
        for flat, value in enumerate(x.reshape(-1)):

            def along(step: np.longdouble) -> list[np.ndarray]:
                moved = x.reshape(-1).copy()
                moved[flat] = value + step
                return outputs_at([moved.reshape(x.shape) if i == number else y for i, y in enumerate(here)])

            yield _slopes(along, [np.longdouble(relative) * (abs(value) or smallest) for relative in steps])


def _slopes(along: Callable[[Any], list[np.ndarray]], steps: Sequence[Any]) -> list[np.ndarray]:
    """The central quotients of two steps, of which the first is eight times the second, extrapolated."""
    coarse, fine = (
        [(up - down) / (2 * step) for up, down in zip(along(step), along(-step), strict=True)] for step in steps
    )
    return [(64 * f - c) / 63 for c, f in zip(coarse, fine, strict=True)]


def _smallest(x: np.ndarray) -> float:
    sizes = np.abs(x[x != 0])
    return min(1.0, float(sizes.min())) if sizes.size else 1.0
