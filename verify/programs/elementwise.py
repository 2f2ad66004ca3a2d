"""What each operation is, entry by entry, in the types that NumPy computes in: one table per kind of entry.

Wherever NumPy's or SciPy's own ufunc is right it is the entry, so that running a program costs no more than
writing it in NumPy; the rest says what XLA does where they differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

_KINDS = {"float32": "float", "float64": "float", "longdouble": "float", "complex64": "complex",
          "complex128": "complex", "bool": "bool"}


def dtype_name(dtype: Any) -> str:
    """JAX's or NumPy's dtype by name; that of typed keys starts with `key`."""
    return str(dtype) if str(dtype).startswith("key") else np.dtype(dtype).name


def kind_of(dtype: str) -> str:
    if dtype.startswith(("int", "uint")):
        return "int"
    return "key" if dtype.startswith("key") else _KINDS.get(dtype, dtype)


def is_floating(dtype: str) -> bool:
    return kind_of(dtype) not in ("int", "bool", "complex", "key") and not dtype.startswith("void")


# -- entries of the types that NumPy computes in ---------------------------------------------------
def _rsqrt(x: Any) -> Any:
    return np.reciprocal(np.sqrt(x))


def _integer_pow(x: Any, y: int) -> Any:
    """By repeated squaring, as XLA multiplies."""
    if y < 0:
        return np.reciprocal(_integer_pow(x, -y))
    result, square = None, x
    while y:
        if y & 1:
            result = square if result is None else result * square
        y >>= 1
        square = square * square if y else square
    return np.ones_like(x) if result is None else result


def _exp_neg_sq(x: Any) -> Any:
    """exp(-x²), its square not yet rounded to the type of x."""
    wide = np.asarray(x).astype(np.float64 if x.dtype == np.float32 else np.longdouble)
    return np.exp(-wide * wide).astype(x.dtype)


def _round_away(x: Any) -> Any:
    """Halves away from zero; x + 1/2 may round up, x - trunc(x) never rounds."""
    whole = np.trunc(x)
    return np.where(np.abs(x - whole) >= 0.5, whole + np.copysign(1, x).astype(whole.dtype), whole)


@cache
def _scipy() -> Any:
    from scipy import special  # takes long to import, and few claims need it

    return special


def _special(name: str) -> Callable:
    return lambda *operands: getattr(_scipy(), name)(*operands)


def _polygamma(m: Any, x: Any) -> Any:
    sign, special = np.where(np.fmod(m, 2) == 0, -1, 1).astype(x.dtype), _scipy()
    return np.where(m == 0, special.digamma(x), sign * special.gamma(m + 1) * special.zeta(m + 1,
                                                                                           x)).astype(x.dtype)


def reduce_precision(x: Any, exponent_bits: int, mantissa_bits: int) -> Any:
    """Rounded to the nearest number (ties to even) of a narrower format; overflow to infinity, underflow to
    zero.
    """
    info = np.finfo(x.dtype)
    bias = 2 ** (exponent_bits - 1) - 1
    if mantissa_bits < info.nmant:
        bits = np.asarray(x).view(f"u{x.dtype.itemsize}")
        drop = info.nmant - mantissa_bits
        one = bits.dtype.type(1)
        rounded = bits + ((one << (drop - 1)) - one + ((bits >> drop) & one))
        rounded = (rounded >> drop << drop).view(x.dtype)
        x = np.where(np.isfinite(x), rounded, x)
    if exponent_bits < info.bits - 1 - info.nmant:
        x = np.where(np.abs(x) >= 2.0 ** (bias + 1), np.copysign(np.inf, x), x)
        x = np.where(np.abs(x) < 2.0 ** (1 - bias), np.copysign(0, x), x).astype(info.dtype)
    return x


def _reducer(ufunc: np.ufunc) -> Callable:
    return ufunc.reduce


def _combine(how: str) -> Callable[..., None]:
    """In place at indices, as scatter does; the last of several values set at one place stays."""
    def put(out: np.ndarray, index: tuple, values: Any) -> None:
        out[index] = values
    ufuncs = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "min": np.minimum, "max": np.maximum}
    return put if how == "set" else ufuncs[how].at


def _argmax(x: Any, axis: int) -> Any:
    return np.argmax(x, axis)


def _argmin(x: Any, axis: int) -> Any:
    return np.argmin(x, axis)


def sort(operands: Sequence[np.ndarray], axis: int, keys: int) -> tuple[np.ndarray, ...]:
    """Stable, NaN last, as XLA; later keys break ties."""
    comparable = [_comparable(o) for o in operands[:keys]]
    order = (np.argsort(comparable[0], axis, kind="stable") if keys == 1
             else np.lexsort(comparable[::-1], axis=axis))
    return tuple(np.take_along_axis(o, order, axis) for o in operands)


def _comparable(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float32) if kind_of(x.dtype.name) not in ("float", "int", "bool", "complex") else x


ANY: dict[str, Callable] = {  # entries of every kind
    "add": np.add, "add_any": np.add, "sub": np.subtract, "mul": np.multiply, "neg": np.negative,
    "max": np.maximum,
    "min": np.minimum, "abs": np.abs, "sign": np.sign, "square": np.square, "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "where": np.where,
    "at": _combine,
    "argmax": _argmax, "argmin": _argmin, "integer_pow": _integer_pow, "is_nan": np.isnan,
    "reduce_max": _reducer(np.maximum), "reduce_min": _reducer(np.minimum),
    "cummax": np.maximum.accumulate, "cummin": np.minimum.accumulate,
    "is_finite": np.isfinite, "real": np.real, "imag": np.imag, "conj": np.conj, "nextafter": np.nextafter,
}
FLOAT: dict[str, Callable] = ANY | {
    "div": np.divide, "rem": np.fmod, "reciprocal": np.reciprocal, "sqrt": np.sqrt, "rsqrt": _rsqrt,
    "cbrt": np.cbrt,
    "exp": np.exp, "exp2": np.exp2, "exp_neg_sq": _exp_neg_sq, "expm1": np.expm1, "log": np.log,
    "log1p": np.log1p, "log2": np.log2,
    "logistic": _special("expit"),
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
    "atan2": np.arctan2, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh,
    "acosh": np.arccosh, "atanh": np.arctanh, "erf": _special("erf"), "erfc": _special("erfc"),
    "erf_inv": _special("erfinv"),
    "lgamma": _special("gammaln"), "digamma": _special("digamma"), "polygamma": _polygamma, "zeta": _special("zeta"),
    "igamma": _special("gammainc"), "igammac": _special("gammaincc"),
    "regularized_incomplete_beta": _special("betainc"),
    "bessel_i0e": _special("i0e"), "bessel_i1e": _special("i1e"), "floor": np.floor, "ceil": np.ceil,
    "round_even": np.rint, "round_away": _round_away, "complex": lambda re, im: re + 1j * im,
    "reduce_precision": reduce_precision, "reduce_sum": _reducer(np.add),
    "reduce_prod": _reducer(np.multiply),
    "cumsum": np.add.accumulate, "cumprod": np.multiply.accumulate, "cumlogsumexp": np.logaddexp.accumulate,
}


def _int_div(a: Any, b: Any) -> Any:
    """Truncated; by zero -1, as XLA."""
    safe = np.where(b == 0, 1, b).astype(b.dtype)
    q = np.floor_divide(a, safe)
    q = q + ((q < 0) & (q * safe != a)).astype(q.dtype)
    return np.where(b == 0, ~np.zeros_like(q), q).astype(a.dtype)  # all bits set: -1, or the largest unsigned


def _int_rem(a: Any, b: Any) -> Any:
    return np.where(b == 0, a, np.fmod(a, np.where(b == 0, 1, b))).astype(a.dtype)


def _shift(function: Callable, arithmetic: bool = False) -> Callable:
    def shift(a: Any, b: Any) -> Any:
        a, b = np.asarray(a), np.asarray(b)
        bits = a.dtype.itemsize * 8
        outside = (b < 0) | (b >= bits)
        filled = np.where(a < 0, -1, 0) if arithmetic else 0
        return np.where(outside, filled, function(a, np.where(outside, 0, b).astype(a.dtype))).astype(a.dtype)
    return shift


def _logical_right(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    unsigned = f"u{a.dtype.itemsize}"
    return np.right_shift(a.astype(unsigned), b.astype(unsigned)).astype(a.dtype)


def _clz(x: Any) -> Any:
    x = np.asarray(x)
    bits = x.dtype.itemsize * 8
    rest, count = x.astype(f"u{x.dtype.itemsize}"), np.zeros(x.shape, x.dtype)
    for _ in range(bits):
        count, rest = count + (rest != 0).astype(x.dtype), rest >> rest.dtype.type(1)
    return (bits - count).astype(x.dtype)


def _typed_reduce(ufunc: np.ufunc) -> Callable:
    return lambda x, axes: ufunc.reduce(x, axes, x.dtype)


def _typed_accumulate(ufunc: np.ufunc) -> Callable:
    return lambda x, axis: ufunc.accumulate(x, axis, x.dtype)


INT: dict[str, Callable] = ANY | {
    "div": _int_div, "rem": _int_rem, "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
    "not": np.invert, "shift_left": _shift(np.left_shift), "shift_right_logical": _shift(_logical_right),
    "shift_right_arithmetic": _shift(np.right_shift, arithmetic=True), "clz": _clz,
    "population_count": lambda x: np.bitwise_count(x.view(f"u{x.dtype.itemsize}")).astype(x.dtype),
    "reduce_sum": _typed_reduce(np.add), "reduce_prod": _typed_reduce(np.multiply),
    "reduce_and": _reducer(np.bitwise_and), "reduce_or": _reducer(np.bitwise_or),
    "reduce_xor": _reducer(np.bitwise_xor),
    "cumsum": _typed_accumulate(np.add), "cumprod": _typed_accumulate(np.multiply),
}
BOOL: dict[str, Callable] = INT | {
    "reduce_and": _reducer(np.logical_and), "reduce_or": _reducer(np.logical_or),
    "reduce_xor": _reducer(np.logical_xor),
}
COMPLEX: dict[str, Callable] = FLOAT | {
    "logistic": lambda x: 1 / (1 + np.exp(-x)), "sort": sort,
}
# The special functions that SciPy has in float64 only; in longdouble they come from ball arithmetic.
SPECIAL = frozenset({
    "erf", "erfc", "erf_inv", "lgamma", "digamma", "polygamma", "zeta", "igamma", "igammac",
    "regularized_incomplete_beta", "bessel_i0e", "bessel_i1e",
})


def to_integer(x: Any, dtype: np.dtype) -> Any:
    """Truncated and saturated, NaN to zero, as XLA."""
    if dtype == np.bool_:
        return x != 0
    info, x = np.iinfo(dtype), np.trunc(np.asarray(x))
    out = np.where(np.isnan(x), 0, np.clip(x, float(info.min), float(info.max))).astype(np.float64,
                                                                                        copy=False)
    saturated = np.where(out >= float(info.max), info.max, np.where(out <= float(info.min), info.min,
                                                                    0)).astype(dtype)
    return np.where((out >= float(info.max)) | (out <= float(info.min)), saturated, out.astype(dtype))
