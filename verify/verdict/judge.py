"""The judge: one claim, all its cells, one verdict.

The numpy engine gives breadth and decides about the formula; compiled cells show what users run. The worst cell
decides. Failing cases are shrunk, explained, and kept so that they can be replayed.
"""

from __future__ import annotations

import inspect
import itertools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from handgrad.claims import Claim
from verify.cells.budget import Budget
from verify.cells.compiled import HAND_ALONE, Planned, compiled_ahead, depth, planned
from verify.cells.lowering import lowered
from verify.cells.numpy_cell import numpy_cell
from verify.cells.selection import Selection
from verify.drawing.cases import DTYPES
from verify.drawing.draws import Draws
from verify.drawing.sizes import SizeError
from verify.drawing.specification import SignatureError
from verify.records.record import PASSING, Cell, Verdict
from verify.tracing.engine import Engine
from verify.tracing.promises import broken_promise
from verify.tracing.second_order import differentiated, may_be_differentiated
from verify.tracing.survey import ReferenceRaised
from verify.tracing.trace import HandRaised
from verify.verdict.conclusion import conclude, record_of
from verify.verdict.explanation import tell_loss, tell_nondeterministic, tell_raised
from verify.verdict.findings import Findings
from verify.verdict.judged import Judged
from verify.verdict.source import source_of

CASES = 1000
"""Cases of one dtype on the numpy engine, unless a budget is given."""
CASES_SETTLED = 50
"""The same once another dtype has shown that the formula is wrong: whoever waits wants to hear it."""


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
        judged = judging.ended("error", str(error))
    except ReferenceRaised as error:
        judged = judging.ended("error", f"the reference {_name(claim.reference)} raised {error}")
    except HandRaised as error:
        judged = judging.ended(*tell_raised(judging.findings, error))
    except (Exception, SystemExit) as error:
        judged = judging.ended("error", f"could not be judged: {type(error).__name__}: {error}")
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
    """The cells of a claim, run one after the other."""

    def __init__(self, claim: Claim, budget: Budget, report: Callable[[int], None]):
        self.claim, self.budget, self.report = claim, budget, report
        self.findings = Findings(claim, budget.explain, notes=[claim.note] if claim.note else [])
        self.ahead: dict[tuple[str, str, str, str | None], Planned] = {}
        self.start = perf_counter()

    def run(self, draws: Draws | None) -> Judged:
        findings, budget = self.findings, self.budget
        engine = findings.engine = Engine(self.claim, draws or Draws(self.claim, budget.seed))
        selection = Selection(engine, budget)
        dtypes = selection.dtypes
        if not dtypes:
            asked, has = ", ".join(budget.dtypes or ()), ", ".join(engine.dtypes)
            reason = f"this claim is limited to {has}"
            findings.cells.append(Cell("numpy", asked, None, "eager", "skipped", reason=reason))
            return self.ended("unresolved", f"limited to {has}, and only {asked} was asked for")
        if self._nondeterministic(engine, dtypes[0]):
            return conclude(findings, engine)
        if broken := broken_promise(engine):
            return self.ended("error", broken)
        share = max(1, (budget.cases or CASES * len(DTYPES)) // len(dtypes))
        with ThreadPoolExecutor(max(1, budget.compile_threads)) as threads:
            for dtype in dtypes:
                # Compiled cells alone cannot tell who is right: the formula is judged first, and told if it is not
                # plain.
                if "numpy" in budget.backends or dtype == dtypes[0]:
                    only_if_it_fails = not selection.numpy_asked
                    cases = min(share, CASES_SETTLED) if findings.settled else share
                    numpy_cell(findings, engine, dtype, cases, only_if_it_fails, self._out_of_time, self.report)
                self.report(findings.cases)
                if dtype == dtypes[0] and budget.compile_threads and not findings.settled:
                    self._compile_ahead(selection, threads)
            for backend, dtype in selection.compiled:
                if not findings.settled and not self._out_of_time():
                    self._compiled_cells(selection, backend, dtype)
                    self.report(findings.cases)
            threads.shutdown(cancel_futures=True)
        if not findings.settled:
            for dtype in dtypes:
                self._cells_not_run(selection, dtype)
        return conclude(findings, engine)

    def ended(self, verdict: Verdict, reason: str) -> Judged:
        return Judged(record_of(self.findings, verdict, reason))

    def _out_of_time(self) -> bool:
        return self.budget.seconds is not None and perf_counter() - self.start > self.budget.seconds

    def _nondeterministic(self, engine: Engine, dtype: str) -> bool:
        """Traces and runs twice: a function that uses a clock, a generator or a race shows itself."""
        case = engine.case(0, dtype)
        runs = engine.hand_runs(case)
        same = all(
            a.shape == b.shape and np.array_equal(a, b, equal_nan=True)
            for again in runs[1:]
            for a, b in zip(runs[0], again, strict=True)
        )
        if not same:
            tell_nondeterministic(self.findings, engine, case, runs[0])
        return not same

    def _compile_ahead(self, selection: Selection, threads: Executor) -> None:
        """XLA compiles beside the NumPy cells that are still to come, where there is a core for it."""
        matmul = self.budget.precision
        for backend, dtype in selection.compiled:
            for mode in selection.single_device_modes(dtype):
                with suppress(Exception):  # told when its turn comes
                    plan = planned(selection.engine, backend, dtype, mode, matmul)
                    self.ahead[backend, dtype, mode, matmul] = compiled_ahead(plan, threads)

    def _compiled_cells(self, selection: Selection, backend: str, dtype: str) -> None:
        engine, findings = selection.engine, self.findings
        cells = itertools.product(selection.modes(backend, dtype), selection.precisions(backend, dtype))
        for mode, matmul in cells:
            start = perf_counter()
            try:
                plan = self.ahead.get((backend, dtype, mode, matmul))
                found = depth(engine, plan or planned(engine, backend, dtype, mode, matmul))
            except ReferenceRaised as error:
                reason = f"the reference cannot be evaluated in {dtype}: {error}"
                findings.cells.append(Cell(backend, dtype, matmul, mode, "skipped", reason=reason))
                continue
            cell = found.cell
            findings.cells.append(replace(cell, seconds=perf_counter() - start))
            if cell.verdict in ("wrong", "inaccurate") and found.losses:
                tell_loss(findings, engine, dtype, found.losses, cell.verdict, backend, mode, matmul)
            if cell.reason and HAND_ALONE in cell.reason:
                findings.notes.append(cell.reason)
            if cell.reason and cell.verdict in ("reference_wrong", "agrees"):
                findings.notes.append(f"{cell.reason} ({backend})" if cell.verdict == "agrees" else cell.reason)

    def _cells_not_run(self, selection: Selection, dtype: str) -> None:
        """What is only compiled, for a TPU that is not here, or only lowered, in a full run."""
        for target, matmul in itertools.product(*selection.compiled_only(dtype)):
            from verify.cells.ahead_of_time import compile_only

            start = perf_counter()
            alive = lambda: self.report(self.findings.cases)  # noqa: E731
            try:
                cell = compile_only(selection.engine, target, dtype, matmul, alive)
            except ReferenceRaised as error:
                reason = f"the reference cannot be evaluated in {dtype}: {error}"
                cell = Cell("tpu", dtype, matmul, target, "skipped", reason=reason)
            self._not_run((replace(cell, seconds=perf_counter() - start),))
        self.report(self.findings.cases)
        if self.budget.full:
            self._not_run(lowered(selection.engine, dtype, self.budget.precision))

    def _not_run(self, cells: Sequence[Cell]) -> None:
        """Keeps cells that were only compiled or lowered; what a device refuses of the hand-written side alone is
        told."""
        self.findings.cells += cells
        self.findings.notes += [c.reason for c in cells if c.reason and HAND_ALONE in c.reason]


def _name(function: Any) -> str:
    return getattr(inspect.unwrap(function), "__name__", repr(function))
