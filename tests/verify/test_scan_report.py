"""The published discrepancies: each is there, in plain JAX, beside what mpmath computes."""

import importlib.util

import numpy as np
import pytest

from tests.scan_report.discrepancies import DISCREPANCIES
from tests.scan_report.reproduce import reproduced


@pytest.mark.slow
@pytest.mark.parametrize("found", DISCREPANCIES, ids=lambda d: d.rule)
@pytest.mark.filterwarnings("ignore")
def test_a_discrepancy_is_reproduced(found):
    package = found.rule.partition(".")[0]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    rule, exact = reproduced(found)
    assert not np.isfinite(rule) or abs(rule - exact) > found.differs * max(abs(exact), 1e-300), (rule, exact)


def test_a_reproduction_has_five_lines_at_most():
    assert all(len(found.code.splitlines()) <= 5 for found in DISCREPANCIES)
