"""What a worker sends back of a claim. The command, which receives it, must not import JAX for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from verify.records.record import ClaimRecord


@dataclass(frozen=True)
class Judged:
    """The outcome of a claim, and the inputs of its counterexample, bit for bit."""

    record: ClaimRecord
    inputs: Mapping[str, np.ndarray] = field(default_factory=dict)
