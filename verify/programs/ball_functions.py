"""What each elementary function is of one ball: the enclosure, and floating point's value at the edges.

FLINT encloses; what it leaves as NaN splits in two. A *certain* NaN (radius zero) is what floating point
would return too: 0/0, inf - inf, log of a negative number. An indeterminate one (radius infinite) means that
the interval was too wide: comparing it raises `Undecided`. Exact zeros give floating point's infinities.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from flint import acb, arb

from verify.programs.arithmetic import Undecided

INF, NAN = arb.pos_inf(), arb(float("nan"))
_HALF = arb(0.5)


# -- what is certain -------------------------------------------------------------------------------
def certainly_nan(x: Any) -> bool:
    if isinstance(x, acb):
        return certainly_nan(x.real) or certainly_nan(x.imag)
    return x.is_nan() and x.rad().is_zero()


def _undecided(a: Any, relation: str, b: Any) -> bool:
    if any(certainly_nan(x) for x in (a, b) if not isinstance(x, str)):
        return False
    raise Undecided(f"{a} {relation} {b}")


def less(a: Any, b: Any) -> bool:
    if a < b:
        return True
    return False if a >= b or a is b else _undecided(a, "<", b)


def less_equal(a: Any, b: Any) -> bool:
    if a <= b or (a is b and not a.is_nan()):
        return True
    return False if a > b else _undecided(a, "<=", b)


def equal(a: Any, b: Any) -> bool:
    """One ball in two places is one number, however wide the ball."""
    if a == b or (a is b and not is_nan(a)):
        return True
    return False if a != b else _undecided(a, "==", b)


def is_nan(x: Any) -> bool:
    if isinstance(x, acb):
        return is_nan(x.real) or is_nan(x.imag)
    if not x.is_nan():
        return False
    return certainly_nan(x) or _undecided(x, "is", "NaN")


def is_finite(x: Any) -> bool:
    if x.is_finite():
        return True
    if isinstance(x, acb):
        return is_finite(x.real) and is_finite(x.imag)
    infinite = not x.is_nan() and not x.mid().is_finite() and x.rad().is_finite()
    return False if infinite else _undecided(x, "is", "finite")


def larger(a: Any, b: Any) -> Any:
    """The larger ball itself where it is certain, so that it still equals itself; otherwise a hull."""
    if a >= b:
        return a
    return b if b > a else a + b if a.is_nan() or b.is_nan() else a.max(b)


def smaller(a: Any, b: Any) -> Any:
    if a <= b:
        return a
    return b if b < a else a + b if a.is_nan() or b.is_nan() else a.min(b)


# -- functions of one ball -------------------------------------------------------------------------
def _of(name: str, outside: Callable[[Any], bool] | None = None,
        edges: dict[float, Any] | None = None) -> Callable:
    """FLINT's function, with floating point's value at the edges and NaN for certain outside its domain."""
    def function(x: Any) -> Any:
        y = getattr(x, name)()
        if y.is_finite():
            return y
        if certainly_nan(x):
            return x
        if isinstance(x, arb):
            for edge, value in (edges or {}).items():
                if x == edge:
                    return value
            if outside is not None and outside(x):
                return NAN
        return y
    return function


def _negative(x: arb) -> bool:
    return x < 0


def _beyond_one(x: arb) -> bool:
    return abs(x) > 1


def _periodic(name: str) -> Callable:
    return lambda x: NAN if abs(x) == INF else getattr(x, name)()


log = _of("log", _negative, {0: -INF})


def div(a: Any, b: Any) -> Any:
    q = a / b
    if q.is_finite() or isinstance(q, acb):
        return q
    if certainly_nan(a) or certainly_nan(b):
        return NAN
    if b.is_zero():
        return NAN if a.is_zero() else INF if a > 0 else -INF if a < 0 else q
    if abs(b) == INF:
        return NAN if abs(a) == INF else arb(0) if a.is_finite() else q
    return q


def integer_pow(x: Any, y: int) -> Any:
    if y < 0 and x.is_zero():
        return INF
    if y % 2 == 0 and isinstance(x, arb) and not x > 0:
        x = abs(x)
        x = x.nonnegative_part() if x.is_finite() else x
    return x ** y


def power(x: Any, y: Any) -> Any:
    if isinstance(x, acb) or isinstance(y, acb):
        return x ** y
    if y.is_exact() and y.is_integer():
        return integer_pow(x, int(y.unique_fmpz()))
    if x > 0:
        return x ** y
    if x < 0:
        return NAN if y.is_exact() else arb.nan()
    if x.is_zero():
        return arb(0) if y > 0 else INF if y < 0 else arb.nan()
    if x >= 0 and y > 0:  # zero is an end of the ball: the power is continuous there
        return arb(0).union(arb(x.upper()) ** y)
    return arb.nan()


def logistic(x: Any) -> Any:
    if isinstance(x, arb) and x < 0:
        e = x.exp()
        return e / (1 + e)
    return 1 / (1 + (-x).exp())


def cbrt(x: Any) -> Any:
    if x > 0:
        return x.root(3)
    if x < 0:
        return -((-x).root(3))
    if x.is_zero() or not x.is_finite():
        return x
    low, high = abs(arb(x.lower())), abs(arb(x.upper()))
    hull = arb(0) if x.upper() <= 0 else arb(0).union(high.root(3))
    return hull if x.lower() >= 0 else hull.union(-low.root(3))


def lgamma(x: Any) -> Any:
    """log |gamma(x)|."""
    if x > 0:
        return x.lgamma() if x.is_finite() else x
    if x.is_exact() and x.is_integer():
        return INF
    return log(arb.pi() / abs(x.sin_pi())) - (1 - x).lgamma()


def polygamma(m: Any, x: Any) -> Any:
    return digamma(x) if m.is_zero() else acb(x).polygamma(acb(m)).real


def sign(x: Any) -> Any:
    return x.sgn() if isinstance(x, arb) else x if x.is_zero() else x / abs(x)


def floor(x: Any) -> Any:
    return x.floor() if x.is_finite() else x


def ceil(x: Any) -> Any:
    return x.ceil() if x.is_finite() else x


def _monotone(below: Callable, above: Callable) -> Callable:
    """A non-decreasing step function that is one thing for negative numbers and another for positive ones."""
    def function(x: Any) -> Any:
        return above(x) if x >= 0 else below(x) if x <= 0 or not x.is_finite() else below(x).union(above(x))
    return function


trunc = _monotone(ceil, floor)
round_away = _monotone(lambda x: ceil(x - _HALF), lambda x: floor(x + _HALF))


def round_even(x: Any) -> Any:
    up = x + _HALF
    if up.is_exact() and up.is_integer():
        return 2 * floor(up / 2)
    return floor(up)


def rem(x: Any, y: Any) -> Any:
    """x - y trunc(x / y), with the sign of x."""
    if y.is_zero() or not x.is_finite():
        return NAN
    return x - y * whole(x / y) if y.is_finite() else x


def whole(x: arb) -> int:
    """The integer part, if the ball decides it."""
    integer = trunc(x).unique_fmpz()
    if integer is None:
        raise Undecided(f"the integer part of {x}")
    return int(integer)


def exactly(x: arb, dtype: np.dtype) -> Any:
    """The number of this floating type that the ball is."""
    number = np.float64(float(x.mid())).astype(dtype)
    if not equal(x, to_ball(number)):
        raise Undecided(f"the bits of {x}")
    return number


def logaddexp(a: Any, b: Any) -> Any:
    top = larger(a, b)
    return top if not top.is_finite() else top + log((a - top).exp() + (b - top).exp())


def _bessel_e(order: int) -> Callable:
    def function(x: Any) -> Any:
        value = abs(x).bessel_i(arb(order), scaled=True)
        return value if order == 0 or x >= 0 else -value if x <= 0 else value.union(-value)
    return function


def atan2(y: Any, x: Any) -> Any:
    return arb.atan2(y, x)


def zeta(s: Any, q: Any) -> Any:
    return s.zeta(q)


def igamma(a: Any, x: Any) -> Any:
    return arb(0) if x.is_zero() else x.gamma_lower(a, 1)


def igammac(a: Any, x: Any) -> Any:
    return arb(1) if x.is_zero() else x.gamma_upper(a, 1)


def betainc(a: Any, b: Any, x: Any) -> Any:
    return x.beta_lower(a, b, 1)


digamma = _of("digamma", None, {0: -INF})
UNARY: dict[str, Callable] = {
    **{n: _of(n) for n in ("exp", "expm1", "atan", "sinh", "cosh", "tanh", "asinh")},
    **{n: _periodic(n) for n in ("sin", "cos", "tan")},
    "sqrt": _of("sqrt", _negative), "rsqrt": _of("rsqrt", _negative, {0: INF}), "log": log,
    "log1p": _of("log1p", lambda x: x < -1, {-1: -INF}), "asin": _of("asin", _beyond_one),
    "acos": _of("acos", _beyond_one), "acosh": _of("acosh", lambda x: x < 1),
    "atanh": _of("atanh", _beyond_one, {1: INF, -1: -INF}), "erf_inv": _of("erfinv", _beyond_one,
                                                                           {1: INF, -1: -INF}),
    "erf": _of("erf", None, {float("inf"): arb(1), float("-inf"): arb(-1)}),
    "erfc": _of("erfc", None, {float("inf"): arb(0), float("-inf"): arb(2)}),
    "logistic": logistic, "cbrt": cbrt, "exp2": lambda x: arb(2) ** x,
    "exp_neg_sq": lambda x: UNARY["exp"](-integer_pow(x, 2)),
    "log2": lambda x: log(x) / arb.const_log2(), "reciprocal": lambda x: div(arb(1), x),
    "square": lambda x: integer_pow(x, 2), "lgamma": lgamma, "digamma": digamma, "floor": floor, "ceil": ceil,
    "round_away": round_away, "round_even": round_even, "sign": sign, "abs": abs, "bessel_i0e": _bessel_e(0),
    "bessel_i1e": _bessel_e(1), "real": lambda x: x.real, "imag": lambda x: x.imag,
    "conj": lambda x: x.conjugate(),
}
BINARY: dict[str, Callable] = {
    "div": div, "rem": rem, "max": larger, "min": smaller, "atan2": atan2, "polygamma": polygamma,
    "complex": acb,
    "integer_pow": integer_pow, "zeta": zeta, "igamma": igamma, "igammac": igammac,
}


# -- numbers to balls and back ---------------------------------------------------------------------
def to_ball(x: Any) -> Any:
    """The ball of exactly this number."""
    if type(x) is float:
        return arb(x)
    if isinstance(x, (arb, acb)):
        return x
    if isinstance(x, (complex, np.complexfloating)):
        return acb(to_ball(x.real), to_ball(x.imag))
    if getattr(x, "dtype", None) == np.longdouble and np.isfinite(x):  # in its own range two doubles hold it
        mantissa, exponent = np.frexp(x)
        high = float(mantissa)
        return (arb(high) + arb(float(mantissa - np.longdouble(high)))) * arb(2) ** int(exponent)
    return arb(int(x)) if isinstance(x, (int, np.integer, np.bool_)) else arb(float(x))


def to_longdouble(x: arb) -> np.longdouble:
    """The midpoint, rounded."""
    middle = arb(x.mid())
    if not middle.is_finite() or middle.is_zero():
        return np.longdouble(float(middle))
    mantissa, exponent = middle.man_exp()
    bits = int(abs(mantissa)).bit_length()
    if abs(int(exponent) + bits) > 2 * np.finfo(np.longdouble).maxexp:  # a C integer could not hold it
        size = np.longdouble(np.inf if exponent > 0 else 0.0)
        return np.copysign(size, np.longdouble(1 if middle > 0 else -1))
    scaled = middle * arb(2) ** -(int(exponent) + bits)
    high = float(scaled)
    return np.ldexp(np.longdouble(high) + np.longdouble(float(scaled - arb(high))), int(exponent) + bits)
