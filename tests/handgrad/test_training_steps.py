"""Steps, the loop, checkpoints, and the example that trains on digits."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handgrad.backpropagation import initialise
from handgrad.training import Checkpoint, CheckpointError, Every, train, train_step
from handgrad.training.digits import WIDTHS, Digits, Setting, by_hand, by_jax, step_of, train_digits

optax = pytest.importorskip("optax")
pytest.importorskip("sklearn")
ROOT = Path(__file__).parents[2]


def quadratic(params, x):
    """``‖p - x‖²`` summed over the columns of a batch."""
    r = params["p"][:, None] - x
    return jnp.sum(r * r), {"p": 2 * jnp.sum(r, axis=1)}


def batches(first, count):
    rngs = [np.random.default_rng(i) for i in range(first, first + count)]
    return (np.stack([rng.normal(size=(3, 4)).astype(np.float32) for rng in rngs]),)


PARAMS = {"p": jnp.zeros(3)}


@pytest.mark.parametrize("optimiser", [optax.sgd(0.01, momentum=0.9), optax.adamw(0.1)])
def test_scanned_steps_are_those_of_a_plain_loop(optimiser):
    step = train_step(quadratic, optimiser)
    state, losses = step.run(step.init(PARAMS), batches(0, 6))
    params, rest, values = PARAMS, optimiser.init(PARAMS), []
    for i in range(6):
        value, gradient = quadratic(params, batches(i, 1)[0][0])
        with jax.numpy_dtype_promotion("standard"):
            updates, rest = optimiser.update(gradient, rest, params)
        params, values = optax.apply_updates(params, updates), [*values, float(value)]
    np.testing.assert_allclose(state.params["p"], params["p"], rtol=1e-6)
    np.testing.assert_allclose(losses, values, rtol=1e-6)
    assert int(state.step) == 6


def test_the_state_is_donated_and_the_parameters_given_are_not():
    step = train_step(quadratic, optax.sgd(0.01))
    start = step.init(PARAMS)
    step.run(start, batches(0, 1))
    assert start.params["p"].is_deleted() and not PARAMS["p"].is_deleted()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_low_precision_is_of_the_gradient_alone(dtype):
    seen = []

    def gradient(params, x):
        seen.append((params["p"].dtype, x.dtype))
        return quadratic(params, x)

    step = train_step(gradient, optax.sgd(0.01), dtype=jnp.dtype(dtype))
    state, losses = step.run(step.init(PARAMS), batches(0, 2))
    assert set(seen) == {(jnp.dtype(dtype),) * 2} and losses.dtype == dtype
    assert state.params["p"].dtype == jnp.float32


def test_callbacks_come_before_every_so_many_steps_and_after_the_last():
    moments, seen = [], []
    step = train_step(quadratic, optax.sgd(0.01))
    calls = [Every(4, moments.append), Every(5, lambda moment: seen.append(np.array(moment.params["p"])))]
    _, losses = train(step, PARAMS, batches, 10, callbacks=calls)
    assert [m.step for m in moments] == [0, 4, 8, 10] and [len(m.losses) for m in moments] == [0, 4, 8, 10]
    np.testing.assert_array_equal(moments[1].batch[0], batches(4, 1)[0][0])
    assert len(losses) == 10 and len(seen) == 3 and (seen[0] == 0).all() and (seen[1] != seen[2]).any()


def test_a_training_goes_on_from_its_checkpoint_bit_for_bit(tmp_path):
    step = train_step(quadratic, optax.adam(0.1))
    how = {"checkpoint": Checkpoint(tmp_path, {"seed": 1}), "checkpoint_every": 3}
    whole, losses = train(step, PARAMS, batches, 10)

    def stop(moment):
        if moment.step == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(step, PARAMS, batches, 10, callbacks=[Every(6, stop)], **how)
    calls = []
    resumed, again = train(step, PARAMS, batches, 10, callbacks=[Every(1, calls.append)], resume=True, **how)
    assert calls[0].step == 7 and calls[0].losses[:6].tolist() == losses[:6].tolist()
    np.testing.assert_array_equal(resumed.params["p"], whole.params["p"])
    np.testing.assert_array_equal(again, losses)


def test_bfloat16_survives_the_file(tmp_path):
    step, kept = train_step(quadratic, optax.adam(0.1)), Checkpoint(tmp_path)
    state = step.init({"p": jnp.asarray([1.0, 2.5, -3.0], jnp.bfloat16)})
    kept.save(state, np.zeros(0))
    found, _ = kept.load(state) or (None, None)
    assert found is not None and found.params["p"].dtype == jnp.bfloat16
    np.testing.assert_array_equal(found.params["p"], state.params["p"])


def test_a_write_that_fails_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    step, kept = train_step(quadratic, optax.adam(0.1)), Checkpoint(tmp_path)
    state = step.init(PARAMS)
    kept.save(state, np.zeros(2))

    def broken(stream, **arrays):
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", broken)
    with pytest.raises(CheckpointError, match=r"checkpoint.npz: cannot be written: No space left on device"):
        kept.save(state, np.zeros(4))
    assert len(kept.load(state)[1]) == 2 and [p.name for p in tmp_path.iterdir()] == ["checkpoint.npz"]


def test_what_is_no_checkpoint_of_this_training_is_one_message(tmp_path):
    step = train_step(quadratic, optax.adam(0.1))
    state, kept = step.init(PARAMS), Checkpoint(tmp_path, {"seed": 1})
    assert kept.load(state) is None
    kept.save(state, np.zeros(0))
    with pytest.raises(CheckpointError, match=r"is of a training with seed 1, and this one has 2; remove"):
        Checkpoint(tmp_path, {"seed": 2}).load(state)
    with pytest.raises(CheckpointError, match="holds arrays of another network or optimiser"):
        kept.load(train_step(quadratic, optax.sgd(0.1)).init(PARAMS))
    kept.file.write_bytes(kept.file.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"checkpoint.npz: is no checkpoint of a training .*; remove it"):
        kept.load(state)


def test_meshes_of_either_kind_train_as_one_device_does():
    program = """
import jax, numpy as np, optax
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 4)
from jax.sharding import AxisType
from handgrad.backpropagation import backpropagate, initialise
from handgrad.training import train_step

def gradient(params, x, y):
    return backpropagate(params, x, y, ("tanh", "gelu"), "squared_error", "mean", True)

rng = np.random.default_rng(0)
batches = tuple(rng.normal(size=(3, n, 4096)).astype(np.float32) for n in (3, 2))
params = initialise(jax.random.key(0), [3, 4, 2])
found = []
for mesh in (None, *(jax.make_mesh((4,), ("data",), axis_types=(k,)) for k in (AxisType.Auto, AxisType.Explicit))):
    step = train_step(gradient, optax.adam(0.1), mesh=mesh)
    state, losses = step.run(step.init(params), batches)
    state, losses = step.run(state, batches)
    assert mesh is None or len(state.params[0].W.sharding.device_set) == 4
    found.append((state.params, losses))
for other in found[1:]:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-6), found[0], other)
try:
    train_step(gradient, optax.adam(0.1), mesh=mesh, axis="columns")
except ValueError as error:
    assert str(error) == "train_step: the mesh has no axis 'columns'; it has data", error
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("steps", [60, pytest.param(500, marks=pytest.mark.slow)])
def test_the_loss_curve_is_that_of_jax_grad_in_float64(steps):
    setting = Setting(steps=steps, dtype="float64")
    with jax.enable_x64(True):
        data = Digits.drawn(0)
        (state, ours), (_, theirs) = (train_digits(setting, side, data=data) for side in (by_hand, by_jax))
        assert state.params[0].W.dtype == jnp.float64
        assert steps < 500 or data.accuracy(state.params, setting.activations) >= 0.97
    assert len(ours) == steps and ours[-1] < (0.05 if steps == 500 else 0.5) < ours[0]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_another_gradient_has_another_loss_curve():
    setting = Setting(steps=20)

    def planted(setting):
        gradient = by_hand(setting)
        return lambda *arguments: jax.tree.map(lambda a: a * jnp.asarray(0.9, a.dtype), gradient(*arguments))

    ours, theirs = (train_digits(setting, side)[1] for side in (planted, by_hand))
    assert np.max(np.abs(ours / theirs - 1)) > 1e-3


def command(*options, **how):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    words = [sys.executable, "-m", "handgrad.training", "digits", *options]
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how)


@pytest.mark.slow
def test_killed_and_resumed_it_ends_with_the_same_parameters(tmp_path):
    options = ("--steps", "300", "--checkpoint", str(tmp_path))
    process = command(*options)
    file, deadline = tmp_path / "checkpoint.npz", time.monotonic() + 120
    while not file.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with jax.enable_x64(False):  # as in the process that was killed
        setting = Setting(steps=300)
        kept = Checkpoint(tmp_path, {"data": "digits", **vars(setting)})
        like = step_of(by_hand(setting), setting).init(initialise(jax.random.key(0), WIDTHS))
        found = kept.load(like)
        assert found is not None and 100 <= len(found[1]) < 300, "killed too late to tell anything"
        resumed, losses = train_digits(setting, checkpoint=kept, resume=True)
        whole, expected = train_digits(setting)
        np.testing.assert_array_equal(losses, expected)
        jax.tree.map(np.testing.assert_array_equal, resumed.params, whole.params)


@pytest.mark.slow
def test_the_command_prints_accuracy_and_speed(tmp_path):
    out, err = command("--steps", "300", "--activation", "relu").communicate()
    lines = out.splitlines()
    assert err == "" and lines[0].startswith("digits: widths 64-128-64-10, relu, relu, identity, softmax_cross_entropy")
    assert [line[:9].strip() for line in lines[1:3]] == ["by hand", "jax.grad"] and "steps a second" in lines[1]
    accuracy = float(lines[1].partition("accuracy ")[2].partition("%")[0])
    assert accuracy >= 97


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--steps", "0"], "--steps: got '0', wanted a whole number, at least 1"),
        (["--resume"], "--resume needs --checkpoint DIR"),
        (["--seed", "-1"], "--seed: got -1, wanted a whole number, at least 0"),
    ],
)
def test_bad_usage_is_one_message(options, message, monkeypatch, capsys):
    from handgrad.training.__main__ import main

    monkeypatch.setattr(sys, "argv", ["handgrad.training", "digits", *options])
    with pytest.raises(SystemExit) as ended:
        main()
    err = capsys.readouterr().err
    assert ended.value.code == 4 and message in err and err.count("\n") == 1


def test_nothing_needs_optax_before_it_trains():
    code = "import sys, handgrad.training; print(*{'optax', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []
