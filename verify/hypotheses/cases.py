"""One output leaf of the evidence: its cases, which entries fail, and whether a prediction explains them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from verify.hypotheses.evidence import Sample

_EPS = {
    "float64": 2.0**-52,
    "complex128": 2.0**-52,
    "float32": 2.0**-23,
    "complex64": 2.0**-23,
    "float16": 2.0**-10,
    "bfloat16": 2.0**-7,
}
_TAME = (1e-4, 1e4)


def epsilon(dtype: str) -> float:
    return _EPS.get(dtype, 2.0**-52)


def is_low(dtype: str) -> bool:
    return epsilon(dtype) > 1e-12


def as_float(value) -> np.ndarray | None:
    """The array in double precision, or None where it is not a number."""
    array = np.asarray(value)
    if array.dtype.kind in "OUSVMm":
        return None
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def largest(array: np.ndarray) -> float:
    """The largest finite magnitude (0 if there is none)."""
    magnitudes = np.abs(array)[np.isfinite(array)]
    return float(magnitudes.max()) if magnitudes.size else 0.0


def is_direction(name: str, sample: Sample) -> bool:
    """Whether an argument enters the derivative linearly: a cotangent, or the tangent of another argument."""
    if name.startswith("cotangent"):
        return True
    return len(name) > 1 and name[0] == "d" and name[1:] in sample.inputs


@dataclass
class Case:
    """One leaf of one sample. ``bad`` marks the failing entries where the shapes agree."""

    sample: Sample
    leaf: int
    hand: np.ndarray
    truth: np.ndarray
    noise: float
    tame: bool
    bad: np.ndarray
    failed: bool
    _bases: dict[str, np.ndarray] | None = field(default=None, repr=False)

    @property
    def same_shape(self) -> bool:
        return self.hand.shape == self.truth.shape

    def plain(self) -> Case:
        """The same case with its arguments alone, without the reference's intermediate values."""
        own = {name: array for name, array in self.bases.items() if name in self.sample.inputs}
        return replace(self, _bases=own)

    @property
    def sizes(self) -> dict[str, int]:
        """The named dimensions, and the axes of the arguments (``x.shape[0]``)."""
        found = dict(self.sample.dims)
        for name in self.sample.inputs:
            array = self.bases.get(name)
            if array is not None:
                found.update({f"{name}.shape[{axis}]": size for axis, size in enumerate(array.shape)})
        return found

    @property
    def bases(self) -> dict[str, np.ndarray]:
        """The numeric inputs and the intermediates, by name, inputs first."""
        if self._bases is None:
            found: dict[str, np.ndarray] = {}
            for group in (self.sample.inputs, self.sample.intermediates):
                for name, value in group.items():
                    array = as_float(value)
                    if array is not None and name not in found:
                        found[name] = array
            self._bases = found
        return self._bases


def excused(failing: int) -> int:
    """How many failing cases may have another reason: a kink, rounding alone."""
    return failing // 25


@dataclass(frozen=True)
class Fit:
    """How well a prediction of the hand-written value holds."""

    explained: int
    failing: int
    passing_agree: bool
    residual: float
    everything: bool
    """All tame failing cases and nearly all others are explained."""

    @property
    def unconditional(self) -> bool:
        return self.everything and self.passing_agree

    def evidence(self) -> str:
        cases = (
            f"all {self.failing}" if self.explained == self.failing else f"{self.explained} of {self.failing}"
        )
        return f"on {cases} failing cases; residual after the correction {self.residual:.0e}"


def _leaf_values(sample: Sample, leaf: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    kind = (
        np.complex128
        if any(np.iscomplexobj(part[leaf]) for part in (sample.hand, sample.truth, sample.reference))
        else np.float64
    )
    hand, reference, truth = (
        np.asarray(part[leaf]).astype(kind) for part in (sample.hand, sample.reference, sample.truth)
    )
    if truth.shape != reference.shape:
        return hand, reference, reference
    return hand, reference, np.where(np.isnan(truth), reference, truth)


def _is_tame(sample: Sample) -> bool:
    for value in sample.inputs.values():
        array = as_float(value)
        if array is not None and array.size:
            top = largest(array)
            if not np.isfinite(array).all() or (top and not _TAME[0] <= top <= _TAME[1]):
                return False
    return True


def leaf_cases(samples: Sequence[Sample], leaf: int, one_sided: bool = False) -> list[Case]:
    """The cases of one output leaf. ``one_sided``: only a hand value above the truth fails (a bound)."""
    cases = []
    for sample in samples:
        hand, reference, truth = _leaf_values(sample, leaf)
        scale, eps = max(largest(hand), largest(truth)), epsilon(sample.dtype)
        with np.errstate(all="ignore"):
            seen = largest(reference - truth) if reference.shape == truth.shape else 0.0
        noise = 16 * eps * scale + min(10 * seen, 1e-4 * scale)
        bad = np.zeros(truth.shape, bool)
        if sample.failed and hand.shape == truth.shape:
            bad = failing_entries(hand, truth, max(1e-9, 32 * eps), noise, one_sided)
        failed = sample.failed and (hand.shape != truth.shape or bool(bad.any()))
        cases.append(Case(sample, leaf, hand, truth, noise, _is_tame(sample), bad, failed))
    _widen_tame(cases)
    return cases


def failing_entries(hand, truth, relative: float, noise: float, one_sided: bool = False) -> np.ndarray:
    gap = (hand - truth).real if one_sided else np.abs(hand - truth)
    bad = gap > relative * np.maximum(np.abs(hand), np.abs(truth)) + noise
    bad |= ~np.isfinite(hand)
    return bad & np.isfinite(truth)


def _widen_tame(cases: list[Case]) -> None:
    """Where few failing cases have moderate values, all count as such."""
    if sum(case.failed and case.tame for case in cases) < 3:
        for case in cases:
            case.tame = True


def blame_small_errors(cases_by_leaf: Sequence[list[Case]]) -> None:
    """Failed samples of which no entry stands out: mark those that differ by more than a few roundings."""
    for row in zip(*cases_by_leaf, strict=True):
        if row and row[0].sample.failed and not any(case.failed for case in row):
            for case in row:
                eps = epsilon(case.sample.dtype)
                case.bad = failing_entries(case.hand, case.truth, 4 * eps, 0.0, False)
                case.failed = bool(case.bad.any())


def tolerance(case: Case, *values: np.ndarray) -> float:
    """What a prediction may leave unexplained, per case."""
    scale = max(largest(case.hand), largest(case.truth), *(largest(value) for value in values), 0.0)
    if not case.failed:
        return case.noise + 1e-7 * scale
    error = largest(case.hand - case.truth) if case.same_shape else scale
    return max(case.noise, min(1e-6 * scale, 1e-2 * error))


Predict = Callable[[Case], "np.ndarray | None"]


def fit(cases: Sequence[Case], predict: Predict) -> Fit:
    """Compare the hand-written value with a prediction on all cases, infinite entries aside."""

    def left_right(case: Case):
        return case.hand, predict(case)

    return fit_pair(cases, left_right)


def fit_pair(cases: Sequence[Case], left_right: Callable[[Case], tuple]) -> Fit:
    """Compare two values on all cases (None: not defined there, so not explained)."""
    explained = failing = tame_missed = 0
    passing, off, worst = 0, 0, 0.0
    for case in cases:
        left, right = left_right(case)
        good, residual = _close(case, left, right)
        if case.failed and case.same_shape and not np.any(case.bad & np.isfinite(case.hand)):
            continue  # it fails only where it is not finite: no prediction says anything
        if case.failed:
            failing += 1
            explained += good
            tame_missed += case.tame and not good
            worst = max(worst, residual) if good else worst
        else:
            passing += 1
            off += case.tame and not good
    everything = failing > 0 and tame_missed <= excused(failing) and explained >= 0.9 * failing
    return Fit(explained, failing, off <= passing // 50, worst, everything)


def _close(case: Case, left, right) -> tuple[bool, float]:
    if left is None or right is None or np.shape(left) != np.shape(right):
        return False, np.inf
    finite = np.isfinite(left) & np.isfinite(
        case.truth if case.same_shape and case.truth.shape == np.shape(left) else right
    )
    if not finite.all():
        left, right = np.where(finite, left, 0), np.where(finite, right, 0)
    if not np.isfinite(right).all():
        return False, np.inf
    gap = float(np.abs(left - right).max()) if np.size(left) else 0.0
    scale = max(largest(left), largest(right), largest(case.hand), largest(case.truth))
    return gap <= tolerance(case, left, right), gap / scale if scale else 0.0
