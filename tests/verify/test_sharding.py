"""Batches spread over devices: eight virtual ones in a process, and two processes of four."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLAIMS = '''
import json, os, sys

PROCESSES, MINE = int(os.environ["PROCESSES"]), int(os.environ["MINE"])
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

if PROCESSES > 1:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"localhost:{os.environ['PORT']}", PROCESSES, MINE)

from handgrad.backpropagation import backpropagate_recomputed
from handgrad.differentials import trace_inner_as_trace, trace_inner_cyclic
from handgrad.layers import layer_vjp
from handgrad.normalisation import logsumexp_hessian_product
from handgrad.ridge import push_through, ridge_gradient, ridge_loss
from verify import verify


def loss(W: Float[Array, "m n"], X: Float[Array, "n N"], Y: Float[Array, "m N"]) -> Float[Array, ""]:
    return jnp.sum((W @ X - Y) ** 2)


def naive(W, X, Y):
    return 2 * (W @ X - Y) @ X.T


def forgets_to_sum(W, X, Y):
    """As a `shard_map` does that leaves out its psum: right on one device, an eighth of the batch on eight."""
    if jax.typeof(X).sharding.mesh.empty:
        return naive(W, X, Y)
    own = X[:, : X.shape[1] // 8], Y[:, : Y.shape[1] // 8]
    return naive(W, *own)


def told(outcome):
    cells = {c.mode: [c.verdict, c.reason, c.worst_error] for c in outcome.cells if c.mode.startswith("sharded")}
    return {"verdict": outcome.verdict, "cells": cells, "notes": outcome.notes, "why": str(outcome.diagnosis)}


how = {"cases": 24, "dtypes": ("float32",)}
found = {"devices": len(jax.devices()), "ridge": told(verify(ridge_gradient, ridge_loss, wrt="W", **how))}
if PROCESSES == 1:
    traces = trace_inner_as_trace, trace_inner_cyclic
    for hand in (layer_vjp, backpropagate_recomputed, push_through, *traces, logsumexp_hessian_product):
        found[hand.__name__] = told(verify(hand, **how))
    found["naive"] = told(verify(naive, loss, wrt="W", **how))
    found["forgets"] = told(verify(forgets_to_sum, loss, wrt="W", **how))
print(json.dumps(found))
'''


def started(processes, mine, devices, port=0):
    flags = f"--xla_force_host_platform_device_count={devices}"
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags,
        "PROCESSES": str(processes), "MINE": str(mine), "PORT": str(port),
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", CLAIMS], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def answer(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err[-3000:]
    return json.loads(out.splitlines()[-1])


@pytest.fixture(scope="module")
def alone():
    return answer(started(1, 0, 8))


SAME = (
    "ridge", "layer_vjp", "backpropagate_recomputed", "push_through", "trace_inner_as_trace", "trace_inner_cyclic",
    "logsumexp_hessian_product",
)  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_a_batch_over_eight_devices_gives_the_same(alone, name):
    assert alone["devices"] == 8
    cells = alone[name]["cells"]
    assert {mode: c[0] for mode, c in cells.items()} == {"sharded": "agrees", "sharded_explicit": "agrees"}
    assert alone[name]["verdict"] == "agrees" and all(0 <= c[2] < 1e-3 for c in cells.values())


def test_what_explicit_axes_refuse_is_told_and_no_mistake(alone):
    verdict, reason, _ = alone["naive"]["cells"]["sharded_explicit"]
    assert alone["naive"]["verdict"] == "agrees" and alone["naive"]["cells"]["sharded"][0] == "agrees"
    assert verdict == "skipped" and reason in alone["naive"]["notes"]
    assert reason.startswith("the hand-written function, unlike its reference, does not run sharded over Explicit axes")
    assert "out_sharding" in reason


def test_a_mistake_that_shows_on_several_devices_only_is_found(alone):
    assert alone["forgets"]["verdict"] == "wrong"
    assert "another formula runs on cpu (sharded" in alone["forgets"]["why"]


@pytest.mark.slow
def test_two_processes_judge_a_batch_spread_over_both(alone):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    first, second = (answer(p) for p in [started(2, i, 4, port) for i in range(2)])
    assert first == second and first["devices"] == 8
    ours, theirs = first["ridge"], alone["ridge"]
    assert ours["verdict"] == theirs["verdict"] == "agrees"
    assert {m: c[0] for m, c in ours["cells"].items()} == {m: c[0] for m, c in theirs["cells"].items()}
    assert all(abs(ours["cells"][m][2] - c[2]) < 1e-5 for m, c in theirs["cells"].items())
