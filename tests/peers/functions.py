"""Every function of the corpus as something that another tool can check: a function of the arguments that are
differentiated, whose derivative is the hand-written one, and one seeded random input, as a user would write it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from tests.known_bugs.drawing import claims, draw, load

CORPUS = load("corpus")
SETS = {"historical": CORPUS.HISTORICAL, "invented": CORPUS.INVENTED, "subtle": ("subtle",)}
SIZES = dict(b=2, d=3, g=2, h=4, k=4, m=2, n=3, p=2, q=5, w=5, L=4, N=4, V=6)
"""Unequal sizes where several meet in one claim, and small: what a careful user would try first."""


@dataclass(frozen=True)
class Checked:
    """One claim at one input: ``primal`` and ``hand`` are functions of ``at`` alone.

    ``hand(at, cotangent)`` pulls back where ``mode`` is ``rev``; ``hand(at, tangents)`` pushes forward where it
    is ``fwd``. A custom rule is its own ``primal``, and is differentiated twice: ``order`` is 2.
    """

    name: str
    at: tuple[jax.Array, ...]
    primal: Callable[..., jax.Array]
    hand: Callable[[tuple[Any, ...], Any], Any]
    mode: str
    order: int = 1


def names() -> dict[str, str]:
    """The names of all claims with a wrong and a right version, and the set of each."""
    return {
        name: "stand-in" if CORPUS.entry_of(name) in CORPUS.STAND_INS else group
        for group, files in SETS.items()
        for name in claims(*files)
    }


def checked(name: str, seed: int = 0) -> Checked:
    """A claim at the first usable random input, in the precision that JAX is set to."""
    found = {n: c for files in SETS.values() for n, c in claims(*files).items()}
    relation, hand, reference, wrt, is_tuple = found[name]
    arguments, _ = draw(found[name], seed, special=False, sizes=SIZES)
    wrt = wrt or tuple(arguments)
    values = lambda at: arguments | dict(zip(wrt, at, strict=True))  # noqa: E731
    whole = lambda out: tuple(out) if is_tuple else (out,)  # noqa: E731
    primal = lambda *at: reference(**values(at))  # noqa: E731

    def pullback(at: tuple[Any, ...], cotangent: Any) -> Any:
        if relation == "gradient":
            return jax.tree.map(lambda g: cotangent * g, whole(hand(*values(at).values())))
        return whole(hand(*values(at).values(), cotangent=cotangent))

    def pushforward(at: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
        return hand(*values(at).values(), **{f"d{w}": t for w, t in zip(wrt, tangents, strict=True)})

    at = tuple(jnp.asarray(arguments[w]) for w in wrt)
    if relation == "rule":
        return Checked(name, at, hand, lambda at, cotangent: jax.vjp(hand, *at)[1](cotangent), "rev", 2)
    if relation == "hvp":
        gradient = jax.grad(primal, tuple(range(len(wrt))))
        return Checked(
            name, at, lambda *at: gradient(*at) if is_tuple else gradient(*at)[0], pushforward, "fwd"
        )
    if relation == "jvp":
        return Checked(name, at, primal, pushforward, "fwd")
    return Checked(name, at, primal, pullback, "rev")
