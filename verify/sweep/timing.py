"""How long the hand-written function takes beside the reference: medians of calls in turn.

Other work on the machine changes both, seldom alike: the median of several ratios of medians is taken.
"""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp
import numpy as np

from verify.sweep.sides import ElementWise, Function
from verify.tracing.survey import precision_of

SIZE = 1_000_000
ROUNDS, GROUPS = 41, 9


def ratio(claim: ElementWise, size: int = SIZE, rounds: int = ROUNDS, groups: int = GROUPS) -> float:
    """The median time of the hand-written function, compiled, over that of the reference, in float32 (else the claim's
    first dtype)."""
    return _ratio(claim, *claim.compiled, size, rounds, groups)


def bare(claim: ElementWise, size: int = SIZE, rounds: int = ROUNDS, groups: int = GROUPS) -> float:
    """Instead of the hand-written function ``-z``, which reads and writes as much and computes nothing."""
    return _ratio(claim, jax.jit(jnp.negative), claim.compiled[1], size, rounds, groups)


def _ratio(
    claim: ElementWise, one: Function, other: Function, size: int, rounds: int, groups: int
) -> float:
    dtype = "float32" if "float32" in claim.dtypes else claim.dtypes[0]
    with precision_of(dtype):
        z = jnp.asarray(np.random.default_rng(0).normal(size=size) * 3).astype(dtype)
        for function in (one, other):
            function(z).block_until_ready()
        times = np.empty((groups, rounds, 2))
        for row in times.reshape(-1, 2):
            for side, function in enumerate((one, other)):
                start = time.perf_counter()
                function(z).block_until_ready()
                row[side] = time.perf_counter() - start
    hand, reference = np.median(times, axis=1).T
    return float(np.median(hand / reference))
