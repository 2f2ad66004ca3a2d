"""``verify.verify``: judge from Python, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

from handgrad.claims import Claim, Relation, registered_claims, source_of
from verify.cells.budget import Budget
from verify.drawing.specification import SignatureError
from verify.records.record import ClaimRecord


def verify(
    hand: Callable[..., Any] | ModuleType | Claim | Iterable[Any],
    reference: Callable[..., Any] | None = None,
    *,
    wrt: str | Iterable[str] | None = None,
    relation: Relation = "gradient",
    at: Sequence[Any] | Mapping[str, Any] | None = None,
    given: Mapping[str | tuple[str, ...], Any] | None = None,
    name: str | None = None,
    dtypes: Iterable[str] | None = None,
    backends: Iterable[str] = ("numpy", "cpu"),
    cases: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
) -> Any:
    """Judges a claim and returns its outcome; of a list or a module of claims a list of outcomes.

    ``verify(ridge_gradient)`` judges the claims that the function carries. ``verify(hand, reference, wrt="W")``
    makes a claim on the spot; with ``at=(W, X, Y)`` it needs no annotations and is judged at this call and around it
    (same shapes and dtypes, values redrawn). Two calls with the same ``seed`` judge the same cases. Of a derivation the
    steps are judged in order, up to the first that breaks, whose outcome is returned; else that of the last step.

    Raises ``TypeError`` for something that carries no claim.
    """
    budget = Budget(seed, cases, tuple(backends), None if dtypes is None else tuple(dtypes), seconds=seconds)
    if reference is not None:
        if not callable(hand):
            raise TypeError(f"verify: got {type(hand).__name__}; wanted the hand-written function")
        return _judged(claim_of(hand, reference, wrt, relation, given, name), budget, at)
    if at is not None or wrt is not None:
        raise TypeError("verify: at= and wrt= need the reference: verify(hand, reference, wrt=..., at=...)")
    if isinstance(hand, Claim):
        return _judged(hand, budget)
    if isinstance(hand, ModuleType):
        from verify.sessions.collect import claims_of

        return [_judged(c, budget) for c in claims_of([hand])]
    if isinstance(hand, Iterable) and not callable(hand):
        found = [verify(h, backends=backends, dtypes=dtypes, cases=cases, seconds=seconds, seed=seed) for h in hand]
        return [one for f in found for one in (f if isinstance(f, list) else [f])]
    claims = carried_by(hand)
    if not claims:
        raise TypeError(
            f"verify: {getattr(hand, '__name__', hand)!r} carries no claim; put gradient_of(...) or another decorator "
            f"on it, or name its reference: verify(hand, reference, wrt=...)"
        )
    if claims[0].step_of is hand:
        return _first_that_breaks(claims, budget)
    outcomes = [_judged(c, budget) for c in claims]
    return outcomes[0] if len(outcomes) == 1 else outcomes


def claim_of(
    hand: Callable[..., Any],
    reference: Callable[..., Any],
    wrt: str | Iterable[str] | None,
    relation: Relation = "gradient",
    given: Mapping[str | tuple[str, ...], Any] | None = None,
    name: str | None = None,
) -> Claim:
    """A claim that is not registered."""
    names = () if wrt is None else (wrt,) if isinstance(wrt, str) else tuple(wrt)
    if not names and relation not in ("equal_to", "at_most"):
        raise TypeError(f"verify: a {relation} needs wrt=: the name of the argument, or a tuple of names")
    file, line = source_of(hand)
    return Claim(
        name or getattr(hand, "__name__", type(hand).__name__), relation, hand, reference, names,
        wrt is not None and not isinstance(wrt, str), dict(given or {}),
        module=getattr(hand, "__module__", "") or "", file=file, line=line,
    )  # fmt: skip


def carried_by(hand: Any) -> list[Claim]:
    """The claims of a function: those registered with it, the steps of a derivation, or the rule that it is itself."""
    from verify.sessions.collect import rule_of

    found = [c for c in registered_claims() if c.hand is hand or c.step_of is hand]
    rule = rule_of(getattr(hand, "__name__", "rule"), hand)
    return found or ([rule] if rule is not None else [])


def _first_that_breaks(steps: Sequence[Claim], budget: Budget) -> ClaimRecord:
    outcome = _judged(steps[0], budget)
    for step in steps[1:]:
        if not outcome.ok:
            break
        outcome = _judged(step, budget)
    return outcome


def _judged(claim: Claim, budget: Budget, at: Any = None) -> ClaimRecord:
    from verify.drawing.fixed import FixedDraws
    from verify.verdict.judge import judge

    draws = None
    if at is not None:
        try:
            draws = FixedDraws(claim, budget.seed, at)
        except SignatureError as error:
            raise TypeError(f"verify: {error}") from None
        if budget.cases is None:
            budget = replace(budget, cases=200)
    record = judge(claim, budget, draws).record
    return replace(record, replay=None) if record.replay else record
