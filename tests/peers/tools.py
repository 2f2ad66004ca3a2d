"""The tools: each says of a function whether it passes, with the first line of its complaint if it does not."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import jax
import numpy as np

from tests.known_bugs.drawing import FOLDER, claims
from tests.peers.functions import SETS, Checked, checked

SLOW_LIMIT = 4096
"""Entries of the input beyond which a whole Jacobian is not computed."""


@dataclass(frozen=True)
class Result:
    """What a tool said. ``outcome`` is a verdict of ``verify``, or else ``passes``, ``fails``, ``raises`` (it, or
    the function, raised something else than the tool's own complaint) or ``not run``."""

    outcome: str
    text: str = ""
    kind: str | None = None
    seconds: float = 0.0

    @property
    def complains(self) -> bool:
        return self.outcome in ("fails", "raises", "wrong", "inaccurate", "error")


def timed(run: Callable[[], Any], complaint: type[Exception] | tuple[type[Exception], ...]) -> Result:
    """Whether something runs without raising; the tools' own warnings are not our business."""
    start = perf_counter()
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
            run()
    except complaint as error:
        return Result("fails", brief(error), seconds=perf_counter() - start)
    except Exception as error:
        return Result("raises", f"{type(error).__name__}: {brief(error)}", seconds=perf_counter() - start)
    return Result("passes", seconds=perf_counter() - start)


def brief(error: Exception) -> str:
    """The first line that says something, without places on this machine."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return re.sub(r"\S*/\S*/\S*", "...", lines[0])[:160] if lines else ""


# --- verify ----------------------------------------------------------------------------------------


def by_verify(name: str) -> Result:
    """``verify`` with its default budget."""
    from verify.cells.budget import Budget
    from verify.sessions.collect import collect
    from verify.verdict.judge import judge

    file = next(file for files in SETS.values() for file in files if name in claims(file))
    (claim,) = collect(f"{FOLDER / file}.py::{name}")[0]
    record = judge(claim, Budget(0)).record
    text = record.diagnosis.text if record.diagnosis else record.reason or ""
    return Result(record.verdict, text, record.diagnosis.kind if record.diagnosis else None, record.seconds)


# --- jax.test_util.check_grads ---------------------------------------------------------------------


def by_check_grads(name: str, x64: bool) -> Result:
    """``check_grads`` with its default step and tolerances; reverse mode alone where the rule has no other."""
    from jax.test_util import check_grads

    with jax.enable_x64(x64):
        one = checked(name)
        function = with_rule(one)
        modes = ("fwd", "rev") if one.mode == "fwd" or isinstance(function, jax.custom_jvp) else ("rev",)
        compiled = jax.jit(function)  # numbers reach it that are no JAX arrays, and references use `.at`
        return timed(lambda: check_grads(compiled, one.at, order=one.order, modes=modes), AssertionError)


def with_rule(one: Checked) -> Callable[..., jax.Array]:
    """The primal as a function whose derivative is the hand-written one."""
    if one.order == 2:
        return one.primal
    if one.mode == "fwd":
        forward = jax.custom_jvp(one.primal)
        forward.defjvp(lambda at, tangents: (one.primal(*at), one.hand(at, tangents)))
        return forward
    reverse = jax.custom_vjp(one.primal)
    reverse.defvjp(lambda *at: (one.primal(*at), at), one.hand)
    return reverse


# --- torch.autograd.gradcheck ----------------------------------------------------------------------


def by_gradcheck(name: str, fast: bool, inputs: int = 1) -> Result:
    """``gradcheck`` with its default step and tolerances, in float64, until one of the inputs fails."""
    seconds = 0.0
    for seed in range(inputs):
        with jax.enable_x64(True):
            result = gradchecked(checked(name, seed), fast)
        seconds += result.seconds
        if result.outcome != "passes":
            break
    return replace(result, seconds=seconds)


def gradchecked(one: Checked, fast: bool) -> Result:
    """What ``gradcheck`` says at one input; of a custom rule its gradient is checked too."""
    from torch.autograd.gradcheck import GradcheckError

    entries = sum(x.size for x in one.at)
    if entries > SLOW_LIMIT and not fast:
        return Result("not run", f"a Jacobian with {entries:,} columns")
    result = timed(lambda: gradcheck(one, fast), GradcheckError)
    if one.order == 1 or result.complains:
        return result
    weights = np.random.default_rng(1).normal(size=jax.eval_shape(one.primal, *one.at).shape)
    gradient = lambda *at: one.hand(at, weights)[0]  # noqa: E731
    again = Checked(one.name, one.at, gradient, lambda at, g: jax.vjp(gradient, *at)[1](g), "rev")
    second = timed(lambda: gradcheck(again, fast), GradcheckError)
    return replace(second, seconds=result.seconds + second.seconds)


def gradcheck(one: Checked, fast: bool) -> None:
    """Raises ``GradcheckError`` where torch disagrees. The two conjugate each other's complex gradients."""
    import torch

    primal, hand = jax.jit(one.primal), jax.jit(one.hand)

    def to_torch(x: Any) -> torch.Tensor:
        return torch.from_numpy(np.array(x))

    def conjugated(x: Any) -> Any:
        return np.conj(x) if np.iscomplexobj(x) else x

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *at):
            ctx.at = tuple(x.detach().numpy().copy() for x in at)
            return to_torch(primal(*ctx.at))

        @staticmethod
        def backward(ctx, cotangent):
            gradients = hand(ctx.at, conjugated(cotangent.numpy()))
            return tuple(None if g is None else to_torch(conjugated(np.asarray(g))) for g in gradients)

        @staticmethod
        def jvp(ctx, *tangents):
            return to_torch(hand(ctx.at, tuple(t.numpy() for t in tangents)))

    inputs = tuple(to_torch(x).requires_grad_() for x in one.at)
    torch.autograd.gradcheck(
        Function.apply,
        inputs,
        fast_mode=fast,
        check_forward_ad=one.mode == "fwd",
        check_backward_ad=one.mode == "rev",
    )
