"""Judges the claims of a run with the pool, and its data sets; ends early where time or patience does."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from verify.cells.budget import Budget
from verify.records.record import Cell, ClaimRecord
from verify.sessions.journal import Journal
from verify.sessions.pool import Pool, WorkerLost
from verify.sessions.processes import collect
from verify.sessions.request import Options
from verify.sessions.team import Team
from verify.sessions.worker import Listed

FEW = 3
"""So few claims are judged by one worker: starting another takes longer."""


@dataclass(frozen=True)
class Plan:
    """How the claims of a run are judged."""

    options: Options
    seed: int
    backends: tuple[str, ...]
    topologies: tuple[str, ...]
    """The TPUs that are compiled for."""
    start: float
    """On the monotonic clock: what ``--seconds`` counts from."""

    @property
    def time_is_up(self) -> bool:
        return self.options.seconds is not None and time.monotonic() - self.start > self.options.seconds

    def is_enough(self, journal: Journal) -> bool:
        """Whether no further claim is to be judged."""
        return (self.options.exit_first and journal.failed) or self.time_is_up

    def fingerprint(self, claim: Listed) -> str:
        """The claim's code, and how it is judged: what decides its verdict, the seed apart."""
        options = self.options
        how = (self.backends, options.dtypes, options.precision, options.cases, options.full, options.seconds)
        return hashlib.sha256(f"{claim.fingerprint} {how}".encode()).hexdigest()[:32]


def judge_claims(pool: Pool, claims: Sequence[Listed], plan: Plan, journal: Journal, team: Team | None) -> None:
    """Judges the claims that are not in the journal yet; in a team, those that nobody else has taken."""
    options = plan.options
    todo = [c for c in claims if c.target not in journal.done]
    if not todo:
        return
    processors = max(1, (os.cpu_count() or 1) // (team.place.here if team is not None else 1))
    count = 1 if len(todo) <= FEW else min(processors, len(todo))
    pool.grow(count)
    tasks = [(c, _task(c, plan, journal, team, len(todo), count)) for c in todo]
    cases = options.cases or 4000

    def progress(claim: Listed, done: int) -> None:
        journal.listener.progress(claim.target, done, cases)

    def enough() -> bool:
        stop = plan.is_enough(journal)
        if team is not None:
            stop = stop or team.stopped
            collect(team, journal)
        return stop

    for claim, judged, lost in pool.judge(tasks, progress, enough):
        record = judged.record if judged is not None else _lost(claim, lost or "was lost")
        record = replace(record, fingerprint=plan.fingerprint(claim))
        journal.enter(record, judged.inputs if judged is not None else {})
    left = [c.target for c in todo if c.target not in journal.done]
    if left and plan.time_is_up:
        journal.problem(f"--seconds {options.seconds:g} ran out before {len(left)} claims: {left[0]}, ...")


def _task(
    claim: Listed, plan: Plan, journal: Journal, team: Team | None, total: int, workers: int
) -> Callable[[], tuple[Any, ...] | None]:
    """What the worker is asked, settled when its turn comes; None where another process has taken the claim."""
    options = plan.options

    def arguments() -> tuple[Any, ...] | None:
        if team is not None and not team.take(claim.target):
            return None
        seconds = None
        if options.seconds is not None:
            left = options.seconds - (time.monotonic() - plan.start)
            seconds = max(0.2, left * workers / max(1, total - len(journal.done)))
        budget = Budget(
            plan.seed, options.cases, plan.backends, options.dtypes, options.precision, options.full, seconds,
            compile_threads=1 if workers < (os.cpu_count() or 1) else 0,
            topologies=plan.topologies,
        )  # fmt: skip
        return claim.place, claim.target, budget

    return arguments


def _lost(claim: Listed, why: str) -> ClaimRecord:
    cell = Cell("numpy", "float64", None, "eager", "error", reason=why)
    return ClaimRecord(
        claim.name, claim.module, claim.file, claim.line, claim.relation, "error",
        reason=f"judging it {why}; the other claims were judged", expected=claim.expect, cells=(cell,),
        target=claim.target, equation=claim.equation, form=claim.form,
    )  # fmt: skip


def judge_data(pool: Pool, plan: Plan, journal: Journal) -> dict[str, Any]:
    """Judges on the data sets asked for; what is known of each that could be loaded."""
    found: dict[str, Any] = {}
    for name in plan.options.data:
        journal.listener.progress(f"data: {name}", 0, 1)
        try:
            judged, facts = pool.workers[0].call("data", name, plan.seed)
        except (WorkerLost, RuntimeError) as error:
            journal.problem(f"--data {name}: {str(error).removeprefix('DataError: ')}")
            continue
        found[name] = facts
        for one in judged:
            journal.enter(one.record, one.inputs)
    return found
