"""A starting file for a derivative: the function's import, a claim, and a stub to be filled in.

Runs where the user's code runs, in a worker. What the function's annotations say is kept as it stands; what they do
not say is asked for in a comment beside the parameter, and ``verify run`` asks for it again.
"""

from __future__ import annotations

import difflib
import inspect
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from handgrad.claims import Claim
from handgrad.domains import Domain
from verify.drafting.stub import Parameter, Stub
from verify.drawing.annotations import hints_of, parameters_of, read
from verify.drawing.specification import ArraySpec, SignatureError, StaticSpec
from verify.sessions.collect import TargetError, is_file, load


class DraftError(Exception):
    """No file can be drafted: one message."""


@dataclass(frozen=True)
class Draft:
    """A file to be filled in: its text, the folder that it is for, and what is to be filled in."""

    name: str
    text: str
    folder: str
    source: str
    unshaped: tuple[str, ...]


def draft(target: str, relation: str | None, wrt: Sequence[str], folder: str | None) -> Draft:
    """The file for ``path.py::function`` or ``pkg.mod.function``, to lie in ``folder``, else beside the function's.

    Raises ``DraftError``.
    """
    place, path = _split(target)
    try:
        module = load(place)
    except TargetError as error:
        raise DraftError(str(error)) from None
    function = _found(module, place, path)
    try:
        parameters = _read(function)
    except SignatureError as error:
        raise DraftError(f"{target}: {error}") from None
    value = _annotation(hints_of(function).get("return"))
    relation = relation or ("gradient" if _is_scalar(function, value) else "vjp")
    names = _differentiated(target, relation, wrt, parameters)
    stub = Stub(path, relation, names, tuple(parameters), value)
    unshaped = tuple(p.name for p in parameters if not p.known)
    if not is_file(place):
        return Draft(stub.name, stub.file(place, "."), folder or ".", "", unshaped)
    file = Path(place).resolve()
    lies = Path(folder).resolve() if folder else file.parent
    text = stub.file(file.stem, os.path.relpath(file.parent, lies))
    return Draft(stub.name, text, str(lies), str(file), unshaped)


# The function ----------------------------------------------------------------------------------------------


def _split(target: str) -> tuple[str, str]:
    """Place and name: ``path.py::f``, ``pkg.mod::f``, ``pkg.mod:f`` and ``pkg.mod.f``."""
    place, _, path = target.partition("::")
    if not path and ":" in target:
        place, _, path = target.partition(":")
    if not path and not is_file(place):
        place, _, path = place.rpartition(".")
    if not path or not place:
        raise DraftError(f"{target}: names no function; wanted path.py::function or pkg.mod.function")
    if is_file(place) and Path(place).suffix == ".py" and not Path(place).stem.isidentifier():
        raise DraftError(f"{place}: cannot be imported under this name; rename it to a Python name, letters and _")
    return place, path


def _found(module: Any, place: str, path: str) -> Callable[..., Any]:
    try:
        function = reduce(getattr, path.split("."), module)
    except AttributeError:
        mine = [n for n, f in vars(module).items() if callable(f) and getattr(f, "__module__", "") == module.__name__]
        near = difflib.get_close_matches(path, mine, 1)
        hint = f"did you mean {near[0]}?" if near else f"its functions are {', '.join(mine[:8]) or 'none'}"
        raise DraftError(f"{place}: has no function {path!r}; {hint}") from None
    if not callable(function) or isinstance(function, type):
        raise DraftError(f"{place}::{path}: is {type(function).__name__}, no function; wanted the function to derive")
    return function


def _read(function: Callable[..., Any]) -> list[Parameter]:
    kinds = {name: p.kind for name, p in inspect.signature(function).parameters.items()}
    found = []
    for name, (annotation, default) in parameters_of(function).items():
        known, floating = True, True
        if annotation is inspect.Parameter.empty and default is not inspect.Parameter.empty:
            floating = False  # held fixed
        else:
            try:
                spec = read(annotation, name)
                floating = not isinstance(spec, StaticSpec)
                if isinstance(spec, ArraySpec):
                    floating = spec.kind in ("float", "complex")
            except SignatureError:
                known = False
        found.append(Parameter(name, kinds[name], _annotation(annotation), floating, known))
    return found


def _annotation(annotation: Any) -> str | None:
    """An annotation as it is to be written; None for what only the function's own module can name."""
    if get_origin(annotation) is Annotated:
        base, *extra = get_args(annotation)
        (domain,) = [d for d in extra if isinstance(d, Domain)] or [None]
        inner = _annotation(base)
        written = repr(domain).replace("'", '"')
        return f"Annotated[{inner}, {written}]" if inner and domain and len(extra) == 1 else None
    if hasattr(annotation, "dim_str"):
        return f'{annotation.__name__.partition("[")[0]}[Array, "{annotation.dim_str}"]'
    return annotation.__name__ if annotation in (float, bool) else None


def _is_scalar(function: Callable[..., Any], value: str | None) -> bool:
    """By its annotation, else by an abstract evaluation; a function that cannot be evaluated yet may be."""
    if value is not None:
        return value == "float" or value.endswith('[Array, ""]')
    import jax

    from verify.drawing.draws import Draws
    from verify.tracing.relations import call_of

    try:
        case = Draws(Claim("draft", "equal_to", function, function), 0).case(0, "float32")
        out = jax.eval_shape(lambda: call_of(function)(case.structure.build(case.values)))
    except Exception:
        return True
    return getattr(out, "shape", None) == ()


def _differentiated(target: str, relation: str, wrt: Sequence[str], parameters: list[Parameter]) -> tuple[str, ...]:
    """Those asked for; else the first as in ``jax.grad``, or all as in ``jax.vjp``."""
    known = [p.name for p in parameters]
    if relation in ("equal_to", "at_most"):
        if wrt:
            raise DraftError(f"--wrt {','.join(wrt)}: {relation} differentiates nothing; leave --wrt out")
        return ()
    for name in wrt:
        if name not in known:
            raise DraftError(f"--wrt {name}: {target} has the arguments {', '.join(known) or 'none'}")
    floating = [p.name for p in parameters if p.floating]
    if not wrt and not floating:
        raise DraftError(f"{target}: has no argument to differentiate; it has {', '.join(known) or 'none'}")
    return tuple(wrt) or tuple(floating if relation in ("vjp", "jvp") else floating[:1])
