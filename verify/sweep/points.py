"""Which inputs: bit patterns in order, binade after binade; all of them, or a stratified sample. Pure NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import ml_dtypes
import numpy as np

from verify.sweep.measure import Format

CHUNK = 2**22
"""Bit patterns evaluated at once."""
NEIGHBOURS = 32
"""Numbers on either side of a special point."""


@dataclass(frozen=True)
class Part:
    """Some inputs of a format: the patterns from ``start`` to ``stop``, all of them or ``count`` in every binade.

    ``special`` is instead a list of numbers, each taken with its neighbours.
    """

    format: Format
    start: int
    stop: int
    count: int | None = None
    special: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        what = "special" if self.special else f"{self.start:x}-{self.stop:x}"
        return what if self.count is None else f"{what}/{self.count}"

    def inputs(self, seed: int) -> np.ndarray:
        """The numbers, in the format's own dtype, ordered by bit pattern; no NaN but one of each sign."""
        if self.special:
            patterns = _around(self.special, self.format)
        elif self.count is None:
            patterns = np.arange(self.start, self.stop, dtype=np.uint64)
        else:
            patterns = _sampled(self, np.random.default_rng([seed, self.start & (2**32 - 1), self.start >> 32]))
        return patterns.astype(f"u{self.format.bits // 8}").view(numpy_dtype(self.format))


def numpy_dtype(form: Format) -> np.dtype:
    return np.dtype(ml_dtypes.bfloat16 if form.name == "bfloat16" else form.name)


def binade(patterns: np.ndarray, form: Format) -> np.ndarray:
    """Sign and exponent field of every pattern, as one whole number."""
    return (patterns >> np.uint64(form.precision - 1)).astype(np.int64)


def patterns_of(z: np.ndarray, form: Format) -> np.ndarray:
    return np.asarray(z).view(f"u{form.bits // 8}").astype(np.uint64)


def exponent_of(field: int, form: Format) -> tuple[int, int]:
    """Sign (1 or -1) and exponent of a binade; zero and subnormals count as the exponent below the smallest."""
    sign = -1 if field >= form.binades else 1
    return sign, form.low - 1 + field % form.binades


def parts(form: Format, exhaustive: bool, points: int, special: Sequence[float]) -> list[Part]:
    """The plan. 16-bit formats are always taken whole; ``points`` is the size of a sample of the others."""
    around = [Part(form, 0, 0, None, tuple(special))] if special else []
    if form.bits == 16:
        return [Part(form, 0, 2**16)]
    if exhaustive and form.bits == 32:
        return [Part(form, a, a + CHUNK) for a in range(0, 2**32, CHUNK)]
    size = 2 ** (form.precision - 1)
    count = max(2, min(size, points // (2 * form.binades)))
    together = max(1, min(form.binades, 2**20 // count))  # binades in one part
    step = size * together
    return around + [Part(form, a, a + step, count) for a in range(0, 2**form.bits, step)]


def _sampled(part: Part, rng: np.random.Generator) -> np.ndarray:
    """Both ends of every binade, and between them one number in each of equal intervals."""
    size = 2 ** (part.format.precision - 1)
    assert part.count is not None
    firsts = np.arange(part.start // size, part.stop // size, dtype=np.uint64) * np.uint64(size)
    if part.count >= size:
        inner = np.broadcast_to(np.arange(size, dtype=np.uint64), (len(firsts), size))
    else:
        places = (np.arange(part.count) + rng.random((len(firsts), part.count))) / part.count
        inner = np.minimum((places * size).astype(np.uint64), np.uint64(size - 1))
        inner[:, 0], inner[:, -1] = 0, size - 1
    special = firsts // np.uint64(size) % np.uint64(part.format.binades) == part.format.binades - 1
    found = (firsts[:, None] + inner)[~special].ravel()
    return np.concatenate([found, firsts[special], firsts[special] + np.uint64(1)])  # infinity and a NaN


def _around(numbers: Sequence[float], form: Format) -> np.ndarray:
    with np.errstate(over="ignore"):
        centres = patterns_of(np.asarray(numbers).astype(numpy_dtype(form)), form).astype(np.int64)
    signs = np.int64(-(2 ** (form.bits - 1)) if form.bits == 64 else 2 ** (form.bits - 1))
    sizes = centres & ~signs
    near = np.unique(np.clip(sizes[:, None] + np.arange(-NEIGHBOURS, NEIGHBOURS + 1), 0, None))
    last = np.int64((form.binades - 1) << (form.precision - 1))
    near = near[near <= last]
    return np.sort(np.concatenate([near, near | signs]).astype(np.int64).view(np.uint64))

