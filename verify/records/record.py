"""The record of a run: what ``--json`` writes and every report reads. Pure Python, no JAX."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from verify.figure_data.figures import Figures, Source
from verify.records.serial import RecordError, build, dump, load, plain

__all__ = [
    "Cell", "ClaimRecord", "Counterexample", "Diagnosis", "Record", "RecordError", "Verdict", "exit_code_of",
    "read_record", "write_record",
]  # fmt: skip

SCHEMA = 1

Verdict = Literal["agrees", "wrong", "inaccurate", "reference_wrong", "convention", "unresolved", "error"]
CellVerdict = Literal[
    "agrees", "wrong", "inaccurate", "reference_wrong", "convention", "unresolved", "error",
    "skipped", "compiled_only",
]  # fmt: skip

# Among the cells of a claim the worst decides; `skipped` and `compiled_only` never do.
WORST_FIRST: tuple[Verdict, ...] = (
    "wrong", "error", "inaccurate", "unresolved", "reference_wrong", "convention", "agrees",
)  # fmt: skip
PASSING = frozenset({"agrees", "convention", "reference_wrong", "unresolved"})
DID_NOT_RUN = frozenset({"skipped", "compiled_only"})

ALL_AGREE, SOME_WRONG, INTERRUPTED, INTERNAL_ERROR, BAD_USAGE, NOTHING_RAN = range(6)
"""Exit codes, as in pytest."""


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong: a kind (CONTRACT, "Diagnosis kinds"), a sentence to act on, and the evidence."""

    kind: str
    text: str
    value: str | None = None
    evidence: str | None = None


@dataclass(frozen=True)
class CompiledProgram:
    """One side of a claim (``hand`` or ``reference``) compiled for a device that was not there (``target``: ``v5e``).

    ``demotions`` says what it computes in less precision than was asked for.
    """

    side: Literal["hand", "reference"]
    target: str
    flops: float | None
    argument_bytes: int
    temporary_bytes: int
    demotions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cell:
    """One backend, dtype, precision and mode of a claim.

    ``worst_error`` is the largest relative error of an entry seen, ``bound`` what the arithmetic explains
    there, ``smallest_visible_error`` the smallest relative error in one entry that this cell would have seen.
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
    predicted_error: float | None = None
    """Where a device rounds the inputs of float32 products: the error that the numpy engine predicts of that, relative
    to the largest entry."""
    programs: tuple[CompiledProgram, ...] = ()
    """The sides that were only compiled, of a ``compiled_only`` cell."""


@dataclass(frozen=True)
class Counterexample:
    """The simplest failing case found. Arrays are nested lists, keyed by argument (``params[0].W``).

    A record that was read holds plain lists and numbers, ``{"re", "im"}`` for complex ones and a summary
    ``{"shape", "dtype", "first"}`` for large arrays.
    """

    id: str
    dims: Mapping[str, int]
    dtype: str
    inputs: Mapping[str, Any]
    hand: Any
    reference: Any
    oracle: Any
    backend: str = "numpy"
    mode: str = "eager"
    precision: str | None = None


@dataclass(frozen=True, repr=False)
class ClaimRecord:
    """The outcome of one claim. ``str(outcome)`` explains it; ``outcome.ok`` says whether it passes."""

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
    fingerprint: str = ""
    """Of the code that the claim depends on, and of what was asked: equal ones need not be judged again."""
    source: Source | None = None
    figures: Figures | None = None
    """What plots are drawn from; of claims that do not simply agree."""

    @property
    def ok(self) -> bool:
        """Whether the claim passes; if a verdict is expected (``expect="wrong"``), whether it is that one."""
        return self.verdict in PASSING if self.expected is None else self.verdict == self.expected

    @property
    def ok_when_strict(self) -> bool:
        """As ``ok``, where of the verdicts only ``agrees`` passes."""
        return self.verdict == (self.expected or "agrees")

    @property
    def ran(self) -> bool:
        """Whether anything was evaluated: false if every cell was skipped or only compiled."""
        return not self.cells or any(cell.verdict not in DID_NOT_RUN for cell in self.cells)

    def __str__(self) -> str:
        from verify.report.explain import explain

        return explain(self)

    __repr__ = __str__  # what `assert outcome.ok, outcome` prints under pytest

    def __bool__(self) -> bool:
        raise TypeError(
            f"the outcome of {self.name} is more than true or false: "
            "use `.ok` (it passes) or `.verdict` (agrees, wrong, ...)"
        )


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
    strict: bool = False
    """Whether only ``agrees`` passes (``--strict``)."""
    scan: Mapping[str, Any] = field(default_factory=dict)
    """What ``verify scan`` found besides the rules that it judged: modules, failing imports, rules out of reach."""
    schema: int = SCHEMA

    def passes(self, claim: ClaimRecord) -> bool:
        """Whether a claim passes in this run, strict or not."""
        return claim.ok_when_strict if self.strict else claim.ok

    @property
    def summary(self) -> dict[str, int | float]:
        """Claims, one count for each verdict word, cases, seconds."""
        counts = Counter(claim.verdict for claim in self.claims)
        cases = sum(claim.cases for claim in self.claims)
        words = {word: counts[word] for word in reversed(WORST_FIRST)}
        return {"claims": len(self.claims), **words, "cases": cases, "seconds": self.seconds}

    def to_json(self) -> dict[str, Any]:
        """The record as strict JSON holds it (CONTRACT, "The record")."""
        rest = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("claims", "seconds")}
        first = {"schema": self.schema, "exit_code": self.exit_code}
        return plain({**first, **rest, "summary": self.summary, "claims": self.claims})


def write_record(record: Record, path: str | Path) -> None:
    """Writes a record as strict JSON, whole or not at all; OSError where the file cannot be written."""
    dump(record.to_json(), Path(path))


def read_record(path: str | Path) -> Record:
    """Reads, checked, what ``write_record`` wrote: the file, or the folder of a run. Raises RecordError."""
    path = Path(path)
    if path.is_dir():
        path /= "run.json"
    content = load(path)
    try:
        return _record_from(content)
    except RecordError as error:
        raise RecordError(f"{path}: not a record of this version: {error}") from None


def refuse_newer(content: Mapping[str, Any]) -> None:
    """Raises RecordError for the record of a later version of this package."""
    schema = content.get("schema")
    if isinstance(schema, int) and schema > SCHEMA:
        raise RecordError(f"schema: got {schema}, wanted at most {SCHEMA}; update this package to read it")


def _record_from(content: Any) -> Record:
    if not isinstance(content, dict) or "schema" not in content:
        raise RecordError("it has no field 'schema'; is this the file of `verify run --json FILE`?")
    refuse_newer(content)
    summary = content.get("summary")
    if not isinstance(summary, dict) or "seconds" not in summary:
        raise RecordError("summary: wanted an object with claims, verdict counts, cases and seconds")
    record = build(Record, {**content, "seconds": summary["seconds"]}, "")
    for key, wanted in record.summary.items():
        if key != "seconds" and summary.get(key) != wanted:
            raise RecordError(f"summary.{key}: got {summary.get(key)}, but the claims listed give {wanted}")
    return record


def exit_code_of(
    claims: Iterable[ClaimRecord],
    *,
    strict: bool = False,
    unloaded: bool = False,
    absent: bool = False,
    interrupted: bool = False,
    internal: bool = False,
) -> int:
    """The exit code of a run, the gravest first.

    3 ``internal`` error or failed self-test, 2 ``interrupted``, 4 a target ``unloaded`` (the others are
    judged nevertheless), 1 some claim does not pass, 5 nothing ran or a device asked for is ``absent``,
    0 otherwise.
    """
    claims = tuple(claims)
    if internal:
        return INTERNAL_ERROR
    if interrupted:
        return INTERRUPTED
    if unloaded:
        return BAD_USAGE
    if not all(claim.ok_when_strict if strict else claim.ok for claim in claims):
        return SOME_WRONG
    if absent or not any(claim.ran for claim in claims):
        return NOTHING_RAN
    return ALL_AGREE
