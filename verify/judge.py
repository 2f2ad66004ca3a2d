"""The judge: one claim, all its cells, one verdict.

The numpy engine gives breadth and decides about the formula; compiled cells show what users run. The worst cell
decides. Failing cases are shrunk, explained, and kept so that they can be replayed.
"""

from __future__ import annotations

import inspect
import itertools
import os
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from handgrad.claims import Claim
from verify.approximation import primal_depends_on_dtype
from verify.breadth import Breadth, Seen, breadth
from verify.budget import Budget
from verify.cases import DTYPES, Case
from verify.clash import sizes_that_clash
from verify.comparison import RESOLUTION, as_wide, errors, precision, scale_of
from verify.compiled import ALL_DIGITS, HAND_ALONE, Planned, compiled_ahead, depth, devices_of, planned
from verify.diagnosis import Context, diagnose
from verify.draws import Draws
from verify.engine import Arrays, Engine
from verify.evidence import Sample
from verify.figures import Figures
from verify.formula import Examined
from verify.gather import figures_of
from verify.intermediates import intermediates_of
from verify.lowering import lowered
from verify.matmul import EVERY
from verify.products import has_products
from verify.program import Untranslatable
from verify.promises import broken_promise
from verify.record import PASSING, WORST_FIRST, Cell, ClaimRecord, Counterexample, Diagnosis, Verdict
from verify.relations import RULES
from verify.second_order import differentiated, may_be_differentiated, slopes_agree
from verify.serial import MOST_ENTRIES
from verify.sharding import SHARDED, batched_case
from verify.shrink import shrink
from verify.sizes import SizeError
from verify.source import source_of
from verify.specification import SignatureError
from verify.trace import HandRaised, ReferenceRaised
from verify.witness import candidates_of, named_inputs

CASES = 1000
"""Cases of one dtype on the numpy engine, unless a budget is given."""
MODES = ("jit", "vmap", "eager")
COMPILED = ("float32", "bfloat16")
EAGER_TURNS = 6
"""Without ``--full`` one claim in so many is run eagerly too: every operation compiles alone."""
TOLD = 60
"""Cases that a condition on such results must hold for."""
SEARCHED, FEW_LOST = 600, 6
"""Cases among which further ones without a right digit are looked for, until there are so many."""
_TANGENT_DTYPE = re.compile(
    r"Expected (?P<wanted>\w+)(?P<wanted_shape>\[[^]]*\]) \(tangent type of [^)]*\) "
    r"but got (?P<got>\w+)(?P<shape>\[[^]]*\])"
)
"""What JAX says of a rule whose tangent has another dtype than the result."""
CALLING_BACK, FEWEST_CALLING_BACK = 16, 12
"""Where each evaluation calls back into Python, and may take difference quotients, cases are so many times fewer."""
_SIZES_CLASH = re.compile(r"shape|dimension|broadcast|size|ndim|rank|axis|axes", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Failure:
    """A case that shows the mistake."""

    case: Case
    hand: Arrays
    reference: Arrays
    truth: Arrays
    backend: str = "numpy"
    mode: str = "eager"
    precision: str | None = None


@dataclass(frozen=True)
class Judged:
    """The outcome of a claim, and the inputs of its counterexample, bit for bit."""

    record: ClaimRecord
    inputs: Mapping[str, np.ndarray] = field(default_factory=dict)


def judge(
    claim: Claim,
    budget: Budget,
    draws: Draws | None = None,
    report: Callable[[int], None] = lambda cases: None,
) -> Judged:
    """Judges one claim in every cell of the budget; a custom rule differentiated once more, too."""
    start = perf_counter()
    judged = _judged(claim, budget, draws, report)
    if may_be_differentiated(claim) and draws is None and judged.record.verdict in PASSING:
        few = replace(budget, cases=max(1, (budget.cases or CASES) // 4), backends=("numpy",), dtypes=None)
        judged = _once_more(judged, _judged(differentiated(claim), few, None, report))
    source = source_of(claim.hand) if judged.record.verdict != "agrees" else None
    return replace(judged, record=replace(judged.record, seconds=perf_counter() - start, source=source))


def _judged(claim: Claim, budget: Budget, draws: Draws | None, report: Callable[[int], None]) -> Judged:
    judging = _Judging(claim, budget, report)
    try:
        # The matrices are small: threads would only wait for each other. Extreme values are drawn on purpose.
        with threadpool_limits(1, "blas"), np.errstate(all="ignore"):
            judged = judging.run(draws)
    except (SignatureError, SizeError) as error:
        judged = Judged(judging.record("error", reason=str(error)))
    except ReferenceRaised as error:
        judged = Judged(judging.record("error", reason=f"the reference {_name(claim.reference)} raised {error}"))
    except HandRaised as error:
        judged = judging.hand_raised(error)
    except (Exception, SystemExit) as error:
        reason = f"could not be judged: {type(error).__name__}: {error}"
        judged = Judged(judging.record("error", reason=reason))
        if os.environ.get("VERIFY_TRACEBACK"):
            raise
    return judged


def _once_more(first: Judged, second: Judged) -> Judged:
    """The outcome of a rule, from those of the rule itself and of its derivative's derivative."""
    one, two = first.record, second.record
    if two.verdict in ("wrong", "inaccurate"):
        diagnoses = tuple(replace(d, text=f"{_AGAIN}{d.text}") for d in two.diagnoses)
        record = replace(
            two, name=one.name, relation=one.relation, diagnoses=diagnoses,
            diagnosis=diagnoses[0] if diagnoses else None, cells=(*one.cells, *two.cells),
            cases=one.cases + two.cases, fresh_shapes=one.fresh_shapes + two.fresh_shapes,
            notes=(*one.notes, "the rule itself is right; the mistake shows when it is differentiated"),
        )  # fmt: skip
        return replace(second, record=record)
    if two.verdict != "agrees":
        note = f"differentiated once more: {two.verdict}{f' ({two.reason})' if two.reason else ''}"
        return replace(first, record=replace(one, notes=(*one.notes, note)))
    return first


_AGAIN = "Differentiated once more: "


class _Judging:
    def __init__(self, claim: Claim, budget: Budget, report: Callable[[int], None]):
        self.claim, self.budget, self.report = claim, budget, report
        self.cells: list[Cell] = []
        self.notes: list[str] = [claim.note] if claim.note else []
        self.breadths: list[Breadth] = []
        self.failures: list[Failure] = []
        self.diagnoses: tuple[Diagnosis, ...] = ()
        self.engine: Engine | None = None
        self.ahead: dict[tuple[str, str, str, str | None], Planned] = {}
        self.start = perf_counter()

    def run(self, draws: Draws | None) -> Judged:
        engine = self.engine = Engine(self.claim, draws or Draws(self.claim, self.budget.seed))
        dtypes = self._dtypes(engine)
        if not dtypes:
            asked, has = ", ".join(self.budget.dtypes or ()), ", ".join(engine.dtypes)
            self.cells.append(
                Cell("numpy", asked, None, "eager", "skipped", reason=f"this claim is limited to {has}")
            )
            return Judged(self.record("unresolved", reason=f"limited to {has}, and only {asked} was asked for"))
        if self._nondeterministic(engine, dtypes[0]):
            return self._conclude(engine)
        if broken := broken_promise(engine):
            return Judged(self.record("error", reason=broken))
        with ThreadPoolExecutor(max(1, self.budget.compile_threads)) as threads:
            for dtype in dtypes:
                if "numpy" in self.budget.backends or dtype == dtypes[0]:
                    self._numpy_cell(engine, dtype)
                self.report(sum(c.cases for c in self.cells))
                if dtype == dtypes[0] and self.budget.compile_threads and not self._settled():
                    for backend, other in self._compiled_dtypes(dtypes):
                        self._compile_ahead(engine, backend, other, threads)
            for backend, dtype in self._compiled_dtypes(dtypes):
                if not self._settled() and not self._out_of_time():
                    self._compiled_cells(engine, backend, dtype)
                    self.report(sum(c.cases for c in self.cells))
            threads.shutdown(cancel_futures=True)
        if not self._settled():
            for dtype in dtypes:
                self._cells_not_run(engine, dtype)
        return self._conclude(engine)

    def _settled(self) -> bool:
        return any(c.backend == "numpy" and c.verdict in ("wrong", "error") for c in self.cells)

    def _compiled_dtypes(self, dtypes: Sequence[str]) -> list[tuple[str, str]]:
        not_run = ("numpy", "tpu") if self.budget.topologies else ("numpy",)
        return [(b, d) for b in self.budget.backends if b not in not_run for d in dtypes]

    def _dtypes(self, engine: Engine) -> tuple[str, ...]:
        return tuple(d for d in engine.dtypes if self.budget.dtypes is None or d in self.budget.dtypes)

    def _out_of_time(self) -> bool:
        return self.budget.seconds is not None and perf_counter() - self.start > self.budget.seconds

    # --- cells ------------------------------------------------------------------------------------------

    def _numpy_cell(self, engine: Engine, dtype: str) -> None:
        count = self.budget.cases or CASES * len(DTYPES)
        share = max(1, count // len(self._dtypes(engine)))
        try:
            if engine.formula(engine.case(0, dtype)).calls_back:
                share = max(FEWEST_CALLING_BACK, share // CALLING_BACK)
            done = sum(c.cases for c in self.cells)
            seen = breadth(engine, dtype, share, self._out_of_time, lambda cases: self.report(done + cases))
        except ReferenceRaised as error:
            if dtype == engine.formula_dtype:
                raise
            reason = f"the reference cannot be evaluated in {dtype}: {error}"
            self.cells.append(Cell("numpy", dtype, None, "eager", "skipped", reason=reason))
            return
        except Untranslatable as error:
            if dtype == engine.formula_dtype:
                raise
            reason = f"{error} in {dtype}: JAX computes it in float32 and float64 only"
            self.cells.append(Cell("numpy", dtype, None, "eager", "skipped", reason=reason))
            return
        verdict, reason = self._numpy_verdict(engine, seen)
        # Compiled cells alone cannot tell who is right: the formula is judged first, and told if it is not plain.
        if verdict == "agrees" and "numpy" not in self.budget.backends and not self._only_compiles():
            return
        self.breadths.append(seen)
        p = precision(dtype)
        visible = RESOLUTION if dtype == engine.formula_dtype or not seen.engines <= {"jax"} else p.loss
        self.cells.append(
            Cell(
                "numpy", dtype, None, "eager", verdict, seen.cases, seen.fresh, seen.worst_error,
                RESOLUTION if dtype == engine.formula_dtype else p.loss,
                visible, "+".join(sorted(seen.engines)) or None, reason, seen.seconds,
            )
        )  # fmt: skip

    def _numpy_verdict(self, engine: Engine, seen: Breadth) -> tuple[Any, str | None]:
        if seen.shape_mistake:
            case, text = seen.shape_mistake
            self._shape_mistake(engine, case, text)
            return "wrong", text
        wrong = seen.found("wrong")
        if wrong and engine.claim.relation == "second_order":
            wrong = [(s, e) for s, e in wrong if slopes_agree(engine, s.case)]
        if wrong and not any(e.exact or s.case.plain for s, e in wrong):
            return "unresolved", "differs at extreme values only, where no exact arithmetic could settle who is right"
        if wrong:
            self._formula_is_wrong(engine, seen, wrong)
            if any(e.both for _, e in wrong) or seen.found("reference_wrong"):
                self.notes.append(f"in {seen.dtype} the reference is wrong at some of these cases too")
            return "wrong", None
        if seen.dependent and engine.claim.relation in RULES and primal_depends_on_dtype(engine, seen.dependent[0][0]):
            self._loses(engine, seen.dtype, seen.dependent, "inaccurate")
            return "inaccurate", f"loses digits: off by {seen.dependent[0][1].relative:.1e} relative in {seen.dtype}"
        if seen.dependent:
            case, loss = seen.dependent[0]
            self._loses(engine, seen.dtype, seen.dependent, "wrong")
            return "wrong", f"the formula used in {seen.dtype} differs from the derivative by {loss.relative:.1e}"
        hand = [(c, loss) for c, loss in seen.losses if loss.side == "hand"]
        theirs = [(c, loss) for c, loss in seen.losses if loss.side == "reference"]
        if hand:
            self._loses(engine, seen.dtype, hand, "inaccurate")
            return "inaccurate", f"loses digits: off by {hand[0][1].relative:.1e} relative in {seen.dtype}"
        undecided = seen.found("undecided")
        if undecided and len(undecided) > len(seen.examined) // 2 and seen.undecided > 2:
            why = undecided[0][1].note or "they have too many entries for exact arithmetic, or need more digits"
            return "unresolved", f"{len(undecided)} cases differ and could not be decided: {why}"
        if seen.found("reference_wrong") or theirs:
            return "reference_wrong", self._reference_note(seen, theirs)
        if seen.found("convention"):
            return "convention", f"{len(seen.found('convention'))} cases differ at a kink; both values are valid"
        if not seen.passing and all(e.finding == "uncounted" for _, e in seen.examined):
            return "unresolved", "no case counted: the primal is not finite at any of them"
        return "agrees", None

    def _reference_note(self, seen: Breadth, losses: Sequence[Any]) -> str:
        wrong = seen.found("reference_wrong")
        if wrong:
            here, examined = wrong[0]
            entry = f"{self._labels(here)[examined.leaf]}{list(examined.entry) if examined.entry else ''}"
            got, true = examined.reference[examined.leaf][examined.entry], examined.truth[examined.leaf][examined.entry]
            note = f"in {seen.dtype} jax.grad gives {entry} = {got:.6g} where the derivative is {true:.6g}"
            if examined.singular:
                note += " or another generalised derivative (a kink)"
        else:
            _, loss = losses[0]
            note = (
                f"in {seen.dtype} jax.grad is off by {loss.relative:.1e} relative where the hand-written "
                f"function is right (derivative {loss.truth:.6g})"
            )
        self.notes.append(note)
        return note

    def _compiled_cells(self, engine: Engine, backend: str, dtype: str) -> None:
        modes = (*self._modes(engine, dtype), *self._sharded_modes(engine, backend, dtype))
        for mode, matmul in itertools.product(modes, self._precisions(engine, backend, dtype)):
            start = perf_counter()
            try:
                plan = self.ahead.get((backend, dtype, mode, matmul))
                found = depth(engine, plan or planned(engine, backend, dtype, mode, matmul))
            except ReferenceRaised as error:
                reason = f"the reference cannot be evaluated in {dtype}: {error}"
                self.cells.append(Cell(backend, dtype, matmul, mode, "skipped", reason=reason))
                continue
            cell = found.cell
            self.cells.append(replace(cell, seconds=perf_counter() - start))
            if cell.verdict in ("wrong", "inaccurate") and found.losses:
                self._loses(engine, dtype, found.losses, cell.verdict, backend, mode, matmul)
            if cell.reason and HAND_ALONE in cell.reason:
                self.notes.append(cell.reason)
            if cell.reason and cell.verdict in ("reference_wrong", "agrees"):
                self.notes.append(f"{cell.reason} ({backend})" if cell.verdict == "agrees" else cell.reason)

    def _sharded_modes(self, engine: Engine, backend: str, dtype: str) -> tuple[str, ...]:
        """Where there are several devices: a batch spread over them, in float32, or the first dtype there is."""
        several = devices_of(backend)
        dtypes = self._dtypes(engine)
        wanted = self.budget.full or dtype == ("float32" if "float32" in dtypes else dtypes[0])
        return tuple(SHARDED) if wanted and several > 1 and batched_case(engine, dtype, 1, several) is not None else ()

    def _precisions(self, engine: Engine, backend: str, dtype: str) -> tuple[str | None, ...]:
        """Where float32 products may round their inputs: as they do by default, and not; every way with ``--full``."""
        if self.budget.precision is not None or dtype != "float32" or backend not in EVERY:
            return (self.budget.precision,)
        if not has_products(engine, engine.case(0, dtype)):
            return (None,)
        return (None, *EVERY[backend][1:]) if self.budget.full else (None, "highest")

    def _cells_not_run(self, engine: Engine, dtype: str) -> None:
        """What is only compiled, for a TPU that is not here, or only lowered, in a full run."""
        if "tpu" in self.budget.backends and self.budget.topologies:
            self._ahead_of_time(engine, dtype)
            self.report(sum(c.cases for c in self.cells))
        if self.budget.full:
            self._not_run(lowered(engine, dtype, self.budget.precision))

    def _ahead_of_time(self, engine: Engine, dtype: str) -> None:
        """The claim compiled for devices that are not here; float32 and bfloat16 unless asked for more."""
        asked = self.budget.full or self.budget.dtypes or not set(COMPILED) & set(engine.dtypes)
        if dtype not in COMPILED and not asked:
            return
        from verify.ahead_of_time import compile_only

        precisions = (self.budget.precision,)
        if self.budget.full and self.budget.precision is None and dtype == "float32":
            precisions = EVERY["tpu"]
        for target in self.budget.topologies:
            for matmul in precisions:
                start = perf_counter()
                try:
                    cell = compile_only(engine, target, dtype, matmul, lambda: self.report(self.cells[0].cases))
                except ReferenceRaised as error:
                    reason = f"the reference cannot be evaluated in {dtype}: {error}"
                    cell = Cell("tpu", dtype, matmul, target, "skipped", reason=reason)
                self._not_run((replace(cell, seconds=perf_counter() - start),))

    def _not_run(self, cells: Sequence[Cell]) -> None:
        """Keeps cells that were only compiled or lowered; what a device refuses of the hand-written side alone is
        told."""
        self.cells += cells
        self.notes += [c.reason for c in cells if c.reason and HAND_ALONE in c.reason]

    def _only_compiles(self) -> bool:
        """Whether no cell beside the numpy engine's will run."""
        return bool(self.budget.topologies) and set(self.budget.backends) == {"tpu"}

    def _compile_ahead(self, engine: Engine, backend: str, dtype: str, threads: Executor) -> None:
        """XLA compiles beside the NumPy cells that are still to come, where there is a core for it."""
        for mode in self._modes(engine, dtype):
            with suppress(Exception):  # told when its turn comes
                plan = planned(engine, backend, dtype, mode, self.budget.precision)
                self.ahead[backend, dtype, mode, self.budget.precision] = compiled_ahead(plan, threads)

    def _modes(self, engine: Engine, dtype: str) -> tuple[str, ...]:
        return MODES if self.budget.full else self._sampled_modes(engine, dtype)

    def _sampled_modes(self, engine: Engine, dtype: str) -> tuple[str, ...]:
        """What users run most in full; of the remaining cells one for each claim, in turn with the seed."""
        turn = engine.draws.number + self.budget.seed
        eager = turn // 4 % EAGER_TURNS == 0 and engine.dtypes[turn % len(engine.dtypes)] == dtype
        if dtype in COMPILED:
            modes: tuple[str, ...] = ("jit", "vmap")
        elif self.budget.dtypes or "numpy" not in self.budget.backends or not set(COMPILED) & set(engine.dtypes):
            modes = (("jit", "vmap")[turn % 2],)  # it was asked for, or there is no other
        else:
            others = [(d, m) for d in engine.dtypes if d not in COMPILED for m in ("jit", "vmap")]
            modes = (others[turn % len(others)][1],) if others[turn % len(others)][0] == dtype else ()
        return (*modes, "eager") if eager else modes

    def _nondeterministic(self, engine: Engine, dtype: str) -> bool:
        """Traces and runs twice: a function that uses a clock, a generator or a race shows itself."""
        case = engine.case(0, dtype)
        first = engine.wide(case)[0]
        again = Engine(self.claim, engine.draws)
        same = again.completed(case)
        second = again.wide(same)[0]
        runs = [first, second]
        if "numpy" not in self.budget.backends or engine.formula(case).engine == "jax":
            runs.append(engine.wide(case)[0])
        if all(
            a.shape == b.shape and np.array_equal(a, b, equal_nan=True)
            for r in runs[1:]
            for a, b in zip(first, r, strict=True)
        ):
            return False
        text = "gives different values for the same input in two runs: remove the source of randomness or the race"
        self.diagnoses = (Diagnosis("nondeterministic", text, evidence="one case, evaluated twice"),)
        truth = engine.wide(case)[1]
        self.failures.append(Failure(case, first, truth, truth))
        self.cells.append(Cell("numpy", dtype, None, "eager", "wrong", 1, 1, reason="nondeterministic"))
        return True

    # --- failures ---------------------------------------------------------------------------------------

    def _formula_is_wrong(self, engine: Engine, seen: Breadth, wrong: Sequence[tuple[Seen, Examined]]) -> None:
        if self.diagnoses or not self.budget.explain:
            return
        trusted = not any(_reference_fails_too(e) for _, e in wrong)
        samples = [self._sample(s, e, True, trusted) for s, e in wrong]
        if trusted and not seen.found("convention") and not seen.found("reference_wrong"):
            known = {id(s) for s, _ in seen.examined}
            more = [s for s in seen.differing if id(s) not in known and s.case.size <= 4096]
            samples += [self._sample(s, None, True, True) for s in more[:60]]
        samples += [self._sample(s, None, False, True) for s in seen.passing]
        here, examined = min(wrong, key=lambda pair: pair[0].case.size)
        small = shrink(engine, here, examined)
        hand, reference = _as_replayed(engine, small[0].case)
        self.failures.append(Failure(small[0].case, hand, reference, small[1].truth))
        context = Context(
            relation=self.claim.relation,
            outputs=engine.formula(here.case).labels,
            output_dims=engine.formula(here.case).reference_shapes,
            candidates=candidates_of(engine, [s.case for s, _ in wrong] + [s.case for s in seen.passing]),
        )
        self.diagnoses = self._diagnosed(samples, context)

    def _diagnosed(self, samples: Sequence[Sample], context: Context) -> tuple[Diagnosis, ...]:
        try:
            return diagnose(samples, context)
        except Exception as error:  # a diagnosis that fails must not take the verdict with it
            return (Diagnosis("unknown", f"differs from the derivative; the diagnosis failed: {error}"),)

    def _sample(self, seen: Seen, examined: Examined | None, failed: bool, trusted: bool) -> Sample:
        truth = seen.reference if trusted or examined is None else examined.truth
        hand = examined.hand if examined is not None else seen.hand
        return Sample(
            seen.case.id, dict(seen.case.dims), named_inputs(self._engine(), seen.case), hand,
            seen.reference, truth, failed, self._engine().formula_dtype if failed else "float64",
            intermediates_of(self._engine(), seen.case),
        )  # fmt: skip

    def _loses(
        self,
        engine: Engine,
        dtype: str,
        losses: Sequence[Any],
        verdict: str,
        backend: str = "numpy",
        mode: str = "eager",
        matmul: str | None = None,
    ) -> None:
        if self.diagnoses or not self.budget.explain:
            return
        losses = sorted(losses, key=lambda found: _largest_input(found[0]))  # the tamest case says most
        case, loss = losses[0]
        hand, reference = _as_replayed(engine, case, backend, mode, matmul)
        truth = engine.wide(case)[1]
        self.failures.append(Failure(case, hand, reference, truth, backend, mode, matmul))
        where = f"{self._labels(Seen(case, hand, reference))[loss.leaf]}{list(loss.entry) if loss.entry else ''}"
        how = "is not finite" if loss.overflow else f"is off by {loss.relative:.1e} relative"
        place = dtype if backend == "numpy" else f"{dtype} on {backend} ({mode})"
        theirs = "the reference is right" if loss.other < loss.error / 8 else "the reference is off as well"
        kind = "overflow" if loss.overflow else "precision"
        text = f"{where} {how} in {place}, where {theirs} (derivative {loss.truth:.6g}); "
        text += (
            "an intermediate value overflows: scale it, or rearrange the formula"
            if loss.overflow
            else "the formula is right in exact arithmetic and loses its digits: avoid the cancellation or rounding"
            if verdict == "inaccurate"
            else f"the formula used in {dtype} is another one: compare the branches on dtype"
            if backend == "numpy"
            else f"NumPy gets it right from the same program in {dtype}: another formula runs on {backend} ({mode})"
        )
        evidence = f"{len(losses)} confirmed, each at neighbouring inputs too"
        if verdict == "inaccurate" and kind == "precision" and backend == "numpy":
            where = self._no_digit_left(engine, dtype, [c for c, _ in losses])
            if where is not None:
                kind, text = where.kind, f"{where.text} There no digit is left: {text}"
        self.diagnoses = (Diagnosis(kind, text, dtype, evidence),)

    def _no_digit_left(self, engine: Engine, dtype: str, lost: Sequence[Case]) -> Diagnosis | None:
        """The condition under which a result has no right digit at all, if there is one: not its precision is wrong
        there, but the value."""
        samples: list[Sample] = []
        known = {case.id for case in lost}
        others = (c for i in range(SEARCHED) if (c := engine.case(i, dtype)).id not in known)
        for number, case in enumerate(itertools.chain(lost, others)):
            if number > len(lost) + TOLD and sum(s.failed for s in samples) >= FEW_LOST:
                break
            hand, _ = engine.native(case)
            truth = engine.wide(case)[1]
            gaps = [(np.abs(h - t) > ALL_DIGITS * np.abs(t)) & np.isfinite(h) for h, t in zip(hand, truth, strict=True)]
            kept = tuple(np.where(g, h, t) for g, h, t in zip(gaps, hand, truth, strict=True))
            failed = any(g.any() for g in gaps)
            if failed or number < len(lost) + TOLD:
                named = named_inputs(engine, case)
                samples.append(Sample(case.id, dict(case.dims), named, kept, truth, truth, failed))
        if not any(s.failed for s in samples):
            return None
        traced = engine.formula(lost[0])
        told = self._diagnosed(samples, Context(self.claim.relation, traced.labels, traced.reference_shapes))
        return told[0] if told[0].kind in ("region", "singular") else None

    def _shape_mistake(self, engine: Engine, case: Case, text: str) -> None:
        if self.diagnoses:
            return
        traced = engine.formula(case)
        samples = []
        if not traced.mismatch:
            clashing: list[Case] = []
            for index in range(12):
                other = engine.case(index, engine.formula_dtype)
                hand, reference = engine.wide(other)
                if any(h.shape != r.shape for h, r in zip(hand, reference, strict=True)):
                    clashing.append(other)
                named = named_inputs(engine, other)
                samples.append(
                    Sample(other.id, dict(other.dims), named, hand, reference, reference, True)
                )
            context = Context(self.claim.relation, traced.labels, traced.reference_shapes)
            self.diagnoses = self._diagnosed(samples, context)
            case = min(clashing, key=lambda c: sum(v.size for v in c.values), default=case)
            hand, reference = engine.wide(case)
            self.failures.append(Failure(case, hand, reference, reference))
        if not self.diagnoses or self.diagnoses[0].kind not in ("shape", "transpose", "reduction"):
            self.diagnoses = (Diagnosis("shape", text), *self.diagnoses)

    def hand_raised(self, error: HandRaised) -> Judged:
        """A formula whose sizes clash is wrong; any other exception means that it could not be judged."""
        text = str(error)
        message = f"the hand-written function raised {text}"
        if (dtypes := _TANGENT_DTYPE.search(text)) and dtypes["wanted_shape"] == dtypes["shape"]:
            text = f"WrongDtype: gives a tangent of {dtypes['got']} for a result of {dtypes['wanted']}"
        if text.startswith("WrongDtype: "):
            message = f"the hand-written function {text.removeprefix('WrongDtype: ')}"
        kind = text.split(":", 1)[0]
        if kind in ("TypeError", "ValueError", "ScopedBroadcastError", "IndexError") and (
            _SIZES_CLASH.search(text) and "argument" not in text and "Tracer" not in text
        ):
            clash = sizes_that_clash(self.engine) if self.engine is not None else None
            told = f"its sizes do not fit together: {clash or text}"
            self.diagnoses = (Diagnosis("shape", told, evidence=text if clash else None),)
            self.cells.append(Cell("numpy", "float64", None, "eager", "wrong", 1, 1, reason=message))
            return Judged(self.record("wrong", reason=message))
        return Judged(self.record("error", reason=message))

    # --- the record -------------------------------------------------------------------------------------

    def _engine(self) -> Engine:
        assert self.engine is not None
        return self.engine

    def _labels(self, seen: Seen) -> tuple[str, ...]:
        return self._engine().formula(seen.case).labels

    def _conclude(self, engine: Engine) -> Judged:
        verdicts = [c.verdict for c in self.cells if c.verdict not in ("skipped", "compiled_only")]
        verdict: Any = next((v for v in WORST_FIRST if v in verdicts), "unresolved")
        limited = max((precision(d).roundoff for d in engine.dtypes[:1]), default=0.0)
        needed = 1e-6 if engine.formula_dtype == "float64" else 16 * limited
        seen = [c.smallest_visible_error for c in self.cells if c.smallest_visible_error is not None]
        if verdict in PASSING and (not seen or min(seen) > max(needed, 1e-6)):
            verdict = "unresolved"
        reason = next((c.reason for c in self.cells if c.verdict == verdict and c.reason), None)
        for engine_name, why in engine.reasons.items():
            self.notes.append(f"evaluated {_ENGINES[engine_name]}: {why}")
        record = self.record(verdict, reason=reason)
        if verdict == "reference_wrong":
            record = replace(record, figures=self._figures(engine, verdict, engine.case(0, engine.formula_dtype)))
        if not self.failures or verdict not in ("wrong", "inaccurate"):
            return Judged(record)
        failure = self.failures[0]
        inputs = named_inputs(engine, failure.case)
        labels = engine.formula(failure.case).labels
        arrays = {k: v for k, v in inputs.items() if isinstance(v, np.ndarray)}
        self.notes += _worst_of_large(labels, failure)
        record = replace(record, notes=tuple(dict.fromkeys(self.notes)))
        counterexample = Counterexample(
            failure.case.id, dict(failure.case.dims), failure.case.dtype, inputs,
            dict(zip(labels, failure.hand, strict=True)),
            dict(zip(labels, failure.reference, strict=True)),
            dict(zip(labels, failure.truth, strict=True)),
            failure.backend, failure.mode, failure.precision,
        )  # fmt: skip
        figures = self._figures(engine, verdict, failure.case)
        replay = f"verify replay {failure.case.id}"
        return Judged(replace(record, counterexample=counterexample, replay=replay, figures=figures), arrays)

    def _figures(self, engine: Engine, verdict: Verdict, shown: Case) -> Figures | None:
        """What plots are drawn from, of the first cell on the numpy engine that ends in this verdict."""
        cell = next((c for c in self.cells if c.backend == "numpy" and c.verdict == verdict), None)
        if cell is None or any(d.kind in ("shape", "nondeterministic") for d in self.diagnoses):
            return None
        if verdict == "reference_wrong":
            return figures_of(engine, cell.dtype, shown, "hand")
        doubtful = any(b.found("reference_wrong") or b.found("convention") for b in self.breadths)
        but = ", which is itself wrong, or a convention, at some of these inputs" if doubtful else ""
        return figures_of(engine, cell.dtype, shown, but=but)

    def record(self, verdict: Verdict, reason: str | None = None) -> ClaimRecord:
        claim = self.claim
        entries = [e for b in self.breadths for e in b.entries]
        visible = [c.smallest_visible_error for c in self.cells if c.smallest_visible_error is not None]
        return ClaimRecord(
            name=claim.name,
            module=claim.module,
            file=claim.file,
            line=claim.line,
            relation=claim.relation,
            verdict=verdict,
            diagnosis=self.diagnoses[0] if self.diagnoses and verdict in ("wrong", "inaccurate") else None,
            diagnoses=self.diagnoses if verdict in ("wrong", "inaccurate") else (),
            notes=tuple(dict.fromkeys(self.notes)),
            reason=reason,
            expected=claim.expect,
            equation=claim.equation,
            form=claim.form,
            cases=sum(c.cases for c in self.cells),
            fresh_shapes=sum(c.fresh_shapes for c in self.cells),
            entries={
                "median": float(np.median(entries)) if entries else 0,
                "max": max(entries, default=0),
            },
            smallest_visible_error=min(visible, default=None),
            cells=tuple(self.cells),
        )


_ENGINES = {"concrete": "shape by shape", "jax": "by JAX itself"}


def _as_replayed(
    engine: Engine, case: Case, backend: str = "numpy", mode: str = "eager", matmul: str | None = None
) -> tuple[Arrays, Arrays]:
    """Both sides as a replay of this case evaluates them, bit for bit."""
    from verify.replaying import evaluate

    return evaluate(engine, case, backend, mode, matmul)


def _worst_of_large(labels: Sequence[str], failure: Failure) -> list[str]:
    """Of outputs that a record abbreviates, the entry that is furthest off."""
    notes = []
    for label, hand, truth, reference in zip(labels, failure.hand, failure.truth, failure.reference, strict=True):
        if hand.size > MOST_ENTRIES and hand.shape == reference.shape:
            known = np.where(np.isnan(truth), reference, truth)
            gap = errors(hand, known) / scale_of(known)
            at = np.unravel_index(int(np.argmax(np.where(np.isnan(gap), -1.0, gap))), hand.shape)
            place = f"{label}{[int(i) for i in at]}"
            notes.append(f"furthest off is {place}: {hand[at]:.6g} by hand, where it should be {known[at]:.6g}")
    return notes


def _reference_fails_too(examined: Examined) -> bool:
    if examined.singular:  # at a kink there is no one true value
        return False
    truth = examined.truth[examined.leaf][examined.entry]
    reference = examined.reference[examined.leaf][examined.entry]
    return not np.isfinite(reference) or bool(abs(reference - truth) > 2.0**-20 * abs(truth))


def _largest_input(case: Case) -> float:
    sizes = [np.abs(as_wide(v)).max(initial=0.0) for v in (*case.values, *case.extra) if v.dtype.kind not in "iub"]
    return float(max(sizes, default=0.0))


def _name(function: Any) -> str:
    return getattr(inspect.unwrap(function), "__name__", repr(function))
