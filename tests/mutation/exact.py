"""A jaxpr evaluated in mpmath: slow, simple, and sharing nothing with the judge's own arithmetic.

Floating-point arrays are NumPy object arrays of ``mpf``; integers and booleans stay arrays of their own, and what
concerns them alone JAX computes. An operation that only moves entries is done by JAX on the entries' numbers.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
from jax.extend import core
from mpmath import mpf

mp: Any = mpmath.mp  # has its functions at run time only
DIGITS = 100
"""Working precision; what agrees to 50 of them is the same."""


class Unknown(Exception):
    """An operation that has no form here."""


def to_exact(x: Any) -> np.ndarray:
    """An array of ``mpf`` with the very same values."""
    x = np.asarray(x)
    out = np.empty(x.shape, object)
    out.reshape(-1)[:] = [mpf(float(v)) for v in x.reshape(-1)]
    return out


def evaluate(jaxpr: Any, inputs: Sequence[Any]) -> list[np.ndarray]:
    """The outputs of a ClosedJaxpr to ``DIGITS`` digits, at inputs taken as exact."""
    with mp.workdps(DIGITS):
        return _run(jaxpr.jaxpr, jaxpr.consts, [_entered(x) for x in inputs])


def _entered(x: Any) -> np.ndarray:
    x = np.asarray(x)
    return to_exact(x) if x.dtype.kind not in "iubO" else x


def _run(jaxpr: Any, consts: Sequence[Any], inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    known = dict(zip(jaxpr.invars, inputs, strict=True))
    known.update(zip(jaxpr.constvars, map(_entered, consts), strict=True))

    def read(atom: Any) -> np.ndarray:
        return _entered(atom.val) if isinstance(atom, core.Literal) else known[atom]

    for equation in jaxpr.eqns:
        known.update(zip(equation.outvars, _equation(equation, [read(a) for a in equation.invars]), strict=True))
    return [read(a) for a in jaxpr.outvars]


def _equation(equation: Any, operands: list[np.ndarray]) -> list[np.ndarray]:
    name, params = equation.primitive.name, equation.params
    if name in NESTED:
        inner = params[NESTED[name]]
        return _run(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), operands)
    if name in WHOLE:
        return WHOLE[name](operands, params)
    floating = [v for v in equation.outvars if jnp.issubdtype(v.aval.dtype, jnp.inexact)]
    if not floating and all(o.dtype != object for o in operands):
        return _listed(equation.primitive.bind(*map(jnp.asarray, operands), **params))
    if name in ENTRYWISE:
        out = np.frompyfunc(ENTRYWISE[name], len(operands), 1)(*operands)
        out = np.asarray(out, object)
        return [out if floating else out.astype(bool)]
    if name in MOVING:
        return _moved(equation.primitive, operands, params)
    raise Unknown(name)


def _listed(out: Any) -> list[np.ndarray]:
    return [np.asarray(x) for x in (out if isinstance(out, tuple | list) else (out,))]


def _moved(primitive: Any, operands: list[np.ndarray], params: Any) -> list[np.ndarray]:
    """Moves the numbers of the entries, then looks the entries up."""
    pool = np.concatenate([o.reshape(-1) for o in operands if o.dtype == object])
    numbered, count = [], 0
    for o in operands:
        if o.dtype == object:
            numbered.append(jnp.arange(count, count + o.size, dtype=jnp.int32).reshape(o.shape))
            count += o.size
        else:
            numbered.append(jnp.asarray(o))
    places = _listed(primitive.bind(*numbered, **params))
    return [np.asarray(np.where(p < 0, mp.nan, pool[np.clip(p, 0, None)]), object).reshape(p.shape) for p in places]


# --- Operations that know their arrays ------------------------------------------------------------------------


def _reduce(function: Callable[[Any, Any], Any]) -> Callable[..., list[np.ndarray]]:
    ufunc = np.frompyfunc(function, 2, 1)

    def reduced(operands: list[np.ndarray], params: Any) -> list[np.ndarray]:
        out = operands[0]
        for axis in sorted(params["axes"], reverse=True):
            out = ufunc.reduce(out, axis)
        return [np.asarray(out, operands[0].dtype)]

    return reduced


def _dot_general(operands: list[np.ndarray], params: Any) -> list[np.ndarray]:
    (left, right), (left_batch, right_batch) = params["dimension_numbers"]
    a, b = operands

    def arranged(x: np.ndarray, batch: Any, contracted: Any) -> tuple[np.ndarray, list[int]]:
        free = [i for i in range(x.ndim) if i not in (*batch, *contracted)]
        moved = x.transpose(*batch, *free, *contracted)
        sizes = [int(np.prod([x.shape[i] for i in part], dtype=int)) for part in (batch, free, contracted)]
        return moved.reshape(sizes), [x.shape[i] for i in free]

    x, free_a = arranged(a, left_batch, left)
    y, free_b = arranged(b, right_batch, right)
    out = np.empty((x.shape[0], x.shape[1], y.shape[1]), object)
    for i, j, k in np.ndindex(out.shape):
        out[i, j, k] = mp.fdot(x[i, j], y[i, k])
    return [out.reshape([a.shape[i] for i in left_batch] + free_a + free_b)]


def _convert(operands: list[np.ndarray], params: Any) -> list[np.ndarray]:
    (x,), floating = operands, jnp.issubdtype(params["new_dtype"], jnp.inexact)
    if floating:
        return [x if x.dtype == object else to_exact(x)]
    return [np.asarray(np.frompyfunc(int, 1, 1)(x) if x.dtype == object else x).astype(params["new_dtype"])]


def _iota(operands: list[np.ndarray], params: Any) -> list[np.ndarray]:
    out = np.asarray(jax.lax.broadcasted_iota(jnp.int32, params["shape"], params["dimension"]))
    floating = jnp.issubdtype(params["dtype"], jnp.inexact)
    return [to_exact(out) if floating else out.astype(params["dtype"])]


def _select(operands: list[np.ndarray], params: Any) -> list[np.ndarray]:
    which, *cases = operands
    return [np.asarray(np.choose(np.asarray(which).astype(int), cases))]


def _argbest(better: Callable[[Any, Any], bool]) -> Callable[..., list[np.ndarray]]:
    def lane(values: np.ndarray) -> int:
        best = 0
        for i in range(1, len(values)):
            best = i if better(values[i], values[best]) else best
        return best

    def found(operands: list[np.ndarray], params: Any) -> list[np.ndarray]:
        (axis,) = params["axes"]
        return [np.asarray(np.apply_along_axis(lane, axis, operands[0])).astype(params["index_dtype"])]

    return found


def _scatter(combine: Callable[[Any, Any], Any]) -> Callable[..., list[np.ndarray]]:
    """Where each update goes is found by scattering the updates' numbers."""

    def scattered(operands: list[np.ndarray], params: Any) -> list[np.ndarray]:
        operand, indices, updates = operands
        places = np.asarray(
            jax.lax.scatter(
                jnp.full(operand.shape, -1, jnp.int32),
                jnp.asarray(indices),
                jnp.arange(updates.size, dtype=jnp.int32).reshape(updates.shape),
                params["dimension_numbers"],
                mode=params["mode"],
            )
        )
        out, flat = operand.copy(), updates.reshape(-1)
        for at in zip(*np.nonzero(places >= 0), strict=True):
            out[at] = combine(out[at], flat[places[at]])
        if not operand.ndim and places >= 0:
            out[()] = combine(operand[()], flat[int(places)])
        return [out]

    return scattered


def _scan(operands: list[np.ndarray], params: Any) -> list[np.ndarray]:
    constants, carried = params["num_consts"], params["num_carry"]
    fixed, carry = operands[:constants], operands[constants : constants + carried]
    columns, body = operands[constants + carried :], params["jaxpr"]
    order = range(params["length"])
    rows: list[Any] = [None] * params["length"]
    for i in reversed(order) if params["reverse"] else order:
        out = _run(body.jaxpr, body.consts, [*fixed, *carry, *(c[i] for c in columns)])
        carry, rows[i] = out[:carried], out[carried:]
    stacked = [np.stack([np.asarray(r) for r in column]) for column in zip(*rows, strict=True)]
    return [*carry, *stacked]


def _cond(operands: list[np.ndarray], params: Any) -> list[np.ndarray]:
    which, *rest = operands
    branch = params["branches"][min(max(int(which), 0), len(params["branches"]) - 1)]
    return _run(branch.jaxpr, branch.consts, rest)


def _linear_solve(operands: list[np.ndarray], params: Any) -> list[np.ndarray]:
    lengths = params["const_lengths"]
    starts = np.cumsum([0, lengths.matvec, lengths.vecmat, lengths.solve, lengths.transpose_solve])
    solve = params["jaxprs"].solve
    return _run(solve.jaxpr, solve.consts, [*operands[starts[2] : starts[3]], *operands[starts[4] :]])


def _lu(operands: list[np.ndarray], params: Any) -> list[np.ndarray]:
    """Row by row with partial pivoting: the factors in one matrix, the pivots, the permutation."""
    a = operands[0].copy()
    flat = a.reshape(-1, *a.shape[-2:])
    pivots = np.zeros((len(flat), min(a.shape[-2:])), np.int32)
    orders = np.tile(np.arange(a.shape[-2], dtype=np.int32), (len(flat), 1))
    for m, pivot, order in zip(flat, pivots, orders, strict=True):
        for k in range(len(pivot)):
            best = max(range(k, len(m)), key=lambda i: abs(m[i, k]))
            pivot[k] = best
            m[[k, best]], order[[k, best]] = m[[best, k]], order[[best, k]]
            for i in range(k + 1, len(m)):
                m[i, k] = m[i, k] / m[k, k]
                m[i, k + 1 :] = m[i, k + 1 :] - m[i, k] * m[k, k + 1 :]
    return [a, pivots.reshape(*a.shape[:-2], -1), orders.reshape(*a.shape[:-2], -1)]


def _triangular_solve(operands: list[np.ndarray], params: Any) -> list[np.ndarray]:
    a, b = operands
    left, lower, transposed = params["left_side"], params["lower"], params["transpose_a"]
    out = np.empty(b.shape, object)
    for at in np.ndindex(b.shape[:-2]):
        matrix, right = a[at], b[at]
        if params["unit_diagonal"]:
            matrix = matrix.copy()
            np.fill_diagonal(matrix, mpf(1))
        matrix = np.tril(matrix) if lower else np.triu(matrix)
        matrix = matrix.T if transposed else matrix
        below = lower != transposed
        if not left:
            matrix, right, below = matrix.T, right.T, not below
        x = np.empty(right.shape, object)
        order = range(len(matrix)) if below else reversed(range(len(matrix)))
        done: list[int] = []
        for i in order:
            x[i] = (right[i] - sum((matrix[i, j] * x[j] for j in done), mpf(0))) / matrix[i, i]
            done.append(i)
        out[at] = x if left else x.T
    return [out]


# --- Operations entry by entry --------------------------------------------------------------------------------


def _divide(a: Any, b: Any) -> Any:
    if b == 0:
        return mp.nan if a == 0 or mp.isnan(a) else mp.sign(a) * mp.inf
    return a / b


def _power(a: Any, b: Any) -> Any:
    if a == 0 and b < 0:
        return mp.inf
    out = mp.power(a, b)
    return out if isinstance(out, mpf) else mp.nan


def _larger(a: Any, b: Any) -> Any:
    return mp.nan if a != a or b != b else max(a, b)


def _smaller(a: Any, b: Any) -> Any:
    return mp.nan if a != a or b != b else min(a, b)


def _root(x: Any) -> Any:
    return mp.sqrt(x) if x >= 0 else mp.nan


def _log(x: Any) -> Any:
    return mp.log(x) if x > 0 else -mp.inf if x == 0 else mp.nan


def _logistic(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


ENTRYWISE: dict[str, Callable[..., Any]] = {
    "add": operator.add, "add_any": operator.add, "sub": operator.sub, "mul": operator.mul, "div": _divide,
    "neg": operator.neg, "abs": abs, "sign": mp.sign, "max": _larger, "min": _smaller, "pow": _power,
    "exp": mp.exp, "exp2": lambda x: mp.power(2, x), "expm1": mp.expm1, "log": _log,
    "log1p": lambda x: mp.log1p(x) if x > -1 else _log(1 + x), "sqrt": _root,
    "rsqrt": lambda x: _divide(mpf(1), _root(x)), "square": lambda x: x * x, "tanh": mp.tanh,
    "logistic": _logistic, "erf": mp.erf, "erfc": mp.erfc, "sin": mp.sin, "cos": mp.cos, "floor": mp.floor,
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "le": operator.le, "gt": operator.gt,
    "ge": operator.ge, "is_finite": mp.isfinite, "clamp": lambda low, x, high: _smaller(_larger(low, x), high),
}  # fmt: skip
WHOLE: dict[str, Callable[..., list[np.ndarray]]] = {
    "integer_pow": lambda o, p: [np.asarray(np.frompyfunc(lambda x: _power(x, p["y"]), 1, 1)(o[0]), object)],
    "reduce_sum": _reduce(operator.add), "reduce_prod": _reduce(operator.mul), "reduce_max": _reduce(_larger),
    "reduce_min": _reduce(_smaller), "reduce_or": _reduce(operator.or_), "reduce_and": _reduce(operator.and_),
    "argmax": _argbest(lambda a, b: a > b), "argmin": _argbest(lambda a, b: a < b),
    "dot_general": _dot_general, "convert_element_type": _convert, "iota": _iota, "select_n": _select,
    "scatter-mul": _scatter(operator.mul), "scatter_mul": _scatter(operator.mul),
    "scatter-add": _scatter(operator.add), "scatter_add": _scatter(operator.add),
    "scatter": _scatter(lambda old, new: new), "scan": _scan, "cond": _cond, "custom_linear_solve": _linear_solve,
    "lu": _lu, "triangular_solve": _triangular_solve, "stop_gradient": lambda o, p: o,
    "optimization_barrier": lambda o, p: o, "copy": lambda o, p: o, "copy_p": lambda o, p: o,
}  # fmt: skip
NESTED = {
    "pjit": "jaxpr", "jit": "jaxpr", "closed_call": "call_jaxpr", "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr", "remat": "jaxpr", "checkpoint": "jaxpr",
}  # fmt: skip
MOVING = {
    "reshape", "broadcast_in_dim", "transpose", "squeeze", "expand_dims", "slice", "rev", "concatenate", "pad",
    "dynamic_slice", "dynamic_update_slice", "gather", "split",
}  # fmt: skip
