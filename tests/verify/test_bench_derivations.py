"""``verify bench --derivations``: every way computes the same, and the report is what the record says."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.share import share
from verify.bench.derivations import cross_entropy, measure, networks, ridge
from verify.bench.derivations.record import (
    BEST,
    HAND,
    PARTS,
    PLAIN,
    Comparison,
    Derivations,
    Way,
    read_derivations,
)
from verify.bench.derivations.report import reached, report, summary
from verify.cli import main
from verify.records.serial import RecordError, dump, plain

PUBLISHED = Path(__file__).parents[2] / "reports/published/derivations"
MAKERS = {name: maker for module in (networks, ridge, cross_entropy) for name, maker in module.PARTS.items()}


def test_every_part_has_a_maker():
    assert set(MAKERS) == set(PARTS)


@pytest.mark.parametrize("part", share(2, ["recompute", "backpropagate", "norms", "curvature", "cross-entropy"]))
def test_every_way_computes_the_same(part, monkeypatch):
    seen = []

    def compare(part, case, candidates, seconds, **facts):
        seen.append([jax.jit(c.function)(*c.arguments) for c in candidates])

    for module in (networks, cross_entropy):
        monkeypatch.setattr(module, "compare", compare)
    with jax.enable_x64(False), jax.numpy_rank_promotion("allow"):
        list(MAKERS[part](0, True))
    assert seen
    for first, *others in seen:
        for other in others:
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5), first, other)


def test_memory_and_operations_are_those_of_the_compiled_program():
    A = jnp.ones((64, 64), jnp.float32)
    ways = [
        measure.Candidate(HAND, "one product", lambda A: A @ A, (A,)),
        measure.Candidate(PLAIN, "three", lambda A: A @ A @ A @ A, (A,)),
        measure.Candidate(BEST, "as it is", lambda A: A, (A,), compiled=False),
    ]
    found = measure.compare("norms", "products", ways, 0.0, why="a test")
    assert found.flops() == pytest.approx(1 / 3, rel=0.05) and found.flops(BEST) is None
    assert [len(w.seconds) for w in found.ways] == [measure.FEWEST_TURNS] * 3 and found.time() > 0
    assert found.way(PLAIN).memory >= 64 * 64 * 4 and found.facts == {"why": "a test"}


def comparison(part, case, hand, plain, memory=(1, 1), **facts):
    ways = (Way(HAND, "f", hand, memory[0], 10.0), Way(PLAIN, "g", plain, memory[1], 20.0))
    return Comparison(part, case, ways, facts)


def test_ratios_are_formed_within_a_turn():
    found = comparison("norms", "c", (1.0, 10.0, 2.0), (2.0, 20.0, 1.0), (30, 40))
    assert found.time() == 0.5 and found.memory() == 0.75 and found.flops() == 0.5 and found.time(BEST) is None


def test_what_is_not_reached_is_said():
    slow = [comparison("norms", "c", (1.0,), (2.0,), (8, 10))]
    assert [text.rpartition(": ")[2] for text in reached("norms", slow)] == ["NOT REACHED", "NOT REACHED"]
    fast = [comparison("norms", "c", (1.0,), (5.0,), (7, 10))]
    assert [text.rpartition(": ")[2] for text in reached("norms", fast)] == ["reached", "reached"]
    far = [comparison("closed form", "c", (1.0,), (2.0,), **{"largest relative difference": 1e-7})]
    assert reached("closed form", far)[-1].endswith("wanted at most 1e-08: NOT REACHED")


def test_what_is_published_is_what_its_record_says():
    found = read_derivations(PUBLISHED / "derivations.json")
    assert not found.quick and {c.part for c in found.comparisons} == set(PARTS)
    assert (PUBLISHED / "report.md").read_text("utf-8") == report(found)
    assert summary(found) in report(found)


@pytest.mark.slow
def test_a_quick_run(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    line = "bench --derivations --quick --only norms,cross-entropy --color never --json record.json"
    assert main(line.split()) == 0
    out, err = capfd.readouterr()
    found = read_derivations("record.json")
    assert found.quick and [c.part for c in found.comparisons] == ["norms", "cross-entropy"]
    assert out.endswith("report: reports/derivations/report.md\n") and "\x1b" not in out and err == ""
    assert Path("reports/derivations/report.md").read_text() == report(found)


def test_a_part_of_the_other_benchmark_is_one_message(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "--derivations", "--only", "sizes"]) == 4
    assert "'sizes' is no part with --derivations" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_damaged_record_is_one_message(tmp_path):
    file = tmp_path / "derivations.json"
    dump(plain(Derivations(("verify",), 0, True, {}, "", 0.0)), file)
    file.write_text(json.dumps(json.loads(file.read_text()) | {"schema": 2}))
    with pytest.raises(RecordError, match="has schema 2, and this version reads 1"):
        read_derivations(file)
