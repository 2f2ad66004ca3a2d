"""Inputs in words: what a data file may say of an argument, read into a specification.

    x = 'Float[Array, "m n"] in positive'    an array, as `verify list` prints it
    axis = [0, -1]                           the values of a static option
    f = { function = "jax.numpy.sin" }       a static option that is a function; { none = true } is None
    p = { tree = { W = '...', b = '...' } }  a dict of arrays; { items = ['...', '...'] } is a tuple
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Mapping
from typing import Any

import jax
import jaxtyping

from handgrad import domains
from verify.drawing.signature import ArraySpec, Axis, SignatureError, Spec, StaticSpec, TreeSpec, read

_ARRAY = re.compile(r'^(?P<kind>\w+)\[Array, ?(?P<quote>["\'])(?P<axes>[^"\']*)(?P=quote)\]$')
WANTED = "'Float[Array, \"m n\"]', 'Float[Array, \"n\"] in positive', a list of values or { function = \"pkg.name\" }"


def described(value: Any, where: str) -> Spec:
    """The specification of one argument; ``where`` begins the message if it cannot be read."""
    if isinstance(value, str):
        return _array(value, where)
    if isinstance(value, list):
        if not value:
            raise SignatureError(f"{where}: got an empty list; wanted the values of a static option")
        return StaticSpec(tuple(_fixed(v) for v in value))
    if isinstance(value, bool | int | float):
        return StaticSpec((value,))
    if isinstance(value, Mapping) and len(value) == 1:
        (kind, content), = value.items()
        if kind == "none":
            return StaticSpec((None,))
        if kind == "function" and isinstance(content, str):
            return StaticSpec((_imported(content, where),))
        if kind == "tree" and isinstance(content, Mapping):
            keys = tuple(content)
            children = tuple(described(v, f"{where}[{k!r}]") for k, v in content.items())
            return TreeSpec(lambda xs: dict(zip(keys, xs, strict=True)), tuple(f"[{k!r}]" for k in keys), children)
        if kind == "items" and isinstance(content, list):
            children = tuple(described(v, f"{where}[{i}]") for i, v in enumerate(content))
            return TreeSpec(tuple, tuple(f"[{i}]" for i in range(len(content))), children)
    raise SignatureError(f"{where}: got {value!r}; wanted {WANTED}")


def _array(text: str, where: str) -> Spec:
    base, _, domain = text.partition(" in ")
    found = _ARRAY.match(base.strip())
    kind = getattr(jaxtyping, found["kind"], None) if found else None
    if found is None or kind is None or not issubclass(kind, jaxtyping.AbstractDtype):
        raise SignatureError(f"{where}: got {text!r}; wanted {WANTED}")
    return read(kind[jax.Array, found["axes"]], where, _domain(domain.strip(), where))


def _domain(text: str, where: str) -> domains.Domain:
    if not text:
        return domains.real
    name, _, arguments = text.partition("(")
    known: Any = getattr(domains, name, None) if name in domains.__all__ and name != "Domain" else None
    try:
        if isinstance(known, domains.Domain) and not arguments:
            return known
        if callable(known) and arguments.endswith(")"):
            made: Any = known
            return made(*ast.literal_eval(f"({arguments[:-1]},)"))
    except (ValueError, SyntaxError, TypeError) as error:
        raise SignatureError(f"{where}: the domain {text!r} cannot be read: {error}") from None
    names = ", ".join(n for n in domains.__all__ if n != "Domain")
    raise SignatureError(f"{where}: there is no domain {text!r}; wanted one of {names}")


def _fixed(value: Any) -> Any:
    """A value that can be a key: lists are tuples."""
    return tuple(_fixed(v) for v in value) if isinstance(value, list) else value


def _imported(name: str, where: str) -> Any:
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError):
        raise SignatureError(f"{where}: there is no function {name!r} to import") from None


def spec_like(value: Any, name: str, static: bool) -> Spec:
    """The specification of arguments like one example: the same shape, values of the same kind."""
    import numpy as np

    if isinstance(value, jax.Array | np.ndarray | np.generic) or (isinstance(value, float) and not static):
        array = np.asarray(value)
        axes = tuple(Axis(str(n)) for n in array.shape)
        kind = {"f": "float", "V": "float", "c": "complex", "b": "bool"}.get(array.dtype.kind, "int")
        domain = domains.real
        if kind == "int" and array.size:
            domain = domains.integers(int(array.min()), int(array.max()))
        elif kind == "float" and array.size and (array > 0).all():
            domain = domains.positive
        return ArraySpec(kind, None, axes, domain)
    if isinstance(value, tuple | list) and value and not static:
        children = tuple(spec_like(v, f"{name}[{i}]", static) for i, v in enumerate(value))
        return TreeSpec(type(value), tuple(f"[{i}]" for i in range(len(value))), children)
    if isinstance(value, dict) and not static:
        keys = tuple(value)
        children = tuple(spec_like(v, f"{name}[{k!r}]", static) for k, v in value.items())
        return TreeSpec(lambda xs: dict(zip(keys, xs, strict=True)), tuple(f"[{k!r}]" for k in keys), children)
    hash(value)
    return StaticSpec((value,))
