"""Values: every domain holds, every entry is a number of its dtype, and what breaks gradients is drawn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handgrad.domains import (
    index,
    integers,
    interval,
    lower_triangular,
    nonnegative,
    one_hot,
    orthogonal,
    positive,
    real,
    simplex,
    spd,
    symmetric,
    unit_interval,
)
from verify.drawing.values import Wanted, cotangent, draw, draw_stacked, numpy_dtype, to_dtype

DTYPES = ("float64", "float32", "bfloat16", "float16")
SQUARE = (symmetric, spd, lower_triangular, orthogonal)
BOUNDED = (unit_interval, simplex, one_hot, interval(-2.0, 3.0), integers(-2, 5), index("k"))
VECTORS = (real, positive, nonnegative, *BOUNDED)


def drawn(domain, dtype, shape=(7,), seed=0, kind="float", plain=False):
    return draw(np.random.default_rng(seed), Wanted(kind, shape, dtype, domain, {"k": 4}, plain))


def many(domain, dtype="float64", shape=(7,), count=300, kind="float"):
    return [drawn(domain, dtype, shape, seed, kind) for seed in range(count)]


def wide(x):
    return x.astype(np.float64)


@given(
    st.sampled_from(VECTORS), st.sampled_from(DTYPES), st.integers(0, 2**32), st.booleans(),
    st.lists(st.integers(1, 6), max_size=3).map(tuple),
)  # fmt: skip
def test_every_entry_is_a_finite_number_of_its_dtype(domain, dtype, seed, plain, shape):
    x = drawn(domain, dtype, shape, seed, plain=plain)
    assert x.shape == shape and x.dtype == numpy_dtype(dtype)
    assert np.isfinite(wide(x)).all()
    np.testing.assert_array_equal(wide(x).astype(numpy_dtype(dtype)), x)  # the same point in any precision


@pytest.mark.parametrize("dtype", DTYPES)
def test_domains_hold(dtype):
    u = float(2.0 ** {"float64": -53, "float32": -24, "bfloat16": -8, "float16": -11}[dtype])
    for x in map(wide, many(positive, dtype)):
        assert (x > 0).all()
    for x in map(wide, many(nonnegative, dtype)):
        assert (x >= 0).all()
    for x in map(wide, many(unit_interval, dtype)):
        assert (x >= 0).all() and (x <= 1).all()
    for x in map(wide, many(interval(-2.0, 3.0), dtype)):
        assert (x >= -2).all() and (x <= 3).all()
    for x in map(wide, many(simplex, dtype, (3, 5))):
        assert (x >= 0).all() and np.abs(x.sum(-1) - 1).max() < 8 * u
    for x in map(wide, many(one_hot, dtype, (3, 5))):
        assert ((x == 0) | (x == 1)).all() and (x.sum(-1) == 1).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (5, 5), (3, 4, 4)])
def test_domains_of_square_matrices_hold(dtype, shape):
    u = float(2.0 ** {"float64": -53, "float32": -24, "bfloat16": -8, "float16": -11}[dtype])
    eye = np.eye(shape[-1])
    for x in map(wide, many(symmetric, dtype, shape, 60)):
        np.testing.assert_array_equal(x, np.swapaxes(x, -1, -2))
    for x in map(wide, many(lower_triangular, dtype, shape, 60)):
        np.testing.assert_array_equal(x, np.tril(x))
        assert (np.diagonal(x, axis1=-2, axis2=-1) != 0).all()
    for x in map(wide, many(orthogonal, dtype, shape, 60)):
        assert np.abs(x @ np.swapaxes(x, -1, -2) - eye).max() < 8 * shape[-1] * u
    for x in map(wide, many(spd, dtype, shape, 60)):
        np.testing.assert_array_equal(x, np.swapaxes(x, -1, -2))
        if dtype in ("float64", "float32"):
            assert (np.linalg.eigvalsh(x) > 0).all()


@pytest.mark.parametrize("domain", SQUARE)
def test_square_domains_want_square_matrices(domain):
    with pytest.raises(ValueError, match=r"wants a square matrix in its last two axes, and got the shape \(2, 3\)"):
        drawn(domain, "float64", (2, 3))


def test_spd_varies_in_conditioning():
    conditions = [np.linalg.cond(x) for x in many(spd, shape=(4, 4))]
    assert min(conditions) < 5 and max(conditions) > 1e3
    repeated = [x for x in many(spd, shape=(4, 4)) if np.ptp(np.linalg.eigvalsh(x)) < 1e-12]
    assert repeated


def share(arrays, predicate):
    return sum(bool(predicate(x)) for x in arrays) / len(arrays)


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_breaks_gradients_is_drawn_from_real(dtype):
    """Each in at least one array of two hundred."""
    seen = [wide(x) for x in many(real, dtype, count=600)]
    wanted = {
        "a zero": lambda x: (x == 0).any(),
        "zeros only": lambda x: (x == 0).all(),
        "ties": lambda x: len(set(x)) < len(x),
        "a constant": lambda x: len(set(x)) == 1,
        "ones": lambda x: (x == 1).any(),
        "negative whole numbers": lambda x: ((x < 0) & (x == np.round(x))).any(),
        "no whole number": lambda x: (x != np.round(x)).all(),
        "negative fractions": lambda x: ((x < 0) & (x != np.round(x))).any(),
        "saturation": lambda x: (np.abs(x) > 20).any(),
        "large": lambda x: (np.abs(x) > (100 if dtype == "float16" else 1e5)).any(),
        "small": lambda x: ((np.abs(x) < 1e-3) & (x != 0)).any(),
        "kinks of relu6 and hard_tanh": lambda x: np.isin(x, [6.0, 1.0, -1.0, 3.0, -3.0]).any(),
        "both signs": lambda x: (x > 0).any() and (x < 0).any(),
    }
    for name, predicate in wanted.items():
        assert share(seen, predicate) > 0.005, name
    assert share(seen, lambda x: (x == 0).any()) < 0.6  # and most are ordinary


def test_plain_values_are_ordinary():
    seen = [drawn(real, "float64", seed=seed, plain=True) for seed in range(300)]
    assert all((x != 0).all() and len(set(x)) == 7 and np.abs(x).max() < 8 for x in seen)


@pytest.mark.parametrize(
    ("domain", "points"),
    [
        (nonnegative, [0.0, 1.0]),
        (positive, [1.0, 2.0]),
        (unit_interval, [0.0, 1.0, 0.5]),
        (interval(-2.0, 3.0), [-2.0, 3.0, 0.0, 0.5]),
        (simplex, [0.0, 1.0]),
    ],
)
def test_every_domain_is_drawn_with_its_zeros_and_ends(domain, points):
    seen = many(domain)
    for point in points:
        assert share(seen, lambda x, p=point: (x == p).any()) > 0.01, point
    if domain.kind != "simplex":
        assert share(seen, lambda x: len(set(x)) < len(x)) > 0.01


def test_simplex_has_corners_and_the_middle():
    seen = many(simplex)
    assert share(seen, lambda x: x.max() == 1) > 0.02 and share(seen, lambda x: np.ptp(x) == 0) > 0.02


def test_integers():
    for kind, domain, low, high in [
        ("int", index("k"), 0, 3),
        ("int", index(6), 0, 5),
        ("int", integers(-2, 5), -2, 5),
        ("int", nonnegative, 0, 5),
        ("int", positive, 1, 5),
    ]:
        seen = many(domain, "int32", kind=kind)
        assert min(x.min() for x in seen) == low and max(x.max() for x in seen) == high
        assert all(x.dtype == np.int32 for x in seen)
        assert share(seen, lambda x: len(set(x)) == 1) > 0.05  # all alike


def test_other_kinds():
    booleans = many(real, kind="bool")
    assert share(booleans, lambda x: x.all()) > 0.02 and share(booleans, lambda x: not x.any()) > 0.02
    keys = drawn(real, "uint32", (3,), kind="key")
    assert keys.shape == (3, 2) and keys.dtype == np.uint32
    z = drawn(real, "complex64", kind="complex", plain=True)
    assert z.dtype == np.complex64 and (z.imag != 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_cotangents_are_neither_all_ones_nor_all_equal(dtype):
    seen = [wide(cotangent(np.random.default_rng(seed), (5,), dtype)) for seed in range(400)]
    assert share(seen, lambda x: len(set(x)) > 1) > 0.9
    assert share(seen, lambda x: (x == 1).all()) == 0
    assert 0.005 < share(seen, lambda x: (x == 0).all()) < 0.1
    assert share(seen, lambda x: (x == 0).any() and (x != 0).any()) > 0.02
    assert all(np.isfinite(x).all() for x in seen)


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(DTYPES))
def test_rounding_to_a_dtype_stays_finite(x, dtype):
    rounded = to_dtype(np.asarray(x), dtype)
    assert rounded.dtype == numpy_dtype(dtype) and np.isfinite(wide(rounded))
    assert dtype != "float64" or rounded == x


def test_squares_of_inputs_are_in_the_range_of_float16():
    """The trace of A x xᵀ is no wrong formula because 437² is beyond float16."""
    for domain in (real, positive, nonnegative):
        largest = max(np.abs(wide(x)).max() for x in many(domain, "float16", count=2000))
        assert 60 < largest < 256


def test_symmetric_matrices_have_repeated_eigenvalues_now_and_then():
    matrices = [wide(x) for x in many(symmetric, shape=(3, 3), count=200)]
    assert all((x == x.T).all() for x in matrices)
    repeated = [x for x in matrices if len(set(np.linalg.eigvalsh(x))) < 3]
    assert 5 <= len(repeated) <= 60 and any((x == np.diag(np.diag(x))).all() for x in repeated)


def test_float16_inputs_leave_room_for_a_square_and_an_inverse():
    for x in map(wide, many(real, "float16", count=600)):
        with np.errstate(divide="ignore"):
            assert (x**2 < 65504).all() and (np.abs(1 / x[x != 0]) < 65504).all()


def test_a_mean_far_from_zero_is_drawn():
    """Where a variance is a mean of squares less a squared mean, it is lost."""
    assert any(np.abs(x.mean()) > 30 * x.std() > 0 for x in many(real))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("domain", [real, positive, one_hot, interval(-2.0, 3.0)])
def test_a_stack_is_many_draws(domain, dtype):
    plain = np.array([True, False] * 50)
    stack = draw_stacked(np.random.default_rng(0), Wanted("float", (2, 5), dtype, domain, {}), plain)
    assert stack.shape == (100, 2, 5) and stack.dtype == numpy_dtype(dtype)
    assert len({row.tobytes() for row in stack}) > 20
    if domain is real:
        assert not (wide(stack[plain]) == 0).any() and (wide(stack[~plain]) == 0).any()
