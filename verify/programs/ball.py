"""Ball arithmetic: every floating value is an interval (FLINT's arb, acb) that certainly holds the exact one.

A program run here is an oracle with a proof: the radius says what is known. Arrays are NumPy object arrays of
balls; integers and booleans stay NumPy's. Nothing silently takes a midpoint: a comparison that the intervals
do not decide raises `Undecided`, and the caller raises the precision. Exact zeros, and infinities, behave as
in floating point (1/0 is inf, log 0 is -inf, 0 * inf is NaN).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import flint
import ml_dtypes
import numpy as np
from flint import acb, arb

from verify.programs import ball_functions as fn
from verify.programs import linear_algebra
from verify.programs.arithmetic import Arithmetic, Untranslatable
from verify.programs.elementwise import ANY, BOOL, INT, is_floating, kind_of
from verify.programs.fourier import ball_transform


# -- arrays of balls -------------------------------------------------------------------------------
def _each(function: Callable, inputs: int = 1) -> Callable:
    return np.frompyfunc(function, inputs, 1)


def _decided(function: Callable, inputs: int = 2) -> Callable:
    """A comparison, entry by entry, as booleans."""
    each = np.frompyfunc(function, inputs, 1)
    return lambda *args: np.asarray(each(*args), bool)


def _reduce(ufunc: Any) -> Callable:
    def reduce(x: Any, axes: Any) -> Any:
        axes = (axes,) if isinstance(axes, int) else axes
        for axis in sorted(axes, reverse=True):
            x = ufunc.reduce(x, axis)
        return x
    return reduce


def _arg(better: Callable[[Any, Any], bool]) -> Callable:
    """The first best entry, as argmax breaks ties."""
    def lane(values: np.ndarray) -> int:
        best = 0
        for i in range(1, len(values)):
            if better(values[i], values[best]):
                best = i
        return best
    return lambda x, axis: np.apply_along_axis(lane, axis, x).astype(np.int64)


def _sort(operands: Sequence[np.ndarray], axis: int, keys: int) -> tuple[np.ndarray, ...]:
    def compare(i: int, j: int) -> int:
        for key in lane:
            a, b = key[i], key[j]
            if isinstance(a, arb):
                if fn.is_nan(a) or fn.is_nan(b):
                    order = int(fn.is_nan(a)) - int(fn.is_nan(b))
                else:
                    order = 0 if fn.equal(a, b) else -1 if fn.less(a, b) else 1
            else:
                order = int(a > b) - int(a < b)
            if order:
                return order
        return 0

    lanes = [np.moveaxis(o, axis, -1).reshape(-1, o.shape[axis]) for o in operands[:keys]]
    places = np.empty(lanes[0].shape, np.int64)
    for row in range(len(places)):
        lane = [key[row] for key in lanes]
        places[row] = sorted(range(places.shape[1]), key=functools.cmp_to_key(compare))
    moved = np.moveaxis(operands[0], axis, -1).shape
    order = np.moveaxis(places.reshape(moved), -1, axis)
    return tuple(np.take_along_axis(o, order, axis) for o in operands)


def _combine(how: str) -> Callable[..., None]:
    def put(out: np.ndarray, index: tuple, values: Any) -> None:
        out[index] = values.item() if np.ndim(values) == 0 and isinstance(values, np.ndarray) else values
    ufuncs = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "min": _each(fn.smaller, 2),
              "max": _each(fn.larger, 2)}
    return put if how == "set" else ufuncs[how].at


def _matmul(a: Any, b: Any) -> Any:
    """FLINT's product for real matrices, which rounds once an entry; NumPy's loop for the rest."""
    if not all(x.ndim > 1 and x.size and isinstance(x.flat[0], arb) for x in (a, b)):
        return np.matmul(a, b)
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = (np.broadcast_to(x, batch + x.shape[-2:]) for x in (a, b))
    out = np.empty((*batch, a.shape[-2], b.shape[-1]), object)
    for at in np.ndindex(batch):
        out[at] = (flint.arb_mat(a[at].tolist()) * flint.arb_mat(b[at].tolist())).table()
    return out


FLOAT: dict[str, Callable] = {
    "add": np.add, "add_any": np.add, "sub": np.subtract, "mul": np.multiply, "neg": np.negative,
    "where": np.where,
    **{name: _each(f) for name, f in fn.UNARY.items()},
    **{name: _each(f, 2) for name, f in fn.BINARY.items()},
    "regularized_incomplete_beta": _each(fn.betainc, 3),
    "lt": _decided(fn.less), "le": _decided(fn.less_equal), "gt": _decided(lambda a, b: fn.less(b, a)),
    "ge": _decided(lambda a, b: fn.less_equal(b, a)), "eq": _decided(fn.equal),
    "ne": _decided(lambda a, b: not fn.equal(a, b)), "is_nan": _decided(fn.is_nan, 1),
    "is_finite": _decided(fn.is_finite, 1), "at": _combine,
    "argmax": _arg(lambda a, b: fn.less(b, a)), "argmin": _arg(fn.less),
    "reduce_sum": _reduce(np.add), "reduce_prod": _reduce(np.multiply),
    "reduce_max": _reduce(_each(fn.larger, 2)), "reduce_min": _reduce(_each(fn.smaller, 2)),
    "cumsum": np.add.accumulate, "cumprod": np.multiply.accumulate,
    "cummax": lambda x, axis: _each(fn.larger, 2).accumulate(x, axis, object),
    "cummin": lambda x, axis: _each(fn.smaller, 2).accumulate(x, axis, object),
    "cumlogsumexp": lambda x, axis: _each(fn.logaddexp, 2).accumulate(x, axis, object),
    "reduce_precision": lambda x, exponent_bits, mantissa_bits: x,
    "lu": lambda a: linear_algebra.lu(a, lambda x, y: fn.less(abs(y), abs(x))),
    **{name: linear_algebra.OPERATIONS[name] for name in ("cholesky", "triangular_solve", "qr",
                                                          "householder_product")},
}


def _balls(x: Any) -> np.ndarray:
    """An array of balls, from numbers or balls."""
    x = np.asarray(x)
    if x.dtype == object:
        return x
    if x.dtype.kind not in "fciub":  # ml_dtypes
        x = x.astype(np.float64)
    if x.dtype in (np.float64, np.float32, np.float16):
        x, make = x.astype(np.float64), arb
    else:
        make = fn.to_ball
    out = np.empty(x.shape, object)
    values = [make(v) for v in (x.ravel() if make is fn.to_ball else x.ravel().tolist())]
    out.reshape(-1)[:] = values
    return out


class Ball(Arithmetic):
    def __init__(self, bits: int, literal_noise: np.random.Generator | None, table_noise: float | None = None):
        self.name, self.bits, self.literal_noise = f"ball {bits}", bits, literal_noise
        self.table_noise = table_noise

    @contextmanager
    def active(self) -> Iterator[None]:
        saved, flint.ctx.prec = flint.ctx.prec, self.bits
        try:
            with np.errstate(all="ignore"):
                yield
        finally:
            flint.ctx.prec = saved

    def operation(self, name: str, *statics: str) -> Callable[..., Any]:
        builder = getattr(self, f"_{name}", None)
        if builder is not None:
            return builder(*statics)
        (kind,) = statics
        table = {"int": INT, "bool": BOOL, "key": ANY}.get(kind, FLOAT)
        if name not in table:
            raise Untranslatable(name)
        return table[name]

    def constant(self, value: Any, dtype: str, noisy: bool) -> Any:
        if kind_of(dtype) == "key" or not self._is_ball(dtype):
            return value
        balls = _balls(value)
        if self.literal_noise is not None and self.table_noise is not None:
            if is_floating(dtype):
                moved = np.vectorize(rounded_number, otypes=[bool])(np.asarray(value, np.float64))
                shifts = self.literal_noise.uniform(-1, 1, np.shape(value)) * self.table_noise
                balls = np.asarray(balls * np.frompyfunc(arb, 1, 1)(1 + np.where(moved, shifts, 0.0)), object)
        elif noisy and self.literal_noise is not None and is_floating(dtype) and rounded_number(value):
            shift = self.literal_noise.uniform(-1, 1) * float(_eps(dtype)) / 2
            balls = np.asarray(balls * (1 + arb(shift)), object)
        return balls if np.ndim(balls) else np.asarray(balls, object)

    @staticmethod
    def _is_ball(dtype: str) -> bool:
        return is_floating(dtype) or kind_of(dtype) == "complex"

    def _input(self, dtype: str) -> Callable:
        if self._is_ball(dtype):
            return _balls
        return (lambda x: x) if kind_of(dtype) == "key" else lambda x: np.asarray(x, dtype)

    _output = _input

    def _convert(self, source: str, target: str) -> Callable:
        if self._is_ball(target):
            if kind_of(source) == "complex" and kind_of(target) != "complex":
                return FLOAT["real"]
            if kind_of(target) == "complex":
                return _each(acb)
            return (lambda x: x) if self._is_ball(source) else _each(lambda x: arb(int(x)))
        if not self._is_ball(source):
            return lambda x: x.astype(target)
        if target == "bool":
            return _decided(lambda x: not fn.equal(x, arb(0)), 1)
        info = np.iinfo(target)
        whole = _each(lambda x: min(max(fn.whole(x), info.min), info.max))
        return lambda x: np.asarray(whole(x)).astype(target)

    def _integer(self, dtype: str) -> Callable:
        return np.dtype(dtype).type

    def _iota(self, dtype: str) -> Callable:
        def iota(shape: Sequence[int], dimension: int) -> np.ndarray:
            entries = np.arange(shape[dimension]).reshape([-1] + [1] * (len(shape) - dimension - 1))
            entries = _balls(entries) if self._is_ball(dtype) else entries.astype(dtype)
            out = np.empty(shape, entries.dtype)
            out[...] = entries
            return out
        return iota

    def _pow(self, base: str, exponent: str) -> Callable:
        if base == "int":
            return np.power
        power = _each(fn.power, 2)
        return power if exponent != "int" else _each(lambda x, y: fn.power(x, arb(int(y))), 2)

    def _fft(self, kind: str) -> Callable:
        return ball_transform(kind)

    def _sort(self) -> Callable:
        return _sort

    def _sign_bit(self, dtype: str) -> Callable:
        return lambda x: np.asarray(FLOAT["lt"](x, arb(0))).astype(dtype)  # balls have no negative zero

    def _matmul(self, lhs: str, rhs: str, out: str, precision: str) -> Callable:
        if not self._is_ball(out):
            return lambda a, b: np.matmul(a, b).astype(out)
        return _matmul

    def _foreign(self, primitive: str, *kinds: str) -> Callable:
        if not set(kinds) <= {"int", "bool", "key"}:
            raise Untranslatable(primitive)
        return lambda bind, operands, sizes: bind(operands, sizes)

    def _callback(self, *dtypes: str) -> Callable:
        raise Untranslatable("pure_callback")

    def _bitcast(self, source: str, target: str) -> Callable:
        start, to = (np.dtype(getattr(ml_dtypes, d, d)) for d in (source, target))

        def bitcast(x: Any, shape: tuple) -> Any:
            if self._is_ball(source):  # only a ball that is a number of the declared type has bits
                x = np.asarray(np.frompyfunc(lambda b: fn.exactly(b, start), 1, 1)(x)).astype(start)
            out = np.ascontiguousarray(x).view(to).reshape(shape)
            return _balls(out) if self._is_ball(target) else out
        return bitcast


def _eps(dtype: str) -> float:
    return float(ml_dtypes.finfo(dtype).eps)


def rounded_number(value: Any) -> bool:
    """Whether a literal needs more than a dozen significant bits: probably the rounding of another number."""
    number = float(np.asarray(value))
    if not np.isfinite(number) or number == 0:
        return False
    mantissa, _ = np.frexp(number)
    return mantissa * 2**12 != int(mantissa * 2**12)


def ball(
    bits: int = 192, literal_noise: np.random.Generator | None = None, table_noise: float | None = None
) -> Arithmetic:
    """Enclosures in `bits` bits. With `literal_noise`, literals that look rounded are moved within their
    rounding, anew at every `Program.link`: how far the result moves is how much the rounding of constants
    matters. With `table_noise` all such numbers, those of tables too, are moved by that relative amount.
    """
    return Ball(bits, literal_noise, table_noise)


def through_balls(name: str) -> Callable[..., Any]:
    """A special function of long doubles, correctly rounded by way of balls."""
    function = FLOAT[name]

    def special(*args: Any) -> Any:
        saved, flint.ctx.prec = flint.ctx.prec, 160
        try:
            out = np.frompyfunc(fn.to_longdouble, 1, 1)(function(*map(_balls, args)))
            return np.asarray(out).astype(np.longdouble)
        finally:
            flint.ctx.prec = saved
    return special
