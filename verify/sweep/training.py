"""Training in bfloat16 on scikit-learn's digits: activations with derivatives by hand, and those of ``jax.nn``.

    python -m verify.sweep.training -o reports/sweep

Two networks start alike and see the same batches; every few steps the gradient of each is held against that of float64
at the same parameters. Writes ``training.md`` and ``training.svg``; the next ``verify sweep`` puts them in its report.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from handgrad.activations import ACTIVATIONS
from verify.records.serial import write_atomically

WIDTHS, BATCH, STEPS, EVERY, RATE = (64, 64, 64, 64, 10), 128, 400, 4, 0.1
NAMES, SEEDS = ("gelu", "gelu_tanh", "silu", "mish", "sigmoid"), range(5)
PREFIX = 1500
"""Images trained on; the others are for the accuracy."""

Parameters = list[tuple[Any, Any]]


@dataclass(frozen=True)
class Course:
    """The relative error of the gradient over one training, and the accuracy in the end."""

    errors: np.ndarray
    accuracy: float


def logits(params: Parameters, x: Any, sigma: Callable[[Any], Any]) -> Any:
    """A data point is a column."""
    *hidden, (W, b) = params
    for V, c in hidden:
        x = sigma(V @ x + c[:, None])
    return W @ x + b[:, None]


def loss(params: Parameters, x: Any, y: Any, sigma: Callable[[Any], Any]) -> Any:
    """Mean softmax cross-entropy, in float32 at least."""
    z = logits(params, x, sigma)
    z = z.astype(jnp.promote_types(z.dtype, jnp.float32))
    return -jnp.mean(jnp.sum(jax.nn.log_softmax(z, axis=0) * y.astype(z.dtype), axis=0))


def start(seed: int, gain: float) -> Parameters:
    rng = np.random.default_rng(seed)
    return [(rng.normal(size=(n, m)) * gain / np.sqrt(m), np.zeros(n)) for m, n in pairwise(WIDTHS)]


def train(sigma: Callable[[Any], Any], exact: Callable[[Any], Any], seed: int, gain: float) -> Course:
    """One network in bfloat16, its parameters kept in float32 between steps."""
    x, y = _digits()
    low = jax.jit(jax.grad(lambda p, x, y: loss(p, x, y, sigma)))
    high = jax.jit(jax.grad(lambda p, x, y: loss(p, x, y, exact)))
    master = jax.tree.map(lambda a: a.astype(np.float32), start(seed, gain))
    rng, found = np.random.default_rng(seed), []
    for step in range(STEPS):
        batch = rng.integers(PREFIX, size=BATCH)
        params, xb, yb = jax.tree.map(lambda a: jnp.asarray(a, jnp.bfloat16), (master, x[:, batch], y[:, batch]))
        gradient = low(params, xb, yb)
        if step % EVERY == 0:
            with jax.enable_x64(True):
                wide = jax.tree.map(lambda a: jnp.asarray(np.asarray(a, np.float64)), (params, xb, yb))
                found.append(_relative(gradient, high(*wide)))
        master = jax.tree.map(lambda p, g: p - RATE * np.asarray(g, np.float32), master, gradient)
    params, xs = jax.tree.map(lambda a: jnp.asarray(a, jnp.bfloat16), (master, x[:, PREFIX:]))
    right = np.argmax(np.asarray(logits(params, xs, sigma), np.float32), 0) == np.argmax(y[:, PREFIX:], 0)
    return Course(np.asarray(found), float(right.mean()))


def _relative(gradient: Any, truth: Any) -> float:
    pairs = list(zip(jax.tree.leaves(gradient), jax.tree.leaves(truth), strict=True))
    gap = sum(np.sum((np.asarray(g, np.float64) - np.asarray(t)) ** 2) for g, t in pairs)
    return float(np.sqrt(gap / sum(np.sum(np.asarray(t) ** 2) for _, t in pairs)))


def _digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return images.T / 16.0, np.eye(10)[labels].T


def compare() -> dict[str, tuple[list[Course], list[Course]]]:
    """For every activation the trainings by hand, and those with ``jax.nn``'s."""
    found = {}
    for name in NAMES:
        sigma, gain = ACTIVATIONS[name], 4.0 if name == "sigmoid" else 1.5
        sides = (sigma, sigma.apply)
        found[name] = tuple([train(side, sigma.apply, seed, gain) for seed in SEEDS] for side in sides)
    return found  # type: ignore[return-value]


def markdown(found: dict[str, tuple[list[Course], list[Course]]]) -> str:
    layers = "-".join(map(str, WIDTHS))
    rows = [
        f"| `{name}` | {_mean(hand):.2e} | {_mean(other):.2e} | {_mean(hand) / _mean(other):.2f} | "
        f"{100 * np.mean([c.accuracy for c in hand]):.1f}% | {100 * np.mean([c.accuracy for c in other]):.1f}% |"
        for name, (hand, other) in found.items()
    ]
    about = f"""\
Digits, widths {layers}, {STEPS} steps of {BATCH} images, plain gradient descent, {len(SEEDS)} seeds; parameters,
activations and gradients in bfloat16, master weights in float32. The error of a gradient is the norm of its difference
from float64's at the same parameters and images, relative to that, every {EVERY} steps: geometric means. Products of
matrices round in bfloat16, too, on both sides."""
    head = ["| activation | by hand | `jax.nn` | ratio | accuracy by hand | `jax.nn` |", "|---|---|---|---|---|---|"]
    picture = "![training](training.svg)"
    return "\n".join(["## Training in bfloat16", "", about, "", *head, *rows, "", picture, ""])


def _mean(courses: list[Course]) -> float:
    return float(np.exp(np.mean([np.log(c.errors) for c in courses])))


def svg(found: dict[str, tuple[list[Course], list[Course]]]) -> str:
    """The error over training, a panel for each activation: geometric means over the seeds."""
    width, height, left, gap = 640, 90, 90, 30
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 20} {len(found) * (height + gap) + 40}" '
        'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>',
        f'<text x="{left}" y="15" font-weight="bold">relative error of the gradient over {STEPS} steps</text>',
        f'<text x="{left + width - 130}" y="15" fill="#1f6feb">by hand</text>',
        f'<text x="{left + width - 60}" y="15" fill="#d1242f">jax.nn</text>',
    ]
    for number, (name, sides) in enumerate(found.items()):
        top = 26 + number * (height + gap)
        curves = [np.exp(np.mean([np.log(c.errors) for c in side], axis=0)) for side in sides]
        low, high = (np.log10(f([f(c) for c in curves])) for f in (np.min, np.max))
        lines.append(f'<text x="4" y="{top + 12}">{name}</text>')
        for value in (low, high):
            y = top + height * (high - value) / (high - low)
            lines.append(f'<text x="{left - 6}" y="{y + 4:.0f}" text-anchor="end">{10**value:.1e}</text>')
        for curve, color in zip(curves, ("#1f6feb", "#d1242f"), strict=True):
            xs = left + np.arange(len(curve)) * width / (len(curve) - 1)
            ys = top + height * (high - np.log10(curve)) / (high - low)
            points = " ".join(f"{x:.0f},{y:.0f}" for x, y in zip(xs, ys, strict=True))
            lines.append(f'<polyline points="{points}" fill="none" stroke="{color}"/>')
    return "\n".join([*lines, "</svg>", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", dest="output", default="reports/sweep", type=Path)
    folder = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    found = compare()
    write_atomically(folder / "training.svg", svg(found).encode())
    write_atomically(folder / "training.md", markdown(found).encode())
    print(markdown(found))


if __name__ == "__main__":
    main()
