"""Curves on logarithmic axes as SVG: one small file, no script, legible on light and dark ground. No JAX."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from verify.bench.record import Bench, SizePoint

if TYPE_CHECKING:
    from jinja2 import Template

WIDTH, HEIGHT = 760, 430
LEFT, RIGHT, TOP, BOTTOM = 74, 128, 46, 56
NEAR = 0.05
"""Decades by which a point may lie outside the axes."""
APART = 15
"""Pixels between the labels of two curves."""
COLOURS = 4


@dataclass(frozen=True)
class Curve:
    """Points ``(x, y)``, all positive; ``faint`` curves are dashed and have no label of their own."""

    label: str
    colour: int
    points: tuple[tuple[float, float], ...]
    faint: bool = False


@dataclass(frozen=True)
class Tick:
    at: float
    label: str


@dataclass(frozen=True)
class Label:
    text: str
    colour: int
    x: float
    y: float


@dataclass(frozen=True)
class Axis:
    """Whole decades, from the power ``low`` to ``high``, laid out between two pixels."""

    low: int
    high: int
    start: float
    end: float

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float) -> Axis:
        low = math.floor(math.log10(min(values)) + NEAR)
        high = math.ceil(math.log10(max(values)) - NEAR)
        return cls(low, max(high, low + 1), start, end)

    def __call__(self, value: float) -> float:
        part = (math.log10(value) - self.low) / (self.high - self.low)
        return round(self.start + part * (self.end - self.start), 1)

    def ticks(self, unit: str = "") -> list[Tick]:
        return [Tick(self(10.0**p), _power(p, unit)) for p in range(self.low, self.high + 1)]


def has_curve(points: Sequence[SizePoint]) -> bool:
    return len({p.entries for p in points}) > 1


def sizes_plot(bench: Bench) -> str:
    """Seconds a case against its input entries: ``verify`` solid, the floor dashed."""
    curves = []
    for colour, name in enumerate(bench.titles):
        points = [p for p in bench.sizes if p.function == name]
        if points:
            curves.append(Curve(name, colour, tuple((p.entries, p.verify) for p in points)))
            curves.append(Curve(name, colour, tuple((p.entries, p.floor) for p in points), faint=True))
    title = "Cost of a case against its size (solid: verify, dashed: plain NumPy)"
    return _plot(title, "input entries", "time a case", "s", curves)


def claims_plot(bench: Bench) -> str:
    """Seconds of a run against the number of its claims."""
    points = tuple((float(p.claims), p.seconds) for p in bench.claims)
    title = "Cost of verify run against its claims"
    return _plot(title, "claims", "time a run", "s", [Curve("verify run", 0, points)])


def _plot(title: str, x_title: str, y_title: str, unit: str, curves: Sequence[Curve]) -> str:
    everything = [p for c in curves for p in c.points]
    x = Axis.over([p[0] for p in everything], LEFT, WIDTH - RIGHT)
    y = Axis.over([p[1] for p in everything], HEIGHT - BOTTOM, TOP)
    lines = [(c, [(x(a), y(b)) for a, b in c.points]) for c in curves]
    return _template().render(
        width=WIDTH, height=HEIGHT, left=LEFT, right=WIDTH - RIGHT, top=TOP, bottom=HEIGHT - BOTTOM,
        title=title, x_title=x_title, y_title=y_title, x_ticks=x.ticks(), y_ticks=y.ticks(unit), lines=lines,
        labels=_labels([(c, points) for c, points in lines if not c.faint]),
    )  # fmt: skip


def _labels(lines: Sequence[tuple[Curve, Sequence[tuple[float, float]]]]) -> list[Label]:
    """A label beside the end of each curve, moved down where two would overlap."""
    found: list[Label] = []
    for curve, points in sorted(lines, key=lambda line: line[1][-1][1]):
        x, y = points[-1]
        if found and y < found[-1].y + APART:
            y = found[-1].y + APART
        found.append(Label(curve.label, curve.colour % COLOURS, x, y))
    return found


def _power(p: int, unit: str) -> str:
    """``10⁴``; of seconds ``1 ms``."""
    if unit == "s" and -6 <= p <= 3:
        size, name = next((s, n) for s, n in ((0, "s"), (-3, "ms"), (-6, "µs")) if p >= s)
        return f"{10 ** (p - size):,} {name}"
    if 0 <= p <= 3:
        return f"{10**p:,}"
    return "10" + str(p).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(Path(__file__).with_name("plot.svg").read_text(encoding="utf-8"))
