import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handgrad.backpropagation import backpropagate, initialise, network_loss
from handgrad.chunked import linear_cross_entropy, linear_softmax_cross_entropy
from handgrad.ridge import ridge_gradient, ridge_gradients, ridge_hessian_product, ridge_loss
from handgrad.training import with_gradient


def problem():
    rng = np.random.default_rng(0)
    return (*(jnp.asarray(rng.normal(size=s)) for s in ((2, 3), (3, 7), (2, 7))), jnp.asarray(0.3))


def planted(W, X, Y, lam):
    """Not the gradient: to see that it is this that is used."""
    return jnp.full_like(W, 42.0)


def test_the_gradient_is_the_hand_written_one():
    f = with_gradient(ridge_loss, planted)
    assert f.__name__ == "ridge_loss"
    np.testing.assert_allclose(f(*problem()), ridge_loss(*problem()))
    assert (jax.grad(f)(*problem()) == 42).all()
    assert (jax.jit(jax.grad(f))(*problem()) == 42).all()
    scaled = jax.grad(lambda W, *rest: 3 * f(W, *rest))(*problem())
    assert (scaled == 126).all()


def test_the_other_arguments_are_differentiated_by_jax():
    f = with_gradient(ridge_loss, planted)
    ours = jax.grad(f, argnums=(0, 1, 2, 3))(*problem())
    for a, b in zip(ours[1:], ridge_gradients(*problem()), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    assert (ours[0] == 42).all()


def test_several_arguments_by_name_and_plain_numbers():
    f = with_gradient(ridge_loss, ridge_gradients, wrt=("X", "Y", "lam"))
    W, X, Y, _ = problem()
    np.testing.assert_allclose(jax.grad(f, argnums=3)(W, X, Y, 0.3), jnp.sum(W * W))
    np.testing.assert_allclose(jax.grad(f)(W, X, Y, lam=0.3), ridge_gradient(W, X, Y, 0.3), rtol=1e-12)


def test_vmap_and_curvature():
    f = with_gradient(ridge_loss, ridge_gradient)
    W, X, Y, lam = problem()
    stacked = jnp.stack([W, 2 * W])
    each = jax.vmap(jax.grad(f), in_axes=(0, None, None, None))(stacked, X, Y, lam)
    np.testing.assert_allclose(each[1], ridge_gradient(2 * W, X, Y, lam))
    total = jax.grad(lambda Ws: jnp.sum(jax.vmap(f, in_axes=(0, None, None, None))(Ws, X, Y, lam)))(stacked)
    np.testing.assert_allclose(total, each)
    _, curved = jax.jvp(jax.grad(lambda W: f(W, X, Y, lam)), (W,), (W,))
    np.testing.assert_allclose(curved, ridge_hessian_product(W, X, Y, lam, dW=W))


def test_value_and_gradient_with_static_arguments_under_optax():
    optax = pytest.importorskip("optax")
    _, x, y, _ = problem()
    loss = with_gradient(network_loss, backpropagate)
    net = initialise(jax.random.key(0), [3, 4, 2])
    optimiser = optax.sgd(1e-2)

    @jax.jit
    def step(net, state):
        value, gradient = jax.value_and_grad(loss)(net, x, y, ("tanh", "identity"), "squared_error")
        updates, state = optimiser.update(gradient, state)
        return optax.apply_updates(net, updates), state, value

    state, values = optimiser.init(net), []
    for _ in range(5):
        net, state, value = step(net, state)
        values.append(float(value))
    assert values == sorted(values, reverse=True)


def test_integer_arguments():
    rng = np.random.default_rng(0)
    W, X, labels = (
        jnp.asarray(rng.normal(size=(4, 3))),
        jnp.asarray(rng.normal(size=(3, 5))),
        jnp.arange(5) % 4,
    )
    f = with_gradient(linear_cross_entropy, linear_softmax_cross_entropy, wrt=("W", "X"))
    for a, b in zip(
        jax.grad(f, (0, 1))(W, X, labels), jax.grad(linear_cross_entropy, (0, 1))(W, X, labels), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-14)
    only_W = with_gradient(linear_cross_entropy, lambda W, X, labels: jnp.zeros_like(W))
    np.testing.assert_allclose(
        jax.grad(only_W, 1)(W, X, labels), jax.grad(linear_cross_entropy, 1)(W, X, labels)
    )


def test_errors_say_what_is_wanted():
    with pytest.raises(TypeError, match="ridge_loss has no argument 'w'; it has W, X, Y, lam"):
        with_gradient(ridge_loss, planted, wrt="w")
    with pytest.raises(TypeError, match=r"planted returns .* wanted the structure of W, X, which is"):
        jax.grad(with_gradient(ridge_loss, planted, wrt=("W", "X")))(*problem())


@pytest.mark.slow
def test_data_spread_over_devices():
    """Auto and Explicit meshes of four devices, in a process of its own."""
    program = """
import jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 4)
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from handgrad.backpropagation import backpropagate, initialise, network_loss, per_example_gradient_norms
from handgrad.ridge import RidgeStatistics, ridge_gradient, ridge_loss
from handgrad.training import with_gradient

W, X, Y = jnp.ones((2, 3)), jnp.arange(24.0).reshape(3, 8) / 10, jnp.ones((2, 8))
net = initialise(jax.random.key(0), [3, 4, 2])
mean = jax.jit(lambda net, x, y: backpropagate(net, x, y, "tanh", "squared_error", "mean", True))
expected = ridge_gradient(W, X, Y, 0.5), mean(net, X, Y)
for kind in (AxisType.Auto, AxisType.Explicit):
    mesh = jax.make_mesh((4,), ("data",), axis_types=(kind,))
    with jax.set_mesh(mesh):
        Xs, Ys = jax.device_put((X, Y), NamedSharding(mesh, P(None, "data")))
        loss = with_gradient(network_loss, backpropagate)
        jax.jit(lambda net: jax.grad(loss)(net, Xs, Ys, "tanh", "huber"))(net)
        per_example_gradient_norms(net, Xs, Ys, "tanh", "huber")
        found = [
            (ridge_gradient(W, Xs, Ys, 0.5), mean(net, Xs, Ys)),
            (RidgeStatistics.of(Xs, Ys).gradient(W, 0.5), expected[1]),
            (jax.grad(with_gradient(ridge_loss, ridge_gradient))(W, Xs, Ys, 0.5), expected[1]),
        ]
    for got in found:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), got, expected)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
