"""One rule of a package, judged by the ordinary judge; one that nobody knows how to call is unresolved and says why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from verify.cells.budget import Budget
from verify.records.record import ClaimRecord
from verify.scan.call import GivenError, Uncallable, Waiting, with_note
from verify.verdict.judge import judge
from verify.verdict.judged import Judged

HOW = "to have it judged, put into a file for --given: "


def judge_rule(waiting: Waiting, target: str, budget: Budget, told: Callable[[int], None]) -> Judged:
    """The outcome of a rule; ``unresolved`` where it could not be called."""
    try:
        called = waiting.called()
    except (Uncallable, GivenError) as error:
        return Judged(_not_called(waiting, target, str(error)))
    judged = judge(called.claim, budget, report=told)
    record = with_note(judged.record, called)
    if record.verdict == "unresolved" and record.cases == 0:
        record = replace(record, notes=(*record.notes, HOW + waiting.lines))
    return replace(judged, record=replace(record, target=target))


def _not_called(waiting: Waiting, target: str, why: str) -> ClaimRecord:
    place = waiting.place
    return ClaimRecord(
        str(place), place.module, place.file, place.line, "custom rule", "unresolved",
        reason=f"not judged: {why}", notes=(HOW + waiting.lines,), target=target,
    )  # fmt: skip
