"""The self-test: before a run judges anybody, it must catch faults planted in a known derivative."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from handgrad.claims import Claim

CASES = 4


def _loss(
    W: Float[Array, "m n"], X: Float[Array, "n N"], Y: Float[Array, "m N"], lam: Float[Array, ""]
) -> Float[Array, ""]:
    return jnp.sum((Y - W @ X) ** 2) + lam * jnp.sum(W**2)


def _right(W: Any, X: Any, Y: Any, lam: Any) -> Any:
    return 2 * ((W @ X - Y) @ X.T + lam * W)


FAULTS: dict[str, Callable[..., Any]] = {
    "sign": lambda W, X, Y, lam: -_right(W, X, Y, lam),
    "factor": lambda W, X, Y, lam: _right(W, X, Y, lam) / 2,
    "transpose": lambda W, X, Y, lam: _right(W, X, Y, lam).T,
    "dropped term": lambda W, X, Y, lam: 2 * (W @ X - Y) @ X.T,
    "one entry off by 1e-6": lambda W, X, Y, lam: _right(W, X, Y, lam).at[0, 0].multiply(1 + 1e-6),
}


def _claim(name: str, hand: Callable[..., Any]) -> Claim:
    return Claim(f"self-test: {name}", "gradient", hand, _loss, wrt=("W",), module=__name__)


def self_test(seed: int) -> Iterator[str]:
    """One message for every planted fault that was missed, and one if the right formula was accused."""
    from verify.cells.budget import Budget
    from verify.verdict.judge import judge

    budget = Budget(seed=seed, cases=CASES, backends=("numpy",), dtypes=("float64",), explain=False)
    for fault, hand in FAULTS.items():
        found = judge(_claim(fault, hand), budget).record
        if found.verdict != "wrong":
            yield f"self-test failed: a planted fault ({fault}) ended as {found.verdict}, not wrong"
    found = judge(_claim("none", _right), budget).record
    if found.verdict != "agrees":
        yield f"self-test failed: a right derivative ended as {found.verdict} ({found.reason or found.diagnosis})"
