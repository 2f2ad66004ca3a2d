"""Values: arrays drawn from a domain, exactly representable in the dtype under test.

Ordinary values alone hide mistakes, so a draw first picks a *regime*: ordinary, small integers (zeros, ties,
duplicates), special entries, large or tiny magnitudes, saturation, constant. Constrained domains are drawn with the
zeros, ties and end points that lie in them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import accumulate
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from handgrad.domains import Domain

UNBOUNDED = ("real", "positive", "nonnegative")
SPECIAL = np.array([0.0, 0.0, 0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0, 6.0, -6.0, 1.5, -0.25])
REGIMES = (
    "ordinary", "integers", "special", "scaled", "saturating", "spread", "constant", "zero", "duplicated", "offset",
)  # fmt: skip
WEIGHTS = tuple(accumulate([0.35, 0.14, 0.14, 0.09, 0.09, 0.05, 0.03, 0.02, 0.04, 0.05]))
WIDEST = {"float64": 22.0, "float32": 22.0, "bfloat16": 22.0, "float16": 6.0}
AXIS = 0.45
"""How far along the exponents of a dtype an input is drawn: a square of it, or a ratio of two, is in range."""
LARGEST = {"float64": 700.0, "float32": 90.0, "bfloat16": 90.0, "float16": 30.0}


@cache
def numpy_dtype(name: str) -> np.dtype:
    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


def complex_dtype(name: str) -> str:
    """The complex dtype of a float64 or float32 cell."""
    return {"float64": "complex128", "float32": "complex64"}[name]


class Wanted(NamedTuple):
    """One array to draw. ``plain`` asks for ordinary values only, so that comparisons stay clean."""

    kind: str
    shape: tuple[int, ...]
    dtype: str
    domain: Domain
    dims: Mapping[str, int]
    plain: bool = False


def draw(rng: np.random.Generator, wanted: Wanted) -> np.ndarray:
    """One array."""
    return draw_all(rng, [wanted])[0]


def draw_all(rng: np.random.Generator, wanted: Sequence[Wanted]) -> list[np.ndarray]:
    """Many arrays. Those of a dtype whose entries may be any number are one long vector, which is then cut."""
    found: list[Any] = [None] * len(wanted)
    together: dict[tuple[str, str], list[int]] = {}
    for at, one in enumerate(wanted):
        if one.kind == "float" and one.domain.kind in UNBOUNDED:
            together.setdefault((one.dtype, one.domain.kind), []).append(at)
        else:
            found[at] = _alone(rng, one)
    for (dtype, kind), places in together.items():
        sizes = [math.prod(wanted[at].shape) for at in places]
        x = _unbounded(rng, np.array(sizes), np.array([wanted[at].plain for at in places]), dtype, kind)
        end = 0
        for at, size in zip(places, sizes, strict=True):
            found[at] = x[end : end + size].reshape(wanted[at].shape)
            end += size
    return found


def draw_stacked(rng: np.random.Generator, wanted: Wanted, plain: np.ndarray) -> np.ndarray:
    """The array drawn over and over, stacked along a first axis, as often as ``plain`` is long."""
    if wanted.kind == "float" and wanted.domain.kind in UNBOUNDED:
        sizes = np.full(len(plain), math.prod(wanted.shape))
        return _unbounded(rng, sizes, plain, wanted.dtype, wanted.domain.kind).reshape(len(plain), *wanted.shape)
    return np.stack([_alone(rng, wanted._replace(plain=p)) for p in plain.tolist()])


def _unbounded(rng: np.random.Generator, sizes: np.ndarray, plain: np.ndarray, dtype: str, kind: str) -> np.ndarray:
    if kind == "real":
        x = _reals(rng, sizes, plain, dtype)
    else:
        x = _positives(rng, sizes, plain, dtype, zeros=kind == "nonnegative")
    if dtype == "float16":
        x = np.clip(x, -reach(dtype)[1], reach(dtype)[1])  # so little range that ordinary draws could leave it
        least = float(ml_dtypes.finfo(np.float16).smallest_normal)
        x = np.where((x != 0) & (np.abs(x) < least), np.copysign(least, x), x)  # the inverse of a subnormal overflows
    return to_dtype(x, dtype)


def _alone(rng: np.random.Generator, wanted: Wanted) -> np.ndarray:
    kind, shape, dtype, domain, dims, plain = wanted
    if kind == "bool":
        return np.asarray(rng.random(shape) < rng.choice([0.5, 0.5, 0.9, 0.1, 1.0, 0.0]))
    if kind == "int":
        return _integers(rng, shape, dtype, domain, dims)
    if kind == "key":
        return rng.integers(0, 2**32, (*shape, 2), dtype=np.uint32)
    if kind == "complex":
        real, imag = (_floats(rng, shape, "float64", domain, plain) for _ in range(2))
        return np.asarray(real + 1j * imag).astype(dtype)
    return to_dtype(_floats(rng, shape, dtype, domain, plain), dtype)


def to_dtype(x: np.ndarray, dtype: str) -> np.ndarray:
    """Rounds to a floating dtype; what overflows is brought back to its largest finite value."""
    target = numpy_dtype(dtype)
    if target == np.float64:
        return np.asarray(x, np.float64)
    with np.errstate(over="ignore"):
        rounded = np.asarray(x).astype(target)
    if not np.isfinite(rounded).all():
        largest = float(ml_dtypes.finfo(target).max)
        rounded = np.where(np.isinf(rounded.astype(np.float64)), np.copysign(largest, x), x).astype(target)
    return rounded


def _integers(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: str, domain: Domain, dims: Mapping[str, int]
) -> np.ndarray:
    if domain.kind == "index":
        size = dims[domain.size] if isinstance(domain.size, str) else int(domain.size or 1)
        low, high = 0, size
    elif domain.kind in ("integers", "interval") and domain.low is not None and domain.high is not None:
        low, high = int(domain.low), int(domain.high) + 1
    elif domain.kind in ("positive", "nonnegative"):
        low, high = int(domain.kind == "positive"), 6
    else:
        low, high = -3, 6
    drawn = rng.integers(low, high, shape)
    if drawn.size > 1 and rng.random() < 0.2:  # duplicates
        drawn[...] = drawn.flat[0]
    return np.asarray(drawn).astype(dtype)


def _floats(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: str, domain: Domain, plain: bool
) -> np.ndarray:
    kind = domain.kind
    if kind in UNBOUNDED:  # parts of complex numbers
        sizes, ordinary = np.array([math.prod(shape)]), np.array([plain])
        if kind == "real":
            return _reals(rng, sizes, ordinary, dtype).reshape(shape)
        return _positives(rng, sizes, ordinary, dtype, zeros=kind == "nonnegative").reshape(shape)
    if kind in ("unit_interval", "interval", "integers", "index"):
        low, high = (domain.low, domain.high) if domain.low is not None else (0.0, 1.0)
        assert low is not None and high is not None
        x = low + (high - low) * rng.random(shape)
        if not plain and rng.random() < 0.4:
            ends = np.array([low, high, (low + high) / 2, min(max(0.0, low), high)])
            x = np.where(rng.random(shape) < 0.4, rng.choice(ends, shape), x)
        return np.round(x) if kind in ("integers", "index") else x
    if kind == "simplex":
        return _simplex(rng, shape, plain)
    if kind == "one_hot":
        x = np.zeros(shape)
        if shape:
            at = rng.integers(0, shape[-1], shape[:-1])
            np.put_along_axis(x, at[..., None], 1.0, axis=-1)
        else:
            x = np.ones(())
        return x
    return _matrix(rng, shape, kind, dtype, plain)


def _reals(rng: np.random.Generator, sizes: np.ndarray, plain: np.ndarray, dtype: str) -> np.ndarray:
    """Arrays of these sizes, end to end, each in a regime of its own."""
    count = len(sizes)
    x = rng.standard_normal(int(sizes.sum()))
    regimes = np.where(plain, 0, np.searchsorted(WEIGHTS[:-1], rng.random(count), side="right"))
    if not regimes.any():
        return x
    scales = np.ones(count)
    for at in np.flatnonzero(regimes == REGIMES.index("scaled")):
        scales[at] = 10.0 ** (rng.uniform(-3, 3) / (1.5 if dtype == "float16" else 1))
    for at in np.flatnonzero(regimes == REGIMES.index("saturating")):
        scales[at] = LARGEST[dtype] / (2.0, 8.0, 20.0)[int(3 * rng.random())]
    offsets = np.zeros(count)
    for at in np.flatnonzero(regimes == REGIMES.index("offset")):  # a mean far from zero, against the spread
        scales[at] = 10.0 ** rng.uniform(-2, 0)
        offsets[at] = rng.choice([-1.0, 1.0]) * 10.0 ** rng.uniform(0, 2)
    x = x * np.repeat(scales, sizes) + np.repeat(offsets, sizes)
    owner = np.repeat(np.arange(count), sizes)
    codes = regimes[owner]

    def entries(regime: str) -> np.ndarray:
        return np.flatnonzero(codes == REGIMES.index(regime))

    at = entries("integers")
    x[at] = rng.integers(-3, 4, at.size)
    at = entries("special")
    at = at[rng.random(at.size) < 0.5]
    x[at] = SPECIAL[rng.integers(0, len(SPECIAL), at.size)]
    at = entries("spread")
    widest = WIDEST[dtype] * rng.choice([0.4, 1.0, 2.0], count)[owner[at]]
    x[at] = np.copysign(np.exp2(widest * rng.uniform(-1, 1, at.size)), x[at])
    at = entries("constant")
    values = np.where(rng.random(count) < 0.25, rng.standard_normal(count), rng.choice([1.0, -1.0, 0.5], count))
    x[at] = values[owner[at]]
    x[entries("zero")] = 0.0
    at = entries("duplicated")  # every value occurs about twice
    first, half = (np.cumsum(sizes) - sizes)[owner[at]], np.maximum(1, sizes // 2)[owner[at]]
    x[at] = x[first + (half * rng.random(at.size)).astype(np.int64)]
    return x


def _positives(
    rng: np.random.Generator, sizes: np.ndarray, plain: np.ndarray, dtype: str, zeros: bool
) -> np.ndarray:
    """As ``_reals``; none negative, and some zero if ``zeros``."""
    count = len(sizes)
    x = np.exp(rng.standard_normal(int(sizes.sum())))
    if plain.all():
        return x
    owner = np.repeat(np.arange(count), sizes)
    kind = np.where(plain, 1.0, rng.random(count))
    scales = np.ones(count)
    for at in np.flatnonzero((kind >= 0.25) & (kind < 0.40)):
        scales[at] = 10.0 ** (rng.uniform(-3, 3) / (1.5 if dtype == "float16" else 1))
    x *= scales[owner]
    at = np.flatnonzero((kind < 0.25)[owner] & (rng.random(x.size) < 0.5))
    x[at] = rng.choice([1.0, 2.0, 0.5, 3.0], at.size)
    at = np.flatnonzero(((kind >= 0.40) & (kind < 0.50))[owner])
    widest = WIDEST[dtype] * rng.choice([0.4, 1.0, 2.0], count)[owner[at]]
    x[at] = np.exp2(widest * rng.uniform(-1, 1, at.size))
    at = np.flatnonzero(((kind >= 0.50) & (kind < 0.58))[owner])
    x[at] = x[(np.cumsum(sizes) - sizes)[owner[at]]]
    if zeros:
        some = (~plain & (rng.random(count) < 0.4))[owner]
        x[some & (rng.random(x.size) < 0.5)] = 0.0
    return x


@cache
def reach(dtype: str) -> tuple[float, float]:
    """The smallest and the largest magnitude that inputs are given on purpose."""
    info = ml_dtypes.finfo(numpy_dtype(dtype))
    return float(info.smallest_normal) ** AXIS, float(info.max) ** AXIS


def binades(rng: np.random.Generator, shape: tuple[int, ...], dtype: str, zeros: bool, signs: bool) -> np.ndarray:
    """Numbers all over a dtype's exponent range, one stratum of exponents an entry.

    Not at its ends: ``x * x`` overflows there, and nobody is blamed for that.
    """
    count = int(np.prod(shape))
    lowest, highest = np.log2(reach(dtype))
    strata = rng.permutation(count) + rng.random(count)
    x = np.exp2(lowest + strata / max(count, 1) * (highest - lowest))
    if signs:
        x = np.copysign(x, rng.random(count) - 0.5)
    if zeros and count > 1:
        x[rng.integers(count)] = 0.0
    return to_dtype(x.reshape(shape), dtype)


def _simplex(rng: np.random.Generator, shape: tuple[int, ...], plain: bool) -> np.ndarray:
    x = rng.exponential(size=shape)
    if not plain:
        kind = rng.random()
        if kind < 0.2:  # zeros
            x = np.where(rng.random(shape) < 0.4, 0.0, x)
        elif kind < 0.35:  # corners
            x = np.zeros(shape)
        elif kind < 0.45:
            x = np.ones(shape)
    if not shape:
        return np.ones(())
    total = x.sum(-1, keepdims=True)
    corner = np.zeros(shape)
    corner[..., int(rng.integers(0, shape[-1]))] = 1.0
    return np.where(total > 0, x / np.where(total > 0, total, 1.0), corner)


def _matrix(rng: np.random.Generator, shape: tuple[int, ...], kind: str, dtype: str, plain: bool) -> np.ndarray:
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ValueError(f"domain {kind} wants a square matrix in its last two axes, and got the shape {shape}")
    n = shape[-1]
    x = rng.standard_normal(shape)
    if not plain and rng.random() < 0.25:
        x = np.round(2 * x)
    if kind == "symmetric":
        if not plain and rng.random() < 0.12:  # repeated eigenvalues
            few = rng.integers(-1, 3, (*shape[:-1], 1)) * np.eye(n)
            return few if rng.random() < 0.7 else np.ones(shape)
        return x + np.swapaxes(x, -1, -2)
    if kind == "lower_triangular":
        x = np.tril(x)
        diagonal = np.arange(n)
        d = x[..., diagonal, diagonal]
        x[..., diagonal, diagonal] = np.where(np.abs(d) < 0.3, np.copysign(1.0, d), d)
        return x
    q = np.linalg.qr(rng.standard_normal(shape))[0]
    if kind == "orthogonal":
        return np.broadcast_to(np.eye(n), shape).copy() if not plain and rng.random() < 0.1 else q
    if not plain and rng.random() < 0.15:  # repeated eigenvalues
        return np.broadcast_to(np.eye(n) * rng.choice([1.0, 2.0, 0.5]), shape).copy()
    # No better than the square root of the precision: a solve that is as good as it can be keeps half of its digits.
    worst = -np.log10(float(ml_dtypes.finfo(numpy_dtype(dtype)).eps) / 2) / 3
    spread = min(worst, 0.5 if plain else rng.choice([0.5, 1.0, 2.0, 4.0]))
    values = 10.0 ** rng.uniform(-spread, spread / 2, shape[:-1])
    a = (q * values[..., None, :]) @ np.swapaxes(q, -1, -2)
    return (a + np.swapaxes(a, -1, -2)) / 2


def cotangent(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    dtype: str,
    plain: bool = False,
    beside: Sequence[np.ndarray] = (),
) -> np.ndarray:
    """A cotangent or tangent: neither all ones nor all equal, now and then sparse or zero.

    ``beside`` are the arguments: where one has this shape, a single entry stands at its largest half of the time
    (what is left of a saturated softmax is seen there alone).
    """
    x = np.asarray(rng.standard_normal(shape))
    if not plain:
        kind = rng.random()
        if kind < 0.12:
            x = np.asarray(rng.integers(-2, 3, shape)).astype(np.float64)
        elif kind < 0.2:
            x = np.where(rng.random(shape) < 0.6, 0.0, x)
        elif kind < 0.23:
            x = np.zeros(shape)
        elif kind < 0.28:
            x = x * 10.0 ** rng.uniform(-2, 2)
        elif kind < 0.34 and x.size:  # one entry alone: what others hide is seen
            x = np.zeros(shape)
            alike = [v for v in beside if v.shape == shape and v.dtype.kind not in "iubc"]
            at = int(rng.integers(x.size))
            if alike and rng.random() < 0.5:
                at = int(np.argmax(alike[0].astype(np.float64)))
            x.flat[at] = 1.0
        elif kind < 0.40:  # of one sign: sums grow, and a naive one stops growing
            x = np.asarray(rng.uniform(0.5, 1.5, shape))
    return to_dtype(x, dtype)
