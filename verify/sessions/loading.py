"""Loads targets in a worker: the claims that they hold, and what that worker says of the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from verify.sessions.pool import IMPORTS, Pool, WorkerLost
from verify.sessions.request import NothingToRun
from verify.sessions.worker import Listed


@dataclass(frozen=True)
class Found:
    """What the targets hold, and what is here to judge it on."""

    claims: tuple[Listed, ...]
    problems: tuple[str, ...]
    unloaded: bool
    """Whether something asked for could not be loaded."""
    environment: Mapping[str, Any]
    backends: tuple[str, ...]
    topologies: tuple[str, ...]
    """The TPUs that can be compiled for."""


def load(pool: Pool, targets: Sequence[Any]) -> Found:
    """Loads each target in the pool's first worker; workers to come load those that did."""
    claims: list[Listed] = []
    problems: list[str] = []
    loaded: list[Any] = []
    unloaded = False
    pool.grow(1)
    for target in targets:
        try:
            answer = pool.workers[0].call("load", target)
        except (WorkerLost, RuntimeError) as lost:
            problems.append(f"{target}: loading it {_why(lost)}")
            unloaded = True
            pool.workers[0].stop()
            pool.targets = loaded
            pool.workers.clear()
            pool.grow(1)
            continue
        number = len(loaded)
        loaded.append(target)
        claims += [replace(c, place=(number, c.place[1])) for c in answer.claims]
        problems += answer.problems
        unloaded = unloaded or bool(answer.problems)
    pool.targets = loaded
    try:
        header = pool.workers[0].call("header", silence=IMPORTS)
    except (WorkerLost, RuntimeError) as error:
        raise NothingToRun(
            f"looking for devices {_why(error)}; JAX_PLATFORMS and XLA_FLAGS, if set, must suit this machine"
        ) from None
    return Found(
        tuple(_told_apart(claims)), tuple(problems), unloaded,
        header["environment"], header["backends"], header["topologies"],
    )  # fmt: skip


def _why(error: WorkerLost | RuntimeError) -> str:
    return str(error) if isinstance(error, WorkerLost) else f"raised {error}"


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
