"""What a look into a package gives: rules, places of rules that cannot be reached, modules that fail. No JAX here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Place:
    """Where a rule is: ``module`` and the path of attributes in it that lead there (``Layer.call``)."""

    module: str
    path: str
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.module}.{self.path}"


@dataclass(frozen=True)
class Unreachable:
    """A rule that is made inside a function: there is no object to judge before that function has run."""

    module: str
    name: str
    inside: str
    file: str
    line: int

    @property
    def reason(self) -> str:
        return f"made anew inside {self.inside} at each call: no object to judge"


@dataclass(frozen=True)
class Package:
    """A package as scanned: what the workers are asked to load."""

    name: str
    places: tuple[Place, ...] = ()
    unreachable: tuple[Unreachable, ...] = ()
    failures: tuple[str, ...] = ()
    modules: int = 0
    given: str | None = None
    """The user's file of inputs."""
    registry: bool = True

    def __str__(self) -> str:
        return self.name

    @property
    def facts(self) -> dict[str, Any]:
        """For the record."""
        return {
            "package": self.name,
            "modules": self.modules,
            "rules": len(self.places),
            "registry": self.registry,
            "given": self.given,
            "failed_imports": list(self.failures),
            "unreachable": [{"name": f"{u.module}.{u.inside}.{u.name}", "line": u.line} for u in self.unreachable],
        }
