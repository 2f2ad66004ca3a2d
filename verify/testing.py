"""Checking a derivative inside a test of the user's own.

    from verify.testing import assert_derivative

    def test_ridge():
        assert_derivative(ridge_gradient, ridge_loss, wrt="W")
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from handgrad.claims import Relation
from verify.api import verify

CASES = 200
"""Cases of a claim, over all its dtypes: well under a second for most."""


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
    cases: int | None = CASES,
    seconds: float | None = None,
    seed: int = 0,
) -> Any:
    """Raises ``AssertionError``, with what is wrong and where, unless ``hand`` is the derivative.

    Takes what :func:`verify.verify` takes: a function that carries a claim, or a function and its reference,
    with ``at=`` where neither is annotated. Returns the outcome (of a list or a module of claims, a list).

    Raises ``TypeError`` for something that carries no claim.
    """
    __tracebackhide__ = True
    with warnings.catch_warnings():  # `filterwarnings = error` is meant for the user's tests
        warnings.simplefilter("ignore")
        found = verify(
            hand, reference, wrt=wrt, relation=relation, at=at, given=given, name=name,
            backends=backends, dtypes=dtypes, cases=cases, seconds=seconds, seed=seed,
        )  # fmt: skip
    outcomes = found if isinstance(found, list) else [found]
    failed = [outcome for outcome in outcomes if not outcome.ok]
    if failed:
        raise AssertionError("\n\n".join(map(str, failed)))
    return found
