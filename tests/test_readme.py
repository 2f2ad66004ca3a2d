"""The README is run: its files are written, its commands executed, its generated parts compared with fresh ones.

``python tests/test_readme.py`` writes the generated parts anew.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
EXAMPLE = "mean_square.py"
SET_UP = "python3 -m venv .venv"
FEWER = {
    "verify run -k": ["--cases", "40", "--backend", "numpy", "--dtype", "float64"],
    "verify run mean_square.py log_det.py": ["--cases", "200"],
    "verify run ridge_steps.py": ["--cases", "40", "--backend", "numpy"],
    "python -m handgrad.training": ["--steps", "10"],
}
"""Options that make a command cheap."""
ONLY_PARSED = (
    "verify scan", "verify run --data", "verify run --changed", "verify run handgrad.post", "verify watch",
    "verify bench", "verify run --backend", "verify run --full", "verify run --distributed",
)  # fmt: skip


RUN_ELSEWHERE = (
    "verify run ridge_steps.py", "verify run mean_square.py log_det.py", "verify sweep tail.py",
    "python -m handgrad.training",
)  # fmt: skip
"""Long ones, whose like other tests run: as they stand in the README only in the slow test."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def files() -> dict[str, str]:
    """The Python blocks that name a file in their first line."""
    named = (re.match(r"# (\w+\.py)\n", block) for block in blocks("python"))
    return {m[1]: m.string for m in named if m}


def commands() -> list[str]:
    lines = [line.partition("  #")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if not line.startswith(SET_UP)]


def scripts() -> list[str]:
    return [block for block in blocks("python") if not re.match(r"# \w+\.py\n", block)]


def execute(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """A command in a folder that holds the README's files; ``verify`` and ``pytest`` are this interpreter's."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path, "JAX_PLATFORMS": "cpu", "PYTHONUTF8": "1"}
    for name in ("PYTEST_ADDOPTS", "GITHUB_ACTIONS"):
        environment.pop(name, None)
    if command[0] in ("verify", "pytest"):
        plugin = ["-p", "verify.pytest_plugin"] if command[0] == "pytest" and not _installed() else []
        command = [sys.executable, "-m", *command, *plugin]
    elif command[0] == "python":
        command = [sys.executable, *command[1:]]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def _installed() -> bool:
    return any(e.name == "verify" for e in entry_points(group="pytest11"))


def write_files(folder: Path) -> None:
    for name, text in files().items():
        (folder / name).write_text(text, "utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readme")
    write_files(folder)
    return folder


@pytest.fixture(scope="module")
def printed(folder: Path) -> str:
    return output(folder)


# What is generated -----------------------------------------------------------------------------------------


def output(folder: Path) -> str:
    """What the example's run prints from its first verdict on, with paths as seen from its folder."""
    result = execute(["verify", "run", EXAMPLE, "--seed", "0", "--color", "never"], folder)
    assert result.returncode == 1, result.stderr
    text = result.stdout[result.stdout.index("✗") :]
    return f"```text\n{text.replace(f'{folder.resolve()}{os.sep}', '').strip()}\n```"


def catalogue() -> str:
    """The families, in the order in which a reader meets them, and their claims."""
    import handgrad
    from handgrad.claims import registered_claims

    found = [m.name for m in pkgutil.iter_modules(handgrad.__path__)]
    modules = {name: importlib.import_module(f"handgrad.{name}") for name in found}
    rows, total = [], 0
    for name in sorted(found, key=lambda n: (_ORDER.index(n) if n in _ORDER else len(_ORDER), n)):
        claims = registered_claims(f"handgrad.{name}")
        if not claims:
            continue
        total += len(claims)
        if hasattr(modules[name], "ACTIVATIONS"):
            functions = list(modules[name].ACTIVATIONS)
        elif any(c.equation for c in claims):
            what = f"{len({c.equation for c in claims})} equations of the post, as printed and as corrected"
            rows.append(f"| `{name}` | {what} | {len(claims)} |")
            continue
        else:
            functions = [getattr(c.reference, "__name__", "_") for c in claims]
        shown = ", ".join(f"`{f}`" for f in dict.fromkeys(functions) if not f.startswith(("_", "<")))
        rows.append(f"| `{name}` | {shown} | {len(claims)} |")
    return "\n".join(["| family | functions | claims |", "|---|---|---|", *rows, f"| | | {total} |"])


def bench() -> str:
    """What the published benchmark measured, all functions together."""
    from verify.bench.record import read_bench
    from verify.bench.report import summary

    return summary(read_bench(ROOT / "reports/published/bench/bench.json"))


def derivations() -> str:
    """What the published comparison of derivations measured."""
    from verify.bench.derivations.record import read_derivations
    from verify.bench.derivations.report import summary

    return summary(read_derivations(ROOT / "reports/published/derivations/derivations.json"))


_ORDER = [
    "differentials", "ridge", "matrices", "activations", "losses", "normalisation", "layers", "backpropagation",
    "from_value", "networks", "chunked",
]  # fmt: skip


def activations() -> str:
    """The two tables of the published report: slopes and values."""
    report = (ROOT / "reports/activations/report.md").read_text("utf-8").partition("\n## ")[0]
    return report[report.index("\n|") :].strip()


def between(text: str, name: str) -> str:
    found = re.search(rf"<!-- begin {name} -->\n(.*?)\n?<!-- end {name} -->", text, re.DOTALL)
    assert found, f"the README has no part {name}"
    return found[1]


def comparable(text: str) -> str:
    """Without ids, times and numbers: other versions of NumPy and JAX may draw and count otherwise."""
    text = re.sub(r"reports/\S+", "reports/RUN", text)
    text = re.sub(r"loss_gradient-[\w-]+", "CASE", text)
    text = re.sub(r"-?\d[\d,.e-]*", "#", text)
    return re.sub(r" +", " ", text)


def write() -> None:
    """Writes the generated parts into the README."""
    text = README.read_text("utf-8")
    with tempfile.TemporaryDirectory() as name:
        write_files(Path(name))
        parts = {"output": output(Path(name)), "catalogue": catalogue()}
        parts |= {"bench": bench(), "activations": activations(), "derivations": derivations()}
    for name, part in parts.items():
        text = text.replace(
            f"<!-- begin {name} -->\n{between(text, name)}".rstrip(), f"<!-- begin {name} -->\n{part}"
        )
    README.write_text(text, "utf-8")


# Tests -----------------------------------------------------------------------------------------------------


def test_the_output_shown_is_what_the_example_prints(printed: str):
    shown = between(README.read_text("utf-8"), "output")
    assert comparable(shown) == comparable(printed), "python tests/test_readme.py writes it anew"


def test_the_catalogue_shown_is_the_catalogue():
    shown = between(README.read_text("utf-8"), "catalogue")
    assert shown == catalogue(), "python tests/test_readme.py writes it anew"


def test_the_speeds_shown_are_those_published():
    assert between(README.read_text("utf-8"), "bench") == bench(), "python tests/test_readme.py writes it anew"


def test_what_a_derivation_buys_is_what_was_published():
    shown = between(README.read_text("utf-8"), "derivations")
    assert shown == derivations(), "python tests/test_readme.py writes it anew"


def test_the_table_of_activations_is_that_of_the_report():
    shown = between(README.read_text("utf-8"), "activations")
    assert shown == activations(), "python tests/test_readme.py writes it anew"
    assert shown.partition("Values")[0].count("\n| `") == 22


def test_ci_runs_the_two_set_up_commands():
    main, tests = (line for block in blocks("sh") for line in block.splitlines() if line.startswith(SET_UP))
    ci = (ROOT / ".ci/run").read_text("utf-8")
    assert f"main() {{ {main} " in ci
    assert f"tests() {{ {tests}; }}" in ci


@pytest.mark.parametrize("thorough", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["most", "all"])
def test_commands(folder: Path, thorough: bool):
    """In the README's order: later ones look at the runs of earlier ones."""
    for command in commands():
        words = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', command)]
        if command.startswith(ONLY_PARSED if thorough else (*ONLY_PARSED, *RUN_ELSEWHERE)):
            parsed(words)
            continue
        for beginning, options in FEWER.items():
            words += options if command.startswith(beginning) else []
        result = execute(words, folder)
        fails = EXAMPLE in command and "run" in words
        assert result.returncode == (1 if fails else 0), f"{command}\n{result.stdout}\n{result.stderr}"
        assert "Traceback" not in result.stderr, command


def parsed(words: Sequence[str]) -> None:
    if words[0] == "python":
        importlib.import_module(f"{words[2]}.__main__").parser().parse_args(words[3:])
    else:
        importlib.import_module(f"verify.commands.{words[1]}").parser().read(words[2:])


def test_replay(folder: Path, printed: str):
    """The line that the output shows, with the id of the run just made."""
    case = re.search(r"verify replay (\S+)", printed)
    assert case
    result = execute(["verify", "replay", case[1]], folder)
    assert result.returncode == 0, result.stderr
    assert "bit for bit" in result.stdout


@pytest.mark.parametrize("script", scripts(), ids=lambda s: s.strip().splitlines()[-1][:40])
def test_scripts(folder: Path, script: str):
    result = execute([sys.executable, "-c", script], folder)
    assert result.returncode == 0, result.stderr


def test_a_broken_derivation_is_told_as_the_readme_says(tmp_path: Path):
    text = files()["ridge_steps.py"]
    (tmp_path / "ridge_steps.py").write_text(text.replace("yield 2 * tr((R @ X.T", "yield tr((R @ X.T"), "utf-8")
    command = ["verify", "run", "ridge_steps.py", "--cases", "40", "--backend", "numpy", "--color", "never"]
    result = execute(command, tmp_path)
    told = re.search(r"`(BREAKS .*?)`", " ".join(README.read_text("utf-8").split()))
    assert result.returncode == 1 and told and told[1] in result.stdout, result.stdout


def test_pytest_items_and_assertions(folder: Path):
    text = README.read_text("utf-8")
    assert f"`pytest --verify {EXAMPLE}`" in text
    result = execute(["pytest", "--verify", EXAMPLE, "-p", "no:cacheprovider"], folder)
    assert result.returncode == 1 and f"{EXAMPLE}::loss_gradient" in result.stdout, result.stdout
    mine = sorted(name for name in files() if name.startswith("test_"))
    result = execute(["pytest", *mine, *claims_on_few_cases(folder)], folder)
    assert result.returncode == 0 and f"{len(mine) + 2} passed" in result.stdout, result.stdout


def claims_on_few_cases(folder: Path) -> list[str]:
    """The claims of the README that come from elsewhere, and a profile that makes them and assertions cheap."""
    profile = "from hypothesis import settings\nsettings.register_profile('few', max_examples=10)\n"
    (folder / "conftest.py").write_text(profile, "utf-8")
    claims = ["--verify", "soft_cap.py", "--verify", "swish.py"]
    return [*claims, "--hypothesis-profile", "few", "-p", "no:cacheprovider"]


def test_coming_from_elsewhere_a_mistake_is_found(tmp_path: Path):
    mistakes = {
        "test_log_sum_exp.py": ("cotangent * jax", "2 * cotangent * jax"),
        "soft_cap.py": ("cotangent * (1", "cotangent * (2"),
        "swish.py": ("(1 + x", "(1 - x"),
    }
    for file, (right, wrong) in mistakes.items():
        assert right in files()[file]
        (tmp_path / file).write_text(files()[file].replace(right, wrong), "utf-8")
    result = execute(["pytest", "test_log_sum_exp.py", *claims_on_few_cases(tmp_path)], tmp_path)
    failed = re.findall(r"^FAILED (\w+)\.py::", result.stdout, re.MULTILINE)
    assert failed == ["test_log_sum_exp", "soft_cap", "swish"], result.stdout
    assert result.stdout.count("wrong: ") >= 3, result.stdout


def test_options_and_words_are_those_of_the_program():
    from verify.cli import COMMANDS
    from verify.report.explain import MEANINGS

    text = README.read_text("utf-8")
    for command in re.findall(r"`verify ([a-z]+)", text):
        assert command in COMMANDS, command
    shown = re.findall(r"^\| `(\w+)` \|.*\| (?:passes|fails)", text, re.MULTILINE)
    assert shown == [word for word in MEANINGS if word not in ("skipped", "compiled_only")]


def test_names_are_those_of_handgrad():
    import handgrad
    from handgrad import domains

    text = README.read_text("utf-8")
    for name in re.findall(r"^\| `(\w+)\(f", text, re.MULTILINE):
        assert callable(getattr(handgrad, name))
    listed = re.search(r"^Domains: (.*?)\. Each", text, re.DOTALL | re.MULTILINE)
    assert listed
    names = set(re.findall(r"`(\w+)", listed[1]))
    assert names == set(domains.__all__) - {"Domain"}


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    os.environ["JAX_PLATFORMS"] = "cpu"
    write()
