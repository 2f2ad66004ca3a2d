"""Which candidate terms are parallel to a residual: the linear algebra behind missing and extra terms."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from verify.hypotheses.candidate_terms import expressions
from verify.hypotheses.cases import Case, largest
from verify.hypotheses.expressions import Expr, atoms, common_names, in_shape

_TERMS = 5000
_STACKED = 16
_LARGE = 4
_ALIKE = 3


@dataclass(frozen=True)
class Table:
    """Candidate terms as unit vectors over the entries of the probes: one large case, or many small ones.

    With one probe a coefficient may differ from case to case; over several it is one number.
    """

    probes: tuple[Case, ...]
    weights: tuple[float, ...]
    terms: list[Expr] = field(default_factory=list)
    rows: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    norms: np.ndarray = field(default_factory=lambda: np.zeros(0))
    distinct: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    """The first term of each direction."""

    def stack(self, of: Callable[[Case], np.ndarray | None]) -> np.ndarray | None:
        """A value of each probe in one vector, every case with the same weight."""
        parts = []
        for case, weight in zip(self.probes, self.weights, strict=True):
            value = of(case)
            if value is None:
                return None
            parts.append(value.ravel() / weight)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    @property
    def residual(self) -> np.ndarray:
        return _known(self.stack(lambda case: case.truth - case.hand))

    @property
    def hand(self) -> np.ndarray:
        return _known(self.stack(lambda case: case.hand))

    @property
    def truth(self) -> np.ndarray:
        return _known(self.stack(lambda case: case.truth))

    def without(self, direction: np.ndarray) -> np.ndarray:
        unit = direction / np.linalg.norm(direction)
        return self.rows - np.outer(self.rows @ unit.conj(), unit)


def _known(value: np.ndarray | None) -> np.ndarray:
    assert value is not None
    return value


def _weight(case: Case) -> float:
    return max(largest(case.hand), largest(case.truth), 1e-300)


def pick_probes(cases: Sequence[Case]) -> tuple[Case, ...]:
    """A failing case of moderate values with sizes that tell axes apart; several where outputs are tiny."""
    usable = [
        case
        for case in cases
        if case.failed
        and case.tame
        and case.same_shape
        and 0 < case.truth.size <= 400
        and np.isfinite(case.hand).all()
        and np.isfinite(case.truth).all()
    ]
    if not usable:
        return ()

    def merit(case: Case) -> tuple:
        sizes = list(case.sample.dims.values()) or list(case.truth.shape)
        proper, apart = min(sizes, default=1) > 1, len(set(sizes))
        varied = [_variety(array) for array in case.bases.values() if array.size > 1]
        own = min(_variety(case.truth), _variety(case.hand)) > 0.5
        clear = largest(case.hand - case.truth) > 1e-6 * largest(case.truth)
        large = case.truth.size >= _LARGE
        rich = round(2 * min(varied, default=1) + float(np.mean(varied or [1])), 1)
        return large, clear, own and proper, own, rich > 1.8, apart, rich, -abs(case.truth.size - 30)

    usable.sort(key=merit, reverse=True)
    if usable[0].truth.size >= _LARGE:
        return (usable[0],)
    return tuple(usable[:_STACKED])


def _variety(array: np.ndarray) -> float:
    return len(np.unique(array)) / max(array.size, 1)


def tabulate(cases: Sequence[Case]) -> Table | None:
    """The candidate terms at the probes, unit length, duplicates and zeros dropped."""
    empty = probe_table(cases)
    if empty is None:
        return None
    names = common_names([case for case in cases if case.failed and case.tame])
    return fill(empty, expressions(empty.probes[0], names))


def probe_table(cases: Sequence[Case]) -> Table | None:
    """The probes, with no terms yet; None where nothing can be told from them."""
    failing = [case for case in cases if case.failed and case.tame]
    probes = pick_probes(failing)
    if not probes or not all(case.same_shape for case in failing):
        return None
    if sum(case.truth.size for case in probes) < 4:
        return None
    return _bare(probes)


def probe_of(table: Table) -> Table:
    """The same probes without terms."""
    return _bare(table.probes)


def _bare(probes: tuple[Case, ...]) -> Table:
    return Table(probes, tuple(_weight(case) for case in probes) if len(probes) > 1 else (1.0,))


def fill(empty: Table, candidates: Iterator[Expr]) -> Table:
    """The terms, evaluated at the probes."""
    probes = empty.probes
    terms, rows, norms, alone = [], [], [], []
    seen: Counter[bytes] = Counter()
    for expr in itertools.islice(candidates, _TERMS):
        flat = empty.stack(lambda case, expr=expr: in_shape(expr, case))
        if flat is None:
            continue
        norm = np.linalg.norm(flat)
        if not np.isfinite(norm) or norm == 0:
            continue
        flat = flat / norm
        lead = flat[np.argmax(np.abs(flat) > 0.1 / len(flat) ** 0.5)]
        key = np.round(flat * (abs(lead) / lead), 9).tobytes()
        seen[key] += 1
        if seen[key] <= _ALIKE:
            alone.append(seen[key] == 1)
            terms.append(expr)
            rows.append(flat)
            norms.append(norm)
    size = sum(case.truth.size for case in probes)
    table = np.array(rows) if rows else np.zeros((0, size))
    return replace(empty, terms=terms, rows=table, norms=np.array(norms), distinct=np.flatnonzero(alone))


def parallel(rows: np.ndarray, target: np.ndarray, slack: float = 1e-5) -> list[int]:
    """The rows that are multiples of the target, in their order."""
    size = np.linalg.norm(target)
    if size == 0 or not len(rows):
        return []
    norms = np.linalg.norm(rows, axis=1)
    cosine = np.abs(rows @ target.conj()) / (norms * size)
    sine2 = np.where(norms > 1e-7, 1 - np.minimum(cosine, 1) ** 2, 1.0)
    return [int(k) for k in np.flatnonzero(sine2 < slack**2 + 1e-13)]


def _given(table: Table, limit: int) -> np.ndarray:
    """The first distinct terms that are made of arguments and intermediates alone."""
    own = (k for k in table.distinct if not {"hand", "truth"} & atoms(table.terms[k]).keys())
    return np.array(list(itertools.islice(own, limit)), int)


def differences(table: Table, limit: int = 400) -> list[tuple[Expr, Expr]]:
    """Pairs of terms, in their own sizes, whose difference is a multiple of the residual."""
    found = []
    size = np.linalg.norm(table.residual)
    kept = _given(table, limit)
    scaled = table.rows[kept] * table.norms[kept, None] / size
    for one in range(len(scaled) - 1):
        near = parallel(scaled[one] - scaled[one + 1 :], table.residual / size)
        found += [(table.terms[kept[one]], table.terms[kept[one + 1 + k]]) for k in near]
        if len(found) >= 20:
            break
    return found


def pairs(table: Table, target: np.ndarray, limit: int = 150) -> list[tuple[Expr, Expr]]:
    """Pairs of terms that span the target."""
    found = []
    kept = _given(table, limit)
    rows = table.rows[kept]
    if len(target) < 4:
        return []
    for one in range(len(rows) - 1):
        unit = rows[one]
        rest = rows[one + 1 :] - np.outer(rows[one + 1 :] @ unit.conj(), unit)
        left = target - unit * np.vdot(unit, target)
        if np.linalg.norm(left) < 1e-6 * np.linalg.norm(target):
            continue
        found += [(table.terms[kept[one]], table.terms[kept[one + 1 + k]]) for k in parallel(rest, left)]
        if len(found) >= 20:
            break
    return found


def share_in_truth(cases: Sequence[Case]) -> float:
    """How much of the residual the truth contains: 1 if the hand lacks it, 0 if the hand has it too much.

    An estimate by correlation, as if the rest of the formula were independent of the term.
    """
    shares = []
    for case in cases:
        if case.failed and case.tame and case.same_shape:
            residual, truth = (case.truth - case.hand).ravel(), case.truth.ravel()
            keep = np.isfinite(residual) & np.isfinite(truth)
            power = np.vdot(residual[keep], residual[keep]).real
            if power > 0:
                shares.append(np.vdot(residual[keep], truth[keep]).real / power)
    if not shares or sum(abs(share) < 1e-9 for share in shares) > 0.5 * len(shares):
        return 1.0  # orthogonal to the truth: what a projection has to remove
    return float(np.median(shares))
