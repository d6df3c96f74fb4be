"""Train networks on the three tasks and measure what changed: Figures 1 and 2 and the spectra of Schuessler et al."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from itertools import product

import numpy as np
import torch
import xarray as xr

from .. import archive, lowrank, rnn, tasks
from ..seeds import generator, seed
from . import Experiment, dataset

# The sizes of the paper; `lite` and `smoke` keep every line and shrink the rest.
EPOCHS = {
    "paper": {"flip-flop": 1000, "mante": 2000, "romo": 6000},
    "lite": {"flip-flop": 400, "mante": 600, "romo": 2500},
    "smoke": {"flip-flop": 40, "mante": 40, "romo": 40},
}
SIZE = {
    "paper": {"N": 256, "samples": 5, "batch": 32, "test_trials": 512, "snapshots": 32},
    "lite": {"N": 128, "samples": 3, "batch": 32, "test_trials": 128, "snapshots": 24},
    "smoke": {"N": 32, "samples": 2, "batch": 8, "test_trials": 16, "snapshots": 6},
}
SIZES = {"paper": {64: 5, 128: 5, 512: 5, 1024: 3}, "lite": {32: 3, 64: 3}, "smoke": {16: 2}}  # N: samples
SWEEP = {  # the rest of Figure 2's grid, in groups of networks that run in the same matrix products
    "flip-flop": [(0.3, 0.6), (1.2, 1.5), (1.8, 2.1)],
    "mante": [(0.3, 0.6), (1.2, 1.5), (1.8, 2.1), (2.4, 2.7)],
    "romo": [(0.3, 0.6), (1.2, 1.5), (1.8, 2.1), (2.4, 2.7, 3.0)],
}
FIGURE_1, OF_SIZES, SHORT = ({task: [g] for task in SWEEP} for g in ((0.0, 0.9), (0.0, 0.9, 1.8), (1.2, 1.8)))
FACTORS = {"paper": (0.8, 0.65, 0.5), "lite": (0.65,), "smoke": (0.65,)}  # of the published learning rate
SUMMARY = ["loss", "loss_test", "loss_shuffled", "loss_at_rank", "values_change", "diverged_at", "W0_digest"]
MEASURED = {  # what else decides what is kept of a network
    "optimiser": "adam",
    "nonlinearity": "tanh",
    "leading": 24,  # singular values followed through training
    "ranks": 26,  # of the truncated change, from 0 on
    "tolerance": 0.007,  # of the test loss that the kept factors give back
}


def settings(scale: str, task: str, g: tuple[float, ...], sample: int, trained: str = "WMv", N: int = 0) -> dict:
    """Settings of one unit: networks of one task and sample at several g, of the size of `scale` or, not kept, of N."""
    size = {name: value for name, value in SIZE[scale].items() if name != "samples"} | ({"N": N} if N else {})
    own = {} if task in tasks.BOOK else {"task_code": tasks.get(task).code()}
    return MEASURED | size | own | {
        "task": task,
        "task_fields": asdict(tasks.get(task)()),
        "g": [round(float(x), 9) for x in g],  # 0.3 and 0.1 + 0.2 are one network
        "sample": sample,
        "trained": trained,
        "keep": not N,
        "epochs": EPOCHS[scale].get(task, EPOCHS[scale]["flip-flop"]),  # a reader's own task: as many as flip-flop
        "lr": 0.05 / size["N"],
    }  # fmt: skip


def grid(scale: str, groups: dict, trained: str = "WMv", sizes: dict | None = None) -> list[dict]:
    """Units of several tasks and groups of g, sample by sample; `sizes` of a scale are samples by N."""
    many = sizes[scale] if sizes else {0: SIZE[scale]["samples"]}
    return [
        settings(scale, task, g, sample, trained, N)
        for sample in range(max(many.values()))
        for N, samples in many.items()
        if sample < samples
        for task, rest in groups.items()
        for g in rest
    ]


def sweep(scale: str, trained: str = "WMv", only: tuple[str, ...] = tuple(SWEEP)) -> list[dict]:
    """The rest of Figure 2's grid of g."""
    groups = SWEEP if scale == "paper" else SHORT
    return grid(scale, {task: groups[task] for task in only}, trained)


def slower(scale: str) -> list[dict]:
    """Networks of Figures 1 and 2 at parts of the published learning rate; the factor 1 is `training` and `sweep`."""
    units = grid(scale, {task: [(0.0, 0.9, 1.8)] for task in SWEEP})
    return [one | {"keep": False, "factor": x, "lr": x * one["lr"]} for one in units for x in FACTORS[scale]]


def work(unit: dict) -> float:
    """Floating-point operations of one unit's training, in units of 1e9."""
    steps = tasks.get(unit["task"])(**unit["task_fields"]).n_steps
    return 6e-9 * len(unit["g"]) * unit["epochs"] * unit["batch"] * steps * unit["N"] ** 2


def snapshot_epochs(epochs: int, number: int) -> list[int]:
    """Epochs at which spectra are taken: 0, then evenly in log time, `epochs` last."""
    return [0, *np.unique(np.geomspace(1, epochs, number - 1).round().astype(int)).tolist()]


def initial(unit: dict, device: torch.device) -> rnn.Weights:
    """The networks of a unit before training, one a g, from their seeds."""
    task = tasks.get(unit["task"])()
    seeds = [seed("weights", unit["task"], unit["N"], g, unit["sample"]) for g in unit["g"]]
    return rnn.initialise(unit["g"], unit["N"], task.n_in, task.n_out, seeds, device=device)


def digests(W0: torch.Tensor) -> list[str]:
    """What initial connectivities are held to: the start of the SHA-256 of each, as float32."""
    return [hashlib.sha256(W.cpu().numpy().tobytes()).hexdigest()[:16] for W in W0]


def compute(unit: dict, device: torch.device) -> xr.Dataset:
    """One unit, trained and measured: dimensions task, N, g, sample (labels), and epoch, rank, mode and the like."""
    task, at = tasks.get(unit["task"])(**unit["task_fields"]), snapshot_epochs(unit["epochs"], unit["snapshots"])

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
        snapshots=at,
        names=names,
    )
    parts = []
    for n, g in enumerate(unit["g"]):
        old, new = (rnn.Weights(*(w[n : n + 1] for w in weights)) for weights in (before, done.weights))
        test = task.trials(unit["test_trials"], [draw("test", g)], device=device)
        course = torch.stack([W[n] for W in done.snapshots.values()])
        found = measure(unit, old, new, lowrank.shuffle(old.W[0], draw("shuffle", g)), test, task.dt)
        mantissa, exponent = torch.frexp(
            done.gradient_norm[:, n]
        )  # kept to 1/1024 of itself: looked at, not computed with
        found |= {
            "loss": (("epoch",), done.loss[:, n]),
            "gradient_norm": (("epoch",), torch.ldexp((1024 * mantissa).round() / 1024, exponent)),
            "diverged_at": ((), float(done.diverged.get(names[n], np.nan))),
            "W0_digest": ((), digests(old.W)[0]),
            "snapshot_epoch": (("snapshot",), np.array(at, float)),
            "course_values": (
                ("snapshot", "leading"),
                lowrank.singular_values(course - course[:1])[:, : unit["leading"]],
            ),
        }
        if unit["keep"] and unit["sample"] == 0:  # the cloud of eigenvalues through training, to 1/4096
            cloud = torch.view_as_real(lowrank.eigenvalues(course))
            found["course_eigenvalues"] = (("snapshot", "mode", "part"), (cloud * 4096).round() / 4096)
        labels = {name: unit[name] for name in ("task", "N", "sample", "factor") if name in unit} | {"g": g}
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
        weights = rnn.Weights(W, *(w.expand(len(W), -1, -1) for w in after[1:]))
        inputs, targets, mask = (x.expand(-1, len(W), -1, -1) for x in trials)
        return rnn.loss(rnn.simulate(weights, inputs, dt=dt, nonlinearity=unit["nonlinearity"])[0], targets, mask)

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


_of = partial(Experiment, named="{task}_N{N}_{trained}_s{sample}_g{g}", compute=compute, work=work)
OWN = _of(lambda scale, task, g, sample: [settings(scale, task, (g,), sample)])  # of a reader's task; in no list
EXPERIMENTS = {
    "training": _of(partial(grid, groups=FIGURE_1)),
    "recurrent": _of(partial(grid, groups={"flip-flop": FIGURE_1["flip-flop"]}, trained="W")),
    "sweep": _of(sweep),
    "recurrent-sweep": _of(partial(sweep, trained="W", only=("flip-flop",))),
    "rates": _of(slower, named="{task}_rate{factor}_s{sample}"),
    "sizes": _of(partial(grid, groups=OF_SIZES, sizes=SIZES)),
}
