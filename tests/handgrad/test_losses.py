import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handgrad.losses import LOSSES, loss_named

each = pytest.mark.parametrize("loss", LOSSES.values(), ids=list(LOSSES))


def columns(seed=0, n=4, N=3):
    rng = np.random.default_rng(seed)
    y = rng.random((n, N))
    return jnp.asarray(2 * rng.normal(size=(n, N))), jnp.asarray(y / y.sum(axis=0))


def test_the_names():
    assert set(LOSSES) == {"squared_error", "softmax_cross_entropy", "sigmoid_cross_entropy", "huber"}
    assert loss_named(LOSSES["huber"]) is LOSSES["huber"]
    with pytest.raises(ValueError, match="there is no loss 'mse'; wanted one of squared_error"):
        loss_named("mse")


@each
def test_a_batch_is_the_sum_of_its_columns(loss):
    p, y = columns()
    each = jax.vmap(lambda p, y: (loss.value(p, y), loss.gradient(p, y)), in_axes=1, out_axes=(0, 1))
    values, gradients = jax.jit(each)(p, y)
    np.testing.assert_allclose(loss.value(p, y), jnp.sum(values))
    np.testing.assert_allclose(loss.gradient(p, y), gradients)


def test_the_values_are_those_of_optax():
    optax = pytest.importorskip("optax")
    p, y = columns()
    theirs = {
        "squared_error": optax.squared_error(p, y),
        "softmax_cross_entropy": optax.softmax_cross_entropy(p, y, axis=0),
        "sigmoid_cross_entropy": optax.sigmoid_binary_cross_entropy(p, y),
        "huber": optax.huber_loss(p, y),
    }
    for name, loss in LOSSES.items():
        np.testing.assert_allclose(loss.value(p, y), jnp.sum(theirs[name]), rtol=1e-12)


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "sigmoid_cross_entropy"])
def test_far_logits_stay_finite(name):
    p = jnp.asarray([[1e4, -1e4], [-1e4, 1e4]])
    y = jnp.eye(2)
    assert LOSSES[name].value(p, y) == 0
    assert not LOSSES[name].gradient(p, y).any()
    assert np.isfinite(LOSSES[name].gradient(-p, y)).all()


def test_a_confident_answer_keeps_its_gradient():
    """`σ(p) - y` would round to 0 in float32."""
    p, y = jnp.asarray([20.0], jnp.float32), jnp.ones(1, jnp.float32)
    np.testing.assert_allclose(LOSSES["sigmoid_cross_entropy"].gradient(p, y), [-2.0611537e-9], rtol=1e-5)


@each
def test_an_enormous_residual_overflows_no_gradient(loss):
    p, y = jnp.full((2, 1), 1e300), jnp.zeros((2, 1))
    assert np.isfinite(loss.gradient(p, y)).all()
    assert loss.name == "squared_error" or np.isfinite(loss.value(p, y))


@each
def test_is_the_gradient_of_its_value(loss):
    p, y = columns(3)
    np.testing.assert_allclose(loss.gradient(p, y), jax.grad(loss.value)(p, y), rtol=1e-12)
