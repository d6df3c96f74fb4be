"""Operative dimensions: the identities, the row curve against an optimiser, the tasks, bad input."""

import numpy as np
import pytest
import torch

from benchmarks.operative import effect, search
from interplay import experiments, operative, rnn, tasks
from interplay.experiments import operative as experiment


def pair(N=20, K=12, seed=0):
    draw = torch.Generator().manual_seed(seed)
    scale = 3 * torch.rand(N, generator=draw, dtype=torch.float64)
    return torch.randn(N, N, generator=draw, dtype=torch.float64) / N**0.5, scale * torch.randn(
        K, N, generator=draw, dtype=torch.float64
    )


def one_step(W, x, alpha=0.1):
    return (1 - alpha) * x + alpha * torch.tanh(x) @ W.mT


def test_a_removed_column_direction_moves_one_step_by_its_overlap_with_the_drive():
    W, X = pair()
    local, size = operative.local_columns(W, X)
    for j in range(len(X)):
        a = torch.linalg.qr(torch.randn(20, 20, dtype=torch.float64))[0][:, :1]
        moved = (one_step(W, X[j]) - one_step(operative.remove(W, a), X[j])).norm() / 0.1
        torch.testing.assert_close(moved, (a[:, 0] @ W @ torch.tanh(X[j])).abs())
        assert moved <= size[j] + 1e-12
        best = one_step(operative.remove(W, local[j][:, None]), X[j])
        torch.testing.assert_close((one_step(W, X[j]) - best).norm() / 0.1, size[j])
        rest = a - local[j][:, None] * (local[j] @ a)  # orthogonal to the one dimension: nothing happens
        none = one_step(operative.remove(W, rest / rest.norm()), X[j])
        torch.testing.assert_close(none, one_step(W, X[j]))


def test_global_columns_are_the_best_approximation_weighted_by_activity():
    W, X = pair()
    R = torch.tanh(X).mT
    U, s = operative.dimensions(W, X, "columns")
    torch.testing.assert_close(s[: len(X)], torch.linalg.svdvals(W @ R))
    for k in (0, 1, 5, 12):
        missed = ((W - operative.keep(W, U[:, :k])) @ R).square().sum()
        torch.testing.assert_close(missed, s[k:].square().sum(), atol=1e-12, rtol=1e-9)
        for kind in ("high-variance", "rows", "rates", "random"):
            Q, _ = operative.dimensions(W, X, kind)
            other = operative.keep(W, Q[:, :k], kind in operative.INPUT_SIDE)
            assert ((W - other) @ R).square().sum() >= missed - 1e-9
        best = operative.keep(W, operative.dimensions(W, X, "high-variance")[0][:, :k])
        assert (W - best).norm() <= (W - operative.keep(W, U[:, :k])).norm() + 1e-12


@pytest.mark.parametrize("kind", operative.KINDS)
def test_all_directions_give_the_network_back(kind):
    W, X = pair()
    Q, _ = operative.dimensions(W, X, kind)
    torch.testing.assert_close(Q.mT @ Q, torch.eye(20).double())
    torch.testing.assert_close(operative.reduced(W, Q, [20], kind in operative.INPUT_SIDE)[0], W)
    assert not operative.reduced(W, Q, [0])[0].any()


def test_thirty_row_dimensions_of_a_state_are_pooled_as_published():
    W, X = pair(40, 2)
    assert operative.local_rows(W, X)[0].shape == (2, 30, 40)
    units = experiment.EXPERIMENTS["operative-measures"].units("paper")
    assert {unit["local"] for unit in units if "sampling" in unit} == {30}


def test_local_rows_are_never_below_a_search_and_within_their_bounds():
    W, X = pair()
    b, effects = operative.local_rows(W, X, 4)
    r = torch.tanh(X)
    drive, top = operative.local_columns(W, X)[1], torch.linalg.svdvals(W)[0]
    assert (effects[:, 0] >= drive - 1e-9).all() and (effects[:, 0] <= top * r.norm(dim=1) + 1e-9).all()
    torch.testing.assert_close(effects, (b @ W.mT).norm(dim=-1) * (b @ r[:, :, None])[..., 0].abs())
    torch.testing.assert_close(b @ b.mT, torch.eye(4).double().expand(len(X), -1, -1))
    agreed = 0
    for j in range(6):
        found = search(effect(W, X[j]), 20, 5, j)[1]
        assert float(effects[j, 0]) >= found * (1 - 1e-6)
        agreed += abs(float(effects[j, 0]) / found - 1) < 1e-6
        B = b[j, :1].mT  # the second one: the same search with the first projected out

        def left(x, B=B, j=j):
            y = x - (B @ (B.mT @ torch.as_tensor(x)[:, None]))[:, 0].numpy()
            return effect(W, X[j])(y / np.linalg.norm(y))

        assert float(effects[j, 1]) >= search(left, 20, 5, j)[1] * (1 - 1e-6)
    assert agreed >= 4


def test_the_row_maximiser_of_an_orthogonal_matrix_is_the_rate():
    W, X = torch.linalg.qr(pair()[0])[0], pair()[1]
    b, effects = operative.local_rows(W, X, 1)
    r = torch.tanh(X)
    torch.testing.assert_close((b[:, 0] * r).sum(1).abs(), r.norm(dim=1))
    torch.testing.assert_close(effects[:, 0], r.norm(dim=1))


def test_reduced_networks_run_as_the_full_one_at_full_rank():
    W = pair()[0].float()
    weights = rnn.Weights(W[None], torch.randn(1, 20, 2), torch.randn(1, 20, 1))
    inputs, h0, noise = torch.randn(30, 1, 5, 2), torch.randn(1, 5, 20), 0.1 * torch.randn(30, 1, 5, 20)
    Wk = torch.stack([0 * W, W])
    full = rnn.simulate(weights, inputs, dt=0.1, h0=h0, noise=noise)[0][:, 0]
    z, _ = rnn.simulate(weights._replace(W=Wk), inputs, dt=0.1, h0=h0, noise=noise)
    torch.testing.assert_close(z[:, 1], full)
    distance = operative.state_distance(Wk, weights, inputs, 0.1, h0)
    states = [rnn.simulate(weights._replace(W=w[None]), inputs, dt=0.1, h0=h0, keep_states=True)[1] for w in Wk]
    for found, of in zip(distance, (states, [torch.tanh(x) for x in states]), strict=True):
        torch.testing.assert_close(found, torch.stack([(x - of[1]).norm(dim=-1).mean() for x in of]))


@pytest.fixture(scope="module")
def panels(tmp_path_factory):
    """A measured network of smoke scale, and its weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INTERPLAY_RESULTS", str(tmp_path_factory.mktemp("results")))
        unit = experiment.EXPERIMENTS["operative-panels"].units("smoke")[0]
        found = experiment.measure(unit, torch.device("cpu")).squeeze()
        held = experiments.fetch("operative-networks", unit["group"], "smoke").sel(task=unit["task"], sample=0)
    return found, held.W.values.astype(float), held.W0.values


def test_flow_and_spectra_of_a_measured_network(panels):
    found, W, W0 = panels
    X = found.states.values.astype(float)
    plane = np.linalg.svd(X - X.mean(0))[2][:2].T
    drive, sign = np.tanh(X) @ W.T @ plane, np.sign((found.path.values * (X @ plane)).sum(0))
    np.testing.assert_allclose(found.path * sign, X @ plane, atol=1e-5)
    np.testing.assert_allclose(found.flow_full * sign, drive, atol=1e-5)
    U = np.linalg.svd(W @ np.tanh(X).T)[0][:, :5]
    here = found.flow.sel(flow_rank=5).astype(float)
    np.testing.assert_allclose(here.sel(kind="columns") * sign, np.tanh(X) @ (U @ U.T @ W).T @ plane, atol=1e-5)
    np.testing.assert_allclose(found.values_change, np.linalg.svd(W - W0, compute_uv=False), rtol=1e-5)


def test_dimensions_of_random_states_are_not_those_of_visited_ones(panels):
    missed = panels[0].missed_drive.sel(rank=5)
    for kind in ("columns", "rows"):
        assert missed.sel(kind=f"{kind}, random states") > 1.5 * missed.sel(kind=kind)
    assert panels[0].cost.sel(rank=24).std() < 1e-5  # all kinds are the full network in the end


def test_share_of_another_functions_drive(panels):
    found, W, _ = panels
    first = found.label.sel(what="group") == 0
    own, other = (W @ np.tanh(found.states[some].values.astype(float)).T for some in (first, ~first))
    Q, P = (np.linalg.svd(drive)[0][:, :10] for drive in (own, other))
    here = found.sel(subset="context 1")
    np.testing.assert_allclose(here.subset_held, ((Q.T @ other) ** 2).sum() / (other**2).sum(), rtol=1e-5)
    np.testing.assert_allclose(here.subset_cosine, ((Q.T @ P) ** 2).mean(0).sum(), rtol=1e-4)


def test_fewer_states_than_units_give_as_many_directions_the_rest_of_no_weight():
    W, X = pair(20, 12)
    U, s = operative.pooled(*operative.local_columns(W, X))
    assert U.shape == (20, 20) and s.shape == (20,) and not s[12:].any() and s[11] > 0
    torch.testing.assert_close(U.mT @ U, torch.eye(20, dtype=torch.float64))
    kept = operative.reduced(W, U, [3, 20])  # columns, unless rows are asked for
    torch.testing.assert_close(kept[0], U[:, :3] @ U[:, :3].mT @ W)
    torch.testing.assert_close(kept[1], W)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda W, X: operative.dimensions(W[:, :5], X, "columns"), r"shape of W is \(20, 5\), but must be \(N, N\)"),
        (
            lambda W, X: operative.dimensions(W, X[:, :5], "columns"),
            r"shape of states is \(12, 5\), but must be \(K, 20\)",
        ),
        (lambda W, X: operative.dimensions(W, X[:0], "rows"), r"shape of states is \(0, 20\).* no axis empty"),
        (lambda W, X: operative.dimensions(W, X, "best"), "unknown kind 'best': choose one of columns, rows"),
        (
            lambda W, X: operative.reduced(W, torch.eye(20), [21]),
            "k is 21, but must be a whole number and at least 0 and at most 20",
        ),
        (lambda W, X: operative.local_rows(W, X, 0), "number of local dimensions is 0"),
    ],
)
def test_bad_input_is_named(call, says):
    with pytest.raises(ValueError, match=says):
        call(*pair())


def test_context_integration_follows_the_cued_stream_to_an_absorbing_bound():
    task, draw = tasks.ContextIntegration(), [torch.Generator().manual_seed(i) for i in range(2)]
    context, drift = task.conditions(1200, draw)
    inputs, targets, mask = task.trials(1200, draw)
    assert inputs.shape == (1400, 2, 1200, 5) and mask.all() and not inputs[:650, ..., :2].any()
    torch.testing.assert_close(inputs[:, ..., 3], context.float().expand(1400, -1, -1))
    assert (inputs[..., 2] + inputs[..., 3] == 1).all() and not inputs[..., 4].any()
    for c in (0, 1):  # every drift as often as every other, and the two streams independent
        of = drift[0][context[0] == c]
        assert all(len(one.unique()) == 6 and one.unique(return_counts=True)[1].eq(100).all() for one in of.mT)
        assert abs(np.corrcoef(of.mT.numpy())[0, 1]) < 0.15
    seen = torch.where(context[None, ..., None] == 0, inputs[..., :1], inputs[..., 1:2])
    noise = inputs[650:, ..., :2] - drift
    assert noise.std() == pytest.approx(1, rel=0.01) and abs(noise.mean()) < 0.003
    free = (0.02 * seen).cumsum(0)
    arrived = (free.abs() >= 1).cummax(0).values
    torch.testing.assert_close(targets[~arrived], free[~arrived])
    assert (targets[arrived].abs() == 1).all() and 0.2 < float(arrived[-1].float().mean()) < 0.8
    after = arrived[:-1]
    assert (targets[1:][after] == targets[:-1][after]).all()


def test_sine_waves_have_the_frequency_of_their_input():
    task, draw = tasks.SineWave(), [torch.Generator().manual_seed(0)]
    which = task.conditions(51, draw)[0]
    inputs, targets, _ = task.trials(51, draw)
    assert sorted(which.tolist()) == list(range(51))
    torch.testing.assert_close(inputs[0, 0, :, 0], (which + 1) / 51 + 0.25)
    assert (inputs == inputs[:1]).all()
    t = np.arange(1, 501) / 1000
    for trial in (0, 17, 50):
        wave = np.sin(2 * np.pi * (1 + 0.1 * int(which[trial])) * t)
        np.testing.assert_allclose(targets[:, 0, trial, 0], wave, atol=1e-6)


def test_training_clips_and_gives_back_networks_that_run():
    unit = experiment.EXPERIMENTS["operative-networks"].units("smoke")[0]
    data = experiment.train(unit, torch.device("cpu"))
    weights, h0 = experiment.network(data, "context-integration", 1)
    task = tasks.ContextIntegration(burn=5.0)
    inputs = task.trials(4, [torch.Generator().manual_seed(0)]).inputs
    z, _ = rnn.simulate(weights, inputs, dt=task.dt, h0=experiment.start(task, h0, inputs))
    assert z.shape == (800, 1, 4, 1) and torch.isfinite(z).all() and not torch.equal(h0, torch.zeros_like(h0))
    chosen = experiment.start(task, torch.tensor([[[1.0] * 24, [2.0] * 24]]), inputs)
    torch.testing.assert_close(chosen[0, :, 0], 1 + inputs[0, 0, :, 3])
