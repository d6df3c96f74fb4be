"""Measures of Shi et al. (2022): linear and rectified networks with two pathways, kept or computed on the spot."""

from functools import cache
from itertools import pairwise

import numpy as np
import torch
import xarray as xr
from scipy.special import gamma

from .. import pathways
from ..experiments import kept

SEEDS = {"linear": 576, "relu": 63535}
ONE = torch.float64


def _of(variable: str, depth: int, phi: str = "linear") -> xr.DataArray:
    return kept("pathways-figures", variable, phi=phi, depth=depth, seed=SEEDS[phi])


def half_time_error(depth: int, published: list[int]) -> float:
    """Largest difference of the modes' half times, in epochs, from published ones."""
    return np.abs(_of("half_time", depth).values[: len(published)] - published).max()


def modes_out_of_order(depth: int) -> list[float]:
    """How many pairs of modes, of all, are learned against the order of their singular values; one a seed."""
    half, s = kept("pathways-seeds", "half_time", depth=depth).values, pathways.modes()[1].numpy()
    larger = s[:, None] > s + 1e-9
    return [float((one[:, None] > one)[larger].mean()) for one in half]


def energy_of_modes(depth: int, number: int) -> xr.DataArray:
    """Share of the first singular values in the squared norm of the change, one a layer and pathway."""
    square = _of("values_change", depth).sel(layer=slice(1, depth)) ** 2
    return square.sel(leading=slice(1, number)).sum("leading") / square.sum("leading")


def invariant_drift(depth: list[int]) -> np.ndarray:
    """Drift of W^T W - W W^T of neighbouring layers over the change of W W^T, one a pair of layers and pathway."""
    return np.concatenate(
        [(_of("drift", d) / _of("moved", d)).sel(joint=slice(1, d - 1)).values.ravel() for d in depth]
    )


def share(experiment: str, modes: list[int], of: str, **labels) -> np.ndarray:
    """Share of the first pathway in the modes, one a seed.

    of: "winner" (the larger share, of one mode), "distance" (the largest from a half), "least" or "greatest" of modes
    """
    K = kept(experiment, "K", **labels).transpose("seed", "pathway", "out", "in").values
    ends = np.einsum("spii->psi", K)[..., [mode - 1 for mode in modes]]
    first = ends[0] / ends.sum(0)
    if of == "winner":
        return (ends.max(0) / ends.sum(0))[:, 0]
    return {"distance": np.abs(first - 0.5).max(1), "least": first.min(1), "greatest": first.max(1)}[of]


def lateness_of_equation(depth: int, epochs: int) -> float:
    """Half time of mode 1 by the published equation over that of the trained network."""
    unit, s1 = 0.1 ** (depth / 2), float(pathways.modes()[1][0])
    K0 = _of("K", depth).isel(record=0).sel({"in": 1, "out": 1}).values.astype(float)
    p = pathways.first_layer(K0 / unit, depth)
    for epoch in range(epochs):
        K = unit * pathways.product(p, depth).sum()
        if s1 / 2 <= K:
            return epoch / float(_of("half_time", depth).sel(mode=1))
        p = p + 0.02 * 0.1 ** ((depth - 2) / 2) * (p**2 + 1) ** ((depth - 1) / 2) * (s1 - K)
    return np.nan


@cache
def _equation_error(depth: int) -> np.ndarray:
    s = pathways.modes()[1]
    K = _of("K", depth).dropna("record", how="all").transpose("record", "pathway", "out", "in").values
    K = np.einsum("rpii->rpi", K)
    epochs = _of("record_epoch", depth).dropna("record").values.astype(int)
    small = pathways.chain(torch.as_tensor(K[0].T.astype(float)), depth)
    model = pathways.train(small, s[:, None, None], epochs=int(epochs[-1])).maps[..., 0, 0].numpy().transpose(0, 2, 1)
    return (np.abs(model[np.minimum(epochs, len(model) - 1)] - K) / s.numpy()).max((0, 1))


def mode_equation_error(depth: int, modes: list[int]) -> np.ndarray:
    """Largest error of K/s on the way, the equations of one mode alone against the trained network, one a mode."""
    return _equation_error(depth)[np.array(modes) - 1]


def loss_beyond_dead_outputs(depth: int) -> float:
    """Rectified network: last loss less the number of ones that are off in both pathways."""
    outputs = _of("map", depth, "relu").transpose("pathway", "attribute", "item").values
    dead = ((pathways.target().numpy() == 1) & (outputs.max(0) <= 0)).sum()
    return float(_of("loss", depth, "relu").dropna("epoch")[-1]) - float(dead)


def target_value_error() -> float:
    """Largest difference of the target's singular values from the square roots of 15, 7, 3, 3, 1, 1, 1, 1."""
    return (torch.linalg.svdvals(pathways.target()) - pathways.modes()[1]).abs().max()


@cache
def _clocks() -> np.ndarray:
    """(seed, 2): largest error of the predicted shares and half times, ten networks of width 1000."""
    U, s, V = pathways.modes()
    seeds, found = (576, *range(100, 109)), []
    full = [pathways.initialise((2, 2), 1000, [seed], dtype=ONE) for seed in seeds]
    small = [
        [torch.cat(W) for W in zip(*path, strict=True)]
        for path in zip(*([pathways.reduce(p) for p in one] for one in full), strict=True)
    ]
    K = pathways.in_modes(pathways.train(small, pathways.target(), epochs=400).maps).diagonal(dim1=-2, dim2=-1)
    for start, course in zip(full, K.unbind(1), strict=True):
        x, y = (torch.stack(v) for v in zip(*((p[0][0] @ V, p[1][0].T @ U) for p in start), strict=True))
        grow, decay, tau, total = (x + y).square().sum(1), (x - y).square().sum(1), torch.zeros(8).double(), []
        for _ in range(300):
            total.append(((grow * torch.exp(2 * tau) - decay * torch.exp(-2 * tau)) / 4).sum(0))
            tau = tau + 0.02 * (s - total[-1])
        half, later = ((both >= s / 2).int().argmax(0) for both in (course.sum(1), torch.stack(total)))
        found.append(
            [(grow[0] / grow.sum(0) - course[-1, 0] / course[-1].sum(0)).abs().max(), (later - half).abs().max()]
        )
    return np.array(found, float)


def depth_two_error(of: str) -> np.ndarray:
    """Depth 2: largest error of the exact solution's "shares" or "half times" (epochs), ten trained networks."""
    return _clocks()[:, ["shares", "half times"].index(of)]


def _starts(spread: float) -> np.ndarray:
    draws = np.random.default_rng(49827345)  # the published code's
    return {0.1: draws.normal(0, 0.1, (100, 2)).T, 0.01: draws.normal(0, 0.01, (100, 2)).T}[spread]


@cache
def _orbits(depth: int, spread: float) -> np.ndarray:
    p = _starts(spread)
    for _ in range(10000):
        p = p + 1e-3 * pathways.flow(p, 10.0, depth)
    return pathways.product(p, depth)


def orbit(of: str, depth: int, spread: float) -> float:
    """The ends of the phase plane's published orbits: 100 starts, 10000 Euler steps of 0.001.

    of: "median share" of the winner; "share error", largest of the closed form of depth 2; "invariant drift", largest
    of atan p_a - atan p_b, constant at depth 3
    """
    K, p = _orbits(depth, spread), _starts(spread)
    if of == "median share":
        return np.median(K.max(0) / K.sum(0))
    if of == "invariant drift":
        return np.abs(np.diff(np.arctan(pathways.first_layer(K, 3)), axis=0) - np.diff(np.arctan(p), axis=0)).max()
    delta = np.subtract(*np.arcsinh(p))
    law = (1 + np.tanh(delta) * np.sqrt(1 + np.cosh(delta) ** 2 / K.sum(0) ** 2)) / 2
    return np.abs(K[0] / K.sum(0) - law).max()


def published_equation_error(depth: list[int]) -> list[float]:
    """Largest relative difference of the published dK/dt from the chain rule, one a depth."""
    p, found = np.array([[0.1, 0.7, 2.0], [0.4, 0.2, 1.1]]), []
    for D in depth:
        K = pathways.product(p, D)
        law = ((K / p) ** 2 + (D - 1) * p * (K / p) ** ((D - 3) / (D - 1)) * K) * (30 - K.sum(0))
        found.append(float(np.abs(pathways.flow_of_product(K, 30, D) / law - 1).max()))
    return found


def orbit_constant_error(depth: list[int]) -> list[float]:
    """Relative difference of G_D at p = 1e4 from its limit by the Gamma function, one a depth."""
    closed = {D: np.sqrt(np.pi) * gamma((D - 2) / 2) / (2 * gamma((D - 1) / 2)) for D in depth}
    return [float(abs(pathways.orbit_constant(1e4, D) / end - 1)) for D, end in closed.items()]


def reduction_error(depth: int, orthogonal: bool, level: int, width: int = 200) -> float:
    """Largest difference of the maps of a network reduced to Krylov spaces from the full one's, 300 epochs."""
    net = pathways.initialise((depth,) * 2, width, [1], orthogonal=orthogonal, dtype=ONE)
    small = [pathways.reduce(pathway, level) for pathway in net]
    full, cut = (pathways.train(each, pathways.target(), epochs=300).maps for each in (net, small))
    return float((full - cut).abs().max())


def gain_of_levels(depth: int, levels: int) -> float:
    """Least factor by which a Krylov level more divides the error, Gaussian layers."""
    errors = [reduction_error(depth, False, level) for level in range(levels)]
    return min(one / other for one, other in pairwise(errors))


@cache
def _deep(seed: int) -> list[pathways.Pathway]:
    return [pathways.reduce(p, 2) for p in pathways.initialise((7, 7), 1000, [seed])]


def share_after_steps(seed: int, lr: float) -> float:
    """Share of the first pathway in mode 1, depth 7, trained with a step, by the reduction of level 2."""
    done = pathways.train(_deep(seed), pathways.target(), lr=lr, epochs=4000, until=1e-6, every=4000)
    K = pathways.in_modes(done.maps[-1, 0])[:, 0, 0]
    return float(K[0] / K.sum())
