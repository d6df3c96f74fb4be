"""The ensemble against plain loops: gradients, independence of grouping, divergence, bad input."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from interplay import rnn
from interplay.seeds import seed

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def plain(W, M, v, inputs, h0, noise, dt, nonlinearity):
    """The equations of the model, one network and one step at a time, for autograd."""
    phi, z = rnn.PHI[nonlinearity], []
    for n in range(len(W)):
        h, out = h0[n].expand(inputs.shape[2], -1), []
        for k in range(len(inputs)):
            push = phi(h) @ W[n].T + inputs[k, n] @ M[n].T + (0 if noise is None else noise[k, n])
            h = (1 - dt) * h + dt * push
            out.append(phi(h) @ v[n])
        z.append(torch.stack(out))
    return torch.stack(z, 1)


def problem(dtype, device="cpu", noisy=False, N=24, networks=3, trials=5, steps=17):
    weights = rnn.initialise([0.0, 0.9, 1.5][:networks], N, 2, 3, [seed("w", n) for n in range(networks)], dtype=dtype)
    draw = torch.Generator().manual_seed(1)
    shape = (steps, networks, trials)
    inputs, h0 = torch.randn(*shape, 2, generator=draw), 0.3 * torch.randn(networks, N, generator=draw)
    noise = torch.randn(*shape, N, generator=draw) if noisy else None
    targets, mask = torch.randn(*shape, 3, generator=draw), (torch.rand(*shape, 3, generator=draw) < 0.6).double()
    rest = [x if x is None else x.to(device, dtype) for x in (inputs, h0, noise, targets, mask)]
    return [w.to(device) for w in weights], *rest


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("dt", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("nonlinearity", ["tanh", "linear", "relu"])
@pytest.mark.parametrize("noisy", [False, True])
def test_gradient_equals_autograd_through_a_plain_loop(device, dtype, close, dt, nonlinearity, noisy):
    (W, M, v), inputs, h0, noise, targets, mask = problem(dtype, device, noisy)
    moving = [x.requires_grad_() for x in (W, M, v, h0)]
    answers = []
    for run in (rnn.BackThroughTime.apply, plain):
        z = run(W, M, v, inputs, h0, noise, dt, nonlinearity)
        answers.append([z, *torch.autograd.grad(rnn.loss(z, targets, mask).sum(), moving)])
    for name, ours, autograd in zip(("z", "W", "M", "v", "h0"), *answers, strict=True):
        assert (ours - autograd).norm() <= close * autograd.norm(), name


def test_gradcheck():
    (W, M, v), inputs, h0, noise, *_ = problem(torch.float64, noisy=True, N=4, networks=2, trials=2, steps=4)
    moving = [x.requires_grad_() for x in (W, M, v, h0)]
    for kind in rnn.PHI:
        assert torch.autograd.gradcheck(
            lambda W, M, v, h0, kind=kind: rnn.BackThroughTime.apply(W, M, v, inputs, h0, noise, 0.3, kind), moving
        )


def test_initial_states_may_differ_between_trials():
    (W, M, v), inputs, _, noise, *_ = problem(torch.float64, noisy=True, N=4, networks=2, trials=3, steps=5)
    h0 = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)

    def run(start):
        return rnn.outputs(rnn.Weights(W, M, v), inputs, dt=0.5, h0=start, noise=noise)

    assert torch.autograd.gradcheck(run, h0)
    shared = h0.detach()[:, :1].expand(-1, 3, -1)
    torch.testing.assert_close(run(shared), run(shared[:, 0]))


def test_simulation_without_gradient_is_the_same_run():
    weights, inputs, h0, noise, *_ = problem(torch.float64, noisy=True)
    z, states = rnn.simulate(rnn.Weights(*weights), inputs, dt=0.5, h0=h0, noise=noise, keep_states=True)
    again = rnn.outputs(rnn.Weights(*weights), inputs, dt=0.5, h0=h0, noise=noise)
    torch.testing.assert_close(z, again, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(torch.tanh(states) @ weights[2], z)


def test_initial_weights_have_the_stated_scales_and_do_not_depend_on_the_group():
    N, g = 400, [0.0, 0.9, 1.8]
    seeds = [seed("scale", n) for n in range(3)]
    W, M, v = rnn.initialise(g, N, 3, 2, seeds)
    for n in range(3):
        assert W[n].std() * np.sqrt(N) == pytest.approx(g[n], rel=0.01, abs=1e-12)
    torch.testing.assert_close(M.norm(dim=1), torch.full((3, 3), np.sqrt(N), dtype=torch.float32))
    torch.testing.assert_close(v.norm(dim=1), torch.full((3, 2), 1 / np.sqrt(N), dtype=torch.float32))
    alone = rnn.initialise(g[1:2], N, 3, 2, seeds[1:2])
    assert all(torch.equal(whole[1], one[0]) for whole, one in zip((W, M, v), alone, strict=True))


def test_stream_of_weights_is_the_frozen_one():
    W = rnn.initialise([1.0], 4, 1, 1, [seed("weights", "romo", 256, 0.9, 3)], dtype=torch.float64).W
    expected = np.random.RandomState(np.random.MT19937(seed("weights", "romo", 256, 0.9, 3))).standard_normal(2) / 2
    np.testing.assert_array_equal(W[0, 0, :2], expected)
    np.testing.assert_allclose(W[0, 0, :2], PINNED, rtol=1e-15)


PINNED = [0.8949508414144653, -0.04374917141977851]


def data(networks, steps=12, trials=6, n_in=2, n_out=3):
    draws = [torch.Generator().manual_seed(n) for n in range(networks)]

    def trials_of(epoch):
        shape = (steps, 1, trials)
        inputs = torch.cat([torch.randn(*shape, n_in, generator=draw) for draw in draws], 1)
        return inputs, inputs.cumsum(0)[..., :1].tanh().expand(-1, -1, -1, n_out), torch.ones(*inputs.shape[:3], n_out)

    return trials_of


@pytest.mark.parametrize("optimiser", ["adam", "sgd", "momentum"])
@pytest.mark.parametrize("trained", ["WMv", "W", "Mv"])
def test_training_equals_a_plain_autograd_loop_with_torchs_optimiser(optimiser, trained):
    rates, epochs = [1e-2, 3e-3], 6
    start = rnn.initialise([0.5, 1.2], 16, 2, 3, [seed("t", n) for n in range(2)], dtype=torch.float64)

    def double(epoch, source):
        return [x.double() for x in source(epoch)]

    source = data(2)
    done = rnn.train(start, lambda e: double(e, source), epochs=epochs, lr=rates, dt=0.5, optimiser=optimiser,
                     trained=trained, snapshots=[0, 3, epochs], progress=False)  # fmt: skip
    source = data(2)
    mine = [w.clone() for w in start]
    kind = torch.optim.Adam if optimiser == "adam" else torch.optim.SGD
    more = {"momentum": 0.9} if optimiser == "momentum" else {}
    leaves = [
        {name: w[n : n + 1].clone().requires_grad_() for name, w in zip("WMv", mine, strict=True)} for n in range(2)
    ]
    steps = [kind([leaf[name] for name in trained], lr=lr, **more) for leaf, lr in zip(leaves, rates, strict=True)]
    for epoch in range(epochs):
        inputs, targets, mask = double(epoch, source)
        for n, (leaf, step) in enumerate(zip(leaves, steps, strict=True)):
            z = plain(*leaf.values(), inputs[:, n : n + 1], inputs.new_zeros(1, 16), None, 0.5, "tanh")
            value = (mask[:, n] * (targets[:, n] - z[:, 0]) ** 2).sum() / mask[:, n].sum() / 2
            step.zero_grad()
            value.backward()
            step.step()
            assert done.loss[epoch, n] == pytest.approx(value.item(), rel=1e-9)
    for name, w in zip("WMv", done.weights, strict=True):
        torch.testing.assert_close(w, torch.cat([leaf[name] for leaf in leaves]).detach(), rtol=1e-8, atol=1e-12)
        assert torch.equal(w, getattr(start, name)) == (name not in trained)
    assert torch.equal(done.snapshots[0], start.W) and torch.equal(done.snapshots[epochs], done.weights.W)


def test_a_network_that_diverges_is_named_and_leaves_the_others_alone():
    start = rnn.initialise([0.5, 0.5, 0.5], 16, 2, 3, [seed("d", n) for n in range(3)])

    def run(rates, names):
        return rnn.train(start, data(3), epochs=40, lr=rates, dt=0.5, nonlinearity="linear",
                                             optimiser="sgd", names=names, progress=False)  # fmt: skip

    with pytest.warns(UserWarning, match=r"diverged: romo g=0.9 sample 1 at epoch \d+$"):
        torn = run([1e-3, 1e4, 1e-3], ["a", "romo g=0.9 sample 1", "c"])
    calm = run([1e-3, 1e-3, 1e-3], ["a", "b", "c"])
    assert list(torn.diverged) == ["romo g=0.9 sample 1"] and not calm.diverged
    assert torch.equal(torn.weights.W[[0, 2]], calm.weights.W[[0, 2]])
    assert torch.equal(torn.loss[:, [0, 2]], calm.loss[:, [0, 2]])
    assert torch.isfinite(torn.loss[: torn.diverged["romo g=0.9 sample 1"]]).all()
    assert torch.isfinite(torn.weights.W).all()  # the last of the one that is lost


GROWTH = """
import resource, torch
from interplay import rnn
from interplay.seeds import seed
torch.set_num_threads(1)
used = []
def trials(epoch):
    used.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return (torch.randn(40, 2, 32, 1), torch.randn(40, 2, 32, 1), torch.ones(40, 2, 32, 1))
start = rnn.initialise([0.5, 0.9], 256, 1, 1, [seed("m", 0), seed("m", 1)])
rnn.train(start, trials, epochs=101, lr=1e-4, dt=0.5, progress=False)
print(used[-1] - used[20])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ru_maxrss is in kB on Linux only")
def test_memory_does_not_grow_with_the_epochs():
    done = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 2_000, "kB in 80 epochs"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: rnn.initialise([-0.1], 4, 1, 1, [seed(0)]), "g is -0.1, but must be finite and at least 0"),
        (lambda: rnn.initialise([np.nan], 4, 1, 1, [seed(0)]), "g is nan"),
        (lambda: rnn.initialise([np.inf], 4, 1, 1, [seed(0)]), "g is inf"),
        (lambda: rnn.initialise([0.5], 0, 1, 1, [seed(0)]), "N is 0, but must be a whole number and at least 1"),
        (lambda: rnn.initialise([0.5, 1], 3, 1, 1, [seed(0)]), "number of seeds for 2 values of g is 1, but must be"),
        (lambda: rnn.device("cuda:99"), "unknown device 'cuda:99': choose one of auto, cpu"),
        (
            lambda: rnn.loss(torch.ones(3, 2, 1, 1), torch.ones(3, 2, 1, 1), torch.zeros(3, 2, 1, 1)),
            "mask of network 0",
        ),
        (
            lambda: rnn.train(*start(), epochs=0, lr=1, dt=0.5),
            "number of epochs is 0, but must be a whole number and at least 1",
        ),
        (
            lambda: rnn.train(*start(), epochs=1, lr=1, dt=0.5, trained="Wx"),
            "unknown weights to train 'x': choose one of W, M, v",
        ),
        (
            lambda: rnn.train(*start(), epochs=1, lr=1, dt=0.5, optimiser="lbfgs"),
            "unknown optimiser 'lbfgs': choose one of",
        ),
        (lambda: rnn.train(*start(), epochs=1, lr=1, dt=0.5, nonlinearity="sine"), "unknown nonlinearity 'sine'"),
        (lambda: rnn.train(*start(), epochs=1, lr=[1, 2], dt=0.5), "number of learning rates for 1 networks is 2"),
    ],
)
def test_bad_input_gets_one_sentence(call, says):
    with pytest.raises(ValueError, match=says.replace("(", r"\(")) as caught:
        call()
    assert "\n" not in str(caught.value)


def start():
    return rnn.initialise([0.5], 4, 2, 3, [seed(0)]), data(1)
