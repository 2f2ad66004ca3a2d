"""The record: JSON and back, what passes, exit codes, and the explanation in words."""

import json
import math
import os

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings

from tests.verify.records import AGREES, EXAMPLE, HALF, WRONG, claim, claims, record, records
from verify.records.record import (
    Cell,
    ClaimRecord,
    Counterexample,
    Record,
    RecordError,
    exit_code_of,
    read_record,
    write_record,
)
from verify.records.serial import plain, write_atomically
from verify.report.numerals import brief, clean, number

# JSON


@given(records)
@settings(deadline=None)
def test_a_record_survives_the_round_trip(tmp_path_factory, original):
    path = tmp_path_factory.getbasetemp() / "round-trip.json"
    write_record(original, path)
    again = read_record(path)
    assert again.to_json() == original.to_json()
    assert again.exit_code == original.exit_code and len(again.claims) == len(original.claims)


def test_equal_records_are_equal_after_the_round_trip(tmp_path):
    original = record(AGREES, WRONG, exit_code=1, strict=True, problems=("gpu: absent",))
    write_record(original, tmp_path / "r.json")
    assert read_record(tmp_path / "r.json") == original


def test_the_fields_of_the_contract():
    content = record(AGREES, WRONG, exit_code=1).to_json()
    assert content["schema"] == 1 and content["exit_code"] == 1 and content["seed"] == 7
    assert content["argv"] == ["verify", "run"] and content["environment"] == {"jax": "0.10.2"}
    assert content["summary"] == {
        "claims": 2, "agrees": 1, "wrong": 1, "inaccurate": 0, "reference_wrong": 0, "convention": 0,
        "unresolved": 0, "error": 0, "cases": 80_000, "seconds": 3.1,
    }  # fmt: skip
    wrong = content["claims"][1]
    assert {
        "name", "module", "file", "line", "relation", "verdict", "diagnosis", "expected", "equation", "form",
        "cases", "fresh_shapes", "entries", "seconds", "smallest_visible_error", "cells", "counterexample",
        "replay",
    } <= wrong.keys()  # fmt: skip
    assert wrong["diagnosis"]["kind"] == "factor" and wrong["diagnosis"]["value"] == "1/2"
    assert {"backend", "dtype", "precision", "mode", "verdict", "cases", "worst_error", "bound"} <= wrong[
        "cells"
    ][0].keys()
    assert {"id", "dims", "dtype", "inputs", "hand", "reference", "oracle"} <= wrong["counterexample"].keys()
    assert "seconds" not in content.keys() - {"summary"}


def strictly(text):
    def refuse(name):
        raise AssertionError(f"{name} in the JSON")

    return json.loads(text, parse_constant=refuse)


def test_non_finite_numbers_are_strings_and_numbers_again(tmp_path):
    cell = Cell("numpy", "float64", None, "eager", "wrong", worst_error=math.inf, bound=math.nan)
    example = Counterexample("a", {}, "float64", {"x": [-math.inf]}, [math.nan], math.inf, 1.0)
    write_record(record(claim("wrong", cells=(cell,), counterexample=example)), tmp_path / "r.json")
    content = strictly((tmp_path / "r.json").read_text())["claims"][0]
    assert content["cells"][0]["worst_error"] == "inf" and content["cells"][0]["bound"] == "nan"
    assert content["counterexample"]["inputs"] == {"x": ["-inf"]}
    again = read_record(tmp_path / "r.json").claims[0]
    assert again.cells[0].worst_error == math.inf and math.isnan(again.cells[0].bound or 0)
    assert again.counterexample and again.counterexample.inputs == {"x": [-math.inf]}


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (np.array([[1.5, np.nan]], np.float32), [[1.5, "nan"]]),
        (np.array([0.1, -np.inf], ml_dtypes.bfloat16), [0.10009765625, "-inf"]),
        (np.float32(0.1), 0.10000000149011612),
        (ml_dtypes.bfloat16(1.5), 1.5),
        (np.longdouble(0.5), 0.5),
        (np.array(3, np.int8), 3),
        (np.array([True]), [True]),
        (np.bool_(False), False),
        (np.int64(2) ** 40, 2**40),
        (np.array([1 + 2j, np.inf], np.complex64), [{"re": 1.0, "im": 2.0}, {"re": "inf", "im": 0.0}]),
        (np.zeros((2, 0)), [[], []]),
        (np.zeros(3, [("float0", np.void, 0)]), {"shape": [3], "dtype": "float0", "first": []}),
        (1 - 1j, {"re": 1.0, "im": -1.0}),
        ("relu", "relu"),
        ((1, None), [1, None]),
    ],
)
def test_every_kind_of_value_has_a_json(value, wanted):
    assert plain(value) == wanted
    assert type(plain(value)) is type(wanted)


def test_a_large_array_is_abbreviated():
    assert plain(np.ones((1000, 1000), np.float32)) == {
        "shape": [1000, 1000], "dtype": "float32", "first": [1.0] * 8,
    }  # fmt: skip


def test_writing_is_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "r.json"
    path.write_text("before")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_record(record(AGREES), path)
    assert path.read_text() == "before" and os.listdir(tmp_path) == ["r.json"]


def test_writing_follows_a_link_and_leaves_devices_alone(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_atomically(tmp_path / "link", b"x")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_bytes() == b"x"
    write_atomically(type(tmp_path)(os.devnull), b"x")
    assert not os.path.isfile(os.devnull)


# Damaged records


def damaged(tmp_path, content, message):
    path = tmp_path / "r.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RecordError) as raised:
        read_record(path)
    assert str(raised.value).startswith(str(path)) and "\n" not in str(raised.value)
    assert message in str(raised.value)


def changed(**fields):
    content = record(AGREES, WRONG, exit_code=1).to_json()
    return json.dumps(content | fields)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty; run `verify run` again"),
        ("hello", "not JSON at line 1, column 1"),
        (b"\xff\xfe\x00", "not UTF-8"),
        ("[1]", "it has no field 'schema'"),
        ("{}", "it has no field 'schema'"),
        ('{"schema": NaN}', "NaN stands where a string should"),
        ("[" * 100_000, "nested too deeply"),
        (changed(schema=2), "schema: got 2, wanted at most 1; update this package"),
        (changed(schema="1"), 'schema: got "1", wanted an integer'),
        (changed(summary=None), "summary: wanted an object"),
        (changed(seed="0"), 'seed: got "0", wanted an integer'),
        (changed(seed=True), "seed: got true, wanted an integer"),
        (changed(argv="verify"), 'argv: got "verify", wanted a list'),
        (changed(environment=[]), "environment: got [], wanted an object"),
        (changed(claims=[{"name": "f"}]), "claims[0]: the field 'module' is missing"),
        (changed(claims=[]), "summary.claims: got 2, but the claims listed give 0"),
        (changed(exit_code=None), "exit_code: got null, wanted an integer"),
    ],
)
def test_a_damaged_record_is_one_clear_message(tmp_path, content, message):
    damaged(tmp_path, content, message)


def test_a_wrong_type_deep_inside_is_named(tmp_path):
    content = record(AGREES).to_json()
    content["claims"][0]["cells"][1]["verdict"] = "fine"
    damaged(tmp_path, json.dumps(content), 'claims[0].cells[1].verdict: got "fine", wanted one of agrees, ')
    content["claims"][0]["cells"][1] = 3
    damaged(tmp_path, json.dumps(content), "claims[0].cells[1]: got 3, wanted an object")


def test_every_truncation_is_an_error(tmp_path):
    write_record(record(WRONG), tmp_path / "whole.json")
    whole = (tmp_path / "whole.json").read_text().rstrip()
    for end in range(1, len(whole), 13):
        damaged(tmp_path, whole[:end], "is cut off")


def test_a_record_that_is_not_there(tmp_path):
    with pytest.raises(RecordError, match="there is no such file"):
        read_record(tmp_path / "no.json")


def test_a_folder_names_its_run_json(tmp_path):
    write_record(record(AGREES), tmp_path / "run.json")
    assert read_record(tmp_path) == record(AGREES)


def test_fields_that_a_later_version_adds_are_ignored(tmp_path):
    content = record(AGREES).to_json() | {"novelty": 1}
    content["claims"][0]["novelty"] = 1
    (tmp_path / "r.json").write_text(json.dumps(content))
    assert read_record(tmp_path / "r.json") == record(AGREES)


# What passes


@pytest.mark.parametrize(
    ("verdict", "ok", "strict"),
    [
        ("agrees", True, True),
        ("convention", True, False),
        ("reference_wrong", True, False),
        ("unresolved", True, False),
        ("wrong", False, False),
        ("inaccurate", False, False),
        ("error", False, False),
    ],
)
def test_what_passes(verdict, ok, strict):
    assert claim(verdict).ok is ok and claim(verdict).ok_when_strict is strict
    as_expected = claim(verdict, expected="wrong")
    assert as_expected.ok is as_expected.ok_when_strict is (verdict == "wrong")


def test_an_outcome_is_no_boolean():
    with pytest.raises(TypeError, match=r"the outcome of f is more than true or false: use `\.ok`"):
        assert claim("agrees")


@pytest.mark.parametrize(
    ("claims", "options", "code"),
    [
        ([claim()], {}, 0),
        ([], {}, 5),
        ([claim(), claim("wrong")], {}, 1),
        ([claim("error")], {}, 1),
        ([claim("inaccurate")], {}, 1),
        ([claim("convention"), claim("unresolved"), claim("reference_wrong")], {}, 0),
        ([claim("convention")], {"strict": True}, 1),
        ([claim("wrong", expected="wrong")], {"strict": True}, 0),
        ([claim("agrees", expected="wrong")], {}, 1),
        ([claim()], {"unloaded": True}, 4),
        ([claim("wrong")], {"unloaded": True}, 4),
        ([claim()], {"absent": True}, 5),
        ([claim("wrong")], {"absent": True}, 1),
        ([claim()], {"interrupted": True}, 2),
        ([claim("wrong")], {"interrupted": True, "internal": True}, 3),
        ([claim(cells=(Cell("tpu", "float32", None, "jit", "compiled_only"),))], {}, 5),
    ],
)
def test_exit_codes(claims, options, code):
    assert exit_code_of(claims, **options) == code


# In words


def test_the_explanation_of_a_wrong_claim():
    assert (
        str(WRONG)
        == """\
ridge_gradient - wrong: is exactly 1/2 of the gradient, on all 4,000 cases: a factor 2 is missing
  gradient, path.py:12
  also sign: the second entry has the wrong sign
  at m = 1, n = 2, N = 1, float64, numpy, eager:
    W          [[1, 2]]
    X          [[3], [0.5]]
    Y          [[4]]
    lam        0
    hand       [[0, 0]]
    reference  [[0, 1]]
    oracle     [[0, 1]]
  40,000 cases, 9,000 fresh shapes
  replay: verify replay ridge-0-17"""
    )
    assert repr(WRONG) == str(WRONG)  # what pytest prints for `assert outcome.ok, outcome`


def test_the_explanation_of_a_claim_that_agrees():
    assert (
        str(AGREES)
        == """\
softmax_gradient - agrees
  vjp, losses.py:30
  40,000 cases, 9,000 fresh shapes; a relative error of 1e-9 in one entry would have been seen"""
    )


def test_expectations_are_said():
    erratum = claim("wrong", expected="wrong", diagnosis=HALF)
    assert str(erratum).startswith("f - wrong: as expected: is exactly 1/2 of the gradient")
    assert str(claim(expected="wrong")).startswith("f - agrees: expected wrong")


def test_an_error_gives_its_reason():
    text = str(claim("error", reason="ValueError: no\n  line 2\n  line 3"))
    assert text.startswith("f - error: ValueError: no line 2") and "\n  |   line 3" in text


@given(claims)
@settings(deadline=None)
def test_explanations_are_short(any_claim: ClaimRecord):
    lines = str(any_claim).split("\n")
    assert 2 <= len(lines) <= 20 and max(map(len, lines)) <= 900


def test_a_million_entries_are_not_printed():
    big = np.arange(10**6, dtype=np.float32).reshape(1000, 1000)
    inputs = {f"a{i}": big for i in range(30)}
    example = Counterexample("a", {"n": 1000}, "float32", inputs, big, big, big.tolist())
    text = str(claim("wrong", counterexample=example))
    assert len(text) < 2000 and len(text.splitlines()) <= 20
    assert "a0         array 1000 x 1000: 0, 1, 2, 3, 4, 5, 6, 7, ..." in text
    assert "...        and 26 more inputs" in text


@pytest.mark.parametrize(
    ("value", "dtype", "wanted"),
    [
        (np.float32(0.1), "float32", "0.1"),
        (np.float32(0.1), "float64", "0.10000000149011612"),
        (ml_dtypes.bfloat16(0.1), "bfloat16", "0.1"),
        (np.float16(65504), "float16", "65500"),
        (1e-300, "float64", "1e-300"),
        (0.1 + 0.2, "float64", "0.30000000000000004"),
        (math.nan, "float64", "nan"),
        ([1.0, [2.0, 3.0]], "float64", "(1, [2, 3])"),
        ({"W": [1.0], "b": 2.0}, "float64", "{W: [1], b: 2}"),
        (1 - 2j, "complex64", "1-2j"),
        (list(range(100)), "int32", "array 100: 0, 1, 2, 3, 4, 5, ..."),
        ("relu", "float64", "relu"),
        (True, "float64", "True"),
        ([], "float64", "[]"),
    ],
)
def test_brief_values(value, dtype, wanted):
    assert brief(value, dtype) == wanted


def test_numbers_name_one_number_of_their_dtype():
    bits = np.arange(0, 2**16, 7, dtype=np.uint16)
    for dtype in (ml_dtypes.bfloat16, np.float16):
        for x in bits.view(dtype):
            text = number(float(x), np.dtype(dtype).name)
            again = np.float64(text).astype(np.float32).astype(dtype)
            assert again == x or (x != x and text == "nan"), (x, text)


def test_control_characters_are_made_visible():
    assert clean("a\x1b[31mb\x07") == "a\\x1b[31mb\\x07"
    assert clean("δ λ 𝐖 \t\n") == "δ λ 𝐖 \t\n"


def test_the_summary_counts_every_word():
    assert Record((), 5, (), 0, {}).summary["claims"] == 0
    assert EXAMPLE.id in str(WRONG)
