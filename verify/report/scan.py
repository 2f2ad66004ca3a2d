"""The report of a scan in the terminal: what was found, the verdicts, and what could not be judged and why."""

from __future__ import annotations

from collections import Counter

from verify.records.record import Record
from verify.report.explain import clip, count
from verify.report.terminal import TerminalReporter
from verify.scan.found import Package


class ScanReporter(TerminalReporter):
    """Listens to a scan and reports it."""

    def found(self, package: Package) -> None:
        """What the look into the package gave, before anything is judged."""
        if self.verbosity < 0:
            return
        failed = f", {len(package.failures)} of {package.modules + len(package.failures)} cannot be imported"
        self.line(
            f"{package.name}: {count(len(package.places), 'rule')} in {count(package.modules, 'module')}"
            f"{failed if package.failures else ''}"
        )
        for failure in package.failures if self.verbosity >= 1 else ():
            self.line(f"  not imported: {clip(failure, 200)}")

    def summary(self, record: Record) -> None:
        super().summary(record)
        left = [c for c in record.claims if (c.reason or "").startswith("not judged")]
        if left and self.verbosity >= 0:
            self._rule("not judged")
            for claim in left:
                self.line(f"{claim.name}, line {claim.line}")
                self.line(f"  {clip((claim.reason or '').removeprefix('not judged: '), 300)}")
                for note in claim.notes[-1:]:
                    self.line(f"  {note}")
        if self.verbosity >= 0:
            for place in record.scan.get("unreachable", ()):
                self.line(f"out of reach: {place['name']}, line {place['line']}: made anew inside a function")
        self.line(told(record))


def told(record: Record) -> str:
    """One line: rules found, judged, and the verdicts."""
    judged = [c for c in record.claims if c.cases]
    words = Counter(c.verdict for c in judged)
    verdicts = ", ".join(f"{n} {word}" for word, n in words.most_common())
    return f"{len(judged)} of {count(len(record.claims), 'rule')} judged{f': {verdicts}' if verdicts else ''}"
