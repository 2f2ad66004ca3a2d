"""Checking a derivative inside a test of the user's own.

    from verify.testing import assert_derivative

    def test_ridge():
        assert_derivative(ridge_gradient, ridge_loss, wrt="W")
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from handgrad.claims import Relation
from verify import profile
from verify.api import verify
from verify.report.explain import narrow

CASES = 200
"""Cases of a claim, over all its dtypes, in Hypothesis's default profile: well under a second for most."""
WIDTH = 72
"""Of a failure's text: pytest indents it."""


def assert_derivative(
    hand: Any,
    reference: Callable[..., Any] | None = None,
    *,
    wrt: str | Iterable[str] | None = None,
    relation: Relation = "gradient",
    at: Sequence[Any] | Mapping[str, Any] | None = None,
    given: Mapping[str | tuple[str, ...], Any] | None = None,
    name: str | None = None,
    dtypes: Iterable[str] | None = None,
    backends: Iterable[str] = ("numpy",),
    cases: int | None = None,
    seconds: float | None = None,
    seed: int | None = None,
) -> Any:
    """Raises ``AssertionError``, with what is wrong and where, unless ``hand`` is the derivative.

    Takes what :func:`verify.verify` takes: a function that carries a claim, or a function and its reference,
    with ``at=`` where neither is annotated. Returns the outcome (of a list or a module of claims, a list).
    Where ``cases`` and ``seed`` are not given, the loaded Hypothesis profile says how many cases (``max_examples``)
    and whether fresh ones (``derandomize``); ``seconds`` alone bounds the time instead. The text ends with the seed
    that repeats the failure.

    Raises ``TypeError`` for something that carries no claim.
    """
    __tracebackhide__ = True
    if cases is None and seconds is None:
        cases = profile.scaled(CASES)
    seed = profile.seed() if seed is None else seed
    with warnings.catch_warnings():  # `filterwarnings = error` is meant for the user's tests
        warnings.simplefilter("ignore")
        found = verify(
            hand, reference, wrt=wrt, relation=relation, at=at, given=given, name=name,
            backends=backends, dtypes=dtypes, cases=cases, seconds=seconds, seed=seed,
        )  # fmt: skip
    outcomes = found if isinstance(found, list) else [found]
    again = f"assert_derivative(..., seed={seed})"
    failed = [replace(outcome, replay=again) for outcome in outcomes if not outcome.ok]
    if failed:
        raise AssertionError("\n\n".join(narrow(outcome, WIDTH, f"{outcome.name} - ") for outcome in failed))
    return found
