"""Every claim of the catalogue: traced for all sizes at once, and tried on numbers in float64."""

import subprocess
import sys
import typing
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.export import symbolic_shape

from tests.handgrad.drawing import (
    CLAIMS,
    both_sides,
    dimensions,
    kind_of,
    options,
    parameters,
    shape_of,
    trial,
)
from tests.share import share

ANNOTATED = [claim for claim in CLAIMS if not any(isinstance(names, tuple) for names in claim.given)]


def name_of(claim):
    return f"{claim.module.split('.')[-1]}.{claim.name}"


@pytest.mark.parametrize("claim", share(2, CLAIMS), ids=name_of)
def test_holds(claim):
    rng = np.random.default_rng(1)
    arguments = trial(claim, rng)
    leaves, treedef = jax.tree.flatten(tuple(arguments.values()))
    is_array = [isinstance(leaf, jax.Array) for leaf in leaves]

    def like(tree):
        return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), tree)

    @jax.jit
    def sides(arrays):
        rest = iter(arrays)
        full = [next(rest) if array else leaf for leaf, array in zip(leaves, is_array, strict=True)]
        return both_sides(claim, dict(zip(arguments, jax.tree.unflatten(treedef, full), strict=True)), like)

    hand, reference = sides([leaf for leaf, array in zip(leaves, is_array, strict=True) if array])
    assert jax.tree.structure(hand) == jax.tree.structure(reference)
    for ours, theirs in zip(jax.tree.leaves(hand), jax.tree.leaves(reference), strict=True):
        assert ours.shape == theirs.shape
        assert ours.dtype == theirs.dtype
        if claim.relation == "at_most":
            assert np.all(ours <= theirs + 1e-12 * np.abs(theirs))
        else:
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=lambda d: d.__name__)
@pytest.mark.parametrize("claim", share(6, ANNOTATED), ids=name_of)
def test_traces_for_all_sizes_and_keeps_the_dtype(claim, dtype):
    annotations = parameters(claim)
    names = dimensions(annotations)
    *dims, batch = symbolic_shape(",".join([*names, "batch"]))
    sizes = dict(zip(names, dims, strict=True))
    arguments: dict[str, typing.Any] = {}
    for name, annotation in annotations.items():
        choices = options(annotation)
        shape = () if choices else shape_of(annotation, sizes, (batch,))
        arguments[name] = choices[0] if choices else jax.ShapeDtypeStruct(shape, kind_of(annotation, dtype))
    static = {name: value for name, value in arguments.items() if isinstance(value, str)}

    def sides(arrays):
        full = static | arrays
        return both_sides(
            claim, {name: full[name] for name in arguments}, lambda t: jax.tree.map(jnp.ones_like, t)
        )

    try:
        hand, reference = jax.eval_shape(sides, {k: v for k, v in arguments.items() if k not in static})
    except TypeError as error:
        if "does not accept dtype bfloat16" not in str(error):
            raise
        pytest.skip("linear algebra, which JAX has in float32 and float64 only")
    assert [(str(x.shape), x.dtype) for x in jax.tree.leaves(hand)] == [
        (str(x.shape), x.dtype) for x in jax.tree.leaves(reference)
    ]


def test_the_catalogue_is_broad():
    families = Counter(claim.module for claim in CLAIMS)
    assert len(CLAIMS) >= 75
    assert len(families) >= 8
    assert families["handgrad.activations"] <= len(CLAIMS) / 2
    assert {claim.relation for claim in CLAIMS} == {
        "gradient", "vjp", "jvp", "value_and_gradient", "hvp", "equal_to", "at_most",
    }  # fmt: skip


def test_names_are_unique_in_a_module():
    counts = Counter((claim.module, claim.name) for claim in CLAIMS)
    assert [name for name, n in counts.items() if n > 1] == []


def test_importing_starts_nothing():
    """Neither a device, nor Hypothesis, nor (for the vocabulary alone) JAX."""
    program = """
import sys
import handgrad
assert "jax" not in sys.modules
import handgrad.backpropagation, handgrad.differentials, handgrad.normalisation, handgrad.training
from jax._src import xla_bridge
assert not xla_bridge._backends and "hypothesis" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
