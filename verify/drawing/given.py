"""``given=``: the user's Hypothesis strategies, and the structures found among their examples.

All examples are drawn once. Those of one pytree structure are then compared: axes whose sizes agree in every
example become one symbolic dimension, axes that never vary a constant, so a drawn network is traced once for all
its widths.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from verify.drawing.specification import GivenSpec, SignatureError

if TYPE_CHECKING:
    from verify.drawing.cases import Structure
from verify.drawing.draws import Draws


@dataclass(frozen=True, eq=False)
class Example:
    """One example: its structure, its sizes, and the array leaves of the given arguments."""

    structure: Structure
    dims: Mapping[str, int]
    values: tuple[np.ndarray, ...]


def draw_examples(
    specs: Sequence[GivenSpec], sizes: Sequence[Mapping[str, int]], seed: int, count: int
) -> list[tuple[Mapping[str, int], dict[str, Any]]]:
    """Draws from every strategy together; a function of the sizes is called with drawn sizes first."""
    import hypothesis
    from hypothesis import strategies as st
    from hypothesis.errors import HypothesisException, Unsatisfiable

    def strategy_of(spec: GivenSpec, chosen: Mapping[str, int]) -> Any:
        source = spec.source
        if isinstance(source, st.SearchStrategy):
            return source
        if not callable(source):
            raise SignatureError(
                f"given={{{', '.join(map(repr, spec.names))}: ...}} is {source!r}; wanted a Hypothesis strategy, "
                f"or a function from the drawn sizes to one"
            )
        made = source(dict(chosen)) if inspect.signature(source).parameters else source()
        if not isinstance(made, st.SearchStrategy):
            raise SignatureError(
                f"given= for {', '.join(spec.names)}: the function returned {type(made).__name__}; "
                f"wanted a Hypothesis strategy"
            )
        return made

    found: list[tuple[Mapping[str, int], dict[str, Any]]] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),  # pyright: ignore[reportArgumentType]
        derandomize=False,
    )
    @hypothesis.given(st.data())
    def collect(data: Any) -> None:
        # Drawn, so that a narrow strategy (two options) is tried at many sizes all the same.
        chosen = sizes[data.draw(st.sampled_from(range(len(sizes))))]
        drawn: dict[str, Any] = {}
        for spec in specs:
            try:
                value = data.draw(strategy_of(spec, chosen))
            except (SignatureError, HypothesisException):
                raise
            except Exception as error:
                raise SignatureError(
                    f"given= for {', '.join(spec.names)} raised {type(error).__name__}: {error} while an example was "
                    f"drawn; mend the strategy"
                ) from None
            if len(spec.names) == 1:
                drawn[spec.names[0]] = value
                continue
            if not isinstance(value, tuple | list) or len(value) != len(spec.names):
                raise SignatureError(
                    f"given= for {spec.names!r} drew {type(value).__name__}; wanted a tuple of {len(spec.names)}"
                )
            drawn.update(zip(spec.names, value, strict=True))
        found.append((chosen, drawn))

    with suppress(Unsatisfiable):
        collect()
    if not found:
        raise SignatureError("the strategy in given= drew no example: loosen its filters")
    return found


def grouped(
    draws: Draws,
    examples: Sequence[tuple[Mapping[str, int], dict[str, Any]]],
    variants: Sequence[tuple[dict[str, int], dict[str, Any]]],
) -> list[Example]:
    """Finds the structures among the examples and the symbolic dimensions of each."""
    from verify.drawing.draws import MOST_STRUCTURES

    groups: dict[Any, list[tuple[Mapping[str, int], list[np.ndarray | None], Any]]] = {}
    for i, (sizes, drawn) in enumerate(examples):
        variant = i % len(variants)
        leaves, treedef = jax.tree_util.tree_flatten_with_path(drawn, is_leaf=lambda x: x is None)
        arrays = [_as_array(x) for _, x in leaves]
        statics = tuple(_hashable(x) for (_, x), a in zip(leaves, arrays, strict=True) if a is None)
        kinds = tuple(None if a is None else (a.ndim, a.dtype.kind) for a in arrays)
        groups.setdefault((variant, treedef, kinds, statics), []).append((sizes, arrays, leaves))
    largest = sorted(groups, key=lambda k: -len(groups[k]))[:MOST_STRUCTURES]
    kept = {k: groups[k] for k in groups if k in largest}
    found: list[Example] = []
    for number, (key, members) in enumerate(kept.items()):
        found += _members(draws, f"given{number}", key, members, variants[key[0]])
    order = draws.rng(5).permutation(len(found))
    return [found[i] for i in order]


def _members(draws: Draws, key: str, group: Any, members: Any, variant: Any) -> list[Example]:
    from verify.drawing.cases import Leaf, Structure
    from verify.drawing.draws import GIVEN_DOMAIN, _plan

    ranks, statics = variant
    _, treedef, _, _ = group
    names = draws.signature.dims
    columns: dict[tuple[int, ...], str] = {tuple(s[n] for s, _, _ in members): n for n in reversed(names)}
    given_leaves: list[Leaf] = []
    for at, (path, _) in enumerate(members[0][2]):
        if members[0][1][at] is None:
            continue
        label = path[0].key + jax.tree_util.keystr(path[1:])
        shape = []
        for axis in range(members[0][1][at].ndim):
            column = tuple(arrays[at].shape[axis] for _, arrays, _ in members)
            if len(set(column)) == 1:
                shape.append(str(column[0]))
            else:
                shape.append(columns.setdefault(column, f"d{len(columns)}"))
        kind = {"f": "float", "c": "complex", "b": "bool"}.get(members[0][1][at].dtype.kind, "int")
        given_leaves.append(Leaf(label, kind, None, tuple(shape), GIVEN_DOMAIN))
    frozen = [x if a is None else None for (_, x), a in zip(members[0][2], members[0][1], strict=True)]
    is_array = [a is not None for a in members[0][1]]
    leaves: list[Leaf] = list(given_leaves)
    builders: dict[str, Any] = {}
    for name, spec in draws.signature.arguments.items():
        if not isinstance(spec, GivenSpec):
            builders[name] = _plan(name, spec, ranks, statics, leaves)

    def build(flat: Sequence[Any]) -> dict[str, Any]:
        arrays = iter(flat[: len(given_leaves)])
        drawn = treedef.unflatten([next(arrays) if a else x for a, x in zip(is_array, frozen, strict=True)])
        return {k: builders[k](flat) if k in builders else drawn[k] for k in draws.signature.arguments}

    varying = {v: k for k, v in columns.items()}
    shown = {
        path[0].key + jax.tree_util.keystr(path[1:]): x
        for (path, x), a in zip(members[0][2], members[0][1], strict=True)
        if a is None and x is not None
    }
    structure = Structure(
        (key, repr(variant)), tuple(leaves), tuple(varying), {**shown, **statics}, build
    )
    return [
        Example(
            structure,
            {name: varying[name][i] for name in varying},
            tuple(a for a in arrays if a is not None),
        )
        for i, (_, arrays, _) in enumerate(members)
    ]


def _as_array(x: Any) -> np.ndarray | None:
    """Arrays and Python floats are data; whole numbers, booleans, words and objects are static options."""
    if isinstance(x, np.ndarray | np.generic | jax.Array):
        array = np.asarray(x)
        return array.astype(np.float64) if array.dtype.kind in "Vf" else array
    if isinstance(x, float):
        return np.asarray(x)
    return np.asarray(x) if isinstance(x, complex) else None


def _hashable(x: Any) -> Any:
    try:
        hash(x)
    except TypeError:
        return repr(x)
    return x
