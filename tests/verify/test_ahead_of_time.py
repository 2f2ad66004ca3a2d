"""Claims lowered and compiled for devices that are not here: told apart from what ran; refusals are told."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import pytest
from jaxtyping import Array, Float

from tests.verify.judging import judged
from verify.cells import libtpu
from verify.cells.demotions import demotions
from verify.records.record import read_record

HAS_LIBTPU = importlib.util.find_spec("libtpu") is not None
compiling = pytest.mark.skipif(not HAS_LIBTPU, reason="needs the extra tpu")
ROOT = Path(__file__).parents[2]

PROGRAM = """\
HloModule jit_f, is_scheduled=true, entry_computation_layout={(f32[3,5]{1,0:T(4,128)}, f32[5,7]{1,0})->f32[3,7]{1,0}}
%fused_computation (param_0: f32[3,5], param_1: f32[5,7]) -> f32[3,7] {
  %param_0 = f32[3,5]{1,0:T(4,128)} parameter(0)
  %param_1 = f32[5,7]{1,0:T(8,128)} parameter(1)
  %low = bf16[5,7]{1,0:T(8,128)(2,1)} convert(%param_1)
  %fusion.1 = f32[3,5]{1,0:T(4,128)} fusion(%param_0), kind=kLoop, calls=%bitcast_fusion
  %convolution.1 = f32[3,7]{1,0:T(4,128)} convolution(%fusion.1, %param_1), dim_labels=bf_io->bf, operand_precision=HOW
  %convolution.2 = f32[3,7]{1,0:T(4,128)} convolution(%low, %low), dim_labels=bf_io->bf
  ROOT %convolution.3 = f32[3,7]{1,0:T(4,128)} convolution(%param_0, %param_1), dim_labels=bf_io->bf, WHAT
}
"""


def program(how: str, what: str) -> str:
    return PROGRAM.replace("HOW", "{" + how + "}").replace("WHAT", what)


@pytest.mark.parametrize(
    ("how", "what", "told"),
    [
        ("highest,highest", "operand_precision={highest,highest}", ()),
        ("highest,highest", "metadata={}", ("1 matrix product rounds its float32 inputs to bfloat16",)),
        ("default,highest", "metadata={}", ("2 matrix products round their float32 inputs to bfloat16",)),
        (
            "high,high",
            "metadata={}",
            (
                "1 matrix product rounds its float32 inputs to bfloat16",
                "1 matrix product takes float32 inputs in three passes of bfloat16",
            ),
        ),
    ],
)
def test_products_in_less_precision_are_read_from_the_program(how, what, told):
    assert demotions(program(how, what)) == told


def test_float64_on_a_tpu_is_told():
    text = program("highest,highest", "operand_precision={highest,highest}").replace("(f32[3,5]", "(f64[3,5]", 1)
    assert demotions(text) == ("float64 is computed in pairs of float32: 48 bits, and the range of float32",)


def test_where_there_may_be_a_tpu_the_environment_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(libtpu, "find_spec", lambda name: object())
    assert libtpu.settings(str(tmp_path))["TPU_SKIP_MDS_QUERY"] == "1"
    (tmp_path / "dev" / "vfio").mkdir(parents=True)
    assert libtpu.settings(str(tmp_path))
    (tmp_path / "dev" / "vfio" / "0").touch()
    assert libtpu.settings(str(tmp_path)) == {}


# Lowered: with --full, for platforms that are not here


def square(A: Float[Array, "n n"]) -> Float[Array, ""]:
    return jnp.sum(A**2)


def plain(A):
    return 2 * A


def through_eigenvalues(A):
    """JAX has no general eigenvalues on a TPU."""
    return 2 * A + 0 * jnp.real(jnp.linalg.eigvals(A)).sum()


def test_every_claim_is_lowered_for_every_platform_in_a_full_run():
    outcome = judged(plain, square, wrt="A", full=True)
    lowered = [c for c in outcome.cells if c.mode == "lowered"]
    assert [(c.backend, c.verdict) for c in lowered] == [(b, "compiled_only") for b in ("cpu", "gpu", "tpu")]
    assert lowered[1].reason == "lowered for cuda, neither compiled nor run"
    assert outcome.verdict == "agrees" and not outcome.notes


def test_nothing_is_lowered_unless_asked():
    assert all(c.mode != "lowered" for c in judged(plain, square, wrt="A").cells)


def test_a_hand_written_function_without_a_lowering_is_told():
    outcome = judged(through_eigenvalues, square, wrt="A", full=True, dtypes=("float32",))
    cell = next(c for c in outcome.cells if c.backend == "tpu")
    assert cell.verdict == "skipped" and cell.reason in outcome.notes
    assert "for tpu in float32 the hand-written function, unlike its reference, cannot be lowered" in cell.reason
    assert "'eig' not found for platform tpu" in cell.reason
    assert outcome.verdict != "error"


def test_what_the_reference_cannot_do_either_is_no_news():
    def eigenvalues(A: Float[Array, "n n"]) -> Float[Array, ""]:
        return jnp.sum(jnp.real(jnp.linalg.eigvals(A)))

    same = {"relation": "equal_to", "wrt": None, "full": True, "dtypes": ("float32",)}
    outcome = judged(lambda A: eigenvalues(A), eigenvalues, **same)
    cell = next(c for c in outcome.cells if c.backend == "tpu")
    assert cell.verdict == "skipped" and "neither the hand-written function nor its reference can" in cell.reason
    assert cell.reason not in outcome.notes


# Compiled by the TPU compiler, where it is installed


def compiled(hand, target="v5e", **more):
    outcome = judged(hand, loss, wrt="W", backends=("tpu",), topologies=(target,), **more)
    return outcome, [c for c in outcome.cells if c.backend == "tpu"]


def loss(W: Float[Array, "k n"], X: Float[Array, "n N"]) -> Float[Array, ""]:
    return jnp.sum((W @ X) ** 2)


def gradient(W, X):
    return 2 * (W @ X) @ X.T


@compiling
@pytest.mark.parametrize("target", ["v5e", "v6e"])
def test_a_claim_is_compiled_for_a_tpu_that_is_not_here(target):
    outcome, cells = compiled(gradient, target, dtypes=None)
    assert [(c.dtype, c.mode, c.verdict) for c in cells] == [
        ("float32", target, "compiled_only"), ("bfloat16", target, "compiled_only"),
    ]  # fmt: skip
    for cell in cells:
        assert cell.reason.startswith(f"compiled for {target}, not run: ") and "ran on" not in cell.reason
        assert [p.side for p in cell.programs] == ["hand", "reference"] and cell.programs[0].flops > 0
        assert cell.cases == 0 and cell.smallest_visible_error is None
    assert outcome.verdict == "agrees" and outcome.ran  # by the numpy engine, which alone ran
    assert [c.backend for c in outcome.cells] == ["numpy", "tpu", "tpu"]


@compiling
def test_the_tpu_rounds_the_inputs_of_products_unless_told_otherwise():
    _, (default,) = compiled(gradient, dtypes=("float32",))
    _, (highest,) = compiled(gradient, dtypes=("float32",), precision="highest")
    assert "float32 inputs to bfloat16" in default.reason and default.programs[0].demotions
    assert not highest.programs[0].demotions and highest.precision == "highest"


@compiling
def test_of_float64_the_hand_written_side_is_compiled_and_told_to_be_emulated():
    _, (cell,) = compiled(gradient, dtypes=("float64",))
    assert [p.side for p in cell.programs] == ["hand"] and "(the reference" not in cell.reason
    assert "float64 is computed in pairs of float32" in cell.reason


@compiling
def test_what_the_tpu_compiler_refuses_is_skipped_and_told():
    def refused(W, X):
        return gradient(W, X) + 0 * jnp.real(jnp.linalg.eigvals(W @ W.T)).sum()

    outcome, (cell,) = compiled(refused, dtypes=("float32",))
    assert cell.verdict == "skipped" and cell.reason in outcome.notes
    assert cell.reason.startswith("for v5e in float32 the hand-written function, unlike its reference, does not")


@compiling
def test_a_wrong_formula_is_not_compiled():
    outcome, cells = compiled(lambda W, X: (W @ X) @ X.T)
    assert outcome.verdict == "wrong" and not cells


def verify(*arguments, cwd):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    command = [sys.executable, "-m", "verify", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


CLAIM = '''
import jax.numpy as jnp
from jaxtyping import Array, Float

from handgrad import gradient_of


def loss(x: Float[Array, "n"]) -> Float[Array, ""]:
    return jnp.sum(x**3)


@gradient_of(loss, wrt="x")
def right(x):
    return 3 * x**2
'''


def test_backend_tpu_without_a_tpu(tmp_path):
    (tmp_path / "claim.py").write_text(CLAIM)
    done = verify("run", "claim.py", "--backend", "tpu", "--cases", "40", cwd=tmp_path)
    if HAS_LIBTPU:
        assert done.returncode == 0, done.stderr
        assert "compiled for: v5e" in done.stdout and "1 claim: 1 agrees" in done.stdout
        (claim,) = read_record(next(tmp_path.glob("reports/*/run.json"))).claims
        assert {c.verdict for c in claim.cells if c.backend == "tpu"} == {"compiled_only"}
        assert all(p.target == "v5e" for c in claim.cells for p in c.programs)
    else:
        assert done.returncode == 5
        assert done.stderr == (
            "verify: --backend tpu: there is no TPU here, and no compiler for one: pip install 'handgrad[tpu]' "
            "compiles every claim for a TPU v5e on a machine without one\n"
        )
