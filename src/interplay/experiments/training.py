"""Train networks on the three tasks and measure what changed: Figures 1 and 2 and the spectra of Schuessler et al."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from itertools import product

import numpy as np
import torch
import xarray as xr

from .. import archive, lowrank, rnn, tasks
from ..seeds import fingerprint, generator, seed
from . import Experiment, dataset, every, table

TABLE = table("training")
SUMMARY = ["loss", "loss_test", "loss_shuffled", "loss_at_rank", "values_change", "diverged_at", "W0_digest"]


def settings(
    scale: str, task: str, g: Sequence[float], sample: int, trained: str = "WMv", N: int = 0, factor: float = 1
) -> dict:
    """Settings of one unit: networks of one task and sample at several g.

    Weights are kept at the scale's N and the published rate, of the zoo's five samples, with all or W alone trained.
    """
    size = TABLE["scales"][scale] | ({"N": N} if N else {})
    own = {} if task in tasks.BOOK else {"task_code": tasks.get(task).code()}
    return TABLE["all"] | size | own | ({"factor": factor} if factor != 1 else {}) | {
        "task": task,
        "task_fields": asdict(tasks.get(task)()),
        "g": [round(float(x), 9) for x in g],  # 0.3 and 0.1 + 0.2 are one network
        "sample": sample,
        "trained": trained,
        "keep": not N and factor == 1 and trained != "Wv" and sample < 5,
        "epochs": size["epochs"].get(task, size["epochs"]["flip-flop"]),  # a reader's own task: as many as flip-flop
        "lr": factor * (0.05 / size["N"]),
    }  # fmt: skip


def grid(scale: str, name: str) -> list[dict]:
    """Settings of every unit of an experiment, sample by sample."""
    return sorted((settings(scale, **one) for one in every(TABLE["units"][name][scale])), key=lambda one: one["sample"])


def initial(unit: dict, device: torch.device) -> rnn.Weights:
    """The networks of a unit before training, one a g, from their seeds."""
    task = tasks.get(unit["task"])()
    seeds = [seed("weights", unit["task"], unit["N"], g, unit["sample"]) for g in unit["g"]]
    return rnn.initialise(unit["g"], unit["N"], task.n_in, task.n_out, seeds, device=device)


def compute(unit: dict, device: torch.device) -> xr.Dataset:
    """One unit, trained and measured: dimensions task, N, g, sample (labels), and epoch, rank, mode and the like."""
    task = tasks.get(unit["task"])(**unit["task_fields"])
    even = np.geomspace(1, unit["epochs"], unit["snapshots"] - 1).round().astype(int)
    epochs = [0, *np.unique(even).tolist()]  # epochs of snapshots: 0, then evenly in log time

    def draw(what, g):
        return generator(what, unit["task"], unit["N"], g, unit["sample"], device=device)

    drawing = [draw("trials", g) for g in unit["g"]]
    names = [f"{unit['task']} g={g} sample {unit['sample']}" for g in unit["g"]]
    before = initial(unit, device)
    done = rnn.train(
        before,
        lambda epoch: task.trials(unit["batch"], drawing, device=device),
        **{name: unit[name] for name in ("epochs", "lr", "trained", "optimiser", "nonlinearity")},
        dt=task.dt,
        snapshots=epochs,
        names=names,
    )
    parts = []
    for n, g in enumerate(unit["g"]):
        old, new = (rnn.Weights(*(w[n : n + 1] for w in weights)) for weights in (before, done.weights))
        test = task.trials(unit["test_trials"], [draw("test", g)], device=device)
        course = torch.stack([W[n] for W in done.snapshots.values()])
        values = lowrank.singular_values(course - course[:1])[:, : unit["leading"]]
        found = measure(unit, old, new, lowrank.shuffle(old.W[0], draw("shuffle", g)), test, task.dt)
        mantissa, exponent = torch.frexp(done.gradient_norm[:, n])  # kept to 1/1024 of itself: looked at alone
        found |= {
            "loss": (("epoch",), done.loss[:, n]),
            "gradient_norm": (("epoch",), torch.ldexp((1024 * mantissa).round() / 1024, exponent)),
            "diverged_at": ((), float(done.diverged.get(names[n], np.nan))),
            "W0_digest": ((), fingerprint(old.W)),
            "snapshot_epoch": (("snapshot",), np.array(epochs, float)),
            "course_values": (("snapshot", "leading"), values),
        }
        if unit["keep"] and unit["sample"] == 0:  # the cloud of eigenvalues through training, to 1/4096
            cloud = torch.view_as_real(lowrank.eigenvalues(course))
            found["course_eigenvalues"] = (("snapshot", "mode", "part"), (cloud * 4096).round() / 4096)
        labels = {name: unit[name] for name in ("task", "N", "g", "sample", "factor") if name in unit} | {"g": g}
        parts.append(dataset(found, labels, part=["real", "imaginary"]))
    whole = archive.combine(parts)
    for name in {"left", "right"} & set(whole):  # 16-bit numbers, and kept as such
        whole[name].encoding["dtype"] = "int16"
    return whole if unit["keep"] else whole[SUMMARY]


def measure(
    unit: dict, before: rnn.Weights, after: rnn.Weights, shuffled: torch.Tensor, trials: tasks.Trials, dt: float
) -> dict[str, tuple]:
    """What changed in one network (network axis of length 1), on unseen `trials`; itself too if `unit` keeps it."""
    change = (after.W - before.W)[0]

    def evaluate(W: torch.Tensor) -> torch.Tensor:
        z, _ = rnn.simulate(after._replace(W=W), trials.inputs, dt=dt, nonlinearity=unit["nonlinearity"])
        return rnn.loss(z, trials.targets, trials.mask)

    ranks, full = range(min(unit["ranks"], len(change) + 1)), float(evaluate(after.W)[0])
    found = {
        "loss_test": ((), full),
        "loss_at_rank": (("rank",), lowrank.loss_against_rank(before.W[0], change, ranks, evaluate)),
        "loss_shuffled": ((), float(evaluate(shuffled[None] + change)[0])),
    }
    for name, W in (("change", change), ("after", after.W[0])):
        found[f"values_{name}"] = (("mode",), lowrank.singular_values(W))
        found[f"eigenvalues_{name}"] = (("mode", "part"), torch.view_as_real(lowrank.eigenvalues(W)))
    if unit["keep"]:
        left, right, size = few_factors(before.W[0], change, full, evaluate, unit["tolerance"])
        found |= {
            "left": (("neuron", "factor"), left),
            "right": (("neuron", "factor"), right),
            "factor_scale": ((), float(size)),
            "input_change": (("neuron", "channel_in"), (after.M - before.M)[0]),
            "readout_change": (("neuron", "channel_out"), (after.v - before.v)[0]),
        }
    return found


def few_factors(before: torch.Tensor, change: torch.Tensor, full: float, evaluate: Callable, tolerance: float) -> tuple:
    """`lowrank.pack`, as coarse and with as few factors as give the loss `full` back to that share of it."""
    few = [k for k in (4, 8, 12, 16, 24, 32, 48, 64, 80, 96, 112, 128, 160, 192) if k < len(change)]
    for top, k in [*product((1023, 32767), few), (32767, len(change))]:
        packed = lowrank.pack(change, k, top)
        if abs(float(evaluate((before + lowrank.unpack(*packed))[None])[0]) - full) <= tolerance * full:
            break
    return packed


def convergence_epoch(loss: xr.DataArray, threshold: float = 0.05) -> xr.DataArray:
    """First epoch whose training loss is below `threshold` times that of epoch 0; NaN if none is."""
    solved = loss < threshold * loss.isel(epoch=0)
    return solved.idxmax("epoch").where(solved.any("epoch")).astype(float)


networks = partial(Experiment, named="{task}_N{N}_{trained}_s{sample}_g{g}", compute=compute)
EXPERIMENTS = {
    "training": networks(partial(grid, name="training")),
    "recurrent": networks(partial(grid, name="recurrent")),
    "sweep": networks(partial(grid, name="sweep")),
    "recurrent-sweep": networks(partial(grid, name="recurrent-sweep")),
    "recurrent-readout": networks(partial(grid, name="recurrent-readout")),
    "rates": networks(partial(grid, name="rates"), named="{task}_rate{factor}_s{sample}"),
    "rates-sweep": networks(partial(grid, name="rates-sweep"), named="{task}_rate{factor}_s{sample}_g{g}"),
    "further": networks(partial(grid, name="further")),
    "sizes": networks(partial(grid, name="sizes")),
}
