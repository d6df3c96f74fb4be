"""Parallel pathways: gradients, conservation, exact reductions, the mode equations, bad input."""

from functools import reduce
from itertools import pairwise

import numpy as np
import pytest
import torch

from interplay import pathways
from interplay.experiments import experiment
from interplay.experiments import pathways as runs

M = pathways.target()


def net(depths, width=30, seeds=(1, 2), **more):
    return pathways.initialise(depths, width, list(seeds), dtype=torch.float64, **more)


def test_haar_modes_are_the_singular_modes_of_the_tree():
    U, s, V = pathways.modes()
    torch.testing.assert_close(U * s @ V.T, M)
    torch.testing.assert_close(torch.linalg.svdvals(M), s)
    assert M.sum() == 32 and set(M.flatten().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(pathways.in_modes(M), torch.diag(s))


@pytest.mark.parametrize("phi", pathways.PHI)
@pytest.mark.parametrize("depths", [(2, 2), (3, 5), (1, 4, 2)])
def test_steps_equal_those_of_autograd(phi, depths):
    before = net(depths, scale=1.0)
    ours = pathways.train(before, M, lr=0.003, epochs=5, phi=phi)
    leaves = [[W.clone().requires_grad_() for W in p] for p in before]
    for epoch in range(5):
        total = 0
        for p in leaves:
            a = torch.eye(8, dtype=torch.float64)
            for W in p:
                a = pathways.PHI[phi](W @ a)
            total = total + a
        loss = (M - total).square().sum((1, 2))
        torch.testing.assert_close(ours.loss[epoch], loss.detach(), rtol=1e-10, atol=0)
        grads = torch.autograd.grad(loss.sum(), [W for p in leaves for W in p])
        with torch.no_grad():
            for W, grad in zip([W for p in leaves for W in p], grads, strict=True):
                W -= 0.003 * grad
    for a, b in zip(ours.pathways, leaves, strict=True):
        for one, other in zip(a, b, strict=True):
            torch.testing.assert_close(one, other.detach(), rtol=1e-10, atol=1e-12)
    assert before[0][0] is not ours.pathways[0][0] and ours.maps.shape == (6, 2, len(depths), 15, 8)


def test_the_cosine_is_that_of_the_first_two_maps_as_vectors():
    maps = torch.randn(4, 3, 15, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    a, b = maps[:, 0].flatten(1), maps[:, 1].flatten(1)
    torch.testing.assert_close(pathways.cosine(maps), (a * b).sum(1) / a.norm(dim=1) / b.norm(dim=1))


def test_networks_of_an_ensemble_do_not_touch_each_other():
    together = pathways.train(net((3, 3)), M, epochs=40).maps
    alone = pathways.train(net((3, 3), seeds=(2,)), M, epochs=40).maps
    torch.testing.assert_close(together[:, 1:], alone)


def test_invariants_drift_in_proportion_to_the_step():
    before, drift = net((2, 4), scale=0.5), []
    for lr, epochs in ((0.004, 250), (0.002, 500)):
        after = pathways.train(before, M, lr=lr, epochs=epochs).pathways
        pairs = [(pathways.invariants(old), pathways.invariants(new)) for old, new in zip(before, after, strict=True)]
        drift.append(max(float((C - C0).norm()) for olds, news in pairs for C0, C in zip(olds, news, strict=True)))
    assert drift[1] == pytest.approx(drift[0] / 2, rel=0.1)
    moved = max(float((W @ W.mT - W0 @ W0.mT).norm()) for W, W0 in zip(after[1][:-1], before[1][:-1], strict=True))
    assert drift[1] < 0.02 * moved


@pytest.mark.parametrize(("depth", "orthogonal"), [(1, False), (2, False), (3, True), (4, True)])
def test_the_reduction_is_exact_where_the_subspaces_close(depth, orthogonal):
    full = net((depth, depth), 60, orthogonal=orthogonal)
    small = [pathways.reduce(p) for p in full]
    assert {W.shape[1] for p in small for W in p[:-1]} <= {23}
    # an exact identity holds at any step size, also at one that overshoots
    for lr in (0.01, 0.04):
        a, b = (pathways.train(each, M, lr=lr, epochs=300).maps for each in (full, small))
        assert (a - b).abs().max() < 1e-10


@pytest.mark.parametrize("case", ["faint", "alike"])
def test_the_reduction_keeps_what_is_faint_and_what_is_nearly_alike(case):
    first, last = net((2,))[0]
    mean = first.mean(-1, keepdim=True)
    first = 1e-10 * first if case == "faint" else mean + 1e-4 * (first - mean)
    for one, other in zip(pathways.reduce([first, last]), [first, last], strict=True):
        x, y = (W if W.shape[-1] == 8 else W.mT for W in (one, other))
        for a, b in ((x, y), (x - x.mean(-1, keepdim=True), y - y.mean(-1, keepdim=True))):
            assert (a.mT @ a - b.mT @ b).norm() < 1e-6 * (b.mT @ b).norm()  # lengths and angles of columns


def test_each_krylov_level_comes_closer():
    full = net((3, 3), 120, seeds=(1,))
    exact = pathways.train(full, M, epochs=300).maps
    errors = [
        (pathways.train([pathways.reduce(p, k) for p in full], M, epochs=300).maps - exact).abs().max()
        for k in range(4)
    ]
    assert all(later < earlier / 5 for earlier, later in pairwise(errors))


def test_one_unit_one_layer_and_one_pathway_are_enough_and_fewer_are_refused():
    stream = torch.Generator().manual_seed(3)
    torch.rand(15, 8, generator=stream)
    expected = torch.randn(15, 8, generator=stream) * 0.1**0.5
    torch.testing.assert_close(pathways.initialise((1,), 1, [3])[0][0][0], expected)
    assert [W.shape[1:] for W in pathways.initialise((2,), 1, [3])[0]] == [(1, 8), (15, 1)]
    for depths, width, says in (((2, 0), 1, "depth is 0"), ((2,), 0, "width is 0"), ((), 1, "number of pathways is 0")):
        with pytest.raises(ValueError, match=f"{says}, but must be a whole number and at least 1"):
            pathways.initialise(depths, width, [3])


def test_the_authors_stream():
    """Weights drawn after default ones, network by network, as torch.nn.Linear and randn give them from one seed."""
    torch.manual_seed(576)
    for depth in (2, 3):
        for pathway in range(2):
            widths = [8, *[40] * (depth - 1), 15]
            layers = []
            for into, out in pairwise(widths):
                torch.nn.Linear(into, out, bias=False)
                layers.append(torch.randn(out, into) * np.sqrt(0.1 / 40))
            if depth == 3:
                ours = pathways.initialise((3, 3), 40, [576], earlier=[2])[pathway]
                for one, other in zip(ours, layers, strict=True):
                    torch.testing.assert_close(one[0], other, rtol=1e-6, atol=0)


@pytest.mark.parametrize("depth", [2, 3, 4, 8, 13])
def test_mode_equations_agree_with_each_other(depth):
    p = np.array([[0.3, -0.7, 1.9], [0.01, 2.0, -0.2]])
    K = pathways.product(p, depth)
    np.testing.assert_allclose(pathways.first_layer(K, depth), p, rtol=1e-9)
    rise = (pathways.product(p + 1e-6, depth) - pathways.product(p - 1e-6, depth)) / 2e-6
    np.testing.assert_allclose(pathways.flow_of_product(K, 5.0, depth), rise * pathways.flow(p, 5.0, depth), rtol=1e-5)
    slope = (pathways.orbit_constant(p + 1e-6, depth) - pathways.orbit_constant(p - 1e-6, depth)) / 2e-6
    np.testing.assert_allclose(slope, (1 + p**2) ** (-(depth - 1) / 2), rtol=1e-5)


def test_the_chain_is_every_mode_by_itself_between_orthogonal_hidden_matrices():
    """Two hidden units and one input and output a mode: together as alone, and the pathway that is ahead wins."""
    s = pathways.modes()[1]
    K0 = 0.01 * torch.rand(3, 2, 8, generator=torch.Generator().manual_seed(0)).double()
    both = pathways.chain(K0, 4)
    maps = torch.stack([reduce(lambda so_far, W: W @ so_far, p) for p in both], 1)
    torch.testing.assert_close(maps, torch.diag_embed(K0))
    torch.testing.assert_close(both[0][1].mT @ both[0][1], 0.1 * torch.eye(16).double().expand(3, -1, -1))
    course = pathways.alone(K0, 4, 800)
    assert (course[-1].sum(1) - s).abs().max() < 1e-3
    assert torch.equal(course[-1].argmax(1), K0.argmax(1))
    one = pathways.train(pathways.chain(K0[:1, :, 2:3], 4), s[None, None, 2:3], epochs=800).maps[:, 0, :, 0, 0]
    torch.testing.assert_close(course[:, 0, :, 2], one)


def test_the_published_equation_counts_one_layer_of_all_and_its_orbits_are_those_of_the_flow():
    K0, depth, c = np.array([[0.0004], [0.0001]]), 3, 0.1
    fine, rough = (pathways.published(np.repeat(K0, 8, 1), depth, round(4 / lr), lr=lr) for lr in (0.001, 0.01))
    half, later = ((K.sum(1) > pathways.modes()[1].numpy() / 2).argmax(0) for K in (fine, rough))
    assert half.min() > 100 and np.abs(half / 10 - later).max() < 3
    p = pathways.first_layer(fine[:, :, 0] / c**1.5, depth)
    assert np.abs(np.diff(np.arctan(p), axis=1) - np.diff(np.arctan(p[0]))).max() < 1e-3
    first = (fine[1] - fine[0])[:, 0] / 0.002  # all but one of its layers at the square root of c
    np.testing.assert_allclose(first, c ** (depth - 1) * (15**0.5 - K0.sum()), rtol=0.02)


def test_depth_two_without_coupling_is_training_of_one_mode():
    """Weights that reach nothing but one mode: then nothing is left out."""
    U, s, V = pathways.modes()
    x, y = torch.randn(2, 2, 20, generator=torch.Generator().manual_seed(1)).double() * 0.07
    net = [[torch.outer(a, V[:, 1])[None], torch.outer(U[:, 1], b)[None]] for a, b in zip(x, y, strict=True)]
    trained = pathways.in_modes(pathways.train(net, s[1] * torch.outer(U[:, 1], V[:, 1]), lr=1e-3, epochs=2000).maps)
    model, share = pathways.two_layers(net, 2001, lr=1e-3)
    torch.testing.assert_close(model[:, 0, :, 1], trained[:, 0, :, 1, 1], rtol=0, atol=5e-3)
    assert (model[-1, 0, :, 1].sum() - s[1]).abs() < 1e-3
    torch.testing.assert_close(share[0, :, 1], trained[-1, 0, :, 1, 1] / s[1], rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: net((0, 2)), "depth is 0, but must be a whole number and at least 1"),
        (lambda: net((2, 2), width=0), "width is 0"),
        (lambda: net((2, 2), seeds=()), "number of seeds is 0"),
        (lambda: net((2, 2), scale=-1.0), "scale is -1.0"),
        (lambda: pathways.train([[]], M, epochs=1), "depth of pathway 0 is 0, but must be finite and at least 1"),
        (lambda: pathways.train([], M, epochs=1), "number of pathways is 0"),
        (
            lambda: pathways.train([net((2,))[0], net((2,))[0][:1]], M, epochs=1),
            "width of the output of pathway 1 is 30, but must be finite and exactly 15",
        ),
        (
            lambda: pathways.train(net((2,)), M, epochs=1, phi="sine"),
            "unknown nonlinearity 'sine': choose one of tanh, linear",
        ),
        (lambda: pathways.train(net((2,)), M, epochs=0), "number of epochs is 0"),
        (lambda: pathways.train(net((2,)), M, epochs=1, lr=-0.1), "learning rate is -0.1"),
        (lambda: pathways.reduce(net((2,))[0], -1), "level is -1"),
    ],
)
def test_bad_input_is_named(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_a_step_that_diverges_is_named_and_the_others_go_on():
    both = [[torch.cat([W[:1], 30 * W[1:]]) for W in p] for p in net((2, 2))]
    with pytest.warns(UserWarning, match=r"^diverged: network 1 at epoch \d+$"):
        done = pathways.train(both, M, lr=0.03, epochs=400)
    assert float(done.loss[-1, 0]) < 1e-6


@pytest.mark.parametrize("depth", [3, 4])
def test_the_model_of_one_mode_is_exact_where_nothing_that_it_leaves_out_is_there(depth):
    unit = experiment("pathways-idealised").units("smoke")[0] | {"depth": depth, "width": 60, "epochs": 200}
    error = runs.modelled(unit, "cpu").error.squeeze()
    assert error.sel(start="as the model").max() < 1e-9
    for start in unit["starts"][1:]:
        assert error.sel(start=start).max() > 1e-3, start


def test_an_idealised_start_differs_from_the_model_in_one_thing():
    drawn = pathways.initialise((3,), 60, [5], orthogonal=True, dtype=torch.float64)[0]
    for start in ("as the model", "modes mixed", "norms as drawn"):
        made = runs.idealised(drawn, 0.1, start)
        K = pathways.in_modes((made[2] @ made[1] @ made[0])[0])
        mixed, norms = (K - K.diag().diag()).abs().max(), (made[0][0] @ pathways.modes()[2]).norm(dim=0)
        assert (mixed > 1e-4) == (start == "modes mixed")
        assert ((norms - 0.1**0.5).abs().max() > 1e-3) == (start == "norms as drawn")
        assert torch.equal(made[1], drawn[1])


def test_half_times_are_the_first_records_at_which_both_pathways_together_hold_half():
    s, shares = pathways.modes()[1], torch.tensor([[0.0, 0.3, 0.6, 0.4], [0.0, 0.1, 0.0, 0.2]])  # pathway, record
    K = shares.double().T[:, :, None, None] * torch.diag(s)
    K[..., 2, 2] = 0
    found = runs.halves(K, every=10)
    assert found.isnan().tolist() == [mode == 2 for mode in range(8)]
    assert found[~found.isnan()].unique().tolist() == [20.0]
    assert runs.halves(K[1:], every=10)[0] == 10.0
