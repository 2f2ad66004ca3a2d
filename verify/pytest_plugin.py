"""The pytest plugin: ``pytest --verify TARGET`` makes every claim of a target a test item, ``TARGET::name``.

Claims are judged in pytest's own process. With ``--verify`` alone only claims are collected; name paths, too,
and their tests run beside them. How many cases, and whether fresh ones, the loaded Hypothesis profile says unless
options do. Nothing heavy is imported without ``--verify``.
"""

from __future__ import annotations

import io
import shlex
import sys
import warnings
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from handgrad.claims import Claim
    from verify.records.record import ClaimRecord

CASES = 400
"""Cases a claim, over all its dtypes, in Hypothesis's default profile: about a second."""
WIDTH = 80
"""Of a failure's text, in columns."""


def pytest_addoption(parser: pytest.Parser) -> None:
    add = parser.getgroup("verify", "judging hand-written derivatives").addoption
    add(
        "--verify",
        action="append",
        default=[],
        metavar="TARGET",
        help="judge every claim of a module (pkg.mod), of a file (path.py), or one claim (path.py::name)",
    )
    add("--verify-cases", type=_whole(1), metavar="N", help=f"cases a claim (default: {CASES}, scaled by max_examples)")
    add("--verify-seconds", type=_seconds, metavar="S", help="time for a claim, instead of a number of cases")
    add("--verify-seed", type=_whole(0), metavar="S", help="of all cases (default: --hypothesis-seed, or a fresh one)")


def _whole(low: int) -> Any:
    from verify.options import whole

    return whole(low)


def _seconds(text: str) -> float:
    from verify.options import seconds

    return seconds(text)


@pytest.hookimpl(trylast=True)  # Hypothesis loads its profile first
def pytest_configure(config: pytest.Config) -> None:
    option = config.option
    if not option.verify:
        return
    from verify import profile

    if option.verify_seed is None:
        told = str(getattr(config, "workerinput", {}).get("verify_seed", config.getoption("--hypothesis-seed", None)))
        option.verify_seed = int(told) if told.isdecimal() else profile.seed()
    if option.verify_cases is None and option.verify_seconds is None:
        option.verify_cases = profile.scaled(CASES)
    if config.args_source != pytest.Config.ArgsSource.ARGS:
        config.args = []  # no path was typed: the claims alone
    config.pluginmanager.register(_Claims(config), "verify-claims")


class _Claims:
    """What the plugin does once ``--verify`` is given."""

    def __init__(self, config: pytest.Config):
        option = config.option
        self.targets = tuple(dict.fromkeys(option.verify))
        self.seed, self.cases, self.seconds = option.verify_seed, option.verify_cases, option.verify_seconds

    def pytest_report_header(self) -> str:
        cases = f"{self.cases:,} cases" if self.cases else ""
        much = " or ".join(filter(None, (cases, f"{self.seconds:g} s" if self.seconds else "")))
        repeats = "" if self.seconds else f" (--verify-seed {self.seed} repeats them)"
        return f"verify: {', '.join(self.targets)}; {much} a claim, seed {self.seed}{repeats}"

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """The workers of xdist judge the cases of their controller's seed."""
        node.workerinput["verify_seed"] = self.seed

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        here = str(session.config.invocation_params.dir)
        if here not in sys.path:  # as `python -m verify` finds modules
            sys.path.insert(0, here)
        found: dict[str, pytest.Item] = {}
        for target in self.targets:
            place = _node_id(session.config, target)
            collector = Target.from_parent(session, name=place, nodeid=place, target=target)
            report = session.ihook.pytest_make_collect_report(collector=collector)
            session.ihook.pytest_collectreport(report=report)
            for item in report.result:
                found.setdefault(item.nodeid, item)
        items += found.values()


def _node_id(config: pytest.Config, target: str) -> str:
    """The place before ``::name``: files relative to the root, as pytest names them, modules as typed."""
    place = target.partition("::")[0]
    path = (config.invocation_params.dir / place).resolve()
    if not place.endswith(".py") or not path.is_relative_to(config.rootpath):
        return place
    return path.relative_to(config.rootpath).as_posix()


class Target(pytest.Collector):
    """What the user named: its claims, and an item for everything that could not be loaded."""

    def __init__(self, *, target: str, **rest: Any):
        super().__init__(path=Path(), **rest)
        self.target = target

    def collect(self) -> Iterator[pytest.Item]:
        from verify.sessions.collect import TargetError, collect

        try:
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                claims, problems = collect(self.target)
        except TargetError as error:
            claims, problems = [], [str(error)]
        for message in problems:
            where = message.partition(": ")[0] if claims else self.target.partition("::")[2]
            yield Unloaded.from_parent(self, name=where or "loading", message=message)
        if not claims and not problems:
            yield Unloaded.from_parent(self, name="loading", message=f"{self.target}: no claim found")
        seen: dict[str, int] = {}
        for claim in claims:
            seen[claim.name] = seen.get(claim.name, 0) + 1
            number = "" if seen[claim.name] == 1 else f"#{seen[claim.name]}"
            place = self.target.partition("::")[0]
            yield Judgement.from_parent(self, name=claim.name + number, claim=claim, place=place)


class Unloaded(pytest.Item):
    """A target, or a module of it, that cannot be loaded: an error, not a failure."""

    def __init__(self, *, message: str, **rest: Any):
        super().__init__(**rest)
        self.message = message

    def setup(self) -> None:
        pytest.fail(self.message, pytrace=False)

    def runtest(self) -> None:
        """Never reached."""

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, f"{self.name} of {_place(self)}"


class Judgement(pytest.Item):
    """One claim. It passes where its outcome is ok."""

    def __init__(self, *, claim: Claim, place: str, **rest: Any):
        super().__init__(**rest)
        self.claim, self.place = claim, place

    def runtest(self) -> None:
        from verify.report.explain import narrow

        outcome = self._judged()
        self.user_properties += _properties(outcome, self.config.option.verify_seed)
        text = narrow(outcome, WIDTH)  # the name is above it
        if not outcome.ok:
            pytest.fail(text, pytrace=False)
        self.add_report_section("call", "verify", text)  # pytest -rP shows it

    def _judged(self) -> ClaimRecord:
        from verify.cells.budget import Budget
        from verify.verdict.judge import judge

        option = self.config.option
        budget = Budget(option.verify_seed, option.verify_cases, ("numpy",), seconds=option.verify_seconds)
        with warnings.catch_warnings():  # `filterwarnings = error` is meant for the user's tests
            warnings.simplefilter("ignore")
            outcome = judge(self.claim, budget).record
        if outcome.replay is None:
            return outcome
        claim = shlex.quote(f"{self.place}::{self.claim.name}")
        cases = f" --cases {budget.cases}" if budget.cases else ""
        again = f"verify run {claim} --seed {budget.seed}{cases} --backend numpy"
        return replace(outcome, replay=again)

    def reportinfo(self) -> tuple[str, int, str]:
        title = f"{self.name} of {_place(self)}"
        return self.claim.file or str(self.path), max(0, self.claim.line - 1), title

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, pytest.fail.Exception):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)


def _place(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


def _properties(outcome: ClaimRecord, seed: int) -> list[tuple[str, object]]:
    """What JUnit XML says of a claim beside passed or failed."""
    found = {
        "verdict": outcome.verdict,
        "expected": outcome.expected,
        "relation": outcome.relation,
        "diagnosis": outcome.diagnosis and outcome.diagnosis.kind,
        "diagnosis_value": outcome.diagnosis and outcome.diagnosis.value,
        "reason": outcome.reason and outcome.reason.splitlines()[0],
        "cases": outcome.cases,
        "fresh_shapes": outcome.fresh_shapes,
        "smallest_visible_error": outcome.smallest_visible_error,
        "seed": seed,
        "replay": outcome.replay,
    }
    return [(name, value) for name, value in found.items() if value is not None]
