"""Fresh shapes a second: every tool in turn, on every function, several times over."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from statistics import median
from threading import Thread
from time import perf_counter

import jax
import numpy as np
from threadpoolctl import threadpool_limits

from verify.bench import floor, ours, peers
from verify.bench.function import Function
from verify.bench.functions import FUNCTIONS
from verify.bench.plan import Plan, Tell
from verify.bench.record import FLOOR, OURS, OURS_TWICE, Speed, Stage
from verify.tracing.engine import Engine

PROCESSES = 2
Run = Callable[[int], tuple[int, float]]
"""From the number of the repetition to the cases judged and the seconds that they took."""


@dataclass
class _Tool:
    run: Run
    rates: list[float] = field(default_factory=list)
    cases: int = 0

    def take_a_turn(self, repetition: int) -> None:
        cases, seconds = self.run(repetition)
        self.rates.append(cases / seconds)
        self.cases += cases


def speed(functions: Sequence[Function], seed: int, plan: Plan, tell: Tell) -> tuple[list[Speed], list[Stage]]:
    """The rate of every tool that is here, and where ours spends a case."""
    speeds, stages = [], []
    with _processes([f.name for f in functions], seed) as both:
        for function in functions:
            tell(f"speed: {function.title}")
            start = perf_counter()
            engine = ours.prepared(function.claim, seed)
            setup = perf_counter() - start
            tools = {t: _Tool(run) for t, run in _runs(function, engine, both, seed, plan)}
            for repetition in range(plan.repetitions):
                for tool in tools.values():
                    tool.take_a_turn(repetition)
            speeds += [Speed(function.name, n, tuple(t.rates), t.cases) for n, t in tools.items()]
            step = ours.stages(ours.reseeded(engine, seed), plan.batch)
            draw, evaluate, compare = (1e6 * s for s in (step.draw, step.evaluate, step.compare))
            stages.append(Stage(function.name, draw, evaluate, compare, 1e6 / median(tools[OURS].rates), setup))
    return speeds, stages


def _runs(
    function: Function, engine: Engine, both: Sequence[ProcessPoolExecutor], seed: int, plan: Plan
) -> Iterator[tuple[str, Run]]:
    yield FLOOR, _until(lambda rng: floor.is_right(function, rng), seed, plan.share)

    def alone(repetition: int) -> tuple[int, float]:
        found = ours.judged(ours.reseeded(engine, seed + 1 + repetition), plan.batch)
        return found.cases, found.seconds

    def together(repetition: int) -> tuple[int, float]:
        seeds = [seed + 1000 + PROCESSES * repetition + i for i in range(PROCESSES)]
        start = perf_counter()
        asked = [p.submit(_in_process, function.name, s, plan.batch) for p, s in zip(both, seeds, strict=True)]
        return sum(a.result() for a in asked), perf_counter() - start

    yield OURS, alone
    yield OURS_TWICE, together
    for tool in peers.HOMES:
        if check := peers.check_of(tool, function):
            warm = np.random.default_rng([seed, 0, 1])  # shapes that no turn meets again
            check(function.draw(warm))
            yield tool, _until(lambda rng, check=check: check(function.draw(rng)), seed, plan.share)


def _until(one: Callable[[np.random.Generator], object], seed: int, share: float) -> Run:
    """Cases one after the other until the share of time is used; at least one."""

    def run(repetition: int) -> tuple[int, float]:
        rng, cases, start = np.random.default_rng([seed, 1 + repetition]), 0, perf_counter()
        while cases == 0 or perf_counter() - start < share:
            one(rng)
            cases += 1
        return cases, perf_counter() - start

    return run


# --- Two processes ----------------------------------------------------------------------------------------

_ENGINES: dict[str, Engine] = {}


@contextmanager
def _processes(names: Sequence[str], seed: int) -> Iterator[list[ProcessPoolExecutor]]:
    """Processes with warm engines. Each has an executor of its own, so that each gets its half."""
    context = get_context("spawn")
    with ExitStack() as stack:
        pools = [stack.enter_context(ProcessPoolExecutor(1, context, _set_up)) for _ in range(PROCESSES)]
        for ready in [pool.submit(_warm, tuple(names), seed) for pool in pools]:
            ready.result()
        yield pools


def _set_up() -> None:
    """Ctrl-C is the parent's business, and so is a GPU; when the parent is killed, nobody would end this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    jax.config.update("jax_platforms", "cpu")
    Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    if parent := parent_process():
        parent.join()
        os._exit(1)


def _warm(names: Sequence[str], seed: int) -> None:
    threadpool_limits(1, "blas")
    np.seterr(all="ignore")
    for name in names:
        _ENGINES[name] = ours.prepared(FUNCTIONS[name].claim, seed)


def _in_process(name: str, seed: int, cases: int) -> int:
    return ours.judged(ours.reseeded(_ENGINES[name], seed), cases).cases
