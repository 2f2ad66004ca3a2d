"""Reads annotations into specifications. JAX is not imported.

``Float[Array, "m n"]`` becomes an :class:`ArraySpec`, a ``Literal`` or ``bool`` a :class:`StaticSpec`, a
NamedTuple, dataclass, tuple or TypedDict a :class:`TreeSpec`.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args, get_origin

from handgrad.domains import Domain, real
from verify.drawing.specification import ArraySpec, Axis, SignatureError, Spec, StaticSpec, TreeSpec


def read(annotation: Any, where: str, domain: Domain = real) -> Spec:
    """Reads one annotation. ``where`` begins the message if it cannot be read."""
    if get_origin(annotation) is Annotated:
        base, *extra = get_args(annotation)
        found = [d for d in extra if isinstance(d, Domain)]
        return read(base, where, found[0] if found else domain)
    if hasattr(annotation, "dim_str") and hasattr(annotation, "dtypes"):
        return array_of(annotation, where, domain)
    if get_origin(annotation) is Literal:
        if not get_args(annotation):
            raise SignatureError(f"{where} is annotated Literal[()], which has no value; wanted those it may take")
        return StaticSpec(get_args(annotation))
    if annotation is bool:
        return StaticSpec((False, True))
    if annotation is int and domain.kind == "integers":
        assert domain.low is not None and domain.high is not None
        return StaticSpec(tuple(range(int(domain.low), int(domain.high) + 1)))
    if annotation is float or annotation is int:
        kind = "float" if annotation is float else "int"
        return ArraySpec(kind, None, (), domain)
    try:
        tree = _tree(annotation, where)
    except RecursionError:
        raise SignatureError(
            f"{where.partition('.')[0]} is annotated {title_of(annotation)}, which contains itself: no end to its "
            f"arrays; give a strategy with given="
        ) from None
    if tree is not None:
        return tree
    raise SignatureError(
        f"{where} is annotated {title_of(annotation)}, which has no shape; "
        f'wanted a jaxtyping array such as Float[Array, "m n"], a Literal, bool or Annotated[int, integers(1, 4)], '
        f"or a NamedTuple, dataclass, tuple or TypedDict of these: add one, or give a strategy with given="
    )


def array_of(annotation: Any, where: str, domain: Domain = real) -> ArraySpec:
    """Reads a jaxtyping annotation."""
    dtypes = annotation.dtypes
    if not isinstance(dtypes, str | list | tuple | set | frozenset):  # Shaped: any dtype will do
        dtypes = ("float16", "float32")
    names = [str(d).lower() for d in dtypes] if not isinstance(dtypes, str) else [dtypes]
    axes = tuple(_axis(token, where) for token in annotation.dim_str.split())
    kind, dtype = _kind(annotation, names)
    return ArraySpec(kind, dtype, axes, domain)


def _kind(annotation: Any, names: list[str]) -> tuple[str, str | None]:
    if any("key" in n or "prng" in n for n in names) or annotation.__name__.startswith("Key"):
        return "key", None
    fixed = names[0] if len(names) == 1 else None
    floating = [n for n in names if n.startswith(("float", "bfloat"))]
    if floating:
        return "float", fixed
    if any(n.startswith("complex") for n in names):
        return "complex", fixed
    if any(n.startswith("bool") for n in names):
        return "bool", None
    return "int", fixed


def _axis(token: str, where: str) -> Axis:
    text = token.split("=")[-1] if "=" in token else token
    if text == "...":
        return Axis("...", variadic=True)
    variadic = text.startswith("*") or text.startswith("#*") or text.startswith("*#")
    text = text.lstrip("*#?")
    if text.startswith("_"):
        return Axis(text if text != "_" else "anonymous", variadic)
    try:
        ast.parse(text, mode="eval")
    except SyntaxError:
        raise SignatureError(
            f"{where}: the axis {token!r} is no dimension name, number or expression; wanted e.g. 'n', '3', 'n+1'"
        ) from None
    return Axis(text, variadic)


def _tree(annotation: Any, where: str) -> TreeSpec | None:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (tuple, list) and args:
        if origin is list or (len(args) == 2 and args[1] is Ellipsis):
            args = (args[0],) * 2
        labels = tuple(f"[{i}]" for i in range(len(args)))
        children = tuple(read(a, f"{where}{k}") for a, k in zip(args, labels, strict=True))
        return TreeSpec(origin, labels, children)
    fields = _fields(annotation)
    if fields is None:
        return None
    children = tuple(read(a, f"{where}.{k}") for k, a in fields.items())
    if typing.is_typeddict(annotation):
        keys = tuple(fields)
        return TreeSpec(
            lambda xs: dict(zip(keys, xs, strict=True)), tuple(f"[{k!r}]" for k in keys), children
        )
    names = tuple(fields)
    return TreeSpec(
        lambda xs: annotation(**dict(zip(names, xs, strict=True))), tuple(f".{k}" for k in names), children
    )


def _fields(annotation: Any) -> dict[str, Any] | None:
    if isinstance(annotation, types.GenericAlias) or not isinstance(annotation, type):
        return None
    hints = hints_of(annotation)
    if typing.is_typeddict(annotation):
        return hints
    if issubclass(annotation, tuple) and hasattr(annotation, "_fields"):
        return {k: hints.get(k, inspect.Parameter.empty) for k in annotation._fields}  # type: ignore[attr-defined]
    if dataclasses.is_dataclass(annotation):
        return {f.name: hints[f.name] for f in dataclasses.fields(annotation) if f.init}
    return None


def hints_of(thing: Any) -> dict[str, Any]:
    """The annotations of a function or class, evaluated."""
    target = inspect.unwrap(thing) if callable(thing) and not isinstance(thing, type) else thing
    try:
        return typing.get_type_hints(target, include_extras=True)
    except Exception:  # a name that only a type checker knows: the raw annotations must do
        return dict(getattr(target, "__annotations__", {}))


def parameters_of(function: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """Annotation and default of every parameter, except the cotangent and tangents of a hand function."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        raise SignatureError(f"{title_of(function)} has no readable signature; wrap it in a def") from None
    hints = hints_of(function)
    found = {}
    for p in parameters:
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            continue
        found[p.name] = (hints.get(p.name, p.annotation), p.default)
    return found


def title_of(thing: Any) -> str:
    """What a message calls a function or an annotation."""
    return getattr(thing, "__name__", None) or str(thing)
