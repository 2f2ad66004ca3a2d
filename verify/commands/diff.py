"""``verify diff``: what changed between two runs."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from verify.options import RUN, Parser, add_color, add_output

if TYPE_CHECKING:
    from verify.record import ClaimRecord, Record


def parser() -> Parser:
    parser = Parser(
        "verify diff",
        "Show what changed between two runs.",
        "exit codes: 0 nothing fails that did not fail before, 1 something does, 4 a run cannot be read",
    )
    parser.add_argument("old", metavar="OLD", help=RUN)
    parser.add_argument("new", metavar="NEW", help="likewise")
    add_output(parser)
    add_color(parser)
    return parser


def execute(parsed: Namespace, argv: list[str]) -> int:
    from verify.commands.show import read_run
    from verify.explain import headline
    from verify.numerals import clip
    from verify.report.terminal import Lines
    from verify.report.view import summary_line, target

    old, new = (read_run(name, parsed.output)[0] for name in (parsed.old, parsed.new))
    lines = Lines(parsed.color)
    changes = differences(old, new)
    for change, before, after in changes:
        texts = [clip(headline(c), 200) if c is not None else "absent" for c in (before, after)]
        name = next(target(c) for c in (after, before) if c is not None)
        lines.line((f"{change:<8}", _STYLES[change]), f" {name}")
        lines.line(f"    old: {texts[0]}")
        lines.line(f"    new: {texts[1]}")
    lines.line("old: " + summary_line(old))
    lines.line("new: " + summary_line(new))
    if not changes:
        lines.line("no verdict or diagnosis changed")
    return 1 if any(change == "broken" for change, _, _ in changes) else 0


_STYLES = {"broken": "bold red", "fixed": "green", "new": "cyan", "gone": "yellow", "changed": "cyan"}


def differences(old: Record, new: Record) -> list[tuple[str, ClaimRecord | None, ClaimRecord | None]]:
    """Claims that changed: ``broken`` (fails now), ``fixed``, ``new``, ``gone``, ``changed`` in its words."""
    before = {_key(claim): claim for claim in old.claims}
    after = {_key(claim): claim for claim in new.claims}
    found = []
    for key in dict.fromkeys([*before, *after]):
        change = _change(old, before.get(key), new, after.get(key))
        if change:
            found.append((change, before.get(key), after.get(key)))
    return sorted(found, key=lambda item: list(_STYLES).index(item[0]))


def _key(claim: ClaimRecord) -> tuple[str, ...]:
    return claim.module, claim.name, claim.relation, claim.form or ""


def _change(old: Record, before: ClaimRecord | None, new: Record, after: ClaimRecord | None) -> str | None:
    if after is None:
        return "gone"
    if before is None:
        return "new" if new.passes(after) else "broken"
    if old.passes(before) != new.passes(after):
        return "fixed" if new.passes(after) else "broken"
    return None if _finding(before) == _finding(after) else "changed"


def _finding(claim: ClaimRecord) -> tuple[str | None, ...]:
    diagnosis = claim.diagnosis
    return claim.verdict, claim.expected, diagnosis and diagnosis.kind, diagnosis and diagnosis.value
