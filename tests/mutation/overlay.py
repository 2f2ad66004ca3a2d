"""The catalogue with one module replaced: its source, mutated, under its own name in this process."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType

import jax

import handgrad
from handgrad import claims

KEPT = ("handgrad.claims", "handgrad.domains")
"""The vocabulary: `verify` compares with these very objects."""


class _Mutated(importlib.machinery.SourceFileLoader):
    """Loads other text in place of a file's."""

    def __init__(self, name: str, path: str, text: str):
        super().__init__(name, path)
        self.text = text

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.text, self.path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, module: str, path: str, text: str):
        self.module, self.path, self.text = module, path, text

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self.module:
            return None
        return importlib.util.spec_from_file_location(name, self.path, loader=_Mutated(name, self.path, self.text))


def path_of(module: str) -> Path:
    """The file of a module of the catalogue."""
    return Path(handgrad.__file__).parent / f"{module.removeprefix('handgrad.').replace('.', '/')}.py"


def install(module: str, text: str) -> None:
    """From here on the catalogue is imported anew, ``module`` from ``text``; its claims are registered anew."""
    forget()
    sys.meta_path.insert(0, _Finder(module, str(path_of(module)), text))


def forget() -> None:
    """The catalogue was never imported, nor mutated; its claims are not registered."""
    sys.meta_path[:] = [f for f in sys.meta_path if not isinstance(f, _Finder)]
    for name in [n for n in sys.modules if n.startswith("handgrad.") and n not in KEPT]:
        del sys.modules[name]
        parent, _, child = name.rpartition(".")
        if hasattr(sys.modules.get(parent), child):
            delattr(sys.modules[parent], child)
    claims._REGISTRY.clear()
    jax.clear_caches()
