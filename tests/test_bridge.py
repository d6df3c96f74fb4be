"""Modules of torch run here to 1e-6 and back; what is not one layer and direction without gates is refused."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from interplay import bridge, operative, rnn
from interplay.seeds import seed


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(["tanh", "relu"]), st.booleans(), st.booleans(), st.booleans(), st.integers(1, 5), st.integers(1, 9)
)
def test_a_module_of_torch_is_simulated_as_it_runs(nonlinearity, bias, batch_first, cell, n_in, N):
    torch.manual_seed(n_in)
    x = torch.randn(20, 3, n_in)
    if cell:
        module = nn.RNNCell(n_in, N, bias, nonlinearity)
        h, rates = None, []
        for u in x:
            rates.append(h := module(u, h))
        rates = torch.stack(rates)
    else:
        module = nn.RNN(n_in, N, nonlinearity=nonlinearity, bias=bias, batch_first=batch_first)
        x = x.transpose(0, 1) if batch_first else x
        rates = module(x)[0]
        rates = rates.transpose(0, 1) if batch_first else rates
    how = {"dt": 1, "nonlinearity": nonlinearity}
    readout = nn.Linear(N, 2, bias=False)
    weights, inputs = bridge.from_torch(module), bridge.inputs_of(module, x)
    torch.testing.assert_close(rnn.simulate(weights, inputs, **how)[0][:, 0], rates.detach(), rtol=1e-6, atol=1e-6)
    z = rnn.simulate(bridge.from_torch(module, readout), inputs, **how)[0][:, 0]
    torch.testing.assert_close(z, readout(rates).detach(), rtol=1e-6, atol=2e-6)
    back, identity = bridge.to_torch(weights, nonlinearity, biases=bias)
    plain = x.transpose(0, 1) if batch_first and not cell else x
    torch.testing.assert_close(identity(back(plain)[0]), rates, rtol=1e-6, atol=1e-6)


def test_a_network_goes_to_torch_and_its_readout_with_it():
    weights = rnn.initialise(0.9, 12, 2, 3, seed("bridge"), dtype=torch.float64)
    x = torch.randn(15, 4, 2, dtype=torch.float64)
    module, readout = bridge.to_torch(weights)
    torch.testing.assert_close(readout(module(x)[0]).detach(), rnn.simulate(weights, x[:, None], dt=1)[0][:, 0])
    for one, other in zip(bridge.from_torch(module, readout)[:1], weights[:1]):
        assert torch.equal(one, other) and one.data_ptr() != module.weight_hh_l0.data_ptr()
    alone = x[:, 0]  # a sequence without a batch
    torch.testing.assert_close(bridge.inputs_of(module, alone)[:, 0, 0], alone)


@pytest.mark.parametrize(
    ("module", "says"),
    [
        (nn.RNN(2, 3, 2), r"module is RNN\(2, 3, num_layers=2\), but must be an nn.RNN of one layer and direction"),
        (nn.RNN(2, 3, bidirectional=True), "bidirectional=True.*but must be"),
        (nn.GRU(2, 3), r"module is GRU\(2, 3\), but"),
        (nn.LSTM(2, 3), r"module is LSTM\(2, 3\), but"),
        (nn.Linear(2, 3), "module is Linear"),
        (nn.RNN(2, 3, dtype=torch.bfloat16), "unknown dtype of W torch.bfloat16"),
    ],
)
def test_other_modules_are_refused_in_a_sentence(module, says):
    with pytest.raises(ValueError, match=says):
        bridge.from_torch(module)


def test_what_does_not_fit_is_refused():
    weights = rnn.initialise([0.9, 0.9], 12, 2, 3, [seed(1), seed(2)])
    for call, says in (
        (lambda: bridge.from_torch(nn.RNN(2, 3), nn.Linear(3, 1)), "must have no bias"),
        (lambda: bridge.from_torch(nn.RNN(2, 3), nn.Linear(4, 1, bias=False)), r"must be \(3, n_out\)"),
        (lambda: bridge.to_torch(weights), r"shape of W is \(2, 12, 12\), but must be \(1,"),
        (lambda: bridge.to_torch(weights, "linear"), "unknown nonlinearity 'linear'"),
        (lambda: bridge.inputs_of(nn.RNN(2, 3), torch.ones(5, 4, 3)), r"must be \(time, trial, 2\)"),
    ):
        with pytest.raises(ValueError, match=says):
            call()


@pytest.mark.parametrize("kind", ["columns", "rows", "rates"])
def test_operative_dimensions_take_states_or_the_rates_of_torch(kind):
    module = nn.RNN(2, 12)
    rates = module(torch.randn(40, 2))[0].detach()
    W = module.weight_hh_l0
    of_rates = operative.dimensions(W, rates.double(), kind, rates=True)[1]
    torch.testing.assert_close(of_rates, operative.dimensions(W, rates.double().atanh(), kind)[1])
    assert not torch.allclose(of_rates, operative.dimensions(W, rates, kind)[1], rtol=1e-3)
    with pytest.raises(ValueError, match=r"shape of rates is \(40, 12\), but must be \(K, 5\)"):
        operative.dimensions(torch.eye(5), rates, kind, rates=True)
