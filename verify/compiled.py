"""Compiled cells: what users run. Hand and reference as JAX programs on a device, eager, jitted and vmapped.

Few shapes, many trials each. Results are held against the wide NumPy results that judged the formula; so what remains
is what compilation, the device and its matmul precision do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from verify.accuracy import Loss, Suspicion, confirm, most_telling, suspicions
from verify.cases import Case
from verify.comparison import as_wide, clearly_fine, differs, precision
from verify.engine import Arrays, Engine
from verify.hard_cases import at_covering_sizes
from verify.record import Cell
from verify.trace import extra_builder, precision_of
from verify.trials import MOST_TRIALS, Trials, repeated, together, trials_of

TRIALS = {"eager": 1, "jit": 8, "vmap": MOST_TRIALS}
UNSTACKED = 16
"""Trials under vmap where the wide results must be found one by one; and where matrices are factorised, for XLA's CPU
client may wait for ever in several large batches of LAPACK calls."""
SHAPES = {"eager": 5, "jit": 1, "vmap": 20}
"""The case whose sizes are compiled: unequal, small sizes, or random ones."""
MOST_SUSPECTED, MOST_CONFIRMED = 64, 4
BOTH = ("hand", "reference")


class CompiledCell:
    """One backend, dtype and mode of a claim, at one shape."""

    def __init__(self, engine: Engine, backend: str, dtype: str, mode: str, precision: str | None = None):
        self.engine, self.backend, self.dtype, self.mode, self.precision = engine, backend, dtype, mode, precision
        self.device = jax.devices(backend)[0]
        self._compiled: Any = None
        self._batch = 1

    @property
    def prepared(self) -> bool:
        return self._compiled is not None

    def trials(self) -> Trials:
        """Cases of one shape: the first is the engine's own, the others are drawn at its sizes."""
        engine, most = self.engine, TRIALS[self.mode]
        first = engine.case(SHAPES[self.mode], self.dtype)
        if self.mode == "vmap" and not engine.draws.given:
            if engine.formula(first).engine == "symbolic":
                first = engine.completed(at_covering_sizes(engine.draws, first))
            traced = engine.formula(first)
            most = UNSTACKED if traced.factorises or not engine.can_stack(first) else most
        return trials_of(engine.draws, engine.traced(first.structure, self.dtype, first.dims), first, most)

    def prepare(self, trials: Trials, which: Sequence[str] = BOTH) -> None:
        """Compiles one side, or both together, for the sizes and structure of a case."""
        case, sides = trials.first, self.engine.sides
        build_extra = extra_builder(sides, case.structure, case.dims, self.dtype)
        count = len(case.structure.leaves)

        def asked(*flat: Any) -> list[list[Any]]:
            arguments = case.structure.build(flat[:count])
            extra = build_extra(arguments, flat[count:])
            found = [getattr(sides, side)(arguments, extra).leaves for side in which]
            return [[x for x in leaves if jnp.result_type(x) != jax.dtypes.float0] for leaves in found]

        function = asked
        if self.mode == "jit":
            function = jax.jit(asked)
        elif self.mode == "vmap":
            function = jax.jit(jax.vmap(asked))
        self._compiled, self._batch = function, trials.count

    def compile_in(self, threads: Executor, trials: Trials) -> None:
        """Traces what was prepared, here, and has it compiled meanwhile; ``evaluate`` waits for that."""
        with self._settings():
            arguments = trials.flat if self.mode == "vmap" else _one(trials, 0)
            lowered = self._compiled.lower(*arguments)
        compiled: Future[Any] = threads.submit(lowered.compile)
        self._compiled = lambda *flat: compiled.result()(*flat)

    def evaluate(self, trials: Trials) -> list[Arrays]:
        """What was compiled, at every trial, as float64 arrays stacked along the first axis."""
        with self._settings():
            if self.mode == "vmap":
                return [_wide(leaves) for leaves in self._compiled(*trials.flat)]
            runs = [[_wide(leaves) for leaves in self._compiled(*_one(trials, k))] for k in range(trials.count)]
        return [tuple(np.stack(leaf) for leaf in zip(*side, strict=True)) for side in zip(*runs, strict=True)]

    @contextmanager
    def _settings(self) -> Iterator[None]:
        matmul = jax.default_matmul_precision(self.precision) if self.precision else nullcontext()
        with precision_of(self.dtype), jax.default_device(self.device), matmul:
            yield

    def both(self, cases: Sequence[Case]) -> list[tuple[Arrays, Arrays]]:
        """Hand and reference at some cases of one shape, which under vmap are parts of one batch."""
        if self.mode != "vmap":
            return [rows[0] for rows in (self._both(repeated(case)) for case in cases)]
        return self._both(together(cases, self._batch))[: len(cases)]

    def _both(self, trials: Trials) -> list[tuple[Arrays, Arrays]]:
        hand, reference = self.evaluate(trials)
        return list(zip(_rows(hand, trials.count), _rows(reference, trials.count), strict=True))


def _one(trials: Trials, number: int) -> list[Any]:
    return [jnp.asarray(v[number]) for v in trials.flat]


def _wide(leaves: Sequence[Any]) -> Arrays:
    return tuple(as_wide(np.asarray(x)) for x in leaves)


@dataclass(frozen=True)
class Depth:
    """What one compiled cell showed."""

    cell: Cell
    losses: tuple[tuple[Case, Loss], ...] = ()


@dataclass(frozen=True, eq=False)
class Planned:
    """A cell and its trials. Under vmap the hand-written side is compiled alone: the reference is asked only where
    digits are lost."""

    cell: CompiledCell
    trials: Trials

    @property
    def which(self) -> Sequence[str]:
        return BOTH if self.cell.mode != "vmap" else BOTH[:1]


def planned(engine: Engine, backend: str, dtype: str, mode: str, matmul: str | None = None) -> Planned:
    """One backend, dtype and mode, with the shape and the values at which it is judged."""
    cell = CompiledCell(engine, backend, dtype, mode, matmul)
    return Planned(cell, cell.trials())


def compiled_ahead(plan: Planned, threads: Executor) -> Planned:
    """The same, being compiled in another thread. What cannot be traced is left for ``depth`` to tell."""
    if plan.cell.mode != "eager":
        with suppress(Exception):
            plan.cell.prepare(plan.trials, plan.which)
            plan.cell.compile_in(threads, plan.trials)
    return plan


def depth(engine: Engine, plan: Planned) -> Depth:
    """Judges a cell at one shape, many trials, against the wide NumPy results."""
    cell, trials, which = plan.cell, plan.trials, plan.which
    backend, dtype, mode, matmul = cell.backend, cell.dtype, cell.mode, cell.precision
    p, low = precision(dtype), dtype != engine.formula_dtype
    try:
        if not cell.prepared:
            cell.prepare(trials, which)
        results = cell.evaluate(trials)
    except Exception as error:
        return _raised(cell, trials, error)
    if any(not np.array_equal(a, b, equal_nan=True) for a, b in zip(results[0], cell.evaluate(trials)[0], strict=True)):
        reason = "two runs of one input differ: nondeterministic"
        return Depth(Cell(backend, dtype, matmul, mode, "wrong", trials.count, reason=reason))
    losses, worst = [], 0.0
    if engine.claim.relation != "at_most":
        truths = _truths(*engine.wide_trials(trials), low)
        rows = [_rows(t, trials.count) for t in truths]
        looked_at = [clearly_fine(_rows(side, trials.count), rows[i], p) for i, side in enumerate(results)]
        fine = np.logical_and.reduce([fine for fine, _ in looked_at])
        worst = float(looked_at[0][1][fine].max(initial=0.0))
        suspects: list[tuple[int, Suspicion]] = []
        if not fine.all():
            if which != BOTH:
                try:
                    cell.prepare(trials)
                    results = cell.evaluate(trials)
                except Exception as error:  # the reference's: the hand-written side has run
                    return _raised(cell, trials, error)
            both = [_rows(side, trials.count) for side in results]
            for k in np.flatnonzero(~fine)[:MOST_SUSPECTED].tolist():
                found, largest = suspicions(both[0][k], both[1][k], rows[0][k], p, rows[1][k])
                worst = max(worst, largest)
                suspects += [(k, s) for s in found]
        for k, suspicion in most_telling(suspects, lambda s: s[1])[:MOST_CONFIRMED]:
            case = trials.case(k)
            loss = confirm(cell.both, lambda c: _truths(*engine.wide(c), low), case, suspicion, p, engine.usual_size)
            if loss is not None:
                losses.append((case, loss))
    hand_losses = tuple(x for x in losses if x[1].side == "hand")
    verdict: Any = "inaccurate" if hand_losses else "reference_wrong" if losses else "agrees"
    reason = None
    if losses:
        loss = (hand_losses or losses)[0][1]
        who = "the hand-written function" if loss.side == "hand" else "jax.grad"
        reason = f"{who} is off by {loss.relative:.1e} relative in {dtype} on {backend} ({mode})"
    return Depth(
        Cell(backend, dtype, matmul, mode, verdict, trials.count, 1, worst, p.loss, p.loss, "compiled", reason),
        hand_losses,
    )


def _raised(cell: CompiledCell, trials: Trials, error: Exception) -> Depth:
    """Skipped where the reference cannot be run so either; else the hand-written function's error."""
    name = (cell.device.platform, cell.dtype, cell.precision, cell.mode)
    text = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
    try:
        if isinstance(error, NotImplementedError):
            raise error
        cell.prepare(trials, ("reference",))
        cell.evaluate(trials)
    except Exception:
        return Depth(Cell(*name, "skipped", reason=f"JAX cannot do this in {cell.dtype} under {cell.mode}: {text}"))
    return Depth(Cell(*name, "error", trials.count, reason=f"under {cell.mode} it raised {text}"))


def _rows(stacked: Arrays, count: int) -> list[Arrays]:
    return [tuple(a[k] for a in stacked) for k in range(count)]


def _truths(hand: Arrays, reference: Arrays, low: bool) -> tuple[Arrays, Arrays]:
    """What each side should give. In the formula's own dtype each is held against its NumPy twin, so that only
    execution is judged; in a lower one both are held against the value on which the wide results agree."""
    if not low:
        return hand, reference
    agreed = tuple(np.where(differs(h, r), np.nan, r) for h, r in zip(hand, reference, strict=True))
    return agreed, agreed
