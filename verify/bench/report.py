"""The report of a benchmark in Markdown, from its record alone. No JAX."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from verify.bench.plot import has_curve
from verify.bench.ratios import mean_of, rates, ratios, slowest
from verify.bench.record import AUTOGRAD, OURS, OURS_TWICE, Bench
from verify.bench.tables import (
    Rows,
    accusation_rows,
    bend_rows,
    claim_rows,
    missed,
    missed_text,
    number,
    ratio_rows,
    sensitivity_rows,
    share,
    size_rows,
    speed_rows,
    stage_rows,
    summary_rows,
)

WORK = {
    "entries": "every entry is read and written once an operation, so that memory sets the pace: an exponent near 1",
    "products": "n x n matrices are multiplied, n³ operations for n² entries: an exponent towards 3/2",
}


def report(bench: Bench) -> str:
    """The whole report."""
    return "\n".join(_lines(bench)) + "\n"


def headline(bench: Bench) -> list[str]:
    """What was measured, in a sentence a part."""
    found = []
    if bench.speed:
        rate, alone, both = mean_of(rates(bench, OURS)), *(mean_of(ratios(bench, t)) for t in (OURS, OURS_TWICE))
        text = f"verify judges {number(rate)} fresh shapes a second, {number(alone)} of the floor, and {number(both)} "
        text += "of it with two processes"
        if (beside := mean_of(ratios(bench, OURS, AUTOGRAD))) is not None:
            text += f"; {number(beside)} times as many as autograd"
        if least := slowest(bench):
            text += f"; furthest from the floor is {least[0]}, at {number(least[1])}"
        found.append(f"{text}.")
    if bench.sensitivity:
        mine = [s for s in bench.sensitivity if s.tool == OURS]
        ours = [a for a in bench.accusations if a.tool == OURS]
        noticed = share(sum(s.noticed for s in mine), sum(s.visible for s in mine))
        accused = share(sum(a.accused for a in ours), sum(a.cases for a in ours))
        text = f"verify notices {noticed} visible mistakes of 1e-5 and 1e-6"
        found.append(f"{text}, and accuses the correct rule in {accused} cases.")
    return found


def summary(bench: Bench) -> str:
    """One table over all functions, for the README."""
    return "\n".join(table(summary_rows(bench)))


def _lines(bench: Bench) -> Iterator[str]:
    here = bench.environment
    packages = ("python", "jax", "numpy", "torch", "autograd")
    versions = ", ".join(f"{name} {here[name]}" for name in packages if here.get(name))
    yield "# What verification costs, and what it sees"
    yield ""
    yield f"Made by `{' '.join(bench.argv)}` in {bench.seconds:.0f} s, {bench.started}, seed {bench.seed}."
    yield f"Commit {here.get('git')}; {versions}; {here.get('platform')}, {here.get('cpus')} processors; load averages"
    yield f"before it: {', '.join(map(str, here.get('load before') or ['unknown']))}."
    if bench.quick:
        yield "A quick run: its figures mean little."
    if bench.absent:
        homes = ", ".join(dict.fromkeys(bench.absent.values()))
        yield f"Absent: {homes} (`pip install 'handgrad[bench]'`)."
    yield ""
    yield from (f"- {text}" for text in headline(bench))
    sections = {_speed: bench.speed, _sensitivity: bench.sensitivity, _sizes: bench.sizes, _claims: bench.claims}
    for section, measured in sections.items():
        if measured:
            yield from section(bench)


def _speed(bench: Bench) -> Iterator[str]:
    yield from ("", "## Fresh shapes a second", "")
    yield f"""\
Every size of every case is drawn anew from 1 to 32, for every tool; drawing and verdict are included. The floor draws
normal values, evaluates both formulas in plain NumPy and asks `np.allclose`, in one thread, as all others do. `verify`
judges batches of {bench.batch:,} cases with all that `verify run` does in a float64 cell, exact arithmetic included, at
its own values (zeros, ties, saturation, extremes); traced and warm. The peers get normal values, and have their default
steps and tolerances. Tools take turns; rates are medians over repetitions, ratios are formed within a repetition, means
over functions are geometric."""
    yield from ("", *table(speed_rows(bench)), "", *table(ratio_rows(bench)), "", *table(stage_rows(bench)))


def _sensitivity(bench: Bench) -> Iterator[str]:
    terms = "; ".join(f"{name}: {term}" for name, term in bench.terms.items())
    yield from ("", "## Small mistakes", "")
    yield f"""\
A single term of each rule is multiplied by 1 + mistake ({terms}). The mistake is visible in a case if it changes some
entry by more than 64 roundings of float64 of the largest entry of its array, in float64 and in extended precision; both
are computed from the NumPy form. A tool notices it if it complains; `verify` if hand and reference differ in float64 by
what does not shrink in extended precision, so that exact arithmetic decides. What a tool notices that accuses the
correct rule, too, is no evidence."""
    yield from ("", *table(sensitivity_rows(bench)), "", *table(accusation_rows(bench)), "")
    wrong, right = (
        ", ".join(sorted({x.verdict or "-" for x in told if x.tool == OURS}))
        for told in (bench.sensitivity, bench.accusations)
    )
    yield f"Verdicts of `verify` on the claims with a mistake: {wrong}; on the correct ones: {right}."
    if found := missed(bench):
        yield from ("", *(f"- {missed_text(s)}." for s in found))


def _sizes(bench: Bench) -> Iterator[str]:
    yield from ("", "## Cost against size", "")
    yield "All dimensions of a case are equal; `verify` draws, evaluates and compares it, and the floor does the same."
    if has_curve(bench.sizes):
        yield from ("", "![Seconds a case against input entries](sizes.svg)")
    yield from ("", *table(bend_rows(bench)), "")
    work: dict[str, list[str]] = {}
    for p in bench.sizes:
        work.setdefault(p.work, []).append(p.function)
    explained = "; ".join(f"{', '.join(dict.fromkeys(names))}: {WORK[kind]}" for kind, names in work.items())
    yield f"""\
The bend: a small case costs the fixed price of its NumPy calls and draws, whatever its size. A large one costs its
arithmetic. {explained}."""
    yield from ("", *table(size_rows(bench)))


def _claims(bench: Bench) -> Iterator[str]:
    yield from ("", "## Cost against the number of claims", "")
    yield f"""\
`verify run --backend numpy --cases {bench.claims[0].cases}` as a process of its own, from start to end, on the first
claims of the catalogue. Many claims are shared out among workers, one a processor."""
    if len(bench.claims) > 1:
        yield from ("", "![Seconds of a run against its claims](claims.svg)")
    yield from ("", *table(claim_rows(bench)))


def table(rows: Rows) -> list[str]:
    """Rows in Markdown, the first of them its head."""
    head, *rest = rows
    rule = f"|---|{'---:|' * (len(head) - 1)}"
    return [_row(head), rule, *map(_row, rest)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"

