"""Proportional: the hand-written value is the truth times a number, an expression in the sizes, or a scalar input."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from verify.hypotheses.cases import Case, epsilon, excused, largest, tolerance
from verify.hypotheses.numbers import exact_name, number_name
from verify.hypotheses.quantities import Quantity, dimension_quantities, scalar_quantities, shifted, summaries

LeftRight = Callable[[Case], tuple]
_SAME = 2e-6
_POWERS = {-2.0, -1.5, -1.0, -0.5, 0.5, 1.0, 1.5, 2.0}


@dataclass(frozen=True)
class Scale:
    """``constant`` times a product of powers of quantities."""

    constant: complex
    powers: tuple[tuple[Quantity, float], ...] = ()

    def __call__(self, case: Case) -> complex:
        value: Any = self.constant
        for quantity, power in self.powers:
            value = value * (1.0 * quantity.of(case)) ** (int(power) if power == int(power) else power)
        return value

    @property
    def families(self) -> set[str]:
        return {quantity.family for quantity, _ in self.powers}

    def inverse(self) -> Scale:
        return Scale(1 / self.constant, tuple((quantity, -power) for quantity, power in self.powers))

    def negated(self) -> Scale:
        return Scale(-self.constant, self.powers)

    @property
    def name(self) -> str:
        if not self.powers:
            return number_name(self.constant)
        number = number_name(self.constant)
        sign = "-" if number.startswith("-") else ""
        top, _, bottom = number.lstrip("-").partition("/")
        above = [] if top == "1" else [top]
        below = [bottom] if bottom else []
        for quantity, power in self.powers:
            base = f"({quantity.name})" if re.search(r"[-+ ]", quantity.name) else quantity.name
            text = {0.5: f"sqrt({quantity.name})", 1.0: base, 1.5: f"{base}**1.5", 2.0: f"{base}**2"}[
                abs(power)
            ]
            (above if power > 0 else below).append(text)
        over = "*".join(above) or "1"
        if not below:
            return sign + over
        under = below[0] if len(below) == 1 else f"({'*'.join(below)})"
        return f"{sign}{over}/{under}"


def remainder_name(scale: Scale) -> str:
    """How 1 - scale is written: ``n`` for 1 + (n-1), ``1/n`` for 1 - (n-1)/n."""
    if not scale.powers:
        return Scale(1 - scale.constant).name
    powers = {quantity.name: power for quantity, power in scale.powers}
    for name in powers:
        size = name.removesuffix("-1")
        if size != name and abs(scale.constant + 1) < 1e-6 and powers == {name: 1}:
            return size
        if size != name and abs(scale.constant - 1) < 1e-6 and powers == {name: 1, size: -1}:
            return f"1/{size}"
    return f"1 + {scale.negated().name}" if np.real(scale.constant) < 0 else f"1 - {scale.name}"


def proportions(cases: Sequence[Case], left_right: LeftRight) -> list[tuple[Case, complex]] | None:
    """The factor by which left is right in the tame failing cases; None where they are not proportional."""
    found, missed = [], 0
    judged = [case for case in cases if case.failed and case.tame]
    for case in judged:
        left, right = left_right(case)
        if left is None or right is None or np.shape(left) != np.shape(right):
            return None
        factor = _proportion(case, left, right)
        if factor is None:
            missed += 1
            if missed > excused(len(judged)):
                return None
        elif np.isfinite(factor):
            found.append((case, factor))
    return found


def _proportion(case: Case, left: np.ndarray, right: np.ndarray) -> complex | None:
    """The factor; NaN where rounding leaves it open; None where there is none."""
    usable = np.isfinite(left) & np.isfinite(right)
    left, right = np.where(usable, left, 0).ravel(), np.where(usable, right, 0).ravel()
    size, allowed = largest(right), tolerance(case, left)
    if size <= 10 * case.noise:
        return np.nan if largest(left) <= allowed else None
    scaled = right / size
    factor = np.vdot(scaled, left) / np.vdot(scaled, scaled).real / size
    if np.abs(left - factor * right).max() > allowed:
        return None
    if size * same_within(case) <= case.noise:
        return np.nan
    return complex(factor) if np.iscomplexobj(factor) else float(factor)


def same_within(case: Case) -> float:
    """How far two estimates of one factor may lie apart, relative."""
    return max(_SAME, 32 * epsilon(case.sample.dtype))


def explain(cases: Sequence[Case], pairs: Sequence[tuple[Case, complex]], rich: bool = True) -> list[Scale]:
    """Expressions that reproduce all the factors, simplest first."""
    if not pairs:
        return []
    used = [case for case, _ in pairs]
    factors = np.array([factor for _, factor in pairs])
    if np.iscomplexobj(factors) and np.all(np.abs(np.imag(factors)) <= 1e-7 * np.abs(factors)):
        factors = np.real(factors)
    if not np.isfinite(factors).all():
        return []
    if np.any(factors == 0):
        if np.all(factors == 0):
            return [Scale(0.0)]
        return explain(cases, [(case, factor) for case, factor in pairs if factor != 0], rich)
    middle, same = _centre(factors), max(map(same_within, used))
    if np.sum(np.abs(factors - middle) > same * np.abs(middle)) <= excused(len(factors)):
        return [Scale(middle if same == _SAME else _plain_fraction(middle, same))]
    if len(pairs) < 3:
        return []
    dims = dimension_quantities(used)
    scalars = scalar_quantities(used)
    near = shifted(dims)
    attempts: list[tuple[Quantity, ...]] = [(q,) for q in dims + scalars + near]
    attempts += itertools.combinations(dims, 2)
    attempts += [(a, b) for a in dims for b in near + scalars]
    attempts += itertools.combinations(scalars, 2)
    attempts += itertools.combinations(dims, 3)
    if rich:
        attempts += [(q,) for q in summaries(used)]
    values: dict[str, np.ndarray] = {}
    found = []
    for attempt in attempts:
        scale = _monomial(attempt, used, factors, values)
        if scale is not None:
            found.append(scale)
            if len(found) >= 3:
                break
    return found


def _centre(factors: np.ndarray) -> complex:
    order = np.argsort(np.real(factors))
    middle = factors[order[len(order) // 2]]
    return complex(middle) if np.iscomplexobj(factors) else float(middle)


def _plain_fraction(value: complex, tolerance: float) -> complex:
    """The fraction that a low dtype cannot tell from the value."""
    if isinstance(value, complex):
        return value
    near = float(Fraction(value).limit_denominator(16))
    return near if abs(near - value) <= tolerance * abs(value) else value


def _monomial(quantities, used, factors, values) -> Scale | None:
    columns = []
    for quantity in quantities:
        if quantity.name not in values:
            values[quantity.name] = np.array([quantity.of(case) for case in used]) * 1.0
        columns.append(values[quantity.name])
    table = np.stack(columns, 1)
    if not np.isfinite(table).all() or np.any(table == 0):
        return None
    logs = np.log(np.abs(table))
    if len({tuple(row) for row in np.round(logs, 9)}) < len(quantities) + 2:
        return None
    design, wanted = np.column_stack([logs, np.ones(len(used))]), np.log(np.abs(factors))
    solution, _, rank, _ = np.linalg.lstsq(design, wanted, rcond=1e-9)
    if rank < design.shape[1]:
        return None
    if spare := excused(len(used)):
        kept = np.argsort(np.abs(design @ solution - wanted))[:-spare]
        solution, _, rank, _ = np.linalg.lstsq(design[kept], wanted[kept], rcond=1e-9)
        if rank < design.shape[1]:
            return None
    powers = [round(2 * power) / 2 for power in solution[:-1]]
    if any(power not in _POWERS for power in powers) or np.abs(np.array(powers) - solution[:-1]).max() > 0.05:
        return None
    if any(
        power != int(power) and np.any(column.real < 0) for power, column in zip(powers, columns, strict=True)
    ):
        return None
    product = np.ones(len(used), table.dtype)
    for column, power in zip(columns, powers, strict=True):
        product = product * (column ** int(power) if power == int(power) else column.real**power)
    rest = factors / product
    middle = _centre(rest)
    off = np.sum(np.abs(rest - middle) > 2 * _SAME * np.abs(middle))
    if off > excused(len(used)) or exact_name(middle, 2e-6) is None:
        return None
    return Scale(middle, tuple(zip(quantities, powers, strict=True)))


def absent(scale: Scale, cases: Sequence[Case], output_dims: Sequence[str]) -> bool:
    """Whether every size in the expression belongs to no axis of the output leaf."""
    tokens = {token for text in output_dims for token in re.findall(r"[A-Za-z_]\w*", text)}
    for quantity, _ in scale.powers:
        if quantity.name in tokens:
            return False
        if not output_dims and any(
            all(axis < case.truth.ndim and case.truth.shape[axis] == quantity.of(case) for case in cases)
            for axis in range(cases[0].truth.ndim)
        ):
            return False
    return True


def scale_kind(scale: Scale, cases: Sequence[Case], output_dims: Sequence[str]) -> str:
    if not scale.powers:
        return "sign" if abs(scale.constant + 1) < 1e-7 else "factor"
    if "direction" in scale.families:
        return "cotangent"
    powers = {power for _, power in scale.powers}
    counts = scale.families == {"dims"} and len(powers) == 1 and abs(abs(scale.constant) - 1) < 1e-6
    if counts and abs(powers.pop()) == 1 and absent(scale, cases, output_dims):
        return "reduction"
    return "factor"


def scale_text(scale: Scale, kind: str, noun: str) -> str:
    """What is the matter and what to do."""
    name = scale.name
    if kind == "sign":
        return f"is exactly the negative of the {noun}: flip its sign"
    if kind == "reduction":
        sizes = "*".join(quantity.name for quantity, _ in scale.powers)
        minus = " and has the wrong sign" if scale.constant.real < 0 else ""
        if scale.powers[0][1] < 0:
            how = f"it averages over {sizes} where the reference sums; multiply by {sizes}"
            return f"is exactly {name} of the {noun}{minus}: {how}"
        how = f"it sums over {sizes} where the reference averages; divide by {sizes}"
        return f"is exactly {name} times the {noun}{minus}: {how}"
    if scale.constant == 0:
        return f"is zero where the {noun} is not"
    if kind == "cotangent":
        return (
            f"is {name} times the {noun}: the cotangent is misapplied; it must enter exactly once, linearly"
        )
    inverse = scale.inverse().name
    if not scale.powers and abs(abs(scale.constant) - 1) < 1e-6:
        return f"is {scale.constant:.12g} times the {noun}: nearly right, with a digit wrong or digits lost"
    if not scale.powers and exact_name(scale.constant) is None:
        return f"is {name} times the {noun}, on every case: multiply by {inverse}"
    if "/" not in inverse:
        return f"is exactly {name} of the {noun}: a factor {inverse} is missing"
    if any(power % 1 for _, power in scale.powers):
        return f"is exactly {name} times the {noun}: multiply by {inverse}"
    if "/" not in name:
        return f"is exactly {name} times the {noun}: remove the factor {name}"
    return f"is exactly {name} times the {noun}: multiply by {inverse}"
