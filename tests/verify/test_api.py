"""``verify(...)``, and ``assert_derivative``: every form of the call, and what is said where there is no claim."""

import re
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from jaxtyping import Array, Float

import verify as package
from handgrad.claims import Claim, gradient_of
from verify import verify
from verify.api import claim_of
from verify.drawing.fixed import FixedDraws
from verify.testing import assert_derivative

N = Float[Array, "n"]
FEW = {"backends": ("numpy",), "dtypes": ("float64",), "cases": 30}


def squares(x: N) -> Float[Array, ""]:
    return jnp.sum(x**2)


@gradient_of(squares, wrt="x")
def right(x):
    return 2 * x


@gradient_of(squares, wrt="x")
def wrong(x):
    return 3 * x


@jax.custom_vjp
def cube(x: N) -> N:
    return x**3


cube.defvjp(lambda x: (x**3, x), lambda x, g: (3 * x**2 * g,))


@jax.custom_vjp
def bad_cube(x: N) -> N:
    return x**3


bad_cube.defvjp(lambda x: (x**3, x), lambda x, g: (3 * x**2,))


@jax.custom_jvp
def pushed(x: N, k: Float[Array, ""]) -> N:
    return k * jnp.sin(x)


pushed.defjvp(lambda p, t: (pushed(*p), p[1] * jnp.cos(p[0]) * t[0] + jnp.sin(p[0]) * t[1]))


@jax.custom_vjp
def wrong_value(x: N) -> N:
    return x**3


wrong_value.defvjp(lambda x: (x**3 + 1e-6, x), lambda x, g: (3 * x**2 * g,))


@jax.custom_vjp
def wrong_twice(x: N) -> N:
    """Right once; differentiated again, the rule forgets that the residual depends on x."""
    return x**3


wrong_twice.defvjp(
    lambda x: (x**3, x), lambda x, g: (3 * jax.lax.stop_gradient(x) ** 2 * g,)
)  # fmt: skip


def test_a_function_that_carries_a_claim():
    outcome = verify(right, **FEW)
    assert outcome.ok and outcome.verdict == "agrees" and outcome.diagnosis is None and outcome.cases == 30
    outcome = verify(wrong, **FEW)
    assert not outcome.ok and outcome.diagnosis.kind == "factor" and outcome.counterexample.dims == {"n": 1}
    assert str(outcome).startswith("wrong - wrong: ") and "replay" not in str(outcome)  # nothing was recorded
    with pytest.raises(AssertionError, match="exactly 3/2 times the gradient"):
        assert outcome.ok, outcome


def test_several_claims_of_one_function():
    def cubes(x: N) -> Float[Array, ""]:
        return jnp.sum(x**3)

    @gradient_of(cubes, wrt="x", name="c")
    @gradient_of(squares, wrt="x", name="s")
    def both(x):
        return 2 * x

    assert [o.verdict for o in verify(both, **FEW)] == ["agrees", "wrong"]


def test_lists_modules_and_claims():
    assert [o.verdict for o in verify([right, wrong, cube], **FEW)] == ["agrees", "wrong", "agrees"]
    module = types.ModuleType(__name__)
    module.cube = cube
    outcomes = {o.name: o.verdict for o in verify(module, **FEW)}
    assert outcomes == {"right": "agrees", "wrong": "wrong", "cube": "agrees", "c": "wrong", "s": "agrees"} or (
        outcomes == {"right": "agrees", "wrong": "wrong", "cube": "agrees"}
    )
    assert verify(claim_of(lambda x: 2 * x, squares, "x"), **FEW).ok


def test_a_claim_on_the_spot():
    assert verify(lambda x: 2 * x, squares, wrt="x", **FEW).ok
    assert verify(lambda x: (2 * x,), squares, wrt=("x",), **FEW).ok
    assert verify(lambda x, dx: 2 * x @ dx, squares, wrt="x", relation="jvp", **FEW).ok
    assert verify(lambda x: x @ x, squares, relation="equal_to", **FEW).ok
    outcome = verify(lambda x: x, squares, wrt="x", name="halved", **FEW)
    assert outcome.name == "halved" and outcome.verdict == "wrong"


def test_a_hand_function_that_takes_no_names():
    """jax.grad returns one: its arguments are positional."""
    assert verify(jax.grad(lambda x: 0.5 * jnp.sum(2 * x**2)), squares, wrt="x", **FEW).ok


def test_custom_rules():
    assert verify(cube, **FEW).verdict == "agrees"
    assert verify(pushed, **FEW).verdict == "agrees"
    outcome = verify(bad_cube, **FEW)
    assert outcome.verdict == "wrong" and outcome.diagnosis.kind == "cotangent", outcome
    assert verify(wrong_value, **FEW).verdict == "wrong"


def test_a_rule_that_is_wrong_when_differentiated_again():
    outcome = verify(wrong_twice, **FEW)
    assert outcome.verdict == "wrong" and outcome.relation == "custom_vjp", outcome
    assert outcome.diagnosis.text.startswith("Differentiated once more: "), outcome


# --- at= -----------------------------------------------------------------------------------------------------


def untyped_ridge(W, X, Y):
    return jnp.sum((Y - W @ X) ** 2)


def untyped_gradient(W, X, Y):
    return 2 * (W @ X - Y) @ X.T


W, X, Y = (np.random.default_rng(0).normal(size=s).astype(np.float32) for s in ((2, 3), (3, 5), (2, 5)))


def test_at_a_call():
    outcome = verify(untyped_gradient, untyped_ridge, wrt="W", at=(W, X, Y), backends=("numpy",), cases=40)
    assert outcome.ok and [c.dtype for c in outcome.cells] == ["float64", "float32"]
    assert outcome.cases == 40 and outcome.fresh_shapes <= 2
    wrong = verify(lambda W, X, Y: (W @ X - Y) @ X.T, untyped_ridge, wrt="W", at=(W, X, Y), backends=("numpy",))
    assert wrong.verdict == "wrong" and wrong.diagnosis.value == "1/2", wrong
    named = {"W": W, "X": X, "Y": Y}
    assert verify(untyped_gradient, untyped_ridge, wrt="W", at=named, backends=("numpy",), cases=10).ok


def test_the_first_case_is_the_call_itself_and_the_others_lie_around_it():
    draws = FixedDraws(claim_of(untyped_gradient, untyped_ridge, "W"), 0, (W, X, Y))
    first, *others = (draws.case(i, "float32") for i in range(20))
    for mine, theirs in zip(first.values, (W, X, Y), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    for case in others:
        assert [v.shape for v in case.values] == [W.shape, X.shape, Y.shape]
        assert not np.array_equal(case.values[0], W)
        assert sorted(np.sign(case.values[0]).ravel()) == sorted(np.sign(W).ravel())


def test_at_with_a_tree_an_option_and_whole_numbers():
    def loss(params, x, kind, steps):
        for _ in range(steps):
            x = jnp.tanh(params["w"] * x)
        return jnp.sum(x) if kind == "sum" else jnp.mean(x)

    def hand(params, x, kind, steps):
        return jax.grad(loss)(params, x, kind, steps)

    at = ({"w": jnp.float32(0.5)}, jnp.ones(3), "sum", 2)
    assert verify(hand, loss, wrt="params", at=at, backends=("numpy",), cases=10).ok


def test_at_that_does_not_fit():
    with pytest.raises(TypeError, match=r"at=: untyped_ridge\(W, X, Y\) cannot be called with it: missing"):
        verify(untyped_gradient, untyped_ridge, wrt="W", at=(W, X))


def test_given():
    def loss(x) -> Float[Array, ""]:
        return jnp.sum(x**2)

    strategy = st.lists(st.floats(-3, 3), min_size=1, max_size=4).map(np.array)
    assert verify(lambda x: 2 * x, loss, wrt="x", given={"x": strategy}, **FEW).ok


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: verify(untyped_gradient), "'untyped_gradient' carries no claim; put gradient_of"),
        (lambda: verify(right, wrt="x"), "at= and wrt= need the reference"),
        (lambda: verify(3, squares, wrt="x"), "got int; wanted the hand-written function"),
        (lambda: verify(lambda x: x, squares), "a gradient needs wrt=: the name of the argument, or a tuple"),
        (lambda: assert_derivative(untyped_gradient), "'untyped_gradient' carries no claim"),
    ],
)
def test_what_is_no_claim(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_the_same_seed_gives_the_same_outcome():
    one, two, three = (verify(wrong, seed=s, **FEW) for s in (1, 1, 2))
    assert one.counterexample.id == two.counterexample.id != three.counterexample.id


def test_what_the_package_offers():
    assert package.verify is verify and callable(package.read_record)
    with pytest.raises(AttributeError, match="module 'verify' has no attribute 'verfy'"):
        package.verfy  # noqa: B018


# --- verify.testing ------------------------------------------------------------------------------------------


def test_assert_derivative():
    assert assert_derivative(right, dtypes=("float64",), cases=30).verdict == "agrees"
    assert_derivative(lambda x: 2 * x, squares, wrt="x")
    assert_derivative(untyped_gradient, untyped_ridge, wrt="W", at=(W, X, Y), cases=20)
    assert len(assert_derivative([right, cube], cases=20)) == 2
    assert assert_derivative(lambda x, dx: 2 * dx, squares, wrt="x", relation="hvp", cases=20).ok
    with pytest.raises(AssertionError) as raised:
        assert_derivative(lambda x: x, squares, wrt="x", name="halved")
    message = str(raised.value)
    assert message.startswith("halved - wrong: ") and "exactly 1/2 of the\n  gradient" in message
    assert "hand " in message and "oracle " in message
    with pytest.raises(AssertionError, match="exactly 3/2"):
        assert_derivative([right, wrong], cases=20)


def test_what_an_assertion_says_is_short_and_repeats_it():
    def failing(**options):
        with pytest.raises(AssertionError) as raised:
            assert_derivative(lambda x: x + 0 * x[0], squares, wrt="x", name="halved", **options)
        return str(raised.value).splitlines()

    lines = failing()
    assert len(lines) < 20 and all(len(line) <= 72 for line in lines), lines
    seed = re.fullmatch(r"  replay: assert_derivative\(\.\.\., seed=(\d+)\)", lines[-1])
    assert seed and failing(seed=int(seed[1])) == lines


def test_assertions_follow_the_hypothesis_profile():
    """``max_examples`` scales the cases; ``derandomize`` means the same ones every time."""
    before = settings.get_current_profile_name()
    settings.register_profile("of this test", max_examples=50, derandomize=True)
    settings.load_profile("of this test")
    try:
        assert assert_derivative(lambda x: 2 * x, squares, wrt="x").cases == 100
        assert assert_derivative(lambda x: 2 * x, squares, wrt="x", cases=12).cases == 12
        with pytest.raises(AssertionError, match=r"seed=0\)$"):
            assert_derivative(lambda x: x, squares, wrt="x")
    finally:
        settings.load_profile(before)


def test_assert_derivative_with_an_expected_verdict():
    claim = Claim(**{**vars(claim_of(lambda x: x, squares, "x")), "expect": "wrong"})
    assert assert_derivative(claim, cases=20).verdict == "wrong"
