"""Layer norm over the last axis, ``gain ⊙ x̂ + bias``, and its VJP in all three arguments.

With ``c`` the centred rows, ``v = mean c² + ε``, ``r = v^(-1/2)`` and ``u = gain ⊙ C`` for the cotangent ``C``: into
``x`` go ``r u - (r / v) mean(c ⊙ u) c``, centred; into gain and bias the sums of ``C ⊙ r c`` and ``C`` over rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.lax import rsqrt
from jaxtyping import Array, Float

import handgrad.normalisation as catalogue
from handgrad.claims import Claim
from verify.bench.function import Arrays, Form, Function

Rows = Float[Array, "N n"]
EPSILON = 1e-5


def layer_norm(x: Rows, gain: Float[Array, "n"], bias: Float[Array, "n"]) -> Rows:
    """The catalogue's, at a batch of rows."""
    return catalogue.layer_norm(x, gain, bias)


def layer_norm_vjp(x: Rows, gain: Float[Array, "n"], bias: Float[Array, "n"], *, cotangent: Rows) -> Any:
    return catalogue.layer_norm_vjp(x, gain, bias, cotangent=cotangent)


def _claim(vjp: Callable[..., Any]) -> Claim:
    wrt = ("x", "gain", "bias")
    return Claim("layer_norm", "vjp", vjp, layer_norm, wrt=wrt, wrt_is_tuple=True, module=__name__)


def planted(mistake: float) -> Claim:
    def vjp(x: Any, gain: Any, bias: Any, *, cotangent: Any) -> Any:
        mean = lambda u: jnp.mean(u, axis=-1, keepdims=True)  # noqa: E731
        c = x - mean(x)
        v = mean(c * c) + EPSILON
        r, u = rsqrt(v), cotangent * gain[None, :]
        dc = r * u - (1 + mistake) * (r / v * mean(c * u) * c)
        return dc - mean(dc), jnp.sum(cotangent * (r * c), axis=0), jnp.sum(cotangent, axis=0)

    return _claim(vjp)


def values(rng: np.random.Generator, N: int, n: int) -> Arrays:
    """``x: N n``, ``gain: n``, ``bias: n`` and the cotangent ``N n``."""
    x, gain, bias, cotangent = (rng.standard_normal(shape) for shape in ((N, n), n, n, (N, n)))
    return x, gain, bias, cotangent


# --- NumPy ------------------------------------------------------------------------------------------------


def hand(x: Any, gain: Any, bias: Any, cotangent: Any) -> Arrays:
    c = x - x.mean(-1, keepdims=True)
    v = (c * c).mean(-1, keepdims=True) + EPSILON
    r, u = 1 / np.sqrt(v), cotangent * gain
    dc = r * u - r / v * (c * u).mean(-1, keepdims=True) * c
    return dc - dc.mean(-1, keepdims=True), (cotangent * (r * c)).sum(0), cotangent.sum(0)


def reference(x: Any, gain: Any, bias: Any, cotangent: Any) -> Arrays:
    """Reverse mode over the primal, an operation at a time."""
    c = x - x.mean(-1, keepdims=True)
    v = (c * c).mean(-1, keepdims=True) + EPSILON
    r = v**-0.5
    dunit = cotangent * gain
    dr = (dunit * c).sum(-1, keepdims=True)
    dv = dr * (-0.5 * r / v)
    dc = dunit * r + 2 * c * (dv / x.shape[-1])
    return dc - dc.sum(-1, keepdims=True) / x.shape[-1], (cotangent * (c * r)).sum(0), cotangent.sum(0)


def primal(x: Any, gain: Any, bias: Any) -> Any:
    c = x - x.mean(-1, keepdims=True)
    return gain * (c / np.sqrt((c * c).mean(-1, keepdims=True) + EPSILON)) + bias


def pullback(cotangent: Any, x: Any, gain: Any, bias: Any, mistake: float = 0.0) -> tuple[Any, ...]:
    c = x - x.mean(-1, keepdims=True)
    v = (c * c).mean(-1, keepdims=True) + EPSILON
    r, u = 1 / np.sqrt(v), cotangent * gain
    dc = r * u - (1 + mistake) * (r / v * (c * u).mean(-1, keepdims=True)) * c
    return dc - dc.mean(-1, keepdims=True), (cotangent * (r * c)).sum(0), cotangent.sum(0)


# --- torch ------------------------------------------------------------------------------------------------


def torch_primal(x: Any, gain: Any, bias: Any) -> Any:
    c = x - x.mean(-1, keepdim=True)
    return gain * (c * ((c * c).mean(-1, keepdim=True) + EPSILON).rsqrt()) + bias


def torch_pullback(cotangent: Any, x: Any, gain: Any, bias: Any, mistake: float = 0.0) -> tuple[Any, ...]:
    c = x - x.mean(-1, keepdim=True)
    v = (c * c).mean(-1, keepdim=True) + EPSILON
    r, u = v.rsqrt(), cotangent * gain
    dc = r * u - (1 + mistake) * (r / v * (c * u).mean(-1, keepdim=True)) * c
    return dc - dc.mean(-1, keepdim=True), (cotangent * (r * c)).sum(0), cotangent.sum(0)


LAYER_NORM = Function(
    name="layer_norm",
    title="layer norm VJP",
    term="the projection's, (r / v) mean(c ⊙ u) c",
    dims=("N", "n"),
    wrt=(0, 1, 2),
    claim=_claim(layer_norm_vjp),
    planted=planted,
    values=values,
    hand=hand,
    reference=reference,
    numpy=Form(primal, pullback),
    torch=Form(torch_primal, torch_pullback),
    work="entries",
    entries=lambda n: 2 * n * n + 2 * n,
)
