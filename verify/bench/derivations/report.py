"""The report of ``verify bench --derivations`` in Markdown, from its record alone. No JAX."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from verify.bench.derivations.record import BEST, HAND, PLAIN, Comparison, Derivations
from verify.bench.ratios import geometric_mean
from verify.bench.report import table
from verify.bench.tables import Rows, duration, number

TITLES = {
    "backpropagate": "The gradient of a network",
    "recompute": "The same in less memory",
    "norms": "The norm of each example's gradient",
    "curvature": "Products with the Hessian and the Gauss-Newton matrix",
    "ridge": "Ridge regression through statistics",
    "closed form": "Ridge regression solved",
    "cross-entropy": "A linear layer and the softmax cross-entropy, in chunks",
}
WHY = {
    "backpropagate": "XLA finds the same program; `z` is not kept where the slope can be had from `a`.",
    "recompute": "Columns are taken some at a time. Value and gradient of a few columns are made together, so that "
    "nothing is computed twice; `jax.grad` of a loss written in chunks runs each of them forward again.",
    "norms": "One example's gradient is an outer product, whose norm is the product of two. Up to width 128 XLA makes "
    "each entry of that product and its square in one pass; beyond, it stores them. Whoever knows the trick can get δ "
    "from `jax.grad`, too.",
    "curvature": "For insight: `jax.jvp` of `jax.grad` is the R-operator.",
    "ridge": "The loss sees the data through three products only. The gain is theirs: `jax.grad` of the loss written "
    "with them has it, too.",
    "closed form": "In the eigenvectors of `X Xᵀ`, found once, every new λ costs one product, and no pass over the "
    "data; beside scikit-learn.",
    "cross-entropy": "The gradient of a chunk is made with its value, so that its logits are made once; `jax.grad` of "
    "a loss written in chunks makes them twice.",
}


def report(found: Derivations) -> str:
    """The whole report."""
    return "\n".join(_lines(found)) + "\n"


def summary(found: Derivations) -> str:
    """One table, a row a part or a comparison, for the README."""
    return "\n".join(table(summary_rows(found)))


def summary_rows(found: Derivations) -> Rows:
    rows: Rows = [("by hand, over `jax.grad` of", "plain: time", "memory", "best: time", "memory")]
    for label, some in _groups(found):
        figures = (_mean(some, Comparison.time), _mean(some, Comparison.memory))
        best = (_mean(some, lambda c: c.time(BEST)), _mean(some, lambda c: c.memory(BEST)))
        rows.append((label, *map(_ratio, (*figures, *best))))
    return rows


def _groups(found: Derivations) -> Iterator[tuple[str, list[Comparison]]]:
    """Networks are means over sizes, activations and losses; what stands alone is itself."""
    labels = {
        "backpropagate": "`backpropagate`", "recompute": "`backpropagate(recompute=True)`, large networks",
        "cross-entropy": "`linear_softmax_cross_entropy`",
    }  # fmt: skip
    for part in TITLES:
        some = found.of(part)
        if part in labels and some:
            yield f"{labels[part]} ({len(some)})" if len(some) > 1 else labels[part], some
        elif part == "norms":
            for width in dict.fromkeys(c.case.partition("-")[0] for c in some):
                those = [c for c in some if c.case.startswith(f"{width}-")]
                yield f"`per_example_gradient_norms`, width {width} ({len(those)})", those
        elif part == "curvature":
            for product in ("Hessian", "Gauss-Newton"):
                if those := [c for c in some if c.case.startswith(product)]:
                    yield f"{product}-vector product ({len(those)})", those
        else:
            for c in some:
                hand, beside = c.way(HAND), " (beside scikit-learn)" if part == "closed form" else ""
                yield f"`{hand.text.partition(',')[0] if hand else c.case}`{beside}", [c]


def _lines(found: Derivations) -> Iterator[str]:
    here = found.environment
    packages = ("python", "jax", "numpy")
    versions = ", ".join(f"{name} {here[name]}" for name in packages if here.get(name))
    yield "# What a derivation buys"
    yield ""
    yield f"Made by `{' '.join(found.argv)}` in {found.seconds:.0f} s, {found.started}, seed {found.seed}."
    yield f"Commit {here.get('git')}; {versions}; {here.get('platform')}, {here.get('cpus')} processors; load averages"
    yield f"before it: {', '.join(map(str, here.get('load before') or ['unknown']))}."
    if found.quick:
        yield "A quick run: its figures mean little."
    if found.absent:
        yield f"Absent: {', '.join(found.absent)} (`pip install 'handgrad[train]'`)."
    yield ""
    yield """\
Each derivative by hand, over `jax.grad` of the plain formulation, and over `jax.grad` of the best formulation of the
same that one could hand to it, so that it is seen where a gain comes from. All are compiled and take turns; times are
medians, ratios of time medians of the ratios within a turn. Memory is what the compiled program needs besides arguments
and results, operations are as XLA counts them. Below 1 is better by hand."""
    yield ""
    yield from table(summary_rows(found))
    for part, title in TITLES.items():
        if some := found.of(part):
            yield from ("", f"## {title}", "", WHY[part], "")
            yield from (f"- {text}" for text in reached(part, some))
            yield from ("", *table(_rows(some)), "")
            yield from dict.fromkeys(f"- {w.who}: `{w.text}`" for c in some for w in c.ways)
            for c in some:
                if c.facts:
                    yield f"- {c.case}: {', '.join(f'{k} {_fact(v)}' for k, v in c.facts.items())}"


def reached(part: str, some: Sequence[Comparison]) -> list[str]:
    """What was wanted of a part, what came out, and whether that is enough."""
    times, memories = [c.time() for c in some], [m for c in some if (m := c.memory()) is not None]
    if part == "backpropagate":
        return [
            _goal("geometric mean of time", _mean(some, Comparison.time), 1.00),
            _goal("largest ratio of time", max(t for t in times if t), 1.05),
            _goal("largest ratio of memory", max(memories, default=None), 1.00),
        ]
    if part == "recompute":
        return [
            _goal("geometric mean of time", _mean(some, Comparison.time), 1.05),
            _goal("largest ratio of memory", max(memories, default=None), 0.5),
        ]
    if part == "norms":
        goals = [_goal(f"{c.case}, time", c.time(), 1 / 4.5) for c in some]
        return [*goals, _goal("largest ratio of memory", max(memories, default=None), 0.75)]
    if part == "cross-entropy":
        return [_goal("time", times[0], 1.0), _goal("memory", max(memories, default=None), 0.12)]
    if part == "ridge":
        limits = {"a gradient": 1 / 450, "the statistics": 2.0}
        return [_goal(f"{c.case}, time", c.time(), limit) for c in some for k, limit in limits.items() if k in c.case]
    if part == "closed form":
        wanted = [(c, 1 / 500 if "another" in c.case else 1.0) for c in some if "once" not in c.case]
        goals = [_goal(f"{c.case}, time", c.time(), most) for c, most in wanted]
        gaps = [c.facts["largest relative difference"] for c in some if "largest relative difference" in c.facts]
        return [*goals, *(_goal("largest relative difference of the solutions", float(g), 1e-8) for g in gaps)]
    return []


def _goal(what: str, found: float | None, most: float) -> str:
    if found is None:
        return f"{what}: not measured (wanted at most {number(most)})"
    met = "reached" if (round(found, 2) if most >= 0.1 else found) <= most else "NOT REACHED"
    return f"{what} {_ratio(found)}, wanted at most {number(most)}: {met}"


def _rows(some: Sequence[Comparison]) -> Rows:
    besides = any(c.way(BEST) for c in some)
    head = ("case", "by hand", "memory", "plain: time", "memory", "operations")
    rows: Rows = [(*head, "best: time", "memory", "operations") if besides else head]
    for c in some:
        way = c.way(HAND)
        own = (duration(_middle(way.seconds)), _size(way.memory)) if way else ("-", "-")
        plain = (c.time(PLAIN), c.memory(PLAIN), c.flops(PLAIN))
        best = (c.time(BEST), c.memory(BEST), c.flops(BEST)) if besides else ()
        rows.append((c.case, *own, *map(_ratio, (*plain, *best))))
    return rows


def _middle(seconds: Sequence[float]) -> float:
    return sorted(seconds)[len(seconds) // 2]


def _mean(some: Sequence[Comparison], ratio: Callable[[Comparison], float | None]) -> float | None:
    found = [r for c in some if (r := ratio(c))]
    return geometric_mean(found) if found and len(found) == len(some) else None


def _ratio(x: float | None) -> str:
    return "-" if x is None else f"{x:.2f}" if x >= 0.1 else number(x) if x else "0"


def _size(size: int | None) -> str:
    """``3.9 MB``."""
    if size is None:
        return "-"
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"


def _fact(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.1e}" if isinstance(value, float) else str(value)
