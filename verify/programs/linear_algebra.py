"""Factorisations and solves: LAPACK's where NumPy has the type, plain loops for long doubles and balls."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

_LAPACK = "fdFD"


def _lapack(routine: str, like: np.ndarray) -> Callable[..., Any]:
    from scipy.linalg import lapack  # takes long to import, and few claims factorise

    return getattr(lapack, "sdcz"[_LAPACK.index(like.dtype.char)] + routine)


def _batched(function: Callable[..., Any], *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """`function` of every matrix of stacked arrays, its results stacked."""
    batch = arrays[0].shape[:-2]
    if not batch:
        return function(*arrays)
    results = [function(*(a[at] for a in arrays)) for at in product(*map(range, batch))]
    return tuple(_stack(column).reshape(*batch, *column[0].shape) for column in zip(*results, strict=True))


def _stack(rows: Any) -> np.ndarray:
    out = np.empty((len(rows), *rows[0].shape), rows[0].dtype)
    for i, row in enumerate(rows):
        out[i] = row
    return out


def _nan(like: np.ndarray) -> Any:
    return like.dtype.type(np.nan) if like.dtype != object else type(like.flat[0])("nan")


# -- Cholesky --------------------------------------------------------------------------------------
def cholesky(a: np.ndarray) -> np.ndarray:
    """The lower factor, from the lower triangle; all NaN if there is none."""
    return _batched(_cholesky, a)[0] if a.ndim > 2 else _cholesky(a)[0]


def _cholesky(a: np.ndarray) -> tuple[np.ndarray]:
    if a.dtype.char in _LAPACK:
        try:
            return (np.linalg.cholesky(a),)
        except np.linalg.LinAlgError:
            return (np.where(np.tri(len(a), dtype=bool), np.nan, 0).astype(a.dtype),)
    out = np.full_like(a, _zero(a))
    for j in range(len(a)):
        row = out[j, :j]
        out[j, j] = _sqrt(a[j, j] - np.sum(row * _conj(row)) if j else a[j, j])
        for i in range(j + 1, len(a)):
            known = np.sum(out[i, :j] * _conj(row)) if j else _zero(a)
            out[i, j] = (a[i, j] - known) / out[j, j]
    return (out,)


def _zero(like: np.ndarray) -> Any:
    return like.dtype.type(0) if like.dtype != object else type(like.flat[0])(0)


def _one(like: np.ndarray) -> Any:
    return like.dtype.type(1) if like.dtype != object else type(like.flat[0])(1)


def _conj(x: Any) -> Any:
    """The conjugate; of balls only where they are complex."""
    if getattr(x, "dtype", None) != np.dtype(object) and not hasattr(x, "sgn"):
        return np.conj(x)
    sample = x.flat[0] if isinstance(x, np.ndarray) and x.size else x
    return np.conj(x) if hasattr(sample, "conjugate") else x


def _sqrt(x: Any) -> Any:
    return x.sqrt() if hasattr(x, "sqrt") else np.sqrt(x)


# -- LU --------------------------------------------------------------------------------------------
def lu(a: np.ndarray, larger: Callable[[Any, Any], bool] = lambda a, b: abs(a) > abs(b)) -> tuple:
    """L and U in one array, the row swaps, and the permutation that they make."""
    return _batched(lambda m: _lu(m, larger), a)


def _lu(a: np.ndarray, larger: Callable[[Any, Any], bool]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows, columns = a.shape
    if a.dtype.char in _LAPACK:
        getrf = _lapack("getrf", a)
        out, pivots, _ = getrf(a) if a.size else (a.copy(), np.zeros(0), 0)
    else:
        out, pivots = a.copy(), np.arange(min(rows, columns))
        for j in range(len(pivots)):
            best = j
            for i in range(j + 1, rows):
                if larger(out[i, j], out[best, j]):
                    best = i
            pivots[j] = best
            if best != j:
                out[[j, best]] = out[[best, j]]
            out[j + 1:, j] = out[j + 1:, j] / out[j, j]
            out[j + 1:, j + 1:] -= out[j + 1:, j:j + 1] * out[j:j + 1, j + 1:]
    order = np.arange(rows)
    for j, best in enumerate(pivots):
        order[[j, best]] = order[[best, j]]
    return out, np.asarray(pivots, np.int32), order.astype(np.int32)


# -- triangular systems ----------------------------------------------------------------------------
def triangular_solve(a: np.ndarray, b: np.ndarray, left: bool, lower: bool, transpose: bool, conjugate: bool,
                     unit: bool) -> np.ndarray:
    """x with op(a) x = b, or x op(a) = b."""
    if conjugate:
        a = _conj(a)
    if transpose:
        a, lower = a.swapaxes(-1, -2), not lower
    if not left:
        a, b, lower = a.swapaxes(-1, -2), b.swapaxes(-1, -2), not lower
    out = _batched(lambda m, y: (_solve(m, y, lower, unit),), a, b)[0]
    return out if left else out.swapaxes(-1, -2)


def _solve(a: np.ndarray, b: np.ndarray, lower: bool, unit: bool) -> np.ndarray:
    if a.dtype.char in _LAPACK and a.size and b.size:
        trtrs = _lapack("trtrs", a)
        out, info = trtrs(a, b, lower=lower, unitdiag=unit)
        if not info:
            return out
    out = b.copy()
    order = range(len(a)) if lower else range(len(a) - 1, -1, -1)
    for i in order:
        known = a[i, :i] @ out[:i] if lower else a[i, i + 1:] @ out[i + 1:]
        if (i if lower else len(a) - 1 - i):
            out[i] = out[i] - known
        if not unit:
            out[i] = out[i] / a[i, i]
    return out


# -- QR --------------------------------------------------------------------------------------------
def qr(a: np.ndarray, full: bool) -> tuple[np.ndarray, ...]:
    return _batched(lambda m: _qr(m, full), a)


def _qr(a: np.ndarray, full: bool) -> tuple[np.ndarray, np.ndarray]:
    if a.dtype.char in _LAPACK:
        q, r = np.linalg.qr(a, "complete" if full else "reduced")
        return q, r
    rows, columns = a.shape
    size = min(rows, columns)
    r, q = a.copy(), np.full((rows, rows), _zero(a))
    q[np.arange(rows), np.arange(rows)] = _one(a)
    # Householder, with LAPACK's signs: R's diagonal opposes the pivot
    for j in range(min(rows - 1, columns)):
        x = r[j:, j].copy()
        norm = _sqrt(np.sum(_conj(x[1:]) * x[1:]) + x[0] * _conj(x[0]))
        if not np.any([v != 0 for v in x[1:]]):
            continue
        alpha = -norm if x[0] >= 0 else norm
        x[0] = x[0] - alpha
        scale = 2 / np.sum(x * x)
        r[j:] = r[j:] - scale * np.outer(x, x @ r[j:])
        q[:, j:] = q[:, j:] - scale * np.outer(q[:, j:] @ x, x)
        r[j + 1:, j] = _zero(a)
    return (q, r) if full else (q[:, :size], r[:size])


# -- spectra ---------------------------------------------------------------------------------------
def eigh(a: np.ndarray, lower: bool) -> tuple[np.ndarray, np.ndarray]:
    values, vectors = np.linalg.eigh(a, "L" if lower else "U")
    return vectors, values


def svd(a: np.ndarray, full: bool, vectors: bool) -> tuple[np.ndarray, ...]:
    if not vectors:
        return (np.linalg.svd(a, compute_uv=False),)
    u, s, vh = np.linalg.svd(a, full_matrices=full)
    return s, u, vh


def eig(a: np.ndarray, left: bool, right: bool) -> tuple[np.ndarray, ...]:
    wide = np.result_type(a, np.complex64)

    def one(m: np.ndarray) -> tuple[np.ndarray, ...]:
        geev = _lapack("geev", m.astype(wide))
        values, vl, vr, _ = geev(m.astype(wide), compute_vl=left, compute_vr=right)
        return (values, *([vl] if left else []), *([vr] if right else []))
    return _batched(one, a)


def householder_product(a: np.ndarray, taus: np.ndarray) -> np.ndarray:
    """The first columns of the product of elementary reflectors stored below the diagonal of `a`."""
    def one(m: np.ndarray, tau: np.ndarray) -> tuple[np.ndarray]:
        rows, columns = m.shape
        q = np.full((rows, rows), _zero(m))
        q[np.arange(rows), np.arange(rows)] = _one(m)
        for j, t in enumerate(tau.reshape(-1)):
            v = m[:, j].copy()
            v[:j], v[j] = _zero(m), _one(m)
            q = q - t * np.outer(q @ v, _conj(v))
        return (q[:, :columns],)
    return _batched(one, a, taus[..., None])[0]


OPERATIONS: dict[str, Callable] = {
    "cholesky": cholesky, "lu": lu, "triangular_solve": triangular_solve, "qr": qr, "eigh": eigh, "svd": svd,
    "eig": eig, "householder_product": householder_product,
}
LAPACK_ONLY = frozenset({"eigh", "svd", "eig"})
