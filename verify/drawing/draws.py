"""Draws: every case of one claim, by index.

Consecutive cases are drawn together, in blocks; a case is found again by drawing its block.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from handgrad.claims import Claim
from handgrad.domains import Domain, real
from verify.drawing.cases import DTYPES, Case, Leaf, Structure
from verify.drawing.fingerprint import fingerprint
from verify.drawing.signature import Signature, signature_of
from verify.drawing.sizes import draw_sizes, named_sizes, size_of, sizes_of
from verify.drawing.specification import ArraySpec, GivenSpec, Spec, StaticSpec, TreeSpec
from verify.drawing.values import Wanted, cotangent, draw_all, numpy_dtype, to_dtype

BLOCK = 64
"""Cases that are drawn together."""
MOST_STRUCTURES = 48
"""Structures traced for one claim; a strategy may draw more, and the rest are left out."""
FEW_STRUCTURES = 8
"""Structures of a lower precision: what a structure is matters to the formula, and a trace is dear."""
GIVEN_EXAMPLES = 256
GIVEN_DOMAIN = Domain("given")
STRIDE = 48
"""Binary logarithm of the random numbers that a case may use."""


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
        self._by_variant: dict[int, Structure] = {}
        self._blocks: dict[str, tuple[int, list[Case]]] = {}
        self._pool: list[Any] | None = None

    def _prepare(self) -> None:
        self.number = self._number()
        self._name = self._spoken_name()
        self._streams: dict[tuple[int, str], tuple[Any, Any, np.random.Generator]] = {}

    @cached_property
    def named(self) -> tuple[int, ...]:
        """Sizes that the claim's code is written with."""
        try:
            return named_sizes(fingerprint(self.claim).numbers)
        except Exception:  # objects of a library that cannot be looked into
            return ()

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
        if self.given:
            return self._given_case(self.stream(2, dtype, index), index, dtype)
        number, place = divmod(index, BLOCK)
        if self._blocks.get(dtype, (-1,))[0] != number:
            self._blocks[dtype] = number, self._block(number, dtype)
        return self._blocks[dtype][1][place]

    def _block(self, number: int, dtype: str) -> list[Case]:
        """Cases of consecutive indices: drawn together, the randomness of each costs next to nothing."""
        rng = self.rng(2, DTYPES.index(dtype), number)
        variants, indices = self._variants_in(dtype), range(number * BLOCK, (number + 1) * BLOCK)
        structures = [self._of_variant(variants[i % len(variants)]) for i in indices]
        chance = rng.random((BLOCK, 2 + max(len(s.dims) for s in structures))).tolist()
        plain = (rng.random(BLOCK) < 0.35).tolist()
        tied = (rng.random(BLOCK) < 0.08).tolist()
        sizes = [
            self.sizes(numbers, s, i // len(variants))
            for numbers, s, i in zip(chance, structures, indices, strict=True)
        ]
        values = iter(draw_all(rng, [
            w for s, dims, p in zip(structures, sizes, plain, strict=True)
            for w in self.wanted(s.leaves, dims, dtype, p)
        ]))  # fmt: skip
        cases = []
        for i, s, dims, p, tie in zip(indices, structures, sizes, plain, tied, strict=True):
            own = tuple([next(values) for _ in s.leaves])
            if tie and not p:
                own = _with_ties(rng, s.leaves, own)
            cases.append(Case(self.case_id(i, dtype), i, s, dims, own, dtype, plain=p))
        return cases

    def sizes(self, numbers: Sequence[float], structure: Structure, turn: int) -> dict[str, int]:
        """The sizes of a case, from random numbers in [0, 1); the first turns cover the corners."""
        return sizes_of(numbers, structure.dims, structure.shapes, turn, self.named)

    def _variants_in(self, dtype: str) -> list[int]:
        """All of them where the formula is judged; of many, some in the other dtypes, others for another seed."""
        count = len(self.variants())
        if dtype == self.dtypes()[0] or count <= FEW_STRUCTURES:
            return list(range(count))
        return sorted({(self.seed + k * count // FEW_STRUCTURES) % count for k in range(FEW_STRUCTURES)})

    def _of_variant(self, variant: int) -> Structure:
        if variant not in self._by_variant:
            self._by_variant[variant] = self._structure(*self.variants()[variant])
        return self._by_variant[variant]

    def case_id(self, index: int, dtype: str) -> str:
        return f"{self._name}-{dtype}-{index}"

    def _spoken_name(self) -> str:
        safe = "".join(c if (c.isascii() and c.isalnum()) or c in "._" else "_" for c in self.claim.name)
        return f"{safe.strip('._')[:80] or 'claim'}-{self.number % 16**6:06x}-{self.seed}"

    def drawn(
        self, rng: np.random.Generator, leaves: Sequence[Leaf], dims: Mapping[str, int], dtype: str, plain: bool
    ) -> list[np.ndarray]:
        """One draw of each leaf at these sizes."""
        return draw_all(rng, self.wanted(leaves, dims, dtype, plain))

    @staticmethod
    def wanted(leaves: Sequence[Leaf], dims: Mapping[str, int], dtype: str, plain: bool) -> list[Wanted]:
        """What to draw for each leaf at these sizes."""
        return [
            Wanted(
                leaf.kind, tuple([dims[a] if a in dims else size_of(a, dims) for a in leaf.shape]),
                leaf.in_dtype(dtype), leaf.domain, dims, plain,
            )
            for leaf in leaves
        ]  # fmt: skip

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
            from verify.drawing.given import draw_examples, grouped

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
                values += self.drawn(rng, [leaf], dims, dtype, plain)
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
        values = tuple(self.drawn(rng, case.structure.leaves, dims, case.dtype, plain))
        return replace(case, dims=dims, values=values, index=index, plain=plain)

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
