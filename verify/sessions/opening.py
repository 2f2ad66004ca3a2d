"""Opens what a run is written to: a folder of its own, that of the run it goes on with, or that of its team."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from verify.records.record import ClaimRecord, Record
from verify.records.runs import ReportsError, RunFolder
from verify.sessions import kept
from verify.sessions.request import Options
from verify.sessions.team import Place, Team

NOT_KEPT = "the results are shown here and not kept"


@dataclass(frozen=True)
class Opened:
    """Where a run is written down, and what was known at its beginning."""

    seed: int
    folder: RunFolder | None
    """None where none can be made."""
    team: Team | None = None
    done: Mapping[str, ClaimRecord] = field(default_factory=dict)
    """What was recorded before, by target."""
    problem: str | None = None


def open_run(
    options: Options,
    seed: int,
    environment: Mapping[str, Any],
    resumed: tuple[RunFolder, Record] | None,
    place: Place | None,
) -> Opened:
    """The folder of the run; the seed is that of the run which is joined, if it is one."""
    asked = kept.asked(options.argv)
    if place is not None and place.rank:
        team = Team.join(place, options.output, asked)
        begun = team.folder.read()
        return Opened(begun.seed, team.folder, team, _by_target(begun))
    if resumed is not None:
        folder, done = resumed[0], _by_target(resumed[1])
    else:
        try:
            folder, done = RunFolder.create(options.output, seed, options.argv, environment), {}
        except ReportsError as error:
            if place is not None:
                raise
            return Opened(seed, None, problem=f"{error}; {NOT_KEPT}")
    return Opened(seed, folder, Team.open(place, folder, asked) if place is not None else None, done)


def _by_target(record: Record) -> dict[str, ClaimRecord]:
    return {claim.target: claim for claim in record.claims}
