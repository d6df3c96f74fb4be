"""Networks trained by several optimisers from the same starts: which marks does each leave on the change of W?"""

from collections.abc import Callable, Iterator
from dataclasses import asdict

import numpy as np
import torch
import xarray as xr

from .. import hessian_free, krause, lowrank, rnn, tasks
from ..seeds import generator, seed
from . import Experiment, dataset, scaled, table

MARKS = ("norm", "participation_change", "participation", "first_value", "kurtosis", "cosine", "input", "readout")


def grid(scale: str) -> list[dict]:
    """Settings of every unit: a network of one task, from one start, by one recipe."""
    own, units = table("optimisers"), []
    for unit in scaled(own["optimisers"], scale):
        made = tasks.get(unit["task"])(**unit.get("task_fields", {}))
        units.append(unit | own["recipes"][unit["recipe"]] | {"task_fields": asdict(made)})
    return [unit | {"updates": min(unit["updates"], unit.get("most", unit["updates"]))} for unit in units]


def start(unit: dict) -> tuple[rnn.Weights, rnn.Weights | None]:
    """A network before training, and as its authors trained it where they published it."""
    if unit["start"] == "authors":
        held = krause.authors(unit["task"], unit["sample"])
        ends = [[torch.as_tensor(held[name + of].values)[None].float() for name in "WMv"] for of in ("0", "")]
        return rnn.Weights(*ends[0]), rnn.Weights(*ends[1])
    task = tasks.get(unit["task"])
    one = seed("weights", unit["task"], unit["N"], unit["g"], unit["sample"])
    return rnn.initialise(unit["g"], unit["N"], task().n_in, task().n_out, [one]), None


def by_iterations(unit: dict, weights: rnn.Weights, draw: Callable) -> Iterator[tuple[rnn.Weights, float]]:
    """Weights after every iteration of Hessian-free training, and the loss before it."""
    state = hessian_free.begin(weights)
    while True:
        trials, noise = draw()
        how = {"dt": unit["task_fields"]["dt"], "structural": unit["structural"]}
        state = hessian_free.iterate(state, trials, noise=noise, **how)
        yield state.weights, state.loss


def by_gradients(unit: dict, weights: rnn.Weights, draw: Callable) -> Iterator[tuple[rnn.Weights, float]]:
    """Weights after every step of Adam, or of gradient descent with momentum, and the loss before it."""
    leaves = [w.clone().requires_grad_() for w in weights]
    kind = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[unit["optimiser"]]
    step = kind(leaves, unit["lr"], **unit["how"])
    while True:
        trials, noise = draw()
        z = rnn.outputs(rnn.Weights(*leaves), trials.inputs, dt=unit["task_fields"]["dt"], noise=noise)
        loss = rnn.loss(z, trials.targets, trials.mask)[0]
        step.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(leaves, unit["clip"])
        step.step()
        yield rnn.Weights(*(w.detach().clone() for w in leaves)), float(loss.detach())


def participation(matrix: torch.Tensor) -> float:
    """Participation ratio of the squared singular values, (sum s^2)^2 / sum s^4."""
    squares = lowrank.singular_values(matrix) ** 2
    return float(squares.sum() ** 2 / (squares**2).sum())


def marks(before: rnn.Weights, after: rnn.Weights, published: rnn.Weights | None) -> list[float]:
    """As `MARKS`: norm of the change; participation ratios of the change and of W; largest singular value;
    kurtosis of the change's entries; its cosine with the published change; relative change of input and readout."""
    W, change = after.W[0], (after.W - before.W)[0]
    first, norm = float(lowrank.singular_values(W)[0]), float(change.norm())
    ends = [float((new - old).norm() / old.norm()) for old, new in zip(before[1:], after[1:], strict=True)]
    if not norm:
        return [norm, np.nan, participation(W), first, np.nan, np.nan, *ends]
    kurtosis = float((change - change.mean()).pow(4).mean() / change.var(correction=0) ** 2)
    theirs = change * np.nan if published is None else (published.W - before.W)[0]
    cosine = float(torch.cosine_similarity(change.ravel(), theirs.ravel(), 0))
    return [norm, participation(change), participation(W), first, kurtosis, cosine, *ends]


def compute(unit: dict, device: torch.device) -> xr.Dataset:
    """One network trained; its marks on the way and when its change is as large as the published one; its end."""
    task = tasks.get(unit["task"])(**unit["task_fields"])
    before, published = start(unit)
    labels = {name: unit[name] for name in ("start", "task", "recipe", "g", "sample")}
    drawing = [generator("optimisers", *(unit[name] for name in ("task", "start", "g", "sample")))]

    def draw(number=unit["trials"]):
        trials = task.trials(number, drawing)
        size = (task.n_steps, 1, number, unit["N"])
        return trials, unit["noise"] * torch.randn(size, generator=drawing[0]) if unit["noise"] else None

    course = (by_iterations if unit["optimiser"] == "hessian-free" else by_gradients)(unit, before, draw)
    wanted = marks(before, published, published) if published else [np.inf]
    after, losses, met, at, way = before, [], [np.nan] * len(MARKS), [0], [marks(before, before, published)]
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

    change = (after.W - before.W)[0]
    ranks = range(min(unit["ranks"], unit["N"] + 1))
    found = {
        "loss": (("update",), losses),
        "loss_test": ((), float(evaluate(after.W)[0])),
        "loss_at_rank": (("rank",), lowrank.loss_against_rank(before.W[0], change, ranks, evaluate)),
        "values_change": (("mode",), lowrank.singular_values(change)),
        "marks": (("record", "mark"), way),
        "record_update": (("record",), at),
        "marks_at_published_norm": (("mark",), met),
        "marks_published": (("mark",), wanted if published else [np.nan] * len(MARKS)),
    }
    if published:
        parts = zip(("W", "M", "v"), after, ("unit_in", "channel_in", "channel_out"), strict=True)
        found |= {name: (("unit", other), part[0]) for name, part, other in parts}
    return dataset(found, labels, mark=list(MARKS))


EXPERIMENTS = {"optimisers": Experiment(grid, "{task}_{start}_{recipe}_g{g}_s{sample}", compute)}
