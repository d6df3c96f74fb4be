"""Local row dimensions: the one-parameter curve against a numerical optimiser with several starts."""

import statistics
from collections.abc import Callable

import numpy as np
import scipy.optimize
import torch

from interplay import operative

from . import REPEATS, row
from .linear import clock

STARTS = 4


def search(objective: Callable[[np.ndarray], float], N: int, starts: int, seed: int) -> tuple[np.ndarray, float]:
    """Unit vector (N,) and maximum of an objective on the sphere, by BFGS from several random starts."""
    rng, best = np.random.RandomState(seed), (np.zeros(N), -np.inf)
    for _ in range(starts):
        done = scipy.optimize.minimize(lambda b: -objective(b / np.linalg.norm(b)), rng.standard_normal(N), tol=1e-10)
        if -done.fun > best[1]:
            best = done.x / np.linalg.norm(done.x), -done.fun
    return best


def effect(W: torch.Tensor, state: torch.Tensor) -> Callable[[np.ndarray], float]:
    """|W b| |b.r| as a function of b."""
    matrix, r = W.double().numpy(), torch.tanh(state.double()).numpy()
    return lambda b: np.linalg.norm(matrix @ b) * abs(b @ r)


def rows_vs_optimiser() -> dict:
    """Seconds a local dimension, the first of each of 20 states; `least_ratio` of the two maxima is 1 or more."""
    draw = torch.Generator().manual_seed(0)
    N, K = 100, 20
    W, states = torch.randn(N, N, generator=draw) / N**0.5, torch.randn(K, N, generator=draw)
    fast, slow, found = [], [], []
    for _ in range(REPEATS):
        fast.append(clock(lambda: operative.local_rows(W, states, 1)) / K)
        slow.append(clock(lambda: found.append([search(effect(W, x), N, STARTS, 0)[1] for x in states[:4]])) / 4)
    ours = operative.local_rows(W, states[:4], 1)[1][:, 0].numpy()
    settings = {"N": N, "states": K, "starts": STARTS, "least_ratio": float((ours / np.max(found, 0)).min())}
    return row(statistics.median(fast), statistics.median(slow), None, settings | {"per": "local dimension"})


BENCHMARKS = {"operative_rows_vs_optimiser": rows_vs_optimiser}
