"""The numpy engine of one claim: its cases, its traces, and both sides evaluated at any case in any arithmetic.

Extreme values are drawn on purpose: whoever uses an engine tells NumPy once not to warn of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from handgrad.claims import Claim
from verify.cells.comparison import as_wide, differs
from verify.drawing.cases import SHRUNK, Case, Structure
from verify.drawing.draws import Draws
from verify.drawing.hard_cases import along_binades, among, has_free_whole_numbers, has_one_shape
from verify.drawing.sizes import LARGEST_CASE, LARGEST_NAMED, NAMED, size_of
from verify.programs.arithmetic import native, wide
from verify.tracing.relations import Sides
from verify.tracing.trace import Traced, hand_again, trace
from verify.tracing.trials import TRIALS, Trials, stacked

Arrays = tuple[np.ndarray, ...]
WIDE: dict[Any, str] = {np.float64: "wide-float64", np.longdouble: "wide-longdouble"}
EVERY = 25
"""One case in so many of an element-wise claim walks the whole range of exponents; one stands at the programs' own
numbers."""
ORDINARY = 16
"""The largest size of those that stand for one that is too large."""
ROWS = 6
"""Rows of such a case that exact arithmetic looks at, one by one."""
MOST_CONCRETE, MOST_APART = 24, 8
"""Shapes traced one by one: where symbolic dimensions do not serve, and where they serve all others."""


class Engine:
    """Evaluates one claim. ``formula_dtype`` is the dtype whose trace is judged as the formula."""

    def __init__(self, claim: Claim, draws: Draws):
        self.claim, self.draws = claim, draws
        self.sides = Sides(claim)
        self.dtypes = draws.dtypes()
        self.formula_dtype = self.dtypes[0]
        self._symbolic: dict[Any, Traced] = {}
        self._links: dict[Any, Callable[..., Any]] = {}
        self._concrete: dict[Any, dict[tuple[int, ...], Traced]] = {}
        self.reasons: dict[str, str] = {}
        self._usual: dict[Any, list[float]] = {}
        self._mixes: dict[Any, bool] = {}
        self._element_wise: dict[Any, bool] = {}
        self._stacks: dict[Any, Callable[..., Any] | None] = {}
        self._numbers: dict[Traced, tuple[float, ...]] = {}

    def case(self, index: int, dtype: str) -> Case:
        """The complete case of an index: arguments, then cotangent or tangents."""
        case = self.draws.case(index, dtype)
        case = self._affordable(self._of_traced_sizes(case, index), index)
        complete = self.completed(case)
        if index % EVERY == EVERY - 1 and self.is_element_wise(complete):
            return self.completed(along_binades(self.draws, case))
        if index % EVERY == EVERY // 2:
            numbers = self._own_numbers(complete)
            if numbers or has_free_whole_numbers(case.structure):
                return self.completed(among(self.draws, case, numbers))
        return complete

    def _of_traced_sizes(self, case: Case, index: int) -> Case:
        """The case, at sizes that have a trace where there are too many others that each want their own."""
        at = case.structure.key, case.dtype
        known = list(self._concrete.get(at, ()))
        most = MOST_APART if at in self._symbolic else MOST_CONCRETE
        if len(known) < most or tuple(case.dims.values()) in known or self._whole(at, case.dims):
            return case
        return self.draws.resized(case, dict(zip(case.dims, known[index % len(known)], strict=True)))

    def _affordable(self, case: Case, index: int) -> Case:
        """The case, at ordinary sizes where a large one would make what is computed of the arguments too large."""
        if max(case.dims.values(), default=0) < NAMED.start:
            return case
        traced = self.formula(case)
        if traced.largest(case.dims) <= (LARGEST_CASE if traced.factorises else LARGEST_NAMED):
            return case
        dims = {k: 1 + size % ORDINARY if size >= NAMED.start else size for k, size in case.dims.items()}
        if any(size_of(axis, dims) < 1 for leaf in case.structure.leaves for axis in leaf.shape):
            return case
        return self._of_traced_sizes(self.draws.resized(case, dims), index)

    def _own_numbers(self, case: Case) -> tuple[float, ...]:
        """The numbers that the programs are written with: where a formula branches, it branches at one of them."""
        traced = self.formula(case)
        if traced not in self._numbers:
            numbers = (getattr(program, "numbers", ()) for program in (traced.hand, traced.primal))
            self._numbers[traced] = tuple(sorted(set().union(*numbers)))
        return self._numbers[traced]

    def is_element_wise(self, case: Case) -> bool:
        """Whether results depend entry by entry on inputs of one shape: their whole axis of numbers is walked."""
        if self.formula(case).engine != "symbolic" or not has_one_shape(self.draws, case.structure):
            return False
        key = case.structure.key
        if key not in self._element_wise:
            tries = (self.draws.resized(case, dict.fromkeys(case.dims, 3), index) for index in range(3))
            self._element_wise[key] = not any(self._entries_mix(self.completed(t)) for t in tries)
        return self._element_wise[key]

    def is_along_exponents(self, case: Case) -> bool:
        """Whether the case, or the one that it was cut from, walks the whole range of exponents."""
        return case.index % EVERY == EVERY - 1 and bool(self._element_wise.get(case.structure.key))

    def cut(self, case: Case, hand: Arrays, reference: Arrays) -> list[Case]:
        """Of a long case along the exponents some rows that differ, one by one: in their sum the largest would hide
        the others, and exact arithmetic would take long."""
        shape = next((leaf.shape for leaf in case.structure.leaves if leaf.shape), ())
        sizes = tuple(case.dims.get(s, 0) for s in shape)
        walked = self.is_along_exponents(case)
        flat = (*case.values, *case.extra)
        if not walked or max(sizes) <= ROWS or any(v.shape not in (sizes, ()) for v in (*flat, *reference)):
            return [case]
        axis = int(np.argmax(sizes))
        others = tuple(i for i in range(len(sizes)) if i != axis)
        bad = np.zeros(sizes[axis], bool)
        for h, r in zip(hand, reference, strict=True):
            bad |= differs(h, r).any(others) if h.shape else False
        largest = np.max([np.abs(as_wide(v)).max(others) for v in flat if v.shape], axis=0)
        rows = sorted(np.flatnonzero(bad), key=lambda row: largest[row])
        rows = rows[:: max(1, len(rows) // ROWS)][:ROWS]

        def alone(row: int) -> Case:
            keep = lambda v: np.take(v, [row], axis) if v.shape else v  # noqa: E731
            return replace(
                case, id=f"{case.id}{SHRUNK}", dims={**case.dims, shape[axis]: 1},
                values=tuple(map(keep, case.values)), extra=tuple(map(keep, case.extra)),
            )  # fmt: skip

        return [alone(int(row)) for row in rows]

    def completed(self, case: Case) -> Case:
        traced = self.traced(case.structure, case.dtype, case.dims)
        shapes = [
            (tuple(size_of(a, case.dims) for a in shape), dtype) for shape, dtype in traced.extra_shapes
        ]
        return self.draws.with_extra(case, shapes)

    def traced(self, structure: Structure, dtype: str, dims: Any) -> Traced:
        """The trace of a structure in a dtype; shape by shape where it cannot be symbolic, or the code asks for a
        size."""
        at, sizes = (structure.key, dtype), tuple(dims.values())
        if (found := self._whole(at, dims) or self._concrete.get(at, {}).get(sizes)) is not None:
            return found
        found = trace(self.sides, structure, dtype, dims, at not in self._symbolic and at not in self._concrete)
        if found.engine == "symbolic" and at not in self._symbolic:
            self._symbolic[at] = found
            return self.traced(structure, dtype, dims)  # these sizes may have a trace of their own
        self._concrete.setdefault(at, {})[sizes] = found
        if found.reason:
            self.reasons.setdefault(found.engine, found.reason)
        return found

    @property
    def apart(self) -> tuple[str, ...]:
        """The sizes that have a trace of their own beside the one for all others: ``n is 1``."""
        return self.sides.symbols.questions if self._symbolic else ()

    def _whole(self, at: tuple[Any, str], dims: Mapping[str, int]) -> Traced | None:
        """The trace for all sizes, if it stands for these."""
        return self._symbolic.get(at) if self.sides.symbols.stand_for(dims) else None

    def formula(self, case: Case) -> Traced:
        return self.traced(case.structure, self.formula_dtype, case.dims)

    def wide(self, case: Case, dtype: Any = np.float64) -> tuple[Arrays, Arrays]:
        """Hand and reference in wide precision: the formula dtype's trace, casts widened."""
        traced = self.formula(case)
        inputs = _inputs(traced, (*case.values, *case.extra))
        return self._both(traced, WIDE[dtype], lambda: wide(dtype), case, inputs)

    def wide_trials(self, trials: Trials) -> tuple[Arrays, Arrays]:
        """Hand and reference in wide precision at every trial, stacked along the first axis."""
        link = self._stacked_link(trials.first) if trials.count > 1 else None
        if link is None:
            results = [self.wide(trials.case(k)) for k in range(trials.count)]
            hand, reference = zip(*results, strict=True)
            return _stack(hand), _stack(reference)
        found = tuple(as_wide(x) for x in link({**trials.first.dims, TRIALS: trials.count}, trials.flat))
        half = len(found) // 2
        return found[:half], found[half:]

    def can_stack(self, case: Case) -> bool:
        """Whether trials of this case are evaluated together."""
        return self._stacked_link(case) is not None

    def _stacked_link(self, case: Case) -> Callable[..., Any] | None:
        key = case.structure.key
        if not self.sides.symbols.stand_for(case.dims):
            return None
        if key not in self._stacks:
            found = None
            traced = self.formula(case)
            if traced.engine == "symbolic" and traced.both is not None:
                found = stacked(self.sides, case.structure, traced)
            self._stacks[key] = found and found.link(wide(np.float64), guarded=False)
        return self._stacks[key] if self.sides.symbols.stand_for(case.dims) else None

    def primal(self, case: Case) -> Arrays:
        """The reference's own value in wide precision."""
        traced = self.formula(case)
        inputs = _inputs(traced, case.values)
        run = self._link(traced, "primal", "wide-float64", lambda: wide(np.float64))
        return tuple(as_wide(o) for o in run(case.dims, inputs) if o.dtype.kind in "fc")

    def hand_runs(self, case: Case) -> list[Arrays]:
        """The hand-written function's results at one case: as traced first, traced anew, and what JAX evaluates itself
        once more. They are equal unless it uses a clock, a generator or a race."""
        traced = self.formula(case)
        if traced.mismatch:
            return []
        inputs = _inputs(traced, (*case.values, *case.extra))
        first, anew = (
            program.link(wide(np.float64), guarded=False)
            for program in (traced.hand, hand_again(self.sides, case.structure, traced))
        )
        runs = (first, anew, first) if traced.engine == "jax" else (first, anew)
        return [tuple(as_wide(x) for x in run(case.dims, inputs)) for run in runs]

    def widened_cell(self, case: Case) -> tuple[Arrays, Arrays]:
        """The trace of the cell's own dtype, casts widened: does the formula itself depend on the dtype?"""
        traced = self.traced(case.structure, case.dtype, case.dims)
        inputs = _inputs(traced, (*case.values, *case.extra))
        return self._both(traced, "wide-cell", lambda: wide(np.float64), case, inputs)

    def native(self, case: Case) -> tuple[Arrays, Arrays]:
        """Hand and reference in the arithmetic of the case's own dtype, rounding as a device would."""
        return self.in_arithmetic(case, "native", native)

    def in_arithmetic(self, case: Case, name: str, arithmetic: Callable[[], Any]) -> tuple[Arrays, Arrays]:
        """Hand and reference in some arithmetic that honours dtypes, linked once under this name."""
        traced = self.traced(case.structure, case.dtype, case.dims)
        return self._both(traced, name, arithmetic, case, [*case.values, *case.extra])

    def note_size(self, case: Case, tops: Sequence[float]) -> None:
        """Remembers how large results are at ordinary values, relative to the cotangent or tangent."""
        if case.plain:
            for leaf, top in enumerate(tops):
                if top > 0:
                    self._usual.setdefault(leaf, []).append(top / _driving(case))

    def usual_size(self, case: Case, leaf: int) -> float:
        """The size that an output has at inputs of this size; 0 where an entry depends on its own inputs alone."""
        seen = self._usual.get(leaf)
        if not seen or not self.mixes(case):
            return 0.0
        grown = [max(1.0, float(np.abs(as_wide(v)).max(initial=0.0))) for v in case.values if v.dtype.kind not in "iub"]
        return float(np.median(seen)) * _driving(case) * float(np.prod(grown))

    def mixes(self, case: Case) -> bool:
        """Whether an output entry depends on other entries of the inputs than its own."""
        key = case.structure.key
        if key not in self._mixes:
            self._mixes[key] = self._entries_mix(case)
        return self._mixes[key]

    def _entries_mix(self, case: Case) -> bool:
        before = self.wide(case)[1]
        shape = before[0].shape
        flat = (*case.values, *case.extra)
        if any(v.shape not in (shape, ()) for v in flat) or any(b.shape != shape for b in before):
            return True
        if not shape:
            return False
        rng = np.random.default_rng(0)

        def others_moved(v: np.ndarray) -> np.ndarray:
            if v.shape != shape or v.dtype.kind in "iub" or v.size < 2:
                return v
            moved = (as_wide(v) * rng.uniform(0.5, 0.9, v.shape)).astype(v.dtype)
            moved.flat[0] = v.flat[0]
            return moved

        count = len(case.values)
        moved = [others_moved(v) for v in flat]
        after = self.wide(replace(case, values=tuple(moved[:count]), extra=tuple(moved[count:])))[1]
        return any(not np.array_equal(b.flat[0], a.flat[0], equal_nan=True) for b, a in zip(before, after, strict=True))

    def _both(
        self, traced: Traced, key: str, arithmetic: Callable[[], Any], case: Case, inputs: Sequence[Any]
    ) -> tuple[Arrays, Arrays]:
        if traced.both is not None:
            found = self._link(traced, "both", key, arithmetic)(case.dims, inputs)
            results, count = [as_wide(x) for x in found], len(traced.hand_shapes)
            return tuple(results[:count]), tuple(results[count:])
        hand = self._link(traced, "hand", key, arithmetic)
        reference = self._link(traced, "reference", key, arithmetic)
        return (
            tuple(as_wide(x) for x in hand(case.dims, inputs)),
            tuple(as_wide(x) for x in reference(case.dims, inputs)),
        )

    def _link(self, traced: Traced, side: str, key: str, arithmetic: Callable[[], Any]) -> Callable[..., Any]:
        at = (id(traced), side, key)
        if at not in self._links:
            self._links[at] = getattr(traced, side).link(arithmetic(), guarded=False)
        return self._links[at]


def _stack(results: Sequence[Arrays]) -> Arrays:
    return tuple(np.stack(column) for column in zip(*results, strict=True))


def _driving(case: Case) -> float:
    """The size of what a derivative is linear in."""
    sizes = [float(np.abs(as_wide(e)).max(initial=0.0)) for e in case.extra]
    return max(sizes, default=0.0) or 1.0


def _inputs(traced: Traced, values: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    """A translated program widens its inputs itself; JAX wants the dtypes that it was traced with."""
    if traced.engine != "jax":
        return values
    return [v if v.dtype.kind in "iubc" else v.astype(traced.dtype) for v in values]
