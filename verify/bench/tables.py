"""The tables of a benchmark, as rows of text: the terminal and the Markdown report show the same. No JAX."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from verify.bench.ratios import bend, fixed_cost, functions_of, growth, mean_of, rates, ratios, tools_of
from verify.bench.record import AUTOGRAD, FLOOR, OURS, OURS_TWICE, Bench, Sensitivity, SizePoint
from verify.report.numerals import count, small

Rows = list[tuple[str, ...]]
LABELS = {
    FLOOR: "plain NumPy, the floor",
    OURS: "verify",
    OURS_TWICE: "verify, two processes",
    AUTOGRAD: "autograd check_grads",
    "check_grads float32": "jax check_grads, float32",
    "check_grads float64": "jax check_grads, float64",
    "gradcheck fast": "torch gradcheck, fast",
    "gradcheck slow": "torch gradcheck, slow",
}


def number(x: float | None) -> str:
    """Three digits: ``22,100``, ``1.13``, ``0.0312``."""
    if x is None:
        return "-"
    rounded = float(f"{x:.3g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 100 else f"{rounded:.3g}"


def speed_rows(bench: Bench) -> Rows:
    """Fresh shapes a second, the geometric mean, and the means of the ratios to the floor and to autograd."""
    names = functions_of(bench)
    rows: Rows = [("fresh shapes a second", *names, "mean", "of the floor", "of autograd")]
    for tool in tools_of(bench.speed):
        found = rates(bench, tool)
        by_floor, by_autograd = (mean_of(ratios(bench, tool, to)) for to in (FLOOR, AUTOGRAD))
        figures = [number(found.get(n)) for n in names]
        rows.append((LABELS[tool], *figures, number(mean_of(found)), number(by_floor), number(by_autograd)))
    return [*rows, *((LABELS[tool], *("absent",) * (len(names) + 3)) for tool in bench.absent)]


def ratio_rows(bench: Bench) -> Rows:
    """Ours over the floor, function by function."""
    names = functions_of(bench)
    rows: Rows = [("of the floor", *names, "mean")]
    for tool in (OURS, OURS_TWICE):
        found = ratios(bench, tool)
        rows.append((LABELS[tool], *(number(found.get(n)) for n in names), number(mean_of(found))))
    return rows


def stage_rows(bench: Bench) -> Rows:
    """Microseconds a case, by stage; the rest is bookkeeping and the exact arithmetic that some cases get."""
    rows: Rows = [("µs a case", "draw", "evaluate", "compare", "all else", "in all", "seconds before the first")]
    for s in bench.stages:
        rest = s.total - s.draw - s.evaluate - s.compare
        rows.append((s.function, *(number(x) for x in (s.draw, s.evaluate, s.compare, rest, s.total, s.setup))))
    return rows


def sensitivity_rows(bench: Bench) -> Rows:
    """Noticed of visible, a column a function; then the correct rule: accused of asked."""
    names = functions_of(bench)
    rows: Rows = [("noticed of visible", "mistake", *names)]
    ordered = sorted(bench.sensitivity, key=lambda s: (list(LABELS).index(s.tool), -s.mistake))
    for (tool, mistake), some in groupby(ordered, key=lambda s: (s.tool, s.mistake)):
        found = {s.function: share(s.noticed, s.visible) for s in some}
        rows.append((LABELS[tool], power(mistake), *(found.get(n, "-") for n in names)))
    return rows


def accusation_rows(bench: Bench) -> Rows:
    names = functions_of(bench)
    rows: Rows = [("correct rule accused", *names)]
    for tool in dict.fromkeys(a.tool for a in bench.accusations):
        found = {a.function: f"{a.accused:,} of {a.cases:,}" for a in bench.accusations if a.tool == tool}
        rows.append((LABELS[tool], *(found.get(n, "-") for n in names)))
    return rows


def share(part: int, whole: int) -> str:
    """``53 of 55 (96%)``; all and none are exact."""
    if not whole:
        return "none visible"
    percent = 100 * part / whole
    rounded = 100 if part == whole else 0 if part == 0 else min(99.9, max(0.1, percent))
    return f"{part:,} of {whole:,} ({rounded:.3g}%)"


def summary_rows(bench: Bench) -> Rows:
    """A row a tool: means and sums over the functions."""
    rows: Rows = [("tool", "fresh shapes a second", "of the floor", "mistakes of 1e-5 noticed", "correct rule accused")]
    for tool in tools_of(bench.speed):
        seen = [s for s in bench.sensitivity if s.tool == tool and s.mistake == 1e-5]
        asked = [a for a in bench.accusations if a.tool == tool]
        noticed = share(sum(s.noticed for s in seen), sum(s.visible for s in seen)) if seen else "-"
        accused = f"{sum(a.accused for a in asked):,} of {sum(a.cases for a in asked):,}" if asked else "-"
        by_floor = number(mean_of(ratios(bench, tool)))
        rows.append((LABELS[tool], number(mean_of(rates(bench, tool))), by_floor, noticed, accused))
    return rows


def size_rows(bench: Bench) -> Rows:
    """Seconds a case at every size, and how a curve bends."""
    rows: Rows = [("cost of a case", "entries", "verify", "floor", "verify / floor")]
    for p in bench.sizes:
        rows.append((p.function, f"{p.entries:,}", duration(p.verify), duration(p.floor), number(p.verify / p.floor)))
    return rows


def bend_rows(bench: Bench) -> Rows:
    rows: Rows = [("curve", "fixed cost", "twice that at entries", "exponent of the last two decades")]
    for name, points in curves(bench):
        at = bend(points)
        rows.append((name, duration(fixed_cost(points)), number(at) if at else "-", f"{growth(points):.2f}"))
    return rows


def curves(bench: Bench) -> Iterable[tuple[str, Sequence[SizePoint]]]:
    for name in functions_of(bench):
        if points := [p for p in bench.sizes if p.function == name]:
            yield name, points


def claim_rows(bench: Bench) -> Rows:
    rows: Rows = [("verify run", "seconds", "seconds a claim")]
    for p in bench.claims:
        rows.append((count(p.claims, "claim"), number(p.seconds), number(p.seconds / p.claims)))
    return rows


def duration(seconds: float) -> str:
    """``61.2 µs``, ``3.4 ms``, ``2.1 s``."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{number(seconds / size)} {unit}"
    return f"{number(seconds / 1e-6)} µs"


def power(mistake: float) -> str:
    """``1e-5``."""
    return f"{mistake:.0e}".replace("e-0", "e-")


def missed(bench: Bench) -> list[Sensitivity]:
    """Where ``verify`` did not notice a visible mistake in every case."""
    return [s for s in bench.sensitivity if s.tool == OURS and s.noticed < s.visible]


def missed_text(s: Sensitivity) -> str:
    left = count(s.visible - s.noticed, "case")
    most = f"no entry changes there by more than {small(s.largest_missed)} of itself"
    return f"{s.function}, {power(s.mistake)}: {left} of {s.visible:,} not noticed; {most}"
