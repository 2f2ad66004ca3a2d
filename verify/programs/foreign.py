"""An equation evaluated by JAX itself, on the CPU: for primitives that need no arithmetic of ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True, eq=False)
class Foreign:
    primitive: Any
    params: dict[str, Any]

    def __call__(self, operands: tuple[Any, ...], sizes: dict[str, Any]) -> tuple[Any, ...] | Any:
        with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]):
            out = self.primitive.bind(*map(jnp.asarray, operands), **self.params, **sizes)
            return tuple(map(_plain, out)) if self.primitive.multiple_results else _plain(out)


def _plain(value: Any) -> Any:
    return value if jnp.issubdtype(value.dtype, jax.dtypes.prng_key) else np.asarray(value)
