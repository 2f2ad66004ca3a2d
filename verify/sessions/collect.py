"""Collection: from what the user typed (a module, a file, one claim) to claims.

Runs where the user's code runs, in a worker. A target that cannot be loaded is one message; the others are still
judged.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import pkgutil
import sys
import traceback
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import jax

from handgrad.claims import Claim, Relation, registered_claims, source_of


class TargetError(Exception):
    """A target that cannot be loaded, or that holds no such claim: one message."""


def collect(target: str) -> tuple[list[Claim], list[str]]:
    """The claims of one target, and what could not be loaded of it."""
    place, _, wanted = target.partition("::")
    if not place:
        raise TargetError(f"{target!r}: names no place; wanted a file (path.py), a module (pkg.mod) or path.py::name")
    if place.startswith("scan:"):
        return [_scanned(target)], []
    problems: list[str] = []
    with _without_bytecode():
        modules = [_file(place)] if is_file(place) else _package(place, problems)
    claims = claims_of(modules)
    if not wanted:
        return claims, problems
    chosen = [c for c in claims if c.name == wanted or c.name.rpartition(".")[0] == wanted]
    if not chosen:
        near = difflib.get_close_matches(wanted, [c.name for c in claims], 1)
        hint = f"did you mean {place}::{near[0]}?" if near else f"`verify list {place}` shows what it has"
        raise TargetError(f"{target}: {place} has no claim {wanted!r}; {hint}")
    return chosen, problems


@contextmanager
def _without_bytecode() -> Iterator[None]:
    """Python takes bytecode for that of a source of the same size and second; the user's next edit may come sooner."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def _scanned(target: str) -> Claim:
    """A rule that ``verify scan`` found."""
    from verify.scan.call import Uncallable, target_of

    try:
        return target_of(target).called().claim
    except (ImportError, Uncallable) as error:
        raise TargetError(f"{target}: {error}") from None


def claims_of(modules: Sequence[ModuleType]) -> list[Claim]:
    """The claims made in some modules or below them, and the annotated custom rules defined in them."""
    names = tuple(f"{m.__name__}." for m in modules)
    made = [c for c in registered_claims() if f"{c.module}.".startswith(names)]
    return made + [c for m in modules for c in _custom_rules(m)]


def load(place: str) -> ModuleType:
    """The module of a file or of a name, without its submodules. Raises ``TargetError``."""
    return _file(place) if is_file(place) else _module(place)


def is_file(place: str) -> bool:
    return place in (".", "..") or place.endswith(".py") or "/" in place or "\\" in place


def _file(place: str) -> ModuleType:
    """Runs a file as ``python path.py`` would find its neighbours, under the name of its stem."""
    path = Path(place)
    if path.is_fifo() or path.is_char_device():
        raise TargetError(f"{place}: is no regular file; wanted a file (path.py), a module (pkg.mod) or path.py::name")
    if not path.exists():
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.py")], 1)
        hint = f"; did you mean {path.parent / near[0]}?" if near else ""
        raise TargetError(f"{place}: there is no such file{hint}")
    if path.is_dir():
        raise TargetError(f"{place}: is a folder; wanted a file (path.py), a module (pkg.mod) or path.py::name")
    resolved = path.resolve()
    name = resolved.stem
    if name in sys.modules:
        known = getattr(sys.modules[name], "__file__", None)
        if known and Path(known).resolve() == resolved:
            return sys.modules[name]
        name = f"{name}_{zlib.crc32(str(resolved).encode()):08x}"  # the same in every process
    spec = importlib.util.spec_from_file_location(name, resolved)
    if spec is None or spec.loader is None:
        raise TargetError(f"{place}: is no Python file; wanted path.py, pkg.mod or path.py::name")
    module = importlib.util.module_from_spec(spec)
    if str(resolved.parent) not in sys.path:
        sys.path.insert(0, str(resolved.parent))
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        sys.modules.pop(name, None)
        if isinstance(error, KeyboardInterrupt):
            raise
        raise TargetError(f"{place}: {_why(error, resolved)}") from None
    return module


def _module(place: str) -> ModuleType:
    try:
        return importlib.import_module(place)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        if isinstance(error, ModuleNotFoundError) and error.name and place.startswith(error.name):
            raise TargetError(f"{place}: there is no module of this name{_instead(place)}") from None
        raise TargetError(f"{place}: {_why(error, None)}") from None


def _instead(place: str) -> str:
    """What to type for ``pkg.mod.function``, or what may be typed at all."""
    module, _, name = place.rpartition(".")
    if hasattr(sys.modules.get(module), name):
        return f"; did you mean {module}::{name}?"
    return "; wanted a module (pkg.mod), a file (path.py) or one claim (path.py::name)"


def _package(place: str, problems: list[str]) -> list[ModuleType]:
    """A module, or a package with its submodules; one that fails to import is a problem, not the end."""
    module = _module(place)
    found = [module]
    for info in _submodules(module):
        try:
            found.append(importlib.import_module(info))
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            problems.append(f"{info}: {_why(error, None)}")
    return found


def _submodules(module: ModuleType) -> Iterator[str]:
    for info in pkgutil.walk_packages(getattr(module, "__path__", []), f"{module.__name__}.", lambda name: None):
        if not info.name.endswith(".__main__"):
            yield info.name


def _custom_rules(module: ModuleType) -> Iterator[Claim]:
    """Annotated ``custom_vjp`` and ``custom_jvp`` functions, claims as they stand."""
    for name, thing in list(vars(module).items()):
        rule = rule_of(name, thing)
        if rule is not None and rule.module == module.__name__:
            yield rule


def rule_of(name: str, thing: Any) -> Claim | None:
    """The claim that a custom rule is: its rule against its own primal. None without annotations."""
    relation = _relation(thing)
    if relation is None:
        return None
    parameters = inspect.signature(thing.fun).parameters.values()
    if not any(p.annotation is not inspect.Parameter.empty for p in parameters):
        return None
    file, line = source_of(thing.fun)
    return Claim(name, relation, thing, thing.fun, module=thing.__module__, file=file, line=line)


def _relation(thing: object) -> Relation | None:
    if isinstance(thing, jax.custom_vjp):
        return "custom_vjp"
    return "custom_jvp" if isinstance(thing, jax.custom_jvp) else None


def _why(error: BaseException, path: Path | None) -> str:
    """One line: what was raised, and at which line of the user's file."""
    if isinstance(error, SyntaxError):
        where = f"line {error.lineno}" if error.lineno else "somewhere"
        return f"syntax error in {where}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    mine = [f for f in frames if path is None or f.filename == str(path)]
    ours = ("importlib", "verify/sessions/collect.py")
    outside = [f for f in mine if not any(part in f.filename for part in ours)]
    where = f" at line {outside[-1].lineno} of {Path(outside[-1].filename).name}" if outside else ""
    text = str(error).strip().splitlines()
    return f"cannot be loaded: {type(error).__name__}: {text[0] if text else 'no message'}{where}"
