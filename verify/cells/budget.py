"""How much of a claim is judged, and where."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """``backends`` are ``numpy`` and JAX platforms; ``dtypes`` None means all that the claim has; ``cases`` are
    those of the numpy engine, over all dtypes; ``seconds`` bounds the claim's time and makes it unrepeatable;
    without ``explain`` the verdict is all that is found out; ``compile_threads`` compile what will be needed while
    NumPy is still at work; ``topologies`` are those that ``tpu`` is compiled for where there is none."""

    seed: int = 0
    cases: int | None = None
    backends: tuple[str, ...] = ("numpy", "cpu")
    dtypes: tuple[str, ...] | None = None
    precision: str | None = None
    full: bool = False
    seconds: float | None = None
    explain: bool = True
    compile_threads: int = 0
    topologies: tuple[str, ...] = ()
