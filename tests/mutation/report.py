"""The report: how many mutants were found, which were none, and which were missed."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.mutation.operators import OPERATORS
from verify.records.record import PASSING

STATUSES = ("found", "missed", "equivalent", "convention", "still_true")
MEANING = {
    "found": "some claim ends `wrong`, `inaccurate` or `error`",
    "missed": "the function changed, and every claim passes",
    "equivalent": "survived, and every hand-written function agrees to 50 digits (mpmath) on fresh inputs",
    "convention": "survived, and differs only at kinks, within what the function is near by: both values are valid",
    "still_true": "survived, and changes only a side of an inequality, which holds all the same to 50 digits",
}


def read(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """About the run, and its mutants in order. The last outcome of a number counts; ``mended`` says that a judge
    had missed it before."""
    about, baseline = (json.loads((folder / f"{f}.json").read_text("utf-8")) for f in ("about", "baseline"))
    about["baseline"] = baseline
    lines = (folder / "mutants.jsonl").read_text("utf-8").splitlines()
    outcomes: dict[int, dict[str, Any]] = {}
    for outcome in map(json.loads, lines):
        outcome, before = settled(outcome, baseline), outcomes.get(outcome["number"], {})
        again = before.get("status") == "missed" or before.get("mended", False)
        outcomes[outcome["number"]] = {**outcome, "mended": again and outcome["status"] == "found"}
    return about, [outcomes[n] for n in sorted(outcomes)]


def missed(folder: Path) -> list[int]:
    """The numbers of those missed so far."""
    return [o["number"] for o in read(folder)[1] if o["status"] == "missed"]


def settled(outcome: Mapping[str, Any], baseline: Mapping[str, Any]) -> dict[str, Any]:
    """The outcome, which no claim can find that fails anyway."""
    status = outcome["status"]
    if status == "found" and baseline.get(outcome.get("claim", ""), {}).get("verdict", "agrees") not in PASSING:
        status = "missed"  # that claim fails without the mistake, too
    return {**outcome, "status": status}


def write_report(folder: Path) -> dict[str, Any]:
    """Writes ``report.md`` and ``summary.json`` into the folder of a run, from its log; returns the summary."""
    about, outcomes = read(folder)
    summary = summarised(about, outcomes)
    (folder / "summary.json").write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", "utf-8")
    (folder / "report.md").write_text(markdown(about, outcomes, summary), "utf-8")
    return summary


def summarised(about: Mapping[str, Any], outcomes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The counts, by operator and by file."""
    total = Counter(o["status"] for o in outcomes)
    tables = {}
    for key in ("operator", "module"):
        table: dict[str, Counter[str]] = defaultdict(Counter)
        for o in outcomes:
            table[o[key]][o["status"]] += 1
        order = OPERATORS if key == "operator" else sorted(table)
        tables[key] = {k: {s: table[k][s] for s in STATUSES} for k in order if k in table}
    found = [o for o in outcomes if o["status"] == "found"]
    return {
        "seed": about["key"][0],
        "mutants": len(outcomes),
        **{s: total[s] for s in STATUSES},
        "found_once_mended": sum(o["mended"] for o in found),
        "verdicts": dict(Counter(o["verdict"] for o in found).most_common()),
        "diagnoses": dict(Counter(o.get("diagnosis", "nothing") for o in found).most_common()),
        "by_operator": tables["operator"],
        "by_file": tables["module"],
        "minutes": round(sum(o["seconds"] for o in outcomes) / 60, 1),
        **{k: v for k, v in about.items() if k not in ("key", "baseline")},
        "claims": len(about["baseline"]),
        "claims_passing_unchanged": sum(b["verdict"] in PASSING for b in about["baseline"].values()),
    }


def markdown(about: Mapping[str, Any], outcomes: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> str:
    changed = summary["found"] + summary["missed"]
    loud = summary["verdicts"].get("error", 0) + summary["diagnoses"].get("shape", 0)
    command = f"python -m tests.mutation --seed {summary['seed']} --count {summary['mutants']}"
    parts = [
        "# Mistakes planted in the catalogue\n",
        f"`{command} -o reports/published/mutation`\n"
        "plants one mistake at a time in the source of `handgrad`, in lines that the hand-written side of some claim\n"
        "executes and its reference does not, and judges the claims concerned as the default `verify run` does,\n"
        "nearest first, until one fails (or, once the nearest have passed, until the evaluation says that there is\n"
        "nothing to find). The mistakes are drawn from the seed by code that knows nothing of the judge; mutant *n*\n"
        "is judged with seed 1000 × seed + *n*.\n",
        f"**{summary['found']} of {changed} mistakes found** ({_percent(summary['found'], changed)}). "
        f"{loud} of them raise or change a shape; of the others, which show in values only, "
        f"{summary['found'] - loud} of {changed - loud} are found. "
        f"Of {summary['mutants']} mutants {summary['mutants'] - changed} are no mistakes:\n",
        _table(("outcome", "mutants", "meaning"), [(s, summary[s], MEANING[s]) for s in STATUSES]),
        "Found ones ended " + ", ".join(f"`{k}` {v}" for k, v in summary["verdicts"].items()) + "; diagnosed as "
        + ", ".join(f"{k} {v}" for k, v in summary["diagnoses"].items()) + ".\n",
        f"Without a mistake, {summary['claims_passing_unchanged']} of {summary['claims']} claims pass.\n",
        "## By operator\n", _counts("operator", summary["by_operator"]),
        "## By file\n", _counts("file", summary["by_file"]),
    ]  # fmt: skip
    mended = [o for o in outcomes if o["mended"]]
    if mended:
        parts.insert(3, f"{len(mended)} of the found ones were missed at first, and led to a better judge.\n")
        parts += ["## Missed at first, found once the judge was mended\n", *(_listed(o) for o in mended)]
    for status, title in (("missed", "Missed"), ("convention", "Conventions"), ("still_true", "Still true"),
                          ("equivalent", "Equivalent")):  # fmt: skip
        chosen = [o for o in outcomes if o["status"] == status]
        if chosen:
            parts += [f"## {title}\n", *(_listed(o) for o in chosen)]
    environment = ", ".join(f"{k} {summary[k]}" for k in ("python", "jax", "numpy", "cpus", "judge"))
    minutes = f"{summary['minutes']:g} minutes of judging, on all processes"
    parts.append(f"\n{summary['started']}; {environment}; {minutes}.\n")
    return "\n".join(parts)


def _listed(o: Mapping[str, Any]) -> str:
    path = o["module"].replace(".", "/") + ".py"
    lines = [f"- {o['number']}: `{path}:{o['line']}`, {o['operator']}", "", "  ```diff", f"  - {o['original']}",
             f"  + {o['mutated']}", "  ```", ""]  # fmt: skip
    if o["mended"]:
        lines += [f"  found by `{o['claim'].partition('::')[2]}`: {o['verdict']} (judge {o['judge']})", ""]
    if o["status"] == "missed":
        said = ", ".join(f"`{c.partition('::')[2]}` {v}" for c, v in o.get("survived", {}).items())
        lines += [f"  {said or o.get('claim', '')}; {_evidence(o.get('evidence'))}", ""]
    return "\n".join(lines)


def _evidence(evidence: Any) -> str:
    if not isinstance(evidence, Mapping):
        return str(evidence)
    text = json.dumps(evidence.get("inputs", {}), ensure_ascii=False)
    shown = text if len(text) < 400 else f"sizes {json.dumps(evidence.get('dims'))}"
    return f"leaf {evidence['leaf']} was {evidence['was']}, is {evidence['is']} at {shown}"


def _counts(name: str, table: Mapping[str, Mapping[str, int]]) -> str:
    head = (name, *(s.replace("_", " ") for s in STATUSES))
    return _table(head, [(k, *(v[s] for s in STATUSES)) for k, v in table.items()])


def _table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    lines = [list(map(str, head)), *(list(map(str, row)) for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "-"
