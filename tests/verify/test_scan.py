"""Scanning packages: modules that misbehave, rules wherever they are, how each is called, and the verdicts."""

import importlib
import json
import sys
import textwrap
from functools import partial

import jax
import jax.numpy as jnp
import pytest
from jaxtyping import Array, Float

from handgrad.domains import index, positive, spd
from tests.share import share
from verify.cells.budget import Budget
from verify.cli import main
from verify.drawing.specification import ArraySpec, SignatureError, StaticSpec, TreeSpec
from verify.records.record import read_record
from verify.records.runs import recorded_case
from verify.scan import probe
from verify.scan.call import Uncallable, Waiting, target_of
from verify.scan.describe import described
from verify.scan.find import Rule, rule_within, rules_in, unreachable_in
from verify.scan.found import Package, Place
from verify.scan.given import REGISTRY, GivenError, arguments_of, inputs_of
from verify.scan.judge import judge_rule
from verify.scan.trial import tried
from verify.sessions.collect import TargetError, collect
from verify.sessions.replaying import replay

SAMPLE = ("forward", "reverse", "undifferentiable")
FEW = Budget(0, 24, ("numpy",), ("float64",))


def sample_rules():
    """Every rule that the sample package defines."""
    for name in SAMPLE:
        module = importlib.import_module(f"tests.sample_rules.{name}")
        for path, rule in rules_in(module):
            if rule.module == module.__name__:
                yield Place(module.__name__, path)


def waiting(place, given=None, registry=True):
    return Waiting(place, Package("tests.sample_rules", (place,), given=given, registry=registry))


# --- the sample package ------------------------------------------------------------------------------------


def test_the_sample_package_has_twenty_rules():
    assert len(list(sample_rules())) >= 20


@pytest.mark.parametrize("place", share(3, sample_rules()), ids=str)
def test_every_calling_style_is_judged(place):
    one = waiting(place)
    record = judge_rule(one, one.target, FEW, lambda cases: None).record
    assert record.cases > 0 and record.verdict not in ("error", "unresolved"), record
    assert (record.verdict == "wrong") == (place.path == "clipped"), record
    assert record.notes[0].startswith("called with ")


@pytest.mark.slow
@pytest.mark.parametrize("place", list(sample_rules()), ids=str)
def test_every_calling_style_is_judged_in_every_cell(place):
    one = waiting(place)
    record = judge_rule(one, one.target, Budget(1, 200, ("numpy", "cpu"), None, full=True), lambda cases: None).record
    modes = {c.mode for c in record.cells if c.backend == "cpu"}
    if place.path == "clipped":
        assert record.verdict == "wrong"
    else:
        assert record.ok and record.verdict != "unresolved" and modes == {"eager", "jit", "vmap"}, record


# --- importing ---------------------------------------------------------------------------------------------

MISBEHAVING = {
    "__init__": "",
    "good": """
        import jax
        @jax.custom_jvp
        def square(x):
            return x * x
        square.defjvp(lambda p, t: (p[0] ** 2, 2 * p[0] * t[0]))
        """,
    "raises": "raise RuntimeError('no licence')",
    "exits": "import sys; sys.exit('usage: exits')",
    "prints": "print('hello'); import sys; print('hello', file=sys.stderr)",
    "dies": "import os; os._exit(7)",
    "hangs": "import time\nwhile True: time.sleep(1)",
    "zlast": "from pkg_scanned.good import square",
    "__main__": "raise SystemExit(1)",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "pkg_scanned"
    folder.mkdir()
    for name, text in MISBEHAVING.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    monkeypatch.chdir(tmp_path)
    return folder


def test_modules_that_misbehave_cost_themselves_alone(package, monkeypatch, capfd):
    monkeypatch.setattr(probe, "SECONDS", 4.0)
    found = probe.look_into("pkg_scanned")
    assert [str(p) for p in found.places] == ["pkg_scanned.good.square"]
    assert found.failures == (
        "pkg_scanned.dies: importing it ended the process with exit code 7",
        "pkg_scanned.exits: exits: usage: exits",
        "pkg_scanned.hangs: importing it took more than 4 s and was stopped",
        "pkg_scanned.raises: RuntimeError: no licence",
    )
    assert found.modules == 4 and capfd.readouterr() == ("", "")


def test_nothing_of_this_name(capsys):
    assert main(["scan", "no_such_package_at_all"]) == 4
    assert capsys.readouterr().err == (
        "verify: no_such_package_at_all: there is no module of this name; "
        "wanted the name of an installed package or module\n"
    )


def test_no_such_file_of_inputs(capsys):
    assert main(["scan", "tests.sample_rules", "--given", "nowhere.toml"]) == 4
    assert capsys.readouterr().err == "verify: --given nowhere.toml: there is no such file\n"


# --- finding -----------------------------------------------------------------------------------------------


@jax.custom_jvp
def cube(x):
    return x**3


cube.defjvp(lambda p, t: (p[0] ** 3, 3 * p[0] ** 2 * t[0]))


@jax.custom_gradient
def graded(x):
    return jnp.sin(x), lambda g: (g * jnp.cos(x),)


class Holder:
    class Inner:
        rule = staticmethod(cube)


@pytest.mark.parametrize(
    "thing", [cube, jax.jit(cube), partial(cube), partial(jax.jit(cube)), staticmethod(cube), graded],
    ids=["itself", "jit", "partial", "partial of jit", "static method", "custom_gradient"],
)  # fmt: skip
def test_what_wraps_a_rule(thing):
    assert isinstance(rule_within(thing), Rule)


@pytest.mark.parametrize(
    "thing", [None, 3, len, jnp.sin, Holder, "cube", object()],
    ids=["None", "number", "builtin", "jitted", "class", "text", "object"],
)  # fmt: skip
def test_what_wraps_none(thing):
    assert rule_within(thing) is None


def test_each_rule_is_listed_once_where_it_was_defined():
    here, elsewhere = Place("pkg.a", "rule", "a.py", 1), Place("pkg", "rule", "a.py", 1)
    other = Place("pkg.b", "TABLE['x']", "b.py", 2)
    found = probe._each_once([((1, 7), False, elsewhere), ((1, 7), True, here), ((1, 8), True, other)])
    assert found == (here, other)
    assert probe._each_once([((1, 7), True, here), ((2, 9), False, elsewhere)]) == (here,)


def test_rules_of_classes_and_containers():
    module = type(sys)("held")
    Holder.__module__ = Holder.Inner.__module__ = "held"
    vars(module).update(Holder=Holder, TABLE={"a": cube}, LIST=[1, cube], other=sys)
    assert [path for path, _ in rules_in(module)] == ["Holder.Inner.rule", "TABLE['a']", "LIST[1]"]


def test_rules_made_inside_functions_are_listed(tmp_path):
    (tmp_path / "made.py").write_text(
        textwrap.dedent("""
        @partial(jax.custom_jvp, nondiff_argnums=(0,))
        def outside(x): ...
        def maker(n):
            @jax.custom_vjp
            def inside(x): ...
            return custom_jvp(inside)
        """)
    )
    found = unreachable_in("made", str(tmp_path / "made.py"))
    assert [(u.name, u.inside, u.line) for u in found] == [("inside", "maker", 6), ("a rule", "maker", 7)]


# --- calling -----------------------------------------------------------------------------------------------


def test_inputs_in_words():
    array = described('Float[Array, "m n"] in positive', "x")
    assert isinstance(array, ArraySpec) and array.domain is positive and [a.text for a in array.axes] == ["m", "n"]
    assert described('Int[Array, "n"] in index(3)', "x").domain == index(3)
    assert described("Float[Array, 'n n'] in spd", "x").domain is spd
    assert described([0, [1, 2]], "x") == StaticSpec((0, (1, 2)))
    assert described({"none": True}, "x") == StaticSpec((None,))
    assert described({"function": "jax.numpy.sin"}, "x") == StaticSpec((jnp.sin,))
    tree = described({"tree": {"W": 'Float[Array, "n"]', "b": [1]}}, "x")
    assert isinstance(tree, TreeSpec) and tree.build([1, 2]) == {"W": 1, "b": 2}
    assert described({"items": ['Float[Array, ""]']}, "x").build([5]) == (5,)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("Float[n]", "rule, argument 'x': got 'Float[n]'; wanted 'Float[Array, \"m n\"]'"),
        ('Flote[Array, "n"]', "got 'Flote[Array"),
        ('Float[Array, "n"] in positiv', "there is no domain 'positiv'; wanted one of index, integers"),
        ('Float[Array, "n"] in interval(2, 1)', "low is 2 and high is 1"),
        ('Float[Array, "n"] in index(', "there is no domain 'index('"),
        ([], "got an empty list; wanted the values of a static option"),
        ({"function": "jax.numpy.sine"}, "there is no function 'jax.numpy.sine' to import"),
        ({"call": "f"}, "got {'call': 'f'}"),
    ],
)
def test_inputs_in_words_that_cannot_be_read(value, message):
    with pytest.raises(SignatureError) as error:
        described(value, "rule, argument 'x'")
    assert message in str(error.value) and str(error.value).startswith("rule, argument 'x'")


def test_the_registry_holds_domains_only():
    for name in inputs_of(str(REGISTRY)):
        arguments = arguments_of(str(REGISTRY), name)
        assert arguments and all(isinstance(a, ArraySpec | StaticSpec | TreeSpec) for a in arguments.values()), name


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", "x = ", "not TOML"),
        ("a.toml", "x = 1", 'x is no table; wanted ["pkg.module.rule"] and a line for each argument'),
        ("a.py", "y = 1", "wanted a dictionary GIVEN"),
        ("a.py", "raise SystemExit", "cannot be loaded: SystemExit"),
        ("a.yaml", "x: 1", "wanted a TOML (.toml) or Python (.py) file"),
    ],
)
def test_files_of_inputs_that_cannot_be_used(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(GivenError) as error:
        inputs_of(str(tmp_path / name))
    assert message in str(error.value) and str(error.value).startswith(str(tmp_path))


def test_the_users_file_comes_first(tmp_path):
    place = Place("tests.sample_rules.forward", "log1pexp")
    file = tmp_path / "inputs.toml"
    file.write_text(f"[\"{place}\"]\nx = 'Float[Array, \"m n\"] in unit_interval'\n")
    called = waiting(place, str(file)).called()
    assert called.note == 'called with x: Float[Array, "m n"] in unit_interval (from the file given)'
    python = tmp_path / "inputs.py"
    python.write_text(
        f"import jax\nfrom jaxtyping import Array, Float\nGIVEN = {{'{place}': {{'x': Float[Array, '3']}}}}\n"
    )
    assert waiting(place, str(python)).called().note == 'called with x: Float[Array, "3"] (from the file given)'
    again = target_of(waiting(place, str(python), registry=False).target)
    assert again.package.given == str(python) and not again.package.registry and again.called().claim.name == str(place)


def rule_of(function):
    made = jax.custom_jvp(function)
    made.defjvp(lambda primals, tangents: jax.jvp(function, primals, tangents))
    return Rule(made, function, "custom_jvp", __name__)


@pytest.mark.parametrize(
    ("function", "domains"),
    [
        (lambda x: jnp.sin(x), ["real"]),
        (lambda x: jnp.log(x), ["positive"]),
        (lambda x, y: x * jnp.log(y), ["real", "positive"]),
        (lambda x: jnp.log(x) + jnp.log1p(-x), ["unit_interval"]),
        (lambda x: jnp.sqrt(jnp.sum(x**2)), ["real"]),
    ],
)
def test_trial_calls_find_the_widest_domain(function, domains):
    found = tried(rule_of(function), {})
    assert found is not None and [s.domain.kind for s in found.values()] == domains


@pytest.mark.parametrize("function", [lambda A: jnp.linalg.det(A), lambda p: p["W"], lambda x: x[:2], lambda f: f(1.0)])
def test_trial_calls_that_do_not_work(function):
    assert tried(rule_of(function), {}) is None


def test_a_rule_that_nobody_can_call_says_what_to_write(monkeypatch):
    module = type(sys)("uncallable")
    module.rule = rule_of(lambda A: jnp.linalg.det(A)).rule
    module.rule.fun.__module__ = "uncallable"
    monkeypatch.setitem(sys.modules, "uncallable", module)
    one = waiting(Place("uncallable", "rule", "here.py", 3))
    with pytest.raises(Uncallable, match="nothing says what A is, and no trial call worked"):
        one.called()
    record = judge_rule(one, one.target, FEW, lambda cases: None).record
    assert record.verdict == "unresolved" and record.cases == 0 and record.ok
    assert record.notes == (
        "to have it judged, put into a file for --given: [\"uncallable.rule\"] A = 'Float[Array, \"n\"]'",
    )


def test_given_takes_annotations_too():
    from tests.verify.judging import judged

    def loss(x):
        return jnp.sum(x**2)

    assert judged(lambda x: 2 * x, loss, given={"x": Float[Array, "n"]}).verdict == "agrees"
    assert judged(lambda x: 3 * x, loss, given={"x": Float[Array, "n"]}).diagnosis.value == "3/2"


# --- the command -------------------------------------------------------------------------------------------


def test_scan_and_replay(tmp_path, monkeypatch, capsys):
    output = str(tmp_path / "reports")
    record_file = tmp_path / "record.json"
    code = main(
        ["scan", "tests.sample_rules.reverse", "-k", "clipped or squared", "--seed", "0", "--cases", "40",
         "--dtype", "float64", "-o", output, "--json", str(record_file), "--color", "never"]
    )  # fmt: skip
    printed = capsys.readouterr().out
    assert code == 1
    assert "tests.sample_rules.reverse: 10 rules in 1 module" in printed
    assert printed.splitlines()[-1] == "2 of 2 rules judged: 1 agrees, 1 wrong"
    record = read_record(record_file)
    assert json.loads(record_file.read_text())["scan"]["package"] == "tests.sample_rules.reverse"
    wrong = next(c for c in record.claims if c.verdict == "wrong")
    assert wrong.target == "scan:tests.sample_rules.reverse::clipped"
    again = replay(recorded_case(output, wrong.counterexample.id))
    assert again.identical, again.message
    assert [c.name for c in collect(wrong.target)[0]] == ["tests.sample_rules.reverse.clipped"]
    with pytest.raises(TargetError, match="has no rule 'clippd' any more"):
        collect("scan:tests.sample_rules.reverse::clippd")
