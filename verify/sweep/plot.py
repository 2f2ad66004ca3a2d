"""The error over the floating-point axis as SVG: a panel for each dtype, the worst fair error of every binade."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from verify.sweep.measure import FORMATS, Format
from verify.sweep.points import exponent_of
from verify.sweep.state import Swept

WIDTH, HEIGHT, LEFT, TOP, GAP = 760, 90, 70, 26, 34
LOW, HIGH = -1.0, 8.0
"""Powers of ten of the axis; what is beyond, infinity included, is drawn at the edge."""
COLORS = ("#1f6feb", "#d1242f")


def svg(swept: Swept) -> str:
    """The picture of one claim."""
    dtypes = [d for d in FORMATS if d in swept.tallies]
    total = TOP + len(dtypes) * (HEIGHT + GAP)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 20} {total}" font-family="sans-serif" '
        f'font-size="11"><rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="15" font-weight="bold">{swept.claim}: worst fair error in ulp, binade by binade</text>',
    ]
    for side in (0, 1):
        x = LEFT + WIDTH - 150 + 75 * side
        lines.append(f'<text x="{x}" y="15" fill="{COLORS[side]}">{swept.sides[side]}</text>')
    for number, dtype in enumerate(dtypes):
        lines += _panel(swept, FORMATS[dtype], TOP + number * (HEIGHT + GAP))
    return "\n".join([*lines, "</svg>", ""])


def _panel(swept: Swept, form: Format, top: int) -> Iterator[str]:
    yield f'<text x="4" y="{top + 12}">{form.name}</text>'
    for power in range(0, int(HIGH) + 1, 2):
        y = top + _y(10.0**power)
        yield f'<path d="M{LEFT} {y:.0f}h{WIDTH}" stroke="#ddd"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.0f}" text-anchor="end">'
        yield f"{10**power:,}</text>" if power < 6 else f"10^{power}</text>"
    span = form.high - form.low + 2
    for sign in (-1, 1):
        for exponent in sorted({form.low // 2, 0, form.high // 2} | {form.high}):
            x = _x(sign, exponent, form, span)
            yield (
                f'<text x="{x:.0f}" y="{top + HEIGHT + 12}" text-anchor="middle" fill="#666">'
                f"{'-' if sign < 0 else ''}2^{exponent}</text>"
            )
    for side in (1, 0):
        yield f'<path d="{_steps(swept, form, side, top, span)}" fill="none" stroke="{COLORS[side]}"/>'


def _x(sign: int, exponent: int, form: Format, span: int) -> float:
    return LEFT + WIDTH / 2 + sign * (exponent - form.low + 1) / span * WIDTH / 2


def _y(error: float) -> float:
    power = HIGH if error == math.inf else math.log10(max(error, 10.0**LOW))
    return HEIGHT * (1 - (min(power, HIGH) - LOW) / (HIGH - LOW))


def _steps(swept: Swept, form: Format, side: int, top: int, span: int) -> str:
    """A line with a level for every binade, from -∞ to ∞; equal levels are drawn as one."""
    levels: list[tuple[float, float]] = []
    for key, pair in swept.tallies[form.name].items():
        sign, exponent = exponent_of(int(key), form)
        if exponent <= form.high:
            levels.append((_x(sign, exponent + (sign < 0), form, span), top + _y(pair[side].fair)))
    levels = _thinned(sorted(levels))
    path, last = [f"M{levels[0][0]:.1f} {levels[0][1]:.1f}"], levels[0][1]
    for x, y in levels[1:]:
        if f"{y:.1f}" != f"{last:.1f}":
            path.append(f"H{x:.1f}V{y:.1f}")
            last = y
    return "".join([*path, f"H{LEFT + WIDTH}"])


def _thinned(levels: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most one level a pixel: the worst there."""
    worst: dict[int, tuple[float, float]] = {}
    for x, y in levels:
        pixel = int(x)
        worst[pixel] = min(worst.get(pixel, (x, y)), (x, y), key=lambda level: level[1])
    return [worst[p] for p in sorted(worst)]
