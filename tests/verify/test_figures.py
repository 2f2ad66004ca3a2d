"""What plots are drawn from: measured at real cases, small, the same for the same seed, drawn within their frame."""

import math
import re
import xml.etree.ElementTree as xml
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

from tests.verify.judging import engine_of
from tests.verify.records import FIGURES
from verify.api import claim_of
from verify.figure_data.entry_errors import BLOCKS, blocks
from verify.figure_data.figures import AxisErrors, Figures, SizeErrors
from verify.figure_data.gather import figures_of
from verify.records.record import ClaimRecord, Counterexample
from verify.records.serial import dumps
from verify.report.explain import explain
from verify.report.plots import curve, plots_of
from verify.verdict.source import source_of


def mean_loss(W: Float[Array, "k n"], X: Float[Array, "n N"]) -> Float[Array, ""]:
    return jnp.mean((W @ X) ** 2)


def mean_gradient(W, X):
    """d l = 2/(k N) tr((W X X')' dW), <b>so</b>

    grad = 2/N W X X'.
    """
    return 2 * W @ X @ X.T / X.shape[1]


def logistic(z: Float[Array, "n"]) -> Float[Array, "n"]:
    return jax.nn.sigmoid(z)


def capped(z, dz):
    return jnp.where(z > 8, 0.0, dz * jax.nn.sigmoid(z) * jax.nn.sigmoid(-z))


def figures(hand, reference, wrt, relation="gradient", dtype="float64"):
    engine = engine_of(claim_of(hand, reference, wrt, relation))
    with np.errstate(all="ignore"):
        found = figures_of(engine, dtype, engine.case(0, dtype))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def of_mean():
    return figures(mean_gradient, mean_loss, "W")


def test_a_size_that_hides_the_mistake_stands_out(of_mean):
    k = next(s for s in of_mean.sizes if s.dimension == "k")
    errors = dict(zip(k.sizes, k.hand, strict=True))
    assert errors.pop(1) < 1e-9
    assert errors and all(error == pytest.approx(size - 1, rel=1e-3) for size, error in errors.items())
    assert all(e < 1e-9 for s in of_mean.sizes for e in s.reference)
    captions = [plot.caption for plot in plots_of(of_mean)]
    assert any("At k = 1 nothing shows." in caption for caption in captions)


def test_the_map_shows_each_entry_of_a_failing_case(of_mean):
    (entries,) = of_mean.entries
    assert entries.output == "W" and len(entries.shape) == 2 and min(entries.shape) > 1
    assert len(entries.rows) == entries.shape[0]
    assert {round(e, 3) for row in entries.rows for e in row} == {entries.shape[0] - 1}


def test_the_remainder_is_of_first_order_by_hand_and_of_second_by_the_reference(of_mean):
    r = of_mean.remainder
    slopes = [math.log(side[5] / side[9]) / math.log(r.steps[5] / r.steps[9]) for side in (r.hand, r.reference)]
    assert slopes == pytest.approx([1.0, 2.0], abs=0.1)
    assert "by hand t^1.0, by the reference t^2.0" in plots_of(of_mean)[-1].caption


def test_over_the_axis_the_region_stands_out():
    found = figures(capped, logistic, "z", "jvp")
    (axis,) = found.axis
    assert axis.signed and min(axis.inputs) < -1e100 and max(axis.inputs) > 1e100
    assert max(m for at, m in zip(axis.inputs, axis.hand, strict=True) if 9 < at < 300) > 1e15
    for at, mine, theirs in zip(axis.inputs, axis.hand, axis.reference, strict=True):
        if -300 < at < 5:  # beyond 5 jax.grad loses digits itself, below -300 results are subnormal
            assert max(mine, theirs) < axis.counts
    assert found.sizes == () or max(max(s.hand) for s in found.sizes) > 1e-9


def test_the_same_seed_gives_the_same_numbers_and_few_of_them(of_mean):
    assert figures(mean_gradient, mean_loss, "W") == of_mean
    assert len(dumps(of_mean)) < 8_000


def test_low_precision_is_held_against_the_wide_result():
    lossy = lambda z, dz: dz * jax.nn.sigmoid(z) * (1 - jax.nn.sigmoid(z))  # noqa: E731
    (axis,) = figures(lossy, logistic, "z", "jvp", "bfloat16").axis
    assert axis.dtype == "bfloat16" and axis.against == "the reference in float64" and axis.counts == 8
    assert max(m for at, m in zip(axis.inputs, axis.hand, strict=True) if at > 6) > axis.counts


def test_what_has_no_plot_has_none():
    engine = engine_of(claim_of(lambda x: x, mean_loss, (), "at_most", None))
    assert figures_of(engine, "float64", None) is None  # type: ignore[arg-type]
    assert plots_of(Figures()) == []


@pytest.mark.parametrize("shape", [(3,), (2, 3), (1000, 1000), (2, 3, 400), (17, 1)])
def test_a_large_output_is_shown_by_the_worst_of_each_block(shape):
    error = np.zeros(shape)
    error.flat[-1] = 0.5
    rows = blocks(error)
    assert len(rows) <= BLOCKS and all(len(row) <= BLOCKS for row in rows)
    assert rows[-1][-1] == 0.5 and sum(v > 0 for row in rows for v in row) == 1


def marks(svg):
    root = xml.fromstring(str(svg))
    return root, [c for c in root.iter() if c.tag in ("circle", "rect")]


def test_every_mark_lies_within_its_frame_and_says_its_numbers():
    for plot in plots_of(FIGURES):
        root, found = marks(plot.svg)
        _, _, width, height = map(float, root.get("viewBox", "").split())
        assert found and root.get("role") == "img" and plot.caption in root.get("aria-label", "")
        for mark in found:
            x, y = (float(mark.get(a, mark.get(b, "nan"))) for a, b in (("cx", "x"), ("cy", "y")))
            assert 0 <= x <= width and 0 <= y <= height
        assert len(list(root.iter("title"))) == len(found)


@pytest.mark.parametrize("value", [0.0, math.inf, math.nan, 1e-320, 1e308])
def test_any_number_can_be_drawn(value):
    axis = AxisErrors("float64", False, (0.0, value, 1.0), (value, 1.0, value), (value,) * 3, 4e6, "x")
    sizes = (SizeErrors("k", (1, 2), (value, value), (value, value)),)
    entries = (replace(FIGURES.entries[0], rows=((value, value),), shape=(2,)),)
    for plot in plots_of(Figures((axis,), sizes, entries, replace(FIGURES.remainder, floor=1e-300))):
        assert not re.search(r'="[^"]*(nan|inf)', str(plot.svg).partition(">")[2])
        marks(plot.svg)
    marks(curve("x", [("a", [0.0, 0.0]), ("b", [1.0, 2.0])], ["<1>", "&2"]))


def test_the_source_is_told_apart():
    source = source_of(mean_gradient)
    assert source is not None and source.derivation.startswith("d l = 2/(k N) tr((W X X')' dW), <b>so</b>\n\ngrad")
    assert source.code == "def mean_gradient(W, X):\n    return 2 * W @ X @ X.T / X.shape[1]"
    assert source_of(jax.jit(mean_gradient)) == source
    assert source_of(eval("lambda x: x")) is None and source_of(np.sin) is None
    plain = source_of(capped)
    assert plain is not None and plain.derivation == "" and plain.code.startswith("def capped")


def test_the_entry_that_says_most_is_told_where_the_arrays_are_too_long_to_show():
    z, hand = np.arange(40) / 7, np.arange(40) / 3
    truth = hand.copy()
    hand[29] = np.nan
    example = Counterexample("a-0-1", {"n": 40}, "float64", {"z": z}, {"z": hand}, {"z": truth}, {"z": truth})
    claim = ClaimRecord("f", "m", "m.py", 1, "gradient", "wrong", counterexample=example)
    short = replace(example, hand={"z": [1.0]}, reference={"z": [2.0]}, oracle={"z": [2.0]}, inputs={})
    wanted = "furthest off: z[29]: hand nan, reference 9.666666666666666, oracle 9.666666666666666, z[29] = 4.14"
    assert wanted in explain(claim)
    assert "furthest off" not in explain(replace(claim, counterexample=short))
