"""Derivations: a list of steps, each claimed to equal the one before.

    @derivation
    def squared_residual(W: Float[Array, "m n"], X: Float[Array, "n N"], dW: Float[Array, "m n"]):
        yield jvp(lambda W: sum((W @ X) ** 2), (W,), (dW,))[1]
        yield 2 * trace((W @ X).T @ dW @ X)
        yield 2 * trace(X @ (W @ X).T @ dW)

Every ``yield`` is a step. ``verify`` names the first that breaks, by its number and its line.
"""

from __future__ import annotations

import dis
import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from handgrad.claims import Claim, register

__all__ = ["derivation"]

Steps = TypeVar("Steps", bound=Callable[..., Iterator[Any]])


def derivation(steps: Steps) -> Steps:
    """Registers a claim for every step of a generator function but the first: that it equals the one before.

    The claims are named ``function.step2``, ``function.step3``, ...; ``verify(function)`` judges them in order and
    returns the outcome of the first that breaks, or of the last. The function itself is returned unchanged. Arguments
    are annotated as in any claim; what stands between two steps (``R = W @ X - Y``) belongs to those after it.

    Raises ``TypeError`` unless ``steps`` is a generator function with two steps or more.
    """
    name = getattr(steps, "__name__", repr(steps))
    if not inspect.isgeneratorfunction(steps):
        raise TypeError(f"derivation: {name} is no generator function; wanted a def with a `yield` for every step")
    lines = [i.positions.lineno for i in dis.get_instructions(steps) if i.opname == "YIELD_VALUE" and i.positions]
    if len(lines) < 2:
        raise TypeError(f"derivation: {name} yields {len(lines)} step; wanted two or more, to compare")
    made = [_step(steps, number, lines) for number in range(1, len(lines) + 1)]
    for number in range(2, len(lines) + 1):
        register(
            Claim(
                name=f"{name}.step{number}",
                relation="equal_to",
                hand=made[number - 1],
                reference=made[number - 2],
                module=sys._getframe(1).f_globals.get("__name__", ""),
                qualname=steps.__qualname__,
                file=steps.__code__.co_filename,
                line=lines[number - 1] or 0,
                step_of=steps,
                note=f"step {number} of {len(lines)} (line {lines[number - 1]}) against step {number - 1} "
                f"(line {lines[number - 2]})",
            )
        )
    return steps


def _step(steps: Callable[..., Iterator[Any]], number: int, lines: Sequence[int | None]) -> Callable[..., Any]:
    """The value of one step, as a function of the derivation's arguments."""

    @functools.wraps(steps)
    def step(*arguments: Any, **named: Any) -> Any:
        values = list(islice(steps(*arguments, **named), len(lines) + 1 if number == len(lines) else number))
        if len(values) != number:
            raise ValueError(
                f"derivation {steps.__name__}: {len(values)} steps were made and {len(lines)} are written; "
                "write every step as a `yield` of its own, outside loops and branches"
            )
        return values[-1]

    step.__qualname__ = step.__name__ = f"{steps.__name__}.step{number}"
    return step
