"""What past runs recorded and need not be judged again."""

import time
from dataclasses import replace

from tests.verify.records import AGREES, WRONG, record
from verify.records.runs import RunFolder
from verify.sessions.kept import asked, last_failed, meant, resumable, unchanged


def test_how_a_run_is_shown_does_not_keep_it_from_being_resumed():
    same = asked(("mine.py", "--seed", "3"))
    words = ("-q", "-v", "--resume", "--color never", "--color=never", "--json x.json", "--junit=x.xml", "--keep 3")
    for shown in (*words, "-o out"):
        assert asked(("mine.py", *shown.split(), "--seed", "3")) == same, shown
    assert asked(("mine.py", "--seed", "4")) != same


def test_only_the_last_run_is_resumed_and_only_if_it_did_not_end(tmp_path):
    folder = RunFolder.create(tmp_path, 7, ("verify", "run", "a.py"))
    folder.append_claim(AGREES)
    found = resumable(tmp_path, ("verify", "run", "a.py", "--resume"))
    assert found is not None and found[0] == folder and found[1].claims == (AGREES,) and found[1].seed == 7
    assert resumable(tmp_path, ("verify", "run", "b.py")) is None
    folder.finish(record(AGREES))
    assert resumable(tmp_path, ("verify", "run", "a.py")) is None


def test_resume_alone_means_the_last_run_whatever_it_was_asked(tmp_path):
    bare = ("verify", "run", "--resume", "-q", "-o", "out")
    assert meant(tmp_path, bare) == bare
    folder = RunFolder.create(tmp_path, 7, ("verify", "run", "a.py", "--cases", "3", "-v"))
    folder.append_claim(AGREES)
    assert meant(tmp_path, bare) == ("verify", "run", "a.py", "--cases", "3", *bare[2:])
    assert resumable(tmp_path, meant(tmp_path, bare)) == resumable(tmp_path, ("verify", "run", "a.py", "--cases", "3"))
    for more in (("verify", "run", "b.py", "--resume"), ("verify", "run", "--resume", "--seed", "3")):
        assert meant(tmp_path, more) == more
    folder.finish(record(AGREES))
    assert meant(tmp_path, bare) == bare
    RunFolder.create(tmp_path, 8, ("verify", "scan", "optax"))
    assert meant(tmp_path, bare) == bare


def test_what_failed_last(tmp_path):
    assert last_failed(tmp_path) == set()
    RunFolder.create(tmp_path, 0).finish(record(AGREES, WRONG))
    assert last_failed(tmp_path) == {WRONG.target}


def test_a_damaged_run_does_not_hide_an_older_outcome(tmp_path):
    known = replace(AGREES, fingerprint="same")
    first = RunFolder.create(tmp_path, 0)
    first.finish(record(known))
    time.sleep(0.002)
    damaged = RunFolder.create(tmp_path, 1)
    (damaged.path / "run.json").write_text("{")
    (kept,) = unchanged(tmp_path, {known.target: "same"}, but=None)
    assert kept.verdict == "agrees" and kept.notes[-1].endswith(first.id)
    assert list(unchanged(tmp_path, {known.target: "other"}, but=None)) == []
    assert list(unchanged(tmp_path, {known.target: "same"}, but=first)) == []
