r"""Losses: what a network's output ``a_L`` is worth, and the gradient that starts backpropagation.

``prediction`` and ``y`` have the same shape: one column ``"n"`` or a batch ``"n N"``. Every loss is summed
over features and columns, and differentiated with respect to ``prediction`` at a fixed ``y``.

Sources: Bishop, *Pattern Recognition and Machine Learning*, section 4.3; Huber, *Robust estimation of a
location parameter* (1964).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import jax.numpy as jnp
from jax.nn import sigmoid, softmax, softplus
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from handgrad.chunked import linear_softmax_cross_entropy
from handgrad.claims import equal_to, gradient_of, hvp_of, jvp_of
from handgrad.normalisation import deviation

__all__ = [
    "LOSSES",
    "Loss",
    "huber",
    "huber_gradient",
    "linear_softmax_cross_entropy",
    "loss_named",
    "sigmoid_cross_entropy",
    "sigmoid_cross_entropy_gradient",
    "softmax_cross_entropy",
    "softmax_cross_entropy_gradient",
    "squared_error",
    "squared_error_gradient",
]


@dataclass(frozen=True)
class Loss:
    """A scalar loss and its hand-written gradient in the prediction: functions of ``(prediction, y)``."""

    name: str
    value: Callable[[Array, Array], Array]
    gradient: Callable[[Array, Array], Array]


# --- Squared error ----------------------------------------------------------------------------------------


def squared_error(prediction: Float[Array, "n *batch"], y: Float[Array, "n *batch"]) -> Float[Array, ""]:
    """``‖p - y‖²``: a sum, with no factor one half."""
    r = prediction - y
    return jnp.sum(r * r)


@gradient_of(squared_error, wrt="prediction")
def squared_error_gradient(
    prediction: Float[Array, "n *batch"], y: Float[Array, "n *batch"]
) -> Float[Array, "n *batch"]:
    """``d‖r‖² = 2 tr(rᵀ dr)``: the gradient is ``2 (p - y)``."""
    return 2 * (prediction - y)


@jvp_of(squared_error, wrt=("prediction", "y"))
def squared_error_differential(
    prediction: Float[Array, "n *batch"],
    y: Float[Array, "n *batch"],
    *,
    dprediction: Float[Array, "n *batch"],
    dy: Float[Array, "n *batch"],
) -> Float[Array, ""]:
    """``2 tr((p - y)ᵀ (dp - dy))``: the residual is antisymmetric in its two arguments."""
    return 2 * jnp.sum((prediction - y) * (dprediction - dy))


@hvp_of(squared_error, wrt="prediction")
def squared_error_hessian_product(
    prediction: Float[Array, "n *batch"],
    y: Float[Array, "n *batch"],
    *,
    dprediction: Float[Array, "n *batch"],
) -> Float[Array, "n *batch"]:
    """``2 dp``."""
    return 2 * dprediction


# --- Softmax cross-entropy --------------------------------------------------------------------------------


def softmax_cross_entropy(
    prediction: Float[Array, "n *batch"], y: Float[Array, "n *batch"]
) -> Float[Array, ""]:
    """``-tr(yᵀ log softmax(p))``, from logits; the softmax runs down each column, over axis 0.

    ``y`` is one-hot or a probability vector in each column, though nothing below needs its columns to sum
    to one.
    """
    return jnp.sum(y * (logsumexp(prediction, axis=0, keepdims=True) - prediction))


@gradient_of(softmax_cross_entropy, wrt="prediction")
def softmax_cross_entropy_gradient(
    prediction: Float[Array, "n *batch"], y: Float[Array, "n *batch"]
) -> Float[Array, "n *batch"]:
    """For one column, ``d logsumexp(p) = softmax(p)ᵀ dp``, so ``dC = (1ᵀ y) softmax(p)ᵀ dp - yᵀ dp``.

    The gradient is ``(1ᵀ y) softmax(p) - y``: the familiar ``softmax(p) - y`` where a column of ``y`` sums
    to one.
    """
    return jnp.sum(y, axis=0, keepdims=True) * softmax(prediction, axis=0) - y


@gradient_of(softmax_cross_entropy, wrt="y")
def softmax_cross_entropy_gradient_in_y(
    prediction: Float[Array, "n *batch"], y: Float[Array, "n *batch"]
) -> Float[Array, "n *batch"]:
    """The loss is linear in ``y``: the gradient is ``-log softmax(p)``, the code length of each class."""
    return logsumexp(prediction, axis=0, keepdims=True) - prediction


@jvp_of(softmax_cross_entropy, wrt="prediction")
def softmax_cross_entropy_differential(
    prediction: Float[Array, "n *batch"],
    y: Float[Array, "n *batch"],
    *,
    dprediction: Float[Array, "n *batch"],
) -> Float[Array, ""]:
    """``(1ᵀ y) (sᵀ dp) - yᵀ dp`` with ``s = softmax(p)``, summed over columns: how far ``dp`` is above
    its mean under ``s``."""
    mean = jnp.sum(softmax(prediction, axis=0) * dprediction, axis=0, keepdims=True)
    return jnp.sum(y * (mean - dprediction))


@hvp_of(softmax_cross_entropy, wrt="prediction")
def softmax_cross_entropy_hessian_product(
    prediction: Float[Array, "n *batch"],
    y: Float[Array, "n *batch"],
    *,
    dprediction: Float[Array, "n *batch"],
) -> Float[Array, "n *batch"]:
    """``ds = (diag(s) - s sᵀ) dp = s ⊙ (dp - sᵀ dp)``, times ``1ᵀ y``: the covariance of ``s`` applied
    to ``dp``."""
    s = softmax(prediction, axis=0)
    return jnp.sum(y, axis=0, keepdims=True) * (s * deviation(s, dprediction, axis=0))


# --- Sigmoid cross-entropy --------------------------------------------------------------------------------


def sigmoid_cross_entropy(
    prediction: Float[Array, "n *batch"], y: Float[Array, "n *batch"]
) -> Float[Array, ""]:
    """``-y log σ(p) - (1 - y) log σ(-p)``, from logits, summed: each entry its own yes-or-no question."""
    return jnp.sum(y * softplus(-prediction) + (1 - y) * softplus(prediction))


@equal_to(sigmoid_cross_entropy)
def sigmoid_cross_entropy_folded(
    prediction: Float[Array, "n *batch"], y: Float[Array, "n *batch"]
) -> Float[Array, ""]:
    """``softplus(p) - y p``, since ``softplus(-p) = softplus(p) - p``."""
    return jnp.sum(softplus(prediction) - y * prediction)


@gradient_of(sigmoid_cross_entropy, wrt="prediction")
def sigmoid_cross_entropy_gradient(
    prediction: Float[Array, "n *batch"], y: Float[Array, "n *batch"]
) -> Float[Array, "n *batch"]:
    """``d softplus(p) = σ(p) dp``: the gradient is ``σ(p) - y``.

    Written as ``(1 - y) σ(p) - y σ(-p)``, which keeps its digits where ``σ(p)`` rounds to ``y = 1``.
    """
    return (1 - y) * sigmoid(prediction) - y * sigmoid(-prediction)


@hvp_of(sigmoid_cross_entropy, wrt="prediction")
def sigmoid_cross_entropy_hessian_product(
    prediction: Float[Array, "n *batch"],
    y: Float[Array, "n *batch"],
    *,
    dprediction: Float[Array, "n *batch"],
) -> Float[Array, "n *batch"]:
    """``σ'(p) ⊙ dp = σ(p) ⊙ σ(-p) ⊙ dp``, whatever ``y`` is."""
    return sigmoid(prediction) * sigmoid(-prediction) * dprediction


# --- Huber ------------------------------------------------------------------------------------------------


def huber(prediction: Float[Array, "n *batch"], y: Float[Array, "n *batch"]) -> Float[Array, ""]:
    """``r²/2`` where ``|r| ≤ 1`` and ``|r| - 1/2`` beyond, with ``r = p - y``, summed.

    With ``q = min(|r|, 1)`` it is ``q²/2 + (|r| - q)``: no branch squares what it does not use.
    """
    size = jnp.abs(prediction - y)
    q = jnp.minimum(size, jnp.ones_like(size))
    return jnp.sum(0.5 * q * q + (size - q))


@gradient_of(huber, wrt="prediction")
def huber_gradient(
    prediction: Float[Array, "n *batch"], y: Float[Array, "n *batch"]
) -> Float[Array, "n *batch"]:
    """``r`` where ``|r| ≤ 1`` and ``sign(r)`` beyond: the residual, clipped."""
    return jnp.clip(prediction - y, -1, 1)


@jvp_of(huber, wrt=("prediction", "y"))
def huber_differential(
    prediction: Float[Array, "n *batch"],
    y: Float[Array, "n *batch"],
    *,
    dprediction: Float[Array, "n *batch"],
    dy: Float[Array, "n *batch"],
) -> Float[Array, ""]:
    """``tr(clip(r)ᵀ (dp - dy))``."""
    return jnp.sum(jnp.clip(prediction - y, -1, 1) * (dprediction - dy))


LOSSES: Mapping[str, Loss] = MappingProxyType(
    {
        loss.name: loss
        for loss in (
            Loss("squared_error", squared_error, squared_error_gradient),
            Loss("softmax_cross_entropy", softmax_cross_entropy, softmax_cross_entropy_gradient),
            Loss("sigmoid_cross_entropy", sigmoid_cross_entropy, sigmoid_cross_entropy_gradient),
            Loss("huber", huber, huber_gradient),
        )
    }
)
"""By name; each value takes ``(prediction, y)``."""


def loss_named(name: str | Loss) -> Loss:
    """Look a loss up; a ``Loss`` is returned as it is. Raises ``ValueError`` for an unknown name."""
    if isinstance(name, Loss):
        return name
    if name not in LOSSES:
        raise ValueError(f"handgrad: there is no loss {name!r}; wanted one of {', '.join(LOSSES)}")
    return LOSSES[name]
