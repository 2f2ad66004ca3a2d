"""Inputs that somebody wrote down: the registry that comes with ``verify``, and the user's own file.

Both map a rule's full name to its arguments. The registry is TOML and holds domains, never rules or verdicts. The
user's file is TOML, too, or Python with a dictionary ``GIVEN`` of annotations, specifications and strategies.
"""

from __future__ import annotations

import runpy
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from verify.drawing.signature import SignatureError
from verify.scan.describe import described

REGISTRY = Path(__file__).with_name("registry.toml")
Inputs = Mapping[str, Mapping[str, Any]]


class GivenError(Exception):
    """The user's file cannot be used: one message."""


@cache
def inputs_of(path: str) -> Inputs:
    """The inputs in a file, by the full name of the rule."""
    file = Path(path)
    if file.suffix == ".py":
        return _python(file)
    if file.suffix != ".toml":
        raise GivenError(f"{path}: wanted a TOML (.toml) or Python (.py) file of inputs")
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise GivenError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise GivenError(f"{path}: not TOML: {error}") from None
    for name, entry in content.items():
        if not isinstance(entry, dict):
            raise GivenError(f'{path}: {name} is no table; wanted ["pkg.module.rule"] and a line for each argument')
    return content


def _python(file: Path) -> Inputs:
    try:
        found = runpy.run_path(str(file)).get("GIVEN")
    except OSError as error:
        raise GivenError(f"{file}: cannot be read: {error.strerror}") from None
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise GivenError(f"{file}: cannot be loaded: {type(error).__name__}: {error}") from None
    if not isinstance(found, Mapping) or not all(isinstance(v, Mapping) for v in found.values()):
        raise GivenError(
            f'{file}: wanted a dictionary GIVEN = {{"pkg.module.rule": {{"x": Float[Array, "n"]}}}} in it'
        )
    return found


def arguments_of(path: str, name: str) -> dict[str, Any] | None:
    """What a file says of one rule, ready for ``given=``."""
    entry = inputs_of(path).get(name)
    if entry is None:
        return None
    if path.endswith(".py"):
        return dict(entry)
    try:
        return {k: described(v, f"{Path(path).name}, {name}, argument {k!r}") for k, v in entry.items()}
    except SignatureError as error:
        raise GivenError(str(error)) from None
