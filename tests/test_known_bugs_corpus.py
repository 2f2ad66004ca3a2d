"""The corpus of real mistakes is what it says: checked by hand-drawn inputs alone, without ``verify``.

Every right version equals JAX's derivative to 1e-9 in float64 at ordinary points; every wrong version
differs from the right one somewhere.
"""

import importlib
import inspect
import sys
import typing
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handgrad import registered_claims

FOLDER = Path(__file__).parent / "known_bugs"
SIZES = (
    dict(b=2, d=3, g=2, h=4, k=3, m=2, n=5, p=2, q=3, w=5, L=4, N=3, V=6),
    dict(b=3, d=1, g=1, h=3, k=2, m=1, n=3, p=1, q=5, w=3, L=5, N=1, V=3),
)
SPECIAL = np.array([0.0, 0.0, 0.0, 1.0, -1.0, 0.5, 4.0, -4.0, 3.2, 40.0, 90.0, 1e-3, -1e-3])


def load(name):
    """A module of the corpus, imported as a neighbour of the others."""
    sys.path.insert(0, str(FOLDER))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture(autouse=True)
def user_configuration():
    """The corpus is judged under JAX's defaults, in float64; compiled fast, since nothing runs twice."""
    jax.config.update("jax_disable_most_optimizations", True)
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
    jax.config.update("jax_disable_most_optimizations", False)


def claims(*names):
    """Name -> (relation, hand, reference, wrt, wrt_is_tuple) of everything that these modules claim."""
    found = {}
    for module in map(load, names):
        for c in registered_claims(module.__name__):
            found[c.name] = (c.relation, c.hand, c.reference, c.wrt, c.wrt_is_tuple)
        for name, value in vars(module).items():
            if isinstance(value, jax.custom_vjp | jax.custom_jvp):
                found[name] = ("rule", value, value.fun, (), True)
    return found


# --- drawing -------------------------------------------------------------------------------------


def draw(claim, seed, special):
    """Arguments of a claim as a dict, drawn from its annotations; and the generator, to go on with."""
    rng = np.random.default_rng(seed)
    sizes = SIZES[seed % len(SIZES)]
    _, hand, reference, *_ = claim
    own = typing.get_type_hints(hand, include_extras=True) if inspect.isfunction(hand) else {}
    shared = typing.get_type_hints(reference, include_extras=True)
    hints = {name: own.get(name, shared.get(name)) for name in inspect.signature(reference).parameters}
    return {name: draw_one(hint, sizes, rng, special) for name, hint in hints.items()}, rng


def draw_one(hint, sizes, rng, special):
    domain = None
    if typing.get_origin(hint) is typing.Annotated:
        hint, domain = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return rng.choice(typing.get_args(hint)).item()
    if hint is bool:
        return bool(rng.integers(2))
    if hint is int:
        return int(rng.integers(domain.low, domain.high + 1))
    shape = tuple(eval(part, {}, sizes) for part in hint.dim_str.split())
    kind = hint.dtype.__name__
    if kind == "Bool":
        return jnp.asarray(rng.integers(2, size=shape) == 1)
    if kind == "Int":
        high = sizes.get(domain.size, domain.size) if domain.kind == "index" else domain.high + 1
        return jnp.asarray(rng.integers(0 if domain.kind == "index" else domain.low, high, size=shape))
    x = rng.normal(size=shape)
    if kind == "Complex":
        return jnp.asarray(x + 1j * rng.normal(size=shape))
    return jnp.asarray(restricted(x, domain, rng, special))


def restricted(x, domain, rng, special):
    match domain.kind if domain else "real":
        case "spd":
            return x @ x.T + np.eye(len(x))
        case "symmetric":
            return (x + x.T) / 2
        case "positive":
            return np.exp(x) * (1e12 if special and rng.random() < 0.5 else 1)
        case "nonnegative":
            return np.abs(x) * (rng.random(x.shape) < 0.7 if special else 1)
        case "lower_triangular":
            return np.tril(x) + 3 * np.eye(len(x))
        case "interval":
            return rng.uniform(domain.low, domain.high, size=x.shape)
    if not special:
        return x
    if rng.random() < 0.3:
        return 0.01 * x
    x = np.where(rng.random(x.shape) < 0.7, rng.choice(SPECIAL, size=x.shape), x)
    if x.ndim > 1:  # a slice of zeros
        x[0] = 0
    return x


# --- the two sides ---------------------------------------------------------------------------------


def like(tree, rng):
    """Random numbers in the structure of a tree."""

    def one(leaf):
        x = rng.normal(size=leaf.shape)
        return jnp.asarray(x + 1j * rng.normal(size=leaf.shape) if jnp.iscomplexobj(leaf) else x)

    return jax.tree.map(one, tree)


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
    assert entries == set(CORPUS.CLASS_OF) - set(CORPUS.NOT_EXPRESSIBLE)
    assert {CORPUS.entry_of(name) for name in AUTODIFF} == (
        {f"AD{number:02}" for number in range(1, 21)} - set(CORPUS.AUTODIFF_NOT_CLAIMED)
    )


@pytest.mark.parametrize("name", [*RIGHT, *(n for n in AUTODIFF if n not in WRONG_ALMOST_EVERYWHERE)])
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


@pytest.mark.parametrize("name", WRONG)
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


@pytest.mark.parametrize("name", AUTODIFF)
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
