"""Real data: the hand-written gradients at states that a user meets, not only at drawn ones.

``digits``: a network with two hidden layers on scikit-learn's digits, audited before, during and after 1,000 compiled
steps that use the hand-written gradient; and ridge regression on its diabetes data, whose closed form is held
against scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from handgrad.claims import Claim, source_of
from handgrad.ridge import ridge_gradient, ridge_loss, ridge_solution
from handgrad.training import Every, Moment
from handgrad.training.digits import BATCH, LOSS, WIDTHS, Digits, Setting, by_hand, mean_loss, train_digits
from verify.auditing import Audit
from verify.cells.budget import Budget
from verify.drawing.fixed import FixedDraws
from verify.verdict.judge import judge
from verify.verdict.judged import Judged

STEPS = 1000
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
    """Trained as by ``python -m handgrad.training digits``, with an audit before, in the middle and after."""
    setting, data, facts = Setting(STEPS, seed), Digits.drawn(seed), {}
    loss = mean_loss(setting)
    audit = Audit(by_hand(setting), loss, name="digits", seed=seed, columns=JUDGED_COLUMNS, cases=AROUND)

    def facts_of(moment: Moment) -> None:
        accuracy = data.accuracy(moment.params, setting.activations)
        value = float(loss(moment.params, *(jnp.asarray(a, jnp.float32) for a in (data.x, data.y))))
        facts[f"network, step {moment.step}"] = f"test accuracy {accuracy:.1%}, mean training loss {value:.4f}"
        told(len(audit.judged))

    callbacks = [Every(STEPS // 2, call) for call in (audit, facts_of)]
    _, losses = train_digits(setting, by_hand, callbacks, data)
    facts["network"] = (
        f"widths {'-'.join(map(str, WIDTHS))}, {', '.join(setting.activations)}, {LOSS}; {len(losses)} compiled steps "
        f"of {BATCH} columns with the hand-written gradient, {setting.dtype}; "
        f"{data.x.shape[1]} training and {data.test_x.shape[1]} test columns"
    )
    return [replace(j, record=replace(j.record, target=f"data::{j.record.name}")) for j in audit.judged], facts


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
