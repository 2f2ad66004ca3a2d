"""The page of the post: it follows the record, opens offline, and is written whole or not at all."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from verify.records.record import ClaimRecord, Counterexample, Diagnosis, Record, read_record
from verify.report.post import contents, counterexample, lines_of, page, summary, write_page

ROOT = Path(__file__).parents[2]
ENTRIES = contents()["entries"]


def claim(place, form, verdict, **more):
    name = f"{place}.{form}"
    return ClaimRecord(name, "handgrad.post", "post.py", 1, "equal_to", verdict, equation=place, form=form, **more)


def record_of_all():
    """A record in which what ought to fail fails."""
    claims = []
    for entry in ENTRIES:
        if entry["reason"]:
            continue
        wrong = bool(entry["instead"])
        told = Diagnosis("factor", f"told of {entry['place']} & <more>", "2")
        example = Counterexample("c", {"m": 1, "n": 2}, "float64", {"W": [[1.0, 2.0]]}, {"value": 3.0}, {"value": 6.0},
                                 {"value": "nan"})  # fmt: skip
        more = {"diagnosis": told, "diagnoses": (told,), "expected": "wrong", "counterexample": example}
        claims.append(claim(entry["place"], "printed", "wrong" if wrong else "agrees", **(more if wrong else {})))
        if wrong:
            claims.append(claim(entry["place"], "corrected", "agrees"))
    return Record(tuple(claims), 0, ("verify",), 7, {"jax": "1"})


class Page(HTMLParser):
    """Tags that are open, and every address that a page loads or links to."""

    def __init__(self):
        super().__init__()
        self.open, self.addresses = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "br", "link", "img"):
            self.open.append(tag)
        self.addresses += [value for key, value in attrs if key in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_shows_every_entry_in_order_and_what_the_record_says():
    record = record_of_all()
    lines = lines_of(record)
    text = page(record, lines)
    assert re.findall(r'<article id="(\w+)"', text) == [e["place"] for e in ENTRIES]
    wrong = [e["place"] for e in ENTRIES if e["instead"]]
    assert re.findall(r'<article id="(\w+)" class="wrong"', text) == wrong
    for place in wrong:
        assert f"told of {place} &amp; &lt;more&gt;" in text
    assert text.count("must equal") == len(wrong)
    assert f"{len(ENTRIES)} entries" in summary(lines) and f"{len(wrong)} do not" in summary(lines)
    assert "verify run handgrad.post --seed 7 (jax 1; 0 cases)" in text


def test_the_page_opens_offline():
    record = record_of_all()
    parser = Page()
    parser.feed(page(record, lines_of(record)))
    assert parser.open == []
    assert parser.addresses and all(address.startswith("#") for address in parser.addresses)


def test_a_line_that_does_not_hold_is_not_shown_as_holding():
    """The page shows what ran, whatever the entries say."""
    record = record_of_all()
    first = next(i for i, c in enumerate(record.claims) if c.verdict == "agrees")
    for verdict in ("wrong", "error", "unresolved"):
        claims = list(record.claims)
        claims[first] = replace(claims[first], verdict=verdict, reason="because")
        lines = lines_of(replace(record, claims=tuple(claims)))
        line = next(x for x in lines if x.entry["place"] == claims[first].equation)
        assert not line.holds and line.verdict == verdict
        assert "because" in page(record, lines)


def test_written_from_a_whole_record_only(tmp_path):
    record = record_of_all()
    write_page(replace(record, claims=record.claims[:-1]), tmp_path / "post")
    assert not (tmp_path / "post").exists()
    write_page(record, tmp_path / "post")
    assert sorted(p.name for p in (tmp_path / "post").iterdir()) == ["README.md", "index.html"]


def test_a_counterexample_says_what_is_printed_and_what_must_be():
    wrong = next(c for c in record_of_all().claims if c.counterexample)
    assert counterexample(wrong) == [
        ("sizes", "m = 1, n = 2"), ("W", "[[1, 2]]"), ("as printed", "3"), ("must equal", "6"),
    ]  # fmt: skip
    assert counterexample(replace(wrong, relation="at_most"))[-1] == ("must be at most", "6")
    assert counterexample(replace(wrong, relation="gradient"))[-1] == ("must be", "nan")


def test_the_published_page_has_every_entry_and_no_failure():
    """``verify run handgrad.post --seed 0`` writes it anew."""
    text = (ROOT / "reports" / "post" / "index.html").read_text("utf-8")
    assert re.findall(r'<article id="(\w+)"', text) == [e["place"] for e in ENTRIES]
    assert re.findall(r'<article id="(\w+)" class="wrong"', text) == [e["place"] for e in ENTRIES if e["instead"]]
    for entry in ENTRIES:
        assert entry["mathml"] in text and entry["instead_mathml"] in text


def test_the_readme_counts_as_the_page_does():
    lines = lines_of(record_of_all())
    hold, wrong = (sum(line.verdict == v and not line.entry["reason"] for line in lines) for v in ("agrees", "wrong"))
    text = " ".join((ROOT / "README.md").read_text("utf-8").split())
    assert f"Of {len(lines)} entries {hold} hold as printed and {wrong} do not" in text


@pytest.mark.slow
def test_a_run_of_the_post_ends_with_0_and_writes_its_page(tmp_path):
    command = [sys.executable, "-m", "verify", "run", "handgrad.post", "--seed", "1", "-o", str(tmp_path), "-q",
               "--json", str(tmp_path / "record.json")]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    record = read_record(tmp_path / "record.json")
    assert {c.verdict for c in record.claims if c.form == "corrected"} == {"agrees"}
    assert (tmp_path / "post" / "index.html").exists()
    assert json.loads((tmp_path / "record.json").read_text("utf-8"))["claims"][0]["equation"]
