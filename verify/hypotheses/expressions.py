"""Expressions in the arguments, the inner values, the hand-written value and the truth: value and spelling."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from verify.hypotheses.cases import Case
from verify.hypotheses.functions import FUNCTIONS

Expr = tuple[Any, ...]


def evaluate(expr: Expr, case: Case) -> np.ndarray | None:
    """The value of an expression at a case; None where its shapes do not fit there."""
    try:
        return _value(expr, case)
    except (KeyError, ValueError, IndexError, np.linalg.LinAlgError):
        return None


def in_shape(expr: Expr, case: Case) -> np.ndarray | None:
    """The value broadcast to the output's shape; None where that cannot be."""
    value = evaluate(expr, case)
    if value is None or not broadcasts(value, case.truth.shape):
        return None
    return np.broadcast_to(value, case.truth.shape)


def _value(expr: Expr, case: Case) -> np.ndarray:
    match expr:
        case ("base", name):
            return case.bases[name]
        case ("dim", name):
            return np.asarray(float(case.sample.dims[name]))
        case ("hand",):
            return case.hand
        case ("truth",):
            return case.truth
        case ("apply", pattern, inner):
            return FUNCTIONS[pattern](_value(inner, case))
        case ("inv", inner):
            return np.linalg.inv(_value(inner, case))
        case ("above", inner):
            return np.triu(_value(inner, case), 1)
        case ("below", inner):
            return np.tril(_value(inner, case), -1)
        case ("T", inner):
            return np.swapaxes(_value(inner, case), -1, -2)
        case ("conj", inner):
            return np.conj(_value(inner, case))
        case ("column", inner):
            return _value(inner, case)[..., :, None]
        case ("power", inner, power):
            return _value(inner, case) ** power
        case ("abs", inner):
            return np.abs(_value(inner, case))
        case ("times", left, right):
            return _value(left, case) * _value(right, case)
        case ("matmul", left, right):
            return _value(left, case) @ _value(right, case)
        case ("outer", left, right):
            return np.multiply.outer(_value(left, case), _value(right, case))
        case ("sum", inner, axes):
            return np.sum(_value(inner, case), axis=axes, keepdims=True)
        case ("reduce", inner, axes):
            return np.sum(_value(inner, case), axis=axes)
        case ("total", inner):
            return np.asarray(np.sum(_value(inner, case)))
    raise ValueError(expr)


def atoms(expr: Expr) -> Counter[str]:
    """How often each argument occurs; ``hand`` and ``truth`` count as arguments."""
    if expr[0] in ("base", "dim"):
        return Counter([expr[1]])
    if len(expr) == 1:
        return Counter([expr[0]])
    inner = [part for part in expr[1:] if isinstance(part, tuple) and part and isinstance(part[0], str)]
    return sum((atoms(part) for part in inner), Counter())


def spell(expr: Expr) -> str:
    """The expression as NumPy code, near enough."""
    match expr:
        case ("base" | "dim", name):
            return name
        case ("hand",):
            return "hand"
        case ("truth",):
            return "truth"
        case ("apply", pattern, inner):
            return pattern.format(_bracket(inner))
        case ("inv", inner):
            return f"inv({spell(inner)})"
        case ("above", inner):
            return f"triu({spell(inner)}, 1)"
        case ("below", inner):
            return f"tril({spell(inner)}, -1)"
        case ("T", inner):
            return f"{_bracket(inner)}.T"
        case ("conj", inner):
            return f"conj({spell(inner)})"
        case ("column", inner):
            return f"{_bracket(inner)}[:, None]"
        case ("power", inner, -1):
            return f"(1 / {_bracket(inner)})"
        case ("power", inner, power):
            return f"{_bracket(inner)}**{power}"
        case ("abs", inner):
            return f"|{spell(inner)}|"
        case ("times", left, right):
            return f"{_bracket(left)} * {_bracket(right)}"
        case ("matmul", left, right):
            return f"{_bracket(left)} @ {_bracket(right)}"
        case ("outer", left, right):
            return f"outer({spell(left)}, {spell(right)})"
        case ("sum" | "reduce", inner, axes):
            return f"sum({spell(inner)}, axis={axes[0] if len(axes) == 1 else axes})"
        case ("total", inner):
            return f"sum({spell(inner)})"
    return "?"


def _bracket(expr: Expr) -> str:
    text = spell(expr)
    plain = expr[0] in ("times", "matmul") or (expr[0] == "base" and any(mark in text for mark in " +-*/@"))
    return f"({text})" if plain else text


def broadcasts(array: np.ndarray, shape: tuple[int, ...]) -> bool:
    return array.ndim <= len(shape) and all(
        size in (1, wanted) for size, wanted in zip(array.shape[::-1], shape[::-1], strict=False)
    )


def common_names(cases: Sequence[Case]) -> list[str]:
    """Arguments and intermediates that all cases have, with the same number of axes."""
    names = [name for name in cases[0].bases if all(name in case.bases for case in cases)]
    return [name for name in names if len({case.bases[name].ndim for case in cases}) == 1]


def functions_in(expr: Expr) -> Counter[str]:
    """The functions that occur."""
    inner = [part for part in expr[1:] if isinstance(part, tuple) and part and isinstance(part[0], str)]
    own = Counter([expr[1]]) if expr[0] == "apply" else Counter()
    return sum((functions_in(part) for part in inner), own)
