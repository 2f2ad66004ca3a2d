"""``-k``: which claims an expression of names chooses, as in pytest."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Any

from verify.options import BadUsage


def keyword(expression: str) -> Callable[[str], bool]:
    """pytest's -k: names combined with and, or, not; a name matches if it occurs in the claim's."""
    words = re.findall(r"[^\s()]+", expression)
    source = expression
    named: dict[str, str] = {}
    for word in dict.fromkeys(words):
        if word in ("and", "or", "not"):
            continue
        variable = f"w{len(named)}"
        named[variable] = word.lower()
        source = re.sub(rf"(?<![^\s()]){re.escape(word)}(?![^\s()])", variable, source)
    try:
        tree = ast.parse(source.strip(), mode="eval")
    except SyntaxError:
        raise BadUsage(f"-k {expression!r} is no expression; wanted e.g. 'ridge and not solution'") from None
    allowed = (ast.Expression, ast.BoolOp, ast.UnaryOp, ast.And, ast.Or, ast.Not, ast.Name, ast.Load)
    if any(not isinstance(node, allowed) for node in ast.walk(tree)):
        raise BadUsage(f"-k {expression!r}: only names, and, or, not and parentheses are understood")

    def holds(node: Any, name: str) -> bool:
        if isinstance(node, ast.Expression):
            return holds(node.body, name)
        if isinstance(node, ast.BoolOp):
            combine = all if isinstance(node.op, ast.And) else any
            return combine(holds(v, name) for v in node.values)
        if isinstance(node, ast.UnaryOp):
            return not holds(node.operand, name)
        return named[node.id] in name

    return lambda name: holds(tree, name.lower())
