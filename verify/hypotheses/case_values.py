"""Where it fails, by case: options, scalar arguments, what is extreme or degenerate in an array."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from verify.hypotheses.cases import Case, as_float, is_direction
from verify.hypotheses.conditions import Feature
from verify.hypotheses.dimension_values import compared


def case_features(cases: Sequence[Case]) -> list[Feature]:
    """Features a case, from the arguments that all cases have."""
    features: list[Feature] = []
    first = cases[0].sample
    for name, value in first.inputs.items():
        if any(name not in case.sample.inputs for case in cases):
            continue
        values = [case.sample.inputs[name] for case in cases]
        if as_float(value) is None or (np.asarray(value).dtype == bool and np.ndim(value) == 0):
            features += _options(name, [str(value) for value in values])
            continue
        if np.asarray(value).dtype == bool:
            features += _mask(name, [np.asarray(value) for value in values])
            continue
        arrays = [case.bases[name] for case in cases]
        family = "direction" if is_direction(name, first) else "value"
        whole = np.asarray(value).dtype.kind in "iu"
        if all(array.ndim == 0 for array in arrays):
            features += _scalar(name, arrays, "count" if whole else family)
            if whole:
                features += _against_sizes(name, arrays, cases)
        elif all(array.size for array in arrays):
            if not whole:
                features += _array(name, arrays, family)
            else:
                features += _index_array(name, arrays, cases)
    return features


def _options(name: str, values: Sequence[str]) -> Iterator[Feature]:
    if set(values) == {"True", "False"}:
        holds = np.array([value == "True" for value in values])
        yield Feature(name, holds, "option", yes=f"{name} is True", no=f"{name} is False")
        return
    for option in sorted(set(values)):
        chosen, other = f"{name} is {option}", f"{name} is not {option}"
        yield Feature(chosen, np.array([value == option for value in values]), "option", yes=chosen, no=other)


def _mask(name: str, arrays: Sequence[np.ndarray]) -> Iterator[Feature]:
    some, every = f"{name} is False somewhere", f"{name} is False everywhere"
    yield Feature(
        some, np.array([not array.all() for array in arrays]), "mask", yes=some, no=f"{name} is all True"
    )
    yield Feature(every, np.array([not array.any() for array in arrays]), "mask", yes=every)


def _scalar(name: str, arrays: Sequence[np.ndarray], family: str) -> Iterator[Feature]:
    yield Feature(name, np.array([float(np.real(array)) for array in arrays]), family)
    zero = {"== 0": f"{name} == 0", "!= 0": f"{name} != 0"}
    yield Feature(f"|{name}|", np.array([float(np.abs(array)) for array in arrays]), family, zero)


def _against_sizes(name: str, arrays: Sequence[np.ndarray], cases: Sequence[Case]) -> Iterator[Feature]:
    for size in cases[0].sample.dims:
        if all(size in case.sample.dims for case in cases):
            pairs = zip(arrays, cases, strict=True)
            gaps = np.array([float(np.real(array)) - case.sample.dims[size] for array, case in pairs])
            yield compared(name, size, gaps, "count")
    sizes = [size for size in cases[0].sample.dims if all(size in case.sample.dims for case in cases)]
    for whole, part in itertools.permutations(sizes, 2):
        rows = zip(arrays, cases, strict=True)
        over = [float(np.real(a)) + c.sample.dims[part] - c.sample.dims[whole] for a, c in rows]
        yield compared(f"{name} + {part}", whole, np.array(over), "count")


def _index_array(name: str, arrays: Sequence[np.ndarray], cases: Sequence[Case]) -> Iterator[Feature]:
    repeated = f"{name} names an index more than once"
    twice = np.array([len(np.unique(array)) < array.size for array in arrays])
    yield Feature(repeated, twice, "accumulated", yes=repeated)
    negative = f"{name} has a negative index"
    yield Feature(negative, np.array([bool(np.any(array < 0)) for array in arrays]), "value", yes=negative)
    for size in cases[0].sample.dims:
        if all(size in case.sample.dims for case in cases):
            beyond = f"{name} has an index of {size} or more"
            pairs = zip(arrays, cases, strict=True)
            over = np.array([bool(np.any(np.real(array) >= case.sample.dims[size])) for array, case in pairs])
            yield Feature(beyond, over, "value", yes=beyond)


def _array(name: str, arrays: Sequence[np.ndarray], family: str) -> Iterator[Feature]:
    def measured(measure: Callable[[np.ndarray], object]) -> np.ndarray:
        return np.array([float(measure(array)) for array in arrays])  # type: ignore[arg-type]

    def flag(
        text: str, holds: Callable[[np.ndarray], object], kind: str = "degenerate", no: str = ""
    ) -> Feature:
        return Feature(text, measured(holds), kind, yes=text, no=no)

    yield flag(f"{name} is all zero", lambda a: not np.any(a))
    yield flag(f"{name} has a zero entry", lambda a: np.any(a == 0))
    yield flag(f"{name} has repeated entries", lambda a: len(np.unique(a)) < a.size)
    yield flag(f"{name} is not all ones", lambda a: np.any(a != 1), family)
    yield flag(f"all entries of {name} are equal", lambda a: np.all(a == a.ravel()[0]))
    if any(np.iscomplexobj(array) for array in arrays):
        yield flag(f"{name} has an imaginary part", lambda a: _beside(np.imag(a), a), "imaginary")
        yield flag(
            f"{name} is neither real nor imaginary",
            lambda a: _beside(np.imag(a), a) and _beside(np.real(a), a),
            "imaginary",
        )
    if all(array.ndim > 1 for array in arrays):
        yield flag(f"{name} has a zero row or column", _zero_slice)
        yield flag(f"{name} has a constant row or column", _constant_slice)
    if all(array.ndim == 2 for array in arrays):
        yield flag(f"{name} has entries above the diagonal", lambda a: np.any(np.triu(a, 1)), "value")
        yield flag(f"{name} has entries below the diagonal", lambda a: np.any(np.tril(a, -1)), "value")
        yield flag(
            f"{name} is not symmetric", lambda a: a.shape[0] != a.shape[1] or np.any(a != a.T), "symmetry"
        )
    if family == "direction":
        yield flag(
            f"the entries of {name} are not all equal", lambda a: np.any(a != a.ravel()[0]), "direction"
        )
    yield Feature(f"max |{name}|", measured(lambda a: np.abs(a).max()), family)
    yield Feature(f"max {name}", measured(lambda a: np.real(a).max()), family)
    yield Feature(f"min {name}", measured(lambda a: np.real(a).min()), family)
    yield Feature(f"min |{name}|", measured(lambda a: np.abs(a).min()), family)
    yield Feature(f"norm({name})", measured(lambda a: np.sqrt(np.sum(np.abs(a) ** 2))), family)
    if all(array.ndim == 2 for array in arrays):
        yield Feature(
            f"the largest column sum of |{name}|", measured(lambda a: np.abs(a).sum(0).max()), family
        )
        yield Feature(f"the largest row sum of |{name}|", measured(lambda a: np.abs(a).sum(1).max()), family)
        yield Feature(f"the spectral norm of {name}", measured(_spectral_norm), family)
    if all(array.ndim == 2 and array.shape[0] == array.shape[1] for array in arrays):
        yield Feature(f"trace({name})", measured(lambda a: np.trace(a).real), family)
        yield Feature(f"det({name})", measured(lambda a: np.linalg.det(a).real), family)
    yield Feature(f"sum({name})", measured(lambda a: np.sum(a).real), family)


def _beside(part: np.ndarray, whole: np.ndarray) -> bool:
    """Whether a part is more than rounding beside the whole."""
    return bool(np.abs(part).max() > 1e-9 * np.abs(whole).max())


def _spectral_norm(array: np.ndarray) -> float:
    return float(np.linalg.norm(array, 2)) if np.isfinite(array).all() else np.nan


def _zero_slice(array: np.ndarray) -> bool:
    return any(bool(np.any(np.all(array == 0, axis=axis))) for axis in range(array.ndim))


def _constant_slice(array: np.ndarray) -> bool:
    """Whether along some axis of more than one entry all entries agree."""
    return any(
        array.shape[axis] > 1 and bool(np.any(np.all(array == array.take([0], axis), axis=axis)))
        for axis in range(array.ndim)
    )
