"""Gathers what the plots of a claim are drawn from. Only claims that do not simply agree are worth it."""

from __future__ import annotations

import os

from verify.drawing.cases import Case
from verify.figure_data.axis_errors import axis_errors
from verify.figure_data.entry_errors import entry_errors
from verify.figure_data.figures import Figures
from verify.figure_data.held import evaluated
from verify.figure_data.remainder import remainder
from verify.figure_data.size_errors import size_errors
from verify.tracing.engine import Engine


def figures_of(
    engine: Engine, dtype: str, shown: Case, trusted: str = "reference", but: str = ""
) -> Figures | None:
    """The plots of a claim in one dtype; the remainder at the case ``shown`` if there is no better one.

    ``trusted`` is the side that stands for the truth, evaluated in extended precision; ``but`` says where it is none.
    """
    if engine.claim.relation == "at_most":
        return None
    try:
        held, against = evaluated(engine, dtype, trusted)
        if not held:
            return None
        return Figures(
            (axis_errors(engine, dtype, held, against + but),),
            size_errors(held),
            entry_errors(engine, held, dtype),
            remainder(engine, held, shown),
        )
    except Exception:  # a plot that cannot be had must not take the verdict with it
        if os.environ.get("VERIFY_TRACEBACK"):
            raise
        return None
