"""Primals that are approximations: special functions by tables of coefficients, solutions by iteration.

A rule is the derivative of the function that is meant; the program's own derivative is that of the approximation.
They differ by what the approximation is off: no precision of arithmetic takes it away, and the rule is not at fault.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from verify.arithmetic import wide
from verify.ball import rounded_number
from verify.cases import Case
from verify.comparison import as_wide, differs
from verify.elementwise import is_floating
from verify.trace import Traced

if TYPE_CHECKING:
    from verify.engine import Engine

TABLE = 6
"""So many rounded numbers in a primal are the coefficients of an approximation."""
MOST_LOOKED_AT = 1000


def is_approximate(traced: Traced) -> bool:
    """Whether the primal has a table of coefficients, or repeats something until it is good enough."""
    if "while_loop(" in getattr(traced.primal, "source", ""):
        return True
    numbers: set[float] = set()
    for constant in getattr(traced.primal, "constants", {}).values():
        if is_floating(constant.dtype) or constant.dtype.startswith("complex"):
            flat = np.asarray(constant.value).astype(np.complex128).reshape(-1)[:MOST_LOOKED_AT]
            numbers |= {float(x) for x in (*flat.real, *flat.imag) if rounded_number(x)}
    return len(numbers) >= TABLE


def ordinary_size(traced: Traced, case: Case) -> float:
    """How large values are at ordinary inputs: beside them an approximation need not be right in its tails."""
    rng = np.random.default_rng(0)
    inputs = [v if v.dtype.kind in "iubV" and v.dtype.name != "bfloat16" else _ordinary(rng, v) for v in case.values]
    try:
        values = traced.primal.link(wide(np.float64))(case.dims, inputs)
    except Exception:  # out of the domain
        return 0.0
    sizes = np.concatenate([np.abs(as_wide(v)).reshape(-1) for v in values if v.dtype.kind in "fc"] or [np.zeros(1)])
    return float(np.max(sizes, where=np.isfinite(sizes), initial=0.0))


def _ordinary(rng: np.random.Generator, like: np.ndarray) -> np.ndarray:
    drawn = rng.uniform(0.25, 1.0, like.shape)
    return drawn.astype(like.dtype if like.dtype.kind in "fc" else np.float64)


def primal_depends_on_dtype(engine: Engine, case: Case) -> bool:
    """Whether a dtype has an approximation of its own, with fewer coefficients."""
    values = [
        [as_wide(x) for x in traced.primal.link(wide(np.float64))(case.dims, list(case.values)) if x.dtype.kind in "fc"]
        for traced in (engine.formula(case), engine.traced(case.structure, case.dtype, case.dims))
    ]
    return any(differs(a, b).any() for a, b in zip(*values, strict=True))
