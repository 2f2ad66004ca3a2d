"""What scans found, each in a few lines of plain JAX beside the true value by mpmath.

``code`` binds ``rule``, what JAX gives through the rule; ``exact`` is an mpmath expression of the same number, at 400
digits. ``differs`` is the relative difference above which the discrepancy is there. Classes: wrong, inaccurate,
convention (not the derivative, and meant so), error.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Discrepancy:
    rule: str
    kind: str
    text: str
    code: str
    exact: str
    differs: float


DISCREPANCIES = (
    Discrepancy(
        "jax._src.scipy.special._erfcx", "inaccurate",
        "erfcx' = 2x erfcx - 2/sqrt(pi) cancels: in float32 some x^2 roundings are lost.",
        """\
import jax, jax.numpy as jnp
from jax.scipy.special import erfcx
rule = jax.grad(erfcx)(jnp.float32(300))""",
        "mp.diff(lambda t: mp.exp(t*t) * mp.erfc(t), 300)", 1e-3,
    ),
    Discrepancy(
        "jax._src.scipy.special._dawsn", "inaccurate",
        "dawsn' = 1 - 2x dawsn cancels: no digit is left where -1/(2x^2) is due.",
        """\
import jax
from jax.scipy.special import dawsn
rule = jax.grad(dawsn)(1e9)""",
        "1 - mp.mpf(10)**9 * mp.sqrt(mp.pi) * mp.exp(-mp.mpf(10)**18) * mp.erfi(mp.mpf(10)**9)", 0.5,
    ),
    Discrepancy(
        "jax._src.scipy.special._wofz", "inaccurate",
        "w' = 2i/sqrt(pi) - 2z w cancels for large |z|; the derivative of JAX's own series does not.",
        """\
import jax, jax.numpy as jnp
from jax.scipy.special import wofz
rule = jax.jvp(wofz, (jnp.complex128(-472 + 2j),), (jnp.complex128(1),))[1].real""",
        "mp.re(2j / mp.sqrt(mp.pi) - 2*mp.mpc(-472, 2) * mp.exp(-mp.mpc(-472, 2)**2) * mp.erfc(-1j * mp.mpc(-472, 2)))",
        1e-8,
    ),
    Discrepancy(
        "jax._src.lax.other.logaddexp", "inaccurate",
        "The second derivative, p (1 - p), cancels where one argument outweighs the other.",
        """\
import jax, jax.numpy as jnp
f = lambda x: jnp.logaddexp(x, -1.75)
rule = jax.grad(jax.grad(f))(21.67)""",
        "mp.diff(lambda x: mp.log(mp.exp(x) + mp.exp(mp.mpf(-1.75))), mp.mpf(21.67), 2)", 1e-6,
    ),
    Discrepancy(
        "jax._src.lax.other.logaddexp2", "inaccurate",
        "The same in base 2.",
        """\
import jax, jax.numpy as jnp
f = lambda x: jnp.logaddexp2(x, -1.41)
rule = jax.grad(jax.grad(f))(28.47)""",
        "mp.diff(lambda x: mp.log(2**x + 2**mp.mpf(-1.41), 2), mp.mpf(28.47), 2)", 1e-7,
    ),
    Discrepancy(
        "jax._src.nn.functions._softmax", "inaccurate",
        "Both derivatives are 0 where 1 - p has no digit left; the primal's own second derivative is right.",
        """\
import jax, jax.numpy as jnp
f = lambda x: jax.nn.softmax(jnp.array([x, 0.0]))[0]
rule = jax.grad(jax.grad(f))(41.0)""",
        "mp.diff(lambda x: 1 / (1 + mp.exp(-x)), 41, 2)", 0.5,
    ),
    Discrepancy(
        "jax._src.nn.functions.log1mexp", "inaccurate",
        "The second derivative is NaN from x = 710 on, where it is 0 to within rounding: exp overflows.",
        """\
import jax
from jax.nn import log1mexp
rule = jax.grad(jax.grad(log1mexp))(800.0)""",
        "mp.diff(lambda x: mp.log(1 - mp.exp(-x)), 800, 2)", 0.5,
    ),
    Discrepancy(
        "jax._src.scipy.special.log_ndtr", "inaccurate",
        "The rule is exp(-x²/2 - log_ndtr(x) - c): where x is far below zero two large numbers cancel. Between -30 and "
        "-20 it is as far off as the value, a series of three terms, and is not told for that.",
        """\
import jax
from jax.scipy.special import log_ndtr
rule = jax.grad(log_ndtr)(-1e6)""",
        "mp.exp(-mp.mpf(10)**12 / 2) / mp.sqrt(2 * mp.pi) / (mp.erfc(mp.mpf(10)**6 / mp.sqrt(2)) / 2)", 1e-6,
    ),
    Discrepancy(
        "jax._src.scipy.special.sici", "inaccurate",
        "si'(x) is made as sinc(x / pi), whose argument is divided by pi and multiplied by it again. Compiled, XLA "
        "folds the two and the loss is gone; operation by operation it is there.",
        """\
import jax, jax.numpy as jnp
from jax.scipy.special import sici
with jax.disable_jit():
    rule = jax.grad(lambda x: sici(x)[0])(jnp.float32(63088.6953125))""",
        "mp.sin(mp.mpf('63088.6953125')) / mp.mpf('63088.6953125')", 1e-4,
    ),
    Discrepancy(
        "jax._src.third_party.scipy.special.fresnel", "wrong",
        "C'(x) = cos(pi x²/2) is made with a branch that is the constant 0 at its root. The value is right there; its "
        "slope, the second derivative, is 0 and not -pi.",
        """\
import jax
from jax.scipy.special import fresnel
rule = jax.grad(jax.grad(lambda x: fresnel(x)[1]))(1.0)""",
        "-mp.pi", 0.5,
    ),
    Discrepancy(
        "jax.experimental.pallas.ops.tpu.splash_attention.splash_attention_kernel._attention_reference_custom", "wrong",
        "In a row whose every key is masked the rule recomputes exp(logits - logsumexp) = 1 at -1e30, not 1/2; "
        "the sum of the value gradients is then the number of keys. A reference for tests, private.",
        """\
import jax, jax.numpy as jnp
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as s
mask, q, k = jnp.zeros((1, 2), bool), jnp.ones((1, 1)), jnp.ones((2, 1))
f = lambda v: s._attention_reference_custom(mask, q, k, v, None, None, -1e30, False, "flash", None).sum()
rule = jax.grad(f)(jnp.ones((2, 1)))[0, 0]""",
        "1 / mp.mpf(2)", 0.5,
    ),
    Discrepancy(
        "jax._src.ad_checkpoint.primal_left_tangent_right", "convention",
        "Gives the first argument's value the second's tangent: a device of the implementation, as its name says.",
        """\
import jax
from jax._src.ad_checkpoint import primal_left_tangent_right as f
rule = jax.jvp(f, (1.0, 2.0), (0.0, 1.0))[1]""",
        "mp.diff(lambda y: mp.mpf(1), 2)", 0.5,
    ),
    Discrepancy(
        "jax._src.numpy.ufuncs._sinc_maclaurin", "convention",
        "Equals sinc's k-th derivative at 0 only, where it is used; its own primal is constant.",
        """\
import jax
from jax._src.numpy.ufuncs import _sinc_maclaurin
rule = jax.jvp(lambda x: _sinc_maclaurin(1, x), (0.0,), (1.0,))[1]""",
        "mp.mpf(0)", 0.5,
    ),
    Discrepancy(
        "optax._src.utils._scale_gradient", "convention",
        "Scales the gradient and leaves the value: what it is for.",
        """\
import jax
from optax import scale_gradient
rule = jax.grad(lambda x: scale_gradient(x, 3.0))(1.0)""",
        "mp.diff(lambda x: x, 1)", 0.5,
    ),
    Discrepancy(
        "optax.projections._projections._projection_unit_simplex", "error",
        "Cannot be differentiated in bfloat16, which the scan in the table does not judge: the result is promoted, its "
        "tangent is not. jaxopt has the same.",
        """\
import jax, jax.numpy as jnp
from optax.projections import projection_simplex
try: rule = jax.jvp(projection_simplex, (jnp.ones(2, jnp.bfloat16),), (jnp.ones(2, jnp.bfloat16),))[1][0]
except TypeError: rule = jnp.nan""",
        "mp.mpf(0)", 0.5,
    ),
    Discrepancy(
        "jaxopt._src.isotonic._isotonic_l2_pav", "wrong",
        "Its averages divide by the number of entries plus 1e-8, so every tangent is a little too small.",
        """\
import jax, jax.numpy as jnp
from jaxopt.isotonic import isotonic_l2_pav
rule = jax.jvp(isotonic_l2_pav, (jnp.ones(1),), (jnp.ones(1),))[1][0]""",
        "mp.diff(lambda y: y, 1)", 5e-9,
    ),
    Discrepancy(
        "lineax._norm._zero_grad_at_zero", "convention",
        "The identity with slope 0 at 0; it is applied to a norm only, for which 0 is a subgradient there.",
        """\
import jax
from lineax._norm import _zero_grad_at_zero
rule = jax.grad(_zero_grad_at_zero)(0.0)""",
        "mp.diff(lambda x: x, 0)", 0.5,
    ),
    Discrepancy(
        "flax.linen.fp8_ops.in_qdq", "convention",
        "Rounding to 8 bits has the gradient of the identity; the cotangents of scale and history are new values.",
        """\
import jax, jax.numpy as jnp
from flax.linen.fp8_ops import in_qdq
f = lambda x: in_qdq(jnp.float32, jnp.float8_e4m3fn, x, jnp.ones(1, "f"), jnp.ones(4, "f"))[0]
rule = jax.grad(f)(jnp.array([0.3, 0.7], "f"))[0]""",
        "mp.mpf(0)", 0.5,
    ),
    Discrepancy(
        "flax.linen.fp8_ops.in_q", "convention",
        "The cotangents of scale and history are their new values, whatever the cotangent of the result.",
        """\
import jax, jax.numpy as jnp
from flax.linen.fp8_ops import in_q
x, scale, history = jnp.array([0.3, 0.7], "f"), jnp.full(1, 2.0, "f"), jnp.zeros(4, "f")
_, pull = jax.vjp(lambda s: in_q(jnp.float32, jnp.float8_e4m3fn, x, s, history)[1], scale)
rule = pull(jnp.zeros(1, "f"))[0][0]""",
        "mp.mpf(0)", 0.5,
    ),
    Discrepancy(
        "flax.linen.fp8_ops.out_qdq", "convention",
        "The identity; its rule rounds the cotangent to 8 bits and hands on new values of scale and history.",
        """\
import jax, jax.numpy as jnp
from flax.linen.fp8_ops import out_qdq
f = lambda s: out_qdq(jnp.float32, jnp.float8_e5m2, jnp.ones(2, "f"), s, jnp.zeros(4, "f")).sum()
rule = jax.grad(f)(jnp.full(1, 2.0, "f"))[0]""",
        "mp.mpf(0)", 0.5,
    ),
    Discrepancy(
        "flax.linen.fp8_ops.out_dq", "convention",
        "The cotangent passes without the two scales that the value is multiplied with: it undoes in_q, which is not "
        "differentiated either.",
        """\
import jax, jax.numpy as jnp
from flax.linen.fp8_ops import out_dq
scale = jnp.full(1, 3.0, "f")
rule = jax.grad(lambda x: out_dq(jnp.float32, scale, scale, x).sum())(jnp.ones(1, "f"))[0]""",
        "mp.diff(lambda x: 9 * x, 1)", 0.5,
    ),
)
