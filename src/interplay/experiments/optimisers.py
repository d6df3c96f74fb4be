"""Networks trained by several optimisers from the same starts: which marks does each leave on the change of W?"""

from collections.abc import Callable, Iterator
from dataclasses import asdict

import numpy as np
import torch
import xarray as xr

from .. import hessian_free, krause, lowrank, rnn, tasks
from ..seeds import generator
from . import Experiment, dataset, scaled, table, training

MARKS = ("norm", "participation_change", "participation", "first_value", "kurtosis", "cosine", "input", "readout")


def grid(scale: str) -> list[dict]:
    """Settings of every unit: a network of one task, from one start, by one recipe."""
    own, units = table("optimisers"), []
    for unit in scaled(own["optimisers"], scale):
        made = tasks.get(unit["task"])(**unit.get("task_fields", {}))
        units.append(own["recipes"][unit["recipe"]] | unit | {"task_fields": asdict(made)})
    return [unit | {"updates": min(unit["updates"], unit.get("most", unit["updates"]))} for unit in units]


def start(unit: dict) -> tuple[rnn.Weights, rnn.Weights | None]:
    """A network before training, and as its authors trained it where they published it."""
    if unit["start"] == "authors":
        held = krause.authors(unit["task"], unit["sample"])
        stages = ([torch.as_tensor(held[name + of].values)[None].float() for name in "WMv"] for of in ("0", ""))
        return tuple(rnn.Weights(*stage) for stage in stages)
    return training.initial(unit | {"g": [unit["g"]]}, torch.device("cpu")), None


def by_iterations(unit: dict, weights: rnn.Weights, draw: Callable) -> Iterator[tuple[rnn.Weights, float]]:
    """Weights after every iteration of Hessian-free training, and the loss before it."""
    state = hessian_free.begin(weights)
    while True:
        (trials, noise), dt = draw(), unit["task_fields"]["dt"]
        state = hessian_free.iterate(state, trials, dt=dt, structural=unit["structural"], noise=noise)
        yield state.weights, state.loss


def by_gradients(unit: dict, weights: rnn.Weights, draw: Callable) -> Iterator[tuple[rnn.Weights, float]]:
    """Weights after every step of Adam, or of gradient descent with momentum, and the loss before it."""
    leaves = [w.clone().requires_grad_() for w in weights]
    step = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[unit["optimiser"]](leaves, unit["lr"], **unit["how"])
    while True:
        trials, noise = draw()
        z = rnn.outputs(rnn.Weights(*leaves), trials.inputs, dt=unit["task_fields"]["dt"], noise=noise)
        loss = rnn.loss(z, trials.targets, trials.mask)[0]
        step.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(leaves, unit["clip"])
        step.step()
        yield rnn.Weights(*(w.detach() for w in leaves)), float(loss.detach())


def marks(before: rnn.Weights, after: rnn.Weights, published: rnn.Weights | None) -> list[float]:
    """As `MARKS`: norm of the change; participation ratios of the change and of W; largest singular value;
    kurtosis of the change's entries; its cosine with the published change; relative change of input and readout."""
    W, change = after.W[0], (after.W - before.W)[0]
    theirs = change * np.nan if published is None else (published.W - before.W)[0]
    of_change, of_W = (lowrank.singular_values(matrix) for matrix in (change, W))
    shared, spread = (lowrank.participation(values**2) for values in (of_change, of_W))
    kurtosis = (change - change.mean()).pow(4).mean() / change.var(correction=0) ** 2
    cosine = (change * theirs).sum() / change.norm() / theirs.norm()
    ends = ((new - old).norm() / old.norm() for old, new in zip(before[1:], after[1:], strict=True))
    return [float(x) for x in (change.norm(), shared, spread, of_W[0], kurtosis, cosine, *ends)]


def compute(unit: dict, device: torch.device) -> xr.Dataset:
    """One network trained; its marks on the way and when its change is as large as the published one; its end."""
    task = tasks.get(unit["task"])(**unit["task_fields"])
    before, published = start(unit)
    labels = {name: unit[name] for name in ("task", "start", "g", "sample")}
    drawing = [generator("optimisers", *labels.values())]

    def draw(number=unit["trials"]):
        trials, size = task.trials(number, drawing), (task.n_steps, 1, number, unit["N"])
        return trials, unit["noise"] * torch.randn(size, generator=drawing[0]) if unit["noise"] else None

    course = (by_iterations if unit["optimiser"] == "hessian-free" else by_gradients)(unit, before, draw)
    wanted = marks(before, published, published) if published else [np.nan] * len(MARKS)
    losses, met, at, way = [], [np.nan] * len(MARKS), [0], [marks(before, before, published)]
    for update in range(1, unit["updates"] + 1):
        after, loss = next(course)
        losses.append(loss)
        if update % unit["every"] == 0 or update == unit["updates"]:
            at.append(update)
            way.append(marks(before, after, published))
            met = way[-1] if np.isnan(met[0]) and way[-1][0] >= wanted[0] else met
    trials, noise = draw(unit["test"])

    def evaluate(W):
        z = rnn.outputs(after._replace(W=W), *trials[:1], dt=task.dt, noise=noise)
        return rnn.loss(z, trials.targets, trials.mask)

    change, ranks = (after.W - before.W)[0], range(min(unit["ranks"], unit["N"] + 1))
    found = {
        "loss": (("update",), losses),
        "loss_test": ((), float(evaluate(after.W)[0])),
        "loss_at_rank": (("rank",), lowrank.loss_against_rank(before.W[0], change, ranks, evaluate)),
        "values_change": (("mode",), lowrank.singular_values(change)),
        "marks": (("record", "mark"), way),
        "record_update": (("record",), at),
        "marks_at_published_norm": (("mark",), met),
        "marks_published": (("mark",), wanted),
    }
    if published:
        parts = zip(("W", "M", "v"), after, ("unit_in", "channel_in", "channel_out"), strict=True)
        found |= {name: (("unit", other), part[0]) for name, part, other in parts}
    return dataset(found, labels | {"recipe": unit["recipe"]}, mark=list(MARKS))


EXPERIMENTS = {"optimisers": Experiment(grid, "{task}_{start}_{recipe}_g{g}_s{sample}", compute)}
