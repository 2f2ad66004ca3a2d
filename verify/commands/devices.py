"""``verify devices``: what is here."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from verify.options import Parser, add_color

HEADER = ("backend", "device", "dtypes", "precisions", "status")


def parser() -> Parser:
    parser = Parser("verify devices", "Show what is here: backends, devices, dtypes, precisions.")
    add_color(parser)
    return parser


def execute(parsed: Namespace, argv: list[str]) -> int:
    from verify.report.terminal import Lines
    from verify.report.view import aligned
    from verify.sessions.environment import devices

    lines = Lines(parsed.color)
    rows = [tuple(_text(row.get(name)) for name in HEADER) for row in devices()]
    first, *rest = aligned([HEADER, *rows])
    lines.line((first, "bold"))
    for row in rest:
        lines.line(row)
    return 0


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else ", ".join(map(str, value))
