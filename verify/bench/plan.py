"""How long each part of a benchmark takes. No JAX."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Tell = Callable[[str], None]
"""Hears what is being measured."""
FUNCTIONS = ("ridge", "softmax", "layer_norm", "network")
PARTS = ("speed", "sensitivity", "sizes", "claims")


@dataclass(frozen=True)
class Plan:
    """``batch`` are the cases that ``verify`` judges at once; ``share`` the seconds of a turn of every other tool."""

    repetitions: int = 7
    batch: int = 2000
    share: float = 0.4
    cases: int = 2000
    """Cases whose planted mistake a tool is asked about, as far as its time reaches."""
    patience: float = 4.0
    """Seconds for a peer's answers to one mistake."""
    entries: tuple[int, ...] = (100, 300, 1000, 3000, 10**4, 3 * 10**4, 10**5, 3 * 10**5, 10**6, 3 * 10**6, 10**7)
    at_size: float = 0.4
    """Seconds for one size of a curve, of each of the two that are drawn."""
    claims: tuple[int | None, ...] = (1, 10, 50, None)
    """None are all claims of the catalogue."""
    run_cases: int = 40


QUICK = Plan(2, 100, 0.02, 60, 0.05, (100, 1000, 10**4), 0.02, (1, 2), 8)
"""For seconds, to see that everything works; its figures mean little."""
