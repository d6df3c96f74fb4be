"""Claims on the theory of parallel pathways (Shi et al. 2022): orbits, laws, exact reductions; computed on the spot."""

from functools import cache

import numpy as np
import torch
from scipy.special import gamma

from .. import pathways
from . import Claim

ORDER = 3.5
INF = float("inf")
PAGE = "multiple-pathways.html#fig-"


@cache
def clock(seed: int) -> tuple[float, float]:
    """Depth 2: largest error of the predicted share and half time, against the trained network of width 1000."""
    U, s, V = pathways.modes()
    start = pathways.initialise((2, 2), 1000, [seed], dtype=torch.float64)
    x, y = (torch.stack(v) for v in zip(*((p[0][0] @ V, p[1][0].T @ U) for p in start), strict=True))
    grow, decay, tau, total = (x + y).square().sum(1), (x - y).square().sum(1), torch.zeros(8).double(), []
    for _ in range(300):
        both = (grow * torch.exp(2 * tau) - decay * torch.exp(-2 * tau)) / 4
        total.append(both.sum(0))
        tau = tau + 0.02 * (s - both.sum(0))
    small = [pathways.reduce(p) for p in start]
    K = pathways.in_modes(pathways.train(small, pathways.target(), epochs=400).maps[:, 0]).diagonal(dim1=-2, dim2=-1)
    share, half = K[-1, 0] / K[-1].sum(0), (K.sum(1) >= s / 2).int().argmax(0)
    later = (torch.stack(total) >= s / 2).int().argmax(0)
    return float((grow[0] / grow.sum(0) - share).abs().max()), float((later - half).abs().max())


@cache
def orbit_ends(depth: int, spread: float) -> np.ndarray:
    """K (pathway, start) at the end of the published orbits: 100 starts, 10000 Euler steps of 0.001."""
    draws = np.random.default_rng(49827345)
    p = {0.1: draws.normal(0, 0.1, (100, 2)).T, 0.01: draws.normal(0, 0.01, (100, 2)).T}[spread]
    for _ in range(10000):
        p = p + 1e-3 * pathways.flow(p, 10.0, depth)
    return pathways.product(p, depth)


def median(depth: int, spread: float) -> list[float]:
    """Median share of the winner."""
    K = orbit_ends(depth, spread)
    return [float(np.median(K.max(0) / K.sum(0)))]


def share_law() -> list[float]:
    """Depth 2: largest error of the closed form of the share against the published orbits."""
    K, theta = orbit_ends(2, 0.1), np.arcsinh(np.random.default_rng(49827345).normal(0, 0.1, (100, 2)).T)
    delta = theta[0] - theta[1]
    law = (1 + np.tanh(delta) * np.sqrt(1 + np.cosh(delta) ** 2 / K.sum(0) ** 2)) / 2
    return [float(np.abs(K[0] / K.sum(0) - law).max())]


def invariant() -> list[float]:
    """Depth 3: largest drift of atan p_a - atan p_b over the published orbits."""
    p = np.random.default_rng(49827345).normal(0, 0.1, (100, 2)).T
    end = pathways.first_layer(orbit_ends(3, 0.1), 3)
    return [float(np.abs(np.diff(np.arctan(end), axis=0) - np.diff(np.arctan(p), axis=0)).max())]


def published_field() -> list[float]:
    """Largest relative difference of the published dK/dt from the chain rule, depths 2, 3, 4, 7."""
    p, found = np.array([[0.1, 0.7, 2.0], [0.4, 0.2, 1.1]]), []
    for D in (2, 3, 4, 7):
        K = pathways.product(p, D)
        law = ((K / p) ** 2 + (D - 1) * p * (K / p) ** ((D - 3) / (D - 1)) * K) * (30 - K.sum(0))
        found.append(float(np.abs(pathways.flow_of_product(K, 30, D) / law - 1).max()))
    return found


def limits() -> list[float]:
    """Relative difference of G_D at a large p from its limit by the Gamma function, D = 4, 5, 7, 8."""
    closed = {D: np.sqrt(np.pi) * gamma((D - 2) / 2) / (2 * gamma((D - 1) / 2)) for D in (4, 5, 7, 8)}
    return [float(abs(pathways.orbit_constant(1e4, D) / end - 1)) for D, end in closed.items()]


@cache
def reduction(depth: int, orthogonal: bool, level: int, width: int = 200) -> float:
    """Largest difference of the maps of a reduced from those of the full network, 300 epochs, float64."""
    net = pathways.initialise((depth,) * 2, width, [1], orthogonal=orthogonal, dtype=torch.float64)
    small = [pathways.reduce(pathway, level) for pathway in net]
    full, cut = (pathways.train(each, pathways.target(), epochs=300).maps for each in (net, small))
    return float((full - cut).abs().max())


def stepped(lr: float) -> list[float]:
    """Share of pathway a in mode 1, depth 7, seed 345345, trained with a step, by the reduction of level 2."""
    net = pathways.initialise((7, 7), 1000, [345345])
    done = pathways.train(
        [pathways.reduce(p, 2) for p in net], pathways.target(), lr=lr, epochs=4000, until=1e-6, every=4000
    )
    K = pathways.in_modes(done.maps[-1, 0])[:, 0, 0]
    return [float(K[0] / K.sum())]


MEDIANS = {(2, 0.1): 0.546, (3, 0.1): 0.615, (8, 0.1): 0.859, (13, 0.1): 0.923, (13, 0.01): 0.622}
CLAIMS = [
    Claim("P1", "Fig. 1", "singular values of the target: √15, √7, √3 twice, 1 four times (largest difference)", "below 1e-12", 0, 1e-12,
          lambda: [float((torch.linalg.svdvals(pathways.target()) - pathways.modes()[1]).abs().max())], PAGE + "tree"),
    Claim("P3", "Fig. 3", "the published dK/dt follows from dp/dt, D = 2, 3, 4, 7 (relative difference)", "below 1e-9", 0, 1e-9, published_field, PAGE + "phase-planes"),
    Claim("P4", "theory", "G_D is bounded from D = 3 on, by the Gamma formula (relative difference at p = 1e4)", "below 1e-6", 0, 1e-6, limits, PAGE + "phase-planes"),
    Claim("P5 D=2", "theory", "depth 2: closed form of the share against the orbits of Figure 3", "below 1e-3", 0, 1e-3, share_law, PAGE + "phase-planes"),
    Claim("P5 D=3", "theory", "depth 3: drift of atan p_a - atan p_b over the orbits of Figure 3", "below 5e-3", 0, 5e-3, invariant, PAGE + "phase-planes"),
    *(
        Claim(f"P14 D={d}", "beyond the paper", f"depth {d}{', orthogonal hidden layers' if d > 2 else ''}: width 200 and width 23 train alike (difference of the maps)",
              "below 1e-12", 0, 1e-12, lambda d=d: [reduction(d, d > 2, 0)], PAGE + "krylov")
        for d in (2, 3, 4)
    ),
    Claim("P15", "beyond the paper", "depth 3, Gaussian: each Krylov level divides the error by more than 10 (least factor, levels 0 to 2)", "above 10", 10, INF,
          lambda: [min(reduction(3, False, k) / reduction(3, False, k + 1) for k in (0, 1))], PAGE + "krylov"),
    *(
        Claim(f"P20 step {lr}", "beyond the paper", f"depth 7, seed 345345, step {lr}: share of pathway a in mode 1", said, low, high, lambda lr=lr: stepped(lr), PAGE + "krylov")
        for lr, said, low, high in ((0.013, "above 0.95: winner takes all", 0.95, 1), (0.02, "0.3 to 0.7: shared again", 0.3, 0.7))
    ),
    *(
        Claim(f"P6 D={d} sd={sd}", "Fig. 3", f"phase plane, depth {d}, starts of spread {sd}: median share of the winner",
              f"{m} ± 0.005", m - 0.005, m + 0.005, lambda d=d, sd=sd: median(d, sd), PAGE + "phase-planes")
        for (d, sd), m in MEDIANS.items()
    ),
    *(
        Claim(f"P7 {what}", "theory", f"depth 2: exact solution against training, largest error of {what}", f"below {high}", 0, high,
              lambda i=i: [clock(seed)[i] for seed in (576, *range(100, 109))], PAGE + "theory")
        for i, what, high in ((0, "shares", 0.003), (1, "half times (epochs)", 2))
    ),
]  # fmt: skip
