"""What a device's rounding of the inputs of float32 products does to a result, as the numpy engine predicts it.

GPUs take TF32 and TPUs bfloat16 inputs unless told otherwise. That costs digits, and is nobody's mistake: what the same
program loses in NumPy when its products round their inputs so is explained, whichever way the device rounds.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from verify.drawing.cases import Case
from verify.programs.arithmetic import ROUNDED_BITS, native
from verify.tracing.engine import Arrays, Engine

SAMPLES = 8
"""Runs with random roundings: two of them may both miss what a third shows."""
MARGIN = 8.0
"""How many times the largest error among them is still explained."""
TOLD = {
    "tf32": "TF32 (10 bits)",
    "bfloat16": "bfloat16 (7 bits)",
    "bfloat16_3x": "three bfloat16 numbers (about 16 bits)",
}
BOTH = (0, 1)
Sides = tuple[Arrays, Arrays]
"""Hand and reference."""


class RoundedProducts:
    """The numpy engine with products whose inputs are rounded as a device does: what it predicts, case by case."""

    def __init__(self, engine: Engine, how: str, dtype: str):
        self.engine, self.how = engine, how
        rng = np.random.default_rng([engine.draws.seed, engine.draws.number, ROUNDED_BITS[how]])
        self._arithmetics: dict[str, Callable[[], object]] = {
            f"native {how}": lambda: native(how),
            f"native {how}, randomly": lambda: native(how, rng),
        }
        self.measured = self.predicted = 0.0
        """The largest error of an entry that rounding explains, and what was predicted there; relative to the largest
        entry of its output."""

    @property
    def unit(self) -> float:
        return 2.0 ** -ROUNDED_BITS[self.how]

    def explains(self, case: Case, results: Sides, truths: Sides) -> Sides:
        """The results, with the truth in place of every entry whose error such rounding explains."""
        rounded, *sampled = self._runs(case)
        kept: list[Arrays] = []
        for side in BOTH:
            leaves = []
            for leaf, (found, truth) in enumerate(zip(results[side], truths[side], strict=True)):
                with np.errstate(invalid="ignore", over="ignore"):
                    predicted = np.abs(rounded[side][leaf] - truth)
                    largest = np.fmax.reduce([predicted, *(np.abs(s[side][leaf] - truth) for s in sampled)])
                    explained = np.abs(found - truth) <= MARGIN * np.where(np.isfinite(largest), largest, 0.0)
                if side == 0:
                    self._note(np.abs(found - truth)[explained], predicted[explained], truth)
                leaves.append(np.where(explained, truth, found))
            kept.append(tuple(leaves))
        return kept[0], kept[1]

    def _runs(self, case: Case) -> list[Sides]:
        (plain, make), (random, make_random) = self._arithmetics.items()
        again = [self.engine.in_arithmetic(case, random, make_random) for _ in range(SAMPLES)]
        return [self.engine.in_arithmetic(case, plain, make), *again]

    def _note(self, measured: np.ndarray, predicted: np.ndarray, truth: np.ndarray) -> None:
        top = float(np.nanmax(np.abs(truth), initial=0.0))
        if measured.size and 0 < top < np.inf:
            self.measured = max(self.measured, float(measured.max()) / top)
            self.predicted = max(self.predicted, float(predicted.max()) / top)

    def sentence(self, precision: str | None) -> str:
        asked = f"matmul precision {precision or 'default'}"
        return (
            f"matrix products round their float32 inputs to {TOLD[self.how]} here ({asked}): results are off by up to "
            f"{self.measured:.1e} of their largest entry, where the numpy engine predicts {self.predicted:.1e}; "
            "`--precision highest` does not round"
        )


def has_products(engine: Engine, case: Case) -> bool:
    """Whether a side multiplies float32 matrices, as far as its translation shows."""
    traced = engine.traced(case.structure, case.dtype, case.dims)
    programs = (traced.both, traced.primal) if traced.both is not None else (traced.hand, traced.reference)
    return any(key[:3] == _PRODUCT for p in programs for key in getattr(p, "operations", {}).values())


_PRODUCT = ("matmul", "float32", "float32")
