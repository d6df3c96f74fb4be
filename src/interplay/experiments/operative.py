"""Networks that integrate evidence or make sine waves, and which dimensions of W they use (Krause et al. 2022).

Kinds: `networks` trains, `measures` reduces each trained network to k directions of every kind and runs it.
The paper's optimiser, rates and initial variances are not known: those below solve both tasks.
"""

import math
from dataclasses import asdict

import numpy as np
import torch
import xarray as xr

from .. import operative, rnn, tasks
from ..seeds import generator, seed
from . import Experiment, fetch, rows

TASKS = {"context-integration": tasks.ContextIntegration, "sine-wave": tasks.SineWave}
UNIT_NOISE = 0.1  # of every unit and step, inside the bracket of the Euler step
PHASES = {  # of training; `share` of all updates
    "context-integration": [
        {"task_fields": {"burn": 5.0}, "trials": 64, "lr": 1e-3, "share": 0.78},
        {"task_fields": {}, "trials": 64, "lr": 3e-4, "share": 0.22},
    ],
    "sine-wave": [{"task_fields": {}, "trials": 51, "lr": 2e-3, "share": 1.0}],
}
TRAINING = {
    "optimiser": "adam",
    "decay": 0.05,  # share of the learning rate that is left at the end of a phase (cosine)
    "clip": 1.0,  # of each network's gradient
    "readout": 0.5,  # norm of v before training
}
SIZE = {
    "paper": {"N": 100, "samples": 10, "group": 5, "updates": {"context-integration": 1150, "sine-wave": 2500}},
    "lite": {"N": 60, "samples": 2, "group": 2, "updates": {"context-integration": 300, "sine-wave": 600}},
    "smoke": {"N": 24, "samples": 2, "group": 2, "updates": {"context-integration": 6, "sine-wave": 10}},
}
TRIALS = {  # to find conditions' averages, to test, to compare states
    "paper": {"sampling": {"context-integration": 240, "sine-wave": 510}, "test": 120, "distance": 60},
    "lite": {"sampling": {"context-integration": 96, "sine-wave": 255}, "test": 48, "distance": 24},
    "smoke": {"sampling": {"context-integration": 48, "sine-wave": 102}, "test": 12, "distance": 12},
}
SAMPLED = {  # of the steps and frequencies at which states are averaged
    "context-integration": {"every": 100},
    "sine-wave": {"every": 50, "frequencies_every": 5},
}
SUBSETS = ("context 1", "context 2", "positive choice", "negative choice")


def grid(scale: str) -> list[dict]:
    """Settings of every group of networks to train."""
    size = SIZE[scale]
    firsts = range(0, size["samples"], size["group"])
    groups = [list(range(first, min(first + size["group"], size["samples"]))) for first in firsts]
    common = {"kind": "networks", "N": size["N"], "noise": UNIT_NOISE} | TRAINING
    return [
        common | one | {"updates": size["updates"][name], "task_fields": asdict(task()), "phases": PHASES[name]}
        for name, task in TASKS.items()
        for one in rows(task=[name], samples=groups)
    ]


def measured_grid(scale: str) -> list[dict]:
    """Settings of every network to measure, those of its group among them."""
    own, chosen = {"task", "N", "updates", "noise", "task_fields"}, TRIALS[scale]
    common = {"kind": "measures", "scale": scale, "kinds": list(operative.KINDS), "local": operative.LOCAL}
    return [
        {name: group[name] for name in own} | common | chosen | SAMPLED[group["task"]]
        | {"sample": sample, "group": group, "ranks": ranks(group["N"]), "sampling": chosen["sampling"][group["task"]]}
        for group in EXPERIMENTS["operative-networks"].units(scale)
        for sample in group["samples"]
    ]  # fmt: skip


def work(unit: dict) -> float:
    """Relative cost: updates x steps x trials x N^2, or networks simulated."""
    steps = made(unit).n_steps
    if unit["kind"] == "networks":
        return 6e-9 * len(unit["samples"]) * unit["updates"] * steps * 60 * unit["N"] ** 2
    return 2e-9 * len(unit["kinds"]) * len(unit["ranks"]) * unit["test"] * steps * unit["N"] ** 2


def made(unit: dict, **changes: float) -> tasks.ContextIntegration | tasks.SineWave:
    """The task of a unit, with changes of its fields."""
    return TASKS[unit["task"]](**(unit["task_fields"] | changes))


def initial(unit: dict, device: torch.device) -> tuple[rnn.Weights, torch.Tensor]:
    """Networks of a unit before training: W ~ N(0, 1/N), M ~ N(0, 1/n_in), v ~ N(0, readout^2/N); h0 zero."""
    task, N = made(unit), unit["N"]
    seeds = [seed("operative", unit["task"], N, sample) for sample in unit["samples"]]
    drawn = rnn.initialise([1.0] * len(seeds), N, task.n_in, task.n_out, seeds, device=device)
    M, v = (part * part.new_tensor(N) ** power for part, power in ((drawn.M, -0.5), (drawn.v, 0.5)))
    M, v = M * math.sqrt(N / task.n_in), v * unit["readout"]  # columns of norm sqrt(N / n_in) and `readout`
    return rnn.Weights(drawn.W, M, v), torch.zeros(len(seeds), starts(task), N, device=device)


def starts(task: tasks.ContextIntegration | tasks.SineWave) -> int:
    """Number of trained initial states: one a context, or one."""
    return 2 if isinstance(task, tasks.ContextIntegration) else 1


def start(task: tasks.ContextIntegration | tasks.SineWave, h0: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """Initial state of every trial (network, trial, N), from those of each context (network, start, N)."""
    if starts(task) == 1:
        return h0.expand(-1, inputs.shape[2], -1)
    return inputs[0, :, :, 2:4] @ h0


def unit_noise(
    steps: int, trials: int, N: int, generators: list[torch.Generator], size: float = UNIT_NOISE
) -> torch.Tensor:
    """Noise of every unit and step (time, network, trial, N), each network's from its own generator."""
    drawn = [torch.randn(steps, trials, N, generator=one, device=one.device) for one in generators]
    return size * torch.stack(drawn, 1)


def train(unit: dict, device: torch.device) -> xr.Dataset:
    """A group of networks trained on the mean squared error of all steps: Adam, cosine decay, clipped gradients."""
    weights, h0 = initial(unit, device)
    drawing = [generator("operative trials", unit["task"], unit["N"], s, device=device) for s in unit["samples"]]
    parts = {"W0": weights.W.clone()}
    moving = [part.requires_grad_() for part in (*weights, h0)]
    losses = []
    for phase in unit["phases"]:
        task, updates = made(unit, **phase["task_fields"]), max(1, round(phase["share"] * unit["updates"]))
        n_trials, lr = phase["trials"], phase["lr"]
        step = torch.optim.Adam(moving, lr=lr)
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(step, updates, eta_min=unit["decay"] * lr)
        for _ in range(updates):
            inputs, targets, _ = task.trials(n_trials, drawing, device=device)
            noise = unit_noise(task.n_steps, n_trials, unit["N"], drawing, unit["noise"])
            z = rnn.outputs(rnn.Weights(*moving[:3]), inputs, dt=task.dt, h0=start(task, h0, inputs), noise=noise)
            each = (z - targets).square().mean((0, 2, 3))
            step.zero_grad()
            each.sum().backward()
            norm = sum(part.grad.square().sum((1, 2)) for part in moving).sqrt()
            for part in moving:  # networks are clipped one by one
                part.grad *= (unit["clip"] / norm.clamp(min=unit["clip"]))[:, None, None]
            step.step()
            decay.step()
            losses.append(each.detach())
    parts |= dict(zip(("W", "M", "v", "h0"), (part.detach() for part in moving), strict=True))
    dims = {"W0": ("unit", "unit_in"), "W": ("unit", "unit_in"), "M": ("unit", "channel_in")}
    dims |= {"v": ("unit", "channel_out"), "h0": ("start", "unit")}
    held = {name: (("sample", *dims[name]), part.cpu().numpy()) for name, part in parts.items()}
    held["loss"] = (("update", "sample"), torch.stack(losses).cpu().numpy())
    return xr.Dataset(held).assign_coords(sample=unit["samples"]).expand_dims(task=[unit["task"]])


def network(data: xr.Dataset, task: str, sample: int) -> tuple[rnn.Weights, torch.Tensor]:
    """Weights and initial states (1, start, N) of one trained network, with a network axis of length 1."""
    one = data.sel(task=task, sample=sample)
    made = TASKS[task]()
    cut = {"M": made.n_in, "v": made.n_out, "W": None}
    parts = [torch.as_tensor(one[name].values[..., : cut[name]].astype(np.float32))[None] for name in "WMv"]
    return rnn.Weights(*parts), torch.as_tensor(one.h0.values[: starts(made)].astype(np.float32))[None]


def ranks(N: int) -> list[int]:
    """Ranks to test: every one up to 40, every second to 60, then every fifth, and N."""
    return sorted({*range(min(40, N) + 1), *range(40, min(60, N) + 1, 2), *range(60, N + 1, 5), N})


def sampled_states(
    task: tasks.ContextIntegration | tasks.SineWave,
    weights: rnn.Weights,
    h0: torch.Tensor,
    unit: dict,
    drawing: torch.Generator,
) -> tuple[torch.Tensor, np.ndarray]:
    """States averaged over noisy trials of a condition at fixed times (K, N), and what each belongs to (K, columns).

    Columns: context (0, 1), then 1 or 0 for a positive or negative choice; for sine waves, the number of the frequency.
    """
    n_trials, every = unit["sampling"], unit["every"]
    drawn = task.conditions(n_trials, [drawing])
    inputs = task.trials(n_trials, [drawing]).inputs
    noise = unit_noise(task.n_steps, n_trials, weights.W.shape[-1], [drawing], unit["noise"])
    states = rnn.simulate(weights, inputs, dt=task.dt, h0=start(task, h0, inputs), noise=noise, keep_states=True)[1][
        :, 0
    ]
    found, labels, at = [], [], [0, *range(every - 1, task.n_steps, every)]
    if isinstance(task, tasks.ContextIntegration):
        context, drift = (part[0] for part in drawn)
        for c in (0, 1):
            for signs in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
                chosen = (context == c) & (drift.sign() == torch.tensor(signs)).all(1)
                found.append(states[at][:, chosen].mean(1))
                labels += [(c, int(signs[c] > 0))] * len(at)
    else:
        for j in range(0, task.number, unit["frequencies_every"]):
            found.append(states[at][:, drawn[0] == j].mean(1))
            labels += [(j, 0)] * len(at)
    return torch.cat(found), np.array(labels)


def measure(unit: dict, device: torch.device) -> xr.Dataset:
    """One network reduced to k directions of each kind: cost with frozen noise, distance of states without noise."""
    task, sample = made(unit), unit["sample"]
    weights, h0 = network(fetch("operative-networks", unit["group"], unit["scale"]), unit["task"], sample)
    W, N, at = weights.W[0], unit["N"], unit["ranks"]
    draw = {what: generator(f"operative {what}", unit["task"], N, sample) for what in ("sampling", "test", "random")}
    states, labels = sampled_states(task, weights, h0, unit, draw["sampling"])
    drawn = task.conditions(unit["test"], [draw["test"]])
    inputs, targets, _ = task.trials(unit["test"], [draw["test"]])
    noise = unit_noise(task.n_steps, unit["test"], N, [draw["test"]], unit["noise"])
    begin, quiet = start(task, h0, inputs), slice(unit["distance"])

    def costs(Wk, trials=slice(None)):
        z = operative.outputs(Wk, weights, inputs[:, :, trials], task.dt, begin[:, trials], noise[:, :, trials])
        return (z - targets[:, :, trials]).square().mean((0, 2, 3)).numpy()

    R = torch.tanh(states.double())
    held = {name: [] for name in ("cost", "distance", "missed_drive", "missed_W", "dimension_values")}
    for kind in unit["kinds"]:
        Q, values = operative.dimensions(W, states, kind, draw["random"], unit["local"])
        Wk = operative.reduced(W.double(), Q, at, operative.is_rows(kind))
        held["cost"].append(costs(Wk))
        held["distance"].append(
            operative.state_distance(Wk, weights, inputs[:, :, quiet], task.dt, begin[:, quiet]).numpy()
        )
        held["missed_drive"].append(
            (torch.linalg.matrix_norm((W.double() - Wk) @ R.mT) / torch.linalg.matrix_norm(W.double() @ R.mT)).numpy()
        )
        held["missed_W"].append((torch.linalg.matrix_norm(W.double() - Wk) / torch.linalg.matrix_norm(W)).numpy())
        held["dimension_values"].append(values.numpy())
    dims = {name: ("kind", "rank") for name in held} | {"dimension_values": ("kind", "index")}
    data = {name: (dims[name], np.stack(rows).astype(np.float32)) for name, rows in held.items()}
    states_run = rnn.simulate(weights, inputs, dt=task.dt, h0=begin, noise=noise, keep_states=True)[1][:, 0]
    data |= {
        "full_cost": ((), costs(W[None])[0]),
        "target_variance": ((), float(targets.var())),
        "values_W": (("index",), torch.linalg.svdvals(W)),
        "values_activity": (("index",), torch.linalg.svdvals(torch.cov(states_run.flatten(0, 1).mT)).sqrt()),
        "first_row_effect": (("state",), operative.local_rows(W, states, 1)[1][:, 0]),
        "drive": (("state",), operative.local_columns(W, states)[1]),
        "bound": (("state",), torch.linalg.svdvals(W)[0] * R.norm(dim=1).float()),
        "states": (("state", "unit"), states),
        "label": (("state", "what"), labels),
    }
    coords = {"kind": unit["kinds"], "rank": at, "index": np.arange(1, N + 1), "what": ["group", "choice"]}
    if isinstance(task, tasks.ContextIntegration):
        data["subset_cost"], coords = (
            by_function(W, states, labels, drawn, at, costs),
            coords | {"subset": list(SUBSETS)},
        )
        coords["tested"] = ["own", "other"]
    data = xr.Dataset({name: (d, np.asarray(values)) for name, (d, values) in data.items()}, coords)
    return data.assign_coords(state=np.arange(len(states))).expand_dims(task=[unit["task"]], sample=[sample])


def by_function(W, states, labels, drawn, at, costs):
    """Cost (subset, tested, rank) on trials of own and other function, keeping columns of one function alone."""
    context, drift = (part[0] for part in drawn)
    choice = drift.gather(1, context[:, None])[:, 0] > 0
    found = []
    for own, trials in (
        (labels[:, 0] == 0, context == 0),
        (labels[:, 0] == 1, context == 1),
        (labels[:, 1] == 1, choice),
        (labels[:, 1] == 0, ~choice),
    ):
        Q, _ = operative.dimensions(W, states[torch.as_tensor(own)], "columns")
        Wk = operative.reduced(W.double(), Q, at)
        found.append([costs(Wk, trials), costs(Wk, ~trials)])
    return ("subset", "tested", "rank"), np.array(found, np.float32)


EXPERIMENTS = {
    "operative-networks": Experiment(grid, "{task}_s{samples[0]}", train, work),
    "operative-measures": Experiment(measured_grid, "{task}_s{sample}", measure, work),
}
