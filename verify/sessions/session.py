"""A session: what ``verify run`` and ``verify list`` do, without a terminal.

Targets are loaded, claims and backends selected, the run's folder opened, every claim judged and entered in the
journal, and the record of it all written. The parent process never loads the user's code, nor JAX: workers do.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from verify.cells import compile_cache
from verify.records.record import Record, exit_code_of
from verify.records.runs import ReportsError
from verify.sessions import kept
from verify.sessions.journal import Journal
from verify.sessions.judging import FEW, Plan, judge_claims, judge_data
from verify.sessions.loading import load
from verify.sessions.opening import open_run
from verify.sessions.pool import IMPORTS, Pool, WorkerLost
from verify.sessions.processes import await_record, gather
from verify.sessions.request import Listener, NothingToRun, Options, UsageError
from verify.sessions.scope import backends_of, nothing, selected
from verify.sessions.team import Place, Team, place
from verify.sessions.worker import Listed


def run(options: Options, listener: Listener, pool: Pool | None = None) -> Record:
    """Judges what was asked for and returns the record; writes it down as it goes.

    ``pool`` may hold a worker that has imported what is heavy (see ``standby``); it is stopped at the end.
    """
    start, started = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
    here = place(os.environ) if options.distributed else None
    if here and options.changed:
        raise UsageError("--changed with --distributed: one process alone looks for what has changed")
    pool = pool or Pool([])
    try:
        begun = _begin(options, listener, pool, here, start)
        plan, journal, team = begun.plan, begun.journal, begun.team
        soon = len(begun.claims) <= FEW  # who waits for few verdicts gets them first
        faults = [] if soon else _self_test(pool, journal, plan.seed)
        _recall(begun)
        judge_claims(pool, begun.claims, plan, journal, team)
        faults += _self_test(pool, journal, plan.seed) if soon else []
        if team is not None and team.place.rank:
            return await_record(team)
        if team is not None:
            if plan.is_enough(journal):
                team.stop_all()
            gather(team, journal, [c.target for c in begun.claims])
        data = judge_data(pool, plan, journal)
    finally:
        pool.stop()
        compile_cache.prune()
    order = {c.target: i for i, c in enumerate(begun.claims)}
    records = sorted(journal.done.values(), key=lambda r: order.get(r.target, len(order)))
    unloaded = begun.unloaded or any(name not in data for name in options.data)
    record = Record(
        claims=tuple(records),
        exit_code=exit_code_of(records, strict=options.strict, unloaded=unloaded, internal=bool(faults)),
        argv=options.argv,
        seed=plan.seed,
        environment=begun.environment,
        seconds=time.monotonic() - start,
        started=started,
        problems=tuple(journal.problems),
        data=data,
        strict=options.strict,
        scan=options.scan.facts if options.scan else {},
    )
    if journal.folder is not None:
        try:
            journal.folder.finish(record)
        except ReportsError as error:
            journal.problem(str(error))
    if team is not None:
        team.end()
    return record


def list_claims(options: Options) -> tuple[list[Listed], list[str]]:
    """The claims found, and what could not be loaded."""
    pool = Pool([])
    try:
        found = load(pool, options.targets)
    finally:
        pool.stop()
    return selected(found.claims, options), list(found.problems)


def standby() -> Pool:
    """A worker that has loaded JAX and nothing of the user's."""
    pool = Pool([])
    pool.grow(1)
    pool.workers[0].call("warm")
    return pool


@dataclass(frozen=True)
class _Begun:
    """A run that is ready to judge."""

    claims: Sequence[Listed]
    unloaded: bool
    """Whether something asked for could not be loaded."""
    environment: Mapping[str, Any]
    plan: Plan
    journal: Journal
    team: Team | None


def _begin(options: Options, listener: Listener, pool: Pool, here: Place | None, start: float) -> _Begun:
    """Loads what was asked for, selects from it, opens the run's folder and tells the listener."""
    problems: list[str] = []
    resumed = None
    if options.resume and (here is None or here.rank == 0):
        resumed = kept.resumable(options.output, options.argv)
        if resumed is None:
            problems.append("--resume: the last run here ended, or was asked something else; starting anew")
    seed = options.seed if options.seed is not None else resumed[1].seed if resumed else secrets.randbelow(2**32)
    found = load(pool, (options.scan,) if options.scan else options.targets)
    problems += found.problems
    backends, compiled_for = backends_of(options, found.backends, found.topologies)
    claims = selected(found.claims, options)
    listener.loaded(tuple(sorted({f for c in claims for f in c.files})))
    if not claims and not options.data:
        if found.unloaded:
            raise UsageError("; ".join(problems))
        raise NothingToRun("; ".join(problems) or nothing(options))
    environment = {**found.environment, "backends": backends}
    if compiled_for:
        environment["compiled for"] = compiled_for
    if here is not None:
        environment["processes"] = here.size
    opened = open_run(options, seed, environment, resumed, here)
    if opened.problem is not None:
        problems.append(opened.problem)
    shown = {**_in_brief(environment), "seed": opened.seed}
    if opened.folder is not None:
        shown["folder"] = str(opened.folder.path)
    if options.data:
        shown["data"] = ", ".join(options.data)
    listener.started(len(claims), shown)
    for message in problems:
        listener.problem(message)
    plan = Plan(options, opened.seed, backends, compiled_for, start)
    journal = Journal(listener, opened.folder, options.strict, dict(opened.done), problems)
    return _Begun(claims, found.unloaded, environment, plan, journal, opened.team)


def _in_brief(environment: Mapping[str, Any]) -> dict[str, Any]:
    """What the head of a terminal report says of the environment; the record has it all."""
    versions = ", ".join(f"{k} {environment[k]}" for k in ("python", "jax", "numpy") if environment.get(k))
    names = ("devices", "backends", "compiled for", "git")
    return {"versions": versions, **{k: environment[k] for k in names if k in environment}}


def _self_test(pool: Pool, journal: Journal, seed: int) -> list[str]:
    """What the run's planted mistakes say against it."""
    try:
        pool.grow(1)  # the last may be lost
        faults = pool.workers[0].call("self_test", seed, silence=IMPORTS)
    except WorkerLost as lost:
        pool.workers.clear()
        pool.grow(1)
        faults = [f"the self-test {lost}"]
    for message in faults:
        journal.problem(message)
    return faults


def _recall(begun: _Begun) -> None:
    """Tells what this run has recorded before; with ``--changed`` takes over what other runs say of the rest."""
    journal, plan = begun.journal, begun.plan
    for claim in begun.claims:
        if claim.target in journal.done:
            journal.listener.finished(journal.done[claim.target])
    if plan.options.changed:
        wanted = {c.target: plan.fingerprint(c) for c in begun.claims if c.target not in journal.done}
        for record in kept.unchanged(plan.options.output, wanted, but=journal.folder):
            journal.enter(record, {})
