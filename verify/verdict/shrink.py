"""Shrinking: the smallest sizes and simplest values at which a mistake still shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from verify.cells.comparison import stands_out
from verify.cells.seen import Seen
from verify.drawing.cases import SHRUNK, Case
from verify.drawing.sizes import SizeError, size_of
from verify.tracing.engine import Engine
from verify.truth.formula import Examined, examine

MOST_TRIES = 160


def shrink(engine: Engine, seen: Seen, examined: Examined) -> tuple[Seen, Examined]:
    """A simpler case that is still wrong; the given one if none is found."""
    best, tries = (seen, examined), 0
    improved = True
    while improved and tries < MOST_TRIES:
        improved = False
        for candidate in (*_smaller(engine, best[0].case), *_simpler(best[0].case)):
            tries += 1
            if tries > MOST_TRIES:
                break
            found = _still_wrong(engine, candidate)
            if found is not None:
                best, improved = found, True
                break
    return best


def _still_wrong(engine: Engine, case: Case) -> tuple[Seen, Examined] | None:
    try:
        hand, reference = engine.wide(case)
        if not any(stands_out(h, r).any() for h, r in zip(hand, reference, strict=True)):
            return None
        seen = Seen(case, hand, reference)
        found = examine(engine.formula(case), engine.claim.relation, case, hand, reference)
    except Exception:  # a candidate that cannot be evaluated is no counterexample
        return None
    return (seen, found) if found.finding == "wrong" else None


def _smaller(engine: Engine, case: Case) -> Iterator[Case]:
    """The leading block of every array, one dimension cut at a time."""
    if engine.draws.given or engine.formula(case).engine != "symbolic":
        return
    shapes = [leaf.shape for leaf in case.structure.leaves]
    traced = engine.formula(case)
    for name in sorted(case.dims, key=lambda k: -case.dims[k]):
        size = case.dims[name]
        for target in dict.fromkeys((1, 2, size // 2, size - 1)):
            if not 1 <= target < size:
                continue
            dims = {**case.dims, name: target}
            try:
                values = tuple(
                    _block(v, [size_of(a, dims) for a in s]) for v, s in zip(case.values, shapes, strict=True)
                )
                extra = tuple(
                    _block(v, [size_of(a, dims) for a in s])
                    for v, (s, _) in zip(case.extra, traced.extra_shapes, strict=True)
                )
            except (SizeError, IndexError):
                continue
            if any(v.size == 0 for v in (*values, *extra)):
                continue
            if all(leaf.domain.kind in _BLOCKS for leaf in case.structure.leaves):
                yield replace(case, dims=dims, values=values, extra=extra, id=_marked(case.id))
            yield _redrawn(engine, case, dims)


_BLOCKS = ("real", "positive", "nonnegative", "unit_interval", "interval", "symmetric", "spd", "lower_triangular")


def _redrawn(engine: Engine, case: Case, dims: dict[str, int]) -> Case:
    again = engine.completed(engine.draws.resized(case, dims))
    return replace(again, id=_marked(case.id))


def _block(x: np.ndarray, shape: list[int]) -> np.ndarray:
    return x[tuple(slice(0, n) for n in shape)]


def _simpler(case: Case) -> Iterator[Case]:
    """Each array rounded: to ones, to small whole numbers, to halves."""
    count = len(case.values)
    flat = [*case.values, *case.extra]
    for i, x in enumerate(flat):
        if x.dtype.kind in "iub":
            continue
        domain = case.structure.leaves[i].domain.kind if i < count else "real"
        if domain not in ("real", "positive", "nonnegative"):
            continue
        wide = x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)
        for simple in (np.ones(x.shape), np.round(wide), np.round(2 * wide) / 2, np.round(8 * wide) / 8):
            if domain == "positive" and not (np.real(simple) > 0).all():
                continue
            simple = np.asarray(simple + 0.0).astype(x.dtype)  # no negative zeros
            if np.array_equal(simple, x) or _complexity(simple) >= _complexity(x):
                continue
            new = [*flat[:i], simple, *flat[i + 1 :]]
            yield replace(case, values=tuple(new[:count]), extra=tuple(new[count:]), id=_marked(case.id))


def _complexity(x: np.ndarray) -> float:
    """Fewer digits and fewer distinct values are simpler."""
    text = [f"{v:.17g}" for v in np.asarray(x).astype(np.complex128).real.reshape(-1)[:64]]
    return sum(map(len, text)) + len(set(text))


def _marked(case_id: str) -> str:
    return case_id if case_id.endswith(SHRUNK) else f"{case_id}{SHRUNK}"
