"""The tables are those that the derivation gives, and as exact as it says."""

import mpmath as mp
import pytest

from handgrad import polynomials
from tests.handgrad.derive_polynomials import ROOTS, fits, scaled


@pytest.mark.parametrize("which", [0, 1], ids=["float32", "float64"])
@pytest.mark.parametrize("pair", fits(), ids=lambda pair: pair[0].name)
def test_the_error_of_a_table(pair, which):
    fit = pair[which]
    stored = getattr(polynomials, fit.name)[which]
    assert fit.worst(fit.coefficients(), 41) < mp.mpf(2) ** fit.error
    # The coefficients are themselves rounded to float64; where many nearly cancel, four such roundings add up.
    assert fit.worst(stored, 41) < mp.mpf(2) ** max(fit.error, -51)


def test_the_root_of_gelu():
    assert ROOTS == polynomials.GELU_ROOT
    for root, value in zip(ROOTS, polynomials.GELU_AT_ROOT, strict=True):
        assert abs(value / scaled(mp.mpf(root)) - 1) < 2**-52
