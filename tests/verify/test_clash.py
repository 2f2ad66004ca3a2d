"""The dimension checker: the operation whose sizes cannot match, with its sizes, by name where they have one."""

import re
from typing import Annotated, NamedTuple

import jax.numpy as jnp
import pytest
from jaxtyping import Array, Float

from handgrad.domains import integers
from verify import verify
from verify.cli import main


class Pair(NamedTuple):
    W: Float[Array, "m n"]
    b: Float[Array, "m 1"]


def layer(p: Pair, x: Float[Array, "n 1"], k: Annotated[int, integers(1, 2)] = 1) -> Float[Array, "m 1"]:
    return jnp.tanh(p.W @ x) + k * p.b


def product(p, x, k):
    return jnp.tanh(p.W.T @ x) + k * p.b


def sum_of_two(p, x, k):
    V = p.W.T
    return (jnp.tanh(V) + p.W) @ x


def in_another_function(p, x, k):
    return forward(p, x) + k * p.b


def forward(p, x):
    return p.W @ p.b + x


def stacked(p, x, k):
    return jnp.concatenate([p.W @ x, p.W], axis=1) @ p.b


def for_two_only(p, x, k):
    return p.W @ p.b if k == 2 else layer(p, x, k)


def says_so(p, x, k):
    if p.W.shape[0] != x.shape[0]:
        raise ValueError(f"the shape {p.W.shape} is not square")
    return layer(p, x, k)


@pytest.mark.parametrize(
    ("hand", "text"),
    [
        (product, "in `p.W.T @ x` the left side is n × m, the right side n × 1"),
        (sum_of_two, "in `jnp.tanh(V) + p.W` the left side is n × m, the right side m × n"),
        (in_another_function, "in `p.W @ p.b` the left side is m × n, the right side m × 1"),
        (stacked, "@ p.b` the left side is m × (n + 1), the right side m × 1"),
        (for_two_only, "in `p.W @ p.b` the left side is m × n, the right side m × 1"),
        (says_so, "ValueError: the shape (2, 3) is not square"),
    ],
)  # fmt: skip
def test_the_operation_and_its_sizes_are_named(hand, text):
    outcome = verify(hand, layer, relation="equal_to", cases=24, backends=("numpy",))
    assert outcome.verdict == "wrong"
    assert outcome.diagnosis.kind == "shape"
    assert text in outcome.diagnosis.text


def test_sizes_that_fit_are_not_accused():
    outcome = verify(lambda p, x, k: layer(p, x, k), layer, relation="equal_to", cases=24, backends=("numpy",))
    assert outcome.verdict == "agrees"


def test_a_transposed_result_is_shown_where_its_shape_differs_and_replays(tmp_path, monkeypatch, capsys):
    """Not at 1 x 1, where a transpose is no mistake."""
    target = tmp_path / "transposed.py"
    target.write_text(
        "import jax.numpy as jnp\nfrom jaxtyping import Array, Float\nfrom handgrad import gradient_of\n"
        "def f(W: Float[Array, 'm n']):\n    return jnp.sum(W**2)\n"
        "@gradient_of(f, wrt='W')\ndef g(W):\n    return 2 * W.T\n"
    )
    monkeypatch.chdir(tmp_path)
    assert main(["run", str(target), "--seed", "0", "--cases", "40", "--backend", "numpy", "-o", "r"]) == 1
    case = re.search(r"verify replay (\S+)", capsys.readouterr().out)
    assert case and main(["replay", case[1], "-o", "r"]) == 0
    replayed = capsys.readouterr().out
    assert re.search(r"W: the shapes differ: hand \((\d), (\d)\), reference \(\2, \1\)", replayed), replayed
    assert "bit for bit" in replayed
