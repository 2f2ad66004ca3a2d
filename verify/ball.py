"""Ball arithmetic: every floating value is an interval (FLINT's arb, acb) that certainly holds the exact one.

A program run here is an oracle with a proof: the radius says what is known. Arrays are NumPy object arrays of balls;
integers and booleans stay NumPy's. Nothing silently takes a midpoint: a comparison that the intervals do not decide
raises `Undecided`, and the caller raises the precision. Exact zeros, and infinities, behave as in floating point
(1/0 is inf, log 0 is -inf, 0 * inf is NaN).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import flint
import numpy as np
from flint import acb, arb

from verify import linear_algebra
from verify.arithmetic import (
    ANY, BOOL, INT, Arithmetic, Undecided, Untranslatable, is_floating, kind_of,
)

_INF, _NAN = arb.pos_inf(), arb.nan()


# -- single balls ------------------------------------------------------------------------------------------------
def _less(a: Any, b: Any) -> bool:
    if a < b:
        return True
    if a >= b or _is_nan(a) or _is_nan(b):
        return False
    raise Undecided(f"{a} < {b}")


def _less_equal(a: Any, b: Any) -> bool:
    if a <= b:
        return True
    if a > b or _is_nan(a) or _is_nan(b):
        return False
    raise Undecided(f"{a} <= {b}")


def _equal(a: Any, b: Any) -> bool:
    if a == b:
        return True
    if a != b or _is_nan(a) or _is_nan(b):
        return False
    raise Undecided(f"{a} == {b}")


def _is_nan(x: Any) -> bool:
    if isinstance(x, acb):
        return x.real.is_nan() or x.imag.is_nan()
    return x.is_nan()


def _is_finite(x: Any) -> bool:
    if x.is_finite():
        return True
    if not _is_nan(x) and isinstance(x, arb) and not x.mid().is_finite():
        return False
    if _is_nan(x):
        return False
    raise Undecided(f"is {x} finite?")


def _at_zero(value: Any) -> Callable:
    """Extends a function by the value that floating point gives it at exactly zero."""
    def extend(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda x: value if x.is_zero() else function(x)
    return extend


def _div(a: Any, b: Any) -> Any:
    q = a / b
    if not q.is_finite() and isinstance(b, arb) and b.is_zero() and isinstance(a, arb) and not a.contains(0):
        return _INF if a > 0 else -_INF
    return q


def _integer_pow(x: Any, y: int) -> Any:
    if y < 0 and x.is_zero():
        return _INF
    if y % 2 == 0 and isinstance(x, arb) and x.contains(0):
        x = abs(x)
        return x.nonnegative_part() ** y if y > 0 else x ** y
    return x ** y


def _pow(x: Any, y: Any) -> Any:
    if isinstance(x, acb) or isinstance(y, acb):
        return x ** y
    if y.is_exact() and y.is_integer():
        return _integer_pow(x, int(y.unique_fmpz()))
    if x.is_zero():
        return arb(0) if y > 0 else _INF if y < 0 else _NAN
    if x > 0:
        return x ** y
    if x.contains(0) and y > 0 and not x < 0:  # continuous at zero; NaN only below, where there is nothing to enclose
        return arb(0).union(x.upper() ** y) if x.lower() >= 0 else _NAN
    return _NAN


def _log(x: Any) -> Any:
    return -_INF if x.is_zero() else x.log()


def _log1p(x: Any) -> Any:
    return -_INF if x == -1 else x.log1p()


def _logistic(x: Any) -> Any:
    if isinstance(x, arb) and x < 0:
        e = x.exp()
        return e / (1 + e)
    return 1 / (1 + (-x).exp())


def _erf(x: Any) -> Any:
    return x.sgn() if not x.is_finite() and abs(x) == _INF else x.erf()


def _erfc(x: Any) -> Any:
    return 1 - x.sgn() if not x.is_finite() and abs(x) == _INF else x.erfc()


def _atanh(x: Any) -> Any:
    return x * _INF if x == 1 or x == -1 else x.atanh()


def _erf_inv(x: Any) -> Any:
    return x * _INF if x == 1 or x == -1 else x.erfinv()


def _cbrt(x: Any) -> Any:
    if x >= 0:
        return x.root(3)
    if x <= 0:
        return -((-x).root(3))
    return (-((-x.lower()).root(3))).union(x.upper().root(3))


def _lgamma(x: Any) -> Any:
    """log |gamma(x)|."""
    if x > 0:
        return x.lgamma() if x.is_finite() else x
    if x.is_exact() and x.is_integer():
        return _INF
    return _log(arb.pi() / abs(x.sin_pi())) - (1 - x).lgamma()


def _digamma(x: Any) -> Any:
    return -_INF if x.is_zero() else x.digamma()


def _polygamma(m: Any, x: Any) -> Any:
    if m.is_zero():
        return _digamma(x)
    return acb(x).polygamma(acb(m)).real


def _sign(x: Any) -> Any:
    return x.sgn() if isinstance(x, arb) else x / abs(x) if not x.is_zero() else x


def _max(a: Any, b: Any) -> Any:
    return a + b if _is_nan(a) or _is_nan(b) else a.max(b)


def _min(a: Any, b: Any) -> Any:
    return a + b if _is_nan(a) or _is_nan(b) else a.min(b)


def _floor(x: Any) -> Any:
    return x.floor() if x.is_finite() else x


def _ceil(x: Any) -> Any:
    return x.ceil() if x.is_finite() else x


def _trunc(x: Any) -> Any:
    return _floor(x) if x >= 0 else _ceil(x) if x <= 0 else _ceil(x).union(_floor(x))


def _round_away(x: Any) -> Any:
    half = arb(1) / 2
    return _floor(x + half) if x >= 0 else _ceil(x - half) if x <= 0 else _ceil(x - half).union(_floor(x + half))


def _round_even(x: Any) -> Any:
    if (2 * x).is_exact() and (2 * x).is_integer() and not x.is_integer():
        return 2 * (x / 2 + arb(1) / 4).floor() if ((x - arb(1) / 2) / 2).is_integer() is False else x - arb(1) / 2
    return _floor(x + arb(1) / 2)


def _rem(x: Any, y: Any) -> Any:
    """x - y trunc(x / y), with the sign of x."""
    if y.is_zero() or not x.is_finite():
        return _NAN
    if not y.is_finite():
        return x
    whole = _trunc(x / y)
    if not whole.is_exact() and whole.unique_fmpz() is None:
        raise Undecided(f"{x} rem {y}")
    return x - y * (whole if whole.is_exact() else arb(whole.unique_fmpz()))


def _abs(x: Any) -> Any:
    return abs(x)


def _real(x: Any) -> Any:
    return x.real


def _imag(x: Any) -> Any:
    return x.imag


def _is_integer(x: arb) -> int:
    whole = _trunc(x)
    exact = whole.unique_fmpz()
    if exact is None:
        raise Undecided(f"the integer part of {x}")
    return int(exact)


def to_ball(x: Any) -> Any:
    """The ball of exactly this number."""
    if isinstance(x, (arb, acb)):
        return x
    if isinstance(x, (complex, np.complexfloating)):
        return acb(to_ball(x.real), to_ball(x.imag))
    if isinstance(x, np.longdouble):
        if not np.isfinite(x):
            return arb(float(x))
        high = float(x)  # a long double is the exact sum of two doubles, unless it overflows one
        if np.isfinite(high) and (abs(high) > 1e-290 or x == 0):
            return arb(high) + arb(float(x - np.longdouble(high)))
        mantissa, exponent = np.frexp(x)
        return to_ball(mantissa) * arb(2) ** int(exponent)
    return arb(int(x)) if isinstance(x, (int, np.integer, np.bool_)) else arb(float(x))


# -- arrays of balls ---------------------------------------------------------------------------------------------
def _each(function: Callable, inputs: int = 1) -> Callable:
    return np.frompyfunc(function, inputs, 1)


def _decided(function: Callable, inputs: int = 2) -> Callable:
    """A comparison, entry by entry, as booleans."""
    each = np.frompyfunc(function, inputs, 1)
    return lambda *args: np.asarray(each(*args), bool)


def _reduce(ufunc: Any) -> Callable:
    def reduce(x: Any, axes: Any) -> Any:
        axes = (axes,) if isinstance(axes, int) else axes
        for axis in sorted(axes, reverse=True):
            x = ufunc.reduce(x, axis)
        return x
    return reduce


def _arg(better: Callable[[Any, Any], bool]) -> Callable:
    """The first best entry, as argmax breaks ties."""
    def lane(values: np.ndarray) -> int:
        best = 0
        for i in range(1, len(values)):
            if better(values[i], values[best]):
                best = i
        return best
    return lambda x, axis: np.apply_along_axis(lane, axis, x).astype(np.int64)


def _sort(operands: Sequence[np.ndarray], axis: int, keys: int) -> tuple[np.ndarray, ...]:
    def compare(i: int, j: int) -> int:
        for key in lane:
            a, b = key[i], key[j]
            if isinstance(a, arb):
                if _is_nan(a) or _is_nan(b):
                    order = int(_is_nan(a)) - int(_is_nan(b))
                else:
                    order = 0 if a is b or _equal(a, b) else -1 if _less(a, b) else 1
            else:
                order = int(a > b) - int(a < b)
            if order:
                return order
        return 0

    lanes = [np.moveaxis(o, axis, -1).reshape(-1, o.shape[axis]) for o in operands[:keys]]
    places = np.empty(lanes[0].shape, np.int64)
    for row in range(len(places)):
        lane = [key[row] for key in lanes]
        places[row] = sorted(range(places.shape[1]), key=functools.cmp_to_key(compare))
    moved = np.moveaxis(operands[0], axis, -1).shape
    order = np.moveaxis(places.reshape(moved), -1, axis)
    return tuple(np.take_along_axis(o, order, axis) for o in operands)


def _logaddexp(a: Any, b: Any) -> Any:
    top = _max(a, b)
    return top if not top.is_finite() else top + _log((a - top).exp() + (b - top).exp())


def _combine(how: str) -> Callable[..., None]:
    def put(out: np.ndarray, index: tuple, values: Any) -> None:
        out[index] = values
    ufuncs = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "min": _each(_min, 2), "max": _each(_max, 2)}
    return put if how == "set" else ufuncs[how].at


def _matmul(a: Any, b: Any) -> Any:
    """FLINT's product for matrices, which rounds once an entry; NumPy's loop otherwise."""
    if a.ndim == b.ndim == 2 and a.size and b.size and isinstance(a.flat[0], arb) and isinstance(b.flat[0], arb):
        out = np.empty((a.shape[0], b.shape[1]), object)
        out[...] = (flint.arb_mat(a.tolist()) * flint.arb_mat(b.tolist())).table()
        return out
    return np.matmul(a, b)


def _method(name: str) -> Callable:
    return lambda x: getattr(x, name)()


_UNARY: dict[str, Callable] = {
    **{n: _method(n) for n in ("exp", "expm1", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh",
                               "asinh", "acosh", "sqrt")},
    "log": _log, "log1p": _log1p, "logistic": _logistic, "erf": _erf, "erfc": _erfc, "erf_inv": _erf_inv,
    "atanh": _atanh, "rsqrt": _at_zero(_INF)(_method("rsqrt")), "cbrt": _cbrt, "exp2": lambda x: arb(2) ** x,
    "reciprocal": lambda x: _div(arb(1), x), "square": lambda x: _integer_pow(x, 2), "lgamma": _lgamma,
    "digamma": _digamma, "floor": _floor, "ceil": _ceil, "round_away": _round_away, "round_even": _round_even,
    "sign": _sign, "abs": _abs, "real": _real, "imag": _imag, "conj": lambda x: x.conjugate(),
    "bessel_i0e": lambda x: abs(x).bessel_i(arb(0), scaled=True),
    "bessel_i1e": lambda x: abs(x).bessel_i(arb(1), scaled=True) * (1 if x >= 0 else -1),
}
_BINARY: dict[str, Callable] = {
    "div": _div, "rem": _rem, "max": _max, "min": _min, "atan2": arb.atan2, "polygamma": _polygamma,
    "complex": acb, "integer_pow": _integer_pow,
    "zeta": lambda s, q: s.zeta(q),
    "igamma": lambda a, x: x.gamma_lower(a, 1) if not x.is_zero() else arb(0),
    "igammac": lambda a, x: x.gamma_upper(a, 1) if not x.is_zero() else arb(1),
}
FLOAT: dict[str, Callable] = {
    "add": np.add, "add_any": np.add, "sub": np.subtract, "mul": np.multiply, "neg": np.negative, "where": np.where,
    **{name: _each(f) for name, f in _UNARY.items()},
    **{name: _each(f, 2) for name, f in _BINARY.items()},
    "regularized_incomplete_beta": _each(lambda a, b, x: x.beta_lower(a, b, 1), 3),
    "lt": _decided(_less), "le": _decided(_less_equal), "gt": _decided(lambda a, b: _less(b, a)),
    "ge": _decided(lambda a, b: _less_equal(b, a)), "eq": _decided(_equal),
    "ne": _decided(lambda a, b: not _equal(a, b)), "is_nan": _decided(_is_nan, 1),
    "is_finite": _decided(_is_finite, 1), "at": _combine,
    "argmax": _arg(lambda a, b: _less(b, a)), "argmin": _arg(_less),
    "reduce_sum": _reduce(np.add), "reduce_prod": _reduce(np.multiply),
    "reduce_max": _reduce(_each(_max, 2)), "reduce_min": _reduce(_each(_min, 2)),
    "cumsum": np.add.accumulate, "cumprod": np.multiply.accumulate,
    "cummax": lambda x, axis: _each(_max, 2).accumulate(x, axis, object),
    "cummin": lambda x, axis: _each(_min, 2).accumulate(x, axis, object),
    "cumlogsumexp": lambda x, axis: _each(_logaddexp, 2).accumulate(x, axis, object),
    "reduce_precision": lambda x, exponent_bits, mantissa_bits: x,
    "lu": lambda a: linear_algebra.lu(a, lambda x, y: _less(abs(y), abs(x))),
    **{name: linear_algebra.OPERATIONS[name] for name in ("cholesky", "triangular_solve", "qr", "householder_product")},
}
_ball = np.frompyfunc(to_ball, 1, 1)


def _balls(x: Any) -> np.ndarray:
    """An array of balls, from numbers or balls."""
    x = np.asarray(x)
    if x.dtype == object:
        return x
    if x.dtype.kind not in "fciub":  # ml_dtypes
        x = x.astype(np.float64)
    if x.dtype in (np.float64, np.float32, np.float16):
        x, make = x.astype(np.float64), arb
    else:
        make = to_ball
    out = np.empty(x.shape, object)
    values = [make(v) for v in (x.ravel() if make is to_ball else x.ravel().tolist())]
    out.reshape(-1)[:] = values
    return out


class Ball(Arithmetic):
    def __init__(self, bits: int, literal_noise: np.random.Generator | None):
        self.name, self.bits, self.literal_noise = f"ball {bits}", bits, literal_noise

    @contextmanager
    def active(self) -> Iterator[None]:
        saved, flint.ctx.prec = flint.ctx.prec, self.bits
        try:
            with np.errstate(all="ignore"):
                yield
        finally:
            flint.ctx.prec = saved

    def operation(self, name: str, *statics: str) -> Callable[..., Any]:
        builder = getattr(self, f"_{name}", None)
        if builder is not None:
            return builder(*statics)
        (kind,) = statics
        table = {"int": INT, "bool": BOOL, "key": ANY}.get(kind, FLOAT)
        if name not in table:
            raise Untranslatable(name)
        return table[name]

    def constant(self, value: Any, dtype: str, noisy: bool) -> Any:
        if kind_of(dtype) == "key" or not self._is_ball(dtype):
            return value
        balls = _balls(value)
        if noisy and self.literal_noise is not None and is_floating(dtype) and _inexact(value, dtype):
            shift = self.literal_noise.uniform(-1, 1) * float(_eps(dtype)) / 2
            balls = np.multiply(balls, 1 + arb(shift))
        return balls if np.ndim(balls) else np.asarray(balls, object)

    @staticmethod
    def _is_ball(dtype: str) -> bool:
        return is_floating(dtype) or kind_of(dtype) == "complex"

    def _input(self, dtype: str) -> Callable:
        if self._is_ball(dtype):
            return _balls
        return (lambda x: x) if kind_of(dtype) == "key" else lambda x: np.asarray(x, dtype)

    _output = _input

    def _convert(self, source: str, target: str) -> Callable:
        if self._is_ball(target):
            if kind_of(source) == "complex" and kind_of(target) != "complex":
                return FLOAT["real"]
            if kind_of(target) == "complex":
                return _each(acb)
            return (lambda x: x) if self._is_ball(source) else _each(lambda x: arb(int(x)))
        if not self._is_ball(source):
            return lambda x: x.astype(target)
        if target == "bool":
            return _decided(lambda x: not _equal(x, arb(0)), 1)
        info = np.iinfo(target)
        whole = _each(lambda x: min(max(_is_integer(x), info.min), info.max))
        return lambda x: np.asarray(whole(x)).astype(target)

    def _integer(self, dtype: str) -> Callable:
        return np.dtype(dtype).type

    def _iota(self, dtype: str) -> Callable:
        def iota(shape: Sequence[int], dimension: int) -> np.ndarray:
            entries = np.arange(shape[dimension]).reshape([-1] + [1] * (len(shape) - dimension - 1))
            entries = _balls(entries) if self._is_ball(dtype) else entries.astype(dtype)
            out = np.empty(shape, entries.dtype)
            out[...] = entries
            return out
        return iota

    def _pow(self, base: str, exponent: str) -> Callable:
        if base == "int":
            return np.power
        power = _each(_pow, 2)
        return power if exponent != "int" else _each(lambda x, y: _pow(x, arb(int(y))), 2)

    def _sort(self) -> Callable:
        return _sort

    def _matmul(self, lhs: str, rhs: str, out: str, precision: str) -> Callable:
        if not self._is_ball(out):
            return lambda a, b: np.matmul(a, b).astype(out)
        return _matmul

    def _foreign(self, primitive: str, *kinds: str) -> Callable:
        if not set(kinds) <= {"int", "bool", "key"}:
            raise Untranslatable(primitive)
        return lambda bind, operands, sizes: bind(operands, sizes)

    def _callback(self, *dtypes: str) -> Callable:
        raise Untranslatable("pure_callback")

    def _bitcast(self, source: str, target: str) -> Callable:
        raise Untranslatable("bitcast_convert_type")


def _eps(dtype: str) -> float:
    import ml_dtypes
    return float(ml_dtypes.finfo(dtype).eps)


def _inexact(value: Any, dtype: str) -> bool:
    """Whether a literal needs more than a dozen significant bits: probably the rounding of another number."""
    number = float(np.asarray(value))
    if not np.isfinite(number) or number == 0:
        return False
    mantissa, _ = np.frexp(number)
    return mantissa * 2**12 != int(mantissa * 2**12)


def ball(bits: int = 192, literal_noise: np.random.Generator | None = None) -> Arithmetic:
    """Enclosures in `bits` bits. With `literal_noise`, literals that look rounded are moved within their rounding,
    anew at every `Program.link`: how far the result moves is how much the rounding of constants matters."""
    return Ball(bits, literal_noise)


def through_balls(name: str) -> Callable[..., Any]:
    """A special function of long doubles, correctly rounded by way of balls."""
    function = FLOAT[name]

    def special(*args: Any) -> Any:
        saved, flint.ctx.prec = flint.ctx.prec, 160
        try:
            return to_longdouble(function(*map(_balls, args)))
        finally:
            flint.ctx.prec = saved
    return special


def _longdouble(x: arb) -> np.longdouble:
    middle = x.mid()
    if not middle.is_finite():
        return np.longdouble(float(middle))
    high = float(middle)
    if not np.isfinite(high):
        return np.longdouble(str(middle.str(25, radius=False)))
    return np.longdouble(high) + np.longdouble(float(middle - arb(high)))


def to_longdouble(balls: Any) -> np.ndarray:
    return np.asarray(np.frompyfunc(_longdouble, 1, 1)(balls)).astype(np.longdouble)
