"""A session: what ``verify run``, ``list``, ``replay`` and ``devices`` do, without a terminal.

The parent process never loads the user's code, nor JAX: workers do, and a run is written down claim by claim.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from verify import compile_cache, kept, libtpu
from verify.keyword import keyword
from verify.pool import IMPORTS, Pool, WorkerLost
from verify.record import Cell, ClaimRecord, Record, exit_code_of
from verify.runs import ReportsError, RunFolder, find_case
from verify.scan.found import Package
from verify.team import BEAT, RESUME, Place, ProcessLost, Team, place
from verify.worker import Listed

FEW = 3
"""So few claims are judged by one worker: starting another takes longer."""


class UsageError(Exception):
    """What was asked for cannot be done: one message, exit code 4."""


class NothingToRun(Exception):
    """No claim, or no device, to judge on: one message, exit code 5."""


@dataclass(frozen=True)
class Options:
    """What the user asked for; see ``verify run --help``."""

    targets: tuple[str, ...] = ("handgrad",)
    keyword: str | None = None
    backends: tuple[str, ...] | None = None
    dtypes: tuple[str, ...] | None = None
    precision: str | None = None
    cases: int | None = None
    seconds: float | None = None
    seed: int | None = None
    exit_first: bool = False
    last_failed: bool = False
    resume: bool = False
    changed: bool = False
    full: bool = False
    distributed: bool = False
    strict: bool = False
    data: tuple[str, ...] = ()
    output: str = "reports"
    argv: tuple[str, ...] = ()
    scan: Package | None = None
    """The package whose rules are judged, in place of targets."""


class Listener(Protocol):
    """Who is told as a run goes on."""

    def loaded(self, files: tuple[str, ...]) -> None: ...
    def started(self, total: int, header: Mapping[str, Any]) -> None: ...
    def progress(self, claim: str, done: int, total: int) -> None: ...
    def finished(self, claim: ClaimRecord) -> None: ...
    def problem(self, message: str) -> None: ...


@dataclass(frozen=True)
class Replay:
    """One recorded case, run again."""

    claim: str
    case_id: str
    dims: Mapping[str, int]
    inputs: Mapping[str, Any]
    hand: Mapping[str, Any]
    reference: Mapping[str, Any]
    oracle: Mapping[str, Any]
    identical: bool
    message: str


def run(options: Options, listener: Listener, pool: Pool | None = None) -> Record:
    """Judges what was asked for and returns the record; writes it down as it goes.

    ``pool`` may hold a worker that has imported what is heavy (see ``standby``); it is stopped at the end.
    """
    return _Run(options, listener, pool or Pool([])).run()


def standby() -> Pool:
    """A worker that has loaded JAX and nothing of the user's."""
    pool = Pool([])
    pool.grow(1)
    pool.workers[0].call("warm")
    return pool


@dataclass
class _Run:
    options: Options
    listener: Listener
    pool: Pool = field(default_factory=lambda: Pool([]))
    start: float = field(default_factory=time.monotonic)
    problems: list[str] = field(default_factory=list)
    done: dict[str, ClaimRecord] = field(default_factory=dict)
    folder: RunFolder | None = None
    backends: tuple[str, ...] = ()
    topologies: tuple[str, ...] = ()
    failed: bool = False
    place: Place | None = None
    team: Team | None = None

    def run(self) -> Record:
        options = self.options
        self.place = place(os.environ) if options.distributed else None
        if self.place and options.changed:
            raise UsageError("--changed with --distributed: one process alone looks for what has changed")
        leads = self.place is None or self.place.rank == 0
        resumed = self._resumed() if options.resume and leads else None
        seed = options.seed if options.seed is not None else resumed[1] if resumed else secrets.randbelow(2**32)
        started = datetime.now(UTC).isoformat(timespec="seconds")
        pool = self.pool
        try:
            claims, header = self._load(pool)
            backends = self.backends = self._backends(header["backends"], header["topologies"])
            claims = self._selected(claims)
            self.listener.loaded(tuple(sorted({f for c in claims for f in c.files})))
            if not claims and not options.data:
                if self.load_failed:
                    raise UsageError("; ".join(self.problems))
                raise NothingToRun("; ".join(self.problems) or self._nothing())
            environment = {**header["environment"], "backends": backends}
            if self.topologies:
                environment["compiled for"] = self.topologies
            if self.place is not None:
                environment["processes"] = self.place.size
            seed = self._open(seed, environment, resumed)
            shown = {**_in_brief(environment), "seed": seed}
            if self.folder is not None:
                shown["folder"] = str(self.folder.path)
            if options.data:
                shown["data"] = ", ".join(options.data)
            self.listener.started(len(claims), shown)
            for message in self.problems:
                self.listener.problem(message)
            faults = self._self_test(pool, seed)
            for message in faults:
                self._problem(message)
            for claim in claims:
                if claim.target in self.done:
                    self.listener.finished(self.done[claim.target])
            if options.changed:
                wanted = {c.target: self._asked_of(c) for c in claims if c.target not in self.done}
                for record in kept.unchanged(options.output, wanted, but=self.folder):
                    self._finished(record, {})
            self._judge(pool, claims, seed, backends)
            if self.team is not None and not leads:
                return self._record_of_all(self.team)
            if self.team is not None:
                self._gather(self.team, claims)
            data = self._data(pool, seed)
        finally:
            pool.stop()
            compile_cache.prune()
        order = {c.target: i for i, c in enumerate(claims)}
        records = sorted(self.done.values(), key=lambda r: order.get(r.target, len(order)))
        code = exit_code_of(records, strict=options.strict, unloaded=self.load_failed, internal=bool(faults))
        record = Record(
            claims=tuple(records),
            exit_code=code,
            argv=options.argv,
            seed=seed,
            environment=environment,
            seconds=time.monotonic() - self.start,
            started=started,
            problems=tuple(self.problems),
            data=data,
            strict=options.strict,
            scan=options.scan.facts if options.scan else {},
        )
        if self.folder is not None:
            try:
                self.folder.finish(record)
            except ReportsError as error:
                self._problem(str(error))
        if self.team is not None:
            self.team.end()
        return record

    load_failed: bool = False

    # --- before judging -----------------------------------------------------------------------------------

    def _load(self, pool: Pool) -> tuple[list[Listed], Mapping[str, Any]]:
        claims: list[Listed] = []
        pool.grow(1)
        targets: list[Any] = []
        for target in (self.options.scan,) if self.options.scan else self.options.targets:
            try:
                loaded = pool.workers[0].call("load", target)
            except (WorkerLost, RuntimeError) as lost:
                why = str(lost) if isinstance(lost, WorkerLost) else f"raised {lost}"
                self.problems.append(f"{target}: loading it {why}")
                self.load_failed = True
                pool.workers[0].stop()
                pool.targets = targets
                pool.workers.clear()
                pool.grow(1)
                continue
            number = len(targets)
            targets.append(target)
            claims += [replace(c, place=(number, c.place[1])) for c in loaded.claims]
            self.problems += loaded.problems
            self.load_failed = self.load_failed or bool(loaded.problems)
        pool.targets = targets
        try:
            return _told_apart(claims), pool.workers[0].call("header", silence=IMPORTS)
        except (WorkerLost, RuntimeError) as error:
            why = str(error) if isinstance(error, WorkerLost) else f"raised {error}"
            raise NothingToRun(
                f"looking for devices {why}; JAX_PLATFORMS and XLA_FLAGS, if set, must suit this machine"
            ) from None

    def _self_test(self, pool: Pool, seed: int) -> list[str]:
        """What the run's planted mistakes say against it."""
        try:
            return pool.workers[0].call("self_test", seed, silence=IMPORTS)
        except WorkerLost as lost:
            pool.workers.clear()
            pool.grow(1)
            return [f"the self-test {lost}"]

    def _backends(self, here: tuple[str, ...], topologies: tuple[str, ...]) -> tuple[str, ...]:
        asked = self.options.backends
        if asked is None:
            return here
        absent = [b for b in asked if b not in here]
        if "tpu" in absent:
            if not topologies:
                raise NothingToRun(
                    "--backend tpu: there is no TPU here, and no compiler for one: pip install 'handgrad[tpu]' "
                    "compiles every claim for a TPU v5e on a machine without one"
                )
            self.topologies = topologies if self.options.full else topologies[:1]
            absent.remove("tpu")
        if absent:
            raise NothingToRun(
                f"--backend {','.join(absent)}: no such device here; JAX sees {', '.join(here[1:])} "
                f"(`verify devices` shows them; for a GPU install handgrad[cuda])"
            )
        return tuple(asked)

    def _selected(self, claims: list[Listed]) -> list[Listed]:
        if self.options.keyword:
            chosen = keyword(self.options.keyword)
            claims = [c for c in claims if chosen(c.target)]
        if self.options.last_failed:
            failed = kept.last_failed(self.options.output)
            claims = [c for c in claims if c.target in failed] if failed else claims
        return claims

    def _nothing(self) -> str:
        if self.options.keyword:
            return f"-k {self.options.keyword!r} matches no claim"
        names = ", ".join(self.options.targets)
        return f"{names}: no claim found; a claim is a function under gradient_of(...), vjp_of(...), ..."

    def _resumed(self) -> tuple[RunFolder, int] | None:
        """The last run, if it can be gone on with; what it recorded is kept."""
        found = kept.resumable(self.options.output, self.options.argv)
        if found is None:
            self.problems.append("--resume: the last run here ended, or was asked something else; starting anew")
            return None
        folder, record = found
        self.done.update({claim.target: claim for claim in record.claims})
        return folder, record.seed

    def _asked_of(self, claim: Listed) -> str:
        """The claim's code, and how it is judged: what decides its verdict, the seed apart."""
        options = self.options
        how = (self.backends, options.dtypes, options.precision, options.cases, options.full, options.seconds)
        return hashlib.sha256(f"{claim.fingerprint} {how}".encode()).hexdigest()[:32]

    def _open(self, seed: int, environment: Mapping[str, Any], resumed: Any) -> int:
        """Opens the run's folder, or joins it; the seed of the run."""
        asked = kept.asked(self.options.argv)
        if self.place is not None and self.place.rank:
            self.team = Team.join(self.place, self.options.output, asked)
            self.folder = self.team.folder
            started = self.folder.read()
            self.done = {claim.target: claim for claim in started.claims}
            return started.seed
        try:
            if resumed:
                self.folder = resumed[0]
            else:
                self.folder = RunFolder.create(self.options.output, seed, self.options.argv, environment)
        except ReportsError as error:
            if self.place is not None:
                raise
            self.problems.append(f"{error}; the results are shown here and not kept")
        if self.place is not None and self.folder is not None:
            self.team = Team.open(self.place, self.folder, asked)
        return seed

    # --- judging --------------------------------------------------------------------------------------------

    def _judge(self, pool: Pool, claims: list[Listed], seed: int, backends: tuple[str, ...]) -> None:
        options = self.options
        todo = [c for c in claims if c.target not in self.done]
        if not todo:
            return
        processors = max(1, (os.cpu_count() or 1) // (self.place.here if self.place else 1))
        count = 1 if len(todo) <= FEW else min(processors, len(todo))
        pool.grow(count)
        tasks = [(c, self._task(c, seed, backends, len(todo), count)) for c in todo]
        cases = options.cases or 4000

        def progress(claim: Listed, done: int) -> None:
            self.listener.progress(claim.target, done, cases)

        def enough() -> bool:
            stop = (options.exit_first and self.failed) or self._out_of_time()
            if self.team is not None:
                stop = stop or self.team.stopped
                self._collect(self.team)
            return stop

        for claim, judged, lost in pool.judge(tasks, progress, enough):
            record = judged.record if judged is not None else _lost(claim, lost or "was lost")
            record = replace(record, fingerprint=self._asked_of(claim))
            self._finished(record, judged.inputs if judged is not None else {})
        left = [c.target for c in todo if c.target not in self.done]
        if left and self._out_of_time():
            self._problem(f"--seconds {options.seconds:g} ran out before {len(left)} claims: {left[0]}, ...")

    def _task(
        self, claim: Listed, seed: int, backends: tuple[str, ...], total: int, workers: int
    ) -> Callable[[], tuple[Any, ...] | None]:
        def arguments() -> tuple[Any, ...] | None:
            from verify.budget import Budget

            if self.team is not None and not self.team.take(claim.target):
                return None

            seconds = None
            if self.options.seconds is not None:
                left = self.options.seconds - (time.monotonic() - self.start)
                seconds = max(0.2, left * workers / max(1, total - len(self.done)))
            budget = Budget(
                seed, self.options.cases, backends, self.options.dtypes, self.options.precision,
                self.options.full, seconds,
                compile_threads=1 if workers < (os.cpu_count() or 1) else 0,
                topologies=self.topologies,
            )  # fmt: skip
            return claim.place, claim.target, budget

        return arguments

    def _out_of_time(self) -> bool:
        return self.options.seconds is not None and time.monotonic() - self.start > self.options.seconds

    def _finished(self, record: ClaimRecord, inputs: Mapping[str, Any]) -> None:
        if self.folder is not None:
            try:
                if record.counterexample is not None and inputs:
                    self.folder.save_case(record.counterexample.id, inputs)
                self.folder.append_claim(record)
            except ReportsError as error:
                self._problem(f"{error}; the results are shown here and not kept")
                self.folder = None
        self.done[record.target] = record
        self.failed = self.failed or not (record.ok_when_strict if self.options.strict else record.ok)
        self.listener.finished(record)

    # --- with other processes ---------------------------------------------------------------------------------

    def _collect(self, team: Team) -> None:
        """Process 0 takes over what the others have recorded."""
        if team.place.rank == 0:
            for record in team.news():
                if record.target not in self.done:
                    self._finished(record, {})

    def _gather(self, team: Team, claims: list[Listed]) -> None:
        """Waits for the claims that others have taken; raises ProcessLost where one is gone with some."""
        if (self.options.exit_first and self.failed) or self._out_of_time():
            team.stop_all()
        while True:
            self._collect(team)
            taken = [c.target for c in claims if c.target not in self.done and team.taker(c.target) is not None]
            if not taken:
                return
            if (message := team.lost(taken)) is not None:
                self._collect(team)
                if any(target not in self.done for target in taken):
                    team.end()
                    raise ProcessLost(message)
            time.sleep(BEAT)

    def _record_of_all(self, team: Team) -> Record:
        """The record that process 0 gathers, in another process."""
        team.end()
        while not team.folder.ended:
            if team.gone(0):
                if team.folder.ended:
                    break
                raise ProcessLost(f"process 0 of {team.place.size} ended without a record of the run; {RESUME}")
            time.sleep(BEAT)
        return team.folder.read()

    def _data(self, pool: Pool, seed: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in self.options.data:
            self.listener.progress(f"data: {name}", 0, 1)
            try:
                judged, facts = pool.workers[0].call("data", name, seed)
            except (WorkerLost, RuntimeError) as error:
                self._problem(f"--data {name}: {str(error).removeprefix('DataError: ')}")
                self.load_failed = True
                continue
            found[name] = facts
            for one in judged:
                self._finished(one.record, one.inputs)
        return found

    def _problem(self, message: str) -> None:
        self.problems.append(message)
        self.listener.problem(message)


def _in_brief(environment: Mapping[str, Any]) -> dict[str, Any]:
    """What the head of a terminal report says of the environment; the record has it all."""
    versions = ", ".join(f"{k} {environment[k]}" for k in ("python", "jax", "numpy") if environment.get(k))
    names = ("devices", "backends", "compiled for", "git")
    return {"versions": versions, **{k: environment[k] for k in names if k in environment}}


def _lost(claim: Listed, why: str) -> ClaimRecord:
    cell = Cell("numpy", "float64", None, "eager", "error", reason=why)
    return ClaimRecord(
        claim.name, claim.module, claim.file, claim.line, claim.relation, "error",
        reason=f"judging it {why}; the other claims were judged", expected=claim.expect, cells=(cell,),
        target=claim.target, equation=claim.equation, form=claim.form,
    )  # fmt: skip


def _told_apart(claims: list[Listed]) -> list[Listed]:
    """Each claim once; two of one target and name get a number."""
    seen: dict[str, int] = {}
    found, places = [], set()
    for claim in claims:
        key = (claim.file, claim.line, claim.target)
        seen[claim.target] = seen.get(claim.target, 0) + 1
        if seen[claim.target] > 1:
            if key in places:
                continue
            claim = replace(claim, target=f"{claim.target}#{seen[claim.target]}")
        places.add(key)
        found.append(claim)
    return found


def list_claims(options: Options) -> tuple[list[Listed], list[str]]:
    """The claims found, and what could not be loaded."""
    listing = _Run(options, listener=None)  # type: ignore[arg-type]
    pool = Pool([])
    try:
        claims, _ = listing._load(pool)
    finally:
        pool.stop()
    return listing._selected(claims), listing.problems


def draft(target: str, relation: str | None, wrt: tuple[str, ...], folder: str | None) -> Any:
    """A starting file for a derivative of the user's function, drafted where the user's code may hang or die."""
    pool = Pool([])
    try:
        pool.grow(1)
        drafted = pool.workers[0].call("draft", target, relation, wrt, folder)
    except WorkerLost as lost:
        raise UsageError(f"{target}: loading it {lost}") from None
    finally:
        pool.stop()
    if isinstance(drafted, str):
        raise UsageError(drafted)
    return drafted


def replay(case_id: str, root: str) -> Replay:
    """Runs a recorded case again, in this process, from its stored bits."""
    from verify.replaying import replay_case

    folder = find_case(root, case_id)
    record = folder.read()
    found = [c for c in record.claims if c.counterexample is not None and c.counterexample.id == case_id]
    if not found:
        raise ReportsError(f"{folder.path}: the case {case_id} is stored, but its claim is not in the record")
    return replay_case(found[0], folder.load_case(case_id), record.seed)


def devices() -> list[dict[str, Any]]:
    """What is here, for ``verify devices``."""
    from verify.environment import devices as found

    for name, value in libtpu.settings().items():
        os.environ.setdefault(name, value)
    return found()
