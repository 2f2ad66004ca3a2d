"""A term too few or too many: the residual as a multiple of something built from arguments and intermediates."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from verify.hypotheses.cases import Case, largest

Expr = tuple
_BASES = 40
_TERMS = 6000
_BATCH = 64


def evaluate(expr: Expr, case: Case) -> np.ndarray | None:
    """The value of an expression at a case; None where its shapes do not fit there."""
    try:
        return _value(expr, case)
    except (KeyError, ValueError, IndexError):
        return None


def _value(expr: Expr, case: Case) -> np.ndarray:
    match expr:
        case ("base", name):
            return case.bases[name]
        case ("hand",):
            return case.hand
        case ("truth",):
            return case.truth
        case ("T", inner):
            return np.swapaxes(_value(inner, case), -1, -2)
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
        case ("total", inner):
            return np.asarray(np.sum(_value(inner, case)))
    raise ValueError(expr)


def atoms(expr: Expr) -> Counter[str]:
    """How often each argument occurs."""
    if expr[0] == "base":
        return Counter([expr[1]])
    if len(expr) == 1:
        return Counter([expr[0]])
    inner = [part for part in expr[1:] if isinstance(part, tuple) and part and isinstance(part[0], str)]
    return sum((atoms(part) for part in inner), Counter())


def spell(expr: Expr) -> str:
    match expr:
        case ("base", name):
            return name
        case ("hand",):
            return "hand"
        case ("truth",):
            return "gradient"
        case ("T", inner):
            return f"{_bracket(inner)}.T"
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
        case ("sum", inner, axes):
            return f"sum({spell(inner)}, axis={axes[0] if len(axes) == 1 else axes})"
        case ("total", inner):
            return f"sum({spell(inner)})"
    return "?"


def _bracket(expr: Expr) -> str:
    text = spell(expr)
    return f"({text})" if expr[0] in ("times", "matmul") else text


def _broadcasts(array: np.ndarray, shape: tuple[int, ...]) -> bool:
    return array.ndim <= len(shape) and all(
        size in (1, wanted) for size, wanted in zip(array.shape[::-1], shape[::-1], strict=False)
    )


def expressions(probe: Case, names: Sequence[str]) -> Iterator[Expr]:
    """Candidate terms whose value at the probe broadcasts to the output's shape, simplest first."""
    shape = probe.truth.shape
    everything: list[tuple[Expr, np.ndarray]] = []
    for name in names[:_BASES]:
        array = probe.bases[name]
        everything.append((("base", name), array))
        if array.ndim == 2:
            everything.append((("T", ("base", name)), array.T))
        if array.ndim == 1 and len(shape) == 2:
            everything.append((("column", ("base", name)), array[:, None]))
    itself: list[tuple[Expr, np.ndarray]] = [(("hand",), probe.hand), (("truth",), probe.truth)]
    fitting = [(expr, array) for expr, array in everything if _broadcasts(array, shape)]
    yield from (expr for expr, _ in fitting)
    yield from _own_sums(itself, len(shape))
    if shape == ():
        yield from (("total", expr) for expr, array in everything if array.ndim)
        yield from (("total", ("power", expr, 2)) for expr, array in everything if array.ndim)
        yield from (
            ("total", ("times", left, right))
            for (left, a), (right, b) in itertools.combinations(everything, 2)
            if a.ndim and a.shape == b.shape
        )
    yield from _products(fitting, itself)
    yield from _matrix_products(everything, shape)
    yield from (
        ("sum", expr, (axis,))
        for expr, array in everything
        if array.ndim == len(shape)
        for axis in range(array.ndim)
        if all(
            size == wanted
            for other, (size, wanted) in enumerate(zip(array.shape, shape, strict=True))
            if other != axis
        )
    )
    yield from (("total", expr) for expr, array in everything if array.ndim and shape)
    yield from _projections(fitting, itself, shape)


def _own_sums(itself, ndim: int) -> Iterator[Expr]:
    for expr, _ in itself:
        for axis in range(ndim):
            yield ("sum", expr, (axis,))
        if ndim:
            yield ("total", expr)


def _products(fitting, itself) -> Iterator[Expr]:
    arrays = [(expr, array) for expr, array in fitting if array.ndim]
    for expr, _ in arrays:
        yield ("power", expr, 2)
    for (left, _), (right, _) in itertools.combinations(fitting, 2):
        yield ("times", left, right)
    for (left, _), (right, _) in itertools.product(arrays, itself):
        yield ("times", left, right)
        yield ("times", ("power", left, 2), right)
    for expr, _ in arrays:
        yield ("power", expr, 3)
        yield ("power", expr, -1)
        yield ("abs", expr)
    for (left, _), (right, _) in itertools.permutations(arrays, 2):
        yield ("times", ("power", left, 2), right)
    if len(arrays) <= 14:
        for (a, _), (b, _), (c, _) in itertools.combinations(arrays, 3):
            yield ("times", ("times", a, b), c)


def _matrix_products(everything, shape) -> Iterator[Expr]:
    for (left, a), (right, b) in itertools.product(everything, repeat=2):
        if a.ndim and b.ndim and max(a.ndim, b.ndim) >= 2 and a.shape[-1] == b.shape[-2 if b.ndim > 1 else 0]:
            ahead, behind = a.shape[:-1], b.shape[:-2] + b.shape[-1:] if b.ndim > 1 else ()
            if a.ndim <= 2 and b.ndim <= 2 and ahead + behind == shape:
                yield ("matmul", left, right)
        if a.ndim == b.ndim == 1 and a.shape + b.shape == shape:
            yield ("outer", left, right)


def _projections(fitting, itself, shape) -> Iterator[Expr]:
    """``u * sum(u * v)`` and ``w * sum(u * v)``: what centring, normalising and softmax subtract."""
    if not shape:
        return
    full = [(expr, array) for expr, array in fitting if array.ndim == len(shape)]
    inner = [(expr, array) for expr, array in full if array.shape == shape]
    inner += [(expr, array) for expr, array in itself if array.shape == shape]
    for (outer, _), (one, _) in itertools.product(full[:16], inner[:16]):
        yield from (("times", outer, ("sum", one, (axis,))) for axis in range(len(shape)))
        yield ("times", outer, ("total", one))
    pairs = list(itertools.combinations_with_replacement(inner[:14], 2))
    for (outer, _), ((one, _), (two, _)) in itertools.product(full[:14], pairs):
        product = ("times", one, two)
        yield from (("times", outer, ("sum", product, (axis,))) for axis in range(len(shape)))
        yield ("times", outer, ("total", product))


@dataclass(frozen=True)
class Table:
    """Candidate terms as unit vectors over the entries of one probe case."""

    terms: list[Expr]
    rows: np.ndarray
    norms: np.ndarray

    def without(self, direction: np.ndarray) -> np.ndarray:
        unit = direction / np.linalg.norm(direction)
        return self.rows - np.outer(self.rows @ unit.conj(), unit)


def common_names(cases: Sequence[Case]) -> list[str]:
    names = [name for name in cases[0].bases if all(name in case.bases for case in cases)]
    return [name for name in names if len({case.bases[name].ndim for case in cases}) == 1]


def pick_probe(cases: Sequence[Case], least: int = 4) -> Case | None:
    """A failing case of moderate values with sizes that tell axes apart, not too large."""
    usable = [
        case
        for case in cases
        if case.failed
        and case.tame
        and case.same_shape
        and least <= case.truth.size <= 1500
        and np.isfinite(case.hand).all()
        and np.isfinite(case.truth).all()
    ]
    if not usable:
        return None

    def merit(case: Case) -> tuple:
        sizes = list(case.sample.dims.values()) or list(case.truth.shape)
        apart = len(set(sizes)) + (min(sizes, default=1) > 1)
        values = max(
            (len(np.unique(array)) / array.size for array in case.bases.values() if array.size > 3), default=1
        )
        spread = largest(case.hand - case.truth) > 1e-6 * largest(case.truth)
        return spread, values > 0.6, apart, -abs(case.truth.size - 30)

    return max(usable, key=merit)


def tabulate(probe: Case, candidates: Iterator[Expr], limit: int = _TERMS) -> Table:
    """Evaluate the candidates at the probe, unit length, duplicates and zeros dropped."""
    shape = probe.truth.shape
    terms, rows, norms, seen = [], [], [], set()
    for expr in itertools.islice(candidates, limit):
        value = evaluate(expr, probe)
        if value is None or not _broadcasts(value, shape):
            continue
        flat = np.broadcast_to(value, shape).ravel()
        norm = np.linalg.norm(flat)
        if not np.isfinite(norm) or norm == 0:
            continue
        flat = flat / norm
        lead = flat[np.argmax(np.abs(flat) > 0.1 / len(flat) ** 0.5)]
        key = np.round(flat * (abs(lead) / lead), 9).tobytes()
        if key not in seen:
            seen.add(key)
            terms.append(expr)
            rows.append(flat)
            norms.append(norm)
    table = np.array(rows) if rows else np.zeros((0, probe.truth.size))
    return Table(terms, table, np.array(norms))


def parallel(rows: np.ndarray, target: np.ndarray, slack: float = 1e-5) -> list[int]:
    """The rows that are multiples of the target, best first."""
    size = np.linalg.norm(target)
    norms = np.linalg.norm(rows, axis=1)
    if size == 0 or not len(rows):
        return []
    cosine = np.abs(rows @ target.conj()) / (norms * size)
    sine2 = np.where(norms > 1e-7, 1 - np.minimum(cosine, 1) ** 2, 1.0)
    return [int(k) for k in np.flatnonzero(sine2 < slack**2 + 1e-13)]


def differences(table: Table, target: np.ndarray) -> list[tuple[Expr, Expr]]:
    """Pairs of terms, in their own sizes, whose difference is a multiple of the target."""
    found = []
    size = np.linalg.norm(target)
    scaled = table.rows * table.norms[:, None]
    for one in range(len(table.terms) - 1):
        gaps = scaled[one] - scaled[one + 1 :]
        near = parallel(gaps / size, target / size)
        found += [(table.terms[one], table.terms[one + 1 + k]) for k in near]
        if len(found) >= 20:
            break
    return found


def in_shape(expr: Expr, case: Case) -> np.ndarray | None:
    value = evaluate(expr, case)
    if value is None or not _broadcasts(value, case.truth.shape):
        return None
    return np.broadcast_to(value, case.truth.shape)


def is_missing(cases: Sequence[Case]) -> bool:
    """Whether the residual is a part of the truth (missing in the hand) rather than of the hand (too much in it)."""
    shares = []
    for case in cases:
        if case.failed and case.tame and case.same_shape:
            residual, truth = (case.truth - case.hand).ravel(), case.truth.ravel()
            keep = np.isfinite(residual) & np.isfinite(truth)
            power = np.vdot(residual[keep], residual[keep]).real
            if power > 0:
                shares.append(np.vdot(residual[keep], truth[keep]).real / power)
    if not shares:
        return True
    orthogonal = sum(abs(share) < 1e-9 for share in shares) > 0.5 * len(shares)
    return orthogonal or float(np.median(shares)) > 0.5
