"""The plots of a report, as SVG inside the page.

Drawn here and not by a plotting library in the browser: a page with plotly carries one to five megabytes of script,
shows nothing without it, and is a picture without words to a screen reader. These are a few kilobytes each, take their
colours from the page, say their numbers in a title on every mark, print, and need no script at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from verify.figure_data.figures import AxisErrors, EntryErrors, Figures, Remainder, SizeErrors
from verify.report.numerals import clean, small

WIDTH, HEIGHT = 460, 250
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 14, 38
FAINTEST = 2.0**-6
"""What is smaller, an exact zero included, is drawn at the bottom: ulp of an error."""
MOST_ULPS, MOST_RELATIVE = 2.0**64, 1e3
NUMBERED = 9
"""Columns of a map of entries that have room for a number in each field."""


@dataclass(frozen=True)
class Plot:
    """A drawing, and the sentence beneath it."""

    svg: Markup
    caption: str


def plots_of(figures: Figures) -> list[Plot]:
    """The plots of one claim, those that say most first."""
    found = [_axis(a) for a in figures.axis if len(a.inputs) > 1]
    found += [_sizes(figures.sizes)] if figures.sizes else []
    found += [_entries(e) for e in figures.entries]
    found += [_remainder(figures.remainder)] if figures.remainder else []
    return found


# The four plots --------------------------------------------------------------------------------------------


def _axis(a: AxisErrors) -> Plot:
    points = [p for p in zip(a.inputs, a.hand, a.reference, strict=True) if math.isfinite(p[0])]
    x = _Exponents([at for at, _, _ in points], a.signed)
    y = _Logs(2.0, FAINTEST, _above([*a.hand, *a.reference, a.counts], MOST_ULPS), HEIGHT - BOTTOM, TOP)
    parts = [*_frame("largest input" if not a.signed else "input", "error, ulp"), *x.ticks(), *y.ticks(8)]
    parts.append(_line(y, a.counts, "looked into above"))
    for at, mine, theirs in points:
        says = f"input {small(at)}: by hand {small(mine)} ulp, reference {small(theirs)} ulp"
        parts.append(_pair(x(at), y(mine), y(theirs), says))
    worst = max(range(len(a.inputs)), key=lambda i: a.hand[i])
    said = (
        f"Error in {a.dtype} over the {'input' if a.signed else 'largest input of a case'}, the worst at each size: "
        f"by hand at most {small(a.hand[worst])} ulp (at {small(a.inputs[worst])}), "
        f"by the reference, the noise floor here, at most {small(max(a.reference))} ulp. Both against {a.against}."
    )
    return Plot(_svg("Error over input magnitude", said, parts), said)


def _sizes(sizes: Sequence[SizeErrors]) -> Plot:
    shown = sizes[:4]
    width = (WIDTH - LEFT - RIGHT) / len(shown)
    worst = _above([e for s in shown for e in (*s.hand, *s.reference)], MOST_RELATIVE)
    y = _Logs(10.0, 1e-17, max(worst, 1e-12), HEIGHT - BOTTOM, TOP)
    parts = [*_frame("", "relative error"), *y.ticks(3)]
    for number, s in enumerate(shown):
        start = LEFT + number * width
        step = (width - 16) / max(1, len(s.sizes) - 1)
        every = -(-len(s.sizes) // max(2, int(width // 26)))
        for i, (size, mine, theirs) in enumerate(zip(s.sizes, s.hand, s.reference, strict=True)):
            x = start + 8 + i * step
            says = f"{s.dimension} = {size}: by hand {small(mine)}, reference {small(theirs)}"
            parts.append(_pair(x, y(mine), y(theirs), says))
            if i % every == 0:
                parts.append(_text(x, HEIGHT - BOTTOM + 13, str(size), "middle"))
        parts.append(_text(start + width / 2, HEIGHT - 6, s.dimension, "middle"))
        if number:
            parts.append(Markup('<path class="axis" d="M{:.1f} {}V{}"/>').format(start, TOP, HEIGHT - BOTTOM))
    names = ", ".join(s.dimension for s in shown)
    said = f"Worst relative error at each size of {names}. {_small_sizes(shown)}".strip()
    return Plot(_svg("Error over sizes", said, parts), said)


def _small_sizes(sizes: Sequence[SizeErrors]) -> str:
    """Where a size hides the mistake."""
    for s in sizes:
        hidden = [n for n, e in zip(s.sizes, s.hand, strict=True) if e < 1e-9]
        if hidden and max(s.hand) > 1e-6:
            return f"At {s.dimension} = {', '.join(map(str, hidden[:4]))} nothing shows."
    return ""


def _entries(e: EntryErrors) -> Plot:
    columns = max(len(row) for row in e.rows)
    side = min((WIDTH - LEFT - RIGHT) / columns, (HEIGHT - 2 * TOP) / len(e.rows), 44.0)
    shape = " x ".join(map(str, e.shape))
    blocks = (len(e.rows), columns) != tuple(([1, *e.shape] if len(e.shape) < 2 else e.shape)[-2:])
    parts = []
    for i, row in enumerate(e.rows):
        for j, error in enumerate(row):
            x, y = LEFT + j * side, TOP + i * side
            place = f"{'block' if blocks else 'entry'} [{i}, {j}]"
            says = f"{place}: relative error {small(error)}"
            strength = 0 if error < 1e-9 else 1 + sum(error > limit for limit in (1e-6, 1e-3, 0.1))
            text = ("0" if not error else "∞" if math.isinf(error) else small(float(f"{error:.1g}"))) if (
                columns <= NUMBERED and side > 28) else "" if strength == 0 else "≠"  # fmt: skip
            parts.append(Markup(
                '<g><title>{}</title><rect class="e{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>{}</g>'
            ).format(says, strength, x, y, side - 1, side - 1,
                     _text(x + side / 2, y + side / 2 + 4, text, "middle") if text else ""))  # fmt: skip
    values = [v for row in e.rows for v in row]
    bad = sum(v >= 1e-9 for v in values)
    what = "blocks of entries" if blocks else "entries"
    where = f"{e.output} ({shape})"
    said = f"Relative error of each entry of {where}: {bad} of {len(values)} {what} differ. Case {e.case_id}."
    height = TOP * 2 + side * len(e.rows)
    return Plot(_svg("Error of each entry", said, parts, height), said)


def _remainder(r: Remainder) -> Plot:
    x = _Logs(2.0, min(r.steps), max(r.steps), LEFT + 8, WIDTH - RIGHT - 8)
    low = min(max(r.floor, 1e-300), *(v for v in (*r.hand, *r.reference) if v > 0)) if any(r.hand) else r.floor
    y = _Logs(10.0, max(low, 1e-300), max(*r.hand, *r.reference, low * 10), HEIGHT - BOTTOM, TOP)
    parts = [*_frame("step t", "remainder"), *x.ticks(4, TOP, HEIGHT - BOTTOM + 13), *y.ticks(3)]
    if r.floor > 0:
        parts.append(_line(y, r.floor, "round-off of f"))
    for t, mine, theirs in zip(r.steps, r.hand, r.reference, strict=True):
        says = f"t = {small(t)}: by hand {small(mine)}, reference {small(theirs)}"
        parts.append(_pair(x(t), y(mine), y(theirs), says))
    orders = [_order(r.steps, side, r.floor) for side in (r.hand, r.reference)]
    told = [f"t^{o:.1f}" if o is not None else "round-off alone" for o in orders]
    said = (
        f"What is left of f(x + t v) - f(x) - t D(v) as t shrinks: by hand {told[0]}, by the reference {told[1]}. "
        "Of a derivative t^2 is left, of anything else t^1."
    )
    return Plot(_svg("Order of the remainder", said, parts), said)


def _order(steps: Sequence[float], left: Sequence[float], floor: float) -> float | None:
    """The slope of the remainder where it is clear of round-off."""
    clear = [(math.log(t), math.log(v)) for t, v in zip(steps, left, strict=True) if v > 30 * floor and v > 0]
    if len(clear) < 4:
        return None
    (t0, v0), (t1, v1) = clear[len(clear) // 2], clear[-1]
    return (v1 - v0) / (t1 - t0)


def curve(title: str, series: Sequence[tuple[str, Sequence[float]]], names: Sequence[str]) -> Markup:
    """Numbers run after run, from zero; a line for each series, its name at its end."""
    top = max([1.0, *(v for _, values in series for v in values)])
    count = max(2, len(names))
    x = lambda i: LEFT + 8 + i * (WIDTH - LEFT - RIGHT - 16) / (count - 1)  # noqa: E731
    y = lambda v: HEIGHT - BOTTOM - v / top * (HEIGHT - BOTTOM - TOP - 12)  # noqa: E731
    parts = [*_frame(title, "")]
    for part in (0.0, 0.5, 1.0):
        parts.append(Markup('<path class="grid" d="M{} {:.1f}H{}"/>').format(LEFT, y(part * top), WIDTH - RIGHT))
        parts.append(_text(LEFT - 5, y(part * top) + 4, f"{part * top:,.3g}", "end"))
    ends: list[float] = []
    for number, (name, values) in enumerate(series):
        line = "L".join(f"{x(i):.1f} {y(v):.1f}" for i, v in enumerate(values))
        parts.append(Markup('<path class="s{}" d="M{}"/>').format(number, line))
        for i, v in enumerate(values):
            says = f"{names[i]}: {v:,.4g} {name}"
            mark = Markup('<circle class="s{}" cx="{:.1f}" cy="{:.1f}" r="3"/>').format(number, x(i), y(v))
            parts.append(Markup("<g><title>{}</title>{}</g>").format(clean(says), mark))
        at = y(values[-1]) - 6
        while any(abs(at - other) < 12 for other in ends):
            at += 12
        ends.append(at)
        parts.append(_text(WIDTH - RIGHT - 6, at, f"{name} {values[-1]:,.4g}", "end"))
    said = "; ".join(f"{name} {values[0]:,.4g} first, {values[-1]:,.4g} last" for name, values in series)
    return _svg(title, said, parts)


# Axes and marks --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Logs:
    """A logarithmic axis between two pixels; what is beyond its ends is drawn there."""

    base: float
    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        if math.isnan(value):
            return self.end
        low, high = math.log(self.low), math.log(max(self.high, self.low * self.base))
        at = low if value <= self.low else high if value >= self.high else math.log(value)
        return round(self.start + (at - low) / (high - low) * (self.end - self.start), 1)

    def ticks(self, least: int, top: float = 0.0, label: float | None = None) -> Iterable[Markup]:
        """Powers of the base; lines across and labels at the left, or, given ``label``, labels beneath."""
        first = math.ceil(math.log(self.low, self.base) - 1e-9)
        last = math.floor(math.log(max(self.high, self.low * self.base), self.base) + 1e-9)
        step = max(1, -(-(last - first) // 6))
        step = -(-step // least) * least if last - first > 6 else step
        for power in range(-(-first // step) * step, last + 1, step):
            at = self(self.base**power)
            name = f"{self.base:.0f}^{power}" if abs(power) > 3 else small(self.base**power)
            if label is not None:
                yield _text(at, label, name, "middle")
            else:
                yield Markup('<path class="grid" d="M{} {:.1f}H{}"/>').format(LEFT, at, WIDTH - RIGHT)
                yield _text(LEFT - 5, at + 4, name, "end")


class _Exponents:
    """The axis of floating-point numbers: linear in log(1 + |exponent|), zero in the middle where it is signed."""

    def __init__(self, inputs: Sequence[float], signed: bool) -> None:
        exponents = [math.log2(abs(v)) for v in inputs if v]
        self.low = min(-4.0, *exponents, 0.0) if exponents else -4.0
        self.high = max(4.0, *exponents) if exponents else 4.0
        self.signed = signed
        self.start, self.end = LEFT + 8.0, WIDTH - RIGHT - 8.0
        self.middle = (self.start + self.end) / 2 if signed else self.start

    def __call__(self, value: float) -> float:
        part = self._part(math.log2(abs(value))) if value else 0.0
        return round(self.middle + math.copysign(part, value if self.signed else 1.0) * (self.end - self.middle), 1)

    def _part(self, exponent: float) -> float:
        bend = lambda e: math.copysign(math.log2(1 + abs(e)), e)  # noqa: E731
        low, high = bend(self.low) - 0.6, bend(self.high)
        return (bend(exponent) - low) / (high - low)

    def ticks(self) -> Iterable[Markup]:
        powers = [p for p in (-512, -128, -32, -8, -2, 0, 2, 8, 32, 128, 512) if self.low <= p <= self.high]
        if self.signed:
            yield _text(self.middle, HEIGHT - BOTTOM + 13, "0", "middle")
        taken = [self.middle] if self.signed else []
        for sign in (-1.0, 1.0) if self.signed else (1.0,):
            for power in sorted(powers, key=lambda p: (p != 0, -abs(p))):
                x = self(sign * 2.0**power)
                if all(abs(x - other) >= 36 for other in taken):
                    yield _text(x, HEIGHT - BOTTOM + 13, f"{'-' if sign < 0 else ''}{_power(power)}", "middle")
                    taken.append(x)


def _power(power: int) -> str:
    return str(2**power) if 0 <= power <= 8 else str(2.0**power) if power == -2 else f"2^{power}"


def _above(values: Sequence[float], most: float) -> float:
    finite = [v for v in values if math.isfinite(v)]
    return min(most, 4 * max([1.0, *finite]))


def _pair(x: float, mine: float, theirs: float, says: str) -> Markup:
    """A filled circle for the hand-written function, a cross for the reference."""
    cross = f"M{x - 3:.1f} {theirs - 3:.1f}l6 6m0 -6l-6 6"
    marks = Markup('<path class="r" d="{}"/><circle class="h" cx="{:.1f}" cy="{}" r="3"/>').format(cross, x, mine)
    return Markup("<g><title>{}</title>{}</g>").format(says, marks)


def _line(y: _Logs, value: float, name: str) -> Markup:
    at = y(value)
    line = Markup('<path class="floor" d="M{} {}H{}"/>').format(LEFT, at, WIDTH - RIGHT)
    return line + _text(WIDTH - RIGHT - 4, at - 4, name, "end")


def _frame(x: str, y: str) -> list[Markup]:
    middle = (TOP + HEIGHT - BOTTOM) / 2
    return [
        Markup('<path class="axis" d="M{} {}V{}H{}"/>').format(LEFT, TOP, HEIGHT - BOTTOM, WIDTH - RIGHT),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x, "middle") if x else Markup(""),
        Markup('<text transform="translate(11 {}) rotate(-90)" text-anchor="middle">{}</text>').format(middle, y),
    ]


def _text(x: float, y: float, text: str, anchor: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, clean(text))


def _svg(title: str, said: str, parts: Iterable[Markup], height: float = HEIGHT) -> Markup:
    inside = Markup("").join(parts)
    return Markup('<svg class="plot" role="img" aria-label="{}" viewBox="0 0 {} {:.0f}">{}</svg>').format(
        f"{title}. {clean(said)}", WIDTH, height, inside
    )
