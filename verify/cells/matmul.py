"""Matrix products of float32 in less precision: what a device makes of a `--precision`, and JAX's name for it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

NAMES = {"bfloat16_3x": "BF16_BF16_F32_X3"}
"""Where JAX's configuration has another word."""
ROUNDED: dict[str, dict[str, str]] = {
    "gpu": {
        "default": "tf32", "bfloat16": "tf32", "high": "tf32", "tensorfloat32": "tf32", "bfloat16_3x": "bfloat16_3x",
    },
    "tpu": {
        "default": "bfloat16", "bfloat16": "bfloat16", "high": "bfloat16_3x", "tensorfloat32": "bfloat16_3x",
        "bfloat16_3x": "bfloat16_3x",
    },
}  # fmt: skip
"""To what a device rounds the inputs of a float32 product, by precision; not at all where nothing stands."""
EVERY = {"gpu": ("default", "tensorfloat32", "bfloat16_3x", "highest"), "tpu": ("default", "bfloat16_3x", "highest")}
"""The precisions that differ, with ``--full``."""


def in_precision(precision: str | None) -> AbstractContextManager[None]:
    """JAX's default precision of matrix products, while traced."""
    import jax

    return jax.default_matmul_precision(NAMES.get(precision, precision)) if precision else nullcontext()  # type: ignore[arg-type]


def inputs_rounded_to(backend: str, precision: str | None) -> str | None:
    """``tf32``, ``bfloat16`` or ``bfloat16_3x``: how float32 inputs of a product are rounded there; None if not."""
    import jax

    configured = str(jax.config.jax_default_matmul_precision or "default")  # type: ignore[attr-defined]
    return ROUNDED.get(backend, {}).get(precision or configured)
