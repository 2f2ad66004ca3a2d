"""Cases: one draw of sizes and values for a claim, reproducible from its index alone.

A *structure* is everything that forces a fresh trace: ranks of variadic axes, static options, the shape of a
drawn pytree. Within a structure sizes and values vary freely, so it is traced once, with symbolic dimensions.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from handgrad.claims import Claim
from handgrad.domains import Domain, real
from verify.signature import ArraySpec, GivenSpec, Signature, Spec, StaticSpec, TreeSpec, signature_of
from verify.sizes import draw_sizes, size_of
from verify.values import binades, complex_dtype, cotangent, draw, numpy_dtype, reach, to_dtype

DTYPES = ("float64", "float32", "bfloat16", "float16")
MOST_STRUCTURES = 48
"""Structures traced for one claim; a strategy may draw more, and the rest are left out."""
GIVEN_EXAMPLES = 400
SHRUNK, CLIMBED = "-shrunk", "-climbed"
"""How the id of a case ends that was made from the one of its index."""
STRIDE = 48
"""Binary logarithm of the random numbers that a case may use."""
COVERING = 4
BINADES = 81
"""Entries of an array along the range of exponents."""


@dataclass(frozen=True)
class Leaf:
    """One array argument, or one leaf of a pytree: ``params[0].W``."""

    label: str
    kind: str
    dtype: str | None
    shape: tuple[str, ...]
    domain: Domain = real

    def in_dtype(self, dtype: str) -> str:
        """The dtype of this leaf in a cell of ``dtype``."""
        if self.dtype is not None:
            return self.dtype
        if self.kind == "float":
            return dtype
        if self.kind == "complex":
            return complex_dtype(dtype)
        if self.kind == "key":
            return "uint32"
        return "bool" if self.kind == "bool" else ("int64" if dtype == "float64" else "int32")


@dataclass(frozen=True, eq=False)
class Structure:
    """What a trace depends on: the leaves with their symbolic shapes, the static options, the pytrees."""

    key: Any
    leaves: tuple[Leaf, ...]
    dims: tuple[str, ...]
    statics: Mapping[str, Any]
    build: Callable[[Sequence[Any]], dict[str, Any]]
    shapes: tuple[tuple[str, ...], ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shapes", tuple(leaf.shape for leaf in self.leaves))

    def __str__(self) -> str:
        return ", ".join(f"{k}={v!r}" for k, v in self.statics.items())


@dataclass(frozen=True, eq=False)
class Case:
    """One draw. ``values`` are the leaves of the arguments; cotangents and tangents come later."""

    id: str
    index: int
    structure: Structure
    dims: Mapping[str, int]
    values: tuple[np.ndarray, ...]
    dtype: str
    extra: tuple[np.ndarray, ...] = ()
    plain: bool = False


@dataclass
class Draws:
    """Every case of one claim, by index."""

    claim: Claim
    seed: int
    signature: Signature = field(init=False)

    def __post_init__(self) -> None:
        self.signature = signature_of(self.claim)
        self._prepare()
        self.given = [s for s in dict.fromkeys(self.signature.arguments.values()) if isinstance(s, GivenSpec)]
        self._structures: dict[Any, Structure] = {}
        self._variants: list[tuple[dict[str, int], dict[str, Any]]] | None = None
        self._by_turn: dict[int, Structure] = {}
        self._pool: list[Any] | None = None

    def _prepare(self) -> None:
        self.number = self._number()
        self._name = self._spoken_name()
        self._streams: dict[tuple[int, str], tuple[Any, Any, np.random.Generator]] = {}

    def _number(self) -> int:
        """The claim as a number: its own stream of randomness."""
        text = f"{self.claim.module}:{self.claim.name}:{self.claim.relation}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")

    def rng(self, *path: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64([self.seed, self.number, *path]))

    def stream(self, purpose: int, dtype: str, index: int) -> np.random.Generator:
        """The randomness of one case: its own place in a long sequence, reached without seeding anew.

        The generator is the same object for all cases of a purpose; it serves the latest one.
        """
        key = purpose, dtype
        if key not in self._streams:
            bits = np.random.PCG64([self.seed, self.number, purpose, DTYPES.index(dtype)])
            self._streams[key] = bits, bits.state, np.random.Generator(bits)
        bits, start, generator = self._streams[key]
        bits.state = start
        bits.advance(index << STRIDE)
        return generator

    def dtypes(self) -> tuple[str, ...]:
        """The dtypes that this claim can be judged in."""
        if self.claim.dtypes is not None:
            return tuple(d for d in DTYPES if d in self.claim.dtypes)
        specs = [a for s in self.signature.arguments.values() for a in _leaf_specs(s)]
        floating = [s for s in specs if s.kind in ("float", "complex")]
        fixed = {s.dtype for s in floating}
        if floating and None not in fixed and not self.given:
            names = {"complex128": "float64", "complex64": "float32"}
            widest = {names.get(str(f), str(f)) for f in fixed}
            return tuple(d for d in DTYPES if d in widest)[-1:] or DTYPES[:1]
        if any(s.kind == "complex" for s in specs):
            return ("float64", "float32")
        return DTYPES

    def variants(self) -> list[tuple[dict[str, int], dict[str, Any]]]:
        """Ranks of the variadic axes and values of the static options, every combination of a small set."""
        if self._variants is None:
            self._variants = self._combinations()
        return self._variants

    def _combinations(self) -> list[tuple[dict[str, int], dict[str, Any]]]:
        statics = {k: s.values for k, s in self._statics()}
        ranks = {v: (0, 1, 2) for v in self.signature.variadics}
        options = [dict(zip(statics, c, strict=True)) for c in itertools.product(*statics.values())]
        shapes = [dict(zip(ranks, c, strict=True)) for c in itertools.product(*ranks.values())]
        combined = [(r, o) for o in options for r in shapes]
        if len(combined) > MOST_STRUCTURES:
            order = self.rng(1).permutation(len(combined))[:MOST_STRUCTURES]
            combined = [combined[i] for i in sorted(order)]
        return combined

    def _statics(self) -> list[tuple[str, StaticSpec]]:
        found: list[tuple[str, StaticSpec]] = []

        def visit(label: str, spec: Spec) -> None:
            if isinstance(spec, StaticSpec):
                found.append((label, spec))
            elif isinstance(spec, TreeSpec):
                for k, child in zip(spec.labels, spec.children, strict=True):
                    visit(label + k, child)

        for name, spec in self.signature.arguments.items():
            visit(name, spec)
        return found

    def case(self, index: int, dtype: str) -> Case:
        """The case of this index in this dtype: sizes, regimes and values follow from the index alone."""
        rng = self.stream(2, dtype, index)
        variants = self.variants()
        turn, variant = divmod(index, len(variants))
        if self.given:
            return self._given_case(rng, index, dtype)
        structure = self._by_turn.get(variant)
        if structure is None:
            structure = self._by_turn[variant] = self._structure(*variants[variant])
        dims = draw_sizes(rng, structure.dims, structure.shapes, turn)
        plain = rng.random() < 0.35
        values = tuple([self._value(rng, leaf, dims, dtype, plain) for leaf in structure.leaves])
        if not plain and rng.random() < 0.08:
            values = _with_ties(rng, structure.leaves, values)
        return Case(self.case_id(index, dtype), index, structure, dims, values, dtype, plain=plain)

    def case_id(self, index: int, dtype: str) -> str:
        return f"{self._name}-{dtype}-{index}"

    def _spoken_name(self) -> str:
        safe = "".join(c if (c.isascii() and c.isalnum()) or c in "._" else "_" for c in self.claim.name)
        return f"{safe.strip('._')[:80] or 'claim'}-{self.number % 16**6:06x}-{self.seed}"

    def _value(
        self, rng: np.random.Generator, leaf: Leaf, dims: Mapping[str, int], dtype: str, plain: bool
    ) -> np.ndarray:
        shape = tuple([dims[a] if a in dims else size_of(a, dims) for a in leaf.shape])
        return draw(rng, leaf.kind, shape, leaf.in_dtype(dtype), leaf.domain, dims, plain)

    def _structure(self, ranks: Mapping[str, int], statics: Mapping[str, Any]) -> Structure:
        key = (tuple(ranks.items()), repr(statics))
        if key not in self._structures:
            leaves: list[Leaf] = []
            builders = {
                name: _plan(name, spec, ranks, statics, leaves)
                for name, spec in self.signature.arguments.items()
            }
            extra = tuple(f"{v}_{i}" for v, r in ranks.items() for i in range(r))
            names = tuple(n.replace("...", "dots") for n in extra)
            self._structures[key] = Structure(
                key,
                tuple(leaves),
                (*self.signature.dims, *names),
                dict(statics),
                lambda flat: {k: b(flat) for k, b in builders.items()},
            )
        return self._structures[key]

    # --- given= : the user's own strategies -------------------------------------------------------------

    def pool(self) -> list[tuple[dict[str, int], list[Any]]]:
        """Examples drawn once by Hypothesis, with the structure of each; the same for the same seed."""
        if self._pool is None:
            from verify.given import draw_examples, grouped

            specs = [a.shape for a in self._plain_leaves()]
            rng = self.rng(3)
            sizes = [draw_sizes(rng, self.signature.dims, specs, i) for i in range(GIVEN_EXAMPLES)]
            examples = draw_examples(self.given, sizes, seed=int(rng.integers(2**31)), count=GIVEN_EXAMPLES)
            variants = self.variants()
            self._pool = grouped(self, examples, variants)
        return self._pool

    def _plain_leaves(self) -> list[Leaf]:
        leaves: list[Leaf] = []
        ranks, statics = self.variants()[0]
        for name, spec in self.signature.arguments.items():
            if not isinstance(spec, GivenSpec):
                _plan(name, spec, ranks, statics, leaves)
        return leaves

    def _given_case(self, rng: np.random.Generator, index: int, dtype: str) -> Case:
        pool = self.pool()
        example = pool[index % len(pool)]
        structure, dims, drawn = example.structure, example.dims, iter(example.values)  # type: ignore[attr-defined]
        plain = bool(rng.random() < 0.5)
        values = []
        for leaf in structure.leaves:
            if leaf.domain.kind == "given":
                x = next(drawn)
                values.append(_cast(x, leaf, dtype))
            else:
                values.append(self._value(rng, leaf, dims, dtype, plain))
        return Case(self.case_id(index, dtype), index, structure, dims, tuple(values), dtype, plain=plain)

    def is_fresh(self, index: int) -> bool:
        """Whether the sizes of this case are drawn anew: examples of a strategy are used more than once."""
        return bool(self.signature.dims or self.signature.variadics) if not self.given else index < len(self.pool())

    def resized(self, case: Case, dims: Mapping[str, int], index: int | None = None) -> Case:
        """Another draw of the same structure at these sizes; what a strategy drew cannot be resized."""
        if self.given:
            return case
        index = case.index if index is None else index
        rng = self.stream(6, case.dtype, index)
        plain = bool(rng.random() < 0.35)
        values = tuple(self._value(rng, leaf, dims, case.dtype, plain) for leaf in case.structure.leaves)
        return replace(case, dims=dims, values=values, index=index, plain=plain)

    def at_covering_sizes(self, case: Case) -> Case:
        """The case at one of few random sizes, the same for all seeds: what is compiled once can be kept."""
        rng = np.random.default_rng([self.number, self.seed % COVERING])
        structure = case.structure
        return self.resized(case, draw_sizes(rng, structure.dims, structure.shapes))

    def has_one_shape(self, structure: Structure) -> bool:
        """Whether all arrays have one named shape, scalars apart, and one of them at least takes any number."""
        shapes = {leaf.shape for leaf in structure.leaves} - {()}
        if self.given or len(shapes) != 1 or not _free(structure):
            return False
        names = next(iter(shapes))
        return all(s.isidentifier() for s in names) and len(set(names)) == len(names)

    def along_binades(self, case: Case) -> Case:
        """The case with one array along the whole range of exponents, the others at ordinary values."""
        rng = self.stream(7, case.dtype, case.index)
        leaves, free = case.structure.leaves, _free(case.structure)
        walked = free[case.index // len(self.variants()) % len(free)]
        names = list(leaves[walked].shape)
        dims = dict(case.dims) | dict.fromkeys(names, 3)
        dims[names[int(rng.integers(len(names)))]] = max(3, BINADES // 3 ** (len(names) - 1))
        values = [self._value(rng, leaf, dims, case.dtype, True) for leaf in leaves]
        domain = leaves[walked].domain.kind
        dtype, zeros = leaves[walked].in_dtype(case.dtype), domain != "positive"
        values[walked] = binades(rng, values[walked].shape, dtype, zeros, signs=domain == "real")
        return replace(case, dims=dims, values=tuple(values), plain=False)

    def among(self, case: Case, numbers: Sequence[float]) -> Case:
        """The case with some entries at these numbers or around them: 20, 7 and 150 where a program asks ``x > 20``."""
        rng = self.stream(8, case.dtype, case.index)
        low, high = reach(case.dtype)
        numbers = [n for n in numbers if low <= n <= high] or [1.0]
        values = []
        for leaf, value in zip(case.structure.leaves, case.values, strict=True):
            if leaf.kind == "float" and leaf.domain.kind in ("real", "positive", "nonnegative"):
                signs = (-1.0, 1.0) if leaf.domain.kind == "real" else (1.0,)
                drawn = rng.choice(signs, value.shape) * rng.choice(numbers, value.shape)
                beside = np.exp2(rng.uniform(-3, 3, value.shape))
                drawn = drawn * np.where(rng.random(value.shape) < 0.5, 1.0, beside)
                wide = np.where(rng.random(value.shape) < 0.5, drawn, value.astype(np.float64))
                value = to_dtype(wide, str(value.dtype))
            values.append(value)
        return replace(case, values=tuple(values), plain=False)

    def with_extra(self, case: Case, shapes: Sequence[tuple[tuple[int, ...], str]]) -> Case:
        """Adds a cotangent or tangents of these shapes and dtypes, drawn from the case's own stream."""
        if not shapes:
            return case
        rng = self.stream(4, case.dtype, case.index)
        extra = []
        for shape, dtype in shapes:
            if dtype.startswith("complex"):
                x = np.asarray(rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype)
            else:
                x = cotangent(rng, shape, dtype, case.plain, case.values)
            extra.append(x)
        return Case(
            case.id, case.index, case.structure, case.dims, case.values, case.dtype, tuple(extra), case.plain
        )


def _free(structure: Structure) -> list[int]:
    """The floating arrays, scalars apart, that take any number, or any of one sign."""
    kinds = ("real", "positive", "nonnegative")
    return [i for i, x in enumerate(structure.leaves) if x.kind == "float" and x.shape and x.domain.kind in kinds]


GIVEN_DOMAIN = Domain("given")


def _cast(x: np.ndarray, leaf: Leaf, dtype: str) -> np.ndarray:
    target = leaf.in_dtype(dtype)
    return to_dtype(x, target) if leaf.kind == "float" else np.asarray(x).astype(numpy_dtype(target))


def _plan(
    label: str, spec: Spec, ranks: Mapping[str, int], statics: Mapping[str, Any], leaves: list[Leaf]
) -> Callable[[Sequence[Any]], Any]:
    """Appends the leaves of one argument and returns how to rebuild it from the flat list."""
    if isinstance(spec, StaticSpec):
        value = statics[label]
        return lambda flat: value
    if isinstance(spec, ArraySpec):
        at = len(leaves)
        shape: list[str] = []
        for axis in spec.axes:
            if axis.variadic:
                name = axis.text.replace("...", "dots")
                shape += [f"{name}_{i}" for i in range(ranks[axis.text])]
            else:
                shape.append(axis.text)
        leaves.append(Leaf(label, spec.kind, spec.dtype, tuple(shape), spec.domain))
        if spec.kind == "key":
            return lambda flat: _key(flat[at])
        return lambda flat: flat[at]
    if isinstance(spec, TreeSpec):
        parts = [
            _plan(label + k, child, ranks, statics, leaves)
            for k, child in zip(spec.labels, spec.children, strict=True)
        ]
        return lambda flat: spec.build([p(flat) for p in parts])
    raise TypeError(f"{label}: a given argument has no plan of its own")


def _key(data: Any) -> Any:
    import jax

    return jax.random.wrap_key_data(data)


def _leaf_specs(spec: Spec) -> list[ArraySpec]:
    if isinstance(spec, ArraySpec):
        return [spec]
    return [a for c in spec.children for a in _leaf_specs(c)] if isinstance(spec, TreeSpec) else []


def _with_ties(
    rng: np.random.Generator, leaves: Sequence[Leaf], values: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, ...]:
    """Copies some entries of one unconstrained array into another of the same shape: ties across arguments."""
    changed = list(values)
    pairs = [
        (i, j)
        for i, j in itertools.permutations(range(len(values)), 2)
        if leaves[i].domain is real
        and leaves[i].kind == leaves[j].kind == "float"
        and values[i].shape == values[j].shape
        and values[i].dtype == values[j].dtype
    ]
    if pairs:
        i, j = pairs[int(rng.integers(len(pairs)))]
        changed[i] = np.where(rng.random(values[i].shape) < 0.6, changed[j], changed[i])
    return tuple(changed)
