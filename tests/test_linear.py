"""The exact gradient flow of the linear network against a dense inverse, its invariants, and the closed forms."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interplay import linear, rnn, theory
from interplay.experiments import linear as runs


def dense(W0, m, w, target, rate, epochs):
    """Gradient descent with an N by N inverse at every step: the plain way."""
    W, one, losses = W0.copy(), np.eye(len(m)), []
    for _ in range(epochs):
        inverse, last = np.linalg.inv(one - W), W.copy()
        p, q = inverse.T @ w, inverse @ m
        losses.append((target - w @ q) ** 2 / 2)
        W = W + rate * (target - w @ q) * np.outer(p, q)
    return np.array(losses), last - W0


def orthogonal(N, sample):
    """A network without initial connectivity, w orthogonal to m."""
    W0, m, w = runs.draw(0.0, N, sample)
    w = w - (w @ m) * m
    return W0, m, w / np.linalg.norm(w)


@pytest.mark.parametrize(("g", "target"), [(0.0, 2.0), (0.6, 0.5), (0.6, 2.0), (0.8, 0.5)])
def test_low_rank_descent_equals_dense_descent(g, target):
    W0, m, w = runs.draw(g, 150, 0)
    net, rate = linear.reduce(W0, m, w), runs.rate(g, target)
    run = linear.descend(net, target, rate, 150)
    losses, change = dense(W0, m, w, target, rate, 150)
    np.testing.assert_allclose(run.loss, losses, rtol=0, atol=1e-10 * target**2)
    np.testing.assert_allclose(linear.connectivity(net, W0, run.A[-1]) - W0, change, rtol=0, atol=1e-9)
    assert run.diverged == -1


def test_stacked_networks_do_not_touch_each_other():
    nets = [linear.reduce(*runs.draw(g, 60, 1)) for g in (0.0, 0.5)]
    together = linear.descend(linear.stack(nets), 1.0, np.array([0.009, 0.005]), 50)
    for n, rate in enumerate((0.009, 0.005)):
        np.testing.assert_allclose(together.loss[:, n], linear.descend(nets[n], 1.0, rate, 50).loss, rtol=1e-12)


def test_exact_gradient_is_what_back_propagation_gives_at_long_times():
    g, N, target = 0.5, 40, 1.0
    W0, m, w = runs.draw(g, N, 0)
    weights = runs.ensemble({"N": N, "g": g, "samples": [0]}, torch.float64, torch.device("cpu"))
    W = weights.W.clone().requires_grad_()
    gaps = {}
    for T in (10, 20, 80):
        inputs, targets, mask = runs.step_trial(1, T, target, dtype=torch.float64)
        z = rnn.outputs(rnn.Weights(W, *weights[1:]), inputs, dt=0.5, nonlinearity="linear")
        (through_time,) = torch.autograd.grad(rnn.loss(z, targets, mask).sum(), W)
        inverse = np.linalg.inv(np.eye(N) - W0)
        exact = -(target - w @ inverse @ m) * np.outer(inverse.T @ w, inverse @ m)
        gaps[T] = np.linalg.norm(through_time[0].numpy() - exact) / np.linalg.norm(exact)
    assert gaps[10] > 10 * gaps[20] and gaps[80] < 1e-10, gaps


@settings(max_examples=8, deadline=None)
@given(st.floats(0, 0.7), st.sampled_from([0.5, 1.0, 2.0, 4.0]), st.integers(0, 99))
def test_flow_conserves_both_invariants_and_reaches_the_target(g, target, sample):
    W0, m, w = runs.draw(g, 80, sample)
    net = linear.reduce(W0, m, w)
    z, A = linear.flow(net, target, np.array([0, 0.05, 20]), tolerance=1e-11)
    assert abs(z[-1] - target) < 1e-6 * target

    def kept(W):
        X, off_w, off_m = np.eye(80) - W, np.eye(80) - np.outer(w, w), np.eye(80) - np.outer(m, m)
        return np.stack([off_w @ X.T @ X @ off_w, off_m @ X @ X.T @ off_m])

    before = kept(W0)
    for change in A:
        assert np.linalg.norm(kept(linear.connectivity(net, W0, change)) - before) < 1e-8 * np.linalg.norm(before)


@pytest.mark.parametrize("target", [0.5, 1.0, 2.0, 4.0])
def test_without_initial_connectivity_the_solution_is_exact(target):
    net = linear.reduce(*orthogonal(64, 0))
    tau = np.linspace(0, 3, 7)
    _, A = linear.flow(net, target, tau, tolerance=1e-11)
    for change, s in zip(A[1:], theory.exact_course(tau, target)[1:], strict=True):
        np.testing.assert_allclose(np.linalg.svdvals(change)[:2], np.linalg.svd(theory.exact_change(s))[1], rtol=1e-6)
        found = np.sort(linear.change_eigenvalues(net, change).real)[[-1, 0]]
        np.testing.assert_allclose(found, np.sort(np.linalg.eigvals(theory.exact_change(s)))[::-1], rtol=1e-5)
    assert theory.exact_output(theory.exact_angle(target)) == pytest.approx(target, rel=1e-9)


def test_series_meet_the_exact_solution_at_their_order():
    for target in (0.5, 2.0):
        errors = []
        for tau in (0.02, 0.01):
            s = theory.exact_course(tau, target)[0]
            z, first = theory.output_series(tau, 0, target), theory.first_value_series(tau, 0, target)
            values = np.linalg.svd(theory.exact_change(s))[1]
            errors.append(np.abs([theory.exact_output(s) - z, values[0] - first]))
            assert values[1] == pytest.approx(theory.small_target(tau, 0, target)[2], rel=0.05)
        assert (np.log2(errors[0] / errors[1]) > 3.7).all(), "what is left must be of fourth order"


@pytest.mark.parametrize("g", [0.3, 0.6])
def test_large_N_rules(g):
    W0, _, _ = runs.draw(g, 800, 0)
    values = np.linalg.svd(np.linalg.inv(np.eye(800) - W0))[1] ** 2
    for n in (1, 2, 3, 4):
        assert np.mean(values**n) == pytest.approx(theory.moment(g, n), rel=0.02 * n)


def test_the_small_target_limit_has_its_laws():
    g = np.array([0.0, 0.3, 0.6, 0.8])
    _, first, _ = theory.small_target(50.0, g, 0.01)
    np.testing.assert_allclose(first / first[0], 1 - g**2, rtol=1e-9)
    z = theory.small_target(np.log(20) / 2 * (1 - g**2) ** 2, g, 0.01)[0]  # the time law: all at a loss of 5 %
    np.testing.assert_allclose((1 - z / 0.01) ** 2, 0.05, rtol=1e-9)
    np.testing.assert_allclose(theory.shuffle_law(g), g**4 * (2 - g**2) ** 2, atol=1e-15)


@pytest.mark.parametrize("g", [0.0, 0.3, 0.5])
def test_series_begin_as_the_limit_of_small_targets(g):
    tau, tiny = 0.02 * (1 - g**2) ** 2, 1e-4
    z, first, _ = theory.small_target(tau, g, tiny)
    assert theory.output_series(tau, g, tiny) == pytest.approx(z, rel=1e-6)
    assert theory.first_value_series(tau, g, tiny) == pytest.approx(first, rel=1e-6)


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda: runs.draw(1.0, 20, 0), "g is 1"),
        (lambda: theory.beta([0.5, -0.1]), "g is -0.1"),
        (
            lambda: linear.reduce(
                1.5 * np.random.RandomState(0).standard_normal((50, 50)) / 50**0.5, np.ones(50), np.ones(50)
            ),
            "largest real part of an eigenvalue of W0 is 1.*, but must be finite and below 1",
        ),
        (lambda: linear.reduce(np.diag([1.5, 0, 0, 0]), np.ones(4), np.ones(4)), "eigenvalue of W0 is 1.5, but"),
        (lambda: linear.reduce(np.diag([1.0, 0, 0, 0]), np.ones(4), np.ones(4)), "eigenvalue of W0 is 1.0, but"),
        (
            lambda: linear.descend(linear.reduce(*runs.draw(0.5, 20, 0)), 0.0, 0.01, 5),
            "target z-hat is 0.0, but must be finite and above 0",
        ),
        (
            lambda: linear.descend(linear.reduce(*runs.draw(0.5, 20, 0)), 1.0, 0.01, 0),
            "number of epochs is 0, but must be a whole number and at least 1",
        ),
        (
            lambda: linear.descend(linear.reduce(*runs.draw(0.5, 20, 0)), 1.0, -0.01, 5),
            "learning rate is -0.01, but must be finite and above 0",
        ),
        (
            lambda: linear.flow(linear.reduce(*runs.draw(0.5, 20, 0)), 0.0, np.array([0, 1.0])),
            "target z-hat is 0.0, but must be finite and above 0",
        ),
        (lambda: theory.exact_angle(-1.0), "z-hat of the exact solution is -1.0, but must be finite and above 0"),
        (lambda: theory.moment(0.5, 5), "unknown moment 5: choose one of 1, 2, 3, 4"),
    ],
)
def test_bad_input_is_one_sentence(act, says):
    with pytest.raises(ValueError, match=says):
        act()


def test_a_step_too_large_is_marked_not_hidden():
    nets = linear.stack([linear.reduce(*runs.draw(0.6, 60, sample)) for sample in (0, 1)])
    run = linear.descend(nets, 2.0, np.array([0.001, 2.0]), 60)
    assert run.diverged[0] == -1 and run.diverged[1] >= 0
    assert np.isfinite(run.loss[:, 0]).all() and np.isinf(run.loss[run.diverged[1] :, 1]).all()
    assert np.isnan(linear.time_to(run.loss, np.arange(60)[:, None]))[1]


@pytest.mark.parametrize("target", [0.5, 1.0, 2.0])
def test_descent_is_stopped_at_twice_the_change_that_a_flow_could_make(target):
    seen = {"norm": 0, "sign": 0, "none": 0}
    for rate in (0.2, 1.8, 2.4, 5.0, 8.4):
        W0, m, w = runs.draw(0.0, 60, 1)
        found = int(linear.descend(linear.reduce(W0, m, w), target, rate, 6).diverged)
        W, start, first, why = W0.copy(), (target - w @ m) ** 2 / 2, -1, "none"
        for epoch in range(6):
            if np.linalg.norm(W - W0) > 2 * np.sqrt(rate * epoch * start):
                first, why = epoch, "norm"
            elif np.linalg.det(np.eye(60) - W) <= 0:
                first, why = epoch, "sign"
            if first >= 0:
                break
            inverse = np.linalg.inv(np.eye(60) - W)
            W = W + rate * (target - w @ inverse @ m) * np.outer(inverse.T @ w, inverse @ m)
        seen[why] += 1
        assert found == first, (rate, why)
    assert seen["norm"] >= 2


def test_every_kind_of_experiment_runs_and_finds_its_divergences():
    for name, chosen in runs.EXPERIMENTS.items():
        data = chosen.compute(chosen.units("smoke")[-1] | {"epochs": 8}, torch.device("cpu"))
        exact = name in ("linear-exact", "linear-many")
        assert set(data.dims) >= {"g", "sample"} and np.isfinite(data["norm" if exact else "loss"]).any()
    unit = runs.EXPERIMENTS["linear-failure"].units("smoke")[-1] | {"rate": 50.0, "epochs": 12}
    assert (runs.failure(unit, torch.device("cpu")).diverged >= 0).all()


def test_the_path_starts_at_the_theory_and_changes_one_thing_a_step():
    units = {unit["step"]: unit | {"T": 100} for unit in runs.EXPERIMENTS["linear-path"].units("smoke")}
    order = ["flow", "sgd", "momentum", "adam", "tanh", "rate"]
    for before, after in pairwise(order):
        changed = {name for name in units[after] if units[after][name] != units[before][name]} - {"step", "unit"}
        follows = {"optimiser"} if after in ("sgd", "momentum", "adam") else set()
        assert changed - follows <= {{"tanh": "nonlinearity"}.get(after, "rate")} and changed, after
    at = {name: runs.path(unit | {"g": [0.5]}, torch.device("cpu")) for name, unit in units.items()}
    loss = {name: data.loss.values.ravel() for name, data in at.items()}
    assert loss["flow"][0] == pytest.approx(0.5**2 / 2, rel=1e-6)  # the readout is quiet
    np.testing.assert_allclose(loss["sgd"], loss["flow"], atol=0.06 * loss["flow"][0])
    assert loss["momentum"][-1] == pytest.approx(loss["sgd"][-10], rel=0.1)  # it lags by nine epochs
    net = linear.reduce(*(W0 := runs.draw(0.5, 32, 0))[:2], runs.quiet(*W0))
    exact = np.linalg.svdvals(linear.flow(net, 0.5, units["flow"]["rate"] * np.array([0, 20]))[1][-1])
    np.testing.assert_allclose(at["flow"].values_change.values.ravel()[:2], exact[:2], rtol=1e-3)


FORMS = {
    "beta": lambda g, tau, target: theory.beta(g),
    "moment": lambda g, tau, target: theory.moment(g, 3),
    "output_series": lambda g, tau, target: theory.output_series(tau, g, target),
    "first_value_series": lambda g, tau, target: theory.first_value_series(tau, g, target),
    "small_target": lambda g, tau, target: np.stack(theory.small_target(tau, g, target)),
    "shuffle_law": lambda g, tau, target: theory.shuffle_law(g),
    "exact_output": lambda g, tau, target: theory.exact_output(g),
    "exact_change": lambda g, tau, target: theory.exact_change(g[1]),
    "exact_angle": lambda g, tau, target: theory.exact_angle(target[0]),
    "exact_course": lambda g, tau, target: theory.exact_course(tau, target[1]),
}


@pytest.mark.parametrize("name", FORMS)
def test_closed_forms_take_arrays_and_tensors_of_any_precision(name):
    given = [[0.25, 0.5], [0.125, 0.25], [0.5, 2.0]]  # exact in every precision
    expected = FORMS[name](*map(np.array, given))
    assert np.isfinite(expected).all()
    kinds = [torch.bfloat16, torch.float16, torch.float32, torch.float64]
    for kind in [lambda x: x.astype(np.float32), *(lambda x, k=k: torch.tensor(x, dtype=k) for k in kinds)]:
        parts = [kind(np.array(x)) for x in given]
        for trained in (False, True):
            if trained and isinstance(parts[0], torch.Tensor):
                parts = [x.requires_grad_() for x in parts]
            found = FORMS[name](*parts)
            assert not isinstance(found, torch.Tensor) and np.asarray(found).dtype == np.float64
            np.testing.assert_allclose(found, expected, rtol=1e-12)
