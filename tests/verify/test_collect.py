"""Collection: the claims of a module, a file or one name, and one message for what cannot be loaded."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import jax
import pytest

from verify.sessions.collect import TargetError, claims_of, collect, rule_of

ROOT = Path(__file__).parents[2]
ONE = '''
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from handgrad import gradient_of, vjp_of

def loss(x: Float[Array, "n"]) -> Float[Array, ""]:
    return jnp.sum(x**2)

@gradient_of(loss, wrt="x")
def gradient(x):
    return 2 * x

@gradient_of(loss, wrt="x")
@vjp_of(loss, wrt="x")
def both(x, cotangent=1.0):
    return 2 * x * cotangent

@gradient_of(loss, wrt="x", name="by another name")
def third(x):
    return 2 * x
'''
RULES = '''
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

@jax.custom_vjp
def ruled(x: Float[Array, "n"]) -> Float[Array, "n"]:
    return x**2

ruled.defvjp(lambda x: (x**2, x), lambda x, g: (2 * x * g,))

@jax.custom_jvp
def pushed(x: Float[Array, "n"]) -> Float[Array, "n"]:
    return x**3

pushed.defjvp(lambda p, t: (p[0] ** 3, 3 * p[0] ** 2 * t[0]))

@jax.custom_vjp
def untyped(x):
    return x

alias = jax.nn.relu
'''


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Writes files, removes what they import afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr("handgrad.claims._REGISTRY", [])
    before = set(sys.modules)

    def write(contents=None, **more):
        for name, content in {**(contents or {}), **more}.items():
            path = tmp_path / f"{name}.py"
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text(textwrap.dedent(content))
        return tmp_path

    yield write
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def names(target):
    claims, problems = collect(target)
    assert problems == []
    return [c.name for c in claims]


def test_a_file_in_order(files):
    files(one=ONE)
    assert names("one.py") == ["gradient", "both.vjp", "both.gradient", "by another name"]
    assert [c.name for c in collect("one.py")[0]] == names("one.py")  # a second time


def test_one_claim(files):
    files(one=ONE)
    assert names("one.py::gradient") == ["gradient"]
    assert names("one.py::both.vjp") == ["both.vjp"]
    assert names("one.py::both") == ["both.vjp", "both.gradient"]
    assert names("one.py::by another name") == ["by another name"]


def test_custom_rules_are_claims_as_they_stand(files):
    files(rules=RULES)
    claims, _ = collect("rules.py")
    assert [(c.name, c.relation, c.module) for c in claims] == [
        ("ruled", "custom_vjp", "rules"),
        ("pushed", "custom_jvp", "rules"),
    ]
    assert claims[0].line == 6 and claims[0].file.endswith("rules.py")


def test_a_rule_without_annotations_is_none():
    @jax.custom_vjp
    def untyped(x):
        return x

    assert rule_of("untyped", untyped) is None and rule_of("sum", sum) is None


def test_a_file_finds_its_neighbours(files):
    files({"sub/one": "import neighbour\n" + ONE, "sub/neighbour": "VALUE = 3"})
    assert "gradient" in names("sub/one.py")


def test_claims_of_imported_modules_are_not_those_of_the_importer(files):
    files(one=ONE, two="import one\n" + ONE.replace("def gradient", "def other"))
    assert names("two.py")[0] == "other" and "gradient" not in names("two.py")


def test_two_files_of_one_name(files):
    files({"a/same": ONE, "b/same": ONE.replace("def gradient", "def other")})
    assert names("a/same.py")[0] == "gradient" and names("b/same.py")[0] == "other"


def test_a_file_named_like_a_module_has_one_name_in_every_process(files):
    """The name decides which cases are drawn."""
    folder = files({"sub/string": ONE})
    code = "from verify.sessions.collect import collect; print(collect('sub/string.py')[0][0].module)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    told = {
        subprocess.run(
            [sys.executable, "-c", code], cwd=folder, env={**environment, "PYTHONHASHSEED": seed}, text=True, stdout=-1
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1 and told.pop().startswith("string_")


def test_a_package_with_a_broken_part(files, monkeypatch):
    parts = {"__init__": "", "good": ONE, "sub/__init__": "", "sub/deep": RULES, "bad": "1 / 0"}
    folder = files({f"pkg/{name}": content for name, content in parts.items()})
    (folder / "pkg" / "__main__.py").write_text("raise SystemExit('not to be run')")
    monkeypatch.syspath_prepend(str(folder))
    claims, problems = collect("pkg")
    assert {c.name for c in claims} == {"gradient", "both.vjp", "both.gradient", "by another name", "ruled", "pushed"}
    assert problems == ["pkg.bad: cannot be loaded: ZeroDivisionError: division by zero at line 1 of bad.py"]
    assert names("pkg.good::gradient") == ["gradient"]


def test_claims_of_a_module():
    import handgrad.ridge

    assert any("ridge" in c.name for c in claims_of([handgrad.ridge]))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("onne.py", "onne.py: there is no such file; did you mean one.py?"),
        ("nothing/at/all.py", "nothing/at/all.py: there is no such file"),
        ("no.such.module", "no.such.module: there is no module of this name; wanted a module (pkg.mod), a file "
         "(path.py) or one claim (path.py::name)"),
        ("one.py::gradiant", "one.py::gradiant: one.py has no claim 'gradiant'; did you mean one.py::gradient?"),
        ("one.py::zzz", "one.py::zzz: one.py has no claim 'zzz'; `verify list one.py` shows what it has"),
        ("torn.py", "torn.py: syntax error in line 2: '(' was never closed"),
        ("needy.py", "needy.py: cannot be loaded: ModuleNotFoundError: No module named 'a_module_that_nobody_has' "
         "at line 1 of needy.py"),
        ("deep.py", "deep.py: cannot be loaded: KeyError: 'missing' at line 2 of deep.py"),
        ("quiet.py", "quiet.py: cannot be loaded: ValueError: no message at line 1 of quiet.py"),
        ("./", "./: is a folder; wanted a file (path.py), a module (pkg.mod) or path.py::name"),
        ("./notes.txt", "./notes.txt: is no Python file; wanted path.py, pkg.mod or path.py::name"),
    ],
)  # fmt: skip
def test_what_cannot_be_loaded(files, target, message):
    folder = files(
        one=ONE,
        torn="x = 1\ny = (",
        needy="import a_module_that_nobody_has",
        deep="def f():\n    return {}['missing']\n\nf()",
        quiet="raise ValueError",
    )
    (folder / "notes.txt").write_text("hello")
    with pytest.raises(TargetError) as raised:
        collect(target)
    assert str(raised.value) == message


def test_an_interrupt_is_passed_on(files):
    files(slow="raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        collect("slow.py")
