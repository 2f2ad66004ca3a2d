"""Runs a reproduction: what plain JAX gives, and what mpmath does."""

from __future__ import annotations

from typing import Any

import jax
import mpmath as mp

from tests.scan_report.discrepancies import Discrepancy

DIGITS = 400


def reproduced(found: Discrepancy) -> tuple[float, float]:
    """``rule`` and ``exact`` of one discrepancy."""
    names: dict[str, Any] = {}
    with jax.enable_x64(True):
        exec(compile(found.code, found.rule, "exec"), names)
        rule = float(names["rule"])
    with mp.workdps(DIGITS):
        exact = float(eval(found.exact, {"mp": mp}))
    return rule, exact
