"""The pool: workers, each with limits on silence and memory. A claim that hangs or dies is named; the rest goes on."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from verify.cells import compile_cache, libtpu
from verify.options import limit
from verify.sessions.worker import receive, send


def _machine() -> float:
    """Its memory in GiB."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    except (ValueError, OSError, AttributeError):
        return 16.0


SILENCE = limit("VERIFY_SILENCE_SECONDS", 90)
"""Seconds without a sign of life after which a worker is stopped."""
IMPORTS = max(SILENCE, 90)
"""The same for what is ours, on a machine that is busy."""
MEMORY = limit("VERIFY_MEMORY_GIB", min(6, _machine() * 3 / 8)) * 2**30
"""Of a worker; there are several."""
POLL = 0.25
SEQUENTIAL = "--xla_cpu_enable_concurrency_optimized_scheduler=false"
"""Two batched LAPACK calls at once wait for each other for ever in XLA's thread pool on a machine of two cores."""
KNOWN_JAXLIB = (0, 13)
"""XLA refuses a flag that it does not know: from this version on it is not set."""


class WorkerLost(Exception):
    """The worker was stopped, or died; the message says why."""


def _flags() -> str:
    flags = os.environ.get("XLA_FLAGS", "")
    jaxlib = tuple(int(n) for n in version("jaxlib").split(".")[:2])
    return f"{flags} {SEQUENTIAL}".strip() if jaxlib < KNOWN_JAXLIB and SEQUENTIAL.split("=")[0] not in flags else flags


@dataclass
class Remote:
    """One worker process and what it is doing."""

    targets: Sequence[str]
    process: subprocess.Popen[bytes] = field(init=False)
    busy: Any = None
    since: float = 0.0

    def __post_init__(self) -> None:
        self.start()

    @staticmethod
    def environment() -> dict[str, str]:
        """The environment of a process that loads the user's code."""
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH", "")) if p)
        return {
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            "TF_CPP_MIN_LOG_LEVEL": "2",
            **compile_cache.settings(),
            **libtpu.settings(),
            **os.environ,
            "XLA_FLAGS": _flags(),
            "PYTHONPATH": path,
        }

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from verify.sessions.worker import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=self.environment(),
            start_new_session=True,  # Ctrl-C reaches the parent alone, which then stops its workers
        )
        self.busy = None

    def ask(self, method: str, *arguments: Any) -> None:
        assert self.process.stdin is not None
        self.since = time.monotonic()
        try:
            send(self.process.stdin, (method, *arguments))
        except OSError:
            raise WorkerLost(self._how_it_died()) from None

    def answer(self) -> tuple[str, Any]:
        """The next message; blocks until there is one."""
        assert self.process.stdout is not None
        try:
            kind, content = receive(self.process.stdout)
        except EOFError:
            raise WorkerLost(self._how_it_died()) from None
        self.since = time.monotonic()
        return kind, content

    def call(self, method: str, *arguments: Any, silence: float | None = None) -> Any:
        """One request, answered; stopped at the limits."""
        self.ask(method, *arguments)
        selector = selectors.DefaultSelector()
        assert self.process.stdout is not None
        selector.register(self.process.stdout, selectors.EVENT_READ)
        while True:
            if selector.select(POLL):
                kind, content = self.answer()
                if kind == "answer":
                    return content
                if kind == "failed":
                    raise RuntimeError(content)
            self.check(silence)

    def check(self, silence: float | None = None) -> None:
        """Stops the worker if it is beyond a limit."""
        quiet, most = time.monotonic() - self.since, silence or SILENCE
        if quiet > most:
            self.stop()
            raise WorkerLost(f"made no progress for {most:.0f} s and was stopped")
        used = self._memory()
        if used > MEMORY:
            self.stop()
            raise WorkerLost(f"used {used / 2**30:.1f} GiB of memory (limit {MEMORY / 2**30:.2g}) and was stopped")

    def _memory(self) -> int:
        try:
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        except (OSError, ValueError, IndexError):  # no /proc here: no limit
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")

    def _how_it_died(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        code = self.process.returncode
        if code is not None and code < 0:
            return f"ended its process by {signal.Signals(-code).name}"
        return f"ended its process (exit code {code})"

    def stop(self) -> None:
        with suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL)
        with suppress(OSError, subprocess.TimeoutExpired):
            self.process.wait(5)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()


@dataclass
class Pool:
    """Some workers that have loaded the same targets."""

    targets: Sequence[str]
    workers: list[Remote] = field(default_factory=list)

    def grow(self, count: int) -> None:
        """To ``count`` workers, or fewer where targets that have loaded once do not load again."""
        while len(self.workers) < count:
            try:
                self.workers.append(self._fresh())
            except WorkerLost:
                if not self.workers:
                    raise
                return

    def _fresh(self) -> Remote:
        worker = Remote(self.targets)
        try:
            self._reload(worker)
        except WorkerLost:
            worker.stop()
            raise
        return worker

    def _reload(self, worker: Remote) -> None:
        try:
            for target in self.targets:
                worker.call("load", target)
            if self.targets:
                worker.call("warm", silence=IMPORTS)  # or the first claim would be taken to hang meanwhile
        except RuntimeError as error:
            raise WorkerLost(f"raised {error}") from None

    def judge(
        self,
        tasks: Sequence[tuple[Any, Callable[[], tuple[Any, ...] | None]]],
        progress: Callable[[Any, int], None],
        enough: Callable[[], bool],
    ) -> Iterator[tuple[Any, Any, str | None]]:
        """Runs tasks ``(key, arguments)`` on all workers; yields ``(key, answer, why lost)`` as they end."""
        waiting = list(reversed(tasks))
        selector = selectors.DefaultSelector()
        for worker in tuple(self.workers):
            self._listen(selector, worker)
            yield from self._next(selector, worker, waiting, enough)
        while any(w.busy is not None for w in self.workers):
            for event, _ in selector.select(POLL):
                worker = event.data
                if worker.busy is None:
                    continue
                try:
                    kind, content = worker.answer()
                except WorkerLost as lost:
                    yield self._replaced(selector, worker, str(lost))
                    yield from self._next(selector, worker, waiting, enough)
                    continue
                if kind == "progress":
                    progress(worker.busy, content)
                    continue
                key, worker.busy = worker.busy, None
                yield (key, content, None) if kind == "answer" else (key, None, f"raised {content}")
                yield from self._next(selector, worker, waiting, enough)
            for worker in tuple(self.workers):
                if worker.busy is None:
                    continue
                try:
                    worker.check()
                except WorkerLost as lost:
                    yield self._replaced(selector, worker, str(lost))
                    yield from self._next(selector, worker, waiting, enough)
        if not self.workers and not enough():
            yield from ((key, None, "was not begun: no process that has its target is left") for key, _ in waiting)

    def _listen(self, selector: selectors.BaseSelector, worker: Remote) -> None:
        assert worker.process.stdout is not None
        selector.register(worker.process.stdout, selectors.EVENT_READ, worker)

    def _next(
        self, selector: selectors.BaseSelector, worker: Remote, waiting: list[Any], enough: Callable[[], bool]
    ) -> Iterator[tuple[Any, Any, str]]:
        """Gives a worker its next task; yields those at whose beginning it was found dead."""
        while worker in self.workers and waiting and not enough():
            key, arguments = waiting.pop()
            asked = arguments()
            if asked is None:  # another process has taken it
                continue
            worker.busy = key
            try:
                worker.ask("judge", *asked)
                return
            except WorkerLost as lost:
                yield self._replaced(selector, worker, str(lost))

    def _replaced(self, selector: selectors.BaseSelector, worker: Remote, why: str) -> tuple[Any, Any, str]:
        """A fresh process in place of a lost one; one worker fewer if what it had loaded does not load again."""
        key, worker.busy = worker.busy, None
        with suppress(KeyError, ValueError):
            assert worker.process.stdout is not None
            selector.unregister(worker.process.stdout)
        worker.stop()
        worker.start()
        try:
            self._reload(worker)
        except WorkerLost:
            worker.stop()
            self.workers.remove(worker)
        else:
            self._listen(selector, worker)
        return key, None, why

    def stop(self) -> None:
        for worker in self.workers:
            worker.stop()
