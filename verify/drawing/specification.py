"""What may stand for an argument of a claim: a small tree of specifications, from which cases are drawn."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from handgrad.domains import Domain, real


class SignatureError(Exception):
    """An argument that cannot be drawn; the message says which, and what to write."""


@dataclass(frozen=True)
class Axis:
    """One entry of a shape string: an expression in the dimension names, or a variadic group."""

    text: str
    variadic: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        if self.variadic:
            return ()
        return tuple(n.id for n in ast.walk(ast.parse(self.text, mode="eval")) if isinstance(n, ast.Name))


@dataclass(frozen=True)
class ArraySpec:
    """An array: ``kind`` is float, int, bool, complex or key; ``dtype`` is set where the annotation fixes one."""

    kind: str
    dtype: str | None
    axes: tuple[Axis, ...]
    domain: Domain = real

    def __str__(self) -> str:
        shape = " ".join(("*" if a.variadic else "") + a.text for a in self.axes)
        base = f'{(self.dtype or self.kind).capitalize()}[Array, "{shape}"]'
        return base if self.domain is real else f"{base} in {self.domain}"


@dataclass(frozen=True)
class StaticSpec:
    """A static option and the values it may take."""

    values: tuple[Any, ...]

    def __str__(self) -> str:
        return "one of " + ", ".join(map(repr, self.values))


@dataclass(frozen=True)
class TreeSpec:
    """A container: ``labels`` name the children as in ``params.W`` or ``params[0]``."""

    build: Callable[[list[Any]], Any]
    labels: tuple[str, ...]
    children: tuple[Any, ...]

    def __str__(self) -> str:
        return "(" + ", ".join(f"{k}: {c}" for k, c in zip(self.labels, self.children, strict=True)) + ")"


@dataclass(frozen=True)
class GivenSpec:
    """Arguments drawn jointly from the user's own strategy, or from a function of the sizes to one."""

    names: tuple[str, ...]
    source: Any

    def __str__(self) -> str:
        return "given"


Spec = ArraySpec | StaticSpec | TreeSpec | GivenSpec


def arrays_of(spec: Spec) -> list[ArraySpec]:
    """The arrays in it, in order."""
    if isinstance(spec, ArraySpec):
        return [spec]
    return [a for c in spec.children for a in arrays_of(c)] if isinstance(spec, TreeSpec) else []


def axes_of(spec: Spec) -> list[Axis]:
    """The axes of its arrays, in order."""
    return [axis for array in arrays_of(spec) for axis in array.axes]
