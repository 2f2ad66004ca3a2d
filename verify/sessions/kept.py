"""What past runs recorded and need not be judged again: an unfinished run, and claims that did not change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from verify.records.record import ClaimRecord, Record, RecordError
from verify.records.runs import ReportsError, RunFolder, latest, runs

MOST_RUNS = 40
"""Past runs in which the outcome of an unchanged claim is looked for."""
UNCHANGED = "nothing that it depends on has changed since run"
SHOWN: dict[str, int] = {
    "--resume": 0, "--distributed": 0, "-q": 0, "-v": 0, "--color": 1, "--json": 1, "--junit": 1, "--keep": 1, "-o": 1,
}  # fmt: skip
"""Options that say how a run is shown, or where it is kept, not what is judged, and how many words follow each."""
RUN = ("verify", "run")


def resumable(root: str | Path, argv: tuple[str, ...]) -> tuple[RunFolder, Record] | None:
    """The last run and what it recorded, if it did not end and was asked the same."""
    last = _unfinished(root)
    return last if last is not None and asked(last[1].argv) == asked(argv) else None


def meant(root: str | Path, argv: tuple[str, ...]) -> tuple[str, ...]:
    """The command line that is meant: ``verify run --resume`` alone means the last run, if it did not end."""
    last = _unfinished(root) if asked(argv) == RUN else None
    before = asked(last[1].argv) if last is not None else ()
    return (*before, *argv[2:]) if before[:2] == RUN else argv


def _unfinished(root: str | Path) -> tuple[RunFolder, Record] | None:
    """The last run and what it recorded, if it did not end."""
    last = next(iter(runs(root)), None)
    return None if last is None or last.ended else (last, last.read())


def asked(argv: tuple[str, ...]) -> tuple[str, ...]:
    """What a command line asks to be judged: a run is resumed only by one that asks the same."""
    kept, words = [], iter(argv)
    for word in words:
        name, assigned, _ = word.partition("=")
        if name not in SHOWN:
            kept.append(word)
        elif not assigned:
            for _ in range(SHOWN[name]):
                next(words, None)
    return tuple(kept)


def command(argv: tuple[str, ...]) -> tuple[str, ...]:
    """What is asked, the seed apart: the same of runs that are repeated."""
    words = list(asked(argv))
    for i, word in enumerate(words):
        if word == "--seed":
            return tuple(words[:i] + words[i + 2 :])
        if word.startswith("--seed="):
            return tuple(words[:i] + words[i + 1 :])
    return tuple(words)


def last_failed(root: str | Path) -> set[str]:
    """The targets that failed in the last run."""
    try:
        record = latest(root).read()
    except (ReportsError, RecordError):
        return set()
    return {claim.target for claim in record.claims if not record.passes(claim)}


def unchanged(root: str | Path, wanted: Mapping[str, str], but: RunFolder | None) -> Iterator[ClaimRecord]:
    """Of the claims ``wanted`` (target and fingerprint) the outcomes of those that were judged as they are now.

    Only the latest outcome counts; one that could not be judged is judged again. The run ``but`` is not looked at.
    """
    left = dict(wanted)
    for folder in runs(root)[:MOST_RUNS]:
        if not left:
            return
        if but is not None and folder.path == but.path:
            continue
        try:
            before = folder.read().claims
        except (ReportsError, RecordError):
            continue
        for record in before:
            if record.target in left and record.verdict != "error":
                if left[record.target] == record.fingerprint:
                    yield _taken_over(record, folder.id)
                del left[record.target]


def _taken_over(record: ClaimRecord, run: str) -> ClaimRecord:
    if any(note.startswith(UNCHANGED) for note in record.notes):
        return record
    return replace(record, notes=(*record.notes, f"{UNCHANGED} {run}"))
