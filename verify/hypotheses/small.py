"""Where a dimension is one, a product or a sum is a single number, and a mistake inside it can be read off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from verify.hypotheses.cases import Case
from verify.hypotheses.entrywise import entrywise
from verify.hypotheses.ladder import View, proportional
from verify.records.record import Diagnosis

_FAILING = 5


def at_size_one(cases: Sequence[Case], view: View) -> tuple[Diagnosis, ...] | None:
    """A sign, factor, conjugate or cotangent mistake that explains all cases in which one dimension is 1."""
    for name in cases[0].sizes:
        small = [case for case in cases if case.sizes.get(name) == 1]
        if sum(case.failed and case.tame for case in small) < _FAILING or len(small) == len(cases):
            continue
        for stage in (proportional, entrywise):
            for found in stage(small, view):
                if found.fit.unconditional and found.diagnoses[0].value != "0":
                    return tuple(
                        replace(d, text=f"{d.text} (seen where {name} == 1)") for d in found.diagnoses
                    )
    return None
