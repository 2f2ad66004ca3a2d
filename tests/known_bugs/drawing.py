"""Reading the files of this directory, and drawing inputs from their annotations as a user would by hand,
without ``verify``: for the tests of the corpus, and for the tools that it is compared with.
"""

import importlib
import inspect
import sys
import typing
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from handgrad import registered_claims

FOLDER = Path(__file__).parent
SIZES = (
    dict(b=2, d=3, g=2, h=4, k=3, m=2, n=5, p=2, q=3, w=5, L=4, N=3, V=6),
    dict(b=3, d=1, g=1, h=3, k=2, m=1, n=3, p=1, q=5, w=3, L=5, N=1, V=3),
)
SPECIAL = np.array([0.0, 0.0, 0.0, 1.0, -1.0, 0.5, 4.0, -4.0, 3.2, 40.0, 90.0, 800.0, 1e-3, -1e-3])


def load(name):
    """A module of the corpus, imported as a neighbour of the others."""
    sys.path.insert(0, str(FOLDER))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(FOLDER))


def claims(*names):
    """Name -> (relation, hand, reference, wrt, wrt_is_tuple) of everything that these modules claim."""
    found = {}
    for module in map(load, names):
        for c in registered_claims(module.__name__):
            found[c.name] = (c.relation, c.hand, c.reference, c.wrt, c.wrt_is_tuple)
        for name, value in vars(module).items():
            if isinstance(value, jax.custom_vjp | jax.custom_jvp):
                found[name] = ("rule", value, value.fun, (), True)
    return found


def draw(claim, seed, special, sizes=None):
    """Arguments of a claim as a dict, drawn from its annotations; and the generator, to go on with."""
    rng = np.random.default_rng(seed)
    sizes = sizes or SIZES[seed % len(SIZES)]
    _, hand, reference, *_ = claim
    own = typing.get_type_hints(hand, include_extras=True) if inspect.isfunction(hand) else {}
    shared = typing.get_type_hints(reference, include_extras=True)
    hints = {name: own.get(name, shared.get(name)) for name in inspect.signature(reference).parameters}
    return {name: draw_one(hint, sizes, rng, special) for name, hint in hints.items()}, rng


def draw_one(hint, sizes, rng, special):
    domain = None
    if typing.get_origin(hint) is typing.Annotated:
        hint, domain = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return rng.choice(typing.get_args(hint)).item()
    if hint is bool:
        return bool(rng.integers(2))
    if hint is int:
        return int(rng.integers(domain.low, domain.high + 1))
    shape = tuple(eval(part, {}, sizes) for part in hint.dim_str.split())
    kind = hint.dtype.__name__
    if kind == "Bool":
        return jnp.asarray(rng.integers(2, size=shape) == 1)
    if kind == "Int":
        high = sizes.get(domain.size, domain.size) if domain.kind == "index" else domain.high + 1
        return jnp.asarray(rng.integers(0 if domain.kind == "index" else domain.low, high, size=shape))
    x = rng.normal(size=shape)
    if kind == "Complex":
        return jnp.asarray(x + 1j * rng.normal(size=shape))
    return jnp.asarray(restricted(x, domain, rng, special))


def restricted(x, domain, rng, special):
    match domain.kind if domain else "real":
        case "spd":
            return x @ x.T + np.eye(len(x))
        case "symmetric":
            return (x + x.T) / 2
        case "positive":
            return np.exp(x) * (1e12 if special and rng.random() < 0.5 else 1)
        case "nonnegative":
            return np.abs(x) * (rng.random(x.shape) < 0.7 if special else 1)
        case "lower_triangular":
            return np.tril(x) + 3 * np.eye(len(x))
        case "interval":
            return rng.uniform(domain.low, domain.high, size=x.shape)
    if not special:
        return x
    if rng.random() < 0.3:
        return 0.01 * x
    x = np.where(rng.random(x.shape) < 0.7, rng.choice(SPECIAL, size=x.shape), x)
    if x.ndim > 1:  # a slice of zeros
        x[0] = 0
    return x


def like(tree, rng):
    """Random numbers in the structure of a tree."""

    def one(leaf):
        x = rng.normal(size=leaf.shape)
        return jnp.asarray(x + 1j * rng.normal(size=leaf.shape) if jnp.iscomplexobj(leaf) else x)

    return jax.tree.map(one, tree)
