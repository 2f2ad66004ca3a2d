"""The source of a hand-written function, told apart into derivation and code."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from handgrad.claims import unwrapped
from verify.figure_data.figures import Source

MOST = 8000
"""Characters of code, and of a derivation, that a record keeps."""


def source_of(function: Callable[..., Any]) -> Source | None:
    """What stands in the file; None where there is no file (a lambda in a shell, generated code)."""
    inner = unwrapped(function)
    try:
        lines, first = inspect.getsourcelines(inner)
    except (OSError, TypeError, IndentationError, SyntaxError):
        return None
    text = textwrap.dedent("".join(lines))
    return Source(_clipped(_without_docstring(text)), _clipped(inspect.getdoc(inner) or ""), first)


def _without_docstring(text: str) -> str:
    try:
        function = ast.parse(text).body[0]
    except SyntaxError:  # a lambda in the middle of an expression
        return text.rstrip()
    body = getattr(function, "body", None)
    if not isinstance(body, list) or len(body) < 2 or ast.get_docstring(function, clean=False) is None:  # type: ignore[arg-type]
        return text.rstrip()
    first, rest = body[0], body[1]
    lines = text.splitlines()
    if rest.lineno <= first.end_lineno:  # on one line, after a semicolon
        return text.rstrip()
    return "\n".join([*lines[: first.lineno - 1], *lines[first.end_lineno :]]).rstrip()


def _clipped(text: str) -> str:
    return text if len(text) <= MOST else text[:MOST] + "\n..."
