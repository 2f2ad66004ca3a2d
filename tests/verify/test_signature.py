"""Signatures: what annotations and given= say of every argument, and what is said where they do not."""

import dataclasses
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import jax
import jax.numpy as jnp
import pytest
from hypothesis import strategies as st
from jaxtyping import Array, BFloat16, Bool, Complex, Float, Float32, Int, Key

from handgrad.domains import index, integers, positive, real, simplex, spd
from verify.api import claim_of
from verify.drawing.annotations import read
from verify.drawing.signature import signature_of
from verify.drawing.specification import ArraySpec, GivenSpec, SignatureError, StaticSpec, TreeSpec


def signature(reference, hand=None, wrt="x", relation="gradient", given=None):
    return signature_of(claim_of(hand or (lambda *a, **k: None), reference, wrt, relation, given))


def spec_of(annotation):
    return read(annotation, "f: argument 'x'")


@pytest.mark.parametrize(
    ("annotation", "kind", "dtype"),
    [
        (Float[Array, "n"], "float", None),
        (Float32[Array, "n"], "float", "float32"),
        (BFloat16[Array, "n"], "float", "bfloat16"),
        (Int[Array, "n"], "int", None),
        (Bool[Array, "n"], "bool", None),
        (Complex[Array, "n"], "complex", None),
        (Key[Array, "n"], "key", None),
    ],
)
def test_arrays(annotation, kind, dtype):
    found = spec_of(annotation)
    assert isinstance(found, ArraySpec) and (found.kind, found.dtype) == (kind, dtype)
    assert [a.text for a in found.axes] == ["n"] and found.domain is real


@pytest.mark.parametrize(
    ("shape", "axes", "variadic"),
    [
        ("", [], []),
        ("m n", ["m", "n"], []),
        ("3 n", ["3", "n"], []),
        ("n+1 2*m", ["n+1", "2*m"], []),
        ("*batch n", ["batch", "n"], ["batch"]),
        ("... n", ["...", "n"], ["..."]),
        ("_ n", ["anonymous", "n"], []),
        ("rows=m n", ["m", "n"], []),
        ("#n", ["n"], []),
    ],
)
def test_shapes(shape, axes, variadic):
    found = spec_of(Float[Array, shape])
    assert [a.text for a in found.axes] == axes
    assert [a.text for a in found.axes if a.variadic] == variadic


def test_dimensions_in_order_of_appearance():
    def f(x: Float[Array, "m n"], y: Float[Array, "n+k 3"], i: Annotated[Int[Array, "N"], index("V")]):
        return x

    found = signature(f)
    assert found.dims == ("m", "n", "k", "N", "V") and found.variadics == ()


def test_domains():
    assert spec_of(Annotated[Float[Array, "n n"], spd]).domain is spd
    assert spec_of(Annotated[Float[Array, "n"], "a comment", simplex]).domain is simplex
    assert str(spec_of(Annotated[Float[Array, "n"], positive])) == 'Float[Array, "n"] in positive'


@pytest.mark.parametrize(
    ("annotation", "values"),
    [
        (bool, (False, True)),
        (Literal["relu", "tanh"], ("relu", "tanh")),
        (Annotated[int, integers(1, 4)], (1, 2, 3, 4)),
    ],
)
def test_static_options(annotation, values):
    assert spec_of(annotation) == StaticSpec(values)


def test_python_numbers():
    assert spec_of(float) == ArraySpec("float", None, ()) and spec_of(int) == ArraySpec("int", None, ())


class Layer(NamedTuple):
    W: Float[Array, "m n"]
    b: Float[Array, "m"]


@dataclasses.dataclass
class Pair:
    left: Layer
    right: Annotated[Float[Array, "m"], positive]


class Named(TypedDict):
    scale: Float[Array, ""]
    kind: Literal["a", "b"]


@pytest.mark.parametrize(
    ("annotation", "labels", "text"),
    [
        (Layer, (".W", ".b"), '(.W: Float[Array, "m n"], .b: Float[Array, "m"])'),
        (Pair, (".left", ".right"), None),
        (Named, ("['scale']", "['kind']"), None),
        (tuple[Layer, Float[Array, "k"]], ("[0]", "[1]"), None),
        (tuple[Layer, ...], ("[0]", "[1]"), None),
        (list[Layer], ("[0]", "[1]"), None),
    ],
)
def test_trees(annotation, labels, text):
    found = spec_of(annotation)
    assert isinstance(found, TreeSpec) and found.labels == labels
    assert text is None or str(found) == text


def test_trees_are_rebuilt():
    assert spec_of(Layer).build([1, 2]) == Layer(1, 2)
    assert spec_of(Pair).build([1, 2]) == Pair(1, 2)
    assert spec_of(Named).build([1, 2]) == {"scale": 1, "kind": 2}
    assert spec_of(tuple[Layer, Layer]).build([1, 2]) == (1, 2)


def test_annotations_as_text():
    def f(x: "Float[Array, 'n']") -> "Float[Array, '']":
        return jnp.sum(x)

    found = signature(f)
    assert found.dims == ("n",) and isinstance(found.output, ArraySpec)


# --- whose annotation counts -------------------------------------------------------------------------------


def reference(x: Float[Array, "n"], w: Float[Array, "n"]) -> Float[Array, ""]:
    return jnp.sum(w * x)


def test_given_first_then_the_hand_then_the_reference():
    def hand(x: Annotated[Float[Array, "n"], positive], w: Any = None):
        return w

    found = signature(reference, hand, given={"w": st.just(1.0)})
    assert found.arguments["x"].domain is positive and isinstance(found.arguments["w"], GivenSpec)
    assert signature(reference, hand).arguments["w"].domain is real


@pytest.mark.parametrize("annotation", [jax.Array, Any, "a name that nobody knows"])
def test_a_vague_annotation_of_the_hand_function_does_not_count(annotation):
    def hand(x, w):
        return w

    hand.__annotations__ = {"x": annotation}
    assert signature(reference, hand).arguments["x"] == signature(reference).arguments["x"]


def test_a_joint_strategy():
    found = signature(reference, given={("x", "w"): st.just((1.0, 2.0))})
    assert found.arguments["x"] is found.arguments["w"] and found.arguments["x"].names == ("x", "w")


def test_sizes_of_given_arguments_are_drawn_too():
    assert signature(reference, given={"w": lambda sizes: st.just(sizes["n"])}).dims == ("n",)


def test_defaults_are_static():
    def f(x: Float[Array, "n"], eps=1e-5):
        return x

    assert signature(f).arguments["eps"] == StaticSpec((1e-5,))


def test_return_annotations():
    def hand(x, w) -> Float[Array, "n"]:
        return w

    found = signature(reference, hand)
    assert found.output == ArraySpec("float", None, ()) and [a.text for a in found.promised.axes] == ["n"]


# --- what is said ------------------------------------------------------------------------------------------


def bare(x, w: Float[Array, "n"]):
    return x


def listed(x: list, w: Float[Array, "n"]):
    return x


def spaced(x: Float[Array, "n-"]):
    return x


@pytest.mark.parametrize(
    ("function", "more", "message"),
    [
        (
            bare,
            {},
            "hand: argument 'x' has no annotation and no given=; wanted a shape: write x: Float[Array, \"m n\"] in "
            "hand or bare, or given={'x': strategy}",
        ),
        (
            listed,
            {},
            "hand: argument 'x' is annotated list, which has no shape; wanted a jaxtyping array such as "
            'Float[Array, "m n"], a Literal, bool or Annotated[int, integers(1, 4)], or a NamedTuple, dataclass, tuple '
            "or TypedDict of these: add one, or give a strategy with given=",
        ),
        (
            spaced,
            {},
            "hand: argument 'x': the axis 'n-' is no dimension name, number or expression; wanted e.g. 'n', '3', 'n+1'",
        ),
        (
            reference,
            {"wrt": "W"},
            "hand: wrt names 'W', but the reference reference has the arguments x, w: correct wrt=",
        ),
        (
            reference,
            {"given": {"params": st.none()}},
            "hand: given= names 'params', which is no argument of reference; it has x, w: correct given=",
        ),
    ],
)
def test_messages(function, more, message):
    def hand(x, w):
        return w

    with pytest.raises(SignatureError) as raised:
        signature(function, hand, **more)
    assert str(raised.value) == message


def test_a_function_without_a_signature():
    with pytest.raises(SignatureError, match="has no readable signature; wrap it in a def"):
        signature(reference, hand=type)
