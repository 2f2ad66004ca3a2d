"""The processes of one run: process 0 gathers what the others record, and the others wait for its record."""

from __future__ import annotations

import time
from collections.abc import Sequence

from verify.records.record import Record
from verify.sessions.journal import Journal
from verify.sessions.team import BEAT, RESUME, ProcessLost, Team


def collect(team: Team, journal: Journal) -> None:
    """Process 0 takes over what the others have recorded since."""
    if team.place.rank == 0:
        for record in team.news():
            if record.target not in journal.done:
                journal.enter(record, {})


def gather(team: Team, journal: Journal, targets: Sequence[str]) -> None:
    """Waits for the claims that others have taken; raises ProcessLost where one is gone with some."""
    while True:
        collect(team, journal)
        taken = [t for t in targets if t not in journal.done and team.taker(t) is not None]
        if not taken:
            return
        if (message := team.lost(taken)) is not None:
            collect(team, journal)
            if any(target not in journal.done for target in taken):
                team.end()
                raise ProcessLost(message)
        time.sleep(BEAT)


def await_record(team: Team) -> Record:
    """The record that process 0 gathers, in another process."""
    team.end()
    while not team.folder.ended:
        if team.gone(0):
            if team.folder.ended:
                break
            raise ProcessLost(f"process 0 of {team.place.size} ended without a record of the run; {RESUME}")
        time.sleep(BEAT)
    return team.folder.read()
