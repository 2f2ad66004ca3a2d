"""``verify scan``: every custom_vjp and custom_jvp rule that a package defines."""

from __future__ import annotations

import secrets
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from verify.commands.run import EXIT_CODES, check_writable, judged, options_of
from verify.commands.run import parser as parser_of_run
from verify.options import BACKENDS, DTYPES, BadUsage, Parser, add_color, add_output, seconds, some_of, whole

PACKAGE = "an importable package or module: optax, jax.scipy, tests.sample_rules"


def parser() -> Parser:
    parser = Parser("verify scan", "Judge every custom_vjp and custom_jvp rule that a package defines.", EXIT_CODES)
    parser.add_argument("package", metavar="PACKAGE", help=PACKAGE)
    calls = parser.add_argument_group("how rules are called").add_argument
    calls("--given", metavar="FILE", help="inputs by rule and argument: TOML, or Python with a dictionary GIVEN")
    calls("--no-registry", dest="registry", action="store_false", help="without the domains that come with verify")
    calls("-k", dest="keyword", metavar="EXPR", help="only rules whose name matches, as in pytest")
    much = parser.add_argument_group("where and how much").add_argument
    backends = some_of(*BACKENDS)
    much("--backend", dest="backends", type=backends, metavar="LIST", help="of numpy,cpu,gpu,tpu (default: all)")
    much("--dtype", dest="dtypes", type=some_of(*DTYPES), metavar="LIST", help=f"of {','.join(DTYPES)} (default: all)")
    much("--cases", type=whole(1), metavar="N", help="cases a rule")
    much("--seconds", type=seconds, metavar="S", help="time for the whole scan (it is then not repeatable)")
    much("--seed", type=whole(0), metavar="S", help="of all random choices (default: a fresh one, printed)")
    much("--strict", action="store_true", help="only agrees passes")
    reports = parser.add_argument_group("reports")
    add_output(reports)
    reports.add_argument("--json", metavar="FILE", help="write the record there, too")
    add_color(reports)
    reports.add_argument("-q", dest="quiet", action="count", default=0, help="only failures and the summary")
    reports.add_argument("-v", dest="verbose", action="count", default=0, help="a line for every rule")
    return parser


def execute(parsed: Namespace, argv: list[str]) -> int:
    from verify.records.record import INTERNAL_ERROR, write_record
    from verify.report.scan import ScanReporter
    from verify.scan.probe import look_into

    check_writable(parsed.json)
    if parsed.given is not None and not Path(parsed.given).is_file():
        raise BadUsage(f"--given {parsed.given}: there is no such file")
    reporter = ScanReporter(parsed.color, parsed.verbose - parsed.quiet, parsed.strict)
    package = replace(look_into(parsed.package), given=parsed.given, registry=parsed.registry)
    reporter.found(package)
    options = replace(options_of(_as_run(parsed), argv), targets=(parsed.package,), scan=package)
    record = judged(options, reporter)
    reporter.summary(record)
    if parsed.json:
        try:
            write_record(record, parsed.json)
        except OSError as error:
            reporter.error(f"{parsed.json}: cannot be written: {error.strerror or error}")
            return record.exit_code or INTERNAL_ERROR
    return record.exit_code


def _as_run(parsed: Namespace) -> Namespace:
    """What ``verify run`` takes besides."""
    run = parser_of_run().read([])
    named = {k: v for k, v in vars(parsed).items() if hasattr(run, k)}
    seed = secrets.randbelow(2**32) if parsed.seed is None else parsed.seed
    return Namespace(**{**vars(run), **named, "seed": seed})
