"""Networks that integrate evidence or make sine waves, and which dimensions of W they use (Krause et al. 2022).

`operative-networks` trains; `operative-measures` reduces each network to k directions of every kind and runs it;
`operative-panels` does so, in fewer trials, beside the networks that the authors published.
"""

import math
from dataclasses import asdict
from itertools import product

import numpy as np
import torch
import xarray as xr

from .. import krause, operative, rnn, tasks
from ..seeds import generator, seed
from . import Experiment, dataset, fetch, scaled, table

TABLE = table("operative")
SUBSETS = ("context 1", "context 2", "positive choice", "negative choice")


def grid(scale: str) -> list[dict]:
    """Settings of every group of networks to train, the fields of their task among them."""
    own = TABLE["operative-networks"]
    fields = {name: asdict(tasks.get(name)()) for name in own["phases"]}
    more = {name: {"phases": phases, "task_fields": fields[name]} for name, phases in own["phases"].items()}
    return [unit | more[unit["task"]] for unit in scaled(own, scale)]


def measured_grid(scale: str, of: str = "operative-measures") -> list[dict]:
    """Settings of every network trained here to measure, those of its group among them."""
    own, made = TABLE[of], []
    for group in EXPERIMENTS["operative-networks"].units(scale):
        one = {name: group[name] for name in ("task", "N", "updates", "noise", "task_fields")} | own["all"] | own[scale]
        one |= own[one["task"]] | {"scale": scale, "group": group}
        one |= {name: part[one["task"]] for name, part in one.items() if isinstance(part, dict) and one["task"] in part}
        one |= {name: [k for k in one[name] if k <= group["N"]] for name in one if name.endswith("ranks")}
        made += [one | {"sample": sample} for sample in group["samples"]]
    return made


def panels_grid(scale: str) -> list[dict]:
    """The same of fewer trials; at scale paper first with every network that the authors published."""
    ours, without = measured_grid(scale, "operative-panels"), ("group", "updates", "scale", "sample")
    first = {one["task"]: {name: one[name] for name in one if name not in without} for one in ours}
    numbers = range(1, krause.NUMBER + 1) if scale == "paper" else ()
    return [one | {"set": "paper", "sample": number} for one in first.values() for number in numbers] + ours


def made(unit: dict, **changes: float) -> tasks.Task:
    """The task of a unit, with changes of its fields."""
    return tasks.get(unit["task"])(**(unit["task_fields"] | changes))


def initial(unit: dict, device: torch.device) -> tuple[rnn.Weights, torch.Tensor]:
    """Networks of a unit before training: W ~ N(0, 1/N), M ~ N(0, 1/n_in), v ~ N(0, readout^2/N); h0 zero."""
    task, N = made(unit), unit["N"]
    seeds = [seed("operative", unit["task"], N, sample) for sample in unit["samples"]]
    W, M, v = rnn.initialise([1.0] * len(seeds), N, task.n_in, task.n_out, seeds, device=device)
    M, v = M * W.new_tensor(N) ** -0.5 * math.sqrt(N / task.n_in), v * W.new_tensor(N) ** 0.5 * unit["readout"]
    return rnn.Weights(W, M, v), torch.zeros(len(seeds), starts(task), N, dtype=W.dtype, device=device)


def starts(task: tasks.Task) -> int:
    """Number of trained initial states: one a context, or one."""
    return 2 if isinstance(task, tasks.ContextIntegration) else 1


def start(task: tasks.Task, h0: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """Initial state of every trial (network, trial, N), from those of each context (network, start, N)."""
    return h0.expand(-1, inputs.shape[2], -1) if starts(task) == 1 else inputs[0, :, :, 2:4] @ h0


def unit_noise(steps: int, trials: int, N: int, generators: list[torch.Generator], size: float) -> torch.Tensor:
    """Noise of every unit and step (time, network, trial, N) of a standard deviation, by each network's generator."""
    drawn = [torch.randn(steps, trials, N, generator=one, device=one.device) for one in generators]
    return size * torch.stack(drawn, 1)


def train(unit: dict, device: torch.device) -> xr.Dataset:
    """A group of networks trained on the mean squared error of all steps: Adam, cosine decay, clipped gradients."""
    weights, h0 = initial(unit, device)
    drawing = [generator("operative trials", unit["task"], unit["N"], s, device=device) for s in unit["samples"]]
    W0, moving, losses = weights.W.clone(), [part.requires_grad_() for part in (*weights, h0)], []
    for phase in unit["phases"]:
        task, updates = made(unit, **phase["task_fields"]), max(1, round(phase["share"] * unit["updates"]))
        step = torch.optim.Adam(moving, lr=phase["lr"])
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(step, updates, eta_min=unit["decay"] * phase["lr"])
        for _ in range(updates):
            inputs, targets, _ = task.trials(phase["trials"], drawing, device=device)
            noise = unit_noise(task.n_steps, phase["trials"], unit["N"], drawing, unit["noise"])
            z = rnn.outputs(rnn.Weights(*moving[:3]), inputs, dt=task.dt, h0=start(task, h0, inputs), noise=noise)
            losses.append((z - targets).square().mean((0, 2, 3)))
            step.zero_grad()
            losses[-1].sum().backward()
            norm = sum(part.grad.square().sum((1, 2)) for part in moving).sqrt()
            for part in moving:  # networks are clipped one by one
                part.grad *= (unit["clip"] / norm.clamp(min=unit["clip"]))[:, None, None]
            step.step()
            decay.step()
            losses[-1] = losses[-1].detach()
    ends = map(str.split, ("unit unit_in", "unit unit_in", "unit channel_in", "unit channel_out", "start unit"))
    parts = zip(("W0", "W", "M", "v", "h0"), ends, (W0, *(part.detach() for part in moving)), strict=True)
    held = {name: (("sample", *own), part) for name, own, part in parts}
    held["loss"] = (("update", "sample"), torch.stack(losses))
    return dataset(held, {"task": unit["task"]}, sample=unit["samples"])


def network(data: xr.Dataset, task: str, sample: int, device="cpu") -> tuple[rnn.Weights, torch.Tensor]:
    """Weights and initial states (1, start, N) of one trained network, with a network axis of length 1, on a device."""
    one, made = data.sel(task=task, sample=sample), tasks.get(task)()
    cut = {"W": np.s_[:], "M": np.s_[:, : made.n_in], "v": np.s_[:, : made.n_out], "h0": np.s_[: starts(made)]}
    W, M, v, h0 = (torch.tensor(one[name].values[cut[name]][None], dtype=torch.float32, device=device) for name in cut)
    return rnn.Weights(W, M, v), h0


def sampled_states(
    task: tasks.Task, unit: dict, weights: rnn.Weights, h0: torch.Tensor, drawing: torch.Generator
) -> tuple[torch.Tensor, np.ndarray]:
    """States averaged over noisy trials of a condition at fixed times (K, N), and what each belongs to (K, columns).

    Columns: context (0, 1), then 1 or 0 for a positive or negative choice; for sine waves, the number of the frequency.
    """
    drawn = task.conditions(unit["sampling"], [drawing])
    inputs = task.trials(unit["sampling"], [drawing]).inputs
    noise = unit_noise(task.n_steps, unit["sampling"], unit["N"], [drawing], unit["noise"])
    how = {"dt": task.dt, "h0": start(task, h0, inputs), "noise": noise}
    sampled = [0, *range(unit["every"] - 1, task.n_steps, unit["every"])]
    states = rnn.simulate(weights, inputs, **how, keep_states=True)[1][sampled, 0]
    if isinstance(task, tasks.ContextIntegration):
        contexts, drift = (part[0] for part in drawn)
        chosen = {
            (context, *signs): (contexts == context) & (drift.sign() == torch.tensor(signs)).all(1)
            for context, *signs in product((0, 1), (1, -1), (1, -1))
        }
        labels = [(context, int((first, second)[context] > 0)) for context, first, second in chosen]
    else:
        chosen = {j: drawn[0] == j for j in range(0, task.number, unit["frequencies_every"])}
        labels = [(j, 0) for j in chosen]
    means = torch.cat([states[:, some].mean(1) for some in chosen.values()])
    return means, np.repeat(labels, len(sampled), 0)


def measure(unit: dict, device: torch.device) -> xr.Dataset:
    """One network reduced to k directions of each kind; its sampled states, and the spectra of W0 and of the change."""
    if "group" in unit:
        held = fetch("operative-networks", unit["group"], unit["scale"])
    else:
        held = krause.authors(unit["task"], unit["sample"]).expand_dims(task=[unit["task"]], sample=[unit["sample"]])
        held["h0"] = (("start", "unit"), np.zeros((starts(made(unit)), unit["N"])))
    data, coordinates = measured(unit, *network(held, unit["task"], unit["sample"]))
    W0, W = (held[name].sel(task=unit["task"], sample=unit["sample"]).values for name in ("W0", "W"))
    spectra = {"values_W0": W0, "values_change": W - W0}
    data |= {name: (("index",), np.linalg.svd(matrix, compute_uv=False)) for name, matrix in spectra.items()}
    labels = {name: unit[name] for name in ("task", "set", "sample") if name in unit}
    return dataset(data, labels, **coordinates).assign_attrs({} if "group" in unit else held.attrs)


def measured(unit: dict, weights: rnn.Weights, h0: torch.Tensor) -> tuple[dict[str, tuple], dict]:
    """Measures of a network, and their coordinates: cost with frozen noise, distance of states without noise."""
    task, sample, N = made(unit), unit["sample"], unit["N"]
    W = weights.W[0]
    draw = {what: generator(f"operative {what}", unit["task"], N, sample) for what in ("sampling", "test", "random")}
    states, labels = sampled_states(task, unit, weights, h0, draw["sampling"])
    drawn = task.conditions(unit["test"], [draw["test"]])
    inputs, targets, _ = task.trials(unit["test"], [draw["test"]])
    noise = unit_noise(task.n_steps, unit["test"], N, [draw["test"]], unit["noise"])
    begin, some = start(task, h0, inputs), slice(unit["distance"])

    def costs(Wk, trials=slice(None)):
        how = {"dt": task.dt, "h0": begin[:, trials], "noise": noise[:, :, trials]}
        z, _ = rnn.simulate(weights._replace(W=Wk.to(W.dtype)), inputs[:, :, trials], **how)
        return (z - targets[:, :, trials]).square().mean((0, 2, 3)).numpy()

    def distance(Wk):
        return operative.state_distance(Wk, weights, inputs[:, :, some], task.dt, begin[:, some]).numpy()

    plane = torch.linalg.svd((states - states.mean(0)).double(), full_matrices=False)[2][:2].mT
    visited = rnn.simulate(weights, inputs, dt=task.dt, h0=begin, noise=noise, keep_states=True)[1][:, 0]
    data = cuts(unit, W, states, plane, draw["random"], costs, distance) | {
        "path": (("state", "component"), states.double() @ plane),
        "flow_full": (("state", "component"), torch.tanh(states.double()) @ W.double().mT @ plane),
        "full_cost": ((), costs(W[None])[0]),
        "target_variance": ((), float(targets.var())),
        "values_W": (("index",), torch.linalg.svdvals(W)),
        "values_activity": (("index",), torch.linalg.svdvals(torch.cov(visited.flatten(0, 1).mT)).sqrt()),
        "first_row_effect": (("state",), operative.local_rows(W, states, 1)[1][:, 0]),
        "drive": (("state",), operative.local_columns(W, states)[1]),
        "bound": (("state",), torch.linalg.svdvals(W)[0] * torch.tanh(states.double()).norm(dim=1).float()),
        "states": (("state", "unit"), states),
        "label": (("state", "what"), labels),
    }
    coordinates = {name[:-1]: unit[name] for name in ("kinds", "ranks", "flow_ranks") if name in unit}
    coordinates |= {"what": ["group", "choice"]}
    if isinstance(task, tasks.ContextIntegration):
        which = "subset_ranks" if "subset_ranks" in unit else "ranks"
        data |= by_function(W, states, labels, drawn, unit[which], costs, which[:-1])
        coordinates |= {"subset": list(SUBSETS), "tested": ["own", "other"], which[:-1]: unit[which]}
    return data, coordinates


def cuts(unit: dict, W, states, plane, drawing: torch.Generator, costs, distance) -> dict[str, tuple]:
    """By kind and rank: cost, distance of states and of rates, the shares of W and of the drive that are missed.

    Of a few ranks also the flow W_k r at the sampled states, in a plane (N, 2).  A kind "..., random states" is found
    at states drawn from a normal law, of the standard deviation of all entries of those that were sampled.
    """
    exact, rates, found = W.double(), torch.tanh(states.double()).mT, []
    norm, few = torch.linalg.matrix_norm, unit.get("flow_ranks", [])
    for kind in unit["kinds"]:
        plain, _, elsewhere = kind.partition(", ")
        at = states.std() * torch.randn(states.shape, generator=drawing) if elsewhere else states
        Q, values = operative.dimensions(W, at, plain, drawing, unit["local"])
        Wk = operative.reduced(exact, Q, unit["ranks"], plain in operative.INPUT_SIDE)
        one = {"cost": costs(Wk), "dimension_values": values} | dict(zip(("distance", "distance_rates"), distance(Wk)))
        one["missed_drive"] = norm((exact - Wk) @ rates) / norm(exact @ rates)
        one["missed_W"] = norm(exact - Wk) / norm(W)
        if few:
            one["flow"] = (Wk[[unit["ranks"].index(k) for k in few]] @ rates).mT @ plane
        found.append(one)
    dims = dict.fromkeys(one, ("rank",)) | {"dimension_values": ("index",), "flow": ("flow_rank", "state", "component")}
    stacked = {name: np.stack([one[name] for one in found], dtype=np.float32) for name in one}
    return {name: (("kind", *dims[name]), part) for name, part in stacked.items()}


def by_function(W, states, labels, drawn, ranks: list[int], costs, axis: str) -> dict[str, tuple]:
    """Keeping columns of one function alone: cost (subset, tested, rank) on trials of own and other function.

    Also, of the first ten columns: the share of the other's squared drive that they hold, and the mean squared cosine
    with the other's ten.
    """
    context, drift = (part[0] for part in drawn)
    positive, found = drift.gather(1, context[:, None])[:, 0] > 0, []
    of = ((0, 0, context == 0), (0, 1, context == 1), (1, 1, positive), (1, 0, ~positive))  # as SUBSETS
    for column, value, trials in of:
        own = torch.as_tensor(labels[:, column] == value)
        (Q, _), (other, _) = (operative.dimensions(W, states[some], "columns") for some in (own, ~own))
        drive, Wk = W.double() @ torch.tanh(states[~own].double()).mT, operative.reduced(W.double(), Q, ranks)
        held = (Q[:, :10].mT @ drive).square().sum() / drive.square().sum()
        cosine = (Q[:, :10].mT @ other[:, :10]).square().sum() / 10
        found.append(([costs(Wk, trials), costs(Wk, ~trials)], held, cosine))
    names = {"subset_cost": ("subset", "tested", axis), "subset_held": ("subset",), "subset_cosine": ("subset",)}
    return {name: (dims, np.array(part, np.float32)) for (name, dims), part in zip(names.items(), zip(*found))}


EXPERIMENTS = {
    "operative-networks": Experiment(grid, "{task}_s{samples[0]}", train),
    "operative-measures": Experiment(measured_grid, "{task}_s{sample}", measure),
    "operative-panels": Experiment(panels_grid, "{task}_{set}{sample}", measure),
}
