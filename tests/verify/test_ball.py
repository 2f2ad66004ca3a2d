"""Balls enclose: against mpmath, at the edges of floating point, and where nothing may be decided."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flint
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from flint import arb
from jax import lax

from verify.programs import ball_functions as fn
from verify.programs.arithmetic import Undecided, wide
from verify.programs.ball import ball
from verify.programs.program import Program, translate

INF = float("inf")
POINTS = (-1e30, -700.25, -8.5, -1.5, -1.0, -0.5, -1e-30, 0.0, 1e-300, 0.3, 0.5, 1.0, 2.5, 20.0, 1e5, 1e30)
MPMATH: dict[str, Callable[[Any], Any]] = {
    "exp": mpmath.exp, "exp2": lambda x: mpmath.mpf(2) ** x, "expm1": mpmath.expm1, "sin": mpmath.sin,
    "cos": mpmath.cos,
    "tan": mpmath.tan, "atan": mpmath.atan, "sinh": mpmath.sinh, "cosh": mpmath.cosh, "tanh": mpmath.tanh,
    "asinh": mpmath.asinh, "sqrt": mpmath.sqrt, "rsqrt": lambda x: 1 / mpmath.sqrt(x), "log": mpmath.log,
    "log1p": lambda x: mpmath.log(1 + x), "asin": mpmath.asin, "acos": mpmath.acos, "acosh": mpmath.acosh,
    "atanh": mpmath.atanh, "erf": mpmath.erf, "erfc": mpmath.erfc, "erf_inv": mpmath.erfinv,
    "logistic": lambda x: 1 / (1 + mpmath.exp(-x)), "cbrt": lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)),
    "reciprocal": lambda x: 1 / x, "square": lambda x: x * x,
    "lgamma": lambda x: mpmath.log(abs(mpmath.gamma(x))),
    "digamma": mpmath.digamma, "floor": mpmath.floor, "ceil": mpmath.ceil, "round_even": mpmath.nint,
    "sign": mpmath.sign, "abs": abs, "bessel_i0e": lambda x: mpmath.exp(-abs(x)) * mpmath.besseli(0, x),
    "bessel_i1e": lambda x: mpmath.exp(-abs(x)) * mpmath.besseli(1, x),
}
SMALL = {"exp", "exp2", "expm1", "sinh", "cosh", "logistic", "erfc", "lgamma", "digamma", "bessel_i0e",
         "bessel_i1e"}


@pytest.fixture(autouse=True)
def _precision() -> Any:
    saved, flint.ctx.prec = flint.ctx.prec, 192
    yield
    flint.ctx.prec = saved


def contains(x: arb, value: Any) -> bool:
    exact = arb(mpmath.nstr(value, 90, strip_zeros=False, min_fixed=-1, max_fixed=1))
    return bool(x.overlaps(exact + arb(0, 1e-70) * (abs(exact) + arb("1e-320"))))


@pytest.mark.parametrize("name", MPMATH)
def test_every_function_encloses_mpmath_and_tightly(name: str) -> None:
    checked = 0
    for point in POINTS:
        if abs(point) > 1e4 and name in SMALL:
            continue
        with mpmath.workdps(120 + (350 if abs(point) < 1e-200 else 0)):
            try:
                want = MPMATH[name](mpmath.mpf(point))
            except (ValueError, ZeroDivisionError):
                continue
            if isinstance(want, mpmath.mpc) or not mpmath.isfinite(want):
                continue
            got = fn.UNARY[name](arb(point))
            assert contains(got, want), (name, point, got, want)
            assert got.rad() <= abs(got) * 1e-40 or got.rad() < 1e-40, (name, point, got)
            checked += 1
    assert checked >= 5


@pytest.mark.parametrize("name", sorted(fn.UNARY.keys() - {"real", "imag", "conj"}))
def test_a_wide_ball_encloses_its_points(name: str) -> None:
    for middle, radius in ((0.6, 0.3), (0.2, 0.5), (-0.4, 0.2), (2.5, 1.25), (-3.3, 0.4)):
        wide_ball = fn.UNARY[name](arb(middle, radius))
        if not wide_ball.is_finite():
            continue
        for t in (-1.0, -0.4, 0.0, 0.3, 1.0):
            inside = fn.UNARY[name](arb(middle) + arb(radius) * arb(t))
            assert not inside.is_finite() or wide_ball.overlaps(inside), (name, middle, radius, t)


@pytest.mark.parametrize("name, x, want", [
    ("log", 0.0, -INF), ("log", -1.0, None), ("log1p", -1.0, -INF), ("rsqrt", 0.0, INF), ("sqrt", 0.0, 0.0),
    ("sqrt", -1.0, None), ("reciprocal", 0.0, INF), ("exp", -INF, 0.0), ("exp", INF, INF), ("tanh", INF, 1.0),
    ("erf", -INF, -1.0), ("erfc", INF, 0.0), ("atanh", 1.0, INF), ("erf_inv", -1.0, -INF),
    ("lgamma", 0.0, INF),
    ("lgamma", -2.0, INF), ("sin", INF, None), ("cbrt", -8.0, -2.0), ("cbrt", 0.0, 0.0),
    ("floor", -INF, -INF),
    ("logistic", -INF, 0.0), ("logistic", INF, 1.0), ("round_even", 2.5, 2.0), ("round_even", -1.5, -2.0),
    ("round_even", -0.5, 0.0), ("round_away", 2.5, 3.0), ("round_away", -0.5, -1.0), ("asin", 2.0, None),
])
def test_edges_are_those_of_floating_point(name: str, x: float, want: float | None) -> None:
    got = fn.UNARY[name](arb(x))
    assert fn.certainly_nan(got) if want is None else abs(float(got.mid()) - want) < 1e-50 or got == arb(want)


@pytest.mark.parametrize("x, y, want", [
    (0.0, 0.0, 1.0), (0.0, 2.0, 0.0), (0.0, -1.0, INF), (-2.0, 3.0, -8.0), (-2.0, -1.0, -0.5),
    (-2.0, 0.5, None),
    (0.0, 0.5, 0.0), (0.0, -0.5, INF), (2.0, INF, INF), (4.0, 0.5, 2.0),
])
def test_powers(x: float, y: float, want: float | None) -> None:
    got = fn.power(arb(x), arb(y))
    assert fn.certainly_nan(got) if want is None else got == arb(want) or abs(got - want) < 1e-50


@pytest.mark.parametrize("x, y", [(7.5, 2.0), (-7.5, 2.0), (7.5, -2.0), (1e20, 3.0), (0.0, 2.0), (5.0, INF)])
def test_remainders(x: float, y: float) -> None:
    assert fn.rem(arb(x), arb(y)) == arb(float(np.fmod(x, y)))


def test_division_by_exact_zero_and_certain_nan() -> None:
    assert fn.div(arb(1), arb(0)) == arb(INF) and fn.div(arb(-1), arb(0)) == arb(-INF)
    assert fn.certainly_nan(fn.div(arb(0), arb(0))) and fn.certainly_nan(fn.NAN * arb(2) + 1)
    assert not fn.certainly_nan(fn.div(arb(1), arb(0, 1)))


# -- decisions ----------------------------------------------------------------------------------------
def test_what_a_ball_does_not_decide_is_undecided() -> None:
    straddling = arb(0, 1)
    for decide in (lambda: fn.less(straddling, arb(0)), lambda: fn.equal(straddling, arb(0.5)),
                   lambda: fn.less_equal(arb(0, 1), arb(0, 1)), lambda: fn.is_finite(arb.nan()),
                   lambda: fn.is_nan(fn.div(arb(1), straddling)), lambda: fn.whole(arb(1, 0.1)),
                   lambda: fn.rem(arb(1, 0.1), arb(1))):
        with pytest.raises(Undecided):
            decide()
    assert fn.equal(straddling, straddling) and fn.less_equal(straddling, straddling)
    assert not fn.less(straddling, straddling)


def test_a_certain_maximum_is_the_same_ball() -> None:
    a, b = arb(1, 0.25), arb(2, 0.25)
    assert fn.larger(a, b) is b and fn.smaller(a, b) is a
    hull = fn.larger(a, arb(1.1, 0.25))
    assert hull.contains(arb(1.35)) and not hull < 1.25


def program_of(f: Callable[..., Any], *shapes: str, dtype: str = "float32") -> Program:
    scope = jax.export.SymbolicScope()
    with jax.enable_x64(dtype == "float64"):
        specs = [jax.ShapeDtypeStruct(jax.export.symbolic_shape(s, scope=scope), dtype) for s in shapes]
        return translate(jax.make_jaxpr(f)(*specs))


def balls(*values: tuple[float, float]) -> np.ndarray:
    out = np.empty(len(values), object)
    out[:] = [arb(m, r) for m, r in values]
    return out


def test_the_gradient_of_a_maximum_is_decided_for_inexact_values() -> None:
    linked = program_of(jax.grad(lambda x: jnp.max(jnp.exp(x))), "n").link(ball(128))
    (gradient,) = linked({"n": 3}, [np.asarray([0.1, 2.0, -1.0])])
    assert float(gradient[0].mid()) == 0 and abs(float(gradient[1].mid()) - np.exp(2)) < 1e-12


def test_sorting_and_indexing_raise_rather_than_guess() -> None:
    for f in (jnp.sort, jnp.argmax, lambda x: jnp.where(x > 0, x, 0), lambda x: x.astype(jnp.int32)):
        with pytest.raises(Undecided):
            program_of(f, "n").link(ball(64))({"n": 2}, [balls((0.0, 1.0), (0.5, 1.0))])


def test_only_a_number_has_bits() -> None:
    """Rounded to one, x + h would be x again, and the derivative of this identity zero."""
    def identity(x: jax.Array) -> jax.Array:
        return jax.lax.bitcast_convert_type(jax.lax.bitcast_convert_type(x, jnp.uint32), x.dtype)

    linked = program_of(identity, "n").link(ball(256))
    assert linked({"n": 1}, [balls((0.5, 0.0))])[0] == arb(0.5)
    with pytest.raises(Undecided):
        linked({"n": 1}, [balls((0.5, 2.0**-100))])


def test_reductions_enclose() -> None:
    (top,) = program_of(jnp.max, "n").link(ball(64))({"n": 2}, [balls((0.0, 1.0), (0.5, 1.0))])
    assert top[()].contains(arb(1.2))


# -- exactness ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64", "longdouble"])
def test_inputs_are_taken_exactly(dtype: str) -> None:
    values = np.asarray([1 / 3, -2.7e-5,
                         3.0]).astype(np.longdouble if dtype == "longdouble" else jnp.dtype(dtype))
    if dtype == "longdouble":
        values = values + np.ldexp(np.longdouble(1), -62)
    (out,) = program_of(lambda x: x, "n").link(ball(256))({"n": 3}, [values])
    for b, v in zip(out, values, strict=True):
        assert b.is_exact() and np.longdouble(fn.to_longdouble(b)) == np.longdouble(v)


def test_long_doubles_beyond_doubles() -> None:
    for value in (np.ldexp(np.longdouble(1.25), 5000), np.ldexp(np.longdouble(-1.75), -9000)):
        assert fn.to_longdouble(fn.to_ball(value)) == value


def test_balls_beyond_long_doubles() -> None:
    enormous = arb(2) ** arb(2) ** 70
    assert fn.to_longdouble(enormous) == np.inf and fn.to_longdouble(-enormous) == -np.inf
    assert fn.to_longdouble(1 / enormous) == 0


def test_literals_are_exact_and_casts_widen() -> None:
    program = program_of(lambda x: (x * 0.1).astype(jnp.bfloat16).astype(jnp.float32), "n")
    (out,) = program.link(ball(192))({"n": 1}, [np.asarray([3.0])])
    assert out[0] == arb(float(np.float32(0.1))) * 3


def test_literal_noise_moves_rounded_literals_in_arithmetic_only() -> None:
    program = program_of(lambda x: (x * 0.1, x * 0.5, x * 3.0, jnp.maximum(x, 0.1),
                                    jnp.where(x > 0.1, 0.1, x)), "n")
    moved = [float((x[0] - y[0]).mid()) for x, y in zip(
        program.link(ball(192, np.random.default_rng(0)))({"n": 1}, [np.asarray([0.0625])]),
        program.link(ball(192))({"n": 1}, [np.asarray([0.0625])]), strict=True)]
    assert 0 < abs(moved[0]) <= 0.1 * 0.0625 * 2**-24
    assert moved[1:] == [0, 0, 0, 0]


def test_precision_is_restored_even_after_an_error() -> None:
    flint.ctx.prec = 77
    with pytest.raises(Undecided):
        program_of(lambda x: x > 0, "n").link(ball(300))({"n": 1}, [balls((0.0, 1.0))])
    assert flint.ctx.prec == 77


def test_more_bits_shrink_the_radius_of_a_cancellation() -> None:
    program = program_of(lambda x: 1 + lax.erf(x), "n", dtype="float64")
    (coarse,), (value,) = (program.link(ball(bits))({"n": 1}, [np.asarray([-8.5])]) for bits in (64, 192))
    assert coarse[0].rad() > 1e-34 and value[0].rad() < 1e-50
    assert abs(float(value[0].mid()) / 2.7623240713337715e-33 - 1) < 1e-12


def test_linear_algebra_encloses() -> None:
    def f(a: Any, b: Any) -> Any:
        return (jnp.linalg.solve(a, b), jnp.linalg.slogdet(a)[1], jnp.linalg.cholesky(a @ a.T),
                *jnp.linalg.qr(a))
    program = program_of(f, "n, n", "n, m", dtype="float64")
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(5, 5)), rng.normal(size=(5, 2))
    for enclosed, value in zip(program.link(ball(256))({"n": 5, "m": 2}, [a, b]),
                               program.link(wide())({"n": 5, "m": 2}, [a, b]), strict=True):
        middles = np.reshape([float(x.mid()) for x in enclosed.flat], enclosed.shape)
        assert max(float(x.rad()) for x in enclosed.flat) < 1e-60
        np.testing.assert_allclose(middles, value, atol=1e-12)
