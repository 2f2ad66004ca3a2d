"""What ``verify bench`` measured, as written to ``bench.json``. No JAX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from verify.records.serial import RecordError, build, load, parse

SCHEMA = 1
FLOOR, OURS, OURS_TWICE = "floor", "verify", "verify, two processes"
AUTOGRAD = "autograd"


@dataclass(frozen=True)
class Speed:
    """Fresh shapes a second of one tool on one function: one rate a repetition, all tools taking turns."""

    function: str
    tool: str
    rates: tuple[float, ...]
    cases: int


@dataclass(frozen=True)
class Stage:
    """Where ``verify`` spends a case: microseconds; ``total`` is that of whole batches, and ``setup`` the seconds in
    which a claim is traced, translated and judged for the first time, once."""

    function: str
    draw: float
    evaluate: float
    compare: float
    total: float
    setup: float


@dataclass(frozen=True)
class Sensitivity:
    """What one tool said of a rule with a planted mistake. ``visible`` are the cases in which the mistake changes the
    result by more than rounding; of those ``noticed`` were complained about. ``largest_missed`` is the largest
    relative change of an entry in a visible case that was not noticed; ``verdict`` is of the claim as a whole."""

    function: str
    tool: str
    mistake: float
    cases: int
    visible: int
    noticed: int
    largest_missed: float | None = None
    verdict: str | None = None


@dataclass(frozen=True)
class Accusation:
    """How often one tool complained about the correct rule."""

    function: str
    tool: str
    cases: int
    accused: int
    verdict: str | None = None


@dataclass(frozen=True)
class SizePoint:
    """Seconds a case of so many input entries: median over ``cases`` of ``verify`` and of the floor."""

    function: str
    work: str
    entries: int
    verify: float
    floor: float
    cases: int


@dataclass(frozen=True)
class ClaimsPoint:
    """Seconds of ``verify run``, from the start of its process to its end, on the first claims of the catalogue."""

    claims: int
    cases: int
    seconds: float


@dataclass(frozen=True)
class Bench:
    """One run of ``verify bench``. ``titles`` and ``terms`` describe the functions; a part that was not asked for is
    empty; ``absent`` are the peers that are not installed."""

    argv: tuple[str, ...]
    seed: int
    quick: bool
    environment: Mapping[str, Any]
    started: str
    seconds: float
    titles: Mapping[str, str]
    terms: Mapping[str, str]
    absent: Mapping[str, str] = field(default_factory=dict)
    batch: int = 0
    """Cases that ``verify`` judges at once where its speed is measured."""
    speed: tuple[Speed, ...] = ()
    stages: tuple[Stage, ...] = ()
    sensitivity: tuple[Sensitivity, ...] = ()
    accusations: tuple[Accusation, ...] = ()
    sizes: tuple[SizePoint, ...] = ()
    claims: tuple[ClaimsPoint, ...] = ()
    schema: int = SCHEMA


def read_bench(path: str | Path) -> Bench:
    """The record in a file. Raises ``RecordError`` where it cannot be read."""
    return bench_from(load(Path(path)), str(path))


def bench_from(content: Any, where: str) -> Bench:
    try:
        found = build(Bench, parse(content, where) if isinstance(content, str) else content, "")
    except RecordError as error:
        raise RecordError(f"{where}: {error}; `verify bench` writes a new one") from None
    if found.schema != SCHEMA:
        raise RecordError(f"{where}: has schema {found.schema}, and this version reads {SCHEMA}")
    return found
