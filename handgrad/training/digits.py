"""An example: a network on scikit-learn's digits, with the hand-written gradient and with ``jax.grad``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from handgrad.backpropagation import backpropagate, forward, initialise, network_loss
from handgrad.training.checkpoint import Checkpoint
from handgrad.training.loop import Every, train
from handgrad.training.step import Step, TrainState, ValueAndGradient, train_step

__all__ = ["Digits", "Setting", "by_hand", "by_jax", "mean_loss", "step_of", "train_digits"]

WIDTHS, BATCH, LOSS = (64, 128, 64, 10), 128, "softmax_cross_entropy"
RATE, DECAY = 4e-3, 0.02


@dataclass(frozen=True)
class Setting:
    """What decides a training: the same setting ends with the same parameters, bit for bit."""

    steps: int = 1000
    seed: int = 0
    dtype: str = "float32"
    activation: str = "gelu"

    @property
    def activations(self) -> tuple[str, ...]:
        return (*[self.activation] * (len(WIDTHS) - 2), "identity")


@dataclass(frozen=True)
class Digits:
    """A column an image, the labels one-hot; four of five images are trained on."""

    x: np.ndarray
    y: np.ndarray
    test_x: np.ndarray
    test_labels: np.ndarray
    seed: int

    @classmethod
    def drawn(cls, seed: int) -> Digits:
        """Shuffled with the seed. Raises ``ImportError`` without scikit-learn."""
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        order = np.random.default_rng(seed).permutation(len(labels))
        x, labels, cut = images[order].T / 16, labels[order], len(labels) * 4 // 5
        return cls(x[:, :cut], np.eye(10)[:, labels[:cut]], x[:, cut:], labels[cut:], seed)

    def batches(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Those of steps ``first`` to ``first + count``, from the seed and the number of each."""
        rngs = (np.random.default_rng([self.seed, step]) for step in range(first, first + count))
        chosen = [rng.choice(self.x.shape[1], BATCH, replace=False) for rng in rngs]
        dtype = jnp.result_type(float)
        x, y = (np.stack([a[:, i] for i in chosen]).astype(dtype) for a in (self.x, self.y))
        return x, y

    def accuracy(self, params: Any, activations: Sequence[str]) -> float:
        """The share of the test images that are told right."""
        output = forward(params, jnp.asarray(self.test_x, params[0].W.dtype), activations).a[-1]
        return float(np.mean(np.asarray(output).argmax(0) == self.test_labels))


def by_hand(setting: Setting) -> ValueAndGradient:
    """The mean loss over a batch and its gradient: the δ recursion."""

    def digits_gradient(params: Any, x: Array, y: Array) -> tuple[Array, Any]:
        return backpropagate(params, x, y, setting.activations, LOSS, reduction="mean")

    return digits_gradient


def mean_loss(setting: Setting) -> Callable[[Any, Array, Array], Array]:
    """What is minimised, as one would hand it to ``jax.grad``."""

    def digits_loss(params: Any, x: Array, y: Array) -> Array:
        return network_loss(params, x, y, setting.activations, LOSS) / jnp.asarray(x.shape[1], x.dtype)

    return digits_loss


def by_jax(setting: Setting) -> ValueAndGradient:
    """The same by ``jax.value_and_grad``."""
    return jax.value_and_grad(mean_loss(setting))


def step_of(value_and_gradient: ValueAndGradient, setting: Setting, **where: Any) -> Step:
    """AdamW with a rate that falls as a cosine; parameters in float32 at least."""
    import optax

    rate = optax.cosine_decay_schedule(RATE, setting.steps)
    low = setting.dtype in ("bfloat16", "float16")
    optimiser = optax.adamw(rate, weight_decay=DECAY)
    return train_step(value_and_gradient, optimiser, dtype=jnp.dtype(setting.dtype) if low else None, **where)


def train_digits(
    setting: Setting,
    value_and_gradient: Callable[[Setting], ValueAndGradient] = by_hand,
    callbacks: Sequence[Every] = (),
    data: Digits | None = None,
    **how: Any,
) -> tuple[TrainState, np.ndarray]:
    """A training from the first step to the last; ``how`` is passed to ``train``."""
    data = data or Digits.drawn(setting.seed)
    step = step_of(value_and_gradient(setting), setting)
    params = initialise(jax.random.key(setting.seed), WIDTHS)
    return train(step, params, data.batches, setting.steps, callbacks=callbacks, **how)


@dataclass(frozen=True)
class Compared:
    """Both trainings: test accuracies, losses before each step, steps a second."""

    accuracy: tuple[float, float]
    losses: tuple[np.ndarray, np.ndarray]
    speed: tuple[float, float]

    @property
    def gap(self) -> float:
        """The largest relative difference of the loss curves."""
        ours, theirs = self.losses
        return float(np.max(np.abs(ours - theirs) / np.abs(theirs)))


def compared(setting: Setting, checkpoint: Checkpoint | None, resume: bool, progress: bool) -> Compared:
    """Trains with either gradient, on the same batches from the same start, and measures the speed of both in turn."""
    data = Digits.drawn(setting.seed)
    ours = train_digits(setting, by_hand, data=data, checkpoint=checkpoint, resume=resume, progress=progress)
    theirs = train_digits(setting, by_jax, data=data, progress=progress)
    right, beside = (data.accuracy(state.params, setting.activations) for state, _ in (ours, theirs))
    return Compared((right, beside), (ours[1], theirs[1]), _speeds(setting, data))


def _speeds(setting: Setting, data: Digits, block: int = 50, turns: int = 9) -> tuple[float, float]:
    """Steps a second, medians over turns taken alternately."""
    batches = jax.tree.map(jnp.asarray, data.batches(0, block))
    sides = [step_of(gradient(setting), setting) for gradient in (by_hand, by_jax)]
    states = [side.init(initialise(jax.random.key(setting.seed), WIDTHS)) for side in sides]
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(turns + 1):  # the first compiles
        for i, side in enumerate(sides):
            start = perf_counter()
            states[i], losses = side.run(states[i], batches)
            losses.block_until_ready()
            seconds[i].append(perf_counter() - start)
    ours, theirs = (block / median(times[1:]) for times in seconds)
    return ours, theirs
