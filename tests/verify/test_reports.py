"""The reports of a record: what they say, and that no name or number breaks them."""

import math
import re
import xml.etree.ElementTree as xml
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from tests.verify.records import AGREES, EXAMPLE, HALF, WRONG, claim, record, records
from verify.records.record import Cell, Counterexample
from verify.report.entries import MOST_TABULATED, NOT_ASKED, Entry, comparison
from verify.report.explain import MEANINGS, SYMBOLS
from verify.report.html import html_report
from verify.report.junit import junit_report
from verify.report.markdown import markdown_report
from verify.report.view import duration, shares, spreads, summary_line, worst_first

HOSTILE = "<script>alert('x')</script>|`*_[y](javascript:z)"
RUN = record(
    AGREES,
    WRONG,
    claim("convention", "relu_gradient", notes=("at 0 both 0 and 1 are valid",)),
    claim("wrong", "equation", expected="wrong", diagnosis=HALF, equation="L186", form="printed"),
    exit_code=1,
    environment={"versions": {"jax": "0.10.2"}, "devices": ["cpu:0", "cpu:1"], "git": None},
    problems=("gpu: no such device here",),
    started="2025-01-07T10:15:30+00:00",
)


class Page(HTMLParser):
    """What a browser sees: elements balanced, text, links, scripts."""

    VOID = frozenset({"meta", "br", "link", "img", "hr", "input"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


# One line


@pytest.mark.parametrize(
    ("claims", "wanted"),
    [
        ([], "no claims in 3.1 s (0 cases)"),
        ([AGREES], "1 claim: 1 agrees in 3.1 s (40,000 cases)"),
        ([AGREES, AGREES, WRONG], "3 claims: 2 agree, 1 wrong in 3.1 s (120,000 cases)"),
        ([claim("wrong", expected="wrong"), claim("wrong")], "2 claims: 1 wrong, 1 wrong as expected in"),
        ([claim("agrees", expected="wrong")], "1 claim: 1 agrees unexpectedly in"),
        ([claim("reference_wrong"), claim("error")], "2 claims: 1 reference wrong, 1 error in"),
    ],
)
def test_the_summary_line(claims, wanted):
    assert summary_line(record(*claims)).startswith(wanted)


@pytest.mark.parametrize(
    ("expected", "wanted"),
    [
        (("wrong", "wrong"), "2 wrong as expected<"),
        (("wrong", None), "2 wrong, 1 as expected<"),
        ((None, None), "2 wrong<"),
    ],
)
def test_the_page_does_not_count_what_is_expected_as_a_failure(expected, wanted):
    page = html_report(record(*(claim("wrong", expected=e) for e in expected)))
    assert wanted in page


def test_durations():
    assert [duration(s) for s in (0, 0.05, 3.14, 59.97, 125)] == [
        "0.00 s",
        "0.05 s",
        "3.1 s",
        "1 min 0 s",
        "2 min 5 s",
    ]


def test_the_worst_come_first_and_the_others_keep_their_order():
    claims = [claim("agrees", "b"), claim("error", "e"), claim("agrees", "a"), claim("wrong", "w")]
    assert [c.name for c in worst_first(record(*claims))] == ["w", "e", "b", "a"]


def test_where_the_cases_went():
    by_name = {(share.of, share.name): share for share in shares(RUN)}
    assert by_name["backend", "numpy"].cases == 70_000 and by_name["dtype", "float32"].fresh_shapes == 3
    assert by_name["backend", "tpu"].cells == 0 and by_name["backend", "tpu"].verdicts == {"compiled_only": 1}
    assert spreads(RUN)[0] == ("cases a claim", "40,000", "40,000", "40,000")


# HTML


def test_the_page():
    page = Page(html_report(RUN))
    assert page.tags.count("script") == 1 and "link" not in page.tags and "img" not in page.tags
    assert not [
        v for name, v in page.attributes if name in ("src", "href", "onclick") and not v.startswith("#")
    ]
    assert "@import" not in html_report(RUN) and "url(" not in html_report(RUN)
    assert ("name", "color-scheme") in page.attributes and "prefers-color-scheme: dark" in html_report(RUN)
    assert str(WRONG) in page.text and summary_line(RUN) in page.text and "evidence: R² = 1" in page.text
    assert ("open", None) in page.attributes  # the failing claim
    for word in MEANINGS:
        assert f"{SYMBOLS[word][0]} {word}" in page.text
    assert "gpu: no such device here" in page.text and "cpu:0; cpu:1" in page.text
    assert "tpu bfloat16 jit: compiled_only: compiled for v5e, not run" in dict_values(page)


def dict_values(page):
    return [value for name, value in page.attributes if name == "title"]


def test_names_are_escaped():
    cell = Cell(HOSTILE, HOSTILE, HOSTILE, HOSTILE, "wrong", reason=HOSTILE)
    inputs = {HOSTILE: HOSTILE}
    hostile = replace(
        WRONG, name=HOSTILE, file=HOSTILE, target=HOSTILE, notes=(HOSTILE,), cells=(cell,), replay=HOSTILE,
        diagnosis=replace(HALF, text=HOSTILE, kind=HOSTILE, value=HOSTILE, evidence=HOSTILE),
        counterexample=replace(EXAMPLE, id=HOSTILE, inputs=inputs, dims={HOSTILE: 1}, hand={HOSTILE: 1.0}),
    )  # fmt: skip
    run = record(
        hostile, problems=(HOSTILE,), environment={HOSTILE: HOSTILE}, argv=(HOSTILE,), started=HOSTILE
    )
    page = Page(html_report(run))
    assert page.tags.count("script") == 1 and html_report(run).count("<script") == 1 and HOSTILE in page.text
    markdown = markdown_report(run)
    fenced = re.sub(r"(?s)^(`{3,}).*?^\1$|^    .*?$", "", markdown, flags=re.M)
    assert "<script" not in fenced.replace("\\<", "")
    assert xml.fromstring(junit_report(run)).find(".//testcase[@name]").get("name") == HOSTILE  # pyright: ignore


@given(records)
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_every_record_has_its_reports(any_record):
    Page(html_report(any_record))
    assert markdown_report(any_record).startswith("# ")
    xml.fromstring(junit_report(any_record))


def test_large_arrays_do_not_make_large_pages():
    big = np.arange(10**6, dtype=np.float32).reshape(1000, 1000)
    run = record(replace(WRONG, counterexample=Counterexample("a", {}, "float32", {"x": big}, big, big, big)))
    assert (
        len(html_report(run)) < 30_000
        and len(markdown_report(run)) < 5_000
        and len(junit_report(run)) < 5_000
    )


def test_entries_side_by_side():
    assert comparison(EXAMPLE) == [
        Entry("[0][0]", "0", "0", "0", "0", False),
        Entry("[0][1]", "0", "1", "1", "1", True),
    ]
    special = replace(
        EXAMPLE,
        hand=[math.nan, math.inf, 1.0, 1 + 2j],
        reference=[1.0, math.inf, 1.0, 1j],
        oracle=[1.0, math.inf, math.nan, 2j],
    )
    assert comparison(special) == [
        Entry("[0]", "nan", "1", "1", "inf", True),
        Entry("[1]", "inf", "inf", "inf", "0", False),
        Entry("[2]", "1", "1", NOT_ASKED, "0", False),
        Entry("[3]", "1+2j", "0+1j", "0+2j", "0.5", False),
    ]
    tree = {"W": [1.0], "b": 2.0}
    assert [entry.name for entry in comparison(replace(EXAMPLE, hand=tree, reference=tree, oracle=tree))] == [
        "W[0]", "b",
    ]  # fmt: skip
    assert comparison(replace(EXAMPLE, hand=[1.0])) == []  # other shapes: nothing to set side by side
    hand = np.ones(200)
    hand[[7, 150]] = 2.0, 3.0
    many = comparison(replace(EXAMPLE, hand=hand, reference=np.ones(200), oracle=np.ones(200)))
    assert len(many) == MOST_TABULATED and [e.name for e in many[:2]] == ["[150]", "[7]"]


def test_an_entry_that_the_oracle_was_not_asked_for():
    found = comparison(replace(EXAMPLE, hand=[6.0, 3.0], reference=[3.0, 3.0], oracle=[3.0, np.nan]))
    assert [(e.oracle, e.stands_out) for e in found] == [("3", True), (NOT_ASKED, False)]


# Markdown and JUnit


def test_markdown():
    text = markdown_report(RUN)
    first = r"ridge\_gradient is wrong: is exactly 1/2 of the gradient, on all 4,000 cases: a factor 2 is missing"
    assert text.startswith(f"# {summary_line(RUN)}\n\n{first}\n\nExit code 1, seed 7, 2025-01-07T10:15:30+00:00.\n")
    assert f"### path.py::ridge\\_gradient\n\n```\n{WRONG}\n```\n" in text
    assert (
        "| ✓ | softmax\\_gradient | agrees | vjp | 40,000 | 9,000 | 96 to 4,096 | 1e-9 | 2 of 3 |  |" in text
    )
    assert "| ✗ | equation (printed L186) | wrong (expected wrong) |" in text
    assert "| dtype | bfloat16 | 0 | 0 | 0 | 1 compiled\\_only |" in text
    assert "- gpu: no such device here" in text


def test_junit():
    suite = xml.fromstring(junit_report(RUN))[0]
    assert {k: suite.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5", "failures": "1", "errors": "1", "skipped": "1",
    }  # fmt: skip
    failure = suite.find(".//failure")
    assert failure is not None and failure.get("message", "").startswith("wrong: is exactly 1/2")
    assert failure.text == f"path.py::ridge_gradient\n{WRONG}"
    errors = xml.fromstring(junit_report(record(claim("error", reason="raised\x00 \x1b"))))
    assert errors.find(".//error") is not None
