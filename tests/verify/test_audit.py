"""An audit judges the gradient in use at the live parameters, and keeps what it found."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

import verify
from handgrad.ridge import ridge_loss, ridge_value_and_gradient
from verify.records.record import read_record

BATCH = tuple(np.random.default_rng(0).normal(size=s) for s in ((3, 20), (2, 20)))


def moment(step, scale=1.0):
    return SimpleNamespace(step=step, params=jnp.full((2, 3), scale), batch=BATCH)


def loss(W, X, Y):
    return ridge_loss(W, X, Y, jnp.asarray(0.5, X.dtype))


def right(W, X, Y):
    return ridge_value_and_gradient(W, X, Y, jnp.asarray(0.5, X.dtype))


def wrong_for_large_weights(W, X, Y):
    value, gradient = right(W, X, Y)
    return value, jnp.where(jnp.abs(W) > 5, 2 * gradient, gradient)


def audit(hand, **how):
    return verify.audit(hand, loss, wrt="W", backends=("numpy",), cases=4, columns=3, **how)


def test_a_right_gradient_passes_and_is_recorded(tmp_path):
    watch = audit(right, file=tmp_path / "audit.json")
    outcome = watch(moment(0))
    watch(moment(50, 2.0))
    assert outcome.verdict == "agrees" and watch.ok and len(watch.outcomes) == 2, watch
    record = read_record(tmp_path / "audit.json")
    assert [c.name for c in record.claims] == ["right, step 0", "right, step 50"] and record.exit_code == 0


def test_a_mistake_that_shows_only_later_is_found_at_the_live_parameters(tmp_path):
    watch = audit(wrong_for_large_weights, file=tmp_path / "audit.json")
    assert watch(moment(0)).verdict == "agrees"
    later = watch(moment(100, 9.0))
    assert later.verdict == "wrong" and not watch.ok
    assert "W" in later.counterexample.inputs and "2 audits of wrong_for_large_weights, 1 failed" in str(watch)
    assert read_record(tmp_path / "audit.json").exit_code == 1


def test_a_batch_that_the_reference_does_not_take_is_said():
    with pytest.raises(TypeError, match=r"verify.audit: at=: loss\(W, X, Y\) cannot be called with it"):
        audit(right)(SimpleNamespace(step=0, params=jnp.ones((2, 3)), batch=(*BATCH, BATCH[0])))
