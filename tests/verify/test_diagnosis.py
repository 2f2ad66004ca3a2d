"""Planted mistakes must be named: one table of common slips, each with the kinds that name it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.verify.plants import Plant, told


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(0))
    return e / e.sum(0)


def softmax_rule(z, cotangent):
    p = softmax(z)
    return p * (cotangent - (p * cotangent).sum(0))


def ridge(W, X, Y, lam):
    return 2 * ((W @ X - Y) @ X.T + lam * W)


RIDGE = {"W": "m n", "X": "n N", "Y": "m N", "lam": ""}


def planted_ridge(name, kinds, hand, value=None, **more):
    def inner(W, X, Y, lam):
        return {"W @ X": W @ X, "Y - W @ X": Y - W @ X}

    return Plant(f"ridge {name}", kinds, "m n N", RIDGE, ridge, hand, value, outputs=("W",), dims=(("m", "n"),),
                 inner=inner, **more)  # fmt: skip


def elementwise(name, kinds, derivative, hand, value=None, x="n m", **more):
    return Plant(name, kinds, "n m", {"x": x, "cotangent": "n m"},
          lambda x, cotangent: derivative(x) * cotangent, hand,
                 value, relation="vjp", dims=(("n", "m"),), **more)  # fmt: skip


def layer_norm(x, gamma, cotangent, centre=True, project=True):
    u = x - x.mean(1, keepdims=True)
    sigma = np.sqrt((u * u).mean(1, keepdims=True) + 1e-5)
    h, g = u / sigma, cotangent * gamma
    g_mean = g.mean(1, keepdims=True) if centre else 0
    return (g - g_mean - (h * (g * h).mean(1, keepdims=True) if project else 0)) / sigma


def layer_norm_inner(x, gamma, cotangent):
    u = x - x.mean(1, keepdims=True)
    sigma = np.sqrt((u * u).mean(1, keepdims=True) + 1e-5)
    return {"x - mean": u, "sigma": sigma, "normalised": u / sigma}


def linear(W, x, b, cotangent):
    return cotangent @ x.T, W.T @ cotangent, cotangent.sum(1)


LINEAR = {"W": "m n", "x": "n N", "b": "m", "cotangent": "m N"}


def planted_linear(name, kinds, hand, **more):
    return Plant(f"linear {name}", kinds, "m n N", LINEAR, linear, hand, relation="vjp", outputs=("W", "x", "b"),
                 dims=(("m", "n"), ("n", "N"), ("m",)), **more)  # fmt: skip


def hard_sigmoid_slope(x):
    return np.where(np.abs(x) < 3, 1 / 6, 0.0)


PLANTS = [
    planted_ridge("sign", "sign", lambda **k: -ridge(**k)),
    planted_ridge("half", "factor", lambda **k: ridge(**k) / 2, "1/2"),
    planted_ridge("mean", "reduction", lambda **k: ridge(**k) / k["X"].shape[1], "1/N"),
    planted_ridge("m", "factor", lambda **k: ridge(**k) * k["W"].shape[0], "m"),
    planted_ridge("N/(N+1)", "factor", lambda **k: ridge(**k) * k["X"].shape[1] / (k["X"].shape[1] + 1), "N/(N+1)"),
    planted_ridge("1/sqrt(n)", "factor", lambda **k: ridge(**k) / np.sqrt(k["X"].shape[0]), "1/sqrt(n)"),
    planted_ridge("1/pi", "factor", lambda **k: ridge(**k) / np.pi, "1/pi"),
    planted_ridge("lam", "factor", lambda **k: ridge(**k) * k["lam"], "lam"),
    planted_ridge("no lam W", "missing_term", lambda W, X, Y, lam: 2 * (W @ X - Y) @ X.T, "2*lam * W"),
    planted_ridge("lam W halved", "factor",
                  lambda W, X, Y, lam: 2 * (W @ X - Y) @ X.T + lam * W, "1/2"),
    planted_ridge("extra X X", "extra_term", lambda **k: ridge(**k) + k["W"] @ k["X"] @ k["X"].T),
    planted_ridge("extra lam W", "extra_term factor", lambda W, X, Y, lam: ridge(W, X, Y, lam) + 5 * lam * W),
    planted_ridge("transpose", "transpose shape", lambda **k: ridge(**k).T),
    planted_ridge("half and no lam W", "factor", lambda W, X, Y, lam: (W @ X - Y) @ X.T, second="missing_term"),
    planted_ridge("negative transpose", "transpose", lambda **k: -ridge(**k).T, second="sign"),
    planted_ridge("wrong when N == 1", "dimension",
                  lambda **k: ridge(**k) * (2 if k["X"].shape[1] == 1 else 1), "N == 1"),
    planted_ridge("wrong when m > n", "dimension",
                  lambda **k: ridge(**k) * (2 if k["W"].shape[0] > k["W"].shape[1] else 1), "m > n"),
    planted_ridge("wrong when m != n", "dimension",
                  lambda **k: ridge(**k) + (k["W"].shape[0] != k["W"].shape[1]) * np.sin(ridge(**k)), "m != n"),
    planted_ridge("wrong when m > n and N > 2", "dimension",
                  lambda **k: ridge(**k) * (2 if k["W"].shape[0] > k["W"].shape[1] and k["X"].shape[1] > 2 else 1),
                  cases=150),
    planted_ridge("wrong when lam < 0", "region",
          lambda **k: ridge(**k) + (k["lam"] < 0) * np.cos(k["W"]), "lam < 0"),
    planted_ridge("first row", "entries",
                  lambda **k: ridge(**k) + (np.arange(k["W"].shape[0]) == 0)[:, None] * np.cos(k["W"])),
    elementwise("x squared, 2 missing", "factor", lambda x: 2 * x, lambda x, cotangent: x * cotangent, "1/2"),
    elementwise("cotangent ignored", "cotangent", np.cos, lambda x, cotangent: np.cos(x)),
    elementwise("cotangent squared", "cotangent", np.cos, lambda x, cotangent: np.cos(x) * cotangent**2),
    elementwise("cotangent summed", "cotangent", np.cos, lambda x, cotangent: np.cos(x) * cotangent.sum()),
    elementwise("sign", "sign", np.cos, lambda x, cotangent: -np.cos(x) * cotangent),
    elementwise("hard sigmoid saturates at 1", "region", hard_sigmoid_slope,
                lambda x, cotangent: np.where(np.abs(x) < 3, 1 / 6, 1.0) * cotangent),
    elementwise("slope beyond 3", "region", np.tanh,
                lambda x, cotangent: np.where(x > 3, 1.0, np.tanh(x)) * cotangent),
    elementwise("leaky side", "region", lambda x: np.where(x > 0, 1.0, 0.1),
                lambda x, cotangent: np.where(x > 0, 1.0, 0.01) * cotangent),
    elementwise("zero at 0", "singular", lambda x: 1 / (1 + np.exp(-x)),
                lambda x, cotangent: np.where(x == 0, 0, 1 / (1 + np.exp(-x))) * cotangent, "x == 0"),
    elementwise("NaN at 0", "singular", np.cos, lambda x, cotangent: np.cos(x) * x / x * cotangent),
    elementwise("overflow", "overflow", lambda x: 1 / (1 + np.exp(-np.abs(x))),
                lambda x, cotangent: np.exp(np.abs(x)) / (1 + np.exp(np.abs(x))) * cotangent, x="n m:huge"),
    elementwise("f instead of f'", "factor extra_term missing_term wrong_argument", lambda x: x * (1 - x),
                lambda x, cotangent: x * cotangent, x="n m:positive"),
    elementwise("product rule, a term lost", "missing_term", lambda x: np.sin(x) + x * np.cos(x),
                lambda x, cotangent: x * np.cos(x) * cotangent, inner=lambda x, cotangent: {"sin x": np.sin(x)}),
    Plant("softmax without the mean", "missing_term extra_term", "n m", {"z": "n m:wide", "cotangent": "n m"},
          softmax_rule,
          lambda z, cotangent: softmax(z) * cotangent, relation="vjp", dims=(("n", "m"),),
          inner=lambda z, cotangent: {"p": softmax(z)}),
    Plant("softmax sum over all", "missing_term extra_term unknown reduction", "n m", {"z": "n m",
          "cotangent": "n m"},
          softmax_rule, lambda z, cotangent: softmax(z) * (cotangent - (softmax(z) * cotangent).sum()),
          relation="vjp",
          inner=lambda z, cotangent: {"p": softmax(z)}),
    Plant("layer norm, no centring", "missing_term", "N d", {"x": "N d", "gamma": "d", "cotangent": "N d"},
          layer_norm,
          lambda **k: layer_norm(**k, centre=False), relation="vjp", inner=layer_norm_inner),
    Plant("layer norm, no projection", "missing_term", "N d", {"x": "N d", "gamma": "d", "cotangent": "N d"},
          layer_norm,
          lambda **k: layer_norm(**k, project=False), relation="vjp", inner=layer_norm_inner),
    Plant("log det not transposed", "transpose", "n", {"A": "n n"}, lambda A: np.linalg.inv(A + 9 * np.eye(len(A))).T,
          lambda A: np.linalg.inv(A + 9 * np.eye(len(A))), dims=(("n", "n"),)),
    Plant("trace of A^2", "transpose", "n", {"A": "n n"}, lambda A: 2 * A.T, lambda A: 2 * A),
    Plant("x^T A x", "missing_term", "n", {"A": "n n", "x": "n"}, lambda A, x: (A + A.T) @ x, lambda A, x: A @ x),
    Plant("x^T A x, symmetric assumed", "missing_term extra_term transpose", "n", {"A": "n n", "x": "n"},
          lambda A, x: (A + A.T) @ x,
          lambda A, x: 2 * A @ x),
    planted_linear("bias not summed", "reduction shape",
          lambda W, x, b, cotangent: (cotangent @ x.T, W.T @ cotangent, cotangent)),
    planted_linear("bias averaged", "reduction",
                   lambda W, x, b, cotangent: (cotangent @ x.T, W.T @ cotangent, cotangent.mean(1)), value="1/N"),
    planted_linear("bias times x", "factor reduction missing_term",
                   lambda W, x, b, cotangent: (cotangent @ x.T, W.T @ cotangent, (cotangent @ x.T).sum(1))),
    planted_linear("W transposed", "transpose",
          lambda W, x, b, cotangent: (x @ cotangent.T, W.T @ cotangent, cotangent.sum(1))),
    planted_linear("all halved", "factor", lambda **k: tuple(part / 2 for part in linear(**k)), value="1/2"),
    Plant("row sums repeated", "reduction", "N d", {"x": "N d"}, lambda x: np.sin(x) + 2,
          lambda x: np.broadcast_to((np.sin(x) + 2).sum(0), x.shape)),
    Plant("mean of all repeated", "reduction", "N d", {"x": "N d"}, lambda x: np.sin(x) + 2,
          lambda x: np.full(x.shape, (np.sin(x) + 2).mean())),
    Plant("summed, keeps no axis", "reduction shape", "N d", {"x": "N d"}, lambda x: np.cos(x),
          lambda x: np.cos(x).sum(0)),
    Plant("kept as a column", "shape reduction", "n", {"x": "n"}, lambda x: np.cos(x), lambda x: np.cos(x)[:, None]),
    Plant("diagonal", "entries", "n", {"A": "n n"}, lambda A: 2 * A,
          lambda A: 2 * A - np.diag(np.diag(A)) + np.eye(len(A))),
    Plant("not masked to the triangle", "entries", "n", {"A": "n n"}, lambda A: np.tril(np.cos(A)),
          lambda A: np.cos(A)),
    Plant("reshape for transpose", "transpose shape", "n m", {"A": "n m"}, lambda A: np.cos(A),
          lambda A: np.cos(A).T.reshape(A.shape)),
    Plant("kernel not flipped", "transpose", "n", {"k": "n"}, lambda k: np.cos(k), lambda k: np.cos(k)[::-1]),
    Plant("mask ignored", "entries region", "n m", {"x": "n m", "keep": "n m:mask"},
          lambda x, keep: np.where(keep, np.cos(x), 0),
          lambda x, keep: np.cos(x)),
    Plant("conj", "conjugate", "n", {"z": "n:complex"}, lambda z: np.exp(z), lambda z: np.conj(np.exp(z))),
    Plant("abs2 conj and factor", "conjugate", "n", {"z": "n:complex"}, lambda z: 2 * np.conj(z),
          lambda z: z, second="factor"),
    Plant("tie takes all", "singular", "n m", {"a": "n m", "b": "n m"},
          lambda a, b: np.where(a > b, 1.0, np.where(a == b, 0.5, 0.0)),
          lambda a, b: np.where(a >= b, 1.0, 0.0), cases=120),
    Plant("norm at zero", "singular", "n", {"x": "n"}, lambda x: x / np.linalg.norm(x) if x.any() else 0 * x,
          lambda x: x / np.linalg.norm(x), cases=200),
    Plant("tangent ignored", "cotangent", "n", {"x": "n", "dx": "n"}, lambda x, dx: np.cos(x) * dx,
          lambda x, dx: np.cos(x), relation="jvp"),
    Plant("value wrong", "factor", "n", {"x": "n"}, lambda x: (np.sum(x**2), 2 * x),
          lambda x: (np.sum(x**2) / 2, 2 * x),
          relation="value_and_gradient", outputs=("value", "x")),
    Plant("scalar term", "missing_term", "n", {"x": "n", "lam": ""},
          lambda x, lam: np.sum(np.cos(x)) + lam * np.sum(x**2), lambda x, lam: np.sum(np.cos(x)),
          relation="equal_to"),
    Plant("scalar gradient", "missing_term extra_term factor", "m n", {"W": "m n", "lam": ""},
          lambda W, lam: np.sum(W * W) + lam, lambda W, lam: np.sum(W * W)),
    Plant("swapped", "wrong_argument", "n", {"x": "n", "y": "n"}, lambda x, y: (np.cos(x), np.sin(y)),
          lambda x, y: (np.sin(y), np.cos(x)), outputs=("x", "y")),
    Plant("bound reversed", "sign", "n", {"x": "n"}, lambda x: np.sum(x**2),
          lambda x: np.sum(x**2) + np.sum(np.abs(x)),
          relation="at_most"),
]  # fmt: skip


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_planted_mistake(plant: Plant) -> None:
    told(plant)
