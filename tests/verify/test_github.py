"""What GitHub Actions is told: at which line what is wrong, and never what a user's file wants to tell it."""

import re
from dataclasses import replace
from pathlib import Path

from tests.verify.records import AGREES, HALF, WRONG, claim, record
from verify.commands.run import github_step
from verify.report.github import MOST_ANNOTATIONS, MOST_BYTES, annotated, on_github, write_summary

COMMAND = re.compile(r"::error file=([^,:]*),line=(\d+),title=([^,:]*)::(.*)")
HOSTILE = "x::set-output name=a,b::%0A\n::error::oops\r##[error]"


def test_an_annotation_at_the_line_of_each_failing_claim(tmp_path):
    wrong = replace(WRONG, file=str(tmp_path / "src" / "path.py"))
    (line,) = annotated(record(AGREES, wrong), tmp_path)
    found = COMMAND.fullmatch(line)
    assert found is not None
    assert found[1] == "src/path.py" and found[2] == "12" and found[3] == "path.py%3A%3Aridge_gradient"
    assert found[4].startswith("wrong: is exactly 1/2 of the gradient") and "%0A  replay: verify replay" in found[4]


def test_a_file_elsewhere_keeps_its_path(tmp_path):
    (line,) = annotated(record(replace(WRONG, file="/opt/lib/path.py")), tmp_path)
    assert "file=/opt/lib/path.py," in line


def test_names_and_messages_are_no_commands(tmp_path):
    hostile = replace(
        WRONG, name=HOSTILE, target=HOSTILE, file=HOSTILE, diagnosis=replace(HALF, text=HOSTILE), replay=HOSTILE
    )
    for line in annotated(record(hostile, problems=(HOSTILE,)), tmp_path):
        assert "\n" not in line and "\r" not in line and line.startswith("::error ")
        properties, message = line.removeprefix("::error ").split("::", 1)
        assert all(re.fullmatch(r"(file|line|title)=[^:,]*", p) for p in properties.split(","))
        assert "%250A" in message


def test_many_failures_are_not_all_annotated(tmp_path):
    lines = list(annotated(record(*(claim("wrong", f"f{i}") for i in range(MOST_ANNOTATIONS + 3))), tmp_path))
    assert len(lines) == MOST_ANNOTATIONS + 1 and lines[-1].endswith("::3 more claims fail")


def test_the_summary_is_added_and_stays_within_what_github_takes(tmp_path):
    path = tmp_path / "summary.md"
    path.write_text("before\n")
    write_summary(record(WRONG), path)
    assert path.read_text().startswith("before\n# 1 claim: 1 wrong")
    path.write_text("")
    write_summary(record(*(claim("agrees", f"f{i}" + "x" * 200) for i in range(9000))), path)
    assert path.stat().st_size < MOST_BYTES + 200 and path.read_text().endswith("among the run's files)\n")


def test_while_users_code_runs_no_command_is_taken(monkeypatch, capsys):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    with github_step() as there:
        print("quiet")
    assert not there and capsys.readouterr().out == "quiet\n"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert on_github()
    with github_step() as there:
        print("::error::from a user's file")
    first, middle, last = capsys.readouterr().out.splitlines()
    token = first.removeprefix("::stop-commands::")
    assert there and middle.startswith("::error::") and last == f"::{token}::" and len(token) > 32
    with github_step():
        pass
    assert token not in capsys.readouterr().out  # another one each time


def test_the_workflow_in_the_readme_uses_what_exists():
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    workflow = re.search(r"```yaml\n(.*?)```", readme, re.DOTALL)
    assert workflow is not None
    from verify.commands.run import parser

    for line in re.findall(r"run: (?:.*&& )?verify run (.*)", workflow[1]):
        parser().read(line.split())
    assert "verify run" in workflow[1] and "reports/" in workflow[1]
