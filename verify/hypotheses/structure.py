"""The right numbers in the wrong place: transposed, flipped, conjugated, summed over too many axes or too few."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from verify.hypotheses.cases import Case

Change = Callable[[np.ndarray], "np.ndarray | None"]


@dataclass(frozen=True)
class Structure:
    """A change of one of the two values after which they agree. ``text`` follows "the hand-written gradient"."""

    kind: str
    value: str
    text: str
    hand: Change
    truth: Change
    repairs: bool = False
    """Whether ``hand`` (the change of the hand-written value) gives something of the truth's shape."""

    def pair(self, case: Case) -> tuple:
        left = self.hand(case.hand)
        return left, None if left is None else self.truth(case.truth)


@dataclass(frozen=True)
class Reshaped(Structure):
    """The hand-written value brought to the truth's shape, whatever that is."""

    def pair(self, case: Case) -> tuple:
        shape = case.truth.shape
        try:
            repeated = self.value == "broadcast"
            return np.broadcast_to(case.hand, shape) if repeated else case.hand.reshape(shape), case.truth
        except ValueError:
            return None, None


def same(array: np.ndarray) -> np.ndarray:
    return array


def _conj(array: np.ndarray | None) -> np.ndarray | None:
    return None if array is None else np.conj(array)


def axis_name(axis: int, dims: Sequence[str]) -> str:
    return f"axis {axis} ({dims[axis]})" if axis < len(dims) else f"axis {axis}"


def _subsets(ndim: int) -> Iterator[tuple[int, ...]]:
    for count in range(1, ndim + 1):
        yield from itertools.combinations(range(ndim), count)


def structures(cases: Sequence[Case], dims: Sequence[str], noun: str) -> Iterator[Structure]:
    """What applies to these numbers of axes, simplest first."""
    truth_axes = cases[0].truth.ndim
    hand_axes = {case.hand.ndim for case in cases if case.failed}
    if any(np.iscomplexobj(case.truth) for case in cases):
        yield Structure(
            "conjugate", "conj", f"is the complex conjugate of the {noun}: conjugate it", np.conj, same, True
        )
        yield Structure(
            "conjugate",
            "real",
            f"is only the real part of the {noun}: keep the imaginary part",
            lambda a: a,
            lambda a: np.real(a) + 0j,
        )
    if hand_axes == {truth_axes}:
        yield from _moved(truth_axes, noun, any(np.iscomplexobj(case.truth) for case in cases))
        yield from _reduced_and_repeated(truth_axes, dims, noun)
        yield from _flipped(truth_axes, dims, noun)
    if len(hand_axes) == 1:
        yield from _unsummed(hand_axes.pop(), truth_axes, dims, noun)
        yield from _oversummed(truth_axes, dims, noun)


def _moved(ndim: int, noun: str, is_complex: bool) -> Iterator[Structure]:
    if not 2 <= ndim <= 4:
        return
    for order in itertools.permutations(range(ndim)):
        if order == tuple(range(ndim)):
            continue
        back = tuple(int(axis) for axis in np.argsort(order))
        text = (
            f"is the transpose of the {noun}: transpose it"
            if ndim == 2
            else f"is the {noun} with its axes permuted {order}: transpose it with {back}"
        )
        value = "transpose" if ndim == 2 else f"axes {order}"

        def undo(a, back=back):
            return np.transpose(a, back) if a.ndim == len(back) else None

        yield Structure("transpose", value, text, undo, same, True)
        if is_complex:
            yield Structure(
                "conjugate",
                "conjugate transpose",
                f"is the conjugate transpose of the {noun}",
                lambda a, undo=undo: _conj(undo(a)),
                same,
                True,
            )

        def reread(a, order=order):
            return np.transpose(a, order).reshape(a.shape)

        yield Structure(
            "transpose",
            f"reshape after axes {order}",
            f"has the entries of the {noun} in another order: its axes were permuted {order} and then "
            "reshaped; transpose instead of reshaping",
            same,
            reread,
        )


def _flipped(ndim: int, dims: Sequence[str], noun: str) -> Iterator[Structure]:
    for axes in _subsets(min(ndim, 4)):
        names = " and ".join(axis_name(axis, dims) for axis in axes)
        yield Structure(
            "transpose",
            f"flip of axis {', '.join(map(str, axes))}",
            f"is the {noun} reversed along {names}: flip it there",
            lambda a, axes=axes: np.flip(a, axes) if a.ndim == ndim else None,
            same,
            True,
        )
    for axis in range(ndim):
        for step in (1, -1):
            yield Structure(
                "entries",
                f"shift {step:+d}",
                f"is the {noun} shifted by {step:+d} along {axis_name(axis, dims)}: an index is off by one",
                lambda a, axis=axis, step=step: np.roll(a, -step, axis) if a.ndim == ndim else None,
                same,
                True,
            )


def _reduced_and_repeated(ndim: int, dims: Sequence[str], noun: str) -> Iterator[Structure]:
    for axes in _subsets(min(ndim, 4)):
        names = " and ".join(axis_name(axis, dims) for axis in axes)
        for word, how in (("summed", np.sum), ("averaged", np.mean)):
            yield Structure(
                "reduction",
                f"{word} over {names}",
                f"is the {noun} {word} over {names} and repeated there: keep that axis apart",
                same,
                lambda a, axes=axes, how=how: np.broadcast_to(how(a, axis=axes, keepdims=True), a.shape),
            )


def _unsummed(hand_ndim: int, truth_ndim: int, dims: Sequence[str], noun: str) -> Iterator[Structure]:
    if hand_ndim < truth_ndim or hand_ndim > 6:
        return
    for axes in _subsets(hand_ndim):
        keeps = [keep for keep in (False, True) if hand_ndim - (0 if keep else len(axes)) == truth_ndim]
        for keep in keeps:
            where = ", ".join(map(str, axes))
            for word, how in (("sum", np.sum), ("average", np.mean)):
                yield Structure(
                    "reduction",
                    f"not {word}{'med' if word == 'sum' else 'd'} over axis {where}",
                    f"still has axis {where}, which the {noun} does not: {word} over it",
                    lambda a, axes=axes, how=how, keep=keep: (
                        how(a, axis=axes, keepdims=keep) if a.ndim == hand_ndim else None
                    ),
                    same,
                    True,
                )


def _oversummed(truth_ndim: int, dims: Sequence[str], noun: str) -> Iterator[Structure]:
    for axes in _subsets(min(truth_ndim, 5)):
        names = " and ".join(axis_name(axis, dims) for axis in axes)
        for keep in (False, True):
            for word, how in (("summed", np.sum), ("averaged", np.mean)):
                yield Structure(
                    "reduction",
                    f"{word} over {names}",
                    f"is {word} over {names}, an axis that the {noun} keeps: do not reduce it",
                    same,
                    lambda a, axes=axes, how=how, keep=keep: how(a, axis=axes, keepdims=keep),
                )


def reshapings(noun: str) -> Iterator[Structure]:
    """For values of the wrong shape: the right entries all the same."""
    yield Reshaped(
        "shape",
        "reshape",
        f"has the right entries in the wrong shape: reshape it to that of the {noun}",
        same,
        same,
        True,
    )
    yield Reshaped(
        "shape",
        "broadcast",
        f"has too few axes or entries: broadcast it to the shape of the {noun}",
        same,
        same,
        True,
    )


def shape_name(shapes: Sequence[tuple[int, ...]], dims: Sequence[dict]) -> str:
    """A shape in dimension names where the same names fit all cases: ``(n, m)``; else their numbers."""
    if len({len(shape) for shape in shapes}) != 1:
        return " or ".join(sorted({str(shape) for shape in shapes})[:3])
    names = []
    for axis in range(len(shapes[0])):
        sizes = [shape[axis] for shape in shapes]
        common = [name for name in dims[0] if all(name in one for one in dims)]
        fits = [
            name for name in common if all(one[name] == size for one, size in zip(dims, sizes, strict=True))
        ]
        products = [
            f"{a}*{b}"
            for a, b in itertools.combinations_with_replacement(common, 2)
            if all(one[a] * one[b] == size for one, size in zip(dims, sizes, strict=True))
        ]
        shifted = [
            f"{name}{shift:+d}"
            for name in common
            for shift in (-1, 1)
            if all(one[name] + shift == size for one, size in zip(dims, sizes, strict=True))
        ]
        if len(set(sizes)) == 1 and (sizes[0] == 1 or not fits):
            names.append(str(sizes[0]))
        else:
            names.append((fits + shifted + products + [str(sizes[0]) if len(set(sizes)) == 1 else _range(sizes)])[0])
    return f"({', '.join(names)}{',' if len(names) == 1 else ''})"


def _range(sizes: Sequence[int]) -> str:
    return f"{min(sizes)} to {max(sizes)}"


def wanted_name(output_dims: Sequence[str], cases: Sequence[Case]) -> str:
    ndim = cases[0].truth.ndim
    if len(output_dims) == ndim and ndim and not any(re.search(r"\*\w|\.\.\.", text) for text in output_dims):
        return f"({', '.join(output_dims)}{',' if ndim == 1 else ''})"
    return shape_name([case.truth.shape for case in cases], [dict(case.sample.dims) for case in cases])
