"""Compiled cells: what users run. Hand and reference as JAX programs on a device, eager, jitted and vmapped.

Few shapes, several trials each. Both sides are compiled as one program, and its results are held against the wide
NumPy results that judged the formula; so what remains is what compilation, the device and its matmul precision do.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from verify.accuracy import Loss, confirm, most_telling, suspicions
from verify.cases import Case
from verify.comparison import as_wide, differs, precision
from verify.engine import Arrays, Engine
from verify.hard_cases import at_covering_sizes
from verify.record import Cell
from verify.trace import extra_builder, precision_of

TRIALS = {"eager": 1, "jit": 4, "vmap": 16}
SHAPES = {"eager": (5,), "jit": (1,), "vmap": (20,)}
"""The cases whose sizes are compiled: unequal, small sizes, then a random one."""
MOST_CONFIRMED = 4


class CompiledCell:
    """One backend, dtype and mode of a claim, at one shape."""

    def __init__(self, engine: Engine, backend: str, dtype: str, mode: str, precision: str | None = None):
        self.engine, self.dtype, self.mode, self.precision = engine, dtype, mode, precision
        self.device = jax.devices(backend)[0]
        self._compiled: Any = None

    def trials(self, index: int) -> list[Case]:
        """Cases of one shape: the first is the engine's own, the others redrawn at its sizes."""
        first = self.engine.case(index, self.dtype)
        if self.engine.draws.given:
            return [first]
        if index == SHAPES["vmap"][0] and self.engine.formula(first).engine == "symbolic":
            first = self.engine.completed(at_covering_sizes(self.engine.draws, first))
        count = TRIALS[self.mode]
        more = [
            self.engine.completed(self.engine.draws.resized(first, first.dims, 10_000 + index * 100 + k))
            for k in range(1, count)
        ]
        return [first, *more]

    def prepare(self, case: Case, reference_only: bool = False) -> None:
        """Compiles hand and reference together for the sizes and structure of a case."""
        build_extra = extra_builder(self.engine.sides, case.structure, case.dims, self.dtype)
        count = len(case.structure.leaves)
        sides = self.engine.sides

        def both(*flat: Any) -> tuple[list[Any], list[Any]]:
            arguments = case.structure.build(flat[:count])
            extra = build_extra(arguments, flat[count:])
            reference = sides.reference(arguments, extra)
            hand = reference if reference_only else sides.hand(arguments, extra)
            keep = [i for i, x in enumerate(reference.leaves) if x.dtype != jax.dtypes.float0]
            return [hand.leaves[i] for i in keep], [reference.leaves[i] for i in keep]

        function = both
        if self.mode == "jit":
            function = jax.jit(both)
        elif self.mode == "vmap":
            function = jax.jit(jax.vmap(both))
        self._compiled = function

    def evaluate(self, cases: Sequence[Case]) -> list[tuple[Arrays, Arrays]]:
        """Hand and reference at every case, as float64 arrays."""
        matmul = jax.default_matmul_precision(self.precision) if self.precision else nullcontext()
        with precision_of(self.dtype), jax.default_device(self.device), matmul:
            if self.mode != "vmap":
                return [_wide(self._compiled(*map(jnp.asarray, (*c.values, *c.extra)))) for c in cases]
            columns = zip(*((*c.values, *c.extra) for c in cases), strict=True)
            hand, reference = self._compiled(*(np.stack(column) for column in columns))
            hand, reference = _wide((hand, reference))
            return [(tuple(h[i] for h in hand), tuple(r[i] for r in reference)) for i in range(len(cases))]

    def one(self, case: Case) -> tuple[Arrays, Arrays]:
        """One case through the compiled program (a batch of equal ones under vmap)."""
        copies = [case] * (TRIALS["vmap"] if self.mode == "vmap" and not self.engine.draws.given else 1)
        return self.evaluate(copies)[0]

    def repeated(self, case: Case) -> bool:
        """Whether two runs of the same input give the same bits."""
        first, second = self.one(case)[0], self.one(case)[0]
        return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(first, second, strict=True))


def _wide(results: tuple[Sequence[Any], Sequence[Any]]) -> tuple[Arrays, Arrays]:
    hand, reference = results
    return tuple(as_wide(np.asarray(x)) for x in hand), tuple(as_wide(np.asarray(x)) for x in reference)


def eager(engine: Engine, case: Case) -> tuple[Arrays, Arrays]:
    """Hand and reference without compilation, for replaying a case."""
    cell = CompiledCell(engine, jax.default_backend(), case.dtype, "eager")
    cell.prepare(replace(case))
    return cell.one(case)


@dataclass(frozen=True)
class Depth:
    """What one compiled cell showed."""

    cell: Cell
    losses: tuple[tuple[Case, Loss], ...] = ()


def depth(engine: Engine, backend: str, dtype: str, mode: str, matmul: str | None = None) -> Depth:
    """Judges one backend, dtype and mode: a few shapes, several trials each, against the wide NumPy results."""
    p = precision(dtype)
    count, shapes, worst = 0, set(), 0.0
    suspects: list[Any] = []
    low = dtype != engine.formula_dtype
    for index in SHAPES[mode]:
        cell = CompiledCell(engine, backend, dtype, mode, matmul)
        cases = cell.trials(index)
        try:
            cell.prepare(cases[0])
            results = cell.evaluate(cases)
        except Exception as error:
            text = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
            try:
                if isinstance(error, NotImplementedError):
                    raise
                cell.prepare(cases[0], reference_only=True)
                cell.evaluate(cases)
            except Exception:
                reason = f"JAX cannot do this in {dtype} under {mode}: {text}"
                return Depth(Cell(backend, dtype, matmul, mode, "skipped", reason=reason))
            failed = Cell(backend, dtype, matmul, mode, "error", count, reason=f"under {mode} it raised {text}")
            return Depth(failed)
        if index == SHAPES[mode][0] and not cell.repeated(cases[0]):
            reason = "two runs of one input differ: nondeterministic"
            return Depth(Cell(backend, dtype, matmul, mode, "wrong", count, reason=reason))
        shapes.add((cases[0].structure.key, *cases[0].dims.values()))
        for case, (hand, reference) in zip(cases, results, strict=True):
            count += 1
            if engine.claim.relation == "at_most":
                continue
            mine, theirs = _truths(engine, case, low)
            found, largest = suspicions(hand, reference, mine, p, theirs)
            worst = max(worst, largest)
            suspects += [(cell, case, s) for s in found]
    losses = []
    for cell, case, suspicion in most_telling(suspects, lambda s: s[2])[:MOST_CONFIRMED]:
        loss = confirm(cell.one, lambda c: _truths(engine, c, low), case, suspicion, p, engine.usual_size)
        if loss is not None:
            losses.append((case, loss))
    hand_losses = tuple(x for x in losses if x[1].side == "hand")
    verdict: Any = "inaccurate" if hand_losses else "reference_wrong" if losses else "agrees"
    reason = None
    if losses:
        loss = (hand_losses or losses)[0][1]
        who = "the hand-written function" if loss.side == "hand" else "jax.grad"
        reason = f"{who} is off by {loss.relative:.1e} relative in {dtype} on {backend} ({mode})"
    bound = p.loss
    return Depth(
        Cell(backend, dtype, matmul, mode, verdict, count, len(shapes), worst, bound, p.loss, "compiled", reason),
        hand_losses,
    )


def _truths(engine: Engine, case: Case, low: bool) -> tuple[Arrays, Arrays]:
    """What each side should give. In the formula's own dtype each is held against its NumPy twin, so that only
    execution is judged; in a lower one both are held against the value on which the wide results agree."""
    hand, reference = engine.wide(case)
    if not low:
        return hand, reference
    agreed = tuple(np.where(differs(h, r), np.nan, r) for h, r in zip(hand, reference, strict=True))
    return agreed, agreed
