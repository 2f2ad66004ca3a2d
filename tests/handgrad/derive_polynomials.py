"""Derives the tables of ``handgrad/polynomials.py``: interpolation at Chebyshev nodes, in 50 digits (mpmath).

    python -m tests.handgrad.derive_polynomials > handgrad/polynomials.py

Near zero a slope is ``1/2 + z S(z²)``, and ``S`` is interpolated; for mish the slope itself, in powers of ``z + 1/2``.
For the tail of gelu' see ``mills``. ``exp(-r)`` itself is
``1 - r + r² q(r)``, ``q`` interpolated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from textwrap import fill

import mpmath as mp

mp.mp.dps = 50
Function = Callable[[mp.mpf], mp.mpf]

HEAD = '''"""Coefficients for float32 and float64, lowest power first, from ``tests.handgrad.derive_polynomials``."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

Table = tuple[tuple[float, ...], tuple[float, ...]]


def of_dtype(single: float, double: float, like: Array) -> float:
    """The one of two numbers that belongs to the dtype of ``like``."""
    return single if like.dtype == jnp.float32 else double


def polynomial(x: Array, table: Table) -> Array:
    """``c₀ + c₁ x + c₂ x² + ...`` by Horner's rule, with the coefficients for the dtype of ``x``."""
    *others, value = table[x.dtype != jnp.float32]
    for c in reversed(others):
        value = value * x + c
    return jnp.asarray(value)

'''


ABOUT_ROOT = '"""Near where the slope of gelu vanishes, negated; few bits, so that ``x`` minus it is exact."""'
ABOUT_AT_ROOT = '"""``exp(x²/2)`` times the slope at ``-x``, there."""'


def phi(x: mp.mpf) -> mp.mpf:
    return mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi)


def sigmoid(z: mp.mpf) -> mp.mpf:
    return 1 / (1 + mp.exp(-z))


def silu(z: mp.mpf) -> mp.mpf:
    return sigmoid(z) + z * sigmoid(z) * sigmoid(-z)


def gelu(z: mp.mpf) -> mp.mpf:
    return mp.erfc(-z / mp.sqrt(2)) / 2 + z * phi(z)


def gelu_tanh(z: mp.mpf) -> mp.mpf:
    c, k = 2 * mp.sqrt(2 / mp.pi), mp.mpf("0.044715")
    u, du = c * (z + k * z**3), c * (1 + 3 * k * z * z)
    return sigmoid(u) + z * du * sigmoid(u) * sigmoid(-u)


def mish(z: mp.mpf) -> mp.mpf:
    w = mp.exp(z)
    d = 2 + w * (w + 2)
    return w * (w + 2) / d + 4 * z * w * (w + 1) / d**2


def exp_beyond_linear(r: mp.mpf) -> mp.mpf:
    """``q`` in ``exp(-r) = 1 - r + r² q(r)``."""
    return (mp.exp(-r) - 1 + r) / r**2 if abs(r) > mp.mpf(10) ** -15 else mp.mpf(1) / 2 - r / 6


def odd_part(slope: Function) -> Function:
    """``S`` in ``slope(z) = 1/2 + z S(z²)``."""

    def S(v: mp.mpf) -> mp.mpf:
        z = mp.sqrt(v) if v else mp.mpf(10) ** -20
        return (slope(z) - mp.mpf(1) / 2) / z

    return S


def scaled(x: mp.mpf) -> mp.mpf:
    """``exp(x²/2) gelu'(-x)``, by way of Mills' ratio: without the exponential."""
    return mp.exp(x * x / 2) * mp.erfc(x / mp.sqrt(2)) / 2 - x / mp.sqrt(2 * mp.pi)


ROOT = mp.findroot(scaled, mp.mpf("0.75"))
ROOTS = round(float(ROOT) * 2**12) / 2**12, round(float(ROOT) * 2**28) / 2**28


@dataclass(frozen=True)
class Fit:
    """``function`` on ``[low, high]``, by a polynomial of ``degree`` to a relative ``error`` (in powers of two)."""

    name: str
    function: Function
    low: mp.mpf
    high: mp.mpf
    degree: int
    error: int

    def coefficients(self) -> list[mp.mpf]:
        n, middle, half = self.degree, (self.low + self.high) / 2, (self.high - self.low) / 2
        nodes = [middle + half * mp.cos(mp.pi * (2 * k + 1) / (2 * n + 2)) for k in range(n + 1)]
        divided = [self.function(x) for x in nodes]  # Newton's divided differences, then powers of x
        for j in range(1, n + 1):
            for i in range(n, j - 1, -1):
                divided[i] = (divided[i] - divided[i - 1]) / (nodes[i] - nodes[i - j])
        powers = [mp.mpf(0)]
        for c, node in zip(reversed(divided), reversed(nodes), strict=True):
            shifted = [mp.mpf(0), *powers]
            powers = [a - node * b for a, b in zip(shifted, [*powers, mp.mpf(0)], strict=True)]
            powers[0] += c
        return powers[: n + 1]

    def worst(self, coefficients: Sequence[float | mp.mpf], points: int = 101) -> mp.mpf:
        """The largest relative error seen."""
        xs = mp.linspace(self.low, self.high, points)
        values = [sum((mp.mpf(c) * x**k for k, c in enumerate(coefficients)), mp.mpf(0)) for x in xs]
        return max(abs(value / self.function(x) - 1) for value, x in zip(values, xs, strict=True))


def mills(centre: float, top: int, root: float) -> tuple[Function, mp.mpf]:
    """The tail of gelu' as a function of ``t = (x - centre)/(x + centre)``, with its root split off.

    ``exp(x²/2) gelu'(-x) = (x - root) P(t) + scaled(root)``: ``P`` is smooth and nearly constant from 0 to infinity
    (the substitution is Shepherd and Laframboise's, Mathematics of Computation 36, 1981).
    """
    at_root = scaled(mp.mpf(root))

    def P(t: mp.mpf) -> mp.mpf:
        x = centre * (1 + t) / (1 - t)
        return (scaled(x) - at_root) / (x - root)

    return P, (mp.mpf(top) - centre) / (top + centre)


def fits() -> list[tuple[Fit, Fit]]:
    """For every table the polynomial for float32 and the one for float64."""
    odd = [
        ("SILU", silu, "0.3601", (3, 9), (-24, -60)),
        ("GELU", gelu, "0.2501", (4, 8), (-30, -60)),
        ("GELU_TANH", gelu_tanh, "0.2501", (4, 9), (-30, -60)),
        ("NORMAL", lambda z: mp.erfc(-z / mp.sqrt(2)) / 2, "0.2501", (4, 8), (-30, -60)),
    ]
    found = [
        tuple(Fit(name, odd_part(f), mp.mpf(0), mp.mpf(v), n, e) for n, e in zip(ns, es, strict=True))
        for name, f, v, ns, es in odd
    ]
    low, high = -mp.mpf("0.4501"), mp.mpf("1.1001")
    shifted = lambda t: mish(t - mp.mpf(1) / 2)  # noqa: E731
    found.append(tuple(Fit("MISH", shifted, low, high, n, e) for n, e in ((13, -30), (24, -60))))
    tails = []
    for centre, top, root, n, e in ((4.5, 16, ROOTS[0], 11, -34), (5, 40, ROOTS[1], 23, -61)):
        P, high = mills(centre, top, root)
        tails.append(Fit("GELU_TAIL", P, mp.mpf(-1), high, n, e))
    return [*found, tuple(tails), normal_tails(), exponentials()]  # type: ignore[list-item]


def normal_tails() -> tuple[Fit, Fit]:
    """``exp(x²/2) Φ(-x)`` as a function of ``t``, as in ``mills``; its relative error counts less where x is large."""

    def R(t: mp.mpf) -> mp.mpf:
        x = 3 * (1 + t) / (1 - t)
        return mp.exp(x * x / 2) * mp.erfc(x / mp.sqrt(2)) / 2

    pairs = (15, 11, -26), (mp.mpf("38.3"), 26, -54)
    return tuple(Fit("NORMAL_TAIL", R, mp.mpf(-1), (top - 3) / mp.mpf(top + 3), n, e) for top, n, e in pairs)  # type: ignore[return-value]


def exponentials() -> tuple[Fit, Fit]:
    """For float32 about 0, for float64 where ``exp(-r) - 1`` would lose digits."""
    half = mp.log(2) / 2
    ranges = (-half, half, 4, -22), (mp.mpf(0), mp.mpf("0.7"), 10, -54)
    return tuple(Fit("EXP", exp_beyond_linear, *r) for r in ranges)  # type: ignore[return-value]


def table(name: str, pair: Sequence[Fit]) -> str:
    rows = [", ".join(repr(float(c)) for c in fit.coefficients()) for fit in pair]
    wrapped = [fill(row, 112, initial_indent="        ", subsequent_indent="        ") + "," for row in rows]
    return f"{name}: Table = (\n    (\n{wrapped[0]}\n    ),\n    (\n{wrapped[1]}\n    ),\n)"


def main() -> None:
    print(HEAD)
    print(f"GELU_ROOT = {ROOTS}\n{ABOUT_ROOT}")
    print(f"GELU_AT_ROOT = {tuple(float(scaled(mp.mpf(r))) for r in ROOTS)}\n{ABOUT_AT_ROOT}")
    for pair in fits():
        print(table(pair[0].name, pair))


if __name__ == "__main__":
    main()
