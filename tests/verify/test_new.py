"""``verify new``: what is written loads, says what is missing, and agrees once it is filled in."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from verify.cells.budget import Budget
from verify.cli import main
from verify.drafting.draft import DraftError, draft
from verify.options import BadUsage
from verify.sessions.collect import collect
from verify.verdict.judge import judge

ROOT = Path(__file__).parents[2]
MINE = '''
from typing import Annotated, Literal, NamedTuple

import jax.numpy as jnp
from handgrad.domains import index, interval, spd
from jaxtyping import Array, Float, Int

class Params(NamedTuple):
    W: Float[Array, "k n"]
    b: Float[Array, "k"]

def loss(W: Float[Array, "k n"], X: Float[Array, "n N"], Y: Float[Array, "k N"]) -> Float[Array, ""]:
    return jnp.sum((W @ X - Y) ** 2)

def cube(x: Annotated[Float[Array, "n"], interval(-2.0, 2.0)]):
    return jnp.sum(x**3)

def affine(params: Params, x: Float[Array, "n"], /):
    return params.W @ x + params.b

def chosen(A: Annotated[Float[Array, "n n"], spd], i: Annotated[Int[Array, "N"], index("n")], *,
           scale=2.0, sign: Literal["+", "-"] = "+") -> Float[Array, "N"]:
    return (scale if sign == "+" else -scale) * jnp.diag(A)[i]

def untyped(x, y):
    return jnp.sum(x * y)

class Model:
    @staticmethod
    def energy(x: Float[Array, "n"]) -> Float[Array, ""]:
        return jnp.sum(x**2)

constant = 3
'''
FILLED = {
    ("loss", None, ""): "return 2 * (W @ X - Y) @ X.T",
    ("loss", "vjp", "X,Y"): "return 2 * cotangent * W.T @ (W @ X - Y), 2 * cotangent * (Y - W @ X)",
    ("loss", "value_and_gradient", "W"): "return loss(W, X, Y), 2 * (W @ X - Y) @ X.T",
    ("loss", "jvp", "W"): "return 2 * ((W @ X - Y) * (dW @ X)).sum()",
    ("loss", "hvp", "W"): "return 2 * dW @ X @ X.T",
    ("loss", "equal_to", ""): "return ((Y - W @ X) ** 2).sum()",
    ("loss", "at_most", ""): "return 0 * loss(W, X, Y)",
    ("cube", None, ""): "return 3 * x**2",
    ("affine", None, ""): "return (cotangent[:, None] * x, cotangent), params.W.T @ cotangent",
    ("chosen", "jvp", ""): "return (1 if sign == '+' else -1) * scale * dA.diagonal()[i]",
    ("Model.energy", None, ""): "return 2 * x",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """With the user's file, under a name that no other test has imported."""
    name = f"mine_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path, f"{name}.py"


def outcome(path, text):
    path.write_text(text)
    ((claim,), problems) = collect(str(path))
    assert problems == []
    return judge(claim, Budget(0, 20, ("numpy",), ("float64",))).record


@pytest.mark.parametrize(("function", "relation", "wrt"), FILLED)
def test_filled_in_it_agrees(folder, function, relation, wrt):
    """As written it is an error that says what is to be written; with the right derivative it agrees."""
    where, file = folder
    drafted = draft(f"{file}::{function}", relation, tuple(filter(None, wrt.split(","))), None)
    assert drafted.unshaped == () and drafted.folder == str(where)
    missing = outcome(where / f"{drafted.name}.py", drafted.text)
    assert missing.verdict == "error" and "NotImplementedError: to be written: " in missing.reason
    right = re.sub("raise NotImplementedError.*", FILLED[function, relation, wrt], drafted.text)
    right = outcome(where / f"{drafted.name}_filled.py", right)
    assert right.verdict == "agrees" and right.relation == (relation or right.relation), right


def test_what_is_written(folder):
    """Annotations are kept; what only the user's module can name is left to it; a tangent has no domain."""
    _, file = folder
    text = draft(f"{file}::chosen", "jvp", (), None).text
    assert text == f'''\
"""The differential of chosen, its change as A changes by dA, by hand."""

from typing import Annotated

from jaxtyping import Array, Float, Int

from handgrad import jvp_of
from handgrad.domains import index, spd
from {file.removesuffix(".py")} import chosen


@jvp_of(chosen, wrt="A")
def chosen_differential(
    A: Annotated[Float[Array, "n n"], spd],
    i: Annotated[Int[Array, "N"], index("n")],
    *,
    scale,
    sign,
    dA: Float[Array, "n n"],
) -> Float[Array, "N"]:
    raise NotImplementedError("to be written: the differential of chosen, its change as A changes by dA")
'''


def test_defaults(folder):
    """The gradient of a scalar in its first argument, the vjp of anything else in all; annotated or not."""
    _, file = folder
    assert '@gradient_of(loss, wrt="W")' in draft(f"{file}::loss", None, (), None).text
    assert '@gradient_of(cube, wrt="x")' in draft(f"{file}::cube", None, (), None).text  # evaluated abstractly
    assert '@vjp_of(affine, wrt=("params", "x"))' in draft(f"{file}::affine", None, (), None).text
    assert '@vjp_of(chosen, wrt="A")' in draft(f"{file}::chosen", None, (), None).text


def test_a_shape_that_nobody_knows_is_asked_for_twice(folder):
    """In the file, and by the run; given there, all that is left is the derivative."""
    where, file = folder
    drafted = draft(f"{file}::untyped", None, ("y",), None)
    assert drafted.unshaped == ("x", "y")
    assert '    x,  # of what shape? x: Float[Array, "m n"], for example\n' in drafted.text
    first = outcome(where / "a.py", drafted.text)
    assert first.verdict == "error" and "argument 'x' has no annotation and no given=" in first.reason
    shaped = re.sub(r"([xy]),  # of.*", r'\1: Float[Array, "n"],', drafted.text)
    second = outcome(where / "b.py", shaped)
    assert second.verdict == "error" and "NotImplementedError: to be written: the gradient" in second.reason
    assert outcome(where / "c.py", re.sub("raise NotImpl.*", "return x", shaped)).verdict == "agrees"


@pytest.mark.parametrize("written", [".", "::", ":"])
def test_functions_of_modules(written):
    drafted = draft(f"handgrad.ridge{written}ridge_loss", None, ("lam",), None)
    assert "\nfrom handgrad.ridge import ridge_loss\n" in drafted.text
    assert '@gradient_of(ridge_loss, wrt="lam")' in drafted.text and drafted.name == "ridge_loss_gradient"


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("FILE", {}, "FILE: names no function; wanted path.py::function or pkg.mod.function"),
        ("loss", {}, "loss: names no function; wanted path.py::function or pkg.mod.function"),
        ("nofile.py::loss", {}, "nofile.py: there is no such file"),
        ("no.such.module.f", {}, "no.such.module: there is no module of this name"),
        ("my-file.py::loss", {}, "my-file.py: cannot be imported under this name; rename it to a Python name"),
        ("FILE::los", {}, "FILE: has no function 'los'; did you mean loss?"),
        ("FILE::zzz", {}, "FILE: has no function 'zzz'; its functions are "),
        ("FILE::constant", {}, "FILE::constant: is int, no function; wanted the function to derive"),
        ("FILE::Model", {}, "FILE::Model: is type, no function"),
        ("jax.numpy.sin", {"wrt": ("z",)}, "--wrt z: jax.numpy.sin has the arguments x"),
        ("FILE::loss", {"wrt": ("W", "Z")}, "--wrt Z: FILE::loss has the arguments W, X, Y"),
        ("FILE::loss", {"relation": "equal_to", "wrt": ("W",)}, "--wrt W: equal_to differentiates nothing"),
        ("math.gcd", {}, "math.gcd: has no argument to differentiate; it has none"),
    ],
)
def test_what_cannot_be_drafted(folder, target, options, message):
    _, file = folder
    with pytest.raises(DraftError) as raised:
        draft(target.replace("FILE", file), options.get("relation"), options.get("wrt", ()), None)
    assert str(raised.value).startswith(message.replace("FILE", file))


# The command -----------------------------------------------------------------------------------------------


def test_the_command(folder):
    """Written beside the function, found from elsewhere, never over another file."""
    where, file = folder
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}

    def verify(*argv):
        command = [sys.executable, "-m", "verify", *argv]
        done = subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stdout, done.stderr

    assert verify("new", f"{file}::loss", "-o", "deep/er.py") == (
        0, "wrote deep/er.py: fill in loss_gradient, then: verify run deep/er.py\n", ""
    )  # fmt: skip
    code, out, err = verify("run", "deep/er.py", "--backend", "numpy", "--cases", "20", "--color", "never")
    assert code == 1 and err == "" and "error: the hand-written function raised NotImplementedError: to be" in out


@pytest.fixture
def drafted(monkeypatch, folder):
    """The command without a worker: drafted in this process."""
    where, file = folder

    def here(*asked):
        try:
            return draft(*asked)
        except DraftError as error:
            raise BadUsage(str(error)) from None

    monkeypatch.setattr("verify.commands.new.drafted", here)
    return where, file


def test_files_that_are_there(drafted, capsys):
    where, file = drafted
    assert main(["new", f"{file}::loss"]) == 0
    written = where / "loss_gradient.py"
    written.write_text("mine")
    assert main(["new", f"{file}::loss"]) == 4 and written.read_text() == "mine"
    said = "loss_gradient.py: is there already; --force overwrites it, -o FILE writes elsewhere"
    assert said in capsys.readouterr().err
    assert main(["new", f"{file}::loss", "--force"]) == 0 and "gradient_of" in written.read_text()
    capsys.readouterr()
    assert main(["new", f"{file}::loss", "-o", "-"]) == 0 and capsys.readouterr().out == written.read_text()
    assert main(["new", f"{file}::loss", "--force", "-o", file]) == 4 and (where / file).read_text() == MINE
    assert f"{file}: holds the function itself" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "verify new: the following arguments are required: FUNCTION"),
        (["FILE::loss", "--relation", "grad"], "--relation: got 'grad', wanted one of gradient, vjp, jvp"),
        (["FILE::loss", "-o", "loss.txt"], "loss.txt: is no name of a Python file; wanted -o "),
        (["FILE::loss", "-o", "FILE/x.py"], "FILE/x.py: cannot be written: "),
        (["FILE::loss", "extra"], "verify new: one argument too many: 'extra'"),
    ],
)
def test_bad_usage(drafted, capsys, argv, message):
    _, file = drafted
    assert main(["new", *(word.replace("FILE", file) for word in argv)]) == 4
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and message.replace("FILE", file) in err
