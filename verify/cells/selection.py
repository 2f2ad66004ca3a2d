"""The selection: which cells of a claim run, of all (backend, dtype, matmul precision, mode)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from verify.cells.budget import Budget
from verify.cells.compiled import devices_of
from verify.cells.matmul import EVERY
from verify.cells.products import has_products
from verify.cells.sharding import SHARDED, batched_case
from verify.tracing.engine import Engine

MODES = ("jit", "vmap", "eager")
COMPILED = ("float32", "bfloat16")
EAGER_TURNS = 6
"""Without ``--full`` one claim in so many is run eagerly too: every operation compiles alone."""


@dataclass(frozen=True)
class Selection:
    """What a budget asks for, of what a claim and the devices here have."""

    engine: Engine
    budget: Budget

    @property
    def dtypes(self) -> tuple[str, ...]:
        return tuple(d for d in self.engine.dtypes if self.budget.dtypes is None or d in self.budget.dtypes)

    @property
    def compiled(self) -> list[tuple[str, str]]:
        """Backends that run compiled programs, each with its dtypes."""
        not_run = ("numpy", "tpu") if self.budget.topologies else ("numpy",)
        return [(b, d) for b in self.budget.backends if b not in not_run for d in self.dtypes]

    @property
    def numpy_asked(self) -> bool:
        """Whether the numpy engine's cells are wanted; if no other cell runs they are."""
        return "numpy" in self.budget.backends or self._only_compiles

    @property
    def _only_compiles(self) -> bool:
        return bool(self.budget.topologies) and set(self.budget.backends) == {"tpu"}

    def modes(self, backend: str, dtype: str) -> tuple[str, ...]:
        return (*self.single_device_modes(dtype), *self._sharded_modes(backend, dtype))

    def single_device_modes(self, dtype: str) -> tuple[str, ...]:
        """What users run most in full; of the remaining cells one for each claim, in turn with the seed. A line of a
        text is a formula that nobody runs."""
        if self.budget.full:
            return MODES
        if self.engine.claim.equation is not None and self.numpy_asked and self.budget.dtypes is None:
            return ()
        has = self.engine.dtypes
        turn = self.engine.draws.number + self.budget.seed
        eager = turn // 4 % EAGER_TURNS == 0 and has[turn % len(has)] == dtype
        if dtype in COMPILED:
            modes: tuple[str, ...] = ("jit", "vmap")
        elif self.budget.dtypes or "numpy" not in self.budget.backends or not set(COMPILED) & set(has):
            modes = (("jit", "vmap")[turn % 2],)  # it was asked for, or there is no other
        else:
            others = [(d, m) for d in has if d not in COMPILED for m in ("jit", "vmap")]
            modes = (others[turn % len(others)][1],) if others[turn % len(others)][0] == dtype else ()
        return (*modes, "eager") if eager else modes

    def _sharded_modes(self, backend: str, dtype: str) -> tuple[str, ...]:
        """Where there are several devices: a batch spread over them, in float32, or the first dtype there is."""
        several = devices_of(backend)
        wanted = self.budget.full or dtype == ("float32" if "float32" in self.dtypes else self.dtypes[0])
        found = wanted and several > 1 and batched_case(self.engine, dtype, 1, several) is not None
        return tuple(SHARDED) if found else ()

    def precisions(self, backend: str, dtype: str) -> tuple[str | None, ...]:
        """Where float32 products may round their inputs: as they do by default, and not; every way with ``--full``."""
        if self.budget.precision is not None or dtype != "float32" or backend not in EVERY:
            return (self.budget.precision,)
        if not has_products(self.engine, self.engine.case(0, dtype)):
            return (None,)
        return (None, *EVERY[backend][1:]) if self.budget.full else (None, "highest")

    def compiled_only(self, dtype: str) -> tuple[Sequence[str], Sequence[str | None]]:
        """Topologies that are compiled for and not here, and precisions; float32 and bfloat16 unless more is asked."""
        asked = self.budget.full or self.budget.dtypes or not set(COMPILED) & set(self.engine.dtypes)
        if "tpu" not in self.budget.backends or (dtype not in COMPILED and not asked):
            return (), ()
        every = self.budget.full and self.budget.precision is None and dtype == "float32"
        return self.budget.topologies, EVERY["tpu"] if every else (self.budget.precision,)
