"""Places in the post, and the claims made there: each formula as printed, and as corrected where it fails.

``L186`` is the line on which a displayed row or an inline formula begins; where a line holds several equations, a
letter counts them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from handgrad.claims import F

__all__ = ["ENTRIES", "Entry", "corrected", "not_executable", "place", "printed"]


@dataclass(frozen=True)
class Entry:
    """One formula, or words that carry mathematics, as printed; ``instead`` is the corrected form.

    ``words`` names what is said in words; ``reason`` says why nothing is executed; ``note`` states a reading or a
    condition under which the formula was executed.
    """

    place: str
    latex: str
    words: str = ""
    instead: str = ""
    note: str = ""
    reason: str = ""


ENTRIES: dict[str, Entry] = {}


def place(at: str, latex: str = "", *, words: str = "", instead: str = "", note: str = "") -> None:
    """Enters a formula that the claims beneath execute."""
    _enter(Entry(at, latex, words, instead, note))


def not_executable(at: str, latex: str = "", *, words: str = "", reason: str) -> None:
    """Enters a formula that cannot be executed, with the reason."""
    _enter(Entry(at, latex, words, reason=reason))


def printed(
    relation: Callable[..., Any], reference: Callable[..., Any], at: str, aspect: str = "", **how: Any
) -> Callable[[F], F]:
    """The claim ``at.printed``: the formula as it stands in the post. Judged in float64: only formulas are at stake."""
    return _claimed(relation, reference, at, "printed", aspect, how)


def corrected(
    relation: Callable[..., Any], reference: Callable[..., Any], at: str, aspect: str = "", **how: Any
) -> Callable[[F], F]:
    """The claim ``at.corrected``: the formula as it ought to stand."""
    return _claimed(relation, reference, at, "corrected", aspect, how)


def _enter(entry: Entry) -> None:
    if entry.place in ENTRIES:
        raise ValueError(f"{entry.place} is entered twice")
    ENTRIES[entry.place] = entry


def _claimed(
    relation: Callable[..., Any], reference: Callable[..., Any], at: str, form: str, aspect: str, how: dict[str, Any]
) -> Callable[[F], F]:
    if at not in ENTRIES:
        raise ValueError(f"{at} is no place yet: enter it with place({at!r}, ...)")
    name = ".".join(filter(None, (at, form, aspect)))
    return relation(reference, name=name, equation=at, form=form, dtypes="float64", **how)


def line_of(at: str) -> int:
    """``L200b`` is on line 200."""
    return int("".join(_digits(at)))


def _digits(at: str) -> Iterator[str]:
    return (c for c in at if c.isdigit())
