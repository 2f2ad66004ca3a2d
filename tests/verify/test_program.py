"""The engine against JAX, over every primitive it knows: one table of small functions and their derivatives.

Each function is traced once, with symbolic sizes where JAX can, together with the gradient of a random projection of
its output; then the translated program must agree with JAX compiled at random sizes, and the wide program with the
midpoints of ball arithmetic, whose radii must be tiny.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy as jsp
import numpy as np
import pytest
from jax import lax

from verify import arithmetic as arithmetics
from verify.arithmetic import Undecided, Untranslatable, native, wide
from verify.ball import ball
from verify.program import translate


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

    def shapes(self, dims: dict[str, Any]) -> list[tuple]:
        return [tuple(dims[w] if w.isidentifier() else int(w) for w in s.split()) for s in self.sizes]

    def checked(self, *args: Any) -> Any:
        """The value and the gradient of a fixed projection of it."""
        if not self.grad:
            return self.f(*args)

        def projection(*args: Any) -> Any:
            leaves = [x for x in jax.tree.leaves(self.f(*args)) if jnp.issubdtype(x.dtype, jnp.inexact)]
            return sum(jnp.sum(jnp.real(x) * jnp.asarray(0.75 + 0.5 * i, jnp.real(x).dtype) * jnp.real(x))
                       + jnp.sum(jnp.imag(x)) for i, x in enumerate(leaves))
        return self.f(*args), jax.grad(projection, tuple(range(len(args))))(*args)

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


for f in (jnp.exp, jnp.exp2, jnp.expm1, jnp.sin, jnp.cos, jnp.tanh, jnp.sinh, jnp.cosh, jnp.arctan, jnp.arcsinh, lax.erf,
          lax.erfc, jax.nn.sigmoid, jnp.abs, jnp.square, jnp.cbrt, lax.bessel_i0e, lax.bessel_i1e, jnp.negative):
    row(f.__name__, f, "m n")
for f in (jnp.tan, jnp.arcsin, jnp.arccos, jnp.arctanh, lax.erf_inv):
    row(f.__name__, f, "m n", low=-0.9, high=0.9)
for f in (jnp.log, jnp.log1p, jnp.sqrt, lax.rsqrt, lax.lgamma, lax.digamma, jnp.reciprocal):
    row(f.__name__, f, "m n", low=0.1, high=4.0)
for f in (jnp.sign, jnp.floor, jnp.ceil, jnp.round, lax.round, jnp.trunc, jnp.isfinite, jnp.isnan, jnp.signbit):
    row(f.__name__ + "_", f, "m n", grad=False, ball=f is not jnp.signbit)
for f in (jnp.add, jnp.subtract, jnp.multiply, jnp.divide, jnp.maximum, jnp.minimum, jnp.arctan2, jnp.logaddexp):
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
row("logic", lambda x, y: ((x < y) & (x > 0), (x < y) | (x > 0), (x < y) ^ (x > 0), ~(x < y)), "n", "n", grad=False)
row("clip", lambda x: jnp.clip(x, -0.5, 0.7), "m n")
row("where", lambda x, y: jnp.where(x > 0.3, x * y, 0.0), "m n", "n")
row("select_n", lambda x: lax.select_n(jnp.round(jnp.abs(x)).astype(jnp.int32) % 3, x, 2 * x, 3 * x), "n")
row("casts", lambda x: (x.astype(jnp.int32), x > 0, (x > 0).astype(x.dtype), jnp.round(x).astype(jnp.int32).astype(
    x.dtype)), "n", grad=False)
row("nan_to_num", lambda x: jnp.nan_to_num(x / (x - x[0])), "n", ball=False)
row("complex", lambda x, y: jnp.abs(jnp.exp(lax.complex(x, y)) * lax.complex(y, -x) + jnp.conj(lax.complex(x, x))),
    "n", "n")
row("complex_parts", lambda x, y: (jnp.real(jnp.sin(lax.complex(x, y))), jnp.angle(lax.complex(x, y)), jnp.sqrt(
    lax.complex(x, y))), "n", "n", low=0.1)

for name in ("relu", "relu6", "leaky_relu", "elu", "celu", "selu", "log_sigmoid", "hard_sigmoid", "silu", "hard_silu",
             "hard_tanh", "softplus", "soft_sign", "gelu", "squareplus", "mish", "sparse_plus", "sparse_sigmoid",
             "softmax", "log_softmax", "standardize", "logsumexp"):
    row("nn." + name, getattr(jax.nn, name), "m n", low=-3.0, high=3.0)
row("nn.gelu_exact", functools.partial(jax.nn.gelu, approximate=False), "m n")
row("nn.glu", jax.nn.glu, "m 4")
row("nn.one_hot", lambda x: jax.nn.one_hot(jnp.round(jnp.abs(x)).astype(jnp.int32), 3) @ jnp.ones(3) * x, "n")
row("attention", lambda q, k, v: jax.nn.softmax(q @ k.T / jnp.sqrt(q.shape[-1]).astype(q.dtype)) @ v, "m n", "N n",
    "N 3")
row("attention_heads", lambda q, k, v: jax.nn.dot_product_attention(q, k, v), "2 m 2 n", "2 N 2 n", "2 N 2 n",
    symbolic=False)
row("layer_norm", lambda x, g, b: (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5) * g + b,
    "m n", "n", "n")
row("norm", lambda x: (jnp.linalg.norm(x), jnp.linalg.norm(x, axis=0)), "m n")
row("ridge", lambda W, X, Y, lam: jnp.sum((Y - W @ X) ** 2) + lam * jnp.sum(W**2), "m n", "n N", "m N", "")

row("matmuls", lambda a, b, v: (a @ b, b.T @ a.T, a @ v, v @ b, jnp.vdot(v, v), jnp.outer(v, v)), "m n", "n N", "n")
row("einsum_batch", lambda a, b: jnp.einsum("bij,bjk->bik", a, b), "k m n", "k n N")
row("einsum_mixed", lambda a, b: jnp.einsum("ibj,kjb->bki", a, b), "m k n", "N n k")
row("einsum_last", lambda a, b: jnp.einsum("kmn,nN->kmN", a, b), "k m n", "n N")
row("einsum_two", lambda a, b: jnp.einsum("kmn,Nnk->mN", a, b), "k m n", "N n k")
row("tensordot", lambda a, b: (jnp.tensordot(a, b, 2), jnp.kron(a[0, :, :1], b[:, 0, :1])), "k m n", "m n N")

row("shapes", lambda x: (x.reshape(-1), x.T, x[None], x[:, None, 0], jnp.expand_dims(x, 1), x.ravel()[::-1]), "m n")
row("transpose3", lambda x: (x.transpose(2, 0, 1), jnp.swapaxes(x, 0, 1), jnp.moveaxis(x, 0, -1)), "k m n")
row("broadcasts", lambda x, y: (jnp.broadcast_to(y, (x.shape[0], y.shape[0])) @ x.T, x + y[None], jnp.tile(y, 3)),
    "m n", "n")
row("concatenate", lambda x, y: (jnp.concatenate([x, y], 1), jnp.stack([x, x]), jnp.vstack([x, x[:1]])), "m n", "m N")
row("slices", lambda x: (x[1:], x[:, ::2], x[::-1, :-1], x[1:3, 1:]), "4 6")
row("slices_symbolic", lambda x: (x[1:], x[::2], x[:-1], x[::-1]), "n")
row("pad", lambda x: (jnp.pad(x, ((1, 2), (0, 1))), lax.pad(x, jnp.asarray(0.5, x.dtype), ((-1, 2, 1), (1, -1, 2))),
                      lax.pad(x, jnp.asarray(0.5, x.dtype), ((-3, -1, 1), (0, 0, 0)))), "3 4")
row("split", lambda x: jnp.split(x, 3), "6 n")
row("unstack", lambda x: jnp.unstack(x * 2), "3 n")
row("roll", lambda x: (jnp.roll(x, 1), jnp.roll(x, -1, 0)), "m n")
row("triangles", lambda x: (jnp.tril(x), jnp.triu(x, 1), jnp.diag(x), jnp.trace(x)), "n n")
row("diag", lambda x: (jnp.diag(x), jnp.eye(x.shape[0]) * x, jnp.arange(x.shape[0]) * x), "n")
row("dynamic_slice", lambda x: (lax.dynamic_slice(x, (1, 3), (2, 2)), lax.dynamic_slice(x, (-7, 9), (2, 3)),
                                lax.dynamic_update_slice(x, 2 * x[:2], (2, 1))), "4 5")
row("index", lambda x: (x[1], x[-1], x[:, 1], x[1, 2], x[jnp.asarray([0, 2, 2])], x[:, jnp.asarray([1, -1])]), "4 5")
row("index_symbolic", lambda x: (x[indices(x.shape[0], 0, 5, 5)], x[indices(x.shape[0], 3, 1)][:, None]), "n m")
row("index_pairs", lambda x: (x[jnp.asarray([0, 2]), jnp.asarray([1, 1])], x[jnp.asarray([[0], [3]]), 1:3]), "4 5")
row("index_fill", lambda x: (x.at[jnp.asarray([0, 7])].get(mode="fill", fill_value=0.5),
                             x.at[jnp.asarray([0, 7])].get(mode="clip"), jnp.take(x, jnp.asarray([1, 9]), mode="wrap")),
    "5")
row("take_along_axis", lambda x: jnp.take_along_axis(x, jnp.argsort(x, 1), 1), "m n")
row("vmap_index", jax.vmap(lambda x: x[jnp.argmax(x)] + lax.dynamic_slice(x, (jnp.argmin(x),), (2,))), "4 5")
row("at_set", lambda x: (x.at[1].set(2.0), x.at[jnp.asarray([0, 3])].set(x[1:3]), x.at[:, 1].set(0.0)), "4 5")
row("at_add", lambda x: (x.at[1].add(2.0), x.at[jnp.asarray([0, 0, 2])].add(x[1:4]), x.at[jnp.asarray([1, 9])].add(1.0)),
    "4 5")
row("at_mul", lambda x: x.at[jnp.asarray([0, 2])].multiply(x[1:3], unique_indices=True), "4 5")
row("at_extremes", lambda x: (x.at[jnp.asarray([0, 2])].max(0.3), x.at[jnp.asarray([0, 0])].min(0.1)), "4 5",
    grad=False)
row("segment_sum", lambda x: jax.ops.segment_sum(x, jnp.asarray([0, 0, 2, 1]), 3), "4 n")

row("sums", lambda x: (x.sum(), x.sum(0), x.sum((0, 2)), x.mean(), x.mean(1), x.var(), x.std(2)), "k m n")
row("products", lambda x: (jnp.prod(x), jnp.prod(x, 1)), "m n")
row("extremes", lambda x: (x.max(), x.min(1), jnp.ptp(x, 0), jnp.argmax(x), jnp.argmin(x, 1)), "m n")
row("any_all", lambda x: ((x > 0).any(), (x > 0).all(0), (x > 0).sum(), jnp.count_nonzero(x > 1, axis=1)), "m n",
    grad=False)
row("cumulative", lambda x: (jnp.cumsum(x), jnp.cumsum(x, 1), jnp.cumprod(x, 0), lax.cummax(x, 1), lax.cummin(x, 0),
                             lax.cumlogsumexp(x, 1), lax.cumsum(x, 0, reverse=True)), "4 5")
row("cumulative_symbolic", lambda x: (jnp.cumsum(x, 1), lax.cummax(x)), "m n", grad=False)
row("sort", lambda x: (jnp.sort(x), jnp.sort(x, 0)[::-1], jnp.argsort(x), jnp.median(x, 0)), "4 5")
row("sort_symbolic", lambda x: (jnp.sort(x), jnp.argsort(x, 0)), "m n", grad=False)
row("sort_pairs", lambda x, y: lax.sort((jnp.round(x), y, x), num_keys=2), "m n", "m n")
row("top_k", lambda x: lax.top_k(x, 2), "m 5")
row("quantile", lambda x: jnp.quantile(x, 0.3), "7")
row("reduce", lambda x: lax.reduce(x, jnp.zeros((), x.dtype), lambda a, b: a + 2 * b, (1,)), "3 4", grad=False)
row("convolve", lambda x, y: jnp.convolve(x, y), "7", "3")

row("conv", conv, "2 3 7 6", "4 3 3 2")
row("conv_strides", functools.partial(conv, window_strides=(2, 1), padding=((1, 2), (0, 3)), lhs_dilation=(1, 2),
                                      rhs_dilation=(2, 1)), "2 3 7 6", "4 3 3 2")
row("conv_groups", functools.partial(conv, feature_group_count=2), "2 4 5 6", "6 2 3 2")
row("conv_batch_groups", functools.partial(conv, batch_group_count=2), "4 3 5 6", "6 3 3 2")
row("conv_nhwc", functools.partial(conv, dimension_numbers=("NHWC", "HWIO", "NHWC")), "k 6 5 3", "3 3 3 4")
row("conv_transpose", lambda x, k: lax.conv_transpose(x, k, (2, 2), "SAME"), "2 5 4 3", "3 3 3 4")
row("max_pool", lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 3), (1, 2, 1), "SAME"), "k 6 5")
row("avg_pool", lambda x: lax.reduce_window(x, 0.0, lax.add, (1, 2, 2), (1, 1, 2), "VALID"), "k 6 5")
row("min_pool", lambda x: lax.reduce_window(x, jnp.inf, lax.min, (2, 2), (2, 2), ((0, 1), (1, 0))), "5 6", grad=False)
row("pool_tangent", lambda x: jax.jvp(lambda y: lax.reduce_window(y, -jnp.inf, lax.max, (2, 2), (1, 1), "VALID"), (x,),
                                      (2 * x,)), "5 6", grad=False)
row("fold_window", lambda x: lax.reduce_window(x, 0.0, lambda a, b: a + 2 * b, (2, 2), (1, 1), "VALID"), "4 5",
    grad=False)
row("resize", lambda x: jax.image.resize(x, (6, 7), "bilinear"), "3 4")

row("scan", scan(lambda c, x: (jnp.tanh(c * x), c + x)), "N n")
row("scan_reverse", scan(lambda c, x: (c * 0.5 + x, (c, x * c)), reverse=True), "N n")
row("fori", lambda x: lax.fori_loop(0, 3, lambda i, c: jnp.sin(c) * (i + 1), x), "n")
row("while", lambda x: lax.while_loop(lambda c: c[0] < 4, lambda c: (c[0] + 1, c[1] * 1.5), (0, x)), "n", grad=False)
row("while_data", lambda x: lax.while_loop(lambda c: jnp.sum(c) < 90.0, lambda c: c * 1.5 + 1, x), "n", grad=False)
row("cond", lambda x: lax.cond(x[0] > 0, lambda x: x * 2, lambda x: jnp.sin(x), x), "n")
row("switch", lambda x: lax.switch(jnp.round(jnp.abs(x[0])).astype(jnp.int32), [jnp.sin, jnp.cos, jnp.exp], x), "n")
row("associative_scan", lambda x: lax.associative_scan(jnp.multiply, x), "5 n")
row("map", lambda x: lax.map(lambda r: jnp.sum(r**2), x), "m n")
row("checkpoint", jax.checkpoint(lambda x: jnp.sin(jnp.exp(x))), "n")
row("stop_gradient", lambda x: x * lax.stop_gradient(jnp.exp(x)), "n")
row("hessian", lambda x: jax.hessian(lambda x: jnp.sum(jnp.tanh(x) ** 2) + jnp.prod(x))(x), "4", grad=False)
row("jacobians", lambda x: (jax.jacfwd(jnp.cumsum)(x), jax.jacrev(lambda x: jnp.sin(x) * x[0])(x)), "4", grad=False)
row("hvp", lambda x, v: jax.jvp(jax.grad(lambda x: jnp.sum(jnp.exp(x) * x[::-1])), (x,), (v,))[1], "n", "n")
row("gather_pick", lambda x: jnp.sum(jnp.take_along_axis(jax.nn.log_softmax(x), indices(x.shape[1], 0, 3, 1)[:, None], 1)),
    "3 n")

row("solve", jnp.linalg.solve, "n n", "n m", spd=True)
row("solve_batch", jnp.linalg.solve, "k n n", "k n m", spd=True)
row("inv", jnp.linalg.inv, "n n", spd=True)
row("det", lambda a: (jnp.linalg.det(a), *jnp.linalg.slogdet(a)), "n n", spd=True)
row("cholesky", jnp.linalg.cholesky, "n n", spd=True)
row("cho_solve", lambda a, b: jsp.linalg.cho_solve(jsp.linalg.cho_factor(a), b), "n n", "n m", spd=True)
row("triangular", lambda a, b: (jsp.linalg.solve_triangular(a, b, lower=True), jsp.linalg.solve_triangular(
    a, b, trans=1), jsp.linalg.solve_triangular(a, b, unit_diagonal=True)), "n n", "n m", spd=True)
row("qr", jnp.linalg.qr, "5 3")
row("eigh", lambda a: (jnp.linalg.eigvalsh(a), jnp.abs(jnp.linalg.eigh(a)[1])), "n n", spd=True, ball=False)
row("svd", lambda a: jnp.linalg.svd(a, compute_uv=False), "4 3", ball=False)
row("pinv", jnp.linalg.pinv, "4 3", ball=False)
row("expm", jsp.linalg.expm, "3 3", symbolic=False, ball=False)
row("matrix_power", lambda a: jnp.linalg.matrix_power(a, 3), "n n")
row("cross", lambda a, b: jnp.cross(a, b), "m 3", "m 3")
row("integers", lambda x: tuple(f(jnp.round(9 * x).astype(jnp.int32), jnp.asarray(4, jnp.int32)) for f in (
    jnp.floor_divide, jnp.remainder, lax.div, lax.rem, lax.shift_left, lax.shift_right_arithmetic,
    lax.shift_right_logical, jnp.power)), "n", grad=False)
row("bits", lambda x: tuple(f(jnp.round(abs(9 * x)).astype(jnp.int32)) for f in (lax.population_count, lax.clz)), "n",
    grad=False)
row("random", lambda x: x * jax.random.normal(jax.random.PRNGKey(3), (4,), x.dtype), "4")
row("dropout", lambda x: jnp.where(jax.random.bernoulli(jax.random.key(1), 0.5, (2, 4)), x / 0.5, 0), "2 4")
row("callback", lambda x: jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x), "4", grad=False,
    ball=False)
row("fft", lambda x: jnp.abs(jnp.fft.fft(x)), "4", ball=False)


SIZES = [{"k": 2, "m": 3, "n": 4, "N": 5}, {"k": 3, "m": 1, "n": 2, "N": 7}]


@functools.cache
def traced(name: str, dtype: str, symbolic: bool) -> tuple[Any, Any]:
    """The translated program and the structure of its outputs."""
    row = ROWS[name]
    dims: dict[str, Any] = dict(SIZES[0])
    if symbolic:
        dims = dict(zip("kmnN", jax.export.symbolic_shape("k, m, n, N"), strict=True))
    specs = [jax.ShapeDtypeStruct(s, dtype) for s in row.shapes(dims)]
    with jax.enable_x64(True):
        return translate(jax.make_jaxpr(row.checked)(*specs))


def run(name: str, arithmetic: Any, dtype: str, dims: dict[str, int], symbolic: bool) -> tuple:
    inputs = ROWS[name].draw(dims, jnp.dtype(dtype))
    return traced(name, dtype, symbolic).link(arithmetic)(dims, inputs)


@functools.cache
def expected(name: str, dtype: str, size: int, jitted: bool) -> list[np.ndarray]:
    row, dims = ROWS[name], SIZES[size]
    with jax.enable_x64(True):
        inputs = [jnp.asarray(a) for a in row.draw(dims, jnp.dtype(dtype))]
        if jitted:
            out = jax.jit(row.checked)(*inputs)
        else:
            jaxpr = jax.make_jaxpr(row.checked)(*inputs)
            out = jax.core.eval_jaxpr(jaxpr.jaxpr, jaxpr.consts, *inputs)
        return [np.asarray(x) for x in jax.tree.leaves(out)]
