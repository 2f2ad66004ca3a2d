"""Products of three matrices: ``A.T @ B @ c`` and the like, with inverses, conjugates and triangles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from verify.hypotheses.cases import Case
from verify.hypotheses.expressions import Expr, evaluate
from verify.hypotheses.terms import parallel

_NAMES, _KEPT = 12, 6


def chains(probe: Case, names: Sequence[str], targets: Mapping[str, np.ndarray]) -> dict[str, list[Expr]]:
    """The products of three operands that are parallel to each target at the probe."""
    shape = probe.truth.shape
    found: dict[str, list[Expr]] = {name: [] for name in targets}
    if len(shape) not in (1, 2) or min(shape) < 2:
        return found
    operands = _operands(probe, names)
    wanted = (*shape, 1) if len(shape) == 1 else shape
    lasts: dict[tuple[int, ...], list[tuple[Expr, np.ndarray]]] = {}
    for expr, array in operands:
        column = array[:, None] if array.ndim == 1 else array
        if column.shape[1] == wanted[1] and (array.ndim == 1) == (len(shape) == 1):
            lasts.setdefault(column.shape, []).append((expr, column))
    stacks = {size: np.stack([array for _, array in group]) for size, group in lasts.items()}
    matrices = [(expr, array) for expr, array in operands if array.ndim == 2]
    for first, a in matrices:
        if a.shape[0] != wanted[0]:
            continue
        for second, b in matrices:
            if a.shape[1] != b.shape[0] or _undone(first, second):
                continue
            pair = a @ b
            for size, stack in stacks.items():
                if size[0] != pair.shape[1]:
                    continue
                rows = (pair @ stack).reshape(len(stack), -1)
                for name, target in targets.items():
                    if len(found[name]) < _KEPT:
                        for k in parallel(rows, target):
                            last = lasts[size][k][0]
                            if not _undone(second, last):
                                found[name].append(("matmul", ("matmul", first, second), last))
    return found


def _operands(probe: Case, names: Sequence[str]) -> list[tuple[Expr, np.ndarray]]:
    any_complex = any(np.iscomplexobj(probe.bases[name]) for name in names)
    found: list[tuple[Expr, np.ndarray]] = []
    chosen = [name for name in names if probe.bases[name].ndim in (1, 2) and probe.bases[name].size > 1]
    for name in chosen[: _NAMES // 2 if any_complex else _NAMES]:
        base: Expr = ("base", name)
        variants: list[Expr] = [base]
        array = probe.bases[name]
        if array.ndim == 2:
            variants.append(("T", base))
            if array.shape[0] == array.shape[1]:
                if np.isfinite(array).all() and np.linalg.cond(array) < 1e6:
                    variants += [("inv", base), ("T", ("inv", base))]
                if np.triu(array, 1).any() and np.tril(array, -1).any():
                    variants += [("above", base), ("below", base)]
        if np.iscomplexobj(array):
            variants += [("conj", variant) for variant in variants]
        for variant in variants:
            value = evaluate(variant, probe)
            if value is not None and np.isfinite(value).all() and value.any():
                found.append((variant, value))
    return found


def _undone(left: Expr, right: Expr) -> bool:
    """Whether a product is that of a matrix with its own inverse."""
    return left == ("inv", right) or right == ("inv", left)
