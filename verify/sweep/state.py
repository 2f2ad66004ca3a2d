"""What is known of one claim: the state of a sweep, on the disk after every few parts. No JAX."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from verify.records.serial import build, load
from verify.sweep.tally import Tally


@dataclass(frozen=True)
class Swept:
    """The state of a sweep: ``tallies[dtype][binade]`` are those of hand and reference, ``done`` names parts."""

    claim: str
    fingerprint: str
    exhaustive: tuple[str, ...] = ()
    done: dict[str, tuple[str, ...]] = field(default_factory=dict)
    tallies: dict[str, dict[str, tuple[Tally, ...]]] = field(default_factory=dict)
    complete: bool = False
    seconds: float = 0.0
    ratio: float | None = None
    """Median time of the hand-written function over that of the reference, a million float32 numbers."""
    bare: float | None = None
    """Likewise of ``-z``: the least for a function that reads its argument."""
    derivative: bool = True
    """Whether a derivative was swept, against jax.grad's, or a value, against that of the reference."""

    @property
    def sides(self) -> tuple[str, str]:
        return sides_of(self.derivative)

    def total(self, dtype: str, side: int) -> Tally:
        """All binades of a dtype together."""
        whole = Tally()
        for pair in self.tallies.get(dtype, {}).values():
            whole = whole.plus(pair[side])
        return whole


def sides_of(derivative: bool) -> tuple[str, str]:
    """What the two sides are called."""
    return "by hand", "jax.grad" if derivative else "reference"


def load_state(path: Path) -> Swept:
    """A state from the disk; raises ``RecordError`` if it is none."""
    return build(Swept, load(path), str(path))
