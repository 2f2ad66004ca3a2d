"""Evidence: one judged case, as the diagnosis sees it. Pure NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Sample:
    """One case at which hand-written function and truth were both evaluated.

    ``inputs`` maps argument names (``"params[0].W"`` for a leaf of a pytree) to arrays and numbers, static
    options included; a cotangent is ``"cotangent"`` (or ``"cotangent[0]"``), a tangent ``"dW"``.
    ``hand``, ``reference`` and ``truth`` are flat tuples of arrays, one per output leaf, in float64 (complex128);
    ``truth`` is the oracle's value where it was computed (NaN elsewhere). ``failed`` says that this sample differs
    from the truth by more than arithmetic explains. ``intermediates`` are named values of the reference's own
    program at this case, where known.
    """

    case_id: str
    dims: Mapping[str, int]
    inputs: Mapping[str, np.ndarray]
    hand: tuple[np.ndarray, ...]
    reference: tuple[np.ndarray, ...]
    truth: tuple[np.ndarray, ...]
    failed: bool
    dtype: str = "float64"
    intermediates: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Edit:
    """The truth re-evaluated with one step of the reference's derivative changed: a likely mistake.

    ``text`` follows "the hand-written derivative" (``{noun}`` stands for "gradient"). Of an ``additive`` one ``text``
    names the term that is left out, so that the hand-written value may have any multiple of it. ``evaluate`` raises
    KeyError at a sample that it does not know.
    """

    kind: str
    text: str
    additive: bool
    evaluate: Callable[[Sample], tuple[np.ndarray, ...]]

    def __call__(self, sample: Sample) -> tuple[np.ndarray, ...]:
        return self.evaluate(sample)


@dataclass(frozen=True)
class Context:
    """What is known about the claim. ``outputs`` names the output leaves, ``output_dims`` the axes of each.

    ``candidates`` maps a label (``"with x and y exchanged"``) to a function from a sample to the values that the
    truth would have under that mistake, one array per output leaf; it may raise where it has none. A label with
    "conjugated" names the kind ``conjugate``, one with "cotangent" and "ones" the kind ``cotangent``, any other
    the kind ``wrong_argument``.
    """

    relation: str
    outputs: tuple[str, ...]
    output_dims: tuple[tuple[str, ...], ...] = ()
    candidates: Mapping[str, Callable[[Sample], tuple[np.ndarray, ...]]] = field(default_factory=dict)
