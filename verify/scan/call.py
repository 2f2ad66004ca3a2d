"""How to call a rule: what its arguments are, from the best source that says so.

In this order: the user's file, annotations and defaults, the registry, an example in a docstring, and for functions
that work entry by entry trial calls. The source is told with the outcome.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from handgrad.claims import Claim
from verify.drawing.signature import SignatureError, Spec, StaticSpec, parameters_of, read, signature_of
from verify.scan.examples import example_of
from verify.scan.find import Rule, at
from verify.scan.found import Package, Place
from verify.scan.given import REGISTRY, GivenError, arguments_of
from verify.scan.trial import tried

PREFIX = "scan:"
GUESSED = ("the registry", "a docstring example", "trial calls")


class Uncallable(Exception):
    """No source says how to call a rule."""


@dataclass(frozen=True)
class Called:
    """A claim, and where its inputs come from."""

    claim: Claim
    source: str

    @property
    def note(self) -> str:
        arguments = signature_of(self.claim).arguments
        return f"called with {', '.join(f'{k}: {_short(s)}' for k, s in arguments.items())} (from {self.source})"


@dataclass(frozen=True)
class Waiting:
    """A rule that was found, to be called when its turn comes."""

    place: Place
    package: Package

    @property
    def target(self) -> str:
        """What finds this rule again: ``scan:pkg.module::Class.rule``."""
        options = [f"given={os.path.abspath(self.package.given)}"] if self.package.given else []
        options += [] if self.package.registry else ["registry=no"]
        return f"{PREFIX}{self.place.module}{'?' if options else ''}{'&'.join(options)}::{self.place.path}"

    def called(self) -> Called:
        rule = at(importlib.import_module(self.place.module), self.place.path)
        if rule is None:
            raise Uncallable(f"{self.place.module} has no rule {self.place.path!r} any more")
        given, source = self._inputs(rule)
        relation: Any = rule.relation
        claim = Claim(
            str(self.place), relation, rule.rule, rule.primal, given=given, module=self.place.module,
            file=self.place.file, line=self.place.line,
        )  # fmt: skip
        try:
            signature_of(claim)
        except SignatureError as error:
            raise Uncallable(str(error)) from None
        return Called(claim, source)

    def _inputs(self, rule: Rule) -> tuple[dict[Any, Any], str]:
        name, package = str(self.place), self.package
        known = _receiver(self.place, rule)
        if package.given and (own := arguments_of(package.given, name)) is not None:
            return {**known, **own}, "the file given"
        missing = _missing(rule, known)
        if not missing:
            return known, "annotations"
        if package.registry and (listed := arguments_of(str(REGISTRY), name)) is not None:
            return {**known, **listed}, "the registry"
        if (shown := example_of(rule)) is not None:
            return {**known, **shown}, "a docstring example"
        found = tried(rule, known)
        if found is not None:
            return {**known, **found}, "trial calls"
        names = ", ".join(missing)
        raise Uncallable(f"nothing says what {names} {'is' if len(missing) == 1 else 'are'}, and no trial call worked")

    @property
    def lines(self) -> str:
        """What a user would write to have it judged."""
        rule = at(importlib.import_module(self.place.module), self.place.path)
        names = _missing(rule, _receiver(self.place, rule)) if rule else ["x"]
        body = "; ".join(f"{n} = 'Float[Array, \"n\"]'" for n in names or ["x"])
        return f'["{self.place}"] {body}'


def target_of(text: str) -> Waiting:
    """The rule of a target ``scan:pkg.module::Class.rule``."""
    place, _, path = text.removeprefix(PREFIX).partition("::")
    module, _, options = place.partition("?")
    given: dict[str, str] = {}
    for option in filter(None, options.split("&")):
        key, _, value = option.partition("=")
        given[key] = value
    package = Package(module, given=given.get("given"), registry=given.get("registry") != "no")
    rule = at(importlib.import_module(module), path)
    file, line = ("", 0)
    if rule is not None:
        from handgrad.claims import source_of

        file, line = source_of(rule.primal)
    return Waiting(Place(module, path, file, line), package)


def waiting_in(package: Package) -> tuple[list[Waiting], list[str]]:
    """The rules of a package; their modules are imported here, and what these print goes nowhere."""
    found: list[Waiting] = []
    problems: list[str] = []
    with silenced():
        for place in package.places:
            try:
                importlib.import_module(place.module)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                problems.append(f"{place.module}: {type(error).__name__}: {error}")
                continue
            found.append(Waiting(place, package))
    return found, problems


@contextmanager
def silenced() -> Iterator[None]:
    """Nothing that is printed meanwhile is seen."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        yield
    finally:
        for number, copy in enumerate(kept, 1):
            os.dup2(copy, number)
            os.close(copy)
        os.close(nowhere)


def _receiver(place: Place, rule: Rule) -> dict[str, Any]:
    """``self`` of a method's rule: an instance made without arguments, if there is such."""
    owner, _, _ = place.path.rpartition(".")
    first = next(iter(inspect.signature(rule.primal).parameters), None)
    if not owner or first != "self":
        return {}
    cls: Any = importlib.import_module(place.module)
    for name in owner.split("."):
        cls = getattr(cls, name)
    try:
        return {"self": StaticSpec((cls(),))}
    except Exception:  # it wants arguments: the user may give one
        return {}


def _missing(rule: Rule, known: Mapping[str, Any]) -> list[str]:
    """The arguments of which neither an annotation nor a default says what they are."""
    missing = []
    for name, (annotation, default) in parameters_of(rule.primal).items():
        if name in known or (annotation is inspect.Parameter.empty and default is not inspect.Parameter.empty):
            continue
        try:
            read(annotation, name)
        except SignatureError:
            missing.append(name)
    return missing


def with_note(record: Any, called: Called) -> Any:
    """An outcome with how it was come by; an error at guessed inputs is the guess's."""
    record = replace(record, notes=(called.note, *record.notes))
    rules_own = (record.reason or "").startswith("the hand-written function")
    if record.verdict == "error" and called.source in GUESSED and not rules_own:
        record = replace(record, verdict="unresolved", reason=f"not judged: {record.reason}")
    return record


def _short(spec: Spec) -> str:
    text = str(spec)
    return text if len(text) <= 80 else f"{text[:77]}..."


__all__ = ["Called", "GivenError", "Uncallable", "Waiting", "target_of", "waiting_in", "with_note"]
