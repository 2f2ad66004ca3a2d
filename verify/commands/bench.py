"""``verify bench``: what verification costs on this machine and what it sees, beside other tools."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from verify.bench.derivations.record import PARTS as DERIVATIONS
from verify.bench.plan import FUNCTIONS, PARTS
from verify.options import BadUsage, Parser, add_color, some_of, whole

if TYPE_CHECKING:
    from verify.bench.record import Bench

FOLDER, DERIVATIONS_FOLDER = "reports/bench", "reports/derivations"


def parser() -> Parser:
    parser = Parser(
        "verify bench",
        "Measure on this machine how many fresh shapes are judged a second, which small mistakes are seen, and what a "
        "case costs by size and a run by claims; beside jax.test_util.check_grads, torch gradcheck and autograd (pip "
        "install 'handgrad[bench]'; what is absent is left out and said to be).",
        "exit codes: 0 measured, 2 interrupted, 3 internal error, 4 bad usage or a folder that cannot be written",
    )
    described = "instead: what each derivation buys in time, memory and operations, beside jax.grad"
    parser.add_argument("--derivations", action="store_true", help=described)
    parser.add_argument("--quick", action="store_true", help="for seconds only: its figures mean little")
    what = f"parts ({', '.join(PARTS)}) and functions ({', '.join(FUNCTIONS)}) alone, of --derivations "
    what += f"{', '.join(DERIVATIONS)} (default: all)"
    known = some_of(*dict.fromkeys((*PARTS, *FUNCTIONS, *DERIVATIONS)))
    parser.add_argument("--only", type=known, default=(), metavar="LIST", help=what)
    parser.add_argument("--seed", type=whole(0, 2**32), default=0, metavar="S", help="of all draws (default: 0)")
    parser.add_argument(
        "-o", dest="output", metavar="DIR",
        help=f"the folder of the report (default: {FOLDER}, or {DERIVATIONS_FOLDER})",
    )
    parser.add_argument("--json", metavar="FILE", help="write the record there, too")
    add_color(parser)
    return parser


def execute(parsed: Namespace, argv: list[str]) -> int:
    from verify.bench import folder
    from verify.bench.measure import measured
    from verify.commands.run import check_writable
    from verify.records.serial import dump, plain
    from verify.report.terminal import Lines, console_for

    check_writable(parsed.json)
    output = Path(parsed.output or (DERIVATIONS_FOLDER if parsed.derivations else FOLDER))
    _check_parts(parsed)
    folder.prepare(output)
    if parsed.derivations:
        return _derivations(parsed, argv, output)
    parts, functions = (tuple(n for n in known if n in parsed.only) or known for known in (PARTS, FUNCTIONS))
    with console_for(sys.stderr, parsed.color).status("") as status:
        found = measured(functions, parts, parsed.seed, parsed.quick, ("verify", *argv), status.update)
    lines = Lines(parsed.color)
    _show(found, lines)
    files = folder.write(found, output)
    if parsed.json:
        dump(plain(found), Path(parsed.json))
    lines.line(f"report: {next(f for f in files if f.suffix == '.md')}")
    return 0


def _check_parts(parsed: Namespace) -> None:
    wanted = DERIVATIONS if parsed.derivations else (*PARTS, *FUNCTIONS)
    for name in parsed.only:
        if name not in wanted:
            which = f"{'with' if parsed.derivations else 'without'} --derivations"
            raise BadUsage(f"verify bench: --only: {name!r} is no part {which}; see `verify bench --help`")


def _derivations(parsed: Namespace, argv: list[str], output: Path) -> int:
    from verify.bench.derivations.measure import measured
    from verify.bench.derivations.report import TITLES, reached, report, summary_rows
    from verify.records.serial import dump, plain, write_atomically
    from verify.report.terminal import Lines, console_for
    from verify.report.view import aligned

    def keep(found) -> None:
        """After every part, so that a run that is stopped leaves what it has."""
        dump(plain(found), output / "derivations.json")
        write_atomically(output / "report.md", report(found).encode())

    with console_for(sys.stderr, parsed.color).status("") as status:
        parts, how = parsed.only or DERIVATIONS, ("verify", *argv)
        found = measured(parts, parsed.seed, parsed.quick, how, status.update, keep)
    lines = Lines(parsed.color)
    first, *rest = aligned(summary_rows(found))
    lines.line((first.replace("`", ""), "bold"))
    for row in rest:
        lines.line(row.replace("`", ""))
    for part in TITLES:
        for text in reached(part, found.of(part)) if found.of(part) else ():
            lines.line(f"{part}: {text}")
    for absent in found.absent:
        lines.line(f"absent: {absent} (pip install 'handgrad[train]')")
    if parsed.json:
        dump(plain(found), Path(parsed.json))
    lines.line(f"report: {output / 'report.md'}")
    return 0


def _show(bench: Bench, lines) -> None:
    from verify.bench import tables
    from verify.bench.report import headline
    from verify.report.view import aligned

    shown = {
        "speed": [tables.speed_rows, tables.ratio_rows, tables.stage_rows] if bench.speed else [],
        "sensitivity": [tables.sensitivity_rows, tables.accusation_rows] if bench.sensitivity else [],
        "sizes": [tables.bend_rows] if bench.sizes else [],
        "claims": [tables.claim_rows] if bench.claims else [],
    }
    for rows in (r for part in shown.values() for r in part):
        first, *rest = aligned(rows(bench))
        lines.line((first, "bold"))
        for row in rest:
            lines.line(row)
        lines.line()
    for text in headline(bench):
        lines.line(text)
    for home in dict.fromkeys(bench.absent.values()):
        lines.line(f"absent: {home} (pip install 'handgrad[bench]')")
