"""The comparison with other tools: each can pass and fail, the totals are counted right, the README has them."""

import json
import re
from pathlib import Path

import pytest

from tests.peers.report import alarms, missed, named, report, summary, totals, unexpressed
from tests.peers.tools import by_check_grads, by_gradcheck, by_verify
from verify.bench.peers import version_of

ROOT = Path(__file__).parent.parent
PUBLISHED = ROOT / "reports" / "published" / "peers" / "peers.json"
PEER = "check_grads float32"


def row(name, ours, theirs):
    results = {"verify": {"outcome": ours, "seconds": 1.0}, PEER: {"outcome": theirs, "seconds": 1.0}}
    return {"name": name, "set": "historical", "results": results}


ROWS = [
    row("R01_wrong", "wrong", "fails"),
    row("R01_right", "agrees", "passes"),
    row("R04_wrong", "wrong", "passes"),
    row("R04_right", "convention", "fails"),
    row("R10_wrong", "unresolved", "raises"),
    row("R10_right", "inaccurate", "raises"),
]
for one, kind in zip(ROWS[::2], ("sign", "sign", "conjugate"), strict=True):
    one["results"]["verify"]["kind"] = kind


def test_totals_are_counted():
    assert (missed(ROWS, "verify"), alarms(ROWS, "verify")) == (["R10_wrong"], ["R10_right"])
    assert named(ROWS) == {
        "R01": True,
        "R04": False,
        "R10": True,
    }  # a sign is not the name of a wrong operand
    assert (missed(ROWS, PEER), alarms(ROWS, PEER)) == (["R04_wrong"], ["R04_right"])
    assert unexpressed(ROWS, PEER) == ["R10"]  # raises on the right version
    assert totals(ROWS, ["verify"])[-1] == "| verify | all | 2 of 3 | 1 of 3 | 2 of 3 | 1 |"


@pytest.mark.slow
def test_tools_pass_and_fail():
    assert by_verify("N02_wrong").complains and not by_verify("N02_right").complains
    for x64 in (False, True):
        assert by_check_grads("R03_real_wrong", x64).outcome == "fails"
        assert (
            by_check_grads("N34_right", x64).outcome == by_check_grads("R03_right", x64).outcome == "passes"
        )


@pytest.mark.skipif(version_of("torch") is None, reason="torch is not installed")
def test_gradcheck_passes_and_fails():
    for fast in (True, False):
        for name in ("R03", "N08", "N11", "R30"):  # complex, forward, a rule, a rule differentiated once more
            assert by_gradcheck(f"{name}_wrong", fast).outcome == "fails"
            assert by_gradcheck(f"{name}_right", fast).outcome == "passes"


def test_the_readme_has_the_published_totals():
    record = json.loads(PUBLISHED.read_text("utf-8"))
    readme = (ROOT / "README.md").read_text("utf-8")
    shown = re.search(r"<!-- begin peers -->\n(.*?)\n<!-- end peers -->", readme, re.DOTALL)
    assert shown and shown[1] == summary(record)
    assert PUBLISHED.with_name("report.md").read_text("utf-8") == report(record)
