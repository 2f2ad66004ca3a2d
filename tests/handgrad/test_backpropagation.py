from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from handgrad.activations import ACTIVATIONS
from handgrad.backpropagation import (
    Layer,
    backpropagate,
    forward,
    hessian_vector_product,
    initialise,
    network_loss,
    per_example_gradient_norms,
)
from handgrad.losses import LOSSES
from handgrad.networks import architectures, random_networks


def small(seed=0, widths=(3, 4, 2), N=5):
    keys = jax.random.split(jax.random.key(seed), 3)
    net = initialise(keys[0], widths)
    return net, jax.random.normal(keys[1], (widths[0], N)), jax.random.normal(keys[2], (widths[-1], N))


def assert_trees_close(ours, theirs, rtol=1e-9):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-11)


@settings(max_examples=4, deadline=None, derandomize=True)
@given(random_networks({}))
def test_any_network(network):
    *arrays, activations, loss = network

    @jax.jit
    def three(params, x, y):
        return (
            jax.value_and_grad(network_loss)(params, x, y, activations, loss),
            backpropagate(params, x, y, activations, loss),
            backpropagate(params, x, y, activations, loss, recompute=True),
        )

    expected, *ours = three(*arrays)
    for found in ours:
        assert_trees_close(found, expected)


def test_the_pool_covers_every_activation_and_loss():
    pool = architectures()
    assert len(pool) == 24
    assert {name for a in pool for name in a.activations} == set(ACTIVATIONS)
    assert {a.loss for a in pool} == set(LOSSES)
    assert {(len(a.activations), a.batched) for a in pool} == {
        (d, b) for d in (1, 2, 3, 4) for b in (True, False)
    }


def test_the_forward_pass_keeps_everything():
    net, x, _ = small()
    z, a = forward(net, x, "tanh")
    assert [v.shape for v in z] == [(4, 5), (2, 5)]
    assert [v.shape for v in a] == [(3, 5), (4, 5), (2, 5)]
    np.testing.assert_allclose(z[0], net[0].W @ x + net[0].b[:, None])
    np.testing.assert_allclose(a[2], jnp.tanh(z[1]))


def test_a_batch_adds_up_its_columns():
    net, x, y = small()

    @jax.jit
    def three(net, x, y):
        step = partial(backpropagate, activations=("gelu", "identity"), loss="huber")
        single = jax.vmap(lambda x, y: step(net, x, y), in_axes=1)
        return single(x, y), step(net, x, y), step(net, x, y, reduction="mean")

    singles, total, mean = three(net, x, y)
    assert_trees_close(total, jax.tree.map(lambda leaf: leaf.sum(0), singles))
    assert_trees_close(mean, jax.tree.map(lambda leaf: leaf / 5, total))


def test_activations_and_losses_by_name_or_as_they_are_and_any_container():
    net, x, y = small()
    named = backpropagate(net, x, y, "tanh", "huber")
    assert_trees_close(backpropagate(net, x, y, [ACTIVATIONS["tanh"]] * 2, LOSSES["huber"]), named)
    value, gradient = backpropagate([tuple(layer) for layer in net], x, y, "tanh", "huber")  # type: ignore[arg-type]
    assert isinstance(gradient, list)
    assert_trees_close((value, tuple(Layer(*layer) for layer in gradient)), named)


def test_under_jit():
    net, x, y = small()
    jitted = jax.jit(backpropagate, static_argnums=(3, 4, 5, 6))
    assert_trees_close(jitted(net, x, y, "silu", "squared_error", "mean", True),
                       backpropagate(net, x, y, "silu", "squared_error", "mean"))  # fmt: skip


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_keeps_the_dtype(dtype):
    net, x, y = jax.tree.map(lambda leaf: leaf.astype(dtype), small())
    for reduction in ("sum", "mean"):
        out = jax.eval_shape(
            lambda *args, r=reduction: backpropagate(*args, "mish", "softmax_cross_entropy", r, True),
            net, x, y,
        )  # fmt: skip
        assert {leaf.dtype for leaf in jax.tree.leaves(out)} == {jnp.dtype(dtype)}


def test_norms_and_curvature():
    net, x, y = small()
    other = jax.tree.map(jnp.ones_like, net)

    @jax.jit
    def found(net, x, y):
        how = "tanh", "squared_error"
        gradients = [backpropagate(net, x[:, j], y[:, j], *how)[1] for j in range(5)]
        curved = [hessian_vector_product(net, direction, x, y, *how) for direction in (net, other)]
        return per_example_gradient_norms(net, x, y, *how), gradients, curved

    norms, gradients, (left, right) = found(net, x, y)
    expected = [np.sqrt(sum(np.sum(leaf**2) for leaf in jax.tree.leaves(g))) for g in gradients]
    np.testing.assert_allclose(norms, expected)

    def inner(a, b):
        return sum(np.sum(np.asarray(p) * q) for p, q in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))

    np.testing.assert_allclose(inner(left, other), inner(net, right))  # a Hessian is symmetric


def test_recomputation_takes_less_memory():
    net, x, _ = small(widths=[16] * 26, N=256)

    def memory(recompute):
        step = jax.jit(lambda p: backpropagate(p, x, x, "tanh", "squared_error", recompute=recompute))
        return step.lower(net).compile().memory_analysis().temp_size_in_bytes

    assert memory(True) < 0.5 * memory(False)


def test_initial_layers():
    net = initialise(jax.random.key(0), [400, 300, 1])
    assert [layer.W.shape for layer in net] == [(300, 400), (1, 300)]
    np.testing.assert_allclose(jnp.var(net[0].W), 1 / 400, rtol=0.05)
    assert not net[0].b.any()
    with pytest.raises(ValueError, match=r"got widths \(3,\); wanted two or more"):
        initialise(jax.random.key(0), [3])


def test_errors_say_what_is_wanted():
    net, x, y = small()
    with pytest.raises(
        ValueError, match="got 3 activations for 2 layers; wanted one for each, or one for all"
    ):
        backpropagate(net, x, y, ["tanh"] * 3, "huber")
    with pytest.raises(ValueError, match="there is no activation 'tan'"):
        backpropagate(net, x, y, "tan", "huber")
    with pytest.raises(ValueError, match="there is no loss 'l2'"):
        backpropagate(net, x, y, "tanh", "l2")
    with pytest.raises(ValueError, match="got reduction='avg'; wanted 'sum' or 'mean'"):
        backpropagate(net, x, y, "tanh", "huber", reduction="avg")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r'got x of shape \(3, 5, 1\); wanted one column "n" or a batch'):
        backpropagate(net, x[..., None], y[..., None], "tanh", "huber")
