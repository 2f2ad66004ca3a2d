"""The table of the tools, from what they said: pure text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from tests.known_bugs.drawing import load

CORPUS = load("corpus")
NAMED_SETS = ("historical", "invented")
"""The sets whose mistakes have a class, and so kinds that name them."""
COMPLAINTS = ("fails", "raises", "wrong", "inaccurate", "error")
VERIFY = "verify"
LABELS = {
    VERIFY: "`verify`, defaults",
    "check_grads float32": "`jax.test_util.check_grads`, defaults",
    "check_grads float64": "the same in float64",
    "gradcheck fast": "`torch.autograd.gradcheck`, fast mode",
    "gradcheck slow": "the same, slow mode",
    "gradcheck slow, 10 inputs": "the same, slow mode, at ten inputs",
}

Row = Mapping[str, Any]


def report(record: Mapping[str, Any]) -> str:
    """The report in Markdown."""
    rows, here = record["claims"], record["environment"]
    tools = list(rows[0]["results"]) if rows else []
    lines = [
        "# Known and invented mistakes, by tool",
        "",
        "Regenerate with `python -m tests.peers -o reports/published/peers`. "
        f"Commit {here['git']}, Python {here['python']}, JAX {here['jax']}, NumPy {here['numpy']}, "
        f"torch {here['torch'] or 'not installed: its columns are absent'}; {here['cpus']} cores, CPU only.",
        "",
        "`verify` judges each claim with its defaults. The others get the reference with the hand-written derivative "
        "as its rule, one seeded random input of unequal sizes, and their default steps and tolerances: "
        "`jax.test_util.check_grads` (order 1; 2 for a custom rule) in JAX's default precision and in float64, "
        "`torch.autograd.gradcheck` in float64 (of a custom rule its gradient too), in slow mode also at ten inputs. "
        "Where the right version of a pair raises an error, or the derivative is not that of the values "
        "(stop_gradient), the tool cannot express it, and the pair counts neither way. Seconds are medians, "
        "compilation included, with other work on the same cores: compare them with each other.",
        "",
        *totals(rows, tools),
        "",
        *departures(rows, tools),
        "",
        "## Every pair",
        "",
        "`wrong / right`: what the tool said of the wrong version, then of the right one.",
        "",
        f"| pair | {' | '.join(tools)} |",
        f"|---|{'---|' * len(tools)}",
    ]
    by_name = {row["name"]: row for row in rows}
    for wrong, right in pairs(rows):
        said = [f"{said_of(by_name[wrong], t)} / {said_of(by_name[right], t)}" for t in tools]
        lines.append(f"| {wrong.removesuffix('_wrong')} | {' | '.join(said)} |")
    return "\n".join(lines) + "\n"


def pairs(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """The wrong and the right version of every mistake that has both."""
    names = {row["name"] for row in rows}
    both = [(n, n.removesuffix("_wrong") + "_right") for n in names if n.endswith("_wrong")]
    return sorted(p for p in both if p[1] in names)


def said_of(row: Row, tool: str) -> str:
    result = row["results"][tool]
    return result["outcome"] + (f" ({result['kind']})" if result.get("kind") else "")


def counted(rows: Sequence[Row], tool: str) -> list[tuple[Row, Row]]:
    """The pairs that a tool can express: for them it neither raises on the right version nor was left out."""
    by_name = {row["name"]: row for row in rows}
    found = [(by_name[w], by_name[r]) for w, r in pairs(rows)]
    if tool != VERIFY:
        found = [p for p in found if CORPUS.entry_of(p[0]["name"]) not in CORPUS.NO_QUOTIENT]
    return [
        p for p in found if all(p[1]["results"][tool]["outcome"] != word for word in ("raises", "not run"))
    ]


def missed(rows: Sequence[Row], tool: str) -> list[str]:
    return [w["name"] for w, _ in counted(rows, tool) if w["results"][tool]["outcome"] not in COMPLAINTS]


def alarms(rows: Sequence[Row], tool: str) -> list[str]:
    return [r["name"] for _, r in counted(rows, tool) if r["results"][tool]["outcome"] in COMPLAINTS]


def unexpressed(rows: Sequence[Row], tool: str) -> list[str]:
    kept = {w["name"] for w, _ in counted(rows, tool)}
    return [w.removesuffix("_wrong") for w, _ in pairs(rows) if w not in kept]


def named(rows: Sequence[Row]) -> dict[str, bool]:
    """Entry -> whether the kind that ``verify`` gives is one of the mistake's class."""
    wrong = [w for w, _ in counted(rows, VERIFY) if w["set"] in NAMED_SETS]
    return CORPUS.named({w["name"]: w["results"][VERIFY].get("kind") for w in wrong})


def totals(rows: Sequence[Row], tools: Sequence[str]) -> list[str]:
    """One row a tool and set: mistakes found, right versions accused, seconds."""
    head = ("tool", "set", "mistakes found", "right versions accused", "named", "seconds each")
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for tool in tools:
        for group in (*dict.fromkeys(row["set"] for row in rows), "all"):
            some = [row for row in rows if group in ("all", row["set"])]
            if counted(some, tool):
                lines.append(f"| {tool} | {group} | {' | '.join(figures(some, tool))} |")
    return lines


def figures(rows: Sequence[Row], tool: str) -> tuple[str, str, str, str]:
    """Found, accused, named and the median of the seconds, as a table has them."""
    n = len(counted(rows, tool))
    kinds = named(rows) if tool == VERIFY else {}
    share = f"{sum(kinds.values())} of {len(kinds)}" if kinds else "-"
    seconds = f"{median(row['results'][tool]['seconds'] for row in rows):.2g}"
    return f"{n - len(missed(rows, tool))} of {n}", f"{len(alarms(rows, tool))} of {n}", share, seconds


def summary(record: Mapping[str, Any]) -> str:
    """The table of the README: all sets but the stand-ins together."""
    rows = [row for row in record["claims"] if row["set"] != "stand-in"]
    lines = ["| tool | mistakes found | right versions accused | seconds each |", "|---|---|---|---|"]
    for tool, label in LABELS.items():
        if all(tool in row["results"] for row in rows):
            found, accused, _, seconds = figures(rows, tool)
            lines.append(f"| {label} | {found} | {accused} | {seconds} |")
    return "\n".join(lines)


def departures(rows: Sequence[Row], tools: Sequence[str]) -> list[str]:
    """Who was missed and who was accused, by name."""
    lines = ["## Missed and accused", ""]
    for tool in tools:
        lines.append(
            f"- **{tool}** missed: {listed(missed(rows, tool))}. Accused: {listed(alarms(rows, tool))}."
        )
        if out := unexpressed(rows, tool):
            lines[-1] += f" Not expressed: {listed(out)}."
    if VERIFY in tools:
        unnamed = [entry for entry, right in named(rows).items() if not right]
        true = [e for e in unnamed if e in CORPUS.TRUE_OF]
        lines.append(
            f"- Not named by verify: {listed([e for e in unnamed if e not in true])}; by a kind that is true and not "
            f"among those of its class: {listed(true)}."
        )
        undecided = [r["name"] for r in rows if r["results"][VERIFY]["outcome"] == "unresolved"]
        lines.append(f"- Left unresolved by verify: {listed(undecided)}.")
    return lines


def listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
