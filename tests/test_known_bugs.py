"""``verify`` on every mistake of the corpus and on its right version: found, named, and nobody accused.

The default suite judges a pair of every class on few cases; ``pytest -m slow`` judges everything as ``verify run``
does, in some ten minutes.
"""

import re
from functools import cache

import pytest

from tests.known_bugs.drawing import FOLDER, load
from tests.share import share
from verify.cells.budget import Budget
from verify.records.record import ClaimRecord
from verify.sessions.collect import collect
from verify.verdict.judge import judge

CORPUS = load("corpus")
FILES = (*CORPUS.HISTORICAL, *CORPUS.INVENTED, "subtle", "autodiff_wrong")
CLAIMS = {c.name: c for file in FILES for c in collect(str(FOLDER / f"{file}.py"))[0]}
WRONG = [n for n in CLAIMS if n.endswith("_wrong")]
HISTORICAL = [n for n in WRONG if CORPUS.entry_of(n) in CORPUS.CLASS_OF]
INVENTED = [n for n in WRONG if CORPUS.entry_of(n) in CORPUS.INVENTED_CLASS_OF]
FEW = [
    "R03_real",
    "N04",
    "R04",
    "N13",
    "N19",
    "R14",
    "R15",
    "R19",
    "N28",
    "N31",
    "R10",
    "N34",
    "R27",
    "subtle_tie",
]
"""One pair of every class, cheap to judge."""
AUTODIFF_FEW = ("AD02_sqrt", "AD04_sigmoid", "AD20_relu")


@cache
def outcome(name: str, cases: int | None = None) -> ClaimRecord:
    """The record of a claim: by default as ``verify run`` judges it, else on few cases in NumPy alone."""
    return judge(CLAIMS[name], Budget(cases=cases, backends=("numpy",) if cases else ("numpy", "cpu"))).record


def kind(record: ClaimRecord) -> str | None:
    return record.diagnosis.kind if record.diagnosis else None


def departure(name: str, record: ClaimRecord) -> str | None:
    return CORPUS.departure(name, record.verdict, kind(record))


def share_named(records: dict[str, ClaimRecord]) -> float:
    """The share of mistakes whose diagnosis has a kind that names them."""
    found = CORPUS.named({name: kind(r) for name, r in records.items()})
    return sum(found.values()) / len(found)


# --- a few, in every run ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", share(3, [*(f"{n}_{side}" for n in FEW for side in ("wrong", "right")), *AUTODIFF_FEW])
)
def test_a_few_end_as_they_should(name):
    record = outcome(name, 400)
    assert departure(name, record) is None, record


def test_a_few_are_named():
    names = [f"{n}_wrong" for n in FEW if not n.startswith("subtle")]
    records = {n: outcome(n, 400) for n in names}
    assert share_named(records) >= 0.9, {n: kind(r) for n, r in records.items()}


@pytest.mark.parametrize("entry", ("R15", "N13", "N28"))
def test_the_checks_can_fail(entry):
    """A judge that agreed with everything, or accused everything, would not pass here."""
    wrong, right = outcome(f"{entry}_wrong", 400), outcome(f"{entry}_right", 400)
    assert "wanted wrong" in str(departure(f"{entry}_wrong", right))
    assert "wanted agrees" in str(departure(f"{entry}_right", wrong))
    assert share_named({f"{entry}_wrong": wrong}) == 1 and share_named({f"{entry}_wrong": right}) == 0
    assert share_named({"R10_wrong": wrong}) == 0  # a kind of another class does not count


# --- everything ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", CLAIMS)
def test_each_ends_as_it_should(name):
    record = outcome(name)
    assert departure(name, record) is None, record
    if record.verdict == "reference_wrong":
        assert any(re.search(r"jax.grad .*\d", note) for note in record.notes), "the numbers are missing"


@pytest.mark.slow
@pytest.mark.parametrize("names", [pytest.param(HISTORICAL, id="historical"), pytest.param(INVENTED, id="invented")])
def test_nine_in_ten_are_named(names):
    records = {n: outcome(n) for n in names}
    assert share_named(records) >= 0.9, {n: kind(r) for n, r in records.items()}
