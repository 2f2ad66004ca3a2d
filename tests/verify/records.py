"""Records to test with, and a Hypothesis strategy for any record."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import get_args

from hypothesis import strategies as st

from verify.figure_data.figures import AxisErrors, EntryErrors, Figures, Remainder, SizeErrors, Source
from verify.records.record import (
    WORST_FIRST,
    Cell,
    CellVerdict,
    ClaimRecord,
    Counterexample,
    Diagnosis,
    Record,
)

HALF = Diagnosis(
    "factor", "is exactly 1/2 of the gradient, on all 4,000 cases: a factor 2 is missing", "1/2", "R² = 1"
)
EXAMPLE = Counterexample(
    id="ridge-0-17",
    dims={"m": 1, "n": 2, "N": 1},
    dtype="float64",
    inputs={"W": [[1.0, 2.0]], "X": [[3.0], [0.5]], "Y": [[4.0]], "lam": 0.0},
    hand=[[0.0, 0.0]],
    reference=[[0.0, 1.0]],
    oracle=[[0.0, 1.0]],
)
AGREES = ClaimRecord(
    "softmax_gradient",
    "losses",
    "losses.py",
    30,
    "vjp",
    "agrees",
    cases=40_000,
    fresh_shapes=9_000,
    seconds=0.8,
    smallest_visible_error=1e-9,
    entries={"median": 96, "max": 4096},
    cells=(
        Cell("numpy", "float64", None, "eager", "agrees", 30_000, 9_000, 3e-16, 5e-16, 1e-9, "symbolic"),
        Cell("cpu", "float32", "highest", "jit", "agrees", 10_000, 3, 1e-7, 2e-7, 1e-4, "jax"),
        Cell("tpu", "bfloat16", None, "jit", "compiled_only", reason="compiled for v5e, not run"),
    ),
    target="losses.py::softmax_gradient",
)
WRONG = ClaimRecord(
    "ridge_gradient",
    "path",
    "path.py",
    12,
    "gradient",
    "wrong",
    HALF,
    (HALF, Diagnosis("sign", "the second entry has the wrong sign")),
    cases=40_000,
    fresh_shapes=9_000,
    cells=(Cell("numpy", "float64", None, "eager", "wrong", 40_000, 9_000, 0.5, 1e-15, 1e-9, "symbolic"),),
    counterexample=EXAMPLE,
    replay="verify replay ridge-0-17",
    target="path.py::ridge_gradient",
)
FIGURES = Figures(
    (AxisErrors("float64", True, (-1e300, -2.5, 0.0, 1e-3, 8.0), (1e17, math.inf, 0.0, 2.0, 1e18),
                (1.0, 2.0, 0.0, 0.5, 3.0), 4e6, "the reference in extended precision"),),
    (SizeErrors("k", (1, 2, 3), (0.0, 1.0, math.inf), (1e-16, 1e-15, 0.0)),
     SizeErrors("n", (1, 30), (1.0, 0.5), (0.0, 0.0))),
    (EntryErrors("W", (2, 3), "ridge-0-18", ((0.0, 1e-12, 0.5), (math.inf, 1e-4, 3.0))),
     EntryErrors("b", (1000, 1000), "ridge-0-18", ((1e-8,) * 16,) * 16)),
    Remainder("ridge-0-18", (0.5, 0.25, 0.125, 0.0625, 0.03), (0.4, 0.2, 0.1, 0.05, 0.02),
              (0.1, 0.025, 0.006, 0.0015, 0.0), 1e-15),
)  # fmt: skip
SHOWN = replace(WRONG, figures=FIGURES, source=Source("def ridge_gradient(W):\n    return W", "d l = tr(W^T dW)", 12))
"""A wrong claim with everything that a report can show."""


def claim(verdict: str = "agrees", name: str = "f", expected: str | None = None, **more) -> ClaimRecord:
    """A claim of which only the verdict matters."""
    more = {"module": "m", "file": "m.py", "line": 1, "relation": "gradient"} | more
    return ClaimRecord(name=name, verdict=verdict, expected=expected, **more)  # pyright: ignore


def record(*claims: ClaimRecord, exit_code: int = 0, **more) -> Record:
    """A run of these claims."""
    more = {"argv": ("verify", "run"), "seed": 7, "environment": {"jax": "0.10.2"}, "seconds": 3.1} | more
    return Record(claims, exit_code, **more)


texts = st.text(max_size=12)
floats = st.floats() | st.none()
counts = st.integers(0, 2**40)
arrays = st.recursive(
    st.floats() | st.integers() | st.booleans(), lambda inner: st.lists(inner, max_size=3), max_leaves=6
)
diagnoses = st.builds(Diagnosis, texts, texts, st.none() | texts, st.none() | texts)
cells = st.builds(
    Cell,
    backend=texts,
    dtype=texts,
    precision=st.none() | texts,
    mode=texts,
    verdict=st.sampled_from(get_args(CellVerdict)),
    cases=counts,
    worst_error=floats,
    bound=floats,
    reason=st.none() | texts,
    seconds=st.floats(0, 1e9),
)
counterexamples = st.builds(
    Counterexample,
    id=texts,
    dims=st.dictionaries(texts, counts, max_size=3),
    dtype=texts,
    inputs=st.dictionaries(texts, arrays, max_size=3),
    hand=arrays,
    reference=arrays,
    oracle=arrays,
)
claims = st.builds(
    ClaimRecord,
    name=texts,
    module=texts,
    file=texts,
    line=counts,
    relation=texts,
    verdict=st.sampled_from(WORST_FIRST),
    diagnosis=st.none() | diagnoses,
    diagnoses=st.lists(diagnoses, max_size=2).map(tuple),
    notes=st.lists(texts, max_size=2).map(tuple),
    reason=st.none() | texts,
    expected=st.none() | st.just("wrong"),
    cases=counts,
    seconds=st.floats(0, 1e9),
    smallest_visible_error=floats,
    cells=st.lists(cells, max_size=2).map(tuple),
    counterexample=st.none() | counterexamples,
    replay=st.none() | texts,
)
records = st.builds(
    Record,
    claims=st.lists(claims, max_size=3).map(tuple),
    exit_code=st.integers(0, 5),
    argv=st.lists(texts, max_size=3).map(tuple),
    seed=st.integers(0, 2**63),
    environment=st.dictionaries(texts, texts.filter(lambda t: t not in ("nan", "inf", "-inf")), max_size=3),
    seconds=st.floats(0, 1e9),
    problems=st.lists(texts, max_size=2).map(tuple),
    strict=st.booleans(),
)
