"""The page of all runs, and the heads of records that it is made from."""

import json
import time
from dataclasses import replace

import pytest

from tests.verify.records import AGREES, WRONG, record
from tests.verify.test_reports import Page
from verify.records.history import history, read_head, same_machine
from verify.records.record import RecordError
from verify.records.runs import RunFolder, prune, runs
from verify.report.index import write_index

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def reports(tmp_path):
    """Three runs of one command, one of another, one that did not end, one damaged, one of a later version."""
    for seed, claims in enumerate([(AGREES,), (AGREES, WRONG), (AGREES,), (WRONG,)]):
        argv = ("verify", "run", "a.py" if seed < 3 else HOSTILE, "--seed", str(seed))
        folder = RunFolder.create(tmp_path, seed, argv)
        folder.finish(record(*claims, argv=argv, seed=seed, exit_code=len(claims) - 1, started=f"day {seed}"))
        time.sleep(0.002)
    RunFolder.create(tmp_path, 9, ("verify", "run")).append_claim(AGREES)
    time.sleep(0.002)
    damaged = RunFolder.create(tmp_path, 10)
    (damaged.path / "run.json").write_text("{")
    time.sleep(0.002)
    later = RunFolder.create(tmp_path, 11)
    (later.path / "run.json").write_text(json.dumps(record().to_json() | {"schema": 2}))
    return tmp_path


def test_the_page_of_all_runs(reports):
    page = Page(write_index(reports).read_text())
    assert "7 runs" in page.text and "script" not in page.tags and HOSTILE in page.text
    assert "wanted at most 1; update this package" in page.text and "is cut off" in page.text
    assert "did not end" in page.text
    linked = [value for name, value in page.attributes if name == "href"]
    assert len(linked) == 4 and all((reports / value).is_file() for value in linked)
    assert page.tags.count("svg") == 1  # three runs of a.py make a history; on an unknown machine times do not


def test_a_head_is_what_the_record_says(reports):
    for past in history(reports):
        if past.head is not None and past.folder.ended:
            whole = past.folder.read()
            assert (past.head.seed, past.head.argv, past.head.exit_code) == (whole.seed, whole.argv, whole.exit_code)
            assert past.head.summary == whole.summary
    with pytest.raises(RecordError, match="cannot be read"):
        read_head(reports / "none.json")
    (reports / "list.json").write_text("[1]")
    with pytest.raises(RecordError, match="not a record"):
        read_head(reports / "list.json")


def test_the_same_machine_is_one_that_says_so():
    named = record(environment={"processor": "Old 3000"})
    assert same_machine(named, named) and not same_machine(record(), record())
    assert not same_machine(named, replace(named, environment={"processor": "New 9000"}))


def test_only_the_last_runs_are_kept(reports):
    (reports / "published").mkdir()
    outside = reports.parent / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "mine.txt").touch()
    (reports / "20200101T000000.000Z-abcd").symlink_to(outside)
    newest = [folder.id for folder in runs(reports)[:2]]
    assert len(prune(reports, 2)) == 5
    assert [folder.id for folder in runs(reports)] == [*newest, "20200101T000000.000Z-abcd"]
    assert (outside / "mine.txt").exists() and (reports / "published").exists()
