"""Networks of others through every analysis: the forty that Krause et al. published, and state_dicts of torch's cells
and of low-rank adapters, in any layout, precision and order."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from interplay import bridge, krause, lowrank, operative, rnn, tasks
from interplay.seeds import generator

DATA = Path(__file__).parents[2] / "shared/data"


def simulated(W, M, v, inputs, dt):
    """Outputs (time, trial, n_out) and states of one network, in plain NumPy."""
    h, z, states = np.zeros((inputs.shape[1], len(W))), [], []
    for u in inputs:
        h = (1 - dt) * h + dt * (np.tanh(h) @ W.T + u @ M.T)
        states.append(h)
        z.append(np.tanh(h) @ v)
    return np.array(z), np.array(states)


@pytest.mark.skipif(not (DATA / "krause").exists(), reason=f"the authors' networks are not in {DATA}")
@pytest.mark.parametrize("task", krause.FILES)
def test_all_analyses_run_on_each_of_the_authors_networks_and_give_what_numpy_gives(task, monkeypatch):
    monkeypatch.setenv("INTERPLAY_DATA", str(DATA))
    chosen = tasks.get(task)()
    trials = chosen.trials(4, [generator("brought", task)], dtype=torch.float64)
    wide = [x.expand(-1, 3, -1, -1) for x in trials[1:]]
    for number in range(1, krause.NUMBER + 1):
        held = krause.authors(task, number)
        W0, W, M, v = (np.array(held[name]) for name in ("W0", "W", "M", "v"))  # as they lie in the file
        weights = rnn.Weights(*(torch.as_tensor(w)[None] for w in (W, M, v)))
        z, states = rnn.simulate(weights, trials.inputs, dt=chosen.dt, keep_states=True)
        plain = simulated(W, M, v, trials.inputs[:, 0].numpy(), chosen.dt)
        for one, other in zip((z, states), plain, strict=True):
            np.testing.assert_allclose(one[:, 0], other, rtol=0, atol=1e-6)
        s = np.linalg.svd(W - W0, compute_uv=False)
        np.testing.assert_allclose(lowrank.singular_values(W - W0), s, atol=1e-9)
        modulus = np.sort(np.abs(np.linalg.eigvals(W)))[::-1]
        np.testing.assert_allclose(lowrank.eigenvalues(W).abs(), modulus, atol=1e-9)
        gap = np.linalg.norm(lowrank.truncate(W - W0, 10) - (W - W0))
        assert gap == pytest.approx(np.sqrt((s[10:] ** 2).sum()), rel=1e-9)

        def evaluate(stack, weights=weights):
            return rnn.loss(rnn.simulate(weights._replace(W=stack), trials.inputs, dt=chosen.dt)[0], *wide)

        losses = lowrank.loss_against_rank(torch.as_tensor(W0), torch.as_tensor(W - W0), [0, 10, 100], evaluate)
        assert float(losses[2]) == pytest.approx(float(rnn.loss(z, *trials[1:])), rel=1e-6) and losses[2] < losses[0]
        some = states[::100, 0].flatten(0, 1)
        _, values = operative.dimensions(W, some, "columns")
        drive = np.tanh(some) @ torch.as_tensor(W).T
        np.testing.assert_allclose(values[: len(some)], np.linalg.svd(drive, compute_uv=False)[:100], atol=1e-8)
        local, effects = operative.local_columns(W, some)
        size = np.linalg.norm(drive, axis=1)
        np.testing.assert_allclose(effects, size, rtol=1e-12)
        apart = local.numpy() - drive.numpy() / size[:, None]
        assert (apart**2).sum(1).max() / 2 < 1e-12  # 1 - cosine
        if number <= 2:
            rows, effects = operative.local_rows(W, some[:5], 3)
            found = np.linalg.norm(rows @ torch.as_tensor(W).T, axis=-1) * np.abs(
                (rows * np.tanh(some[:5])[:, None]).sum(-1).numpy()
            )
            np.testing.assert_allclose(effects, found, rtol=1e-9)


def laid(x, how, dtype):
    x = x.to(dtype)
    if how == "transposed":
        return x.mT.contiguous().mT
    if how == "every second":
        return torch.stack([x, 0 * x], -1).flatten(-2)[..., ::2]
    return {
        "parameter": nn.Parameter(x),
        "array": x.float().numpy() if dtype == torch.bfloat16 else x.numpy(),
        "plain": x,
    }[how]


CELLS = {"RNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM, "adapter": None}


def every_analysis(matrix, how, dtype, k):
    """Spectrum, truncation, packing, loss against rank."""
    given_, exact = laid(matrix, how, dtype), matrix.to(dtype).double()
    s = torch.linalg.svdvals(exact)
    kind = torch.float64 if dtype == torch.float64 else torch.float32
    tight = {"rtol": 1e-9, "atol": 1e-12} if kind == torch.float64 else {"rtol": 2e-5, "atol": 2e-6}
    found = lowrank.singular_values(given_)
    assert found.dtype == kind
    torch.testing.assert_close(found.detach().double(), s, rtol=tight["rtol"], atol=tight["atol"] * 20)
    cut = lowrank.truncate(given_, k).detach().double()
    assert float((cut - exact).norm()) == pytest.approx(float(s[k:].norm()), rel=1e-3, abs=1e-4 * float(s[0]))
    rows, columns = (torch.randperm(n) for n in matrix.shape)  # units in another order: the same, in that order
    mixed = lowrank.truncate(laid(matrix[rows][:, columns], how, dtype), k).detach().double()
    if k == len(s) or k == 0 or s[k - 1] - s[k] > 0.02 * s[0]:
        torch.testing.assert_close(mixed, cut[rows][:, columns], rtol=0, atol=2e-3 * float(s[0]))
    left, right, scale = lowrank.pack(given_, k)
    gap = (lowrank.unpack(left, right, scale).double() - cut).norm()
    assert gap <= 5e-3 * exact.norm() and left.shape == (len(matrix), k)
    losses = lowrank.loss_against_rank(
        torch.zeros(matrix.shape, dtype=kind), given_, [0, k], lambda W: (W - exact.to(kind)).square().sum((-2, -1))
    ).detach()
    assert float(losses[0]) == pytest.approx(float(exact.square().sum()), rel=1e-4)
    assert float(losses[1]) == pytest.approx(float(s[k:].square().sum()), rel=1e-2, abs=1e-6 * float(losses[0]))
    assert lowrank.functional_rank(losses if k else losses[:1], [0, k][: 1 + (k > 0)]).shape == ()


def directions(gate, how, dtype):
    """Operative dimensions of a square block, and of the same units in another order."""
    states = torch.randn(6, len(gate), dtype=torch.float64)
    same = operative.dimensions(gate.to(dtype), states, "columns")[1]
    torch.testing.assert_close(operative.dimensions(laid(gate, how, dtype), states, "columns")[1], same)
    order = torch.randperm(len(gate))
    moved = operative.dimensions(laid(gate[order][:, order], how, dtype), states[:, order], "rows", local=2)[1]
    torch.testing.assert_close(
        moved, operative.dimensions(gate.to(dtype), states, "rows", local=2)[1], rtol=1e-5, atol=1e-7
    )


@settings(max_examples=60, deadline=None, derandomize=True)  # ties of directions may fall either way
@given(
    st.sampled_from([*CELLS]),
    st.integers(2, 24),
    st.integers(1, 9),
    st.sampled_from(["transposed", "every second", "parameter", "array", "plain"]),
    st.sampled_from([torch.float64, torch.float32, torch.float16, torch.bfloat16]),
    st.randoms(use_true_random=False),
)
def test_state_dicts_of_torch_in_any_layout_precision_and_order(cell, hidden, rank, how, dtype, dice):
    torch.manual_seed(hidden)
    if cell == "adapter":
        held = {
            "lora_A.weight": torch.randn(min(rank, hidden), hidden),
            "lora_B.weight": torch.randn(3 * hidden, min(rank, hidden)),
        }
        matrices = [held["lora_B.weight"] @ held["lora_A.weight"], *held.values()]
    else:
        held = CELLS[cell](rank, hidden).state_dict()
        matrices = [w for w in held.values() if w.dim() == 2]
    for matrix in matrices:
        every_analysis(matrix, how, dtype, dice.randint(0, min(matrix.shape)))
        if matrix.shape[1] == hidden and len(matrix) % hidden == 0:
            for gate in matrix.split(hidden):
                directions(gate, how, dtype)


@settings(max_examples=15, deadline=None)
@given(
    st.permutations(range(3)),
    st.permutations(range(5)),
    st.sampled_from(["adam", "sgd"]),
    st.sampled_from(["tanh", "relu"]),
)
def test_networks_and_trials_in_another_order_are_trained_as_they_were(networks, trials, optimiser, nonlinearity):
    weights = rnn.initialise([0.3, 0.6, 0.9], 10, 2, 1, [*map(np.random.SeedSequence, range(3))])
    inputs = torch.randn(8, 3, 5, 2, generator=torch.Generator().manual_seed(0))
    targets = inputs.cumsum(0)[..., :1].tanh()
    how = {"epochs": 8, "dt": 0.5, "progress": False, "optimiser": optimiser, "nonlinearity": nonlinearity}
    plain = rnn.train(weights, lambda _: (inputs, targets, torch.ones_like(targets)), lr=[0.01, 0.02, 0.03], **how)
    mixed = [x[:, networks][:, :, trials] for x in (inputs, targets, torch.ones_like(targets))]
    rates = np.array([0.01, 0.02, 0.03])[networks]
    moved = rnn.train(rnn.Weights(*(w[networks] for w in weights)), lambda _: mixed, lr=rates, **how)
    torch.testing.assert_close(moved.loss, plain.loss[:, networks], rtol=1e-4, atol=1e-6)
    transposed = rnn.Weights(weights.W, weights.M, weights.v.mT.contiguous().mT)  # as a Linear holds its readout
    again = rnn.train(transposed, lambda _: (inputs, targets, torch.ones_like(targets)), lr=[0.01, 0.02, 0.03], **how)
    torch.testing.assert_close(again.loss, plain.loss, rtol=1e-5, atol=0)


@pytest.mark.parametrize("cell", [nn.RNN, nn.RNNCell])
def test_a_state_dict_comes_to_the_bridge_through_its_module(cell):
    torch.manual_seed(1)
    saved = {name: w.clone() for name, w in cell(3, 40).state_dict().items()}
    module = cell(3, 40)
    module.load_state_dict(saved)
    x, h, rates = torch.randn(30, 6, 3), None, []
    for u in x:
        h = module(u, h) if cell is nn.RNNCell else module(u[None], h)[1]
        rates.append(h.view(6, 40))
    z, states = rnn.simulate(bridge.from_torch(module), bridge.inputs_of(module, x), dt=1, keep_states=True)
    assert (z[:, 0] - torch.stack(rates)).abs().max() < 1e-6
    of_rates = operative.dimensions(bridge.from_torch(module).W[0], z.flatten(0, 2), "columns", rates=True)[1]
    torch.testing.assert_close(
        of_rates,
        operative.dimensions(bridge.from_torch(module).W[0], states.flatten(0, 2), "columns")[1],
        rtol=1e-5,
        atol=1e-6,
    )
