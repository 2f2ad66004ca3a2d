"""A long list of like cases: by default a share of them runs, with ``-m 'slow or not slow'`` all of them."""

from collections.abc import Iterable
from typing import Any

import pytest


def share(one_in: int, cases: Iterable[Any]) -> list[Any]:
    """The cases; all but one in so many are slow."""
    return [case if i % one_in == 0 else pytest.param(case, marks=pytest.mark.slow) for i, case in enumerate(cases)]
