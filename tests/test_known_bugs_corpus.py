"""The corpus of real mistakes is what it says: checked by hand-drawn inputs alone, without ``verify``.

Every right version equals JAX's derivative to 1e-9 in float64 at ordinary points; every wrong version
differs from the right one somewhere.
"""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.known_bugs.drawing import claims, draw, like, load
from tests.share import share


@pytest.fixture(autouse=True)
def user_configuration():
    """The corpus is judged under JAX's defaults, in float64; compiled fast, since nothing runs twice."""
    jax.config.update("jax_disable_most_optimizations", True)
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
    jax.config.update("jax_disable_most_optimizations", False)


# --- the two sides ---------------------------------------------------------------------------------


def both_sides(claim, arguments, rng):
    """What the hand function returns, and what JAX does: two functions of nothing."""
    relation, hand, reference, wrt, is_tuple = claim
    values = tuple(arguments.values())
    wrt = wrt or tuple(arguments)  # a custom rule: every argument
    at = tuple(arguments[name] for name in wrt)
    every = tuple(range(len(wrt)))
    tangents = like(at, rng)
    directions = {f"d{name}": t for name, t in zip(wrt, tangents, strict=True)}

    def f(*chosen):
        return reference(**(arguments | dict(zip(wrt, chosen, strict=True))))

    def bare(gradients):
        return gradients if is_tuple else gradients[0]

    cotangent = like(jax.eval_shape(f, *at), rng)
    match relation:
        case "gradient":
            return lambda: hand(*values), lambda: bare(jax.grad(f, every)(*at))
        case "jvp":
            return lambda: hand(*values, **directions), lambda: jax.jvp(f, at, tangents)[1]
        case "hvp":
            theirs = lambda: bare(jax.jvp(jax.grad(f, every), at, tangents)[1])  # noqa: E731
            return lambda: hand(*values, **directions), theirs
        case "vjp":
            return lambda: hand(*values, cotangent=cotangent), lambda: bare(jax.vjp(f, *at)[1](cotangent))
        case "rule":
            return (
                lambda: rule_derivatives(hand, cotangent, at, tangents),
                lambda: rule_derivatives(reference, cotangent, at, tangents),
            )
    raise NotImplementedError(relation)


def rule_derivatives(function, weights, at, tangents):
    """The gradient of a weighted sum of the outputs, and its derivative once more."""

    def gradient(*args):
        return jax.grad(lambda *a: jnp.sum(weights * function(*a)), tuple(range(len(at))))(*args)

    first = gradient(*at)
    return first, jax.grad(lambda *a: sum(map(jnp.vdot, gradient(*a), tangents)), tuple(range(len(at))))(*at)


def differ(a, b, rtol=1e-9, atol=1e-9):
    """Whether two structures differ in shape or by more than the tolerance; NaN differs from any number."""
    a, b = jax.tree.leaves(a), jax.tree.leaves(b)
    if len(a) != len(b):
        return True
    for x, y in zip(map(np.asarray, a), map(np.asarray, b), strict=True):
        if x.shape != y.shape or not np.allclose(x, y, rtol, atol, equal_nan=True):
            return True
    return False


# --- tests -----------------------------------------------------------------------------------------

CORPUS = load("corpus")
WRONG = claims("wrong", "wrong_more") | {n: c for n, c in claims("subtle").items() if n.endswith("_wrong")}
RIGHT = claims("right", "right_more") | {n: c for n, c in claims("subtle").items() if n.endswith("_right")}
INVENTED = claims(*CORPUS.INVENTED)
WRONG |= {n: c for n, c in INVENTED.items() if n.endswith("_wrong")}
RIGHT |= {n: c for n, c in INVENTED.items() if n.endswith("_right")}
AUTODIFF = claims("autodiff_wrong")

# JAX is, so ordinary points tell nothing.
WRONG_ALMOST_EVERYWHERE = ("AD02_sqrt", "AD11")

# Arguments (in float32) and cotangent where jax.grad is wrong, and what is right there.
WHERE_AUTODIFF_IS_WRONG = {
    "AD01": ([[0.0, 0.0]], None, [0.0, 0.0]),
    "AD02_sqrt": ([[0.0]], [1.0], [1.0]),
    "AD02_expm1": ([[100.0]], [1.0], [1.0]),
    "AD04_sigmoid": ([[18.0]], [1.0], [1.522998e-8]),
    "AD04_tanh": ([[10.0]], [1.0], [8.244615e-9]),
    "AD04_expm1": ([[-20.0]], [1.0], [2.061154e-9]),
    "AD04_elu": ([[-20.0]], [1.0], [2.061154e-9]),
    "AD04_selu": ([[-20.0]], [1.0], [3.623713e-9]),
    "AD07": ([[0.0, 0.0, 0.0], [1.0, 0.0, 1.0]], None, [0.5, 0.5, 0.5]),
    "AD08": ([[1e7]], [1.0], [1.0]),
    "AD09": ([[1e-4]], [1.0], [-3.289868e-4]),
    "AD10_first": ([[0.0]], [1.0], [0.0]),
    "AD10_second": ([[0.0]], [1.0], [0.5]),
    "AD11": ([[-16.5, -3.25, 0.75]], [1.0, 1.0, 2.0], [9.810798, 19.474085, 5.083759]),
    "AD12_eigh": ([[[1.0, 0.0], [0.0, 1.0]]], [[1.0, 0.0], [0.0, 0.0]], [[2.718282, 0.0], [0.0, 0.0]]),
    "AD12_svd": ([[[1.0, 0.0], [0.0, 1.0]]], [[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [3.0, 4.0]]),
    "AD13": ([[10.0]], [1.0], [0.0]),
    "AD14": ([[1.0, 1.0, 1.0]], None, [0.0, 0.0, 0.0]),
    "AD15": ([[0.0], [0]], [1.0], [0.0]),
    "AD16": ([[-5.0]], [1.0], [-1.546362e-6]),
    "AD17_softmax": ([[18.0, 0.0]], [1.0, 0.0], [1.522998e-8, -1.522998e-8]),
    "AD17_log_softmax": ([[18.0, 0.0]], [1.0, 0.0], [1.522998e-8, -1.522998e-8]),
    "AD20_relu": ([[0.0]], [1.0], [1.0]),
    "AD20_max_with_zero": ([[0.0]], [1.0], [0.0]),
    "AD20_abs": ([[0.0]], [1.0], [0.0]),
    "AD20_clip": ([[0.0, 1.0]], [1.0, 1.0], [1.0, 1.0]),
    "AD20_hypot": ([[0.0], [0.0]], [1.0], ([0.0], [0.0])),
    "AD20_max_ties": ([[1.0, 1.0]], None, [1.0, 0.0]),
}


def test_every_expressible_entry_has_both_versions():
    assert [name.replace("_wrong", "_right") for name in WRONG] == list(RIGHT)
    entries = {CORPUS.entry_of(name) for name in WRONG} - {"subtle"}
    assert entries == (set(CORPUS.CLASS_OF) - set(CORPUS.NOT_EXPRESSIBLE)) | set(CORPUS.INVENTED_CLASS_OF)
    assert len(set(CORPUS.CLASS_OF) - set(CORPUS.NOT_EXPRESSIBLE) - set(CORPUS.STAND_INS)) >= 36
    assert {CORPUS.entry_of(name) for name in AUTODIFF} == (
        {f"AD{number:02}" for number in range(1, 21)} - set(CORPUS.AUTODIFF_NOT_CLAIMED)
    )


@pytest.mark.parametrize("name", share(8, [*RIGHT, *(n for n in AUTODIFF if n not in WRONG_ALMOST_EVERYWHERE)]))
def test_right_version_is_the_derivative(name):
    claim = (RIGHT | AUTODIFF)[name]
    for seed in range(2 if name in RIGHT else 1):
        arguments, rng = draw(claim, seed, special=False)
        arrays = {name: x for name, x in arguments.items() if isinstance(x, jax.Array)}

        @jax.jit
        def both(arrays):
            hand, reference = both_sides(claim, arguments | arrays, rng)
            return hand(), reference()

        hand, true = both(arrays)
        assert not differ(hand, true), (name, seed, hand, true)


@pytest.mark.parametrize("name", share(8, WRONG))
def test_wrong_version_is_not(name):
    wrong, right = WRONG[name], RIGHT[name.replace("_wrong", "_right")]
    inaccurate = CORPUS.entry_of(name) in CORPUS.INACCURATE
    for seed in range(60):
        arguments, rng = draw(wrong, seed, special=seed > 3)
        state = rng.bit_generator.state
        first = both_sides(wrong, arguments, rng)[0]()
        rng.bit_generator.state = state
        second = both_sides(right, arguments, rng)[0]()
        if differ(first, second, 1e-15 if inaccurate else 1e-12, 0 if inaccurate else 1e-12):
            return
    pytest.fail(f"{name} and its right version agree on every draw")


@pytest.mark.parametrize("name", share(2, AUTODIFF))
def test_autodiff_is_still_wrong_where_the_hand_function_is_right(name):
    relation, hand, reference, wrt, is_tuple = AUTODIFF[name]
    arguments, cotangent, right = WHERE_AUTODIFF_IS_WRONG[name]
    with jax.enable_x64(False):
        values = [jnp.asarray(x) for x in arguments]
        at = [list(inspect.signature(reference).parameters).index(w) for w in wrt]
        if relation == "hvp":
            direction = jnp.asarray(cotangent)
            mine = hand(*values, dx=direction)
            theirs = jax.jvp(jax.grad(reference), (values[0],), (direction,))[1]
        else:
            extra = {} if cotangent is None else {"cotangent": jnp.asarray(cotangent)}
            mine = hand(*values, **extra)
            theirs = jax.grad(lambda *a: jnp.vdot(reference(*a), extra.get("cotangent", 1.0)), at)(*values)
            theirs = theirs if is_tuple else theirs[0]
    right = jax.tree.map(jnp.asarray, right, is_leaf=lambda x: isinstance(x, list))
    assert not differ(mine, right, 1e-4, 1e-12)
    assert differ(theirs, mine, 1e-3, 1e-12)
