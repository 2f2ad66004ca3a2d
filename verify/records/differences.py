"""What changed between two records: in verdicts, in errors beyond noise, and, on one machine, in time. Pure Python."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from verify.records.history import SAME_MACHINE, machine, same_machine
from verify.records.record import DID_NOT_RUN, Cell, ClaimRecord, Record
from verify.report.explain import cell_name
from verify.report.numerals import small
from verify.report.view import duration, target
from verify.sessions.kept import command

Kind = Literal["broken", "worse", "fixed", "new", "gone", "changed"]
ORDER: tuple[Kind, ...] = ("broken", "worse", "fixed", "new", "gone", "changed")
WORSE_SAME_CASES, WORSE = 8.0, 2.0**12
"""By how much the worst error of a cell must grow to be told. Of one seed the cases are the same. Of two they are not,
and the worst of thousands of errors has a heavy tail: by chance it grows by a factor k in about one cell of k."""
SLOWER, LEAST_SECONDS = 2.0, 0.5


@dataclass(frozen=True)
class Change:
    """One claim that changed. ``cells`` says where it is ``worse``, though its verdict is the same."""

    kind: Kind
    target: str
    before: ClaimRecord | None
    after: ClaimRecord | None
    cells: tuple[str, ...] = ()


@dataclass(frozen=True)
class Compared:
    """The changes, the gravest first; how many claims differ ``within noise``, and how many not at all."""

    changes: tuple[Change, ...]
    noise: int
    same: int


def compared(old: Record, new: Record) -> Compared:
    """``broken`` fails now, ``fixed`` does no longer, ``worse`` errs more, ``changed`` says something else."""
    before = {_key(claim): claim for claim in old.claims}
    after = {_key(claim): claim for claim in new.claims}
    changes, noise, same = [], 0, 0
    for key in dict.fromkeys([*before, *after]):
        change = _change(old, before.get(key), new, after.get(key))
        if change is not None:
            changes.append(change)
        elif _errors(before[key]) == _errors(after[key]):
            same += 1
        else:
            noise += 1
    return Compared(tuple(sorted(changes, key=lambda c: ORDER.index(c.kind))), noise, same)


def _key(claim: ClaimRecord) -> tuple[str, ...]:
    return claim.module, claim.name, claim.relation, claim.form or ""


def _change(old: Record, before: ClaimRecord | None, new: Record, after: ClaimRecord | None) -> Change | None:
    if after is None or before is None:
        if after is None:
            return None if before is None else Change("gone", target(before), before, None)
        return Change("new" if new.passes(after) else "broken", target(after), None, after)
    if old.passes(before) != new.passes(after):
        return Change("fixed" if new.passes(after) else "broken", target(after), before, after)
    if _finding(before) != _finding(after):
        return Change("changed", target(after), before, after)
    cells = tuple(_worse_cells(before, after, WORSE_SAME_CASES if old.seed == new.seed else WORSE))
    return Change("worse", target(after), before, after, cells) if cells else None


def _finding(claim: ClaimRecord) -> tuple[str | None, ...]:
    diagnosis = claim.diagnosis
    return claim.verdict, claim.expected, diagnosis and diagnosis.kind, diagnosis and diagnosis.value


def _cells(claim: ClaimRecord) -> dict[str, Cell]:
    return {cell_name(c): c for c in claim.cells if c.verdict not in DID_NOT_RUN}


def _errors(claim: ClaimRecord) -> dict[str, float | None]:
    return {name: cell.worst_error for name, cell in _cells(claim).items()}


def _worse_cells(before: ClaimRecord, after: ClaimRecord, factor: float) -> Iterator[str]:
    """Cells that err more than chance explains, or that would see less."""
    known = _cells(before)
    for name, cell in _cells(after).items():
        if name not in known or _fails(after):
            continue
        was = known[name]
        if was.worst_error and cell.worst_error and cell.worst_error > factor * was.worst_error:
            yield f"{name}: worst error {small(was.worst_error)}, now {small(cell.worst_error)}"
        power = was.smallest_visible_error, cell.smallest_visible_error
        if power[0] is not None and (power[1] is None or power[1] > 2 * power[0]):
            yield f"{name}: saw {small(power[0])}, now {small(power[1])}"


def _fails(claim: ClaimRecord) -> bool:
    """Of a claim that is wrong anyway, more or less error says nothing."""
    return claim.verdict in ("wrong", "inaccurate", "error")


def times(old: Record, new: Record, most: int) -> Iterator[str]:
    """Both times and what got slower; or why they are not compared."""
    if not same_machine(old, new):
        differ = [
            f"{name} {was}, now {now}"
            for name, was, now in zip(SAME_MACHINE, machine(old.environment), machine(new.environment), strict=True)
            if was != now
        ]
        yield f"times are not compared: another machine ({'; '.join(differ) or 'neither says which'})"
        return
    if command(old.argv) != command(new.argv):
        yield "times are not compared: the two runs were asked different things"
        return
    yield f"time: {duration(old.seconds)}, now {duration(new.seconds)}"
    before = {_key(claim): claim.seconds for claim in old.claims}
    slower = [
        (claim.seconds, before[_key(claim)], target(claim))
        for claim in new.claims
        if claim.seconds > LEAST_SECONDS and claim.seconds > SLOWER * before.get(_key(claim), claim.seconds)
    ]
    for now, was, name in sorted(slower, reverse=True)[:most]:
        yield f"slower   {name}: {duration(was)}, now {duration(now)}"

