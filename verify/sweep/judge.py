"""What a sweep must show, and where it does not. Pure Python."""

from __future__ import annotations

from verify.sweep.measure import FORMATS
from verify.sweep.points import exponent_of
from verify.sweep.state import Swept

LIMIT = {"float64": 4.0, "float32": 4.0, "bfloat16": 1.0, "float16": 1.0}
"""The worst fair error that is allowed, in ulp."""
BINADE = 2.0
"""In every binade the error may be that of the reference, or this many fair ulp."""


def failures(swept: Swept) -> list[str]:
    """One sentence for every dtype in which the hand-written function is not accurate."""
    found = []
    for dtype, binades in swept.tallies.items():
        whole, other = swept.total(dtype, 0), swept.total(dtype, 1)
        if whole.not_finite:
            found.append(f"{dtype}: {whole.not_finite:,} results are not finite, at {whole.at:.9g} for one")
        elif whole.nan_lost and not other.nan_lost:
            found.append(f"{dtype}: NaN does not stay NaN")
        elif whole.fair > LIMIT[dtype]:
            found.append(
                f"{dtype}: {whole.fair:.3g} fair ulp off at {whole.at:.9g}: {whole.got:.9g}, wanted {whole.truth:.9g}"
            )
        else:
            beaten = [(h.fair - r.fair, k) for k, (h, r) in binades.items() if h.fair > max(r.fair, BINADE)]
            if beaten:
                hand, reference = binades[max(beaten)[1]]
                sign, exponent = exponent_of(int(max(beaten)[1]), FORMATS[dtype])
                where = f"{'-' if sign < 0 else ''}2^{exponent}"
                found.append(
                    f"{dtype}: in {len(beaten)} binades {swept.sides[1]} is better, most in {where}: {hand.fair:.3g} "
                    f"fair ulp at {hand.at:.9g}, {swept.sides[1]} {reference.fair:.3g}"
                )
    return found
