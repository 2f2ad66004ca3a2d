"""Run folders: nothing recorded is lost, cases come back bit for bit, nothing leaves the folder."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from tests.verify.records import AGREES, WRONG, claims, record
from verify.records.case_file import pack, unpack
from verify.records.record import RecordError
from verify.records.runs import ReportsError, RunFolder, find, find_case, latest, runs


def test_a_run_from_beginning_to_end(tmp_path):
    folder = RunFolder.create(tmp_path / "reports", 7, ["verify", "run"], {"jax": "0.10.2"})
    folder.append_claim(AGREES)
    folder.append_claim(WRONG)
    finished = record(AGREES, WRONG, exit_code=1)
    folder.finish(finished)
    assert folder.read() == finished
    assert folder.claims() == (AGREES, WRONG)
    assert sorted(os.listdir(folder.path)) == [
        "cases", "claims.jsonl", "report.html", "report.md", "run.json", "started.json",
    ]  # fmt: skip


def test_names_sort_by_time_and_differ(tmp_path):
    made = [RunFolder.create(tmp_path, seed).id for seed in range(5) if not time.sleep(0.002)]
    assert len(set(made)) == 5
    assert [folder.id for folder in runs(tmp_path)] == made[::-1]
    assert latest(tmp_path).id == made[-1]


@given(claims)
@settings(deadline=None)
def test_a_claim_survives_its_line(tmp_path_factory, any_claim):
    folder = RunFolder.create(tmp_path_factory.getbasetemp(), 0)
    folder.append_claim(any_claim)
    again = folder.claims()
    assert record(*again).to_json() == record(any_claim).to_json()


def test_a_killed_run_keeps_what_it_recorded(tmp_path):
    code = f"""
import sys, time
from tests.verify.records import AGREES, WRONG
from verify.records.runs import RunFolder
folder = RunFolder.create({str(tmp_path)!r}, 7, ["verify", "run", "x.py"], {{"jax": "0.10.2"}})
folder.append_claim(AGREES)
folder.append_claim(WRONG)
print("recorded", flush=True)
time.sleep(60)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2], text=True
    )
    assert process.stdout and process.stdout.readline() == "recorded\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    run = latest(tmp_path).read()
    assert run.claims == (AGREES, WRONG)
    assert (run.exit_code, run.seed, run.argv) == (2, 7, ("verify", "run", "x.py"))
    assert run.environment == {"jax": "0.10.2"}
    assert run.problems == ("this run did not end; shown is what it had recorded when it stopped",)


def test_a_torn_last_line_is_left_out_and_mended(tmp_path):
    folder = RunFolder.create(tmp_path, 0)
    folder.append_claim(AGREES)
    with open(folder.path / "claims.jsonl", "ab") as file:
        file.write(b'{"name": "half a li')
    assert folder.read().claims == (AGREES,)
    folder.append_claim(WRONG)
    assert folder.read().claims == (AGREES, WRONG)


def test_a_damaged_line_is_named(tmp_path):
    folder = RunFolder.create(tmp_path, 0)
    (folder.path / "claims.jsonl").write_text('{"name": 1}\n')
    with pytest.raises(RecordError, match=r"claims\.jsonl, line 1: name: got 1, wanted a string"):
        folder.read()
    (folder.path / "claims.jsonl").write_text("")
    (folder.path / "started.json").write_text("{}")
    with pytest.raises(RecordError, match=r"started\.json: damaged"):
        folder.read()


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(RecordError, match="not a run's folder"):
        RunFolder(tmp_path).read()


# Cases

native = nps.arrays(
    nps.boolean_dtypes() | nps.integer_dtypes() | nps.floating_dtypes() | nps.complex_number_dtypes(),
    nps.array_shapes(min_dims=0, min_side=0),
)


@st.composite
def extended(draw):
    dtype = draw(st.sampled_from([ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2]))
    bits = draw(nps.arrays(f"u{np.dtype(dtype).itemsize}", nps.array_shapes(min_dims=0)))
    return bits.view(dtype)


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(["file", "inputs/params[0].W", "a.npy", "δ", ""]), native | extended())
)
def test_cases_come_back_bit_for_bit(arrays):
    again = unpack(pack(arrays))
    assert list(again) == list(arrays)
    for name, array in arrays.items():
        assert again[name].dtype == array.dtype and again[name].shape == array.shape
        assert again[name].tobytes() == array.tobytes()


def test_more_kinds_of_values(tmp_path):
    folder = RunFolder.create(tmp_path, 0)
    none = np.zeros(2, [("float0", np.void, 0)])
    values = {
        "act": "relu",
        "k": 3,
        "t": np.arange(6.0).reshape(2, 3).T,
        "l": np.longdouble(1) / 3,
        "z": none,
    }
    folder.save_case("a-1", values)
    again = folder.load_case("a-1")
    assert str(again["act"]) == "relu" and again["k"] == 3 and again["l"] == values["l"]
    assert np.array_equal(again["t"], values["t"]) and again["z"].dtype == none.dtype
    assert folder.case_ids() == ["a-1"]
    assert "act" in np.load(folder.path / "cases" / "a-1.npz").files


def test_no_pickle(tmp_path):
    folder = RunFolder.create(tmp_path, 0)
    with pytest.raises(TypeError, match="f: a case holds arrays and numbers; got function"):
        folder.save_case("a", {"f": pack})
    np.savez(folder.path / "cases" / "b.npz", x=np.array([{}], object))
    with pytest.raises(ReportsError, match="this case is damaged"):
        folder.load_case("b")


@pytest.mark.parametrize("cut", [0, 10, 100, -30, -1])
def test_a_damaged_case_is_one_message(tmp_path, cut):
    folder = RunFolder.create(tmp_path, 0)
    path = folder.save_case("a", {"x": np.arange(100.0)})
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ReportsError, match="this case is damaged"):
        folder.load_case("a")


def test_finding_cases(tmp_path):
    first, second = RunFolder.create(tmp_path, 0), RunFolder.create(tmp_path, 1)
    first.save_case("ridge-0-1", {"x": 1.0})
    assert find_case(tmp_path, "ridge-0-1") == first
    with pytest.raises(
        ReportsError, match=r"no run under .* recorded the case 'ridge-0-2'; did you mean ridge-0-1"
    ):
        find_case(tmp_path, "ridge-0-2")
    second.save_case("ridge-0-1", {"x": 1.0})
    assert find_case(tmp_path, "ridge-0-1") == max(first, second, key=lambda folder: folder.id)
    with pytest.raises(ReportsError, match="there is no such case"):
        second.load_case("other")


@pytest.mark.parametrize(
    "bad", ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\\b", "a\0b", "~x", "x" * 300]
)
def test_ids_do_not_leave_the_folder(tmp_path, bad):
    folder = RunFolder.create(tmp_path, 0)
    for use in (
        lambda: folder.save_case(bad, {}),
        lambda: folder.load_case(bad),
        lambda: find_case(tmp_path, bad),
        lambda: find_case(tmp_path / "empty", bad),
    ):
        with pytest.raises(ReportsError, match="is not a case id"):
            use()


# Runs


def test_finding_runs(tmp_path):
    with pytest.raises(ReportsError, match="there is no run here yet; `verify run` makes one"):
        latest(tmp_path)
    made = []
    for seed in range(2):
        made.append(RunFolder.create(tmp_path, seed))
        time.sleep(0.002)
    (tmp_path / "published").mkdir()
    (tmp_path / "README.md").touch()
    assert find(tmp_path, made[0].id) == made[0]
    assert find(tmp_path, made[0].id.rpartition("-")[2]) == made[0]
    assert find(tmp_path, "latest") == made[1]
    with pytest.raises(ReportsError, match="names 2 runs: "):
        find(tmp_path, made[0].id[:8])
    for bad in ("..", "published", "no", "", "../x"):
        with pytest.raises(ReportsError, match=f"no run under .* is named .*; the newest is {made[1].id}"):
            find(tmp_path, bad)


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ReportsError, match="cannot be written: Not a directory; choose another folder with -o DIR"
    ):
        RunFolder.create(tmp_path / "file", 0)


def test_a_full_disk(tmp_path, monkeypatch):
    folder = RunFolder.create(tmp_path, 0)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for use in (
        lambda: folder.append_claim(AGREES),
        lambda: folder.save_case("a", {"x": 1.0}),
        lambda: folder.finish(record(AGREES)),
    ):
        with pytest.raises(ReportsError, match="cannot be written: No space left on device"):
            use()
    assert not (folder.path / "run.json").exists()
    assert json.loads((folder.path / "started.json").read_text())["seed"] == 0
