"""The truth of an entry as the author meant it, where a ``stop_gradient`` hides something."""

from __future__ import annotations

import numpy as np

from verify.truth.entry import Entries, Entry
from verify.truth.equality import equals
from verify.truth.oracle import Oracle
from verify.truth.sides import Sides


class Meant:
    """What a stop_gradient hides is meant to be hidden, if that is how JAX understood it.

    It stands in libraries, too, where it hides nothing (the shift of a logsumexp, the factors of a solve).
    """

    def __init__(self, sides: Sides):
        self.sides = sides
        self.entries = Entries(sides, sides.oracle)
        self._hidden: Entries | None = None

    def at(self, leaf: int, flat: int) -> Entry:
        """The truth of the entry that is the ``flat``-th of an output."""
        entry = self.entries.at(leaf, flat)
        if not self.sides.traced.stops or self._is_the_reference(entry):
            return entry
        if self._hidden is None:
            sides = self.sides
            oracle = Oracle(sides.traced, sides.relation, sides.case, sides.bits, sides.width, stopping=True)
            oracle.inputs = sides.oracle.inputs
            self._hidden = Entries(sides, oracle)
        hidden = self._hidden.at(leaf, flat)
        return hidden if self._is_the_reference(hidden) else entry

    def _is_the_reference(self, entry: Entry) -> bool:
        if entry.kink or not np.isfinite(entry.value):
            return False
        return bool(equals(self.sides, "reference", entry))
