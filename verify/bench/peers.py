"""The checks that people use, each with its default steps and tolerances, once a case at a fresh shape.

The rule is given to each as its users would give it: to JAX as a ``custom_vjp``, to torch as an ``autograd.Function``,
to HIPS autograd as a primitive with ``defvjp``. Reverse mode, first order. JAX's runs under ``jit``, which is faster
here than operation by operation.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import numpy as np

from verify.bench.function import Arrays, Function

Check = Callable[[Arrays], bool]
"""Whether a tool passes a rule at some values."""
HOMES = {
    "check_grads float32": "jax",
    "check_grads float64": "jax",
    "gradcheck fast": "torch",
    "gradcheck slow": "torch",
    "autograd": "autograd",
}
"""Every peer, and the package that it is of."""


def version_of(package: str) -> str | None:
    """None where it is not installed; nothing is imported."""
    return version(package).split("+")[0] if importlib.util.find_spec(package) else None


def check_of(tool: str, function: Function, mistake: float = 0.0) -> Check | None:
    """A peer's check of the rule, or of the rule with its planted mistake; None where the peer is absent."""
    if version_of(HOMES[tool]) is None:
        return None
    if tool == "autograd":
        return _autograd(function, mistake)
    if HOMES[tool] == "torch":
        return _gradcheck(function, mistake, fast=tool.endswith("fast"))
    return _check_grads(function, mistake, x64=tool.endswith("64"))


@contextmanager
def one_thread() -> Iterator[None]:
    """torch, if it is here, computes in one thread meanwhile, as NumPy does."""
    if version_of("torch") is None:
        yield
        return
    import torch  # pyright: ignore[reportMissingImports]

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _split(function: Function, values: Arrays) -> Arrays:
    """The arguments alone: peers draw their own cotangents."""
    return values[:-1] if function.has_cotangent else values


def _passes(run: Callable[[], Any], complaint: type[Exception]) -> bool:
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
        try:
            run()
        except complaint:
            return False
    return True


# --- jax.test_util.check_grads ----------------------------------------------------------------------------


def _check_grads(function: Function, mistake: float, x64: bool) -> Check:
    import jax
    from jax.test_util import check_grads

    claim = function.planted(mistake) if mistake else function.claim
    rule = jax.custom_vjp(claim.reference)

    def backward(arguments: Any, cotangent: Any) -> Any:
        if claim.relation == "vjp":
            found = claim.hand(*arguments, cotangent=cotangent)
        else:
            found = claim.hand(*arguments)
            found = jax.tree.map(lambda g: cotangent * g, found if claim.wrt_is_tuple else (found,))
        into: list[Any] = [None] * len(arguments)
        for at, g in zip(function.wrt, found, strict=True):
            into[at] = g
        return tuple(into)

    rule.defvjp(lambda *arguments: (claim.reference(*arguments), arguments), backward)
    compiled = jax.jit(rule)

    def check(values: Arrays) -> bool:
        arguments = [np.asarray(v, np.float64 if x64 else np.float32) for v in _split(function, values)]

        def of_some(*some: Any) -> Any:
            every = list(arguments)
            for at, value in zip(function.wrt, some, strict=True):
                every[at] = value
            return compiled(*every)

        at = [arguments[i] for i in function.wrt]
        with jax.enable_x64(x64):
            return _passes(lambda: check_grads(of_some, at, order=1, modes=("rev",)), AssertionError)

    return check


# --- torch.autograd.gradcheck -----------------------------------------------------------------------------


def _gradcheck(function: Function, mistake: float, fast: bool) -> Check:
    import torch  # pyright: ignore[reportMissingImports]
    from torch.autograd.gradcheck import GradcheckError  # pyright: ignore[reportMissingImports]

    class Rule(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *arguments: Any) -> Any:
            ctx.save_for_backward(*arguments)
            return function.torch.primal(*arguments)

        @staticmethod
        def backward(ctx: Any, *cotangents: Any) -> Any:
            arguments = ctx.saved_tensors
            into: list[Any] = [None] * len(arguments)
            found = function.torch.pullback(cotangents[0], *arguments, mistake=mistake)
            for at, g in zip(function.wrt, found, strict=True):
                into[at] = g
            return tuple(into)

    def check(values: Arrays) -> bool:
        arguments = [torch.from_numpy(np.asarray(v)) for v in _split(function, values)]
        for at in function.wrt:
            arguments[at].requires_grad_()
        run = lambda: torch.autograd.gradcheck(Rule.apply, arguments, fast_mode=fast)  # noqa: E731
        return _passes(run, GradcheckError)

    return check


# --- autograd.test_util.check_grads -----------------------------------------------------------------------


def _autograd(function: Function, mistake: float) -> Check:
    from autograd.extend import defvjp_argnums, primitive  # pyright: ignore[reportMissingImports]
    from autograd.test_util import check_grads  # pyright: ignore[reportMissingImports]

    form, wrt = function.numpy, function.wrt
    which: int | tuple[int, ...] = wrt if len(wrt) > 1 else min(wrt)
    rule = primitive(form.primal)

    def vjp_maker(at: Any, output: Any, arguments: Any, keywords: Any) -> Any:
        return lambda cotangent: form.pullback(cotangent, *arguments, mistake=mistake)

    defvjp_argnums(rule, vjp_maker)
    checked: Any = check_grads(rule, which, modes=["rev"], order=1)

    def check(values: Arrays) -> bool:
        return _passes(lambda: checked(*_split(function, values)), AssertionError)

    return check
