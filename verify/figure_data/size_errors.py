"""Errors over the sizes of dimensions: a mistake that shows at some sizes only, stands out."""

from __future__ import annotations

from collections.abc import Sequence

from verify.cells.comparison import RESOLUTION
from verify.figure_data.figures import SizeErrors, short
from verify.figure_data.held import Held

SIZES, DIMENSIONS = 24, 4
"""Different sizes, and dimensions, that are kept."""


def size_errors(held: Sequence[Held]) -> tuple[SizeErrors, ...]:
    """The worst error at each size of every dimension."""
    pairs = [(h, h.largest_error(h.hand), h.largest_error(h.reference)) for h in held if h.case.plain] or [
        (h, h.largest_error(h.hand), h.largest_error(h.reference)) for h in held
    ]
    names = list(dict.fromkeys(name for h in held for name in h.case.dims))[:DIMENSIONS]
    found = [_over(name, [(h.case.dims[name], a, b) for h, a, b in pairs if name in h.case.dims]) for name in names]
    if not found:
        found = [_over("input entries", [(h.case.size, a, b) for h, a, b in pairs])]
    if max((e for f in found for e in f.hand), default=0.0) < RESOLUTION:  # not a matter of sizes
        return ()
    return tuple(f for f in found if len(f.sizes) > 1)


def _over(name: str, rows: Sequence[tuple[int, float, float]]) -> SizeErrors:
    worst: dict[int, tuple[float, float]] = {}
    for size, mine, theirs in rows:
        known = worst.get(size, (0.0, 0.0))
        worst[size] = max(known[0], mine), max(known[1], theirs)
    sizes = sorted(worst)
    if len(sizes) > SIZES:  # the small ones, where mistakes hide, and some of the others
        rest = sizes[SIZES // 2 :]
        sizes = [*sizes[: SIZES // 2], *rest[:: -(-len(rest) // (SIZES // 2))]]
    hand, reference = (tuple(short(worst[s][side]) for s in sizes) for side in (0, 1))
    return SizeErrors(name, tuple(sizes), hand, reference)
