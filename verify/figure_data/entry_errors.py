"""Errors over the entries of an output: a map of one failing case."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from verify.figure_data.figures import EntryErrors, short
from verify.figure_data.held import Held, counts_from, relative
from verify.tracing.engine import Engine

BLOCKS = 16
"""Rows and columns of a map of entries; a larger output is shown by the worst entry of each block."""


def entry_errors(engine: Engine, held: Sequence[Held], dtype: str) -> tuple[EntryErrors, ...]:
    """The error of every entry at one failing case, of several rows and columns if there is one."""
    counts = counts_from(engine, dtype)
    failing = [h for h in held if h.largest_error(h.hand) > counts]
    ranked = sorted(failing, key=lambda h: (not h.case.plain, -min(4, _narrowest(h)), h.case.size))
    for h in ranked[:1]:
        labels = engine.formula(h.case).labels
        maps = [(label, e) for label, e in zip(labels, relative(h.hand, h.truth), strict=True) if e.size > 1]
        maps.sort(key=lambda pair: not (pair[1] > counts).any())
        return tuple(
            EntryErrors(label or "output", tuple(e.shape), h.case.id, blocks(e)) for label, e in maps[:2]
        )
    return ()


def _narrowest(h: Held) -> int:
    """The smallest side of the largest output: a map of one row shows little."""
    largest = max(h.truth, key=lambda t: t.size, default=np.zeros(()))
    return min(largest.shape, default=0) if largest.ndim > 1 else -1


def blocks(error: np.ndarray) -> tuple[tuple[float, ...], ...]:
    """The worst entry of every block of rows and columns."""
    flat = error.reshape(1, -1) if error.ndim < 2 else error.reshape(-1, error.shape[-1])
    for axis in (0, 1):
        starts = np.unique(np.linspace(0, flat.shape[axis], min(BLOCKS, flat.shape[axis]), endpoint=False).astype(int))
        flat = np.maximum.reduceat(flat, starts, axis=axis)
    return tuple(tuple(map(short, row)) for row in flat.tolist())
