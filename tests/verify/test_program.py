"""The engine against JAX, over every primitive it knows: one table of small functions and their derivatives.

Each function is traced once, with symbolic sizes where JAX can, together with the gradient of a random
projection of its output; then the translated program must agree with JAX compiled at random sizes, and the
wide program with the midpoints of ball arithmetic, whose radii must be tiny.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flint
import jax
import jax.export
import jax.numpy as jnp
import jax.scipy as jsp
import numpy as np
import pytest
from jax import lax

from tests.share import share
from verify.programs import arithmetic as arithmetics
from verify.programs.arithmetic import Untranslatable, native, wide
from verify.programs.ball import ball
from verify.programs.primitives import RULES
from verify.programs.program import Program, translate


@dataclass(frozen=True)
class Row:
    """A function of arrays: their sizes as words, where values lie, and what of it to check."""

    name: str
    f: Callable[..., Any]
    sizes: tuple[str, ...]
    low: float = -2.0
    high: float = 2.0
    grad: bool = True
    ball: bool = True
    symbolic: bool = True
    spd: bool = False
    slow: bool = False
    tolerance: float = 2e-12
    wide: bool = True  # False: what the function returns depends on the dtype it names

    def shapes(self, dims: dict[str, Any]) -> list[tuple]:
        return [tuple(dims[w] if w.isidentifier() else int(w) for w in s.split()) for s in self.sizes]

    def checked(self, *args: Any) -> Any:
        """The value and the gradient of a fixed projection of it."""
        if not self.grad:
            return self.f(*args)

        def projection(*args: Any) -> Any:
            out = self.f(*args)
            parts = [y for x in jax.tree.leaves(out) if jnp.issubdtype(x.dtype, jnp.inexact)
                     for y in ((x.real, x.imag) if jnp.iscomplexobj(x) else (x,))]
            return sum(jnp.sum(x * x * jnp.asarray(0.75 + 0.5 * i, x.dtype)) for i, x in enumerate(parts)), out

        gradients, out = jax.grad(projection, tuple(range(len(args))), has_aux=True)(*args)
        return out, gradients

    def draw(self, dims: dict[str, int], dtype: Any, seed: int = 0) -> list[np.ndarray]:
        rng = np.random.default_rng([seed, zlib.crc32(self.name.encode())])
        arrays = [rng.uniform(self.low, self.high, s) for s in self.shapes(dims)]
        if self.spd:
            arrays[0] = arrays[0] @ arrays[0].swapaxes(-1, -2) + np.eye(arrays[0].shape[-1])
        return [a.astype(dtype) for a in arrays]


ROWS: dict[str, Row] = {}


def row(name: str, f: Callable[..., Any], *sizes: str, **how: Any) -> None:
    ROWS[name] = Row(name, f, sizes, **how)


def conv(x: Any, k: Any, **how: Any) -> Any:
    return lax.conv_general_dilated(x, k, **{"window_strides": (1, 1), "padding": "SAME", **how})


def scan(f: Callable[..., Any], **how: Any) -> Callable[..., Any]:
    return lambda x: lax.scan(f, x[0], x, **how)


def indices(n: Any, *values: int) -> Any:
    return jnp.asarray(values) % n


@jax.custom_jvp
def cube(x: Any) -> Any:
    return x**3


@jax.custom_vjp
def squared(x: Any) -> Any:
    return x**2


cube.defjvp(lambda primals, tangents: (cube(*primals), 3 * primals[0] ** 2 * tangents[0]))
squared.defvjp(lambda x: (x**2, x), lambda x, g: (2 * x * g,))


def seeded(x: Any, key: Callable[..., Any] = jax.random.PRNGKey) -> Any:
    """A random key that the trace does not know."""
    return key(jnp.round(9 * x.reshape(-1)[0]).astype(jnp.uint32))


for f in (jnp.exp, jnp.exp2, jnp.expm1, jnp.sin, jnp.cos, jnp.tanh, jnp.sinh, jnp.cosh, jnp.arctan,
          jnp.arcsinh, lax.erf,
          lax.erfc, jax.nn.sigmoid, jnp.abs, jnp.square, jnp.cbrt, lax.bessel_i0e, lax.bessel_i1e,
          jnp.negative):
    row(f.__name__, f, "m n")
for f in (jnp.tan, jnp.arcsin, jnp.arccos, jnp.arctanh, lax.erf_inv):
    row(f.__name__, f, "m n", low=-0.9, high=0.9)
for f in (jnp.log, jnp.log1p, jnp.log2, jnp.sqrt, lax.rsqrt, lax.lgamma, lax.digamma, jnp.reciprocal):
    row(f.__name__, f, "m n", low=0.1, high=4.0)
for f in (jnp.sign, jnp.floor, jnp.ceil, jnp.round, lax.round, jnp.trunc, jnp.isfinite, jnp.isnan,
          jnp.signbit):
    row(f.__name__ + "_", f, "m n", grad=False)
for f in (jnp.add, jnp.subtract, jnp.multiply, jnp.divide, jnp.maximum, jnp.minimum, jnp.arctan2,
          jnp.logaddexp):
    row(f.__name__, f, "m n", "n")
row("power", jnp.power, "m n", "n", low=0.2)
row("xlogy", jsp.special.xlogy, "m n", "n", low=0.2)
row("remainder", lambda x, y: (lax.rem(x, y), jnp.remainder(x, y)), "m n", "m n")
row("arccosh", jnp.arccosh, "m n", low=1.1)
row("integer_pow", lambda x: (x**3, x**5, x**-2, x**-3, x**7), "m n", low=0.5)
row("pow_int", lambda x: lax.pow(x, jnp.asarray(3, jnp.int32)), "n")
row("polygamma", lambda x: jsp.special.polygamma(1, x), "n", low=0.5)
row("zeta", lambda x: jsp.special.zeta(3.0, x), "n", low=0.5, grad=False)
row("gammainc", lambda x: (jsp.special.gammainc(1.5, x), jsp.special.gammaincc(1.5, x)), "n", low=0.5)
row("betainc", lambda x: jsp.special.betainc(1.5, 2.5, x), "n", low=0.1, high=0.9)
row("comparisons", lambda x, y: (x < y, x <= y, x > y, x >= y, x == y, x != y), "m n", "n", grad=False)
row("logic", lambda x, y: ((x < y) & (x > 0), (x < y) | (x > 0), (x < y) ^ (x > 0), ~(x < y)), "n", "n",
    grad=False)
row("clip", lambda x: jnp.clip(x, -0.5, 0.7), "m n")
row("where", lambda x, y: jnp.where(x > 0.3, x * y, 0.0), "m n", "n")
row("select_n", lambda x: lax.select_n(jnp.round(jnp.abs(x)).astype(jnp.int32) % 3, x, 2 * x, 3 * x), "n")
row("casts", lambda x: (x.astype(jnp.int32), x > 0, (x > 0).astype(x.dtype),
                        jnp.round(x).astype(jnp.int32).astype(
    x.dtype)), "n", grad=False)
row("nan_to_num", lambda x: jnp.nan_to_num(x / (x - x[0])), "n", ball=False)
row("complex", lambda x,
    y: jnp.abs(jnp.exp(lax.complex(x, y)) * lax.complex(y, -x) + jnp.conj(lax.complex(x, x))),
    "n", "n")
row("complex_parts", lambda x, y: (jnp.real(jnp.sin(lax.complex(x, y))), jnp.angle(lax.complex(x, y)),
                                   jnp.sqrt(
    lax.complex(x, y))), "n", "n", low=0.1)

for name in ("relu", "relu6", "leaky_relu", "elu", "celu", "selu", "log_sigmoid", "hard_sigmoid", "silu",
             "hard_silu",
             "hard_tanh", "softplus", "soft_sign", "gelu", "squareplus", "mish", "sparse_plus",
             "sparse_sigmoid",
             "softmax", "log_softmax", "standardize", "logsumexp"):
    row("nn." + name, getattr(jax.nn, name), "m n", low=-3.0, high=3.0)
row("nn.gelu_exact", functools.partial(jax.nn.gelu, approximate=False), "m n")
row("nn.glu", jax.nn.glu, "m 4")
row("nn.one_hot", lambda x: jax.nn.one_hot(jnp.round(jnp.abs(x)).astype(jnp.int32), 3) @ jnp.ones(3) * x, "n")
row("attention", lambda q, k, v: jax.nn.softmax(q @ k.T / jnp.sqrt(q.shape[-1]).astype(q.dtype)) @ v, "m n",
    "N n",
    "N 3")
row("attention_heads", lambda q, k, v: jax.nn.dot_product_attention(q, k, v), "2 m 2 n", "2 N 2 n", "2 N 2 n",
    symbolic=False, tolerance=1e-6)  # its logits are float32
row("layer_norm", lambda x, g,
    b: (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5) * g + b,
    "m n", "n", "n")
row("norm", lambda x: (jnp.linalg.norm(x), jnp.linalg.norm(x, axis=0)), "m n")
row("ridge", lambda W, X, Y, lam: jnp.sum((Y - W @ X) ** 2) + lam * jnp.sum(W**2), "m n", "n N", "m N", "")

row("matmuls", lambda a, b, v: (a @ b, b.T @ a.T, a @ v, v @ b, jnp.vdot(v, v), jnp.outer(v, v)), "m n",
    "n N", "n")
row("einsum_batch", lambda a, b: jnp.einsum("bij,bjk->bik", a, b), "k m n", "k n N")
row("einsum_mixed", lambda a, b: jnp.einsum("ibj,kjb->bki", a, b), "m k n", "N n k")
row("einsum_last", lambda a, b: jnp.einsum("kmn,nN->kmN", a, b), "k m n", "n N")
row("einsum_two", lambda a, b: jnp.einsum("kmn,Nnk->mN", a, b), "k m n", "N n k")
row("tensordot", lambda a, b: (jnp.tensordot(a, b, 2), jnp.kron(a[0, :, :1], b[:, 0, :1])), "k m n", "m n N")

row("shapes", lambda x: (x.reshape(-1), x.T, x[None], x[:, None, 0], jnp.expand_dims(x, 1), x.ravel()[::-1]),
    "m n")
row("transpose3", lambda x: (x.transpose(2, 0, 1), jnp.swapaxes(x, 0, 1), jnp.moveaxis(x, 0, -1)), "k m n")
row("broadcasts", lambda x, y: (jnp.broadcast_to(y, (x.shape[0], y.shape[0])) @ x.T, x + y[None],
                                jnp.tile(y, 3)),
    "m n", "n")
row("concatenate", lambda x, y: (jnp.concatenate([x, y], 1), jnp.stack([x, x]), jnp.vstack([x, x[:1]])),
    "m n", "m N")
row("slices", lambda x: (x[1:], x[:, ::2], x[::-1, :-1], x[1:3, 1:]), "4 6")
row("slices_symbolic", lambda x: (x[1:], x[::2], x[:-1], x[::-1]), "n")
row("pad", lambda x: (jnp.pad(x, ((1, 2), (0, 1))),
                      lax.pad(x, jnp.asarray(0.5, x.dtype), ((-1, 2, 1), (1, -1, 2))),
                      lax.pad(x, jnp.asarray(0.5, x.dtype), ((-3, -1, 1), (0, 0, 0)))), "3 4")
row("split", lambda x: jnp.split(x, 3), "6 n")
row("unstack", lambda x: jnp.unstack(x * 2), "3 n")
row("roll", lambda x: (jnp.roll(x, 1), jnp.roll(x, -1, 0)), "m n")
row("triangles", lambda x: (jnp.tril(x), jnp.triu(x, 1), jnp.diag(x), jnp.trace(x)), "n n")
row("diag", lambda x: (jnp.diag(x), jnp.eye(x.shape[0]) * x, jnp.arange(x.shape[0]) * x), "n")
row("dynamic_slice", lambda x: (lax.dynamic_slice(x, (1, 3), (2, 2)), lax.dynamic_slice(x, (-7, 9), (2, 3)),
                                lax.dynamic_update_slice(x, 2 * x[:2], (2, 1))), "4 5")
row("index", lambda x: (x[1], x[-1], x[:, 1], x[1, 2], x[jnp.asarray([0, 2, 2])], x[:, jnp.asarray([1, -1])]),
    "4 5")
row("index_symbolic", lambda x: (x[indices(x.shape[0], 0, 5, 5)], x[indices(x.shape[0], 3, 1)][:, None]),
    "n m")
row("index_pairs", lambda x: (x[jnp.asarray([0, 2]), jnp.asarray([1, 1])], x[jnp.asarray([[0], [3]]), 1:3]),
    "4 5")
row("index_fill", lambda x: (x.at[jnp.asarray([0, 7])].get(mode="fill", fill_value=0.5),
                             x.at[jnp.asarray([0, 7])].get(mode="clip"),
                             jnp.take(x, jnp.asarray([1, 9]), mode="wrap")),
    "5")
row("take_along_axis", lambda x: jnp.take_along_axis(x, jnp.argsort(x, 1), 1), "m n")
row("vmap_index", jax.vmap(lambda x: x[jnp.argmax(x)] + lax.dynamic_slice(x, (jnp.argmin(x),), (2,))), "4 5")
row("at_set", lambda x: (x.at[1].set(2.0), x.at[jnp.asarray([0, 3])].set(x[1:3]), x.at[:, 1].set(0.0)), "4 5")
row("at_add", lambda x: (x.at[1].add(2.0), x.at[jnp.asarray([0, 0, 2])].add(x[1:4]),
                         x.at[jnp.asarray([1, 9])].add(1.0)),
    "4 5")
row("at_mul", lambda x: x.at[jnp.asarray([0, 2])].multiply(x[1:3], unique_indices=True), "4 5")
row("at_extremes", lambda x: (x.at[jnp.asarray([0, 2])].max(0.3), x.at[jnp.asarray([0, 0])].min(0.1)), "4 5",
    grad=False)
row("segment_sum", lambda x: jax.ops.segment_sum(x, jnp.asarray([0, 0, 2, 1]), 3), "4 n")

row("sums", lambda x: (x.sum(), x.sum(0), x.sum((0, 2)), x.mean(), x.mean(1), x.var(), x.std(2)), "k m n")
row("products", lambda x: (jnp.prod(x), jnp.prod(x, 1)), "3 4", symbolic=False)
row("products_symbolic", lambda x: (jnp.prod(x), jnp.prod(x, 1)), "m n", grad=False)
row("extremes", lambda x: (x.max(), x.min(1), jnp.ptp(x, 0), jnp.argmax(x), jnp.argmin(x, 1)), "m n")
row("any_all", lambda x: ((x > 0).any(), (x > 0).all(0), (x > 0).sum(), jnp.count_nonzero(x > 1, axis=1)),
    "m n",
    grad=False)
row("cumulative", lambda x: (jnp.cumsum(x), jnp.cumsum(x, 1), jnp.cumprod(x, 0), lax.cummax(x, 1),
                             lax.cummin(x, 0),
                             lax.cumlogsumexp(x, 1), lax.cumsum(x, 0, reverse=True)), "4 5")
row("cumulative_symbolic", lambda x: (jnp.cumsum(x, 1), lax.cummax(x)), "m n", grad=False)
row("sort", lambda x: (jnp.sort(x), jnp.sort(x, 0)[::-1], jnp.argsort(x), jnp.median(x, 0)), "4 5")
row("sort_symbolic", lambda x: (jnp.sort(x), jnp.argsort(x, 0)), "m n", grad=False)
row("sort_pairs", lambda x, y: lax.sort((jnp.round(x), y, x), num_keys=2), "m n", "m n")
row("top_k", lambda x: lax.top_k(x, 2), "m 5")
row("quantile", lambda x: jnp.quantile(x, 0.3), "7")
row("reduce", lambda x: lax.reduce(x, jnp.zeros((), x.dtype), lambda a, b: a + 2 * b, (1,)), "3 4",
    grad=False)
row("convolve", lambda x, y: jnp.convolve(x, y), "7", "3")

row("conv", conv, "2 3 7 6", "4 3 3 2")
row("conv_strides", functools.partial(conv, window_strides=(2, 1), padding=((1, 2), (0, 3)),
                                      lhs_dilation=(1, 2),
                                      rhs_dilation=(2, 1)), "2 3 7 6", "4 3 3 2")
row("conv_groups", functools.partial(conv, feature_group_count=2), "2 4 5 6", "6 2 3 2")
row("conv_batch_groups", functools.partial(conv, batch_group_count=2), "4 3 5 6", "6 3 3 2")
row("conv_nhwc", functools.partial(conv, dimension_numbers=("NHWC", "HWIO", "NHWC")), "k 6 5 3", "3 3 3 4")
row("conv_transpose", lambda x, k: lax.conv_transpose(x, k, (2, 2), "SAME"), "2 5 4 3", "3 3 3 4")
row("max_pool", lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 3), (1, 2, 1), "SAME"), "k 6 5")
row("avg_pool", lambda x: lax.reduce_window(x, 0.0, lax.add, (1, 2, 2), (1, 1, 2), "VALID"), "k 6 5")
row("min_pool", lambda x: lax.reduce_window(x, jnp.inf, lax.min, (2, 2), (2, 2), ((0, 1), (1, 0))), "5 6",
    grad=False)
row("pool_tangent",
    lambda x: jax.jvp(lambda y: lax.reduce_window(y, -jnp.inf, lax.max, (2, 2), (1, 1), "VALID"), (x,),
                                      (2 * x,)), "5 6", grad=False)
row("fold_window", lambda x: lax.reduce_window(x, 0.0, lambda a, b: a + 2 * b, (2, 2), (1, 1), "VALID"),
    "4 5",
    grad=False)
row("resize", lambda x: jax.image.resize(x, (6, 7), "bilinear"), "3 4")

row("scan", scan(lambda c, x: (jnp.tanh(c * x), c + x)), "N n")
row("scan_reverse", scan(lambda c, x: (c * 0.5 + x, (c, x * c)), reverse=True), "N n")
row("fori", lambda x: lax.fori_loop(0, 3, lambda i, c: jnp.sin(c) * (i + 1), x), "n")
row("while", lambda x: lax.while_loop(lambda c: c[0] < 4, lambda c: (c[0] + 1, c[1] * 1.5), (0, x)), "n",
    grad=False)
row("while_data", lambda x: lax.while_loop(lambda c: jnp.sum(c) < 90.0, lambda c: c * 1.5 + 1, x), "n",
    grad=False)
row("cond", lambda x: lax.cond(x[0] > 0, lambda x: x * 2, lambda x: jnp.sin(x), x), "n")
row("switch", lambda x: lax.switch(jnp.round(jnp.abs(x[0])).astype(jnp.int32), [jnp.sin, jnp.cos, jnp.exp],
                                   x), "n")
row("associative_scan", lambda x: lax.associative_scan(jnp.multiply, x), "5 n")
row("map", lambda x: lax.map(lambda r: jnp.sum(r**2), x), "m n")
row("checkpoint", jax.checkpoint(lambda x: jnp.sin(jnp.exp(x))), "n")
row("stop_gradient", lambda x: x * lax.stop_gradient(jnp.exp(x)), "n")
row("hessian", lambda x: jax.hessian(lambda x: jnp.sum(jnp.tanh(x) ** 2) + jnp.prod(x))(x), "4", grad=False)
row("jacobians", lambda x: (jax.jacfwd(jnp.cumsum)(x), jax.jacrev(lambda x: jnp.sin(x) * x[0])(x)), "4",
    grad=False)
row("hvp", lambda x, v: jax.jvp(jax.grad(lambda x: jnp.sum(jnp.exp(x) * x[::-1])), (x,), (v,))[1], "n", "n")
row("gather_pick",
    lambda x: jnp.sum(jnp.take_along_axis(jax.nn.log_softmax(x), indices(x.shape[1], 0, 3, 1)[:, None], 1)),
    "3 n")

row("solve", jnp.linalg.solve, "n n", "n m", spd=True)
row("solve_batch", jnp.linalg.solve, "k n n", "k n m", spd=True)
row("inv", jnp.linalg.inv, "n n", spd=True)
row("det", lambda a: (jnp.linalg.det(a), *jnp.linalg.slogdet(a)), "n n", spd=True)
row("cholesky", jnp.linalg.cholesky, "n n", spd=True)
row("cho_solve", lambda a, b: jsp.linalg.cho_solve(jsp.linalg.cho_factor(a), b), "4 4", "4 3", spd=True)
row("triangular", lambda a, b: (jsp.linalg.solve_triangular(a, b, lower=True), jsp.linalg.solve_triangular(
    a, b, trans=1), jsp.linalg.solve_triangular(a, b, unit_diagonal=True)), "4 4", "4 3", spd=True)
row("qr", jnp.linalg.qr, "5 3")
row("eigh", lambda a: (jnp.linalg.eigvalsh(a), jnp.abs(jnp.linalg.eigh(a)[1])), "n n", spd=True, ball=False)
row("svd", lambda a: jnp.linalg.svd(a, compute_uv=False), "4 3", ball=False)
row("pinv", jnp.linalg.pinv, "4 3", ball=False)
row("expm", jsp.linalg.expm, "3 3", symbolic=False, grad=False, ball=False)
row("matrix_power", lambda a: jnp.linalg.matrix_power(a, 3), "n n")
row("cross", lambda a, b: jnp.cross(a, b), "m 3", "m 3")
row("integers", lambda x: tuple(f(jnp.round(9 * x).astype(jnp.int32), jnp.asarray(4, jnp.int32)) for f in (
    jnp.floor_divide, jnp.remainder, lax.div, lax.rem, lax.shift_left, lax.shift_right_arithmetic,
    lax.shift_right_logical, jnp.power)), "n", grad=False)
row("bits",
    lambda x: tuple(f(jnp.round(abs(9 * x)).astype(jnp.int32)) for f in (lax.population_count, lax.clz)), "n",
    grad=False)
row("random", lambda x: x * jax.random.normal(seeded(x), (4,), x.dtype), "4")
row("random_key",
    lambda x: x * jax.random.uniform(jax.random.fold_in(jax.random.split(seeded(x, jax.random.key), 3)[1], 2),
                                                   x.shape, x.dtype), "2 4")
row("random_keys", lambda x: jax.vmap(lambda k, r: jax.random.permutation(k, r))(
    jax.random.split(seeded(x, jax.random.key), 2), x), "2 4")
row("dropout", lambda x: jnp.where(jax.random.bernoulli(seeded(x), 0.5, x.shape), x / 0.5, 0), "2 4")
row("categorical", lambda x: jax.random.categorical(seeded(x), x, shape=(3,)), "4", grad=False)
row("gamma", lambda x: jax.random.gamma(jax.random.key(0), x), "3", low=0.5, grad=False, ball=False,
    slow=True)
row("callback", lambda x: jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x), "4",
    grad=False,
    ball=False)
row("barriers", lambda x: lax.optimization_barrier((x * 2, jnp.sin(x)))[1] * lax.reciprocal(x), "n")
row("reduce_precision", lambda x: lax.reduce_precision(x, 8, 7) - lax.reduce_precision(1e6 * x, 5, 10), "n",
    grad=False,
    ball=False, wide=False)
row("nextafter", lambda x: jnp.nextafter(x, 2 * x), "n", grad=False, ball=False)
row("at_subtract", lambda x: (x.at[jnp.asarray([0, 0])].subtract(x[1:3]), x.at[1].divide(2.0)), "4 5")
row("vmap_scatter", jax.vmap(lambda x: x.at[jnp.argmax(x)].add(x[0])), "4 5")
row("vmap_cond", jax.vmap(lambda x: lax.cond(x[0] > 0, jnp.sin, jnp.cos, x)), "m 3")
row("vmap_while", jax.vmap(lambda x: lax.while_loop(lambda c: jnp.sum(c) < 9.0, lambda c: c * 1.5 + 1, x)),
    "m 3",
    grad=False)
row("vmap_solve", jax.vmap(jnp.linalg.solve), "2 3 3", "2 3", spd=True)
row("vmap_cholesky",
    jax.vmap(lambda a: jsp.linalg.solve_triangular(jnp.linalg.cholesky(a), a[0], lower=True)), "2 3 3",
    spd=True)
row("eig", lambda a: jnp.sort(jnp.abs(jnp.linalg.eigvals(a))), "3 3", grad=False, ball=False)
row("tridiagonal_solve", lambda d, b: lax.linalg.tridiagonal_solve(0.1 * d, d, 0.1 * d, b), "4", "4 2",
    low=0.5,
    ball=False)
row("ragged_dot", lambda x, w: lax.ragged_dot(x, w, jnp.asarray([1, 3], jnp.int32)), "4 3", "2 3 5",
    ball=False)
row("lstsq", lambda a, b: jnp.linalg.lstsq(a, b)[0], "4 2", "4", ball=False, grad=False)
row("norms", lambda a: (jnp.linalg.norm(a, 2), jnp.linalg.norm(a, "nuc"), jnp.linalg.norm(a, 1)), "4 3",
    ball=False)
row("interp", lambda x: jnp.interp(x, jnp.linspace(-2, 2, 5), jnp.arange(5.0) ** 2), "n")
row("searchsorted", lambda x: jnp.searchsorted(jnp.linspace(-2, 2, 5), x), "4", grad=False)
row("nonzero", lambda x: (jnp.nonzero(x > 0, size=3)[0], jnp.unique(jnp.round(x), size=3)), "5", grad=False)
row("histogram", lambda x: jnp.bincount(jnp.round(abs(x)).astype(jnp.int32), x, length=4), "5")
row("polyval", lambda p, x: jnp.polyval(p, x), "4", "n")
row("polyval_long", lambda p, x: jnp.polyval(p, x), "12", "n", low=-1.0, high=1.0)
row("polyval_columns", lambda p, x: jnp.polyval(p, x), "3 n", "n")
row("erf_curvature", jax.grad(lambda x: jnp.sum(lax.erf(x) + lax.erfc(x / 2))), "n")
row("covariance", jnp.cov, "3 5")
row("correlation", jnp.corrcoef, "3 5", ball=False)  # clipped at 1, which its diagonal only touches
row("numpy_misc", lambda x, y: (jnp.hypot(x, y), jnp.sinc(x), jnp.logaddexp2(x, y), jnp.heaviside(x, y),
                                jnp.copysign(
    x, y), jnp.float_power(2.0, x), jnp.deg2rad(x), jnp.modf(x)[0], jnp.fmod(x, y)), "n", "n", low=0.3)
row("special_misc", lambda x: (jsp.special.entr(x), jsp.special.ndtr(x), jsp.special.log_ndtr(x),
                               jsp.special.ndtri(x / 3),
                               jsp.special.i0(x), jsp.special.i1(x), jsp.special.logit(x / 3),
                               jsp.special.beta(x, 2.0),
                               jsp.special.multigammaln(x + 2, 2)), "n", low=0.2,
    grad=False)
row("stats", lambda x: (jsp.stats.norm.logpdf(x), jsp.stats.t.logpdf(x, 3.0), jsp.stats.gamma.logpdf(x, 2.0)),
    "n", low=0.2)
row("custom_rules", lambda x: cube(x) * squared(x), "n")
row("cg", lambda a, b: jsp.sparse.linalg.cg(lambda x: a @ x, b, maxiter=50)[0], "3 3", "3", spd=True,
    ball=False,
    grad=False)
row("custom_root", lambda x: lax.custom_root(lambda y: y**3 - x, jnp.ones_like(x), lambda f, y: lax.fori_loop(
    0, 30, lambda _, z: z - f(z) / (3 * z**2), y), lambda g, y: y / g(jnp.ones_like(y))), "", low=0.5)
row("linearize", lambda x: jax.linearize(lambda x: jnp.sum(jnp.sin(x) ** 2), x)[1](x), "n")
row("vjp_inside", lambda x: jax.vjp(lambda x: jnp.tanh(x) * x, x)[1](jnp.cos(x))[0], "n")
row("linear_transpose", lambda x: jax.linear_transpose(lambda y: y @ jnp.ones((4, 2)),
                                                       jnp.zeros((3, 4)))(x)[0], "3 2")
row("mixed_precision", lambda x, w: jnp.matmul(x.astype(jnp.bfloat16), w.astype(jnp.bfloat16),
                                               preferred_element_type=jnp.float32).astype(x.dtype), "m n",
                                               "n N",
    wide=False, ball=False)
row("blocks", lambda x: (jnp.block([[x, x], [x, 2 * x]]), jnp.repeat(x, 2, 0), jnp.rot90(x),
                         jnp.meshgrid(x[0], x[1])),
    "3 3")
row("argsort_descending", lambda x: (jnp.argsort(x, descending=True), jnp.sort(x, descending=True)), "5",
    grad=False)
row("approx_top_k", lambda x: lax.approx_max_k(x, 2), "5", grad=False, ball=False)
row("masked_softmax", lambda x: jnp.cumsum(jax.nn.softmax(x, where=x > -1)), "5")
row("fft", lambda x: (jnp.fft.fft(x), jnp.fft.ifft(x), jnp.fft.rfft(x), jnp.fft.irfft(jnp.fft.rfft(x), 5)), "5")
row("fft2", lambda x: (jnp.fft.fft2(x), jnp.fft.rfft2(x), jnp.fft.irfft2(jnp.fft.rfft2(x))), "3 4")


SIZES = [{"k": 2, "m": 3, "n": 4, "N": 5}, {"k": 3, "m": 1, "n": 2, "N": 7}]
UNOPTIMISED = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
LOW = ("float32", "bfloat16", "float16")
IN_LOW_PRECISION = (
    "tanh", "erf_inv", "integer_pow", "nn.gelu", "nn.softmax", "layer_norm", "ridge", "einsum_two", "at_add",
    "sort",
    "conv", "avg_pool", "scan", "casts",
)


def size_of(row: Row) -> int:
    return 1 if row.symbolic else 0


@functools.cache
def traced(name: str, dtype: str) -> Program:
    """The translated program, of symbolic sizes where JAX can trace them."""
    row = ROWS[name]
    dims: dict[str, Any] = dict(SIZES[0])
    if row.symbolic:
        dims = dict(zip("kmnN", jax.export.symbolic_shape("k, m, n, N"), strict=True))
    specs = [jax.ShapeDtypeStruct(s, dtype) for s in row.shapes(dims)]
    with jax.enable_x64(True):
        return translate(jax.make_jaxpr(row.checked)(*specs))


def run(name: str, arithmetic: Any, dtype: str = "float64", program: Program | None = None) -> tuple[Any,
                                                                                                     ...]:
    row = ROWS[name]
    dims = SIZES[size_of(row)]
    return (program or traced(name, dtype)).link(arithmetic)(dims, row.draw(dims, jnp.dtype(dtype)))


@functools.cache
def expected(name: str, dtype: str = "float64") -> list[np.ndarray]:
    row = ROWS[name]
    with jax.enable_x64(True):
        inputs = [jnp.asarray(a) for a in row.draw(SIZES[size_of(row)], jnp.dtype(dtype))]
        return [np.asarray(x) for x in jax.tree.leaves(jax.jit(row.checked, compiler_options=UNOPTIMISED)(*inputs))]


def error(got: Any, want: Any) -> float:
    """The largest difference, relative to the largest entry; infinite if finiteness differs."""
    kind = np.complex128 if np.iscomplexobj(want) else np.float64
    got, want = np.asarray(got).astype(kind), np.asarray(want).astype(kind)
    with np.errstate(invalid="ignore"):
        finite = np.isfinite(want)
        same = np.array_equal(got[~finite], want[~finite], equal_nan=True)
    scale = np.max(np.abs(want[finite]), initial=1e-30)
    return float(np.max(np.abs(got[finite] - want[finite]), initial=0) / scale) if same else np.inf


def is_inexact(x: np.ndarray) -> bool:
    return x.dtype.kind not in "iub"


def assert_agrees(name: str, got: tuple[Any, ...]) -> None:
    want = expected(name)
    assert len(got) == len(want)
    for g, w in zip(got, want, strict=True):
        assert (g.shape, g.dtype) == (w.shape, w.dtype)
        if is_inexact(w):
            assert error(g, w) <= ROWS[name].tolerance
        else:
            np.testing.assert_array_equal(g, w)


@pytest.mark.parametrize("name", share(2, ROWS))
def test_native_float64_agrees_with_jax(name: str) -> None:
    assert_agrees(name, run(name, native()))


@pytest.mark.parametrize("name", share(6, [n for n, r in ROWS.items() if r.wide and r.ball]))
def test_wide_agrees_with_balls(name: str) -> None:
    widened, enclosed = run(name, wide()), run(name, ball(192))
    for w, b in zip(widened, enclosed, strict=True):
        assert w.shape == b.shape
        if b.dtype != object:
            np.testing.assert_array_equal(w, b)
            continue
        middles, radii = midpoints(b)
        assert error(w, middles) <= ROWS[name].tolerance
        assert np.all(radii <= 1e-40 * (1 + np.abs(middles)))


def midpoints(balls: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    middles = [complex(x.mid()) if isinstance(x, flint.acb) else float(x.mid()) for x in balls.flat]
    assert all(isinstance(x, (flint.arb, flint.acb)) for x in balls.flat)
    return np.reshape(middles, balls.shape), np.reshape([float(x.rad()) for x in balls.flat], balls.shape)


@pytest.mark.parametrize("name", share(6, [n for n, r in ROWS.items() if r.wide]))
def test_long_doubles_agree_with_doubles(name: str) -> None:
    try:
        longer = run(name, wide(np.longdouble))
    except Untranslatable:
        pytest.skip("an operation that NumPy and SciPy have in float64 only")
    for w, x in zip(run(name, wide()), longer, strict=True):
        assert x.dtype == np.result_type(w.dtype, np.longdouble) if is_inexact(w) else x.dtype == w.dtype
        assert error(w, x) <= ROWS[name].tolerance


@pytest.mark.parametrize("dtype", LOW)
@pytest.mark.parametrize("name", IN_LOW_PRECISION)
def test_low_precision_is_as_good_as_jax(name: str, dtype: str) -> None:
    """Within a few roundings of JAX, or no further from the truth than JAX is."""
    eps = float(jnp.finfo(dtype).eps)
    for g, w, t in zip(run(name, native(), dtype), expected(name, dtype), run(name, wide(), dtype),
                       strict=True):
        assert (g.shape, g.dtype) == (w.shape, w.dtype)
        if is_inexact(w):
            assert error(g, w) <= 3 * eps or error(g, t) <= 2 * error(w, t) + 4 * eps
        else:
            np.testing.assert_array_equal(g, w)


@pytest.mark.parametrize("name", share(3, [n for n, r in ROWS.items() if r.wide and not r.slow][::3]))
def test_every_output_has_its_dtype(name: str) -> None:
    try:
        program = traced(name, "bfloat16")
        outputs = run(name, native(), "bfloat16")
    except (TypeError, ValueError, NotImplementedError, KeyError, Untranslatable):
        pytest.skip("not in this dtype, in JAX either")
    declared = [key[1] for key in program.operations.values() if key[0] == "output"]
    assert {arithmetics.dtype_name(x.dtype) for x in outputs} == set(declared)


# -- planted faults: a broken operation must be seen --------------------------------------------------
@pytest.mark.parametrize("name, broken, by", [
    ("tanh", "tanh", np.sinh), ("nn.softmax", "exp", np.exp2), ("layer_norm", "sqrt", np.cbrt),
    ("sums", "reduce_sum", np.maximum.reduce), ("cumulative", "cumsum", np.maximum.accumulate),
    ("extremes", "argmax", lambda x, axis: np.argmin(x, axis)), ("divide", "div", np.multiply),
])
def test_a_broken_operation_is_seen(name: str, broken: str, by: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(arithmetics.FLOAT, broken, by)
    with pytest.raises(AssertionError):
        assert_agrees(name, run(name, native()))


@pytest.mark.parametrize("name, broken, by", [
    ("transpose3", "transpose", lambda s: f"{s[0]}.transpose(0, 1, 2).reshape({s.src(s.out_shape)})"),
    ("slices_symbolic", "slice", lambda s: f"{s[0]}[:{s.src(s.out_shape[0])}]"),
    ("matmuls", "dot_general", lambda s: f"reshape(0.0, (1,)*{len(s.out_shape)}) + broadcast({s[0]}.sum(), "
                                         f"{s.src(s.out_shape)})"),
    ("at_add", "scatter-add", lambda s: s[0]), ("max_pool", "select_and_scatter_add", lambda s: s[1]),
    ("concatenate", "concatenate",
     lambda s: f"concatenate(({', '.join(s.all[::-1])},), {s.params['dimension']})"),
    ("integer_pow", "integer_pow", lambda s: s.call("square", s[0])),
])
def test_a_broken_rule_is_seen(name: str, broken: str, by: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, broken, by)
    row = ROWS[name]
    with jax.enable_x64(True):
        specs = [jax.ShapeDtypeStruct(s, "float64") for s in row.shapes(SIZES[size_of(row)])]
        program = translate(jax.make_jaxpr(row.checked)(*specs))
    with pytest.raises(AssertionError):
        assert_agrees(name, run(name, native(), program=program))


# -- what the program is ------------------------------------------------------------------------------
def program_of(f: Callable[..., Any], *shapes: str, dtype: str = "float32") -> Program:
    scope = jax.export.SymbolicScope()
    with jax.enable_x64(dtype == "float64"):
        specs = [jax.ShapeDtypeStruct(jax.export.symbolic_shape(s, scope=scope), dtype) for s in shapes]
        return translate(jax.make_jaxpr(f)(*specs))


def test_the_source_of_ridge_is_what_one_would_write() -> None:
    program = program_of(jax.grad(ROWS["ridge"].f), "m, n", "n, N", "m, N", "")
    lines = [line.strip() for line in program.source.splitlines() if "matmul" in line]
    assert program.dims == ("m", "n", "N")
    assert len(lines) == 2 and lines[1].endswith(".T)")
    assert "broadcast" not in program.source and "dims[" not in program.source


def test_sizes_are_expressions_of_dimensions() -> None:
    program = program_of(lambda x: (x.reshape(-1).mean(), x[1:, : x.shape[1] // 2],
                                    jnp.zeros(x.shape[0] - 1)), "m, n")
    mean, part, zeros = program.link(native())({"m": 3, "n": 5}, [np.arange(15.0).reshape(3, 5)])
    assert (mean, part.shape, zeros.shape) == (7.0, (2, 2), (2,))


def test_a_dimension_may_be_called_anything() -> None:
    program = program_of(lambda x: (jnp.sum(x * 2 + x.shape[0]), jnp.broadcast_to(x[:1], (3, *x.shape[1:]))),
                         "add, v1", dtype="float64")
    total, rows = program.link(native())({"add": 2, "v1": 3}, [np.ones((2, 3))])
    assert total == 24 and rows.shape == (3, 3)


def test_the_slope_of_erf_is_exact_in_balls() -> None:
    """However JAX splits and clamps its exp(-x²), for the range of the type that it has."""
    program = program_of(jax.grad(lambda x: jnp.sum(lax.erf(x))), "n")
    x = np.asarray([0.5, -3.0, 30.0, np.inf], np.float32)
    (enclosures,) = program.link(ball(192))({"n": 4}, [x])
    two_over_root = float(np.float32(2 / np.sqrt(np.pi)))  # the program's own literal
    with flint.ctx.workprec(192):
        for enclosure, value in zip(enclosures[:3], x, strict=False):
            slope = flint.arb(two_over_root) * (-(flint.arb(float(value)) ** 2)).exp()
            assert abs(enclosure / slope - 1) < 1e-40
    assert enclosures[3] == 0
    (native_slope,) = program.link(native())({"n": 4}, [x])
    np.testing.assert_array_max_ulp(native_slope, [float(e.mid()) for e in enclosures], 1, np.float32)


def test_a_function_of_the_user_may_be_called_as_one_of_jax() -> None:
    @jax.custom_jvp
    def exp_neg_sq(x: Any) -> Any:
        return 2 * x

    exp_neg_sq.defjvp(lambda primals, tangents: (exp_neg_sq(*primals), 2 * tangents[0]))
    (doubled,) = program_of(exp_neg_sq, "n").link(native())({"n": 1}, [np.ones(1, np.float32)])
    assert doubled == 2


def test_dead_code_is_dropped_even_if_untranslatable() -> None:
    def f(x: Any) -> Any:
        lax.linalg.schur(x[:, None] * x)
        return x + 1
    assert "schur" not in program_of(f, "n").source


def test_what_no_rule_covers_says_so() -> None:
    with pytest.raises(Untranslatable) as raised:
        translate(jax.make_jaxpr(lambda x: lax.psum(x, "i"), axis_env=[("i", 2)])(1.0))
    assert raised.value.primitive in ("psum", "psum_invariant")
    with pytest.raises(Untranslatable, match="eigh"):
        program_of(jnp.linalg.eigh, "n, n").link(ball())


def test_wide_arithmetic_ignores_casts_and_native_honours_them() -> None:
    program = program_of(lambda x: x.astype(jnp.bfloat16).astype(jnp.float32) * 3, "n")
    x = np.asarray([1 / 3])
    assert program.link(wide())({"n": 1}, [x])[0] == x * 3
    assert program.link(native())({"n": 1}, [x])[0] == np.float32(0.333984375) * 3
    assert program.link(wide(np.longdouble))({"n": 1}, [x])[0].dtype == np.longdouble


def test_integers_wrap_truncate_and_saturate_as_in_xla() -> None:
    program = program_of(lambda x: (x.astype(jnp.int8), x.astype(jnp.uint8), x.astype(jnp.int32)), "n")
    x = np.asarray([-1.7, 3.9, 300.0, -300.0, np.nan, np.inf, 3e9], np.float32)
    want = jax.jit(lambda x: (x.astype(jnp.int8), x.astype(jnp.uint8), x.astype(jnp.int32)))(x)
    for g, w in zip(program.link(native())({"n": 7}, [x]), want, strict=True):
        np.testing.assert_array_equal(g, w)


def test_products_round_their_operands_as_a_device_would() -> None:
    program = program_of(lambda a, b: a @ b, "n", "n")
    a, b = np.asarray([1 + 2**-9]), np.asarray([1.0])
    products = [program.link(native(how))({"n": 1}, [a, b])[0] for how in (None, "tf32", "bfloat16")]
    assert [float(p) for p in products] == [1 + 2**-9, 1 + 2**-9, 1.0]
    with jax.default_matmul_precision("highest"):
        exact = program_of(lambda a, b: a @ b, "n", "n")
    assert exact.link(native("bfloat16"))({"n": 1}, [a, b])[0] == 1 + 2**-9


def test_one_program_runs_in_every_arithmetic() -> None:
    program = program_of(lambda x: jnp.sum(jnp.exp(x) / 3), "n")
    x = np.asarray([0.5, -1.25], np.float32)
    exact = np.sum(np.exp(x.astype(np.longdouble)) / 3)
    for arithmetic, digits in ((native(), 1e-6), (wide(), 1e-15), (wide(np.longdouble), 1e-18)):
        assert abs(program.link(arithmetic)({"n": 2}, [x])[0] - exact) < digits
    (enclosure,) = program.link(ball(128))({"n": 2}, [x])
    assert abs(float(enclosure[()].mid()) - exact) < 1e-15 and enclosure[()].rad() < 1e-30
