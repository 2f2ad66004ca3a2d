"""Finding rules: the objects that hold one, in the modules of a package, and what makes them inside functions."""

from __future__ import annotations

import ast
import functools
import inspect
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from handgrad.claims import source_of
from verify.scan.found import Place, Unreachable

DEPTH = 5
"""Wrappers looked through: jit of partial of a method of ..."""
WORDS = ("custom_jvp", "custom_vjp", "custom_gradient")
_GRADIENT_FILE = "custom_derivatives.py"


@dataclass(frozen=True, eq=False)
class Rule:
    """A rule as found, and the primal that it must be the derivative of."""

    rule: Callable[..., Any]
    primal: Callable[..., Any]
    relation: str
    module: str
    held: Any = None
    """The object that was found: one rule may be held in several places."""


def rules_in(module: types.ModuleType) -> Iterator[tuple[str, Rule]]:
    """The rules that a module defines or holds, private ones and those of its classes included."""
    for name, thing in list(vars(module).items()):
        if isinstance(thing, types.ModuleType) or name.startswith("__"):
            continue
        if isinstance(thing, type):
            if thing.__module__ == module.__name__:
                yield from _in_class(name, thing)
        elif isinstance(thing, dict | list | tuple) and type(thing) in (dict, list, tuple):
            for key, item in thing.items() if isinstance(thing, dict) else enumerate(thing):
                if (rule := rule_within(item)) is not None:
                    yield f"{name}[{key!r}]", rule
        elif (rule := rule_within(thing)) is not None:
            yield name, rule


def _in_class(path: str, cls: type) -> Iterator[tuple[str, Rule]]:
    for name, thing in list(vars(cls).items()):
        if isinstance(thing, type) and thing.__qualname__.startswith(f"{cls.__qualname__}."):
            yield from _in_class(f"{path}.{name}", thing)
        elif (not name.startswith("__") or name == "__call__") and (rule := rule_within(thing)) is not None:
            yield f"{path}.{name}", rule


def at(module: types.ModuleType, path: str) -> Rule | None:
    """The rule at a path."""
    return next((rule for name, rule in rules_in(module) if name == path), None)


def rule_within(thing: Any, depth: int = DEPTH) -> Rule | None:
    """The rule that an object is, or wraps: under jit, partial, staticmethod, a decorator's closure."""
    if depth == 0 or thing is None:
        return None
    if isinstance(thing, jax.custom_vjp | jax.custom_jvp):
        kind = "custom_vjp" if isinstance(thing, jax.custom_vjp) else "custom_jvp"
        return Rule(thing, thing.fun, kind, _module_of(thing.fun), thing)
    if (filtered := _filtered(thing)) is not None:
        return filtered
    if (gradient := _custom_gradient(thing)) is not None:
        return gradient
    for inner in _wrapped(thing):
        if (found := rule_within(inner, depth - 1)) is not None:
            return found
    return None


def _wrapped(thing: Any) -> Iterator[Any]:
    if isinstance(thing, staticmethod | classmethod | types.MethodType):
        yield thing.__func__
    elif isinstance(thing, functools.partial):
        yield thing.func
    elif isinstance(thing, property):
        yield thing.fget
    elif isinstance(thing, types.FunctionType):
        if "__wrapped__" in thing.__dict__:
            yield thing.__wrapped__
            for cell in thing.__closure__ or ():  # a decorator that keeps the rule beside what it was made from
                content = _content(cell)
                if isinstance(content, jax.custom_vjp | jax.custom_jvp):
                    yield content
    elif callable(thing) and not isinstance(thing, type):
        for name in ("__wrapped__", "func", "fun", "__func__"):
            try:
                inner = inspect.getattr_static(thing, name, None)
                inner = getattr(thing, name, None) if inner is not None or name == "__wrapped__" else None
            except Exception:  # an object whose attributes raise is none of ours
                inner = None
            if inner is not None and inner is not thing:
                yield inner


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _filtered(thing: Any) -> Rule | None:
    """Equinox's own kinds: the object takes the function's arguments and keeps a rule of their parts."""
    kind = {"filter_custom_jvp": "custom_jvp", "filter_custom_vjp": "custom_vjp"}.get(type(thing).__name__)
    if kind is None or type(thing).__module__.partition(".")[0] != "equinox":
        return None
    function = thing.fn
    if kind == "custom_jvp":  # wrapped once more; the function itself is in the closure
        cells = dict(zip(function.fun.__code__.co_freevars, function.fun.__closure__ or (), strict=True))
        function = _content(cells["fn"])
    signature = inspect.signature(function)

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:  # what is passed by name is not differentiated
        bound = signature.bind(*args, **kwargs)
        return thing(*bound.args, **bound.kwargs)

    return Rule(called, function, kind, _module_of(function), thing)


def _custom_gradient(thing: Any) -> Rule | None:
    """What ``jax.custom_gradient`` returns: a function that makes its rule when it is called."""
    code: Any = getattr(thing, "__code__", None)
    closure: Any = getattr(thing, "__closure__", None)
    if not isinstance(code, types.CodeType) or closure is None or "fun" not in code.co_freevars:
        return None
    if not code.co_filename.endswith(_GRADIENT_FILE):
        return None
    fun: Any = _content(closure[code.co_freevars.index("fun")])
    if not callable(fun):
        return None
    both: Callable[..., Any] = fun

    @functools.wraps(fun)
    def primal(*args: Any, **kwargs: Any) -> Any:
        return both(*args, **kwargs)[0]

    return Rule(thing, primal, "custom_vjp", _module_of(fun), thing)


def _module_of(function: Any) -> str:
    return getattr(function, "__module__", None) or ""


def places_in(module: types.ModuleType, package: str) -> Iterator[tuple[int, bool, Place]]:
    """Where a module holds the package's rules: which object, whether it was defined there, and the place."""
    for path, rule in rules_in(module):
        home = rule.module or module.__name__
        if f"{home}.".startswith(f"{package}."):
            yield id(rule.held), home == module.__name__, Place(module.__name__, path, *source_of(rule.primal))


def unreachable_in(module: str, file: str) -> list[Unreachable]:
    """Functions in whose body a rule is made, as the source tells."""
    try:
        tree = ast.parse(Path(file).read_text("utf-8"))
    except (OSError, ValueError, SyntaxError):
        return []
    found: list[Unreachable] = []

    def names(node: ast.AST) -> bool:
        return any(
            (isinstance(n, ast.Name) and n.id in WORDS) or (isinstance(n, ast.Attribute) and n.attr in WORDS)
            for n in ast.walk(node)
        )

    def visit(node: ast.AST, outer: tuple[str, ...], inside: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                if inside and any(names(d) for d in child.decorator_list):
                    found.append(Unreachable(module, child.name, ".".join(outer), file, child.lineno))
                for statement in child.body:
                    visit(ast.Module([statement], []), (*outer, child.name), True)
            elif isinstance(child, ast.ClassDef):
                visit(child, (*outer, child.name), inside)
            elif isinstance(child, ast.Call) and inside and names(child.func):
                found.append(Unreachable(module, "a rule", ".".join(outer), file, child.lineno))
            else:
                visit(child, outer, inside)

    visit(tree, (), False)
    return found
