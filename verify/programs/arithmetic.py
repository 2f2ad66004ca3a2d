"""The floating arithmetics that a program can be run in: `native`, dtype by dtype as XLA rounds, and `wide`.

An arithmetic answers what a name in a program's source means for entries of a kind: "float" (the types NumPy
computes in), "complex", "int", "bool", or a low-precision type by its name. Wherever NumPy's own ufunc is
right, it is the answer, so that running a program costs no more than writing it in NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import ml_dtypes
import numpy as np

from verify.programs import linear_algebra
from verify.programs.elementwise import (
    BOOL,
    COMPLEX,
    FLOAT,
    INT,
    SPECIAL,
    dtype_name,
    is_floating,
    kind_of,
    reduce_precision,
    sort,
    to_integer,
)
from verify.programs.fourier import numpy_transform

__all__ = ["Arithmetic", "Undecided", "Untranslatable", "dtype_name", "is_floating", "kind_of", "native",
           "wide"]

Linked = Callable[[Mapping[str, int], Sequence[Any]], tuple[Any, ...]]


class Untranslatable(Exception):
    """A primitive that has no meaning here; the caller falls back to JAX."""

    def __init__(self, primitive: str):
        super().__init__(f"{primitive} is not translated to NumPy")
        self.primitive = primitive


class Undecided(Exception):
    """A comparison that this precision cannot decide."""


def _same(x: Any) -> Any:
    return x


class Arithmetic:
    """Where the names of a program are looked up."""

    name: str
    stopped: Callable[[Any], Any] = staticmethod(_same)
    """What ``stop_gradient`` does with a value; an oracle puts another function here."""
    most_turns: int | None = None
    """After so many turns a loop is given up; None waits for its end."""

    def operation(self, name: str, *statics: str) -> Callable[..., Any]:
        raise NotImplementedError

    def constant(self, value: Any, dtype: str, noisy: bool) -> Any:
        raise NotImplementedError

    def _stop(self, kind: str) -> Callable[[Any], Any]:
        return self.stopped

    def active(self) -> AbstractContextManager:
        """In force while the program runs."""
        return np.errstate(all="ignore")

    def guard(self, program: Linked) -> Linked:
        def guarded(dims: Mapping[str, int], inputs: Sequence[Any]) -> tuple[Any, ...]:
            with self.active():
                return program(dims, inputs)
        return guarded


# What ml_dtypes and NumPy compute in a low-precision type directly, rounding once; the rest in float32.
DIRECT = frozenset({
    "add", "add_any", "sub", "mul", "div", "neg", "max", "min", "abs", "sign", "square", "eq", "ne", "lt",
    "le", "gt", "ge", "where", "at", "argmax", "argmin", "is_nan", "is_finite", "reduce_max",
    "reduce_min", "cummax", "cummin", "nextafter", "sqrt", "exp", "log", "tanh",
})


def _low(function: Callable, dtype: Any) -> Callable:
    """Computed in float32 from exact operands, rounded once."""
    def rounded(*args: Any) -> Any:
        raised = [a.astype(np.float32) if getattr(a, "dtype", None) == dtype else a for a in args]
        out = function(*raised)
        return out.astype(dtype) if out.dtype.kind == "f" else out
    return rounded


class NumPy(Arithmetic):
    """Both floating arithmetics: `width` is None where every dtype is honoured."""

    def __init__(self, name: str, width: Any, matmul_inputs: str | None, rng: np.random.Generator | None = None):
        self.name, self.matmul_inputs, self.rng = name, matmul_inputs, rng
        self.width = None if width is None else np.dtype(width)
        self.long = self.width is not None and self.width.itemsize > 8

    def dtype(self, name: str) -> np.dtype:
        """The type that carries values which the program declares as `name`."""
        if self.width is not None:
            if is_floating(name):
                return self.width
            if kind_of(name) == "complex":
                return np.result_type(self.width, np.complex64)
        return np.dtype(getattr(ml_dtypes, name, name))

    def operation(self, name: str, *statics: str) -> Callable[..., Any]:
        builder = getattr(self, f"_{name}", None)
        if builder is not None:
            return builder(*statics)
        (kind,) = statics
        if name in linear_algebra.OPERATIONS:
            lapack_only = self.long and name in linear_algebra.LAPACK_ONLY
            if lapack_only or self._is_low(kind):  # JAX has linear algebra in float32 and float64 only
                raise Untranslatable(name)
            return linear_algebra.OPERATIONS[name]
        table: dict[str, Callable] = {"float": FLOAT, "complex": COMPLEX, "int": INT, "bool": BOOL}.get(kind,
                                                                                                        FLOAT)
        if name not in table:
            raise Untranslatable(name)
        if name == "reduce_precision" and self.width is not None:
            return lambda x, exponent_bits, mantissa_bits: x
        if self.long and name in SPECIAL:
            from verify.programs.ball import through_balls
            return through_balls(name)
        if self.width is None and table is FLOAT and kind != "float" and name not in DIRECT:
            return _low(FLOAT[name], self.dtype(kind))
        return table[name]

    def constant(self, value: Any, dtype: str, noisy: bool) -> Any:
        return value if kind_of(dtype) == "key" else np.asarray(value).astype(self.dtype(dtype))

    # -- operations that depend on exact dtypes ----------------------------------------------------
    def _input(self, dtype: str) -> Callable:
        if kind_of(dtype) == "key":
            return _same
        to = self.dtype(dtype)
        return lambda x: np.asarray(x, to)

    _output = _input

    def _convert(self, source: str, target: str) -> Callable:
        to = self.dtype(target)
        if self.dtype(source) == to:
            return _same
        if to.kind in "iub" and is_floating(source):
            return lambda x: to_integer(x, to)
        if kind_of(source) == "complex" and to.kind != "c":
            return lambda x: np.real(x).astype(to)
        return lambda x: x.astype(to)

    def _integer(self, dtype: str) -> Callable:
        return np.dtype(dtype).type

    def _iota(self, dtype: str) -> Callable:
        to = self.dtype(dtype)

        def iota(shape: Sequence[int], dimension: int) -> np.ndarray:
            out = np.empty(shape, to)
            column = (-1, *[1] * (len(shape) - dimension - 1))
            out[...] = np.arange(shape[dimension]).astype(to).reshape(column)
            return out
        return iota

    def _pow(self, base: str, exponent: str) -> Callable:
        def power(x: Any, y: Any) -> Any:
            return np.power(x, y.astype(x.dtype) if exponent == "int" and base != "int" else y)
        return _low(power, self.dtype(base)) if self._is_low(base) else power

    def _fft(self, kind: str) -> Callable:
        return numpy_transform(kind)

    def _is_low(self, kind: str) -> bool:
        return self.width is None and kind not in ("float", "complex", "int", "bool")

    def _sort(self) -> Callable:
        return sort

    def _bitcast(self, source: str, target: str) -> Callable:
        start, end = (np.dtype(getattr(ml_dtypes, d, d)) for d in (source, target))
        to = self.dtype(target)  # bits are those of the declared types; a float made of them is then widened

        def bitcast(x: Any, shape: tuple) -> Any:
            return np.ascontiguousarray(x, start).view(end).reshape(shape).astype(to)
        return bitcast

    def _sign_bit(self, dtype: str) -> Callable:
        return lambda x: np.signbit(x).astype(dtype)

    def _matmul(self, lhs: str, rhs: str, out: str, precision: str) -> Callable:
        result = self.dtype(out)
        if self.width is not None and result.kind in "fc":
            return np.matmul
        if result.kind == "b":
            return lambda a, b: np.matmul(a.astype(np.int64), b.astype(np.int64)) != 0
        through = result
        if is_floating(out):  # low-precision operands and results accumulate in float32
            through = np.result_type(np.float32, *(self.dtype(d) for d in (lhs, rhs, out)))
        prepare = self._matmul_input(lhs, rhs, precision)
        if prepare is None and self.dtype(lhs) == self.dtype(rhs) == result == through:
            return np.matmul
        prepare = prepare or _same
        return lambda a, b: np.matmul(prepare(a).astype(through), prepare(b).astype(through)).astype(result)

    def _matmul_input(self, lhs: str, rhs: str, precision: str) -> Callable | None:
        """How the device rounds the operands of a float32 product."""
        high = "bfloat16_3x" if self.matmul_inputs == "bfloat16" else self.matmul_inputs
        how = {"default": self.matmul_inputs, "high": high, "bf16_bf16_f32": "bfloat16",
               "bf16_bf16_f32_x3": "bfloat16_3x", "tf32_tf32_f32": "tf32"}.get(precision)
        if how is None or not lhs == rhs == "float32":
            return None
        bits, rng = ROUNDED_BITS[how], self.rng
        if rng is not None:
            return lambda x: x * (1 + 2.0**-bits * rng.uniform(-1, 1, x.shape)).astype(x.dtype)
        return lambda x: reduce_precision(x, 8, bits)

    def _foreign(self, primitive: str, *kinds: str) -> Callable:
        if self.long and not set(kinds) <= {"int", "bool", "key"}:
            raise Untranslatable(primitive)

        def call(bind: Callable, operands: tuple, sizes: dict[str, Any]) -> Any:
            out = bind(operands, sizes)
            return tuple(map(self._carried, out)) if isinstance(out, tuple) else self._carried(out)
        return call

    def _carried(self, value: Any) -> Any:
        return value.astype(self.dtype(value.dtype.name)) if isinstance(value, np.ndarray) else value

    def _callback(self, *dtypes: str) -> Callable:
        def call(callback: Callable, operands: tuple) -> tuple:
            out = callback(*operands)
            return tuple(np.asarray(o).astype(self.dtype(d)) for o, d in zip(out, dtypes, strict=True))
        return call


ROUNDED_BITS = {"bfloat16": 7, "tf32": 10, "bfloat16_3x": 15}
"""Bits of the fraction that the inputs of a float32 product keep on a device that rounds them."""


def native(matmul_inputs: str | None = None, rng: np.random.Generator | None = None) -> Arithmetic:
    """Every dtype honoured, op by op; `matmul_inputs` ("bfloat16", "tf32", "bfloat16_3x") rounds operands of
    float32 products, with `rng` by a random amount up to a unit in the last of the bits kept.
    """
    if matmul_inputs is not None and matmul_inputs not in ROUNDED_BITS:
        raise ValueError(f"matmul_inputs is 'bfloat16', 'tf32', 'bfloat16_3x' or None, not {matmul_inputs!r}")
    return NumPy("native" + (f" ({matmul_inputs} products)" if matmul_inputs else ""), None, matmul_inputs, rng)


def wide(dtype: Any = np.float64) -> Arithmetic:
    """Every floating value in `dtype`, whatever the program declares: casts between floating types do
    nothing.
    """
    if np.dtype(dtype) not in (np.dtype(np.float64), np.dtype(np.longdouble)):
        raise ValueError(f"wide arithmetic is in float64 or longdouble, not {dtype!r}")
    return NumPy(f"wide {np.dtype(dtype).name}", dtype, None)
