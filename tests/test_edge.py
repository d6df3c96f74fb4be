"""The public edge: the same answer however a matrix lies in memory, no step lost to precision, no draw that global
state changes, axes by name, and one sentence for what will not do."""

import warnings
from contextlib import contextmanager

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from interplay import archive, bridge, edge, linear, lowrank, operative, pathways, rnn, sentiment, tasks, zoo
from interplay.experiments import reading
from interplay.experiments import sentiment as sentiment_experiments
from interplay.seeds import generator, seed

N = 12
W0, M0, V0 = rnn.initialise([0.9, 0.5], N, 2, 3, [seed("edge", n) for n in range(2)])


def lay(x, how):
    """The same values: otherwise in memory, with a gradient, made in inference mode, or as an array."""
    if how == "transposed":
        return x.mT.contiguous().mT
    if how == "sliced":
        return torch.stack([x, x], -1).flatten(-2)[..., ::2]
    if how == "inference":
        with torch.inference_mode():
            return x.clone()
    if how == "gradient":
        return x.clone().requires_grad_()
    return {"parameter": torch.nn.Parameter(x.clone()), "array": x.numpy(), "as it is": x}[how]


HOW = st.sampled_from(["transposed", "sliced", "inference", "gradient", "parameter", "array", "as it is"])


def problem(dtype=torch.float32):
    draw = torch.Generator().manual_seed(3)
    inputs = torch.randn(9, 2, 4, 2, generator=draw, dtype=torch.float32).to(dtype)
    return inputs, inputs.cumsum(0)[..., :1].tanh().expand(-1, -1, -1, 3), torch.ones(9, 2, 4, 3, dtype=dtype)


PROBLEM, PATHWAYS = problem(), torch.tensor([[[0.2], [0.1]]], dtype=torch.float64)


def train(weights=(W0, M0, V0), **more):
    settings = {"epochs": 12, "lr": 0.02, "dt": 0.5, "progress": False} | more
    return rnn.train(rnn.Weights(*weights), lambda epoch: PROBLEM, **settings)


@settings(max_examples=25, deadline=None)
@given(st.tuples(HOW, HOW, HOW), st.sampled_from(["adam", "sgd"]))
def test_training_does_not_depend_on_how_weights_lie_in_memory(how, optimiser):
    plain, other = train(optimiser=optimiser), train(map(lay, (W0, M0, V0), how), optimiser=optimiser)
    torch.testing.assert_close(other.loss, plain.loss, rtol=1e-5, atol=0)
    for a, b in zip(plain.weights, other.weights, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    assert plain.loss[-1].sum() < plain.loss[0].sum()


@settings(max_examples=30, deadline=None)
@given(HOW, HOW)
def test_analyses_do_not_depend_on_how_a_matrix_lies_in_memory(how, also):
    W, X = W0[0].double(), 2 * W0[1].double()
    asked = [
        lambda W, X: lowrank.truncate(W, 3),
        lambda W, X: lowrank.singular_values(W),
        lambda W, X: lowrank.unpack(*lowrank.pack(W, 4)),
        lambda W, X: lowrank.shuffle(W, torch.Generator().manual_seed(0)),
        lambda W, X: operative.dimensions(W, X, "columns")[1],
        lambda W, X: operative.local_rows(W, X, 2)[1],
        lambda W, X: operative.keep(W, torch.eye(N, 3), rows=True),
        lambda W, X: rnn.simulate(
            (W[None], M0[:1].double(), V0[:1].double()), problem(torch.float64)[0][:, :1], dt=0.1
        )[0],
    ]
    for ask in asked:
        torch.testing.assert_close(
            torch.as_tensor(ask(lay(W, how), lay(X, also))).detach(), ask(W, X), rtol=1e-9, atol=1e-12
        )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64, torch.complex64])
def test_a_dtype_in_which_no_weight_would_move_is_refused(dtype):
    said = f"unknown dtype of W {dtype}: choose one of torch.float32, torch.float64"
    for call in (
        lambda W: train((W, M0, V0)),
        lambda W: rnn.simulate(rnn.Weights(W, M0, V0), problem()[0], dt=0.5),
        lambda W: rnn.outputs(rnn.Weights(W, M0, V0), problem()[0], dt=0.5),
    ):
        with pytest.raises(ValueError, match=said):
            call(W0.to(dtype))
    with pytest.raises(ValueError, match="dtype of layer 0 of pathway 0"):
        pathways.train([[torch.ones(1, 15, 8).to(dtype)]], pathways.target(), epochs=1)
    if not dtype.is_complex:
        torch.testing.assert_close(
            lowrank.singular_values(W0[0].to(dtype)), lowrank.singular_values(W0[0].to(dtype).float())
        )


def test_what_a_mode_of_the_caller_does_to_training():
    plain = train().weights.W
    for mode in (torch.no_grad(), torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16)):
        with mode:
            assert torch.equal(train().weights.W, plain)
    torch.use_deterministic_algorithms(True)
    try:
        torch.testing.assert_close(train().weights.W, plain)
    finally:
        torch.use_deterministic_algorithms(False)


@contextmanager
def state(dtype, device):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize(
    ("dtype", "device"), [(torch.float64, "cpu"), (torch.float32, "meta"), (torch.bfloat16, "cpu")]
)
@pytest.mark.parametrize(
    "draw",
    [
        lambda: pathways.initialise((2, 3), 5, [1, 2], earlier=[2]),
        lambda: pathways.chain(PATHWAYS, 3),
        lambda: lowrank.shuffle(W0, generator("a")),
        lambda: operative.dimensions(W0[0], W0[1], "random", generator("a")),
        lambda: operative.local_rows(W0[0], W0[1], 2),
        lambda: rnn.initialise([0.5], 4, 1, 1, [seed("a")]),
        lambda: train(epochs=2)[:2],
        *(lambda name=name: tasks.get(name)().trials(3, [generator("t")]) for name in tasks.BOOK),
    ],
)
def test_no_draw_depends_on_global_state(draw, dtype, device):
    def flat(x):
        return [x] if isinstance(x, torch.Tensor) else [y for part in x for y in flat(part)]

    plain = flat(draw())
    with state(dtype, device):
        moved = flat(draw())
    for a, b in zip(plain, moved, strict=True):
        assert a.dtype == b.dtype and torch.equal(a, b)


def best_effect(W, r, turns=100_000):
    """Largest |W b| |b.r| over unit vectors b of the plane: every direction tried."""
    angle = np.linspace(0, np.pi, turns)
    b = np.stack([np.cos(angle), np.sin(angle)])
    return (np.linalg.norm(W @ b, axis=0) * np.abs(r @ b)).max()


@settings(max_examples=40, deadline=None)
@given(st.floats(0.2, 5), st.sampled_from([0.0, 1e-12, 1e-8, 1e-4, 0.3]), st.floats(-0.9, 0.9))
def test_rows_of_a_state_that_does_not_see_the_strongest_direction(strong, tiny, rest):
    W, r = np.diag([strong, 1.0]), np.array([tiny, rest])
    found = operative.local_rows(torch.as_tensor(W), torch.atanh(torch.as_tensor(r))[None], 1)[1][0, 0]
    assert float(found) == pytest.approx(best_effect(W, r), rel=1e-6, abs=1e-12)


def test_the_hard_case_of_the_issue_and_of_two_modules():
    found = operative.local_rows(torch.diag(torch.tensor([2.0, 1.0])), torch.atanh(torch.tensor([[0, 0.9]])), 1)[1]
    assert float(found[0, 0]) == pytest.approx(0.9 * 2 / 3**0.5, rel=1e-6)  # 1.039
    draw, effects = torch.Generator().manual_seed(0), []
    A, B = (torch.randn(20, 20, generator=draw, dtype=torch.float64) / 20**0.5 for _ in range(2))
    W = torch.block_diag(3 * A, B)
    X = torch.cat([torch.zeros(1, 20), torch.randn(1, 20, generator=draw)], 1).double()  # the first module is silent
    r = torch.tanh(X[0]).numpy()
    top = torch.linalg.svd(W)[2][0].numpy()
    inside = operative.local_rows(B, X[:, 20:], 1)[0][0, 0].numpy()
    for share in np.linspace(0, 1, 2001):  # mixed with the silent direction
        b = np.concatenate([np.zeros(20), np.sqrt(1 - share) * inside]) + np.sqrt(share) * top
        effects.append(np.linalg.norm(W.numpy() @ b) * abs(b @ r) / np.linalg.norm(b) ** 2)
    assert float(operative.local_rows(W, X, 1)[1][0, 0]) >= max(effects) * (1 - 1e-9)
    assert max(effects) > 1.1 * effects[0]


@pytest.mark.parametrize(
    "block", [[[2.79, 0], [0, 2.07]], [[2.02, 0.5], [-0.5, 2.02]], [[1.11, 3], [-3, 1.11]], [[1.5, 9], [0, 0.2]]]
)
def test_an_unstable_start_is_refused_however_its_eigenvalues_pair(block):
    W, one = np.zeros((6, 6)), np.ones(6) / 6**0.5
    W[:2, :2] = block
    net = linear.reduce(np.zeros((6, 6)), one, one)
    for call in (lambda: linear.reduce(W, one, one), lambda: linear.transplant(net, W, one, one)):
        with pytest.raises(ValueError, match=r"real part of an eigenvalue of W0 is \d\.\d+, but must be .* below 1"):
            call()
    with pytest.raises(ValueError, match="norm of W0 is nan"):
        linear.reduce(np.full((3, 3), np.nan), one[:3], one[:3])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 999), st.floats(0.1, 0.99))
def test_stable_starts_pass_also_those_that_are_far_from_normal(n, top):
    W = np.triu(np.random.RandomState(n).standard_normal((8, 8)), 1) * 3
    W[np.diag_indices(8)] = top * np.random.RandomState(n).uniform(-1, 1, 8)
    one = np.ones(8) / 8**0.5
    net = linear.reduce(W, one, one)
    assert net.z0 == pytest.approx(one @ np.linalg.solve(np.eye(8) - W, one), rel=1e-6)


def test_axes_are_known_by_name():
    change = W0[:, :, :9]
    left, right, scale = lowrank.pack(change, 9)
    gap = (lowrank.unpack(left, right, scale) - change).norm(dim=(1, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for one, other in zip(lowrank.pack(torch.nn.Parameter(change), 9), (left, right, scale), strict=True):
            assert torch.equal(one, other) and not one.requires_grad
    assert (gap < 2e-3 * change.norm(dim=(1, 2))).all()
    for one, whole in zip(lowrank.pack(change[:1], 4), lowrank.pack(change[0], 4), strict=True):
        assert torch.equal(one.squeeze(), whole.squeeze())
    with pytest.raises(ValueError, match=r"shape of W is \(2, 12, 12\), but must be \(1, N, channel\)"):
        bridge.to_torch(rnn.Weights(W0, M0, V0))
    for weights, says in (
        ((W0[0], M0, V0), r"shape of W is \(12, 12\), but must be \(network, N, N\)"),
        ((W0, M0, V0.mT), r"shape of v is \(2, 3, 12\), but must be \(network, 12, n_out\)"),
        ((W0, M0[:, :5], V0), r"shape of M is \(2, 5, 2\)"),
    ):
        with pytest.raises(ValueError, match=says):
            rnn.simulate(rnn.Weights(*weights), problem()[0], dt=0.5)
    with pytest.raises(ValueError, match=r"shape of inputs is .*, but must be \(time, network, trial, 2\)"):
        rnn.outputs(rnn.Weights(W0, M0, V0), problem()[0][..., :1], dt=0.5)


@pytest.mark.parametrize("shape", [(512, 128), (128, 512), (3, 20, 7)])
def test_matrices_of_lstms_and_of_low_rank_adapters_are_cut_too(shape):
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    full = min(shape[-2:])
    torch.testing.assert_close(lowrank.truncate(x, full), x)
    losses = lowrank.loss_against_rank(0 * x, x, [0, 1, full], lambda W: (W - x).square().sum((-2, -1)))
    s = lowrank.singular_values(x)
    torch.testing.assert_close(losses[1], s[..., 1:].square().sum(-1))
    with pytest.raises(
        ValueError, match=f"rank is {full + 1}, but must be a whole number and at least 0 and at most {full}"
    ):
        lowrank.factors(x, full + 1)
    with pytest.raises(ValueError, match=f"rank is {full + 1}, but must be"):
        lowrank.loss_against_rank(0 * x, x, [0, full + 1], lambda W: pytest.fail("evaluated in vain"))


@pytest.mark.parametrize("dt", [20, -1, 0, np.nan, "0.5", 1.5])
def test_a_step_that_is_a_time_in_milliseconds_is_refused_with_its_unit(dt):
    weights, says = rnn.Weights(W0, M0, V0), r"dt is .*, but must be .* and at most 1 neuronal time constants$"
    for call in (
        lambda: rnn.simulate(weights, problem()[0], dt=dt),
        lambda: rnn.outputs(weights, problem()[0], dt=dt),
        lambda: train(dt=dt),
        lambda: tasks.Romo(dt=dt),
    ):
        with pytest.raises(ValueError, match=says):
            call()


@pytest.mark.parametrize("nonlinearity", [torch.nn.functional.softplus, lambda h: h / (1 + h * h), torch.tanh])
def test_a_function_of_ones_own_is_trained_as_it_is_simulated(nonlinearity):
    mine = train(nonlinearity=nonlinearity)
    inputs, targets, mask = problem()
    z, _ = rnn.simulate(mine.weights, inputs, dt=0.5, nonlinearity=nonlinearity)
    last = train(nonlinearity=nonlinearity, epochs=13).loss[-1]
    torch.testing.assert_close(rnn.loss(z, targets, mask), last)
    if nonlinearity is torch.tanh:
        torch.testing.assert_close(mine.loss, train().loss)
    else:
        assert not torch.allclose(mine.loss, train(nonlinearity="linear").loss, rtol=1e-2)


def test_relu_is_trained_as_it_is_simulated():
    by_hand, by_autograd = train(nonlinearity="relu"), train(nonlinearity=torch.relu)
    torch.testing.assert_close(by_hand.loss, by_autograd.loss)
    z, _ = rnn.simulate(rnn.Weights(W0, M0, V0), problem()[0], dt=0.5, nonlinearity="relu")
    torch.testing.assert_close(rnn.loss(z, *problem()[1:]), by_hand.loss[0])


def test_a_mask_an_objective_and_a_callback_of_ones_own():
    exists = torch.rand(N, N, generator=torch.Generator().manual_seed(0)) < 0.5
    seen = []

    def absolute(z, targets, scored):
        return (scored * (targets - z).abs()).sum((0, 2, 3))

    done = train(mask=exists, objective=absolute, callback=lambda *at: seen.append(at), snapshots=[0, 12])
    for W in (done.weights.W, *done.snapshots.values()):
        assert not W[:, ~exists].any() and W[:, exists].all()
    assert not torch.equal(done.weights.W, W0 * exists)
    assert [epoch for epoch, *_ in seen] == list(range(12))
    torch.testing.assert_close(torch.stack([losses for *_, losses in seen]), done.loss)
    z = rnn.simulate(seen[5][1], problem()[0], dt=0.5)[0]
    torch.testing.assert_close(absolute(z, *problem()[1:]), done.loss[5])


@pytest.mark.parametrize(
    "lr", [np.float32(0.02), torch.tensor(0.02), torch.nn.Parameter(torch.tensor(0.02)), [0.02, np.float64(0.02)], 0.02]
)
def test_numbers_of_numpy_and_torch_are_numbers(lr):
    torch.testing.assert_close(train(lr=lr).loss, train().loss, rtol=1e-5, atol=0)
    assert torch.equal(
        rnn.initialise(np.array([0.5]), np.int64(4), 1, 1, [seed(1)]).W, rnn.initialise([0.5], 4, 1, 1, [seed(1)]).W
    )
    assert rnn.device(torch.device("cpu")) == rnn.device("cpu") == torch.device("cpu")
    assert rnn.device() == torch.device("cuda" if torch.cuda.is_available() else "cpu")


def test_arrays_are_taken_in_place_of_tensors():
    layers = [[M0.mT.repeat(1, 3, 4)[:, :, :8], torch.ones(2, 15, 6)], [torch.ones(2, 15, 8)]]
    maps, inputs = torch.randn(4, 2, 15, 8, generator=torch.Generator().manual_seed(0)), PROBLEM[0]
    calls = [
        lambda f: lowrank.unpack(*map(f, lowrank.pack(W0, 3))),
        lambda f: lowrank.loss_against_rank(f(W0), f(W0[[1, 0]]), [1, 2], lambda W: W.norm(dim=(2, 3))),
        lambda f: operative.pooled(f(W0[0]), f(W0[1, 0].abs()))[1],
        lambda f: rnn.simulate(rnn.Weights(f(W0), f(M0[:1]), f(V0[:1])), f(inputs[:, :1]), dt=0.5)[0],
        lambda f: pathways.train([[f(W) for W in p] for p in layers], f(pathways.target()), epochs=2).loss,
        lambda f: pathways.reduce([f(W) for W in layers[0]])[0],
        lambda f: pathways.chain(f(PATHWAYS), 3)[0][0],
        lambda f: pathways.in_modes(f(maps)),
        lambda f: pathways.cosine(f(maps)),
        lambda f: pathways.initialise(f(torch.tensor([2, 3])), 5, f(torch.tensor([1, 2])))[0][0],
        lambda f: (
            rnn.train(
                rnn.Weights(*map(f, (W0, M0, V0))),
                lambda _: map(f, PROBLEM),
                epochs=2,
                lr=0.1,
                dt=f(torch.tensor(0.5)),
                progress=False,
            ).loss
        ),
        lambda f: bridge.inputs_of(torch.nn.RNN(2, 3, batch_first=True), f(inputs[0])),
    ]
    for call in calls:
        plain = torch.as_tensor(call(lambda x: x))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            torch.testing.assert_close(torch.as_tensor(call(lambda x: x.numpy())), plain)
            given_grad = torch.as_tensor(call(lambda x: torch.nn.Parameter(x, x.is_floating_point())))
        torch.testing.assert_close(given_grad.detach(), plain)


def test_seeds_hold_what_they_say():
    def stream(*labels):
        return tuple(seed(*labels).generate_state(2))

    assert stream("w", 0.3) == stream("w", np.float64(0.3)) != stream("w", 0.1 * 3)
    assert stream("w") == stream("w", "") != stream("", "w")
    assert stream("w", 3) == stream("w", 3.0) == stream("w", np.int64(3))


def test_streams_are_those_that_kept_networks_were_drawn_from():
    assert seed("weights", "romo", 256, 0.9, 3).entropy == [449999704, 2930201141, 3608065226, 2401811878, 4105354075]
    assert generator("weights", "romo", 256, 0.9, 3).initial_seed() == 7012226769653837650
    assert (
        rnn.train.__name__ == "train" and "Gradient descent" in rnn.train.__doc__
    )  # what a guard wraps is shown as it is


def test_defaults_of_pathways_fit_each_other():
    done = pathways.train(pathways.initialise((2, 2), 20, [1]), pathways.target(), epochs=3)
    assert done.loss.dtype == torch.float32 and torch.isfinite(done.loss).all()


@given(
    st.one_of(st.just(np.nan), st.just(np.inf), st.text(max_size=3), st.none(), st.floats(-9, 0), st.floats(2.001, 9))
)
def test_a_number_out_of_range_is_named_in_one_sentence(value):
    with pytest.raises(ValueError, match=r"^x is .*, but must be finite and at most 2 and above 0$") as caught:
        edge.number("x", value, high=2, above=0)
    assert repr(value) in str(caught.value)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6))
def test_shapes_are_held_to_their_names(a, b, c):
    x = np.zeros((a, b, c))
    assert edge.shape("x", x, "one", "two", "three") == {"one": a, "two": b, "three": c}
    for axes, known, fits in (
        (("n", "N", "N"), {}, b == c),
        (("...", "N", "N"), {}, b == c),
        (("n", "N"), {}, False),
        (("...", "n"), {"n": 3}, c == 3),
    ):
        if fits:
            edge.shape("x", x, *axes, **known)
        else:
            with pytest.raises(ValueError, match=r"^shape of x is \(\d, \d, \d\), but must be \(.*\), no axis empty$"):
                edge.shape("x", x, *axes, **known)


def test_expanded_weights_train_as_their_copies():
    same = [w[:1].expand(2, -1, -1) for w in (W0, M0, V0)]
    inputs = problem()[0][:, :1].expand(-1, 2, -1, -1)
    for call in (
        lambda weights: train(weights).loss,
        lambda weights: torch.stack(list(train(weights).weights.W)),
        lambda weights: rnn.simulate(weights, inputs, dt=0.5)[0],
    ):
        torch.testing.assert_close(call(same), call([w.clone() for w in same]), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("nonlinearity", ["tanh", torch.tanh])
def test_autocast_of_the_caller_takes_no_precision_from_a_simulation(nonlinearity):
    how, weights = {"dt": 0.5, "nonlinearity": nonlinearity}, rnn.Weights(W0.clone().requires_grad_(), M0, V0)

    def found():
        z = rnn.outputs(weights, problem()[0], **how)
        return rnn.simulate(weights, problem()[0], **how)[0], z, torch.autograd.grad(z.square().sum(), weights.W)[0]

    plain = found()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for one, other in zip(found()[: 3 if nonlinearity == "tanh" else 2], plain):
            assert one.dtype == torch.float32 and torch.equal(one, other)
    with torch.no_grad():
        assert not rnn.outputs(weights, problem()[0], **how).requires_grad


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"h0": torch.zeros(2, 5)}, r"shape of h0 is \(2, 5\), but must be \(network, 12\)"),
        ({"h0": torch.zeros(2, 3, N)}, r"shape of h0 is \(2, 3, 12\), but must be \(network, 4, 12\)"),
        ({"noise": torch.zeros(9, 4, N)}, r"noise is \(9, 4, 12\), but must be \(9, network, 4, 12\)"),
        ({"noise": torch.zeros(8, 2, 4, N)}, r"noise is \(8, 2, 4, 12\), but must be \(9, network, 4, 12\)"),
        ({"h0": torch.zeros(3, N)}, "unknown number of networks of W 2: choose one of 1, 3"),
        ({"noise": torch.zeros(9, 2, 4, N).double()}, "dtype of noise beside W torch.float64"),
    ],
)
def test_starts_and_noise_are_held_to_their_axes(given, says):
    for call in (rnn.simulate, rnn.outputs):
        with pytest.raises(ValueError, match=says):
            call(rnn.Weights(W0, M0, V0), problem()[0], dt=0.5, **given)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.booleans(), min_size=6, max_size=6), st.sampled_from([2, 3]), st.sampled_from(["tanh", torch.tanh]))
def test_one_network_of_a_part_stands_for_as_many_as_the_others_have(alone, axes, nonlinearity):
    draw = torch.Generator().manual_seed(1)
    h0 = torch.randn(2, *[4] * (axes - 2), N, generator=draw)
    noise = torch.randn(9, 2, 4, N, generator=draw)
    parts = [*(w.clone() for w in (W0, M0, V0)), h0, PROBLEM[0], noise]
    small = [x.narrow(int(k > 3), 0, 1) if one else x for k, (x, one) in enumerate(zip(parts, alone))]
    whole = [x.expand(*x.shape[: k > 3], 1 if all(alone) else 2, *x.shape[1 + (k > 3) :]) for k, x in enumerate(small)]
    found = []
    for W, M, v, h0, inputs, noise in (small, whole):
        leaves = [x.clone().requires_grad_() for x in (W, M, v, h0)]
        how = {"dt": 0.5, "nonlinearity": nonlinearity, "h0": leaves[3], "noise": noise}
        z = rnn.outputs(rnn.Weights(*leaves[:3]), inputs, **how)
        torch.testing.assert_close(rnn.simulate(rnn.Weights(*leaves[:3]), inputs, **how)[0], z)
        gradients = torch.autograd.grad(z.sin().sum(), leaves)
        found.append([z, *(g.sum(0) for g in gradients)])
    for one, other in zip(*found):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_one_number_is_a_sequence_of_one():
    W, change = W0[0], W0[1]
    draw = tasks.get("romo")().trials
    assert list(train(snapshots=12).snapshots) == list(train(snapshots=[12]).snapshots) == [12]
    one = [w[:1] for w in (W0, M0, V0)]
    with pytest.warns(UserWarning, match="diverged: mine at epoch"):
        rnn.train(
            rnn.Weights(*one),
            lambda _: [x[:, :1] for x in PROBLEM],
            epochs=9,
            lr=1e30,
            dt=0.5,
            names="mine",
            progress=False,
        )
    for one, many in (
        (draw(3, generator("a")).inputs, draw(3, [generator("a")]).inputs),
        (rnn.initialise(0.9, 4, 1, 1, seed(3)).W, rnn.initialise([0.9], 4, 1, 1, [seed(3)]).W),
        (rnn.initialise(torch.tensor(0.5), 4, 1, 1, seed(3)).W, rnn.initialise([0.5], 4, 1, 1, [seed(3)]).W),
        (operative.reduced(W, torch.eye(N), 3), operative.reduced(W, torch.eye(N), [3])),
        (pathways.initialise(2, 5, 1)[0][0], pathways.initialise([2], 5, [1])[0][0]),
        (
            lowrank.loss_against_rank(W, change, np.int64(2), lambda X: X.norm(dim=(1, 2))),
            lowrank.loss_against_rank(W, change, [2], lambda X: X.norm(dim=(1, 2))),
        ),
    ):
        assert torch.equal(one, many)


@pytest.fixture
def own_results(monkeypatch):
    monkeypatch.setenv("INTERPLAY_RESULTS", str(archive.CHECKOUT / "results"))


def kept_lstm():
    unit = sentiment_experiments.kept_whole("networks", "paper")[0]
    return torch.cat([w.flatten() for w in sentiment.weights(reading.restore(unit)[0]).values()])


@pytest.mark.parametrize("call", [lambda: zoo.load("romo", 0.9, 0, "paper").after.W, kept_lstm])
def test_what_is_kept_is_read_whatever_the_default_dtype_and_mode(call, own_results):
    plain = call()
    for mode in (state(torch.float64, "cpu"), state(torch.float16, "cpu"), torch.autocast("cpu", dtype=torch.bfloat16)):
        with mode:
            found = call()
        assert found.dtype == torch.float32 and torch.equal(found, plain)


def test_autocast_of_the_caller_takes_no_precision_from_an_analysis():
    W, X, Q = *W0, torch.linalg.qr(M0[0])[0]
    two, one = pathways.initialise((2, 2), 5, [1]), rnn.Weights(W0[:1], M0[:1], V0[:1])
    calls = [
        lambda: lowrank.truncate(W, 3),
        lambda: lowrank.unpack(*lowrank.pack(W, 3)),
        lambda: lowrank.loss_against_rank(W, X, [0, 2], lambda stack: stack.square().sum((-2, -1))),
        lambda: operative.reduced(W, Q, [1, 2]),
        lambda: operative.remove(W, Q, rows=True),
        lambda: pathways.in_modes(torch.cat([W, W])[:15, :8]),
        lambda: pathways.two_layers(two, 3)[0],
        lambda: pathways.invariants(two[0])[0],
        lambda: operative.state_distance(W[None] / 2, one, PROBLEM[0][:, :1], 0.5, torch.zeros(1, 4, N)),
    ]
    for call in calls:
        plain = call()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert call().dtype == plain.dtype and torch.equal(call(), plain)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float16, torch.bfloat16])
def test_steps_are_counted_in_full_whatever_the_dtype_of_the_mask(dtype):
    z, scored = (
        torch.zeros(3001, 1, 40, 1),
        torch.ones(3001, 1, 40, 1, dtype=dtype),
    )  # more than half precision counts to
    assert float(rnn.loss(z, z + 1, scored)) == 0.5
    assert float(lowrank.participation(torch.full((3,), 300).to(dtype))) == pytest.approx(3)


def test_sums_of_a_loss_are_over_axes_that_fit():
    z, one = torch.zeros(3, 3, 3, 2), torch.ones(3, 1, 3, 2)
    assert rnn.loss(z, one, one).tolist() == [0.5] * 3  # one network's targets for all
    for targets, scored, says in (
        (one, one[..., :1], r"shape of mask is \(3, 1, 3, 1\), but must be \(3, network, 3, 2\)"),
        (one[:, 0], one, r"shape of targets is \(3, 3, 2\)"),
        (one[:1], one, r"shape of targets is \(1, 1, 3, 2\)"),
    ):
        with pytest.raises(ValueError, match=says):
            rnn.loss(z, targets, scored)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"mask": torch.ones(N)}, r"shape of mask is \(12,\), but must be \(12, 12\)"),
        ({"mask": torch.ones(N, 1)}, r"shape of mask is \(12, 1\)"),
        ({"mask": torch.full((N, N), 0.5)}, "number of entries of mask beside 0 and 1 is 144"),
        ({"weights": (W0[0], M0, V0)}, r"shape of W is \(12, 12\), but must be \(12, N, N\)"),
        ({"weights": (W0, M0[:1], V0)}, r"shape of M is \(1, 12, 2\), but must be \(2, N, n_in\)"),
        ({"objective": lambda z, *_: z.mean()}, r"shape of losses of the objective is \(\), but must be \(2\)"),
        ({"objective": lambda z, *_: z.mean((0, 1, 3))}, r"losses of the objective is \(4,\)"),
    ],
)
def test_what_is_trained_is_held_to_its_axes(given, says):
    with pytest.raises(ValueError, match=says):
        train(**given)


def test_trials_and_weights_drawn_in_inference_mode_are_trained():
    with torch.inference_mode():
        drawn, weights = [x.clone() for x in PROBLEM], [w.clone() for w in (W0, M0, V0)]
    found = rnn.train(rnn.Weights(*weights), lambda _: drawn, epochs=12, lr=0.02, dt=0.5, progress=False)
    assert torch.equal(found.weights.W, train().weights.W)


def test_names_of_nonlinearities_are_not_changed_by_hand():
    with pytest.raises(TypeError, match="does not support item assignment"):
        rnn.PHI["relu"] = torch.nn.functional.softplus  # whose gradient `BackThroughTime` does not know


def test_packed_matrices_have_each_its_own_step():
    change = torch.stack([W0[0], 1e5 * W0[1], 0 * W0[0]])
    back = lowrank.unpack(*lowrank.pack(change, N))
    assert ((back - change).norm(dim=(1, 2)) <= 3e-3 * change.norm(dim=(1, 2))).all()


def test_ranks_that_are_given_are_those_of_a_labelled_loss():
    loss = xr.DataArray([1, 0.5, 0.04, 0.01], {"rank": [0, 1, 2, 3]}, ["rank"])
    assert float(lowrank.functional_rank(loss, [0, 5, 10, 20])) == 10 and float(lowrank.functional_rank(loss)) == 2
    with pytest.raises(ValueError, match="unknown dimension 'rank': choose one of R"):
        lowrank.functional_rank(loss.rename(rank="R"))


def test_effects_belong_to_directions_one_by_one():
    directions, effects = torch.eye(4), torch.arange(1, 5)
    for each in (directions.half(), directions.bfloat16(), directions.numpy(), directions.int()):
        assert operative.pooled(each, effects)[1].tolist() == pytest.approx([4, 3, 2, 1])
    with pytest.raises(ValueError, match=r"shape of effects torch.Size\(\[4, 1\]\)"):
        operative.pooled(directions, effects[:, None])
    with pytest.raises(ValueError, match="dt is 20"):
        operative.state_distance(W0[:1], rnn.Weights(W0[:1], M0[:1], V0[:1]), PROBLEM[0][:, :1], 20, torch.zeros(1, N))


@settings(max_examples=10, deadline=None)
@given(HOW, HOW)
def test_linear_networks_and_pathways_take_tensors_as_they_are(how, also):
    W, vectors = W0[0] / 3, W0[1, :2]
    calls = [
        lambda f, g: linear.reduce(f(W), *g(vectors), k=4).z0,
        lambda f, g: linear.transplant(linear.reduce(0.1 * np.eye(N), *np.eye(N)[:2], k=4), f(W), *g(vectors)).z0,
        lambda f, g: linear.connectivity(linear.reduce(0.1 * np.eye(N), *np.eye(N)[:2], k=4), f(W), g(W)[:4, :4]),
        lambda f, g: linear.time_to(f(W) ** 2, g(W)[:, :1] ** 2),
        lambda f, g: pathways.published(f(W)[:2, :8], 3, 5),
        lambda f, g: pathways.orbit(f(W), 2.0, 3, 0.01, 3),
        lambda f, g: pathways.flow_of_product(f(W), 2.0, 3),
        lambda f, g: pathways.orbit_constant(f(W), 3),
    ]
    for call in calls:
        plain = call(np.array, np.array)
        np.testing.assert_allclose(call(lambda x: lay(x, how), lambda x: lay(x, also)), plain, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("number", [torch.tensor, np.array, lambda x: torch.nn.Parameter(torch.tensor(float(x)))])
def test_numbers_of_networks_that_are_kept_or_drawn_may_be_tensors(number, own_results):
    assert torch.equal(zoo.load("romo", number(0.9), 0, "paper").after.W, zoo.load("romo", 0.9, 0, "paper").after.W)
    torch.testing.assert_close(train(lr=[number(0.02), number(0.02)]).loss, train(lr=0.02).loss, rtol=1e-5, atol=0)
    net = linear.reduce(np.zeros((N, N)), *np.eye(N)[:2], k=2)
    assert linear.descend(net, number(0.5), number(0.25), 5).z[-1] == linear.descend(net, 0.5, 0.25, 5).z[-1]
    assert linear.flow(net, number(0.5), [0, 1])[0][-1] == linear.flow(net, 0.5, [0, 1])[0][-1]
    assert lowrank.functional_rank(torch.tensor([1, 0.01]), threshold=number(0.5)) == 1
    K = pathways.published(np.full((2, 8), 0.1), 3, 5, lr=number(0.0625), scale=number(0.125))
    assert np.array_equal(K, pathways.published(np.full((2, 8), 0.1), 3, 5, lr=0.0625, scale=0.125))
    if not isinstance(number(1), torch.nn.Parameter):  # which holds no whole number
        assert torch.equal(rnn.initialise(0.5, number(4), 1, 1, number(1)).W, rnn.initialise(0.5, 4, 1, 1, 1).W)
        assert zoo.load("romo", 0.9, number(0), "paper").loss == zoo.load("romo", 0.9, 0, "paper").loss


def test_whole_numbers_and_arrays_among_pathways_are_taken_as_floats():
    maps = torch.randint(-3, 3, (2, 15, 8), generator=torch.Generator().manual_seed(0))
    calls = [
        pathways.in_modes,
        lambda maps: pathways.two_layers([[maps[:1, :4], maps[:1, :, :4]]], 3, 1e-4)[0],
        lambda maps: pathways.invariants([maps[:1, :4], maps[:1, :, :4]])[0],
        lambda maps: pathways.chain(maps[:, :2], 3)[0][-1],
    ]
    for call in calls:
        for other in (maps, maps.numpy(), maps.bfloat16()):
            torch.testing.assert_close(call(other), call(maps.float()))


@pytest.mark.parametrize(
    "wrap", [torch.nn.utils.parametrizations.orthogonal, torch.nn.utils.parametrizations.weight_norm]
)
def test_a_parametrised_module_is_taken_by_the_weights_that_it_runs_with(wrap):
    module, x = wrap(torch.nn.RNN(2, 5), "weight_hh_l0"), torch.randn(6, 3, 2)
    z, _ = rnn.simulate(bridge.from_torch(module), bridge.inputs_of(module, x), dt=1)
    assert (z[:, 0] - module(x)[0]).abs().max() < 1e-6


def test_words_and_ranks_of_readers_are_checked():
    words = xr.Dataset({}, {"word": ["<unk>", "<pad>", "good", "film"]})
    assert [one.tolist() for one in reading.numbered(words, [np.array(["good", "film"])])] == [[2, 3]]
    for sentence in ([3, 4], [["good"]], "good", []):
        with pytest.raises(ValueError, match="but must be a list of tokens"):
            reading.numbered(words, [sentence])
    reader = sentiment.Reader(torch.randn(4, 3), "GRU", 5)
    for rank in (-1, 6):
        with pytest.raises(
            ValueError, match=f"rank is {rank}, but must be a whole number and at least 0 and at most 5"
        ):
            sentiment.against_rank(reader, sentiment.weights(reader), [rank], "change", lambda: 0)
