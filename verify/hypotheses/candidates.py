"""The truth re-evaluated with other arguments, by the harness: the right formula at the wrong variable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from verify.hypotheses.cases import Case
from verify.hypotheses.ladder import Found, View, scaled
from verify.hypotheses.scale import proportions
from verify.record import Diagnosis

_FAILING, _PASSING = 40, 20


def candidates(cases: Sequence[Case], view: View) -> Iterator[Found]:
    """Those re-evaluations that the hand-written value equals, or is a multiple of."""
    used = [case for case in cases if case.failed and case.tame][:_FAILING]
    used += [case for case in cases if not case.failed][:_PASSING]
    for label, evaluate in (view.candidates or {}).items():
        values = _evaluate(used, evaluate)
        if values is None:
            continue
        misapplied = "cotangent" in label and "swap" not in label and " at " not in label
        kind = "cotangent" if misapplied else "wrong_argument"
        for scale, how in scaled(used, lambda case, values=values: (case.hand, values[id(case)]), False):
            if not how.everything or scale.constant == 0:
                continue
            if abs(scale.constant - 1) < 1e-7 and not scale.powers:
                text = f"equals the {view.noun} {label}, not the {view.noun} itself"
                yield Found.one(kind, text, label, how)
            else:
                first = Diagnosis(kind, f"is a multiple of the {view.noun} {label}", label, how.evidence())
                second = Diagnosis(
                    "factor", f"besides, is {scale.name} times that", scale.name, how.evidence()
                )
                yield Found((first, second), how)
            break


def _evaluate(cases: Sequence[Case], evaluate: Callable) -> dict[int, np.ndarray] | None:
    """The candidate's values; None as soon as it cannot be evaluated or is no multiple of the hand's."""
    values: dict[int, np.ndarray] = {}
    misses = 0
    for case in cases:
        try:
            value = np.asarray(evaluate(case.sample)[case.leaf])
        except Exception:  # a re-evaluation that cannot be made is no match, whatever it raised
            return None
        values[id(case)] = value
        if case.failed and proportions([case], lambda case, value=value: (case.hand, value)) is None:
            misses += 1
            if misses > 1:
                return None
    return values
