"""The table: one rule per JAX primitive, each emitting the source of its equation.

Everything that can be decided while translating (axes, permutations, dtypes) is decided here; see `site` for
what a rule is given and returns, `reductions` for the rules that combine entries.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from verify.programs.arithmetic import Untranslatable
from verify.programs.elementwise import kind_of
from verify.programs.site import RULES, Site, foreign, rule


def _expanded(params: dict) -> Any:
    """What a primitive of a higher level (JAX 0.11 and later: searchsorted, custom_root) stands for."""
    primitive = params["_prim"]
    return jax.make_jaxpr(primitive.expand)(*primitive.in_avals)


# Calls that are inlined, and where their jaxpr is.
INLINED: dict[str, Callable[[dict], Any]] = {
    **{name: lambda p: p["jaxpr"] for name in ("jit", "pjit", "remat2", "checkpoint", "remat", "composite",
                                                 "core_call", "xla_call")},
    **{name: lambda p: p["call_jaxpr"] for name in ("closed_call", "call", "eval_jaxpr", "custom_jvp_call",
                                                    "custom_vjp_call")},
    "remat_opt": lambda p: p["fwd_jaxpr"],
    "custom_vmap_call": lambda p: p["call"],
    "linear_call": lambda p: p["callee"],
    "call_hi_primitive": _expanded,
}
_JAX = os.path.dirname(jax.__file__)


def operation_of(eqn: Any) -> str:
    """The name of what an equation does: its primitive's, but for one function of JAX's own.

    JAX 0.12 differentiates erf by an exp(-x²) that splits the bits of x. That is how float32 and float64 compute it;
    to other arithmetics it is one operation like erf itself.
    """
    name = eqn.primitive.name
    if name == "custom_jvp_call" and eqn.outvars[0].aval.dtype in (np.float32, np.float64):
        origin = getattr(eqn.params["call_jaxpr"], "debug_info", None)
        if origin and origin.func_name == "exp_neg_sq" and (origin.func_filename or "").startswith(_JAX):
            return "exp_neg_sq"
    return name


IDENTITY = ("copy", "copy_p", "sharding_constraint", "layout_constraint", "name", "pvary",
            "reshard",
            "reduced_vary_cast", "optimization_barrier", "device_put")

ELEMENTWISE = (
    "add", "add_any", "sub", "mul", "div", "neg", "rem", "max", "min", "abs", "sign", "square",
    "reciprocal", "pow", "sqrt", "rsqrt", "cbrt", "exp", "exp2", "expm1", "log", "log1p", "log2", "logistic",
    "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh", "asinh", "acosh",
    "atanh", "erf", "erfc", "erf_inv", "lgamma", "digamma", "polygamma", "zeta", "igamma", "igammac",
    "regularized_incomplete_beta", "bessel_i0e", "bessel_i1e", "floor", "ceil", "is_finite", "nextafter",
    "real", "imag", "conj", "complex", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "xor", "not",
    "shift_left", "shift_right_logical", "shift_right_arithmetic", "population_count", "clz", "mulhi",
)

# -- entry by entry --------------------------------------------------------------------------------
@rule(*ELEMENTWISE)
def _elementwise(s: Site) -> Any:
    return s.map(lambda args: s.call(s.name, *args))


@rule(*IDENTITY)
def _identity(s: Site) -> Any:
    return list(s.operands)


@rule("stop_gradient")
def _stop_gradient(s: Site) -> Any:
    return s.map(lambda a: s.call("stop", a[0]))


@rule("tie")
def _tie(s: Site) -> Any:
    return s.operands[1]


@rule("eq_to", "lt_to", "le_to")
def _total_order(s: Site) -> Any:
    return s.map(lambda args: s.call(s.name.removesuffix("_to"), *args))


@rule("mul")
def _mul(s: Site) -> Any:
    for one, other in ((0, 1), (1, 0)):  # multiplying by one is exact in every arithmetic
        literal = (s.operands[one].narrow or s.operands[one]).literal
        if literal is not None and np.all(np.asarray(literal.val) == 1) and s.shapes[other] == s.out_shape:
            return s.operands[other]
    return _elementwise(s)


@rule("eq", "ne")
def _equal(s: Site) -> Any:
    if s.operands[0] == s.operands[1] and kind_of(s.dtypes[0]) not in ("int", "bool"):  # the idiom for NaN
        negation = s.op("not", "bool") if s.name == "eq" else ""
        return s.map(lambda a: f"{negation}({s.call('is_nan', a[0])})", s.operands[:1])
    return _elementwise(s)


@rule("pow")
def _pow(s: Site) -> Any:
    return s.map(lambda a: f"{s.typed('pow', *map(kind_of, s.dtypes))}({a[0]}, {a[1]})")


@rule("integer_pow")
def _integer_pow(s: Site) -> Any:
    y = int(s.params["y"])
    if y == 2:
        return s.map(lambda a: s.call("square", a[0]))
    return s.map(lambda a: s.call("integer_pow", a[0], y))


@rule("one_minus_square")
def _one_minus_square(s: Site) -> Any:
    one = s.t.constant(np.ones((), s.out_dtype), s.out_dtype, noisy=False)

    def factored(a: list[str]) -> str:
        """(1 + x) (1 - x), as XLA computes it: no digits lost near 1."""
        return s.call("mul", *(s.t.assign(s.call(name, one, a[0])) for name in ("add", "sub")))
    return s.map(factored)


@rule("exp_neg_sq")
def _exp_neg_sq(s: Site) -> Any:
    return [s.map(lambda a: s.call("exp_neg_sq", a[0]))]


@rule("polynomial")
def _polynomial(s: Site) -> Any:
    def horner(a: list[str]) -> str:
        x, *coefficients, value = a
        for c in reversed(coefficients):
            value = s.t.assign(s.call("add", s.t.assign(s.call("mul", value, x)), c))
        return value
    return s.map(horner)


@rule("round")
def _round(s: Site) -> Any:
    name = "round_away" if s.params["rounding_method"].name == "AWAY_FROM_ZERO" else "round_even"
    return s.map(lambda a: s.call(name, a[0]))


@rule("clamp")
def _clamp(s: Site) -> Any:
    return s.map(lambda a: f"{s.call('min', s.call('max', a[1], a[0]), a[2])}")


@rule("select_n")
def _select(s: Site) -> Any:
    if len(s.operands) == 3 and s.dtypes[0] == "bool":
        return s.map(lambda a: f"{s.op('where', s.dtypes[1])}({a[0]}, {a[2]}, {a[1]})")
    return s.map(lambda a: f"choose({a[0]}, ({', '.join(a[1:])},))")


@rule("convert_element_type")
def _convert(s: Site) -> Any:
    if s.dtypes[0] == s.out_dtype:
        return s.operands[0]
    return s.map(lambda a: f"{s.typed('convert', s.dtypes[0], s.out_dtype)}({a[0]})")


@rule("bitcast_convert_type")
def _bitcast(s: Site) -> Any:
    bits = _bits(s)
    s.t.bits_of[bits] = s.operands[0]
    return bits


@rule("shift_right_logical", "shift_right_arithmetic")
def _shift_right(s: Site) -> Any:
    """All bits but the first shifted out of a float leave its sign, which needs no bits."""
    number = s.t.bits_of.get(s.t.expression(s.operands[0].text) or "")
    places = (s.operands[1].narrow or s.operands[1]).literal
    if number is not None and places is not None and int(places.val) == np.iinfo(s.out_dtype).bits - 1:
        sign = "" if s.name == "shift_right_logical" else s.op("neg")
        return s.map(lambda a: f"{sign}({s.typed('sign_bit', s.out_dtype)}({a[0]}))", [number])
    return _elementwise(s)


def _bits(s: Site) -> str:
    return f"{s.typed('bitcast', s.dtypes[0], s.out_dtype)}({s[0]}, {s.src(s.out_shape)})"


@rule("reduce_precision")
def _reduce_precision(s: Site) -> Any:
    e, m = s.params["exponent_bits"], s.params["mantissa_bits"]
    return s.map(lambda a: s.call("reduce_precision", a[0], e, m))


# -- movement of entries ---------------------------------------------------------------------------
@rule("broadcast_in_dim", "broadcast_to")
def _broadcast(s: Site) -> Any:
    operand, shape = s.operands[0], s.out_shape
    axes = [int(d) for d in s.params.get("broadcast_dimensions",
                                         range(len(shape) - len(operand.shape), len(shape)))]
    source, sizes = operand, operand.shape
    if operand.narrow is not None and len(operand.narrow.shape) == 0:
        source, sizes, axes = operand.narrow, (), []
    if not sizes:
        return source if not shape else type(operand)("", shape, narrow=source)
    first = axes[0]
    aligned = [sizes[axes.index(j)] if j in axes else 1 for j in range(first, len(shape))]
    if tuple(aligned) == sizes:
        narrow = type(operand)(s.t.full(source), sizes)
    else:
        narrow = type(operand)(s.t.assign(s.reshape(s.t.full(source), aligned, len(sizes))), tuple(aligned))
    return narrow if tuple(aligned) == shape else type(operand)("", shape, narrow=narrow)


@rule("reshape")
def _reshape(s: Site) -> Any:
    if s.params["dimensions"] is not None:
        order = s.src(tuple(map(int, s.params["dimensions"])))
        return f"{s[0]}.transpose({order}).reshape({s.src(s.out_shape)})"
    return s.moved(lambda: s.reshape(s[0], s.out_shape, len(s.shapes[0])))


@rule("squeeze", "expand_dims")
def _squeeze(s: Site) -> Any:
    return s.moved(lambda: s.reshape(s[0], s.out_shape, len(s.shapes[0])))


@rule("transpose")
def _transpose(s: Site) -> Any:
    order = tuple(map(int, s.params["permutation"]))
    if order == tuple(range(len(order))):
        return s.operands[0]
    return s.moved(lambda: f"{s[0]}.T" if order == (1, 0) else f"{s[0]}.transpose({s.src(order)})")


@rule("slice")
def _slice(s: Site) -> Any:
    starts, limits = s.params["start_indices"], s.params["limit_indices"]
    strides = s.params["strides"] or [1] * len(starts)
    parts = []
    for a, b, step, size in zip(starts, limits, strides, s.shapes[0], strict=True):
        a, b = "" if a == 0 else s.src(a), "" if b == size else s.src(b)
        parts.append(f"{a}:{b}" + ("" if step == 1 else f":{s.src(step)}"))
    return s.moved(lambda: f"{s[0]}[{', '.join(parts)}]" if parts else s[0])


@rule("rev")
def _rev(s: Site) -> Any:
    parts = ["::-1" if i in s.params["dimensions"] else ":" for i in range(len(s.out_shape))]
    return s.moved(lambda: f"{s[0]}[{', '.join(parts)}]" if parts else s[0])


@rule("concatenate")
def _concatenate(s: Site) -> Any:
    return f"concatenate(({', '.join(s.all)},), {s.params['dimension']})"


@rule("stack")
def _stack(s: Site) -> Any:
    return f"stack(({', '.join(s.all)},), {s.params.get('axis', 0)})"


@rule("unstack")
def _unstack(s: Site) -> Any:
    axis = s.params.get("axis", 0)
    at = ":, " * axis
    return [f"{s[0]}[{at}{i}]" for i in range(len(s.eqn.outvars))]


@rule("split")
def _split(s: Site) -> Any:
    axis, start, pieces = s.params["axis"], "0", []
    for size in s.params["sizes"]:
        stop = f"{start} + {s.src(size)}"
        pieces.append(f"{s[0]}[{':, ' * axis}{start}:{stop}]")
        start = stop
    return pieces


@rule("tile")
def _tile(s: Site) -> Any:
    return f"tile({s[0]}, {s.src(s.params.get('reps') or s.params.get('repeats'))})"


@rule("pad")
def _pad(s: Site) -> Any:
    return f"pad({s[0]}, {s.t.full(s.operands[1], exact=True)}, {s.src(s.params['padding_config'])})"


@rule("iota")
def _iota(s: Site) -> Any:
    return f"{s.typed('iota', s.out_dtype)}({', '.join([s.src(s.out_shape), str(s.params['dimension'])])})"


@rule("empty", "empty2")
def _empty(s: Site) -> Any:
    zero = s.t.constant(np.zeros((), s.out_dtype), s.out_dtype, noisy=False)
    return s.t.scalar(zero, s.out_shape)


@rule("dim_as_value")
def _dim_as_value(s: Site) -> Any:
    return f"{s.typed('integer', s.out_dtype)}({s.src(s.params['dim'])})"


@rule("dimension_size")
def _dimension_size(s: Site) -> Any:
    return f"{s.typed('integer', s.out_dtype)}({s.src(s.shapes[0][s.params['dimension']])})"


@rule("dynamic_slice")
def _dynamic_slice(s: Site) -> Any:
    rank = len(s.shapes[0])
    starts = ", ".join(s.all[1:1 + rank])
    return f"dynamic_slice({s[0]}, ({starts},), {s.src(s.params['slice_sizes'])})" if rank else s[0]


@rule("dynamic_update_slice")
def _dynamic_update_slice(s: Site) -> Any:
    return f"dynamic_update_slice({s[0]}, {s[1]}, ({', '.join(s.all[2:])},))" if s.shapes[0] else s[1]


@rule("gather")
def _gather(s: Site) -> Any:
    d, fill = s.params["dimension_numbers"], s.params["fill_value"]
    if fill is None:
        fill = {"b": True, "i": None, "u": None}.get(np.dtype(s.out_dtype).kind, np.nan)
    if fill is None:
        info = np.iinfo(s.out_dtype)
        fill = info.min if info.kind == "i" else info.max
    spec = s.t.static((tuple(d.offset_dims), tuple(d.collapsed_slice_dims), tuple(d.start_index_map),
                       tuple(d.operand_batching_dims), tuple(d.start_indices_batching_dims)))
    fill = s.t.constant(np.asarray(fill, s.out_dtype), s.out_dtype, noisy=False)
    mode = s.params["mode"].name
    return f"gather({s[0]}, {s[1]}, {spec}, {s.src(s.params['slice_sizes'])}, {mode!r}, {fill})"


@rule("scatter", "scatter-add", "scatter-sub", "scatter-mul", "scatter-min", "scatter-max")
def _scatter(s: Site) -> Any:
    d = s.params["dimension_numbers"]
    if s.name == "scatter" and s.params.get("update_jaxpr") is not None:
        raise Untranslatable("scatter_apply")
    spec = s.t.static((tuple(d.update_window_dims), tuple(d.inserted_window_dims),
                       tuple(d.scatter_dims_to_operand_dims), tuple(d.operand_batching_dims),
                       tuple(d.scatter_indices_batching_dims)))
    combine = s.op("at", s.dtypes[0])
    how = s.name.removeprefix("scatter").lstrip("-") or "set"
    return f"scatter({combine}({how!r}), {s[0]}, {s[1]}, {s[2]}, {spec}, {s.params['mode'].name!r})"


# -- the rest lives in the files that their ideas belong to ----------------------------------------
RULES.update(dict.fromkeys((
    "threefry2x32", "threefry4x32", "random_bits", "random_seed", "random_wrap", "random_unwrap",
    "random_split", "random_fold_in", "random_clone", "rng_bit_generator", "rng_uniform", "philox2x32",
    "philox4x32", "random_gamma", "random_gamma_grad", "igamma_grad_a", "iota_2x32_shape",
    "ragged_dot_general", "schur", "hessenberg", "tridiagonal", "tridiagonal_solve", "cholesky_update",
    "approx_top_k",
), foreign))
