"""A factor on most entries, and another mistake besides: take the factor off, and look at the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from verify.hypotheses.cases import Case, failing_entries
from verify.hypotheses.ladder import View
from verify.hypotheses.numbers import exact_name
from verify.hypotheses.scale import Scale, scale_kind, scale_text
from verify.records.record import Diagnosis


def peel_factor(cases: Sequence[Case], view: View) -> tuple[Diagnosis, list[Case]] | None:
    """The factor that most failing entries share, and the cases judged against that multiple of the truth."""
    if not all(case.same_shape for case in cases):
        return None
    ratios = [(case.hand / case.truth)[case.bad & (case.truth != 0)] for case in cases if case.failed]
    values = np.concatenate([part.ravel() for part in ratios]) if ratios else np.zeros(0)
    values = values[np.isfinite(values) & (values != 0)]
    if len(values) < 20:
        return None
    keys, counts = np.unique(np.round(values.real, 7), return_counts=True)
    common = keys[counts.argmax()]
    near = values[np.abs(values - common) < 2e-7 * max(1, abs(common))]
    entries = sum(int(case.bad.sum()) for case in cases)
    if len(near) < 0.5 * entries or exact_name(float(common), 1e-6) is None:
        return None
    factor = float(np.median(near.real))
    rest = [_against(case, factor) for case in cases]
    if not any(case.failed for case in rest) or all(case.failed for case in rest):
        return None
    newly = sum(after.failed and not before.failed for before, after in zip(cases, rest, strict=True))
    if newly > 0.02 * len(cases):  # the factor is not there in the cases that pass: a condition, not a layer
        return None
    scale = Scale(factor)
    kind = scale_kind(scale, cases, view.dims)
    said = Diagnosis(
        kind,
        scale_text(scale, kind, view.noun) + " (on most entries)",
        scale.name,
        f"on {len(near)} of {entries} failing entries",
    )
    return said, rest


def _against(case: Case, factor: float) -> Case:
    truth = factor * case.truth
    bad = failing_entries(case.hand, truth, 1e-7, case.noise)
    return replace(case, truth=truth, bad=bad, failed=bool(bad.any()))
