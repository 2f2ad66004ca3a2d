"""The record of a run: what ``--json`` writes and every report reads. Pure Python, no JAX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA = 1

Verdict = Literal[
    "agrees", "wrong", "inaccurate", "reference_wrong", "convention", "unresolved", "error"
]
CellVerdict = Literal[
    "agrees", "wrong", "inaccurate", "reference_wrong", "convention", "unresolved", "error",
    "skipped", "compiled_only",
]  # fmt: skip

# Among the cells of a claim the worst decides; `skipped` and `compiled_only` never do.
WORST_FIRST: tuple[Verdict, ...] = (
    "wrong", "error", "inaccurate", "unresolved", "reference_wrong", "convention", "agrees",
)  # fmt: skip


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong: a kind (CONTRACT, "Diagnosis kinds"), a sentence to act on, and the evidence."""

    kind: str
    text: str
    value: str | None = None
    evidence: str | None = None


@dataclass(frozen=True)
class Cell:
    """One backend, dtype, precision and mode of a claim.

    ``worst_error`` is the largest relative error of an entry seen, ``bound`` what the arithmetic explains there,
    ``smallest_visible_error`` the smallest relative error in one entry that this cell would have seen.
    ``engine`` says what evaluated it (``symbolic``, ``concrete``, ``jax``), ``reason`` why it ended so.
    """

    backend: str
    dtype: str
    precision: str | None
    mode: str
    verdict: CellVerdict
    cases: int = 0
    fresh_shapes: int = 0
    worst_error: float | None = None
    bound: float | None = None
    smallest_visible_error: float | None = None
    engine: str | None = None
    reason: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Counterexample:
    """The simplest failing case found. Arrays are nested lists, keyed by argument (``params[0].W``)."""

    id: str
    dims: Mapping[str, int]
    dtype: str
    inputs: Mapping[str, Any]
    hand: Any
    reference: Any
    oracle: Any
    backend: str = "numpy"
    mode: str = "eager"


@dataclass(frozen=True)
class ClaimRecord:
    """The outcome of one claim. ``str(outcome)`` is the readable explanation; ``outcome.ok`` whether it passes."""

    name: str
    module: str
    file: str
    line: int
    relation: str
    verdict: Verdict
    diagnosis: Diagnosis | None = None
    diagnoses: tuple[Diagnosis, ...] = ()
    notes: tuple[str, ...] = ()
    reason: str | None = None
    expected: str | None = None
    equation: str | None = None
    form: str | None = None
    cases: int = 0
    fresh_shapes: int = 0
    entries: Mapping[str, float] = field(default_factory=lambda: {"median": 0, "max": 0})
    seconds: float = 0.0
    smallest_visible_error: float | None = None
    cells: tuple[Cell, ...] = ()
    counterexample: Counterexample | None = None
    replay: str | None = None
    target: str = ""
    """What to paste after ``verify run`` to judge this claim alone: ``path.py::name``."""


@dataclass(frozen=True)
class Record:
    """A whole run."""

    claims: tuple[ClaimRecord, ...]
    exit_code: int
    argv: tuple[str, ...]
    seed: int
    environment: Mapping[str, Any]
    seconds: float = 0.0
    started: str = ""
    problems: tuple[str, ...] = ()
    """Targets that could not be loaded, devices that are absent, workers that died: one message each."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Results on real data (``--data``), by name."""
    schema: int = SCHEMA
