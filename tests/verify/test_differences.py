"""What `verify diff` tells of two runs: verdicts, errors beyond noise, times on one machine."""

from dataclasses import replace

import pytest

from tests.verify.records import AGREES, WRONG, claim, record
from verify.records.differences import WORSE, WORSE_SAME_CASES, compared, times

HERE = {"platform": "Linux x86_64", "processor": "Old 3000", "cpus": 2, "devices": ["cpu:0 cpu"]}


def with_error(factor, sees=1e-9):
    cell = AGREES.cells[0]
    worst = (cell.worst_error or 0.0) * factor
    return replace(AGREES, cells=(replace(cell, worst_error=worst, smallest_visible_error=sees), *AGREES.cells[1:]))


def kinds(found):
    return [change.kind for change in found.changes]


def test_verdicts():
    old = record(claim("wrong", "a"), claim("agrees", "b"), claim("agrees", "c"), claim("agrees", "gone"))
    new = record(claim("agrees", "a"), claim("error", "b"), claim("convention", "c"), claim("agrees", "d"))
    found = compared(old, new)
    assert [(c.kind, c.target) for c in found.changes] == [
        ("broken", "m.py::b"), ("fixed", "m.py::a"), ("new", "m.py::d"), ("gone", "m.py::gone"), ("changed", "m.py::c"),
    ]  # fmt: skip
    assert kinds(compared(record(), record(claim("wrong", "a")))) == ["broken"]


@pytest.mark.parametrize(("seeds", "factor"), [((7, 7), WORSE_SAME_CASES), ((7, 8), WORSE)])
def test_worse_or_noise(seeds, factor):
    old = record(with_error(1.0), seed=seeds[0])
    found = compared(old, record(with_error(2 * factor), seed=seeds[1]))
    assert kinds(found) == ["worse"]
    assert found.changes[0].cells[0].startswith("numpy float64 eager: worst error 3e-16, now")
    found = compared(old, record(with_error(factor / 2), seed=seeds[1]))
    assert (found.changes, found.noise, found.same) == ((), 1, 0)
    found = compared(old, record(with_error(1.0), seed=seeds[1]))
    assert (found.changes, found.noise, found.same) == ((), 0, 1)


def test_less_power_is_worse():
    found = compared(record(AGREES), record(with_error(1.0, sees=1e-3)))
    assert kinds(found) == ["worse"] and found.changes[0].cells == ("numpy float64 eager: saw 1e-9, now 0.001",)


def test_more_error_of_what_is_wrong_anyway_is_not_told():
    worse = replace(WRONG, cells=(replace(WRONG.cells[0], worst_error=1e6),))
    assert compared(record(WRONG), record(worse)).changes == ()


def test_times_are_compared_on_one_machine_and_for_one_question_only():
    slow = replace(AGREES, seconds=5.0)
    old = record(AGREES, environment=HERE, argv=("verify", "run", "a.py", "--seed", "1"), seconds=3.0)
    new = record(slow, environment=HERE, argv=("verify", "run", "a.py", "--seed", "2", "-q"), seconds=6.0)
    assert list(times(old, new, 5)) == [
        "time: 3.0 s, now 6.0 s", "slower   losses.py::softmax_gradient: 0.8 s, now 5.0 s",
    ]  # fmt: skip
    elsewhere = replace(new, environment=HERE | {"processor": "New 9000"})
    assert list(times(old, elsewhere, 5)) == [
        "times are not compared: another machine (processor Old 3000, now New 9000)"
    ]
    unknown = replace(old, environment={})
    assert list(times(unknown, unknown, 5)) == ["times are not compared: another machine (neither says which)"]
    other = replace(new, argv=("verify", "run", "b.py"))
    assert list(times(old, other, 5)) == ["times are not compared: the two runs were asked different things"]
