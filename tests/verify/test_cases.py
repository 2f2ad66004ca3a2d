"""Cases: an index is a case, bit for bit; structures vary in ranks, options and drawn pytrees."""

import dataclasses
from typing import Annotated, Literal, NamedTuple, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jaxtyping import Array, Complex, Float, Float32, Int, Key

from handgrad.domains import index, integers, simplex
from tests.verify.judging import engine_of, judged
from verify.api import claim_of
from verify.drawing.cases import DTYPES
from verify.drawing.draws import Draws
from verify.drawing.specification import SignatureError

N = Float[Array, "n"]
Scalar = Float[Array, ""]


def ridge(W: Float[Array, "m n"], X: Float[Array, "n N"]) -> Scalar:
    return jnp.sum((W @ X) ** 2)


def draws(reference=ridge, wrt="W", relation="gradient", given=None, seed=0):
    return Draws(claim_of(lambda *a, **k: a[0], reference, wrt, relation, given), seed)


def bits(case):
    return [(x.dtype.name, x.shape, x.tobytes()) for x in (*case.values, *case.extra)]


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_index_is_a_case(dtype):
    """In any order, in any process: nothing but seed, claim, dtype and index decides."""
    one, two = draws(), draws()
    backwards = {i: two.case(i, dtype) for i in reversed(range(30))}
    for i in range(30):
        case = one.case(i, dtype)
        assert case.id == backwards[i].id and case.dims == backwards[i].dims
        assert bits(case) == bits(backwards[i])
        assert all(v.dtype.name == dtype for v in case.values)


def test_what_changes_a_case():
    def other(W: Float[Array, "m n"], X: Float[Array, "n N"]) -> Scalar:
        return jnp.sum(W @ X)

    first = bits(draws().case(20, "float64"))
    assert first != bits(draws(seed=1).case(20, "float64"))
    assert first != bits(draws().case(21, "float64"))
    assert draws().case(3, "float64").id == f"lambda-{draws().number % 16**6:06x}-0-float64-3"


@pytest.mark.parametrize(
    ("name", "start"), [("<lambda>", "lambda-"), ("∂f/∂x", "f__x-"), ("..", "claim-"), ("f.vjp", "f.vjp-")]
)
def test_ids_can_be_pasted(name, start):
    claim = claim_of(lambda x: x, ridge, "W", name=name)
    assert Draws(claim, 0).case_id(5, "float64").startswith(start)


def test_extra_belongs_to_the_case():
    def product(W: Float[Array, "m n"], x: N) -> Float[Array, "m"]:
        return W @ x

    cases = [
        engine_of(claim_of(lambda W, x, cotangent: cotangent[:, None] * x, product, "W", "vjp")).case(7, "float64")
        for _ in range(2)
    ]
    assert bits(cases[0]) == bits(cases[1]) and cases[0].extra[0].shape == cases[0].values[0].shape[:1]


def test_resized_and_other_dtypes():
    d = draws()
    case = d.case(11, "float32")
    again = d.resized(case, {"m": 2, "n": 3, "N": 4})
    assert [v.shape for v in again.values] == [(2, 3), (3, 4)] and again.values[0].dtype == np.float32
    assert bits(again) == bits(d.resized(case, {"m": 2, "n": 3, "N": 4}))


def test_ties_across_arguments():
    def two(x: N, y: N) -> N:
        return jnp.maximum(x, y)

    cases = [draws(two, "x").case(i, "float64") for i in range(300)]
    assert any((c.values[0] == c.values[1]).any() and c.values[0].any() for c in cases)


# --- dtypes -------------------------------------------------------------------------------------------------


def test_dtypes_follow_the_annotations():
    def single(x: Float32[Array, "n"]) -> Scalar:
        return jnp.sum(x)

    def mixed(x: Float32[Array, "n"], y: N) -> Scalar:
        return jnp.sum(x)

    def complex_valued(z: Complex[Array, "n"]) -> Scalar:
        return jnp.sum(jnp.abs(z))

    assert draws().dtypes() == DTYPES
    assert draws(single, "x").dtypes() == ("float32",)
    assert draws(mixed, "y").dtypes() == DTYPES
    assert draws(complex_valued, "z").dtypes() == ("float64", "float32")
    case = draws(mixed, "y").case(3, "bfloat16")
    assert [v.dtype.name for v in case.values] == ["float32", "bfloat16"]
    assert draws(complex_valued, "z").case(3, "float32").values[0].dtype == np.complex64


# --- structures ---------------------------------------------------------------------------------------------


def test_variadic_axes_have_several_ranks():
    def summed(x: Float[Array, "*batch n"], y: Float[Array, "*batch"]) -> Scalar:
        return jnp.sum(x) + jnp.sum(y)

    cases = [draws(summed, "x").case(i, "float64") for i in range(30)]
    assert {c.values[0].ndim for c in cases} == {1, 2, 3}
    assert all(c.values[0].shape[:-1] == c.values[1].shape for c in cases)
    assert judged(lambda x, y: jnp.ones_like(x), summed, cases=30).verdict == "agrees"
    assert judged(lambda x, y: jnp.ones_like(x) * (1 + (x.ndim == 3)), summed, cases=30).verdict == "wrong"


def test_dots():
    def summed(x: Float[Array, "... n"]) -> Scalar:
        return jnp.sum(x**2)

    assert {draws(summed, "x").case(i, "float64").values[0].ndim for i in range(9)} == {1, 2, 3}
    assert judged(lambda x: 2 * x, summed, cases=30).verdict == "agrees"


def test_every_static_option_is_tried():
    def activated(
        x: N, kind: Literal["tanh", "exp"], twice: bool, power: Annotated[int, integers(1, 3)], eps: float = 0.0
    ) -> Scalar:
        return jnp.sum(getattr(jnp, kind)(x) * (1 + twice)) + 0 * jnp.sum(x) ** power

    cases = [draws(activated, "x").case(i, "float64") for i in range(12)]
    assert len({str(c.structure) for c in cases}) == 12
    assert "kind='tanh'" in str(cases[0].structure)

    def hand(x, kind, twice, power, eps):
        slope = 1 - jnp.tanh(x) ** 2 if kind == "tanh" else jnp.exp(x)
        return slope * (2 if twice and power < 3 else 1)

    outcome = judged(hand, activated, cases=60)
    assert outcome.verdict == "wrong", outcome


class Layer(NamedTuple):
    W: Float[Array, "m n"]
    b: Float[Array, "m"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Network:
    first: Layer
    scale: Scalar


class Options(TypedDict):
    layers: tuple[Layer, Layer]
    kind: Literal["mean", "sum"]


def test_pytrees():
    def loss(net: Network, x: N) -> Scalar:
        return net.scale * jnp.sum(jnp.tanh(net.first.W @ x + net.first.b))

    def hand(net, x):
        a = jnp.tanh(net.first.W @ x + net.first.b)
        delta = net.scale * (1 - a**2)
        return Network(Layer(jnp.outer(delta, x), delta), jnp.sum(a))

    case = draws(loss, "net").case(1, "float64")
    assert [leaf.label for leaf in case.structure.leaves] == ["net.first.W", "net.first.b", "net.scale", "x"]
    built = case.structure.build(case.values)
    assert isinstance(built["net"], Network) and built["net"].first.W is case.values[0]
    assert judged(hand, loss, "net", cases=40).verdict == "agrees"

    def wrong(net, x):
        right = hand(net, x)
        return Network(right.first._replace(b=2 * right.first.b), right.scale)

    outcome = judged(wrong, loss, "net", cases=40)
    assert outcome.verdict == "wrong" and "b" in outcome.diagnosis.text, outcome


def test_typed_dicts_and_nested_options():
    def loss(options: Options) -> Scalar:
        total = sum(jnp.sum(layer.W) + jnp.sum(layer.b) for layer in options["layers"])
        return total if options["kind"] == "sum" else total / 2

    kinds = {draws(loss, "options").case(i, "float64").structure.statics["options['kind']"] for i in range(4)}
    assert kinds == {"mean", "sum"}

    def hand(options):
        slope = 1.0 if options["kind"] == "sum" else 0.5
        layers = [Layer(jnp.full_like(q.W, slope), jnp.full_like(q.b, slope)) for q in options["layers"]]
        return {"layers": tuple(layers), "kind": None}

    assert judged(hand, loss, "options", cases=30).verdict == "agrees"


def test_keys_and_indices():
    def loss(x: Float[Array, "n k"], key: Key[Array, ""], i: Annotated[Int[Array, "n"], index("k")]) -> Scalar:
        noise = jax.random.normal(key, x.shape, x.dtype)
        return jnp.sum(noise * x) + jnp.sum(jnp.take_along_axis(x, i[:, None], 1))

    def hand(x, key, i):
        return jax.random.normal(key, x.shape, x.dtype) + jax.nn.one_hot(i, x.shape[1], dtype=x.dtype)

    outcome = judged(hand, loss, cases=6)
    assert outcome.verdict == "agrees", outcome
    assert judged(lambda x, key, i: jax.random.normal(key, x.shape, x.dtype), loss, cases=6).verdict == "wrong"


# --- given= -------------------------------------------------------------------------------------------------


def floats(shape):
    return hnp.arrays(np.float64, shape, elements=st.floats(-2, 2, width=32))


def network(sizes):
    """A network whose input has the drawn size n."""
    widths = st.lists(st.integers(1, 4), min_size=1, max_size=2)

    def of(ws):
        shapes = zip(ws, [sizes["n"], *ws[:-1]], strict=True)
        return st.tuples(*(st.builds(Layer, floats((o, i)), floats((o,))) for o, i in shapes))

    return widths.flatmap(of)


def forward(params, x: N) -> Scalar:
    for layer in params:
        x = jnp.tanh(layer.W @ x + layer.b)
    return jnp.sum(x)


def backward(params, x):
    activations = [x]
    for layer in params:
        activations.append(jnp.tanh(layer.W @ activations[-1] + layer.b))
    delta, out = jnp.ones_like(activations[-1]), []
    for layer, before, after in zip(params[::-1], activations[-2::-1], activations[:0:-1], strict=True):
        delta = delta * (1 - after**2)
        out.append(Layer(jnp.outer(delta, before), delta))
        delta = layer.W.T @ delta
    return tuple(out[::-1])


def test_a_strategy_that_follows_the_drawn_sizes():
    given = {"params": network}
    d = draws(forward, "params", given=given)
    cases = [d.case(i, "float32") for i in range(40)]
    assert {len(c.structure.build(c.values)["params"]) for c in cases} == {1, 2}
    for case in cases:
        built = case.structure.build(case.values)
        assert built["params"][0].W.shape[1] == built["x"].shape[0]
        assert all(v.dtype == np.float32 for v in case.values)  # cast to the dtype under test
    again = draws(forward, "params", given=given)
    assert all(bits(again.case(i, "float32")) == bits(c) for i, c in enumerate(cases))


def test_a_network_of_the_drawn_sizes_is_traced_once():
    outcome = judged(backward, forward, "params", given={"params": network}, cases=40)
    assert outcome.verdict == "agrees" and outcome.cells[0].engine == "symbolic", outcome


def test_a_mistake_in_the_second_layer_only():
    def wrong(params, x):
        right = backward(params, x)
        return (*right[:1], *(Layer(2 * q.W, q.b) for q in right[1:]))

    outcome = judged(wrong, forward, "params", given={"params": network}, cases=40)
    assert outcome.verdict == "wrong" and "params[1]" in str(outcome), outcome


def test_joint_keys():
    def loss(x, w) -> Scalar:
        return jnp.sum(w * x**2)

    pairs = st.integers(1, 5).flatmap(lambda n: st.tuples(floats((n,)), floats((n,))))
    d = draws(loss, "x", given={("x", "w"): pairs})
    cases = [d.case(i, "float64") for i in range(30)]
    assert all(c.values[0].shape == c.values[1].shape for c in cases)
    assert len({c.values[0].shape for c in cases}) > 1
    given = {("x", "w"): pairs}
    assert judged(lambda x, w: 2 * w * x, loss, given=given, cases=40).verdict == "agrees"
    assert judged(lambda x, w: 2 * x, loss, given=given, cases=40).verdict == "wrong"


def test_python_values_of_a_strategy():
    """Floats are data, whole numbers and words are options."""

    def loss(x: N, options) -> Scalar:
        scale = options["scale"] if options["kind"] == "scaled" else 1.0
        return scale * jnp.sum(x ** options["power"])

    strategy = st.fixed_dictionaries(
        {"scale": st.floats(0.5, 2), "power": st.integers(1, 3), "kind": st.sampled_from(["scaled", "plain"])}
    )

    def hand(x, options):
        scale = options["scale"] if options["kind"] == "scaled" else 1.0
        return scale * options["power"] * x ** (options["power"] - 1)

    outcome = judged(hand, loss, given={"options": strategy}, cases=60)
    assert outcome.verdict == "agrees", outcome


def test_a_narrow_strategy_is_tried_at_many_sizes():
    def loss(x: N, kind) -> Scalar:
        return jnp.sum(x**2) if kind == "sum" else jnp.mean(x**2)

    kinds = {"kind": st.sampled_from(["sum", "mean"])}
    d = draws(loss, "x", given=kinds)
    cases = [d.case(i, "float64") for i in range(60)]
    assert len({c.values[0].size for c in cases}) > 8
    wrong = lambda x, kind: 2 * x / (1 if kind == "sum" else 7)  # noqa: E731
    assert judged(wrong, loss, given=kinds, cases=40).verdict == "wrong"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": 42}, r"given=\{'x': ...\} is 42; wanted a Hypothesis strategy, or a function"),
        ({"x": lambda sizes: 3}, "given= for x: the function returned int; wanted a Hypothesis strategy"),
        ({("x", "w"): st.just(1.0)}, r"given= for \('x', 'w'\) drew float; wanted a tuple of 2"),
        ({"x": st.nothing()}, "the strategy in given= drew no example: loosen its filters"),
    ],
)
def test_bad_strategies(given, message):
    def loss(x: N, w: N) -> Scalar:
        return jnp.sum(w * x)

    with pytest.raises(SignatureError, match=message):
        draws(loss, "x", given=given).case(0, "float64")


def test_a_constraint_holds_for_given_values_only_as_drawn():
    def loss(z: N, t: Annotated[N, simplex]) -> Scalar:
        return jnp.sum(z * t)

    case = draws(loss, "z", given={"z": lambda sizes: floats((sizes["n"],))}).case(2, "float64")
    z, t = case.structure.build(case.values).values()
    assert z.shape == t.shape and abs(t.sum() - 1) < 1e-12
