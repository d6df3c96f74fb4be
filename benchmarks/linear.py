"""One epoch of the linear network's training: exact low-rank gradient against back-propagation through time."""

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from interplay import linear
from interplay.experiments.linear import draw, ensemble, rate, step_trial, train


def clock(work: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def linear_flow_vs_bptt(N: int = 1024, T: int = 100, g: float = 0.6, target: float = 2.0, repeats: int = 5) -> dict:
    """Seconds an epoch of both, measured in turn, medians of `repeats`.

    Exact: 200 epochs a repeat.  Reference: `rnn.train` as in the paper (T = 100, dt = 0.5, float32, SGD), 3 epochs a
    repeat less 1 epoch a repeat, so that what is done once is not counted.  `run_ratio_200_epochs` counts it, with the
    factorisation and reduction of I - W0, over the paper's 200 epochs.  `share_of_limit` is against this machine's rate of products of
    1024 x 1024 matrices in float64, same run; products of 12 x 12 matrices do not come near it.
    """
    W0, m, w = draw(g, N, 0)
    unit = {"unit": "bench", "N": N, "g": g, "samples": [0], "rate": rate(g, target)}
    weights, trial = ensemble(unit, torch.float32, torch.device("cpu")), step_trial(1, T, target)
    square = np.random.RandomState(0).standard_normal((1024, 1024))
    net, fast, slow, once, peak = linear.reduce(W0, m, w), [], [], [], []

    def back_propagate(epochs: int) -> float:
        return clock(lambda: train(unit | {"epochs": epochs}, weights, trial, [], dt=0.5, nonlinearity="linear"))

    back_propagate(1)
    for _ in range(repeats):
        fast.append(clock(lambda: linear.descend(net, target, unit["rate"], 200)) / 200)
        slow.append((back_propagate(3) - back_propagate(1)) / 2)
        once.append(clock(lambda: linear.reduce(W0, m, w)))
        peak.append(2e-9 * 1024**3 / clock(lambda: square @ square))
    seconds, reference, reduction = (statistics.median(x) for x in (fast, slow, once))
    flops = 14 * net.S.shape[-1] ** 3  # an inverse, a determinant, five products of k x k
    return {
        "name": "linear_flow_vs_bptt",
        "seconds": seconds,
        "reference_seconds": reference,
        "ratio": reference / seconds,
        "share_of_limit": 1e-9 * flops / seconds / statistics.median(peak),
        "threads": torch.get_num_threads(),
        "settings": {
            "N": N, "T": T, "g": g, "target": target, "k": net.S.shape[-1], "per": "epoch", "repeats": repeats,
            "reduction_seconds": reduction, "run_ratio_200_epochs": 200 * reference / (reduction + 200 * seconds),
        },
    }  # fmt: skip


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(linear_flow_vs_bptt())
