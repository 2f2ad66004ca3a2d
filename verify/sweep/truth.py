"""The truth at millions of points: a float64 program, checked against ball arithmetic in every binade.

``jax.grad`` in float64 serves where it is right to 2⁻¹² of a float32 ulp at the points checked, the hand-written
function in float64 where only that is, and where neither is, ball arithmetic itself, at fewer points.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from verify.sweep import measure
from verify.sweep.exact import Oracle
from verify.sweep.measure import FORMATS, ulp
from verify.sweep.sides import ElementWise, padded
from verify.sweep.tally import Tally
from verify.tracing.survey import precision_of

Source = Literal["reference", "hand", "exact"]
CHECKED = 6
"""Points of every binade at which float64 programs are checked, besides its ends and what is near special points."""
RIGHT = 2.0**-12
"""Of a float32 ulp: how wrong a float64 program may be."""
SINGLE = FORMATS["float32"]
EXPONENTS = range(SINGLE.low - 1, SINGLE.high + 1)


class Truth:
    """The exact value of an element-wise claim at finite numbers of at most float32."""

    def __init__(self, claim: ElementWise, seed: int = 0):
        self.claim, self.oracle = claim, Oracle(claim)
        self.special = special_numbers(claim)
        points = np.unique([s * v + 0.0 for s in (-1, 1) for v in (0.0, *self.special)])
        found = self.oracle.at(points)
        self.kinks = [
            (float(z), float(a), float(b))
            for z, a, b in zip(points, found.low, found.high, strict=True)
            if b > a
        ]
        self.limits = {sign: self.oracle.limit(sign) for sign in (-1, 1)}
        self.sources: dict[tuple[int, int], Source] = {}
        self._summaries: dict[Source, Any] = {}
        self._compiled = {"reference": jax.jit(claim.reference), "hand": jax.jit(claim.hand)}
        self._choose(np.random.default_rng(seed))

    def at(self, z: np.ndarray) -> np.ndarray:
        """The true values at ``z`` (float64 holding numbers of float32, or half way between two)."""
        out = np.empty(z.shape)
        for source, chosen in self._by_source(z):
            values = z[chosen]
            out[chosen] = self.oracle.at(values).low if source == "exact" else self._wide(source, values)
        return out

    def is_dear(self, z: float) -> bool:
        """Whether only ball arithmetic knows the truth in the binade of ``z``."""
        return self._by_source(np.asarray([z]))[0][0] == "exact"

    def is_plain(self, first: float, last: float) -> bool:
        """Whether from ``first`` to ``last`` of one binade there are no kinks and a float64 program knows the truth."""
        low, high = sorted((first, last))
        normal = SINGLE.smallest <= abs(first) and np.isfinite(last)
        return bool(normal) and not self.is_dear(first) and not any(low <= at <= high for at, *_ in self.kinks)

    def summary(self, z: np.ndarray, results: Sequence[np.ndarray]) -> list[Tally | None]:
        """The tallies of results at millions of float32 numbers of one binade; None for one beyond an ulp.

        Where no error is beyond an ulp, the worst in ulp stands for the worst in fair ulp, which is no larger.
        """
        source = self._by_source(z[:1].astype(np.float64))[0][0]
        with precision_of("float64"):
            if source not in self._summaries:
                self._summaries[source] = jax.jit(partial(_errors, self._compiled[source]))
            found = [np.asarray(e) for e in self._summaries[source](z, *results)]
        tallies: list[Tally | None] = []
        for e, got in zip(found, results, strict=True):
            at = int(np.argmax(e))
            if not e[at] <= 1:
                tallies.append(None)
                continue
            worst, where, zeros = float(e[at]), float(z[at]), int(np.count_nonzero(e < 0))
            truth = float(self.at(np.asarray([where]))[0])
            fields = (worst, where, float(got[at]), truth, worst, where)
            tallies.append(Tally(len(z), *fields, flushed=zeros))
        return tallies

    def at_kinks(self, z: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The truth as intervals: at a kink from one one-sided derivative to the other."""
        low, high = truth, truth
        bounds = (z.min(), z.max()) if z.size and self.kinks else (1, 0)
        for at, a, b in self.kinks:
            if bounds[0] <= at <= bounds[1]:
                here = z == at
                low, high = np.where(here, a, low), np.where(here, b, high)
        return low, high

    def _wide(self, source: Source, z: np.ndarray) -> np.ndarray:
        with precision_of("float64"):
            return np.asarray(self._compiled[source](jnp.asarray(padded(z))))[: len(z)]

    def _by_source(self, z: np.ndarray) -> list[tuple[Source, Any]]:
        if z.size == 0:
            return []
        first, last = _keys(np.asarray([z.min(), z.max()]))
        if first == last:
            return [(self._source_of(int(first)), slice(None))]
        keys = _keys(z)
        last = int(keys.max())
        present = np.flatnonzero(np.bincount(keys))
        table = np.zeros(last + 1, np.int8)
        names: tuple[Source, ...] = ("reference", "hand", "exact")
        for key in present:
            table[key] = names.index(self._source_of(int(key)))
        which = table[keys]
        return [(name, np.flatnonzero(which == i)) for i, name in enumerate(names) if (which == i).any()]

    def _source_of(self, key: int) -> Source:
        return self.sources[-1 if key >= 1024 else 1, key % 1024 + EXPONENTS[0]]

    def _choose(self, rng: np.random.Generator) -> None:
        can = "float64" in self.claim.dtypes  # else the programs know no float64
        z = _checked_points(rng, self.special)
        exact = self.oracle.at(z)
        unit = ulp(exact.low, SINGLE) * RIGHT
        right = {}
        for name in ("reference", "hand"):
            with np.errstate(invalid="ignore"):
                gap = np.abs(self._wide(name, z) - exact.low) if can else np.full(z.shape, np.inf)
            beyond = np.abs(exact.low) > 2 * SINGLE.largest  # overflow is overflow
            right[name] = (gap <= unit) | exact.kink | np.isnan(exact.low) | beyond
        signs, exponents = _binades(z)
        for sign in (-1, 1):
            for exponent in EXPONENTS:
                here = (signs == sign) & (exponents == exponent)
                if exponent == EXPONENTS[0]:
                    here = exponents == exponent
                known = not np.isnan(exact.low[here]).any()
                self.sources[sign, exponent] = (
                    "reference" if known and right["reference"][here].all()
                    else "hand" if known and right["hand"][here].all()
                    else "exact"
                )  # fmt: skip


def _errors(truth: Any, z: Any, *results: Any) -> list[Any]:
    """In ulp, as float32; -1 where zero stands for less than the smallest normal number."""
    t = truth(z.astype(jnp.float64))
    found = []
    for got in results:
        got = got.astype(jnp.float64)
        unit = measure.ulp(t, SINGLE, jnp)
        error = measure.distance(got, t, t, SINGLE, jnp) / unit
        found.append(jnp.where(measure.flushed(got, t, unit, SINGLE, jnp), -1.0, error).astype(jnp.float32))
    return found


def _binades(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sign and exponent; zero and float32's subnormal numbers have the exponent below the smallest."""
    _, exponent = np.frexp(z)
    exponent = np.where(z == 0, EXPONENTS[0], np.clip(exponent - 1, EXPONENTS[0], EXPONENTS[-1]))
    return np.where(z < 0, -1, 1), exponent


def _keys(z: np.ndarray) -> np.ndarray:
    """One whole number for every binade."""
    signs, exponents = _binades(z)
    return (signs < 0) * 1024 + (exponents - EXPONENTS[0])


def _checked_points(rng: np.random.Generator, special: Sequence[float]) -> np.ndarray:
    """Numbers of float32."""
    found = [np.asarray([0.0, 2.0**-149, 2.0**-140])]
    for exponent in EXPONENTS[1:]:
        inner = np.concatenate([[1.0, 1 + 2.0**-20, 2 - 2.0**-23], rng.random(CHECKED) + 1])
        found.append(inner.astype(np.float32) * 2.0**exponent)
    for number in special:
        near = number * (1 + np.asarray([-(2.0**-6), -(2.0**-14), 2.0**-14, 2.0**-6]))
        found.append(near.astype(np.float32).astype(np.float64))
    sizes = np.unique(np.concatenate(found))
    return np.concatenate([-sizes, sizes])


def special_numbers(claim: ElementWise, most: int = 64) -> tuple[float, ...]:
    """The positive numbers that the claim's programs are written with."""
    found: set[float] = set()
    dtype = claim.dtypes[0]
    with precision_of(dtype):
        for function in (claim.primal, claim.hand):
            _literals(jax.make_jaxpr(function)(jax.ShapeDtypeStruct((2,), dtype)).jaxpr, found)
    usual = sorted((v for v in found if 2.0**-20 < v < 2.0**20), key=lambda v: (len(repr(v)), v))
    return tuple(sorted(usual[:most]))


def _literals(jaxpr: Any, found: set[float]) -> None:
    for eqn in jaxpr.eqns:
        for variable in eqn.invars:
            value = getattr(variable, "val", None)
            if value is not None and np.ndim(value) == 0:
                found.add(abs(float(value)))
        for parameter in eqn.params.values():
            inner = getattr(parameter, "jaxpr", parameter)
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                _literals(inner, found)
