"""``-k``: names, and, or, not; nothing else is evaluated."""

import re

import pytest

from verify.options import BadUsage
from verify.sessions.keyword import keyword


@pytest.mark.parametrize(
    ("expression", "yes", "no"),
    [
        ("ridge", "a.py::ridge_gradient", "a.py::norm"),
        ("ridge and not solution", "ridge_gradient", "ridge_solution"),
        ("(a or b) and c", "xa c", "a b"),
        ("RIDGE", "ridge", "norm"),
        ("a.py::ridge", "a.py::ridge", "b.py::ridge"),
        ("not x", "abc", "axc"),
        ("w0 or w1", "w1", "w2"),
        ("a.b-c[d]", "xa.b-c[d]", "ab"),
    ],
)
def test_keywords(expression, yes, no):
    chosen = keyword(expression)
    assert chosen(yes) and not chosen(no)


@pytest.mark.parametrize("expression", ["a b", "and", "f(x) + 1", "(a", "a == b"])
def test_bad_keywords(expression):
    with pytest.raises(BadUsage, match=re.escape(f"-k {expression!r}")):
        keyword(expression)
