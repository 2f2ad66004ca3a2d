"""Trial calls: a function that works entry by entry shows its domain by what it evaluates to.

Arrays of one shape are tried in each domain; kept is the widest in which values and rule come out finite. A norm, which
gives one number, will do as well.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from handgrad.domains import Domain, interval, positive, real, unit_interval
from verify.drawing.signature import ArraySpec, Axis, StaticSpec
from verify.scan.find import Rule
from verify.tracing.relations import static_names

DOMAINS: tuple[Domain, ...] = (real, positive, unit_interval, interval(-1, 1), interval(1, 20))
AXES = ("axis", "dim")
"""Static arguments without a default whose usual value everybody knows: the last axis."""
SHAPE = (7,)
DRAWS = 6
FINITE = 0.97
MOST_TRIED = 40


def tried(rule: Rule, known: Mapping[str, Any]) -> dict[str, Any] | None:
    """The arguments of an element-wise function, as specifications; None if no trial works."""
    static = static_names(rule.rule, rule.primal)
    arrays, fixed = [], {}
    for name, p in inspect.signature(rule.primal).parameters.items():
        if name in known or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            continue
        if p.default is not p.empty:
            fixed[name] = StaticSpec((p.default,))
        elif name in static:
            if name not in AXES:
                return None
            fixed[name] = StaticSpec((-1,))
        else:
            arrays.append(name)
    if not 1 <= len(arrays) <= 4:
        return None
    widest_first = sorted(itertools.product(range(len(DOMAINS)), repeat=len(arrays)), key=sum)
    alike = [(i,) * len(arrays) for i in range(len(DOMAINS))]
    for choice in [*widest_first[:MOST_TRIED], *alike]:
        chosen = {name: DOMAINS[i] for name, i in zip(arrays, choice, strict=True)}
        if _works(rule, chosen, {**fixed, **known}):
            axes = (Axis("n"),)
            return {k: ArraySpec("float", None, axes, d) for k, d in chosen.items()} | fixed
    return None


def _works(rule: Rule, chosen: Mapping[str, Domain], fixed: Mapping[str, StaticSpec]) -> bool:
    """Whether values have the arguments' shape, and they and the rule's derivative are finite."""
    rng = np.random.default_rng(0)
    names = [n for n in inspect.signature(rule.primal).parameters if n in chosen or n in fixed]
    finite = total = 0
    for _ in range(DRAWS):
        drawn = {k: jnp.asarray(_drawn(rng, d), jnp.float32) for k, d in chosen.items()}

        def call(moving: Any) -> Any:
            return rule.rule(*(moving[n] if n in moving else fixed[n].values[0] for n in names))

        try:
            value = rule.primal(*(drawn[n] if n in drawn else fixed[n].values[0] for n in names))
            if not all(jnp.shape(x) in (SHAPE, ()) for x in jax.tree_util.tree_leaves(value)):
                return False
            moved = jax.vjp(call, drawn)[1](jax.tree_util.tree_map(_cotangent, value))[0]
        except Exception:
            return False
        leaves = [x for x in jax.tree_util.tree_leaves((value, moved)) if jnp.issubdtype(x.dtype, jnp.inexact)]
        finite += sum(int(jnp.isfinite(x).sum()) for x in leaves)
        total += sum(x.size for x in leaves)
    return total > 0 and finite >= FINITE * total


def _cotangent(x: Any) -> Any:
    return jnp.ones_like(x) if jnp.issubdtype(x.dtype, jnp.inexact) else np.zeros(x.shape, jax.dtypes.float0)


def _drawn(rng: np.random.Generator, domain: Domain) -> np.ndarray:
    if domain is real:
        return 3 * rng.standard_normal(SHAPE)
    if domain is positive:
        return np.exp(rng.standard_normal(SHAPE))
    assert domain.low is not None and domain.high is not None
    return rng.uniform(domain.low, domain.high, SHAPE)
