"""The text of a starting file: imports, a claim, and a stub of the hand-written derivative."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handgrad import domains

STUBS = {
    "gradient": ("gradient", "the gradient of {f} with respect to {wrt}"),
    "vjp": ("vjp", "the cotangent of {wrt}, that of the output pulled back through {f}"),
    "jvp": ("differential", "the differential of {f}, its change as {wrt} changes by {d}"),
    "value_and_gradient": ("value_and_gradient", "the pair of {f} and its gradient with respect to {wrt}"),
    "hvp": ("hvp", "the Hessian of {f} with respect to {wrt}, times {d}"),
    "equal_to": ("closed_form", "a closed form that equals {f}"),
    "at_most": ("lower_bound", "a bound that is at most {f}, entry by entry"),
}
"""By relation: how the stub's name ends, and what is to be written in it."""

BY_NAME, BY_PLACE = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_ONLY


@dataclass(frozen=True)
class Parameter:
    """A parameter of the function. ``text`` is its annotation, None where only the function's module can write it;
    ``known`` is false where it says nothing about the shape."""

    name: str
    kind: Any
    text: str | None
    floating: bool
    known: bool


@dataclass(frozen=True)
class Stub:
    """What is to be written: the ``relation`` of a stub to the function of this ``path`` in its module, whose
    parameters and value have these annotations."""

    path: str
    relation: str
    wrt: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    value: str | None

    @property
    def name(self) -> str:
        return f"{self.path.rpartition('.')[2]}_{STUBS[self.relation][0]}"

    def file(self, module: str, folder: str) -> str:
        """The text; ``folder`` is where the module lies, as seen from the file."""
        decorator = self.relation if self.relation in ("equal_to", "at_most") else f"{self.relation}_of"
        what = STUBS[self.relation][1].format(
            f=self.path, wrt=", ".join(self.wrt), d=", ".join(f"d{name}" for name in self.wrt)
        )
        code = [
            f"@{decorator}({self._claimed()})",
            f"def {self.name}(",
            *(f"    {line}" for line in self._parameters()),
            f") -> {self._returned()}:" if self._returned() else "):",
            f'    raise NotImplementedError("to be written: {what}")',
        ]
        found = [f"from {module} import {self.path.partition('.')[0]}"]
        if folder != ".":
            there = f'sys.path.append(str(Path(__file__).parent / "{Path(folder).as_posix()}"))'
            found = ["", there, f"{found[0]}  # noqa: E402"]
        imports = _imports("\n".join([*found, *code]), decorator)
        return "\n".join([f'"""{what[0].upper()}{what[1:]}, by hand."""', *imports, *found, "", "", *code, ""])

    def _claimed(self) -> str:
        names = ", ".join(f'"{name}"' for name in self.wrt)
        if not self.wrt:
            return self.path
        return f"{self.path}, wrt={names if len(self.wrt) == 1 else f'({names})'}"

    def _parameters(self) -> Iterator[str]:
        kinds = [p.kind for p in self.parameters]
        for i, p in enumerate(self.parameters):
            if p.kind is BY_NAME and BY_NAME not in kinds[:i]:
                yield "*,"
            asked = "" if p.known else f'  # of what shape? {p.name}: Float[Array, "m n"], for example'
            yield _annotated(p.name, p.text) + asked
            if p.kind is BY_PLACE and BY_PLACE not in kinds[i + 1 :]:
                yield "/,"
        if self.relation in ("vjp", "jvp", "hvp") and BY_NAME not in kinds:
            yield "*,"
        if self.relation == "vjp":
            yield _annotated("cotangent", self.value)
        if self.relation in ("jvp", "hvp"):
            yield from (_annotated(f"d{p.name}", _plain(p.text)) for p in self.parameters if p.name in self.wrt)

    def _returned(self) -> str | None:
        """What the stub returns, where the annotations tell."""
        if self.relation in ("equal_to", "at_most", "jvp"):
            return self.value
        texts = {p.name: _plain(p.text) for p in self.parameters}
        parts = [texts[name] for name in self.wrt]
        gradient = parts[0] if len(parts) == 1 else f"tuple[{', '.join(map(str, parts))}]"
        both = self.relation == "value_and_gradient"
        if None in parts or (both and self.value is None):
            return None
        return f"tuple[{self.value}, {gradient}]" if both else gradient


def _annotated(name: str, text: str | None) -> str:
    return f"{name}: {text}," if text else f"{name},"


def _plain(text: str | None) -> str | None:
    """Without the domain: tangents and gradients are those of the ambient space."""
    return text.removeprefix("Annotated[").rpartition("], ")[0] + "]" if text and text[:9] == "Annotated" else text


def _imports(code: str, decorator: str) -> list[str]:
    """The imports that the code needs, after a blank line."""
    import jaxtyping

    standard = ["import sys", "from pathlib import Path"] if "sys.path" in code else []
    standard += ["from typing import Annotated"] if "Annotated[" in code else []
    arrays = [name for name in dir(jaxtyping) if f"{name}[Array" in code]
    used = [name for name in domains.__all__ if f"], {name}" in code]
    return [
        *(["", *standard] if standard else []),
        *(["", f"from jaxtyping import {', '.join(sorted({'Array', *arrays}))}"] if arrays else []),
        "",
        f"from handgrad import {decorator}",
        *([f"from handgrad.domains import {', '.join(used)}"] if used else []),
    ]
