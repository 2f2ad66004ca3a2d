"""Evidence that a rule is not linear in its cotangent (or tangent), where no exact correction is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from verify.hypotheses.cases import Case, is_direction, largest
from verify.hypotheses.ladder import View
from verify.records.record import Diagnosis


def not_zero_at_zero(cases: Sequence[Case], view: View) -> tuple[Diagnosis, ...] | None:
    """Non-zero where the cotangent (or tangent) is zero."""
    names, word = _directions(cases)
    if not names:
        return None
    nonzero = [
        case
        for case in cases
        if case.failed
        and largest(case.hand) > 0
        and all(largest(case.bases[name]) == 0 for name in names if name in case.bases)
    ]
    if nonzero:
        text = f"is not zero where the {word} is zero: every term must carry the {word} exactly once"
        return (Diagnosis("cotangent", text, "not linear", f"on {len(nonzero)} cases with a zero {word}"),)
    return None


def _directions(cases: Sequence[Case]) -> tuple[list[str], str]:
    names = list(
        dict.fromkeys(n for case in cases for n in case.sample.inputs if is_direction(n, case.sample))
    )
    return names, "cotangent" if names and names[0].startswith("cotangent") else "tangent"


def of_another_degree(cases: Sequence[Case], view: View) -> tuple[Diagnosis, ...] | None:
    """Of another degree in the cotangent (or tangent) than one."""
    names, word = _directions(cases)
    if not names:
        return None
    rows = []
    for case in cases:
        along = max((largest(case.bases[name]) for name in names if name in case.bases), default=0.0)
        sizes = [largest(case.hand), largest(case.truth), along]
        if case.tame and all(size > 0 for size in sizes):
            rows.append(np.log(sizes))
    if len(rows) >= 12:
        hand, truth, direction = np.array(rows).T
        if np.ptp(direction) > 2:
            ratio = hand - truth
            slope, _ = np.polyfit(direction, ratio, 1)
            strength = np.corrcoef(direction, ratio)[0, 1] ** 2 if np.ptp(ratio) > 0 else 0.0
            if abs(abs(slope) - round(abs(slope))) < 0.15 and round(abs(slope)) >= 1 and strength > 0.8:
                degree = 1 + round(slope)
                what = (
                    f"does not depend on the {word}"
                    if degree == 0
                    else f"is of degree {degree} in the {word}"
                )
                text = f"{what}, where the {view.noun} is linear in it: multiply by the {word} exactly once"
                return (
                    Diagnosis(
                        "cotangent", text, f"degree {degree}", f"on {len(rows)} cases of many magnitudes"
                    ),
                )
    return None
