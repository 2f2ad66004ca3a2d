"""A worker: a process of its own in which the user's code is loaded and judged.

It speaks length-prefixed pickles with its parent over pipes; what the user's code prints goes to standard error. Its
death or silence costs one claim, not the run.
"""

from __future__ import annotations

import gc
import os
import pickle
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any


@dataclass(frozen=True)
class Listed:
    """A claim as the parent knows it: where it is, and what its arguments are."""

    name: str
    target: str
    relation: str
    module: str
    file: str
    line: int
    expect: str | None
    arguments: Mapping[str, str]
    place: tuple[int, int]
    """Number of the target, number of the claim in it."""
    equation: str | None = None
    form: str | None = None
    fingerprint: str = ""
    files: tuple[str, ...] = ()
    """The user's files that the claim depends on."""


@dataclass(frozen=True)
class Loaded:
    """A target that was loaded: its claims and what went wrong."""

    claims: tuple[Listed, ...]
    problems: tuple[str, ...]


MOST_KEPT = 16
"""Claims after which JAX may forget what it has traced and compiled: kept, it fills gigabytes in a long run."""
NEW_OBJECTS = 20_000
"""After so many the garbage is collected, rather than after 700: tracing makes them by the hundred thousand."""
SCANNED = "scan:"
"""How the target of a rule begins that a scan found."""


def send(stream: IO[bytes], message: Any) -> None:
    data = pickle.dumps(message)
    rest = memoryview(struct.pack("<Q", len(data)) + data)
    while rest:
        rest = rest[stream.write(rest) :]


def receive(stream: IO[bytes]) -> Any:
    """The next message; EOFError when the other side is gone."""
    (size,) = struct.unpack("<Q", _exactly(stream, 8))
    return pickle.loads(_exactly(stream, size))


def _exactly(stream: IO[bytes], size: int) -> bytes:
    """Reads from an unbuffered stream: what a buffer had swallowed, a selector would not see."""
    parts, missing = [], size
    while missing:
        part = stream.read(missing)
        if not part:
            raise EOFError
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


class Worker:
    """Loads targets and judges claims on request."""

    def __init__(self, out: IO[bytes]):
        self.out = out
        self.home = os.getcwd()
        self.targets: list[list[Any]] = []
        self.judged = 0

    def load(self, target: Any) -> Loaded:
        from verify.sessions.collect import TargetError, collect

        if not isinstance(target, str):
            return self._load_package(target)
        try:
            claims, problems = collect(target)
        except TargetError as error:
            claims, problems = [], [str(error)]
        finally:
            os.chdir(self.home)  # the other targets are relative to where the command was typed
        number = len(self.targets)
        self.targets.append(claims)
        listed = tuple(self._listed(target, c, (number, i)) for i, c in enumerate(claims))
        return Loaded(listed, tuple(problems))

    def _load_package(self, package: Any) -> Loaded:
        """The rules of a package that is scanned; how to call each is worked out when its turn comes."""
        from verify.scan.call import waiting_in

        waiting, problems = waiting_in(package)
        number = len(self.targets)
        self.targets.append(waiting)
        listed = tuple(
            Listed(
                str(w.place), w.target, "custom rule", w.place.module, w.place.file, w.place.line, None, {}, (number, i)
            )
            for i, w in enumerate(waiting)
        )
        return Loaded(listed, tuple(problems))

    def _listed(self, target: str, claim: Any, place: tuple[int, int]) -> Listed:
        from verify.drawing.fingerprint import fingerprint
        from verify.drawing.signature import signature_of
        from verify.drawing.specification import SignatureError

        base = target.partition("::")[0]
        shown = base if base.endswith(".py") else claim.module
        try:
            arguments = {k: str(s) for k, s in signature_of(claim).arguments.items()}
        except SignatureError as error:
            arguments = {"?": str(error)}
        code = fingerprint(claim)
        return Listed(
            claim.name, f"{shown}::{claim.name}", claim.relation, claim.module, claim.file, claim.line,
            claim.expect, arguments, place, claim.equation, claim.form, code.digest, code.files,
        )  # fmt: skip

    def judge(self, place: tuple[int, int], target: str, budget: Any) -> Any:
        from dataclasses import replace

        import jax

        from verify.verdict.judge import CASES, judge

        self.judged += 1
        if self.judged % MOST_KEPT == 0:
            jax.clear_caches()
        claim = self.targets[place[0]][place[1]]
        told = lambda cases: send(self.out, ("progress", cases))  # noqa: E731
        if target.startswith(SCANNED):
            from verify.scan.judge import judge_rule

            return judge_rule(claim, target, budget, told)
        if claim.equation is not None and budget.cases is None:
            budget = replace(budget, cases=CASES)  # a line of a text, in float64 alone: the share of one dtype
        judged = judge(claim, budget, report=told)
        return replace(judged, record=replace(judged.record, target=target))

    def draft(self, *asked: Any) -> Any:
        """The starting file that ``verify new`` writes, or the message that says why there is none."""
        from verify.drafting.draft import DraftError, draft

        try:
            return draft(*asked)
        except DraftError as error:
            return str(error)

    def warm(self) -> None:
        """Imports what is heavy, before anybody waits for it."""
        import jax

        import verify.sessions.collect
        import verify.verdict.judge
        import verify.verdict.selftest  # noqa: F401

        jax.devices()
        gc.freeze()  # JAX is a million objects that need not be looked through again and again
        gc.set_threshold(NEW_OBJECTS, 10, 10)
        gc.enable()

    def header(self) -> dict[str, Any]:
        from verify.cells.libtpu import topologies
        from verify.sessions.environment import backends_here, environment

        return {"environment": environment(), "backends": backends_here(), "topologies": topologies()}

    def self_test(self, seed: int) -> list[str]:
        from verify.verdict.selftest import self_test

        return list(self_test(seed))

    def data(self, name: str, seed: int) -> Any:
        from verify.data import judge_data

        return judge_data(name, seed, told=lambda done: send(self.out, ("progress", done)))


def main() -> None:
    """Serves requests ``(method, *arguments)`` until the parent hangs up."""
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    requests = os.fdopen(os.dup(0), "rb", buffering=0)
    os.dup2(2, 1)  # what the user's code prints must not disturb the protocol
    sys.stdout = sys.stderr
    if "" not in sys.path:
        sys.path.insert(0, "")
    gc.disable()  # until all is imported
    worker = Worker(out)
    while True:
        try:
            method, *arguments = receive(requests)
        except EOFError:
            return
        try:
            answer = ("answer", getattr(worker, method)(*arguments))
        except BaseException as error:  # Ctrl-C does not reach workers: KeyboardInterrupt is the user's code's
            if os.environ.get("VERIFY_TRACEBACK"):
                import traceback

                traceback.print_exc()
            answer = ("failed", f"{type(error).__name__}: {error}".removesuffix(": "))
        try:
            send(out, answer)
        except BrokenPipeError:  # the parent is gone
            return


