"""The floating arithmetics that a program can be run in: `native`, dtype by dtype as XLA rounds, and `wide`.

An arithmetic answers what a name in a program's source means for entries of a kind: "float" (the types NumPy computes
in), "complex", "int", "bool", or a low-precision type by its name. Wherever NumPy's own ufunc is right, it is the
answer, so that running a program costs no more than writing it in NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import ml_dtypes
import numpy as np
from scipy import special

from verify import linear_algebra

Linked = Callable[[Mapping[str, int], Sequence[Any]], tuple[Any, ...]]


class Untranslatable(Exception):
    """A primitive that has no meaning here; the caller falls back to JAX."""

    def __init__(self, primitive: str):
        super().__init__(f"{primitive} is not translated to NumPy")
        self.primitive = primitive


class Undecided(Exception):
    """A comparison that this precision cannot decide."""


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


class Arithmetic:
    """Where the names of a program are looked up."""

    name: str

    def operation(self, name: str, *statics: str) -> Callable[..., Any]:
        raise NotImplementedError

    def constant(self, value: Any, dtype: str, noisy: bool) -> Any:
        raise NotImplementedError

    def active(self) -> AbstractContextManager:
        """In force while the program runs."""
        return np.errstate(all="ignore")

    def guard(self, program: Linked) -> Linked:
        def guarded(dims: Mapping[str, int], inputs: Sequence[Any]) -> tuple[Any, ...]:
            with self.active():
                return program(dims, inputs)
        return guarded


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


def _round_away(x: Any) -> Any:
    """Halves away from zero; x + 1/2 may round up, x - trunc(x) never rounds."""
    whole = np.trunc(x)
    return np.where(np.abs(x - whole) >= 0.5, whole + np.copysign(1, x).astype(whole.dtype), whole)


def _polygamma(m: Any, x: Any) -> Any:
    sign = np.where(np.fmod(m, 2) == 0, -1, 1).astype(x.dtype)
    return np.where(m == 0, special.digamma(x), sign * special.gamma(m + 1) * special.zeta(m + 1, x)).astype(x.dtype)


def _reduce_precision(x: Any, exponent_bits: int, mantissa_bits: int) -> Any:
    """Rounded to the nearest number (ties to even) of a narrower format; overflow to infinity, underflow to zero."""
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


def _sort(operands: Sequence[np.ndarray], axis: int, keys: int) -> tuple[np.ndarray, ...]:
    """Stable, NaN last, as XLA; later keys break ties."""
    comparable = [_comparable(o) for o in operands[:keys]]
    order = (np.argsort(comparable[0], axis, kind="stable") if keys == 1
             else np.lexsort(comparable[::-1], axis=axis))
    return tuple(np.take_along_axis(o, order, axis) for o in operands)


def _comparable(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float32) if kind_of(x.dtype.name) not in ("float", "int", "bool", "complex") else x


ANY: dict[str, Callable] = {  # entries of every kind
    "add": np.add, "add_any": np.add, "sub": np.subtract, "mul": np.multiply, "neg": np.negative, "max": np.maximum,
    "min": np.minimum, "abs": np.abs, "sign": np.sign, "square": np.square, "eq": np.equal, "ne": np.not_equal,
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "where": np.where, "at": _combine,
    "argmax": _argmax, "argmin": _argmin, "integer_pow": _integer_pow, "is_nan": np.isnan,
    "reduce_max": _reducer(np.maximum), "reduce_min": _reducer(np.minimum),
    "cummax": np.maximum.accumulate, "cummin": np.minimum.accumulate,
    "is_finite": np.isfinite, "real": np.real, "imag": np.imag, "conj": np.conj, "nextafter": np.nextafter,
}
FLOAT: dict[str, Callable] = ANY | {
    "div": np.divide, "rem": np.fmod, "reciprocal": np.reciprocal, "sqrt": np.sqrt, "rsqrt": _rsqrt, "cbrt": np.cbrt,
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "logistic": special.expit,
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
    "atan2": np.arctan2, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh,
    "acosh": np.arccosh, "atanh": np.arctanh, "erf": special.erf, "erfc": special.erfc, "erf_inv": special.erfinv,
    "lgamma": special.gammaln, "digamma": special.digamma, "polygamma": _polygamma, "zeta": special.zeta,
    "igamma": special.gammainc, "igammac": special.gammaincc, "regularized_incomplete_beta": special.betainc,
    "bessel_i0e": special.i0e, "bessel_i1e": special.i1e, "floor": np.floor, "ceil": np.ceil,
    "round_even": np.rint, "round_away": _round_away, "complex": lambda re, im: re + 1j * im,
    "reduce_precision": _reduce_precision, "reduce_sum": _reducer(np.add), "reduce_prod": _reducer(np.multiply),
    "cumsum": np.add.accumulate, "cumprod": np.multiply.accumulate, "cumlogsumexp": np.logaddexp.accumulate,
}
# The special functions that SciPy has in float64 only; in longdouble they come from ball arithmetic.
SPECIAL = frozenset({
    "erf", "erfc", "erf_inv", "lgamma", "digamma", "polygamma", "zeta", "igamma", "igammac",
    "regularized_incomplete_beta", "bessel_i0e", "bessel_i1e",
})


def _int_div(a: Any, b: Any) -> Any:
    """Truncated; by zero -1, as XLA."""
    safe = np.where(b == 0, 1, b).astype(b.dtype)
    q = np.floor_divide(a, safe)
    q = q + ((q < 0) & (q * safe != a)).astype(q.dtype)
    return np.where(b == 0, -1, q).astype(a.dtype)


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
    "logistic": lambda x: 1 / (1 + np.exp(-x)), "sort": _sort,
}
# What ml_dtypes and NumPy compute directly in a low-precision type, rounding once; the rest goes through float32.
DIRECT = frozenset({
    "add", "add_any", "sub", "mul", "div", "neg", "max", "min", "abs", "sign", "square", "eq", "ne", "lt",
    "le", "gt", "ge", "where", "at", "argmax", "argmin", "is_nan", "is_finite", "reduce_max",
    "reduce_min", "cummax", "cummin", "nextafter", "sqrt", "exp", "log", "tanh",
})


def _low(function: Callable, dtype: Any) -> Callable:
    """Computed in float32 from exact operands, rounded once."""
    def rounded(*args: Any) -> Any:
        raised = [a.astype(np.float32) if getattr(a, "dtype", None) == dtype else a for a in args]
        out = function(*raised)
        return out.astype(dtype) if out.dtype.kind == "f" else out
    return rounded


def to_integer(x: Any, dtype: np.dtype) -> Any:
    """Truncated and saturated, NaN to zero, as XLA."""
    if dtype == np.bool_:
        return x != 0
    info, x = np.iinfo(dtype), np.trunc(np.asarray(x))
    out = np.where(np.isnan(x), 0, np.clip(x, float(info.min), float(info.max))).astype(np.float64, copy=False)
    saturated = np.where(out >= float(info.max), info.max, np.where(out <= float(info.min), info.min, 0)).astype(dtype)
    return np.where((out >= float(info.max)) | (out <= float(info.min)), saturated, out.astype(dtype))


def _same(x: Any) -> Any:
    return x


class NumPy(Arithmetic):
    """Both floating arithmetics: `width` is None where every dtype is honoured."""

    def __init__(self, name: str, width: Any, matmul_inputs: str | None):
        self.name, self.matmul_inputs = name, matmul_inputs
        self.width = None if width is None else np.dtype(width)

    def dtype(self, name: str) -> np.dtype:
        """The type that carries values which the program declares as `name`."""
        if self.width is not None:
            if is_floating(name):
                return self.width
            if kind_of(name) == "complex":
                return np.result_type(self.width, np.complex64)
        return np.dtype(getattr(ml_dtypes, name, name))

    def operation(self, name: str, *statics: str) -> Callable[..., Any]:
        builder = getattr(self, f"_{name}", None)
        if builder is not None:
            return builder(*statics)
        (kind,) = statics
        if name in linear_algebra.OPERATIONS:
            lapack_only = self.width == np.longdouble and name in linear_algebra.LAPACK_ONLY
            if lapack_only or self._is_low(kind):  # JAX has linear algebra in float32 and float64 only
                raise Untranslatable(name)
            return linear_algebra.OPERATIONS[name]
        table: dict[str, Callable] = {"float": FLOAT, "complex": COMPLEX, "int": INT, "bool": BOOL}.get(kind, FLOAT)
        if name not in table:
            raise Untranslatable(name)
        if name == "reduce_precision" and self.width is not None:
            return lambda x, exponent_bits, mantissa_bits: x
        if self.width == np.longdouble and name in SPECIAL:
            from verify.ball import through_balls
            return through_balls(name)
        if self.width is None and table is FLOAT and kind != "float" and name not in DIRECT:
            return _low(FLOAT[name], self.dtype(kind))
        return table[name]

    def constant(self, value: Any, dtype: str, noisy: bool) -> Any:
        return value if kind_of(dtype) == "key" else np.asarray(value).astype(self.dtype(dtype))

    # -- operations that depend on exact dtypes ----------------------------------------------------
    def _input(self, dtype: str) -> Callable:
        if kind_of(dtype) == "key":
            return _same
        to = self.dtype(dtype)
        return lambda x: np.asarray(x, to)

    _output = _input

    def _convert(self, source: str, target: str) -> Callable:
        to = self.dtype(target)
        if self.dtype(source) == to:
            return _same
        if to.kind in "iub" and is_floating(source):
            return lambda x: to_integer(x, to)
        if kind_of(source) == "complex" and to.kind != "c":
            return lambda x: np.real(x).astype(to)
        return lambda x: x.astype(to)

    def _integer(self, dtype: str) -> Callable:
        return np.dtype(dtype).type

    def _iota(self, dtype: str) -> Callable:
        to = self.dtype(dtype)

        def iota(shape: Sequence[int], dimension: int) -> np.ndarray:
            out = np.empty(shape, to)
            out[...] = np.arange(shape[dimension]).astype(to).reshape([-1] + [1] * (len(shape) - dimension - 1))
            return out
        return iota

    def _pow(self, base: str, exponent: str) -> Callable:
        def power(x: Any, y: Any) -> Any:
            return np.power(x, y.astype(x.dtype) if exponent == "int" and base != "int" else y)
        return _low(power, self.dtype(base)) if self._is_low(base) else power

    def _is_low(self, kind: str) -> bool:
        return self.width is None and kind not in ("float", "complex", "int", "bool")

    def _sort(self) -> Callable:
        return _sort

    def _bitcast(self, source: str, target: str) -> Callable:
        start, end = np.dtype(getattr(ml_dtypes, source, source)), np.dtype(getattr(ml_dtypes, target, target))
        to = self.dtype(target)  # bits are those of the declared types; a float made of them is then widened

        def bitcast(x: Any, shape: tuple) -> Any:
            return np.ascontiguousarray(x, start).view(end).reshape(shape).astype(to)
        return bitcast

    def _sign_bit(self, dtype: str) -> Callable:
        return lambda x: np.signbit(x).astype(dtype)

    def _matmul(self, lhs: str, rhs: str, out: str, precision: str) -> Callable:
        result = self.dtype(out)
        if self.width is not None and result.kind in "fc":
            return np.matmul
        if result.kind == "b":
            return lambda a, b: np.matmul(a.astype(np.int64), b.astype(np.int64)) != 0
        through = result
        if is_floating(out):  # low-precision operands and results accumulate in float32
            through = np.result_type(np.float32, *(self.dtype(d) for d in (lhs, rhs, out)))
        prepare = self._matmul_input(lhs, rhs, precision)
        if prepare is None and self.dtype(lhs) == self.dtype(rhs) == result == through:
            return np.matmul
        prepare = prepare or _same
        return lambda a, b: np.matmul(prepare(a).astype(through), prepare(b).astype(through)).astype(result)

    def _matmul_input(self, lhs: str, rhs: str, precision: str) -> Callable | None:
        """How the device rounds the operands of a float32 product."""
        how = {"default": self.matmul_inputs, "high": "tf32" if self.matmul_inputs == "tf32" else None,
               "bf16_bf16_f32": "bfloat16", "tf32_tf32_f32": "tf32"}.get(precision)
        if how is None or not lhs == rhs == "float32":
            return None
        bits = {"bfloat16": 7, "tf32": 10}[how]
        return lambda x: _reduce_precision(x, 8, bits)

    def _foreign(self, primitive: str, *kinds: str) -> Callable:
        if self.width == np.longdouble and not set(kinds) <= {"int", "bool", "key"}:
            raise Untranslatable(primitive)

        def call(bind: Callable, operands: tuple, sizes: dict[str, Any]) -> Any:
            out = bind(operands, sizes)
            return tuple(map(self._carried, out)) if isinstance(out, tuple) else self._carried(out)
        return call

    def _carried(self, value: Any) -> Any:
        return value.astype(self.dtype(value.dtype.name)) if isinstance(value, np.ndarray) else value

    def _callback(self, *dtypes: str) -> Callable:
        def call(callback: Callable, operands: tuple) -> tuple:
            out = callback(*operands)
            return tuple(np.asarray(o).astype(self.dtype(d)) for o, d in zip(out, dtypes, strict=True))
        return call


def native(matmul_inputs: str | None = None) -> Arithmetic:
    """Every dtype honoured, op by op; `matmul_inputs` ("bfloat16" or "tf32") rounds operands of float32 products."""
    if matmul_inputs not in (None, "bfloat16", "tf32"):
        raise ValueError(f"matmul_inputs is 'bfloat16', 'tf32' or None, not {matmul_inputs!r}")
    return NumPy("native" + (f" ({matmul_inputs} products)" if matmul_inputs else ""), None, matmul_inputs)


def wide(dtype: Any = np.float64) -> Arithmetic:
    """Every floating value in `dtype`, whatever the program declares: casts between floating types do nothing."""
    if np.dtype(dtype) not in (np.dtype(np.float64), np.dtype(np.longdouble)):
        raise ValueError(f"wide arithmetic is in float64 or longdouble, not {dtype!r}")
    return NumPy(f"wide {np.dtype(dtype).name}", dtype, None)
