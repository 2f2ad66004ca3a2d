"""Findings: what judging one claim has shown so far, cell by cell."""

from __future__ import annotations

from dataclasses import dataclass, field

from handgrad.claims import Claim
from verify.cells.seen import Breadth
from verify.drawing.cases import Case
from verify.records.record import Cell, Diagnosis
from verify.tracing.engine import Arrays, Engine


@dataclass(frozen=True, eq=False)
class Failure:
    """A case that shows the mistake."""

    case: Case
    hand: Arrays
    reference: Arrays
    truth: Arrays
    backend: str = "numpy"
    mode: str = "eager"
    precision: str | None = None


@dataclass
class Findings:
    """Collected as the cells of a claim run; ``explain`` says whether failures are diagnosed, or only found."""

    claim: Claim
    explain: bool = True
    cells: list[Cell] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    breadths: list[Breadth] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    diagnoses: tuple[Diagnosis, ...] = ()
    engine: Engine | None = None

    @property
    def cases(self) -> int:
        return sum(cell.cases for cell in self.cells)

    @property
    def settled(self) -> bool:
        """Whether the formula itself is known to be wrong, so that compiled cells have nothing to add."""
        return any(c.backend == "numpy" and c.verdict in ("wrong", "error") for c in self.cells)
