"""``verify list``: the claims found, with the domains of their arguments."""

from __future__ import annotations

import sys
from argparse import Namespace

from verify.options import TARGETS, Parser, add_color


def parser() -> Parser:
    parser = Parser("verify list", "Show the claims found, with the domains of their arguments.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=TARGETS)
    parser.add_argument("-k", dest="keyword", metavar="EXPR", help="only claims whose name matches")
    add_color(parser)
    return parser


def execute(parsed: Namespace, argv: list[str]) -> int:
    from verify.records.record import BAD_USAGE, NOTHING_RAN
    from verify.report.numerals import clean, count
    from verify.report.terminal import Lines
    from verify.report.view import aligned
    from verify.sessions.request import Options
    from verify.sessions.session import list_claims

    options = Options(targets=tuple(parsed.targets) or ("handgrad",), keyword=parsed.keyword)
    claims, problems = list_claims(options)
    lines = Lines(parsed.color)
    for claim in claims:
        expected = f", expected {claim.expect}" if claim.expect else ""
        lines.line((claim.target or claim.name, "bold"), f"  {claim.relation}{expected}")
        for row in aligned([(name, str(domain)) for name, domain in claim.arguments.items()], "    "):
            lines.line(row)
    lines.line(count(len(claims), "claim"))
    for problem in problems:
        print(f"verify: {clean(problem)}", file=sys.stderr)
    return BAD_USAGE if problems else 0 if claims else NOTHING_RAN
