"""Hessian-free training: its products against explicit matrices, a quadratic in one step, going on bit for bit."""

import io
from functools import partial
from itertools import pairwise

import pytest
import torch

from interplay import hessian_free, rnn, tasks
from interplay.seeds import generator, seed


@pytest.fixture
def small():
    """A network of 5 units with 2 inputs and outputs, its trials and noise, float64; some outputs are not scored."""
    torch.manual_seed(3)
    weights = rnn.initialise(1.2, 5, 2, 2, [seed("hf")], dtype=torch.float64)
    inputs, targets, noise = (torch.randn(7, 1, 3, size).double() for size in (2, 2, 5))
    mask = (torch.rand(7, 1, 3, 2) < 0.6).double()
    return weights._replace(v=5 * weights.v), tasks.Trials(inputs, targets, mask), 0.3 * noise


def of_vector(vector, weights):
    return rnn.Weights(*(part.view_as(w) for part, w in zip(vector.split([w.numel() for w in weights]), weights)))


def explicit(small, dt):
    """Gradient, Gauss-Newton matrix and that of the change of the rates, from Jacobians by autograd."""
    weights, (inputs, targets, mask), noise = small
    here = torch.cat([w.ravel() for w in weights])

    def run(vector):
        W, M, v = of_vector(vector, weights)
        rates = [rate for _, rate in rnn.steps(W, M, inputs, None, noise, dt, torch.tanh)][1:]
        return torch.stack([rate @ v for rate in rates]).ravel(), torch.stack(rates).ravel()

    Jz, Jr = torch.autograd.functional.jacobian(run, here)
    share = (mask / mask.sum()).ravel()
    gradient = Jz.T @ (share * (run(here)[0] - targets.ravel()))
    return gradient, Jz.T @ (share[:, None] * Jz), Jr.T @ Jr / inputs.shape[2]


@pytest.mark.parametrize("dt", [0.1, 0.5, 1.0])
def test_gradient_and_products_are_those_of_the_explicit_matrices(small, dt):
    weights, trials, noise = small
    local, (gradient, G, S) = hessian_free.model(weights, trials, noise, dt), explicit(small, dt)
    z = rnn.outputs(weights, trials.inputs, dt=dt, noise=noise)
    assert local.loss == pytest.approx(float(rnn.loss(z, trials.targets, trials.mask)), rel=1e-12)
    torch.testing.assert_close(local.gradient, gradient, rtol=1e-10, atol=1e-12)
    one = torch.eye(len(G), dtype=torch.float64)
    for structural in (0.0, 0.7):
        found = torch.stack([local.product(p, structural) for p in one])
        torch.testing.assert_close(found, G + structural * S, rtol=1e-10, atol=1e-12)


def quadratic(size=12):
    """A random quadratic loss around its least value, as a model of it, and the place of that."""
    torch.manual_seed(0)
    A = torch.randn(size, size).double()
    A, least = A @ A.T + 0.1 * torch.eye(size), torch.randn(size).double()

    def loss(p):
        return float((p - least) @ A @ (p - least)) / 2

    return hessian_free.Model(loss(0 * least), -A @ least, lambda p, structural: A @ p), loss, least


def test_a_quadratic_is_solved_in_one_step():
    local, loss, least = quadratic()
    p, start, damping = hessian_free.move(local, loss, torch.zeros_like(least), 1e-12, 0.0)
    torch.testing.assert_close(p, least, rtol=1e-6, atol=1e-6)
    assert loss(p) < 1e-9 * local.loss and damping == pytest.approx(2e-12 / 3)  # q foretold all of it
    torch.testing.assert_close(start, p, rtol=1e-6, atol=1e-6)


def test_conjugate_gradients_give_each_iterate_its_q_and_never_rise():
    local, _, least = quadratic()
    course = hessian_free.conjugate_gradients(partial(local.product, structural=0), local.gradient, 0.3 * least)
    for p, q in course:
        assert q == pytest.approx(float(local.gradient @ p + p @ local.product(p, 0) / 2), rel=1e-9, abs=1e-9)
    values = [q for _, q in course]
    assert all(later <= q + 1e-9 for q, later in pairwise(values)) and len(course) > 5


@pytest.mark.parametrize(("real", "factor"), [(1.0, 2 / 3), (0.5, 1.0), (0.1, 3 / 2), (-1.0, 3 / 2)])
def test_damping_follows_what_the_model_foretold(real, factor):
    local, loss, least = quadratic()

    def short(p):  # that share of what is foretold
        return local.loss + real * (loss(p) - local.loss)

    p, _, damping = hessian_free.move(local, short, torch.zeros_like(least), 1e-9, 0.0)
    assert damping == pytest.approx(factor * 1e-9)
    assert (real > 0) == bool(p.any())  # no step where none lowers the loss


def test_a_step_too_long_is_shortened():
    local, loss, least = quadratic()

    def stiff(p):  # its valley ends at a quarter of the way
        return loss(p) + 100 * float(torch.relu(p.norm() - least.norm() / 4))

    p, end, _ = hessian_free.move(local, stiff, torch.zeros_like(least), 1e-12, 0.0)
    course = hessian_free.conjugate_gradients(lambda p: local.product(p, 0) + 1e-12 * p, local.gradient, 0 * least)
    assert torch.equal(end, course[-1][0]) and min(stiff(one) for one, _ in course) > local.loss > stiff(p)
    alike = max(float(torch.cosine_similarity(p, one, 0)) for one, _ in course)
    assert alike == pytest.approx(1) and p.any()


def test_the_next_search_starts_near_the_end_of_the_last(monkeypatch):
    starts, ends, search = [], [], hessian_free.conjugate_gradients

    def seen(product, gradient, start, **how):
        starts.append(start)
        course = search(product, gradient, start, **how)
        ends.append(course[-1][0])
        return course

    monkeypatch.setattr(hessian_free, "conjugate_gradients", seen)
    task = tasks.SineWave(dt=0.5, t_max=5.0, number=3)
    state = hessian_free.begin(rnn.initialise(1.0, 6, 1, 1, [seed("hf")]))
    for n in range(3):
        state = hessian_free.iterate(state, task.trials(3, [generator("hf", n)]), dt=0.5)
    assert not starts[0].any() and ends[0].any()
    torch.testing.assert_close(starts[1:], [0.95 * end for end in ends[:2]])


def test_it_learns_faster_than_gradient_descent_and_goes_on_bit_for_bit():
    task = tasks.SineWave(dt=0.5, t_max=20.0, number=5)
    weights = rnn.initialise(1.0, 20, 1, 1, [seed("hf", 1)])

    def state_after(state, iterations):
        for n in iterations:
            drawing = [generator("hf", n)]
            state = hessian_free.iterate(state, task.trials(5, drawing), dt=task.dt, structural=0.01)
        return state

    whole = state_after(hessian_free.begin(weights), range(12))
    buffer = io.BytesIO()
    torch.save(state_after(hessian_free.begin(weights), range(5)), buffer)
    buffer.seek(0)
    resumed = state_after(torch.load(buffer, weights_only=False), range(5, 12))
    assert all(torch.equal(a, b) for a, b in zip(whole.weights, resumed.weights))
    assert (whole.damping, whole.loss) == (resumed.damping, resumed.loss)
    plain = rnn.train(
        weights, lambda n: task.trials(5, [generator("hf", n)]), epochs=12, lr=0.1, dt=0.5, optimiser="sgd"
    )
    assert whole.loss < 0.7 * float(plain.loss[-1])


def test_what_will_not_do_is_named():
    two = rnn.initialise([1.0, 1.0], 4, 1, 1, [seed("a"), seed("b")])
    with pytest.raises(ValueError, match="number of networks is 2, but must be"):
        hessian_free.begin(two)
    one = rnn.Weights(*(w[:1] for w in two))
    with pytest.raises(ValueError, match="damping is 0, but must be finite and above 0"):
        hessian_free.begin(one, 0)
    task = tasks.SineWave(dt=0.5, t_max=5.0, number=3)
    trials, state = task.trials(3, [generator("hf")]), hessian_free.begin(one)
    with pytest.raises(ValueError, match="structural damping is -1, but must be"):
        hessian_free.iterate(state, trials, dt=0.5, structural=-1)
    with pytest.raises(ValueError, match="Euler step dt is 20"):
        hessian_free.iterate(state, trials, dt=20)
    with pytest.raises(ValueError, match="shape of inputs"):
        hessian_free.iterate(state, trials._replace(inputs=trials.inputs[..., [0, 0]]), dt=0.5)
