"""Checks what a claim's decorator was told beside its functions: ``wrt``, ``given``, ``dtypes`` and ``expect``."""

from __future__ import annotations

from collections.abc import Collection

from handgrad.claims import Claim
from verify.drawing.annotations import title_of
from verify.drawing.specification import SignatureError
from verify.records.record import WORST_FIRST

FLOATS = ("float64", "float32", "bfloat16", "float16")
VALUES = ("equal_to", "at_most")
"""Relations that differentiate nothing."""


def check_options(claim: Claim) -> None:
    """Raises SignatureError for an option that no claim could have."""
    if claim.expect is not None and claim.expect not in WORST_FIRST:
        known = ", ".join(WORST_FIRST)
        raise SignatureError(f"{claim.name}: expect={claim.expect!r} is no verdict; wanted one of {known}")
    unknown = [d for d in claim.dtypes or () if d not in FLOATS]
    if unknown or claim.dtypes == ():
        got = f"names {unknown[0]!r}" if unknown else "is empty"
        raise SignatureError(f"{claim.name}: dtypes= {got}; wanted some of {', '.join(FLOATS)}")
    if claim.wrt_is_tuple and len(set(claim.wrt)) != max(1, len(claim.wrt)) and claim.relation not in VALUES:
        raise SignatureError(f"{claim.name}: wrt={claim.wrt!r}; wanted each argument to differentiate, once")


def check_names(claim: Claim, arguments: Collection[str]) -> None:
    """Raises SignatureError where ``wrt`` or ``given`` names what is none of the reference's arguments."""
    for name in claim.wrt:
        if name not in arguments:
            raise SignatureError(
                f"{claim.name}: wrt names {name!r}, but the reference "
                f"{title_of(claim.reference)} has the arguments {', '.join(arguments) or 'none'}: correct wrt="
            )
    given = {n for key in claim.given for n in ((key,) if isinstance(key, str) else key)}
    for name in given - set(arguments):
        raise SignatureError(
            f"{claim.name}: given= names {name!r}, which is no argument of {title_of(claim.reference)}; "
            f"it has {', '.join(arguments)}: correct given="
        )
