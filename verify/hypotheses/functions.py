"""Functions of one value that derivatives are made of: candidates for a factor that is missing or misplaced."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]


def _sigmoid(u: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-u))


FUNCTIONS: dict[str, Function] = {
    "{}": lambda u: u,
    "{}**2": lambda u: u * u,
    "(1 - {})": lambda u: 1 - u,
    "(1 + {})": lambda u: 1 + u,
    "(1 - {0}**2)": lambda u: 1 - u * u,
    "(1 + {0}**2)": lambda u: 1 + u * u,
    "{0} * (1 - {0})": lambda u: u * (1 - u),
    "|{}|": np.abs,
    "sign({})": np.sign,
    "({} > 0)": lambda u: np.asarray(np.real(u) > 0, float),
    "max({}, 0)": lambda u: np.maximum(np.real(u), 0),
    "relu6({} + 3)": lambda u: np.clip(np.real(u) + 3, 0, 6),
    "sqrt(|{}|)": lambda u: np.sqrt(np.abs(u)),
    "exp({})": np.exp,
    "exp(-{})": lambda u: np.exp(-u),
    "exp(-{}**2)": lambda u: np.exp(-u * u),
    "cos({})": np.cos,
    "sin({})": np.sin,
    "tanh({})": np.tanh,
    "sech({})**2": lambda u: 1 - np.tanh(u) ** 2,
    "sigmoid({})": _sigmoid,
    "sigmoid'({})": lambda u: _sigmoid(u) * _sigmoid(-u),
    "log|{}|": lambda u: np.log(np.abs(u)),
}
"""By the way they are written; simplest first."""

COMPLEX: dict[str, Function] = {"conj({})": np.conj, "conj({0})/{0}": lambda u: np.conj(u) / u}
"""Besides, for complex values."""

PAIRED: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "({} - {})": lambda u, v: u - v,
    "({} + {})": lambda u, v: u + v,
    "hypot({}, {})": lambda u, v: np.sqrt(np.abs(u) ** 2 + np.abs(v) ** 2),
    "({}**2 + {}**2)": lambda u, v: u * u + v * v,
    "{} * {}": lambda u, v: u * v,
    "{}/{}": lambda u, v: u / v,
}
"""Of two values."""
