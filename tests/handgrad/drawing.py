"""Draws arguments for a claim from its annotations: a small, independent stand-in for ``verify``."""

from __future__ import annotations

import inspect
import typing

import jax
import jax.numpy as jnp
import numpy as np

import handgrad.activations
import handgrad.backpropagation
import handgrad.chunked
import handgrad.differentials
import handgrad.layers
import handgrad.losses
import handgrad.matrices
import handgrad.normalisation
import handgrad.ridge
from handgrad.claims import Claim, registered_claims
from handgrad.domains import real

MODULES = (
    handgrad.differentials,
    handgrad.matrices,
    handgrad.layers,
    handgrad.normalisation,
    handgrad.ridge,
    handgrad.activations,
    handgrad.losses,
    handgrad.chunked,
    handgrad.backpropagation,
)
CLAIMS = tuple(claim for module in MODULES for claim in registered_claims(module.__name__))


def parameters(claim: Claim) -> dict[str, typing.Any]:
    """Annotations by argument of the reference: the hand function's own, else the reference's."""
    hand, reference = (
        typing.get_type_hints(inspect.unwrap(f), include_extras=True) for f in (claim.hand, claim.reference)
    )
    names = inspect.signature(claim.reference).parameters
    return {name: hand.get(name, reference.get(name)) for name in names}


def dimensions(annotations: dict[str, typing.Any]) -> list[str]:
    found = []
    for annotation in annotations.values():
        base = typing.get_args(annotation)[0] if _domain(annotation) else annotation
        found += [axis for axis in getattr(base, "dim_str", "").split() if axis.isidentifier()]
    return list(dict.fromkeys(found))


def shape_of(annotation: typing.Any, sizes: dict[str, typing.Any], batch: tuple) -> tuple:
    axes = _base(annotation).dim_str.split()
    return tuple(
        size for axis in axes for size in (batch if axis.startswith(("*", "...")) else (sizes[axis],))
    )


def options(annotation: typing.Any) -> tuple | None:
    return typing.get_args(annotation) if typing.get_origin(annotation) is typing.Literal else None


def kind_of(annotation: typing.Any, dtype: typing.Any) -> typing.Any:
    """``dtype`` for a ``Float``, int32 for an ``Int``."""
    return jnp.int32 if "int32" in _base(annotation).dtypes else dtype


def draw(rng: np.random.Generator, annotation: typing.Any, sizes: dict[str, int], batch: tuple) -> np.ndarray:
    shape, domain = shape_of(annotation, sizes, batch), _domain(annotation) or real
    z = rng.normal(size=shape) * rng.choice([0.5, 1.0, 3.0])
    if domain.kind == "spd":
        return z @ z.T + 0.5 * np.eye(shape[0])
    if domain.kind in ("positive", "nonnegative"):
        return np.abs(z)
    if domain.kind in ("interval", "unit_interval"):
        return rng.uniform(domain.low, domain.high, size=shape)
    if domain.kind == "index":
        return rng.integers(sizes[str(domain.size)], size=shape)
    assert domain.kind == "real", f"tests: no values for {domain!r} yet"
    return z


def trial(claim: Claim, rng: np.random.Generator) -> dict[str, typing.Any]:
    """Arguments for one call, by name, in float64."""
    annotations = parameters(claim)
    sizes = dict(zip(dimensions(annotations), (3, 2, 5, 4, 1, 6), strict=False))
    batch = (4,)
    drawn: dict[str, typing.Any] = {}
    for names, source in claim.given.items():
        example = _example(source(sizes), rng)
        drawn |= {names: example} if isinstance(names, str) else zip(names, example, strict=True)
    for name, annotation in annotations.items():
        if name not in drawn:
            choices = options(annotation)
            drawn[name] = rng.choice(choices).item() if choices else draw(rng, annotation, sizes, batch)
    return {name: jax.tree.map(_arrays, drawn[name]) for name in annotations}


def both_sides(claim: Claim, arguments: dict[str, typing.Any], like) -> tuple[typing.Any, typing.Any]:
    """Hand and reference at ``arguments``; ``like`` makes a tangent or cotangent like its argument."""
    point = tuple(arguments[name] for name in claim.wrt)

    def reference(*point):
        return claim.reference(*(arguments | dict(zip(claim.wrt, point, strict=True))).values())

    def unpacked(gradient):
        return gradient if claim.wrt_is_tuple else gradient[0]

    positional = tuple(arguments.values())
    index = tuple(range(len(point)))
    if claim.relation in ("equal_to", "at_most"):
        return claim.hand(*positional), claim.reference(*positional)
    if claim.relation == "gradient":
        return claim.hand(*positional), unpacked(jax.grad(reference, index)(*point))
    if claim.relation == "value_and_gradient":
        value, gradient = jax.value_and_grad(reference, index)(*point)
        return claim.hand(*positional), (value, unpacked(gradient))
    if claim.relation == "vjp":
        out, pull = jax.vjp(reference, *point)
        cotangent = like(out)
        return claim.hand(*positional, cotangent=cotangent), unpacked(pull(cotangent))
    tangents = tuple(like(p) for p in point)
    named = {f"d{name}": t for name, t in zip(claim.wrt, tangents, strict=True)}
    if claim.relation == "jvp":
        return claim.hand(*positional, **named), jax.jvp(reference, point, tangents)[1]
    return claim.hand(*positional, **named), unpacked(jax.jvp(jax.grad(reference, index), point, tangents)[1])


def _arrays(leaf):
    return jnp.asarray(leaf) if isinstance(leaf, np.ndarray | np.generic) else leaf


def _example(strategy, rng: np.random.Generator):
    """One example of a strategy, outside any property test."""
    from hypothesis import HealthCheck, Phase, given, seed, settings

    found = []

    @seed(int(rng.integers(2**32)))
    @settings(max_examples=4, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(strategy)
    def collect(example):
        found.append(example)

    collect()
    return found[-1]


def _base(annotation: typing.Any) -> typing.Any:
    return typing.get_args(annotation)[0] if _domain(annotation) else annotation


def _domain(annotation: typing.Any):
    return annotation.__metadata__[0] if typing.get_origin(annotation) is typing.Annotated else None
