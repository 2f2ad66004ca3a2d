"""Hand-derived, index-free gradients, each claimed to be the derivative of its reference."""

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

__all__ = [
    "Claim",
    "at_most",
    "equal_to",
    "gradient_of",
    "hvp_of",
    "jvp_of",
    "registered_claims",
    "value_and_gradient_of",
    "vjp_of",
]
