"""Examples in docstrings: a call of the function that its own ``>>>`` lines show."""

from __future__ import annotations

import ast
import doctest
import inspect
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from verify.scan.describe import spec_like
from verify.scan.find import Rule
from verify.tracing.relations import static_names


def example_of(rule: Rule) -> dict[str, Any] | None:
    """The arguments of the first call in the docstring that can be evaluated, each as a specification."""
    name = getattr(rule.primal, "__name__", "")
    namespace = {"jax": jax, "jnp": jnp, "np": np, "numpy": np}
    namespace |= vars(sys.modules.get(rule.module, object())) if rule.module in sys.modules else {}
    static = static_names(rule.rule, rule.primal)
    try:
        examples = doctest.DocTestParser().get_examples(inspect.getdoc(rule.primal) or "")
    except ValueError:  # a malformed docstring
        return None
    for example in examples:
        try:
            tree = ast.parse(example.source)
            for call in _calls(tree, name):
                bound = _bound(rule, call, namespace)
                return {k: spec_like(v, k, k in static) for k, v in bound.items()}
            exec(compile(tree, "<docstring>", "exec"), namespace)
        except Exception:  # an example that needs more than we have
            continue
    return None


def _calls(tree: ast.AST, name: str) -> list[ast.Call]:
    return [
        n for n in ast.walk(tree)
        if isinstance(n, ast.Call) and (getattr(n.func, "id", None) or getattr(n.func, "attr", None)) == name
    ]  # fmt: skip


def _bound(rule: Rule, call: ast.Call, namespace: dict[str, Any]) -> dict[str, Any]:
    def value(node: ast.expr) -> Any:
        return eval(compile(ast.Expression(node), "<docstring>", "eval"), namespace)

    bound = inspect.signature(rule.primal).bind(
        *map(value, call.args), **{k.arg: value(k.value) for k in call.keywords if k.arg}
    )
    return dict(bound.arguments)
