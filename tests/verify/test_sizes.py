"""Sizes: every expression is evaluated, every axis is at least 1, and the corner cases come first."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verify.drawing.sizes import LARGEST_CASE, SizeError, draw_sizes, size_of


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("3", 3),
        ("n", 5),
        ("n+1", 6),
        ("2*n-m", 8),
        ("n//2", 2),
        ("n**2 % 7", 4),
        ("floordiv(n, 2)", 2),
        ("mod(n, 3)", 2),
        ("max(n, m)", 5),
        ("-m + n", 3),
        ("max(0, m - n)", 0),
    ],
)
def test_expressions(text, size):
    assert size_of(text, {"n": 5, "m": 2}) == size


@pytest.mark.parametrize("text", ["n.real", "[n]", "n or m", "(lambda: n)", "n if m else n", "'n'*2 .x"])
def test_what_is_no_arithmetic(text):
    with pytest.raises((SizeError, SyntaxError)):
        size_of(text, {"n": 5, "m": 2})


@pytest.mark.parametrize(("text", "message"), [("k", "cannot be evaluated"), ("n//(m-2)", "cannot be evaluated")])
def test_what_cannot_be_evaluated(text, message):
    with pytest.raises(SizeError, match=message):
        size_of(text, {"n": 5, "m": 2})


SHAPES = {
    "one": [["n"]],
    "ridge": [["m", "n"], ["n", "N"], ["m", "N"], []],
    "differences": [["n-1", "n"], ["n+k"]],
    "convolution": [["N", "L"], ["w"], ["L-w+1"]],
    "halves": [["n//2", "m"]],
    "quarters": [["(n-1)//4", "m"]],
    "fixed": [["3", "n", "1000"]],
}


@given(st.sampled_from(sorted(SHAPES)), st.integers(0, 2**32), st.none() | st.integers(0, 60))
def test_every_axis_is_at_least_one_and_no_array_is_huge(name, seed, index):
    shapes = SHAPES[name]
    names = sorted({c for shape in shapes for axis in shape for c in axis if c.isalpha()})
    sizes = draw_sizes(np.random.default_rng(seed), names, shapes, index)
    assert sorted(sizes) == names and all(size >= 1 for size in sizes.values())
    for shape in shapes:
        axes = [size_of(axis, sizes) for axis in shape]
        assert all(axis >= 1 for axis in axes)
        if name != "convolution":  # there, a shorter row may not hold its window
            assert np.prod(axes, dtype=int) <= LARGEST_CASE or all(size == 1 for size in sizes.values())


def drawn(count, cases=400):
    names = ["a", "b", "c"][:count]
    shapes = [[name] for name in names]
    return [tuple(draw_sizes(np.random.default_rng(i), names, shapes, i).values()) for i in range(cases)]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_what_breaks_formulas_is_drawn(count):
    seen = drawn(count)
    assert seen[0] == (1,) * count
    assert {1, 2, 3, 9} <= {size for sizes in seen[:16] for size in sizes}  # early, for short runs
    assert any(size in (31, 32, 33, 63, 64, 65, 127, 128, 129) for sizes in seen for size in sizes)
    assert any(size > 20 for sizes in seen for size in sizes)
    if count > 1:
        for i, j in itertools.combinations(range(count), 2):
            assert any(s[i] == s[j] > 1 for s in seen) and any(s[i] > s[j] > 1 for s in seen)
            assert any(s[i] < s[j] for s in seen) and any(s[i] == 1 < s[j] for s in seen[:16])
            assert any(s[j] == 1 < s[i] for s in seen[:16])


def test_most_cases_have_unequal_sizes():
    seen = drawn(3)
    assert sum(len(set(sizes)) == 3 for sizes in seen) > len(seen) / 2


def test_the_same_seed_draws_the_same_sizes():
    assert drawn(2, 50) == drawn(2, 50)


def test_no_sizes_at_all():
    assert draw_sizes(np.random.default_rng(0), [], [["3"], []], 0) == {}
    with pytest.raises(SizeError, match="no sizes of n make every axis of n-n at least 1"):
        draw_sizes(np.random.default_rng(0), ["n"], [["n-n"]], 0)
