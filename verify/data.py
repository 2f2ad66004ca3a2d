"""Real data: the hand-written gradients at states that a user meets, not only at drawn ones.

``digits``: a network with two hidden layers on scikit-learn's digits, judged before, during and after 200 jit-compiled
steps that use the hand-written gradient; and ridge regression on its diabetes data, whose closed form is held
against scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from handgrad.backpropagation import backpropagate, initialise, network_loss
from handgrad.claims import Claim, source_of
from handgrad.ridge import ridge_gradient, ridge_loss, ridge_solution
from verify.budget import Budget
from verify.fixed import FixedDraws
from verify.judge import Judged, judge

STEPS = 200
WIDTHS = (64, 48, 32, 10)
ACTIVATIONS = ("gelu", "tanh", "identity")
LOSS = "softmax_cross_entropy"
BATCH, RATE, MOMENTUM = 128, 0.1, 0.9
JUDGED_COLUMNS = 8
AROUND = 24
"""Cases of each state: the state itself, and others around it."""
EQUAL_TO_SKLEARN = 1e-10

Told = Callable[[int], None]


class DataError(Exception):
    """A data set that is unknown, or whose library is missing: one message."""


def judge_data(name: str, seed: int, told: Told = lambda done: None) -> tuple[list[Judged], dict[str, Any]]:
    """Judges on one data set; returns the outcomes and the facts for the report."""
    if name not in DATA:
        raise DataError(f"there is no data set {name!r}; wanted {' or '.join(DATA)}")
    try:
        import sklearn  # noqa: F401
    except ImportError:
        message = "the data come with scikit-learn, which is not installed: pip install 'handgrad[train]'"
        raise DataError(message) from None
    return DATA[name](seed, told)


def digits(seed: int, told: Told) -> tuple[list[Judged], dict[str, Any]]:
    """The δ recursion in training, and ridge regression on real measurements."""
    outcomes, facts = [], {}
    for part in (_network, _ridge):
        judged, found = part(seed, told)
        outcomes += judged
        facts |= found
    return outcomes, facts


DATA = {"digits": digits}


def _network(seed: int, told: Told) -> tuple[list[Judged], dict[str, Any]]:
    X, Y, X_test, labels = _columns(seed)
    loss = partial(network_loss, activations=ACTIVATIONS, loss=LOSS)
    claim = _claim("digits", backpropagate, network_loss, "params", "value_and_gradient")
    judged, facts, losses = [], {}, []
    for step, params, value in _training(X, Y, seed):
        losses.append(value)
        if step not in (0, STEPS // 2, STEPS):
            continue
        when = {0: "before training", STEPS: "after training"}.get(step, f"at step {step}")
        columns = (seed + step + np.arange(JUDGED_COLUMNS)) % X.shape[1]
        at = (params, X[:, columns], Y[:, columns], ACTIVATIONS, LOSS)
        judged.append(_at(replace(claim, name=f"digits, {when}"), at, seed))
        accuracy = _accuracy(params, X_test, labels)
        mean = float(loss(params, jnp.asarray(X), jnp.asarray(Y))) / X.shape[1]
        facts[f"network {when}"] = f"test accuracy {accuracy:.1%}, mean training loss {mean:.4f}"
        told(len(judged))
    facts["network"] = (
        f"widths {'-'.join(map(str, WIDTHS))}, {', '.join(ACTIVATIONS)}, {LOSS}; {STEPS} jit-compiled steps of "
        f"{BATCH} columns with the hand-written gradient, float32; "
        f"{X.shape[1]} training and {X_test.shape[1]} test columns"
    )
    return judged, facts


def _training(X: np.ndarray, Y: np.ndarray, seed: int) -> Iterator[tuple[int, Any, float]]:
    """Gradient descent with momentum; yields the state before every step, and the last."""

    @jax.jit
    def step(params: Any, velocity: Any, x: Any, y: Any) -> Any:
        value, gradient = backpropagate(params, x, y, ACTIVATIONS, LOSS, reduction="mean")
        velocity = jax.tree.map(lambda v, g: MOMENTUM * v - RATE * g, velocity, gradient)
        return jax.tree.map(jnp.add, params, velocity), velocity, value

    rng = np.random.default_rng(seed)
    params = initialise(jax.random.key(seed), WIDTHS)
    velocity = jax.tree.map(jnp.zeros_like, params)
    value = float("nan")
    for number in range(STEPS):
        yield number, params, value
        chosen = rng.choice(X.shape[1], BATCH, replace=False)
        params, velocity, value = step(params, velocity, X[:, chosen], Y[:, chosen])
    yield STEPS, params, float(value)


def _accuracy(params: Any, X: Any, labels: np.ndarray) -> float:
    from handgrad.backpropagation import forward

    output = forward(params, X, ACTIVATIONS).a[-1]
    return float(np.mean(np.asarray(output).argmax(0) == labels))


def _columns(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """scikit-learn's digits, a column an image, split four to one."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    X, labels = (images[order].T / 16).astype(np.float32), labels[order]
    cut = len(labels) * 4 // 5
    return X[:, :cut], np.eye(10, dtype=np.float32)[:, labels[:cut]], X[:, cut:], labels[cut:]


def _ridge(seed: int, told: Told) -> tuple[list[Judged], dict[str, Any]]:
    """Diabetes, centred: the gradient at the solution and beside it, and the solution against scikit-learn."""
    from sklearn.datasets import load_diabetes
    from sklearn.linear_model import Ridge

    features, target = map(np.asarray, load_diabetes(return_X_y=True))
    X, Y = features.T, (target - target.mean())[None, :]
    judged, gaps = [], []
    claim = _claim("diabetes", ridge_gradient, ridge_loss, "W", "gradient")
    for lam in (0.01, 1.0):
        with jax.enable_x64(True):
            W = np.asarray(ridge_solution(jnp.asarray(X), jnp.asarray(Y), jnp.asarray(lam)))
        theirs = Ridge(alpha=lam, fit_intercept=False, solver="cholesky").fit(X.T, Y[0]).coef_
        gaps.append(float(np.abs(W[0] - theirs).max() / np.abs(theirs).max()))
        beside = W + np.random.default_rng(seed).standard_normal(W.shape)
        for where, weights in (("at the solution", W), ("beside the solution", beside)):
            name = f"diabetes, {where}, lam = {lam:g}"
            judged.append(_at(replace(claim, name=name), (weights, X, Y, np.float64(lam)), seed))
            told(len(judged))
    worst = max(gaps)
    verdict = "equal" if worst <= EQUAL_TO_SKLEARN else "DIFFERENT"
    fact = f"{verdict}: largest relative difference {worst:.1e} (wanted at most {EQUAL_TO_SKLEARN:g}), float64"
    return judged, {"ridge on diabetes, closed form against sklearn.linear_model.Ridge": fact}


def _claim(data: str, hand: Any, reference: Any, wrt: str, relation: Any) -> Claim:
    file, line = source_of(hand)
    return Claim(data, relation, hand, reference, (wrt,), module=hand.__module__, file=file, line=line)


def _at(claim: Claim, at: tuple[Any, ...], seed: int) -> Judged:
    budget = Budget(seed=seed, cases=AROUND)
    judged = judge(claim, budget, FixedDraws(claim, seed, at))
    record = replace(judged.record, target=f"data::{claim.name}", replay=None)
    return replace(judged, record=record)
