"""A session: what ``verify run``, ``list``, ``replay`` and ``devices`` do, without a terminal.

The parent process never loads the user's code, nor JAX: workers do, and a run is written down claim by claim.
"""

from __future__ import annotations

import ast
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from verify import compile_cache
from verify.pool import Pool, WorkerLost
from verify.record import Cell, ClaimRecord, Record, exit_code_of
from verify.runs import ReportsError, RunFolder, find_case, latest, runs
from verify.scan.found import Package
from verify.worker import Listed

MOST_RUNS = 40
"""Past runs in which the outcome of an unchanged claim is looked for."""
UNCHANGED = "nothing that it depends on has changed since run"
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
    failed: bool = False

    def run(self) -> Record:
        options = self.options
        resumed = self._resumed() if options.resume else None
        seed = options.seed if options.seed is not None else resumed[1] if resumed else secrets.randbelow(2**32)
        started = datetime.now(UTC).isoformat(timespec="seconds")
        pool = self.pool
        try:
            claims, header = self._load(pool)
            backends = self.backends = self._backends(header["backends"])
            claims = self._selected(claims)
            self.listener.loaded(tuple(sorted({f for c in claims for f in c.files})))
            if not claims and not options.data:
                if self.load_failed:
                    raise UsageError("; ".join(self.problems))
                raise NothingToRun("; ".join(self.problems) or self._nothing())
            environment = {**header["environment"], "backends": backends}
            self._open(seed, environment, resumed)
            shown = {**_in_brief(environment), "seed": seed}
            if self.folder is not None:
                shown["folder"] = str(self.folder.path)
            if options.data:
                shown["data"] = ", ".join(options.data)
            self.listener.started(len(claims), shown)
            for message in self.problems:
                self.listener.problem(message)
            faults = pool.workers[0].call("self_test", seed)
            for message in faults:
                self._problem(message)
            for claim in claims:
                if claim.target in self.done:
                    self.listener.finished(self.done[claim.target])
            if options.changed:
                self._keep_unchanged(claims)
            self._judge(pool, claims, seed, backends)
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
            except WorkerLost as lost:
                self.problems.append(f"{target}: loading it {lost}")
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
        return _told_apart(claims), pool.workers[0].call("header")

    def _backends(self, here: tuple[str, ...]) -> tuple[str, ...]:
        asked = self.options.backends
        if asked is None:
            return here
        absent = [b for b in asked if b not in here]
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
            failed = self._last_failed()
            claims = [c for c in claims if c.target in failed] if failed else claims
        return claims

    def _last_failed(self) -> set[str]:
        try:
            return {c.target for c in latest(self.options.output).read().claims if not c.ok}
        except ReportsError:
            return set()

    def _nothing(self) -> str:
        if self.options.keyword:
            return f"-k {self.options.keyword!r} matches no claim"
        names = ", ".join(self.options.targets)
        return f"{names}: no claim found; a claim is a function under gradient_of(...), vjp_of(...), ..."

    def _resumed(self) -> tuple[RunFolder, int] | None:
        """The last run, if it did not end and was asked the same; what it recorded is kept."""
        for folder in runs(self.options.output)[:1]:
            record = folder.read()
            if (folder.path / "run.json").exists() or _asked(record.argv) != _asked(self.options.argv):
                break
            for claim in record.claims:
                self.done[claim.target] = claim
            return folder, record.seed
        self.problems.append("--resume: the last run here ended, or was asked something else; starting anew")
        return None

    def _asked_of(self, claim: Listed) -> str:
        """The claim's code, and how it is judged: what decides its verdict, the seed apart."""
        options = self.options
        how = (self.backends, options.dtypes, options.precision, options.cases, options.full, options.seconds)
        return hashlib.sha256(f"{claim.fingerprint} {how}".encode()).hexdigest()[:32]

    def _keep_unchanged(self, claims: list[Listed]) -> None:
        """Takes over the outcome of every claim that was judged before and has not changed since."""
        wanted = {c.target: self._asked_of(c) for c in claims if c.target not in self.done}
        for folder in runs(self.options.output)[:MOST_RUNS]:
            if not wanted:
                return
            if self.folder is not None and folder.path == self.folder.path:
                continue
            try:
                before = folder.read().claims
            except ReportsError:
                continue
            for record in before:
                if record.target in wanted and record.verdict != "error":
                    if wanted[record.target] == record.fingerprint:
                        self._take_over(record, folder.id)
                    del wanted[record.target]  # only the latest outcome counts

    def _take_over(self, record: ClaimRecord, run: str) -> None:
        if not any(note.startswith(UNCHANGED) for note in record.notes):
            record = replace(record, notes=(*record.notes, f"{UNCHANGED} {run}"))
        self._finished(record, {})

    def _open(self, seed: int, environment: Mapping[str, Any], resumed: Any) -> None:
        try:
            if resumed:
                self.folder = resumed[0]
            else:
                self.folder = RunFolder.create(self.options.output, seed, self.options.argv, environment)
        except ReportsError as error:
            self.problems.append(f"{error}; the results are shown here and not kept")

    # --- judging --------------------------------------------------------------------------------------------

    def _judge(self, pool: Pool, claims: list[Listed], seed: int, backends: tuple[str, ...]) -> None:
        options = self.options
        todo = [c for c in claims if c.target not in self.done]
        if not todo:
            return
        count = 1 if len(todo) <= FEW else min(os.cpu_count() or 1, len(todo))
        pool.grow(count)
        tasks = [(c, self._task(c, seed, backends, len(todo), count)) for c in todo]
        cases = options.cases or 4000

        def progress(claim: Listed, done: int) -> None:
            self.listener.progress(claim.target, done, cases)

        def enough() -> bool:
            return (options.exit_first and self.failed) or self._out_of_time()

        for claim, judged, lost in pool.judge(tasks, progress, enough):
            record = judged.record if judged is not None else _lost(claim, lost or "was lost")
            record = replace(record, fingerprint=self._asked_of(claim))
            self._finished(record, judged.inputs if judged is not None else {})
        left = [c.target for c in todo if c.target not in self.done]
        if left and self._out_of_time():
            self._problem(f"--seconds {options.seconds:g} ran out before {len(left)} claims: {left[0]}, ...")

    def _task(
        self, claim: Listed, seed: int, backends: tuple[str, ...], total: int, workers: int
    ) -> Callable[[], tuple[Any, ...]]:
        def arguments() -> tuple[Any, ...]:
            from verify.budget import Budget

            seconds = None
            if self.options.seconds is not None:
                left = self.options.seconds - (time.monotonic() - self.start)
                seconds = max(0.2, left * workers / max(1, total - len(self.done)))
            budget = Budget(
                seed, self.options.cases, backends, self.options.dtypes, self.options.precision,
                self.options.full, seconds,
                compile_threads=1 if workers < (os.cpu_count() or 1) else 0,
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
    return {"versions": versions, **{k: environment[k] for k in ("devices", "backends", "git")}}


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


SHOWN: dict[str, int] = {"--resume": 0, "-q": 0, "-v": 0, "--color": 1, "--json": 1, "--junit": 1}
"""Options that say how a run is shown, not what is judged, and how many words follow each."""


def _asked(argv: tuple[str, ...]) -> tuple[str, ...]:
    """What a command line asks to be judged: a run is resumed only by one that asks the same."""
    asked, words = [], iter(argv)
    for word in words:
        name, assigned, _ = word.partition("=")
        if name not in SHOWN:
            asked.append(word)
        elif not assigned:
            for _ in range(SHOWN[name]):
                next(words, None)
    return tuple(asked)


def keyword(expression: str) -> Callable[[str], bool]:
    """pytest's -k: names combined with and, or, not; a name matches if it occurs in the claim's."""
    import re

    words = re.findall(r"[^\s()]+", expression)
    source = expression
    named: dict[str, str] = {}
    for word in dict.fromkeys(words):
        if word in ("and", "or", "not"):
            continue
        variable = f"w{len(named)}"
        named[variable] = word.lower()
        source = re.sub(rf"(?<![^\s()]){re.escape(word)}(?![^\s()])", variable, source)
    try:
        tree = ast.parse(source.strip(), mode="eval")
    except SyntaxError:
        raise UsageError(f"-k {expression!r} is no expression; wanted e.g. 'ridge and not solution'") from None
    allowed = (ast.Expression, ast.BoolOp, ast.UnaryOp, ast.And, ast.Or, ast.Not, ast.Name, ast.Load)
    if any(not isinstance(node, allowed) for node in ast.walk(tree)):
        raise UsageError(f"-k {expression!r}: only names, and, or, not and parentheses are understood")

    def holds(node: Any, name: str) -> bool:
        if isinstance(node, ast.Expression):
            return holds(node.body, name)
        if isinstance(node, ast.BoolOp):
            combine = all if isinstance(node.op, ast.And) else any
            return combine(holds(v, name) for v in node.values)
        if isinstance(node, ast.UnaryOp):
            return not holds(node.operand, name)
        return named[node.id] in name

    return lambda name: holds(tree, name.lower())


def list_claims(options: Options) -> tuple[list[Listed], list[str]]:
    """The claims found, and what could not be loaded."""
    listing = _Run(options, listener=None)  # type: ignore[arg-type]
    pool = Pool([])
    try:
        claims, _ = listing._load(pool)
    finally:
        pool.stop()
    return listing._selected(claims), listing.problems


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

    return found()
