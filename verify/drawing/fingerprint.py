"""What a verdict depends on: the code of the hand-written function, of its reference, and of all that they call.

Compiled code is hashed, not its text: a comment or another place in the file changes nothing. Of libraries the version
counts. The walk follows the names that code mentions, through globals, closures, wrappers and modules.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import sys
import sysconfig
import types
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from handgrad.claims import Claim

LIBRARIES = ("jax", "jaxlib", "numpy", "scipy", "ml_dtypes", "python-flint")
_WRAPPED = ("__wrapped__", "func", "fun", "fwd", "bwd", "jvp", "args", "keywords")
"""Where wrappers (functools, jax.jit, custom_vjp, custom_jvp) keep what they wrap."""


@dataclass(frozen=True)
class Fingerprint:
    """The hash of all code that a claim reaches, the user's files among it, and the whole numbers it is written with,
    the hand-written function's own first."""

    digest: str
    files: tuple[str, ...]
    numbers: tuple[int, ...]


def fingerprint(claim: Claim) -> Fingerprint:
    """Of one claim; the same in every process until something that it depends on changes."""
    walk = _Walk(claim.module)
    for part in (claim.hand, claim.reference, claim.given, claim.wrt, claim.relation, claim.dtypes):
        walk.visit(part)
    walk.note(_tools())
    return Fingerprint(walk.hash.hexdigest()[:32], tuple(sorted(walk.files)), tuple(walk.numbers))


class _Walk:
    def __init__(self, module: str):
        self.hash = hashlib.sha256()
        self.files: set[str] = set()
        self.numbers: dict[int, None] = {}
        self.own = module.partition(".")[0]
        self._seen: dict[int, Any] = {}

    def note(self, *words: object) -> None:
        for word in words:
            self.hash.update(f"{word}\0".encode(errors="backslashreplace"))

    def visit(self, value: Any) -> None:
        if isinstance(value, (str, bytes, int, float, complex, bool, types.NoneType)):
            self.note(type(value).__name__, repr(value))
            if type(value) is int:
                self.numbers[value] = None
        elif isinstance(value, np.ndarray | np.generic):
            self.note(value.dtype, value.shape, hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest())
        elif id(value) in self._seen:
            self.note("again")
        else:
            self._seen[id(value)] = value  # kept alive, so that its id stays its own
            self._visit_object(value)

    def _visit_object(self, value: Any) -> None:
        if isinstance(value, dict):
            self._visit_all(x for k in sorted(value, key=str) for x in (k, value[k]))
        elif isinstance(value, list | tuple):
            self._visit_all(value)
        elif isinstance(value, set | frozenset):
            self._visit_all(sorted(value, key=repr))
        elif isinstance(value, types.CodeType):
            self._visit_code(value)
        elif isinstance(value, types.FunctionType):
            self._visit_function(value)
        elif isinstance(value, types.MethodType):
            self._visit_all((value.__func__, value.__self__))
        elif isinstance(value, types.ModuleType):
            self.note("module", value.__name__.rpartition(".")[2])
        elif isinstance(value, type):
            self._visit_class(value)
        else:
            self._visit_instance(value)

    def _visit_all(self, values: Iterable[Any]) -> None:
        for value in values:
            self.visit(value)

    def _visit_code(self, code: types.CodeType, docstring: str | None = None) -> None:
        self.note(code.co_code.hex(), code.co_names, code.co_varnames, code.co_freevars, code.co_argcount)
        self._visit_all(c for c in code.co_consts if docstring is None or c != docstring)

    def _visit_function(self, function: types.FunctionType) -> None:
        self.note("function", function.__qualname__)
        if self._is_library(function.__module__, function.__code__.co_filename):
            self.note(function.__module__)
            return
        if not self._is_library(None, function.__code__.co_filename):  # what dataclass generates has no file
            self.files.add(function.__code__.co_filename)
        self._visit_code(function.__code__, function.__doc__)
        self._visit_all((function.__defaults__, function.__kwdefaults__))
        self.note(sorted((k, repr(v)) for k, v in function.__annotations__.items()))
        for cell in function.__closure__ or ():
            try:
                self.visit(cell.cell_contents)
            except ValueError:  # not yet filled
                self.note("empty")
        names = set(_names(function.__code__))
        for name in sorted(names & function.__globals__.keys()):
            value = function.__globals__[name]
            self.visit(value)
            if isinstance(value, types.ModuleType):
                self._visit_module(value, names)
        self._visit_all(getattr(function, k) for k in ("__wrapped__",) if hasattr(function, k))

    def _visit_module(self, module: types.ModuleType, names: set[str]) -> None:
        """Of a module of the user's, what the code may take from it."""
        if not self._is_library(module.__name__, getattr(module, "__file__", None) or ""):
            for name in sorted(names & vars(module).keys()):
                self.visit(vars(module)[name])

    def _visit_class(self, cls: type) -> None:
        self.note("class", cls.__qualname__)
        module = sys.modules.get(cls.__module__)
        if self._is_library(cls.__module__, getattr(module, "__file__", None) or ""):
            return
        for name, member in sorted(vars(cls).items()):
            member = getattr(member, "__func__", getattr(member, "fget", member))
            if isinstance(member, types.FunctionType) or not name.startswith("__"):
                self.visit(member)
        self.note(sorted((k, repr(v)) for k, v in vars(cls).get("__annotations__", {}).items()))
        self._visit_all(cls.__bases__)

    def _visit_instance(self, value: Any) -> None:
        self.note("instance", type(value).__qualname__)
        if isinstance(value, functools.partial):
            self._visit_all((value.func, value.args, value.keywords))
            return
        for name in _WRAPPED:
            inner = inspect.getattr_static(value, name, None) if name != "__wrapped__" else _wrapped(value)
            if callable(inner) and not isinstance(inner, property | types.MethodDescriptorType):
                self.visit(inner)
        module = sys.modules.get(type(value).__module__)
        if not self._is_library(type(value).__module__, getattr(module, "__file__", None) or ""):
            self.visit(type(value))
            self.visit(getattr(value, "__dict__", None))
        elif hasattr(value, "__array__"):
            with suppress(Exception):  # a tracer, a key: its type has been noted
                self.visit(np.asarray(value))

    def _is_library(self, module: str | None, file: str) -> bool:
        if (module or "").partition(".")[0] == self.own:
            return False
        return not file or file.startswith(("<", *_library_folders()))


def _wrapped(value: Any) -> Any:
    try:
        return getattr(value, "__wrapped__", None)
    except Exception:
        return None


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


@functools.cache
def _library_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple({str(Path(paths[k])) for k in ("stdlib", "platstdlib", "purelib", "platlib")})


@functools.cache
def _tools() -> str:
    """The versions of the libraries, and verify's own code."""
    own = hashlib.sha256()
    for file in sorted(Path(__file__).parents[1].rglob("*.py")):
        own.update(file.read_bytes())
    return " ".join([*(f"{name} {version(name)}" for name in LIBRARIES), own.hexdigest()])
