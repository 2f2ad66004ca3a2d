"""Planted mistakes: evidence as the engine would make it, in plain NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from verify.hypotheses.diagnosis import Context, diagnose
from verify.hypotheses.evidence import Sample
from verify.records.record import Diagnosis


@dataclass(frozen=True)
class Plant:
    """A mistake: what the reference gives, what the hand gives, and the kinds that name it."""

    name: str
    kinds: str
    sizes: str
    inputs: dict[str, str]
    truth: Callable
    hand: Callable
    value: str | None = None
    relation: str = "gradient"
    outputs: tuple[str, ...] = ("x",)
    dims: tuple[tuple[str, ...], ...] = ()
    inner: Callable | None = None
    cases: int = 60
    second: str | None = None
    candidates: dict[str, Callable] | None = None
    dtype: str = "float64"


def draw(rng: np.random.Generator, shape: tuple[int, ...], domain: str) -> np.ndarray:
    if domain == "positive":
        return np.exp(rng.normal(size=shape))
    if domain == "complex":
        return rng.normal(size=shape) + 1j * rng.normal(size=shape)
    if domain == "mask":
        return rng.random(shape) < 0.6
    if domain == "spd":
        a = rng.normal(size=shape)
        return a @ a.T + np.eye(shape[0])
    if domain == "wide":
        return rng.normal(size=shape) * 10 ** rng.uniform(-3, 3, size=shape)
    if domain == "huge":
        return rng.normal(size=shape) * 10 ** rng.uniform(-3, 4, size=shape)
    style = rng.integers(6)
    if style == 0:
        return rng.integers(-2, 3, shape).astype(float)
    if style == 1:
        return rng.normal(size=shape) * 10.0 ** rng.integers(-6, 7)
    if style == 2:
        return np.full(shape, round(float(rng.normal()), 1))
    return rng.normal(size=shape) * rng.choice([0.5, 1.0, 3.0])


def sample_of(plant: Plant, index: int) -> Sample:
    rng = np.random.default_rng(1000 + index)
    dims = {name: int(rng.integers(1, 6)) for name in plant.sizes.split()}
    inputs = {}
    for name, spec in plant.inputs.items():
        axes, _, domain = spec.partition(":")
        if domain == "index":
            shape = tuple(dims[axis] for axis in axes.split())
            inputs[name] = rng.integers(0, dims[plant.sizes.split()[0]], shape)
            continue
        inputs[name] = np.asarray(draw(rng, tuple(dims[axis] for axis in axes.split()), domain))
    with np.errstate(all="ignore"):
        truth, hand = plant.truth(**inputs), plant.hand(**inputs)
        inner = plant.inner(**inputs) if plant.inner else {}
    truth, hand = (tuple(map(np.asarray, v if isinstance(v, tuple) else (v,))) for v in (truth, hand))
    failed = any(
        h.shape != t.shape or not np.allclose(h, t, 1e-9, 1e-12 * np.abs(t).max(initial=0), equal_nan=True)
        for h, t in zip(hand, truth, strict=True)
    )
    return Sample(str(index), dims, inputs, hand, truth, truth, failed, plant.dtype, inner)


def told(plant: Plant) -> tuple[Diagnosis, ...]:
    """The diagnosis of a planted mistake, checked against what the plant expects."""
    samples = [sample_of(plant, index) for index in range(plant.cases)]
    assert any(sample.failed for sample in samples)
    candidates = plant.candidates or {}
    found = diagnose(samples, Context(plant.relation, plant.outputs, plant.dims, candidates))
    assert found[0].kind in plant.kinds.split(), found
    assert found[0].text.endswith(".") and found[0].evidence
    if plant.value is not None:
        assert found[0].value == plant.value, found
    if plant.second is not None:
        assert found[1].kind == plant.second, found
    return found
