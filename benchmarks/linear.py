"""One epoch of the linear network's training: exact low-rank gradient against back-propagation through time."""

import statistics
import time
from collections.abc import Callable

import torch

from interplay import linear
from interplay.experiments.linear import draw, ensemble, rate, step_trial, train

from . import REPEATS, row

SETTINGS = {"N": 1024, "T": 100, "dt": 0.5, "g": 0.6, "target": 2.0, "epochs": 200}


def clock(work: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def flow_vs_bptt() -> dict:
    """Seconds an epoch of both, measured in turn, medians.

    Exact: 200 epochs a repeat.  Reference: `rnn.train` as in the paper (T = 100, dt = 0.5, float32, SGD), 3 epochs a
    repeat less 1 epoch a repeat, so that what is done once is not counted.  `run_ratio` counts it, with the
    factorisation and reduction of I - W0, over the paper's 200 epochs.  No share of a limit: products of 12 x 12
    matrices come nowhere near one.
    """
    N, T, g, target, epochs = (SETTINGS[name] for name in ("N", "T", "g", "target", "epochs"))
    W0, m, w = draw(g, N, 0)
    unit = {"unit": "bench", "N": N, "g": g, "samples": [0], "rate": rate(g, target), "optimiser": "sgd"}
    unit |= {"dt": SETTINGS["dt"], "nonlinearity": "linear"}
    weights, trial = ensemble(unit, torch.float32, torch.device("cpu")), step_trial(1, T, target)

    def back_propagate(epochs: int) -> float:
        given = unit | {"epochs": epochs}
        return clock(lambda: train(given, weights, trial, []))

    net, fast, slow, once = linear.reduce(W0, m, w), [], [], []
    back_propagate(1)
    for _ in range(REPEATS):
        fast.append(clock(lambda: linear.descend(net, target, unit["rate"], epochs)) / epochs)
        slow.append((back_propagate(3) - back_propagate(1)) / 2)
        once.append(clock(lambda: linear.reduce(W0, m, w)))
    seconds, reference, reduction = (statistics.median(times) for times in (fast, slow, once))
    whole = epochs * reference / (reduction + epochs * seconds)
    found = {"directions": net.S.shape[-1], "per": "epoch", "reduction_seconds": reduction, "run_ratio": whole}
    return row(seconds, reference, None, SETTINGS | found)


BENCHMARKS = {"linear_flow_vs_bptt": flow_vs_bptt}
