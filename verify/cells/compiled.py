"""Compiled cells: what users run. Hand and reference as JAX programs on a device, eager, jitted and vmapped.

Few shapes, many trials each. Results are held against the wide NumPy results that judged the formula; so what remains
is what compilation, the device and its matmul precision do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from verify.cells.accuracy import Loss, Suspicion, confirm, most_telling, suspicions
from verify.cells.comparison import WORSE, as_wide, clearly_fine, differs, precision
from verify.cells.matmul import in_precision, inputs_rounded_to
from verify.cells.products import MARGIN, RoundedProducts, has_products
from verify.cells.sharding import SHARDED, Spread, batched_case, gathered
from verify.drawing.cases import Case
from verify.drawing.hard_cases import at_covering_sizes
from verify.records.record import Cell
from verify.tracing.engine import Arrays, Engine
from verify.tracing.survey import precision_of, survey
from verify.tracing.trials import MOST_TRIALS, Trials, repeated, together, trials_of

TRIALS = {"eager": 1, "jit": 8, "vmap": MOST_TRIALS, "sharded": 8, "sharded_explicit": 8}
UNSTACKED = 16
"""Trials under vmap where the wide results must be found one by one; and where matrices are factorised, for XLA's CPU
client may wait for ever in several large batches of LAPACK calls."""
SHAPES = {"eager": 5, "jit": 1, "vmap": 20, "sharded": 1, "sharded_explicit": 1}
"""The case whose sizes are compiled: unequal, small sizes, or random ones."""
MOST_SUSPECTED, MOST_CONFIRMED = 64, 4
BOTH = ("hand", "reference")
HAND_ALONE = "the hand-written function, unlike its reference,"
"""So begins what a device or a mesh refuses of one side."""
EXACT = "highest"
"""The matmul precision under which no device rounds the inputs of float32 products."""
ALL_DIGITS = 0.25
"""The relative error at which no digit of a result is right."""


def as_function(engine: Engine, case: Case, dtype: str, which: Sequence[str] = BOTH) -> Callable[..., list[list[Any]]]:
    """Sides of a claim as a function of flat arrays, for the sizes and structure of a case; leaves side by side."""
    sides, count = engine.sides, len(case.structure.leaves)
    known = engine.traced(case.structure, dtype, case.dims).survey
    if known is None or not known.of_any_sizes:
        with precision_of(dtype):
            known = survey(sides, case.structure, dtype, case.dims)

    def asked(*flat: Any) -> list[list[Any]]:
        arguments = case.structure.build(flat[:count])
        extra = known.build_extra(arguments, flat[count:])
        found = [getattr(sides, side)(arguments, extra).leaves for side in which]
        return [[x for x in leaves if jnp.result_type(x) != jax.dtypes.float0] for leaves in found]

    return asked


class CompiledCell:
    """One backend, dtype and mode of a claim, at one shape."""

    def __init__(self, engine: Engine, backend: str, dtype: str, mode: str, precision: str | None = None):
        self.engine, self.backend, self.dtype, self.mode, self.precision = engine, backend, dtype, mode, precision
        self.device = jax.local_devices(backend=backend)[0]
        self._spread: Spread | None = None
        self._compiled: list[Any] = []
        self._batch = 1

    @property
    def prepared(self) -> bool:
        return bool(self._compiled)

    def trials(self) -> Trials:
        """Cases of one shape: the first is the engine's own, the others are drawn at its sizes."""
        engine, most = self.engine, TRIALS[self.mode]
        first = engine.case(SHAPES[self.mode], self.dtype)
        if self.mode in SHARDED:
            first = batched_case(engine, self.dtype, SHAPES[self.mode], len(self._devices())) or first
        if self.mode == "vmap" and not engine.draws.given:
            if engine.formula(first).engine == "symbolic":
                first = engine.completed(at_covering_sizes(engine.draws, first))
            traced = engine.formula(first)
            most = UNSTACKED if traced.factorises or not engine.can_stack(first) else most
        return trials_of(engine.draws, engine.traced(first.structure, self.dtype, first.dims), first, most)

    def prepare(self, trials: Trials, which: Sequence[str] = BOTH) -> None:
        """Has one side, or both together, compiled for the sizes and structure of a case, instead of what was."""
        self._compiled = []
        self.add(trials, which)

    def add(self, trials: Trials, which: Sequence[str]) -> None:
        """The same for another side, besides: its results follow."""
        function: Any = as_function(self.engine, trials.first, self.dtype, which)
        if self.mode in SHARDED:
            self._spread = Spread(self.engine, trials.first, self._devices(), SHARDED[self.mode])
        if self.mode == "jit" or self.mode in SHARDED:
            function = jax.jit(function)
        elif self.mode == "vmap":
            function = jax.jit(jax.vmap(function))
        self._compiled.append(function)
        self._batch = trials.count

    def compile_in(self, threads: Executor, trials: Trials) -> None:
        """Traces what was prepared, here, and has it compiled meanwhile; ``evaluate`` waits for that."""
        with self._settings():
            arguments = trials.flat if self.mode == "vmap" else self._one(trials, 0)
            lowered = [function.lower(*arguments) for function in self._compiled]
        compiled: list[Future[Any]] = [threads.submit(program.compile) for program in lowered]
        self._compiled = [_awaited(program) for program in compiled]

    def evaluate(self, trials: Trials) -> list[Arrays]:
        """What was compiled, at every trial, as float64 arrays stacked along the first axis."""
        with self._settings():
            if self.mode == "vmap":
                return self._run(trials.flat)
            runs = [self._run(self._one(trials, k)) for k in range(trials.count)]
        return [tuple(np.stack(leaf) for leaf in zip(*side, strict=True)) for side in zip(*runs, strict=True)]

    def _run(self, flat: Sequence[Any]) -> list[Arrays]:
        return [_wide(leaves) for compiled in self._compiled for leaves in compiled(*flat)]

    @contextmanager
    def _settings(self) -> Iterator[None]:
        where = jax.default_device(self.device) if self._spread is None else jax.set_mesh(self._spread.mesh)
        with precision_of(self.dtype), where, in_precision(self.precision):
            yield

    def _devices(self) -> Sequence[Any]:
        return jax.devices(self.device.platform)

    def _one(self, trials: Trials, number: int) -> Sequence[Any]:
        arrays = [v[number] for v in trials.flat]
        return jax.device_put(arrays) if self._spread is None else self._spread.placed(arrays)

    def both(self, cases: Sequence[Case]) -> list[tuple[Arrays, Arrays]]:
        """Hand and reference at some cases of one shape, which under vmap are parts of one batch."""
        if self.mode != "vmap":
            return [rows[0] for rows in (self._both(repeated(case)) for case in cases)]
        return self._both(together(cases, self._batch))[: len(cases)]

    def _both(self, trials: Trials) -> list[tuple[Arrays, Arrays]]:
        hand, reference = self.evaluate(trials)
        return list(zip(_rows(hand, trials.count), _rows(reference, trials.count), strict=True))


def _awaited(compiled: Future[Any]) -> Callable[..., Any]:
    return lambda *flat: compiled.result()(*flat)


def _wide(leaves: Sequence[Any]) -> Arrays:
    return tuple(as_wide(gathered(x)) for x in leaves)


@dataclass(frozen=True)
class Depth:
    """What one compiled cell showed."""

    cell: Cell
    losses: tuple[tuple[Case, Loss], ...] = ()


@dataclass(frozen=True, eq=False)
class Planned:
    """A cell and its trials. The reference is compiled beside the hand-written side under jit, in the dtype that
    people train in; elsewhere it is asked only where digits are lost."""

    cell: CompiledCell
    trials: Trials

    @property
    def which(self) -> Sequence[str]:
        engine = self.cell.engine
        usual = "float32" if "float32" in engine.dtypes else engine.formula_dtype
        return BOTH if self.cell.mode in ("jit", *SHARDED) and self.cell.dtype == usual else BOTH[:1]


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
    """Judges a cell at one shape, many trials, against the wide NumPy results.

    Where the device rounds the inputs of float32 products, what that explains is no loss; and a loss that is gone
    without such rounding was its effect, too.
    """
    cell = plan.cell
    how = inputs_rounded_to(cell.backend, cell.precision) if cell.dtype == "float32" else None
    found = _depth(engine, plan, how)
    if how is None or not found.losses:
        return found
    if _depth(engine, planned(engine, cell.backend, cell.dtype, cell.mode, EXACT), None).losses:
        return found
    reason = f"{found.cell.reason}; not with matmul precision {EXACT}: an effect of rounded products, no mistake"
    return Depth(replace(found.cell, verdict="agrees", reason=reason))


def _depth(engine: Engine, plan: Planned, how: str | None) -> Depth:
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
    losses: list[tuple[Case, Loss]] = []
    worst, truths = 0.0, ((), ())
    rounding = RoundedProducts(engine, how, dtype) if how and has_products(engine, trials.first) else None
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
                    cell.add(trials, [side for side in BOTH if side not in which])
                    results = cell.evaluate(trials)
                except Exception as error:  # the reference's: the hand-written side has run
                    return _raised(cell, trials, error)
            both = [_rows(side, trials.count) for side in results]
            for k in np.flatnonzero(~fine)[:MOST_SUSPECTED].tolist():
                hand, reference = both[0][k], both[1][k]
                if rounding is not None:
                    hand, reference = rounding.explains(trials.case(k), (hand, reference), (rows[0][k], rows[1][k]))
                found, largest = suspicions(hand, reference, rows[0][k], p, rows[1][k])
                worst = max(worst, largest)
                suspects += [(k, s) for s in found]

        def truth_of(case: Case) -> tuple[Arrays, Arrays]:
            return _truths(*engine.wide(case), low)

        def evaluate(cases: Sequence[Case]) -> list[tuple[Arrays, Arrays]]:
            found = cell.both(cases)
            if rounding is None:
                return found
            return [rounding.explains(c, r, truth_of(c)) for c, r in zip(cases, found, strict=True)]

        for k, suspicion in most_telling(suspects, lambda s: s[1])[:MOST_CONFIRMED]:
            case = trials.case(k)
            loss = confirm(evaluate, truth_of, case, suspicion, p, engine.usual_size)
            if loss is not None:
                losses.append((case, loss))
    visible, predicted, reason = p.loss, None, None
    if rounding is not None and rounding.measured > 0:
        worst, predicted = max(worst, rounding.measured), rounding.predicted
        visible, reason = max(p.loss, MARGIN * rounding.unit), rounding.sentence(matmul)
    hand_losses = tuple(x for x in losses if x[1].side == "hand")
    verdict: Any = "inaccurate" if hand_losses else "reference_wrong" if losses else "agrees"
    often = bool(hand_losses) and _no_digit_left(results[0], truths[0]).mean() > 0.5
    if any(_is_another(engine, case, loss, often) for case, loss in hand_losses):
        verdict = "wrong"
    if losses:
        loss = (hand_losses or losses)[0][1]
        who = "the hand-written function" if loss.side == "hand" else "jax.grad"
        reason = f"{who} is off by {loss.relative:.1e} relative in {dtype} on {backend} ({mode})"
    return Depth(
        Cell(
            backend, dtype, matmul, mode, verdict, trials.count, 1, worst, visible, visible, "compiled", reason,
            predicted_error=predicted,
        ),
        hand_losses,
    )  # fmt: skip


def _no_digit_left(results: Arrays, truths: Arrays) -> np.ndarray:
    """At which trials an entry has no right digit."""
    lost = np.zeros(len(truths[0]), bool)
    for found, truth in zip(results, truths, strict=True):
        with np.errstate(invalid="ignore", over="ignore"):
            wrong = np.abs(found - truth) > ALL_DIGITS * np.abs(truth)
        lost |= wrong.reshape(len(truth), -1).any(1)
    return lost


def _is_another(engine: Engine, case: Case, loss: Loss, often: bool) -> bool:
    """Whether no digit is left, at most trials or at ordinary values, where NumPy in the same dtype gets them from the
    same program: then another formula runs on the device."""
    if not (often or case.plain) or loss.overflow or loss.relative < ALL_DIGITS:
        return False
    if engine.formula(case).engine == "jax":
        return False
    here = engine.native(case)[0][loss.leaf][loss.entry]
    return bool(abs(here - loss.truth) < WORSE**-2 * loss.error)


def _raised(cell: CompiledCell, trials: Trials, error: Exception) -> Depth:
    """Skipped where the reference cannot be run so either; else the hand-written function's error."""
    name = (cell.device.platform, cell.dtype, cell.precision, cell.mode)
    text = one_line(error)
    try:
        if isinstance(error, NotImplementedError):
            raise error
        cell.prepare(trials, ("reference",))
        cell.evaluate(trials)
    except Exception:
        return Depth(Cell(*name, "skipped", reason=f"JAX cannot do this in {cell.dtype} under {cell.mode}: {text}"))
    if cell.mode == "sharded_explicit":  # JAX asks for shardings there, and nobody need use such meshes
        reason = f"{HAND_ALONE} does not run sharded over Explicit axes: {text}; give its products their `out_sharding`"
        return Depth(Cell(*name, "skipped", reason=reason))
    return Depth(Cell(*name, "error", trials.count, reason=f"under {cell.mode} it raised {text}"))


def devices_of(backend: str) -> int:
    """How many devices a backend has."""
    return len(jax.devices(backend))


def one_line(error: Exception) -> str:
    """``TypeError: what is wrong``."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0] if text else 'no message'}"


def _rows(stacked: Arrays, count: int) -> list[Arrays]:
    return [tuple(a[k] for a in stacked) for k in range(count)]


def _truths(hand: Arrays, reference: Arrays, low: bool) -> tuple[Arrays, Arrays]:
    """What each side should give. In the formula's own dtype each is held against its NumPy twin, so that only
    execution is judged; in a lower one both are held against the value on which the wide results agree."""
    if not low:
        return hand, reference
    agreed = tuple(np.where(differs(h, r), np.nan, r) for h, r in zip(hand, reference, strict=True))
    return agreed, agreed
