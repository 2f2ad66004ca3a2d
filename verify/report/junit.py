"""The report as JUnit XML, which continuous integration shows: a test case a claim."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as xml

from verify.records.record import ClaimRecord, Record
from verify.records.serial import write_atomically
from verify.report.explain import explain, headline
from verify.report.view import target


def write_junit(record: Record, path: str | Path) -> None:
    """Writes the report, whole or not at all."""
    write_atomically(Path(path), junit_report(record))


def junit_report(record: Record) -> bytes:
    """Failures are what does not pass; errors are what could not be judged or loaded."""
    cases = [_case(record, claim) for claim in record.claims]
    cases += [_problem(message) for message in record.problems]
    counts = {
        "tests": len(cases),
        "failures": sum(case.find("failure") is not None for case in cases),
        "errors": sum(case.find("error") is not None for case in cases),
        "skipped": sum(case.find("skipped") is not None for case in cases),
    }
    attributes = {name: str(n) for name, n in counts.items()} | {"time": f"{record.seconds:.3f}"}
    if record.started:
        attributes["timestamp"] = record.started
    suite = xml.Element("testsuite", {"name": "verify", **attributes})
    properties = xml.SubElement(suite, "properties")
    xml.SubElement(properties, "property", name="seed", value=str(record.seed))
    suite.extend(cases)
    suites = xml.Element("testsuites", name="verify")
    suites.append(suite)
    xml.indent(suites)
    return xml.tostring(suites, encoding="utf-8", xml_declaration=True) + b"\n"


def _case(record: Record, claim: ClaimRecord) -> xml.Element:
    attributes = {
        "classname": _legal(claim.module or claim.file),
        "name": _legal(claim.name),
        "file": _legal(claim.file),
        "line": str(claim.line),
        "time": f"{claim.seconds:.3f}",
    }
    case = xml.Element("testcase", attributes)
    if not record.passes(claim):
        kind = "error" if claim.verdict == "error" and claim.expected is None else "failure"
        outcome = xml.SubElement(case, kind, message=_legal(headline(claim)), type=claim.verdict)
        outcome.text = _legal(f"{target(claim)}\n{explain(claim)}")
    elif claim.expected is not None:
        xml.SubElement(case, "skipped", message=_legal(headline(claim)), type="expected")
    elif claim.verdict != "agrees":
        xml.SubElement(case, "system-out").text = _legal(explain(claim))
    return case


def _problem(message: str) -> xml.Element:
    case = xml.Element(
        "testcase", classname="verify", name=_legal(message.splitlines()[0][:120] if message else "-")
    )
    xml.SubElement(case, "error", message=_legal(message), type="problem")
    return case


def _legal(text: str) -> str:
    """Without the characters that XML 1.0 cannot hold."""
    return re.sub(
        "[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\N{REPLACEMENT CHARACTER}", text
    )
