"""Hand-derived, index-free gradients, each claimed to be the derivative of its reference.

The vocabulary of claims is imported with the package; the catalogue, and JAX with it, on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from handgrad import domains
from handgrad.claims import (
    Claim,
    at_most,
    equal_to,
    gradient_of,
    hvp_of,
    jvp_of,
    registered_claims,
    value_and_gradient_of,
    vjp_of,
)
from handgrad.derivations import derivation

if TYPE_CHECKING:
    from handgrad.activations import ACTIVATIONS, Activation
    from handgrad.backpropagation import Layer, backpropagate
    from handgrad.differentials import gradient_from_differential
    from handgrad.losses import LOSSES, Loss
    from handgrad.ridge import RidgeStatistics
    from handgrad.training import with_gradient

__all__ = [
    "ACTIVATIONS",
    "LOSSES",
    "Activation",
    "Claim",
    "Layer",
    "Loss",
    "RidgeStatistics",
    "at_most",
    "backpropagate",
    "derivation",
    "domains",
    "equal_to",
    "gradient_from_differential",
    "gradient_of",
    "hvp_of",
    "jvp_of",
    "registered_claims",
    "value_and_gradient_of",
    "vjp_of",
    "with_gradient",
]

_CATALOGUE = {
    "ACTIVATIONS": "activations",
    "Activation": "activations",
    "LOSSES": "losses",
    "Layer": "backpropagation",
    "Loss": "losses",
    "RidgeStatistics": "ridge",
    "backpropagate": "backpropagation",
    "gradient_from_differential": "differentials",
    "with_gradient": "training",
}


def __getattr__(name: str) -> Any:
    if name not in _CATALOGUE:
        raise AttributeError(f"module 'handgrad' has no attribute {name!r}")
    return getattr(import_module(f"handgrad.{_CATALOGUE[name]}"), name)
