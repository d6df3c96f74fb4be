"""One epoch of training eight networks: the ensemble trainer against plain autograd loops that do the same work."""

import multiprocessing
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import torch
from torch import Tensor, nn

from interplay import experiments, rnn, tasks
from interplay.seeds import generator, seed

from . import REPEATS, in_turn, matrix_product, row
from .linear import clock

SETTINGS = {"N": 256, "batch": 32, "steps": 100, "networks": 8, "channels_in": 2, "channels_out": 2, "dt": 0.5}
LR = 1e-4
Trials = tuple[Tensor, Tensor, Tensor]


def problem() -> tuple[rnn.Weights, Trials]:
    """Random networks at g = 0.9, and random inputs, targets, mask: (time, network, trial, channel)."""
    of, draw = SETTINGS, torch.Generator().manual_seed(0)
    g, seeds = [0.9] * of["networks"], [seed("benchmark", n) for n in range(of["networks"])]
    weights = rnn.initialise(g, of["N"], of["channels_in"], of["channels_out"], seeds)
    grid = (of["steps"], of["networks"], of["batch"])
    inputs, targets = (torch.randn(*grid, of[f"channels_{way}"], generator=draw) for way in ("in", "out"))
    return weights, (inputs, targets, torch.ones_like(targets))


def ours(weights: rnn.Weights, trials: Trials, epochs: int) -> Callable[[], Tensor]:
    """Final losses of the ensemble trainer."""
    return lambda: rnn.train(
        weights, lambda epoch: trials, epochs=epochs, lr=LR, dt=SETTINGS["dt"], progress=False
    ).loss[-1]


def error(z: list[Tensor], targets: Tensor, mask: Tensor) -> Tensor:
    """Loss of one network: outputs of every step (trial, channel) against (time, trial, channel)."""
    return 0.5 * (mask * (targets - torch.stack(z)) ** 2).sum() / mask.sum()


def one_by_one(weights: rnn.Weights, trials: Trials, epochs: int) -> Callable[[], Tensor]:
    """The textbook loop: a network after the other, a Python loop over time, autograd, torch.optim.Adam."""

    def run() -> Tensor:
        last = []
        for n in range(len(weights.W)):
            W, M, v = (w[n].clone().requires_grad_() for w in weights)
            inputs, targets, mask = (x[:, n] for x in trials)
            adam = torch.optim.Adam([W, M, v], lr=LR)
            for _ in range(epochs):
                h, z = inputs.new_zeros(SETTINGS["batch"], SETTINGS["N"]), []
                for u in inputs:
                    h = h + SETTINGS["dt"] * (-h + torch.tanh(h) @ W.T + u @ M.T)
                    z.append(torch.tanh(h) @ v)
                loss = error(z, targets, mask)
                adam.zero_grad()
                loss.backward()
                adam.step()
            last.append(loss.detach())
        return torch.stack(last)

    return run


class Cell(nn.Module):
    """A recurrent cell as a reader of PyTorch's tutorials writes it."""

    def __init__(self, W: Tensor, M: Tensor, v: Tensor):
        super().__init__()
        self.recurrent, self.read_in, self.read_out = (
            nn.Linear(w.shape[1], w.shape[0], bias=False) for w in (W, M, v.T)
        )
        for layer, w in zip((self.recurrent, self.read_in, self.read_out), (W, M, v.T), strict=True):
            layer.weight.data.copy_(w)

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """Outputs of every step, each (trial, channel)."""
        h, z = inputs.new_zeros(inputs.shape[1], self.recurrent.in_features), []
        for u in inputs:
            h = (1 - SETTINGS["dt"]) * h + SETTINGS["dt"] * (self.recurrent(torch.tanh(h)) + self.read_in(u))
            z.append(self.read_out(torch.tanh(h)))
        return z


def modules(weights: rnn.Weights, trials: Trials, epochs: int) -> Callable[[], Tensor]:
    """The same with `torch.nn.Module`, a network after the other."""

    def run() -> Tensor:
        last = []
        for n in range(SETTINGS["networks"]):
            cell, (inputs, targets, mask) = Cell(*(w[n] for w in weights)), (x[:, n] for x in trials)
            adam = torch.optim.Adam(cell.parameters(), lr=LR)
            for _ in range(epochs):
                loss = error(cell(inputs), targets, mask)
                adam.zero_grad()
                loss.backward()
                adam.step()
            last.append(loss.detach())
        return torch.stack(last)

    return run


def batched(weights: rnn.Weights, trials: Trials, epochs: int) -> Callable[[], Tensor]:
    """All networks in the same batched products, as ours, but differentiated by autograd."""

    def run() -> Tensor:
        W, M, v = (w.clone().requires_grad_() for w in weights)
        inputs, targets, mask = trials
        adam = torch.optim.Adam([W, M, v], lr=LR)
        for _ in range(epochs):
            h, z = inputs.new_zeros(*inputs.shape[1:3], SETTINGS["N"]), []
            for u in inputs:
                h = h + SETTINGS["dt"] * (-h + torch.tanh(h) @ W.mT + u @ M.mT)
                z.append(torch.tanh(h) @ v)
            losses = rnn.loss(torch.stack(z), targets, mask)
            adam.zero_grad()
            losses.sum().backward()
            adam.step()
        return losses.detach()

    return run


def trial_by_trial(weights: rnn.Weights, trials: Trials, epochs: int) -> Callable[[], Tensor]:
    """One trial after the other, a state being a vector; gradients add up, one Adam step an epoch."""

    def run() -> Tensor:
        last = []
        for n in range(len(weights.W)):
            W, M, v = (w[n].clone().requires_grad_() for w in weights)
            inputs, targets, mask = (x[:, n] for x in trials)
            adam = torch.optim.Adam([W, M, v], lr=LR)
            for _ in range(epochs):
                adam.zero_grad()
                whole = 0.0
                for trial in range(SETTINGS["batch"]):
                    h, z = inputs.new_zeros(SETTINGS["N"]), []
                    for u in inputs[:, trial]:
                        h = h + SETTINGS["dt"] * (-h + W @ torch.tanh(h) + M @ u)
                        z.append(v.T @ torch.tanh(h))
                    loss = error(z, targets[:, trial], mask[:, trial]) / SETTINGS["batch"]
                    loss.backward()
                    whole += loss.detach()
                adam.step()
            last.append(whole)
        return torch.stack(last)

    return run


def compare(plain: Callable, epochs: int = 3, threads: int = 2) -> dict:
    """Ours against `plain`, seconds an epoch (mean over `epochs`); the limit is the rate of a large matrix product."""
    of, before, (product, of_product) = SETTINGS, torch.get_num_threads(), matrix_product()
    work = 2.0 * 3 * of["networks"] * of["batch"] * of["N"] ** 2 * of["steps"]  # forward, state and weight gradient
    torch.set_num_threads(threads)
    fast, slow = (side(*problem(), epochs) for side in (ours, plain))
    torch.testing.assert_close(fast(), slow(), rtol=1e-3, atol=0)  # the same work
    seconds, reference, limit = in_turn(fast, slow, product)
    seconds, reference, limit = seconds / epochs, reference / epochs, of_product / limit
    found = {"reference": plain.__doc__, "GFLOP/s": work / seconds / 1e9, "matrix product GFLOP/s": limit / 1e9}
    found |= {"reference share of limit": work / reference / limit}
    kept = row(seconds, reference, work / seconds / limit, of | found)
    torch.set_num_threads(before)
    return kept


def groups(name: str) -> list[dict]:
    """Units of a task's sweep over g, for one sample."""
    units = experiments.experiment("sweep").units("paper")
    return [one for one in units if (one["task"], one["sample"]) == (name, 0)]


def unit(name: str) -> tuple[dict, rnn.Weights, Trials]:
    """Settings of a unit of the sweep, two networks of a task; their weights, and 32 trials."""
    settings = groups(name)[1]
    draws, task = [generator("benchmark", name, g) for g in settings["g"]], tasks.get(name)()
    weights = experiments.training.initial(settings, torch.device("cpu"))
    return settings, weights, tuple(task.trials(SETTINGS["batch"], draws))


def seconds_a_run(side: Callable, name: str, epochs: int) -> float:
    """Seconds of one run of a unit, after one that does not count; for a worker process."""
    run = side(*unit(name)[1:], epochs)
    run()
    return clock(run)


def sweep_unit(epochs: int = 40, workers: int = 2) -> dict:
    """Units of the sweep, one a task (two networks each, 32 trials of the task): seconds of one sample's whole grid.

    As the sweep is run on two cores: two worker processes of one thread, each with a unit.  The plain loop has both
    cores as PyTorch uses them, in one process of two threads; `ratio_workers` is against it in two workers, too.
    The seconds an epoch of each task are measured, and added up with the epochs and groups of the paper's grid.
    """
    before, (product, of_product) = torch.get_num_threads(), matrix_product()
    torch.set_num_threads(workers)
    total, limits, work = dict.fromkeys(("ours", "plain", "plain workers"), 0.0), [], 0.0
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn, torch.set_num_threads, (1,)) as pool:

        def both(*of):
            return statistics.mean(pool.map(seconds_a_run, *([x] * workers for x in of))) / workers

        for name in ("flip-flop", "mante", "romo"):
            settings, weights, trials = unit(name)
            fast, slow = (side(weights, trials, 4) for side in (ours, one_by_one))
            torch.testing.assert_close(fast(), slow(), rtol=1e-2, atol=0)  # the same work
            taken: dict[str, list[float]] = {key: [] for key in total}
            for _ in range(REPEATS):
                taken["ours"].append(both(ours, name, epochs) / epochs)
                taken["plain workers"].append(both(one_by_one, name, epochs // 4) / (epochs // 4))
                taken["plain"].append(clock(slow) / 4)
                limits.append(of_product / clock(product))
            times = settings["epochs"] * (len(groups(name)) + 1)  # with the group of Figure 1
            for key, measured in taken.items():
                total[key] += times * statistics.median(measured)
            work += 1e9 * experiments.training.work(settings) * (len(groups(name)) + 1)
    torch.set_num_threads(before)
    found = {"per": "30 networks, all g of three tasks, one sample", "reference": one_by_one.__doc__}
    found |= {"workers": workers, "ratio_workers": total["plain workers"] / total["ours"]}
    share = work / total["ours"] / statistics.median(limits)
    return row(total["ours"], total["plain"], share, {"N": 256, "batch": 32} | found) | {"threads": workers}


BENCHMARKS = {
    "sweep_unit_vs_plain": sweep_unit,
    "training_vs_plain": lambda: compare(one_by_one),
    "training_vs_plain_1_thread": lambda: compare(one_by_one, threads=1),
    "training_vs_plain_module": lambda: compare(modules),
    "training_vs_plain_batched": lambda: compare(batched),
    "training_vs_plain_trial_by_trial": lambda: compare(trial_by_trial, epochs=1),
}
