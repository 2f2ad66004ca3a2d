"""Discrete Fourier transforms: NumPy's for its own types, the defining sum for balls.

Over the last axes, one for each of `lengths`; forward unnormalised, inverse divided by the lengths.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from flint import acb, fmpq


def numpy_transform(kind: str) -> Callable[..., np.ndarray]:
    function = {"FFT": np.fft.fftn, "IFFT": np.fft.ifftn, "RFFT": np.fft.rfftn, "IRFFT": np.fft.irfftn}[kind]
    return lambda x, lengths: function(x, s=tuple(lengths), axes=tuple(range(-len(lengths), 0)))


def ball_transform(kind: str) -> Callable[..., np.ndarray]:
    def transform(x: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
        x, rank = np.asarray(_complex(x), dtype=object), len(lengths)
        last = lengths[-1]
        if kind == "IRFFT":
            for axis in range(-rank, -1):
                x = _along(x, axis, _matrix(x.shape[axis], 1))
            x = x.copy()
            x[..., 0] = _real(x[..., 0])
            if last % 2 == 0:
                x[..., -1] = _real(x[..., -1])
            mirrored = np.asarray(_conj(x[..., (last - 1) // 2 : 0 : -1]), dtype=object)
            return np.asarray(_real(_along(np.concatenate([x, mirrored], axis=-1), -1, _matrix(last, 1))))
        for axis in range(-rank, 0):
            x = _along(x, axis, _matrix(x.shape[axis], 1 if kind == "IFFT" else -1))
        return x[..., : last // 2 + 1] if kind == "RFFT" else x

    return transform


def _matrix(n: int, sign: int) -> np.ndarray:
    """exp(sign 2 pi i j k / n), divided by n for the inverse."""
    roots = [acb(fmpq(2 * sign * k, n)).exp_pi_i() / (n if sign > 0 else 1) for k in range(n)]
    out = np.empty((n, n), object)
    for j, k in np.ndindex(n, n):
        out[j, k] = roots[j * k % n]
    return out


def _along(x: np.ndarray, axis: int, matrix: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.matmul(np.moveaxis(x, axis, -1), matrix), -1, axis)


_complex = np.frompyfunc(acb, 1, 1)
_real = np.frompyfunc(lambda z: acb(z).real, 1, 1)
_conj = np.frompyfunc(lambda z: acb(z).conjugate(), 1, 1)
