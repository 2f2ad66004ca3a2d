"""``python -m tests.scan_report RECORD.json ... -o DIR``: the report of scans, with and without the registry."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from tests.scan_report.discrepancies import DISCREPANCIES
from tests.scan_report.reproduce import reproduced
from verify.records.record import Record, read_record

WORDS = ("agrees", "convention", "reference_wrong", "inaccurate", "wrong", "error")
HEAD = """\
# Everybody's rules

`verify scan PACKAGE` on public packages. *Judged* are rules that some source says how to call: annotations, a
docstring, trial calls, and the registry, which holds shapes and domains only (in brackets: without it). A verdict here
is on the rule against its own primal, by the letter; what is meant by its authors is said below. All packages were
scanned at one commit with `--backend numpy --dtype float64,float32 --seed 0 --cases 120`, without the registry
`--no-registry --cases 48` (jax 24). Where the primal is an approximation (it repeats something until it is good enough,
or its pieces do not quite meet) a rule is not told for what the primal itself is off.

"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.scan_report")
    parser.add_argument("records", nargs="+", help="what `verify scan --json` wrote, with and without --no-registry")
    parser.add_argument("-o", dest="output", default="reports/scan")
    parsed = parser.parse_args()
    text = HEAD + table([read_record(path) for path in parsed.records]) + "\n" + listed()
    folder = Path(parsed.output)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.md").write_text(text)


def judged(record: Record) -> int:
    """Rules with a verdict that cases decided."""
    return sum(c.cases > 0 and c.verdict != "unresolved" for c in record.claims)


def table(records: list[Record]) -> str:
    full = {r.scan["package"]: r for r in records if r.scan["registry"]}
    plain = {r.scan["package"]: r for r in records if not r.scan["registry"]}
    rows = [
        f"| package | rules | inside functions | judged | {' | '.join(WORDS)} |",
        f"|---|---:|---:|---:|{'---:|' * len(WORDS)}",
    ]
    for package in dict.fromkeys([*full, *plain]):
        best = full.get(package) or plain[package]
        counts = Counter(c.verdict for c in best.claims if c.cases > 0)
        without = f" ({judged(plain[package])})" if package in full and package in plain else ""
        cells = [str(counts[w]) for w in WORDS]
        rows.append(
            f"| {package} | {best.scan['rules']} | {len(best.scan['unreachable'])} | {judged(best)}{without} "
            f"| {' | '.join(cells)} |"
        )
    left = [
        f"- `{c.name}`: {(c.reason or '').removeprefix('not judged: ')}"
        for r in full.values()
        for c in r.claims
        if c.cases == 0 or c.verdict == "unresolved"
    ]
    cut = [f"The scan of {p} was cut off after {len(r.claims)} rules." for p, r in full.items() if _is_cut_off(r)]
    return "\n".join([*rows, "", " ".join([f"Seed {records[0].seed}.", *cut, "Not judged:"]), "", *left, ""])


def _is_cut_off(record: Record) -> bool:
    return len(record.claims) < record.scan["rules"]


def listed() -> str:
    how = "`rule` is what JAX gives, `exact` the true derivative by mpmath at 400 digits."
    parts = ["## Discrepancies", "", how, ""]
    for found in DISCREPANCIES:
        rule, exact = reproduced(found)
        parts += [
            f"### `{found.rule}`: {found.kind}", "", found.text, "", "```python", found.code,
            f"# rule  {rule:.10g}", f"# exact {exact:.10g}  ({found.exact})", "```", "",
        ]  # fmt: skip
    return "\n".join(parts)


if __name__ == "__main__":
    main()
