"""Networks that integrate evidence or make sine waves, and which dimensions of W they use (Krause et al. 2022).

`operative-networks` trains; `operative-measures` reduces each network to k directions of every kind and runs it;
`operative-authors` does so with the networks that the authors published.
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
TASKS = tuple(TABLE["operative-networks"]["phases"])
SUBSETS = ("context 1", "context 2", "positive choice", "negative choice")


def grid(scale: str) -> list[dict]:
    """Settings of every group of networks to train."""
    own = TABLE["operative-networks"]
    return [unit | {"phases": own["phases"][unit["task"]]} | of_task(unit) for unit in scaled(own, scale)]


def of_task(unit: dict) -> dict[str, dict]:
    """The fields of the unit's task."""
    return {"task_fields": asdict(tasks.get(unit["task"])())}


def measured_grid(scale: str) -> list[dict]:
    """Settings of every network to measure, those of its group among them."""
    own, made = TABLE["operative-measures"], []
    for group in EXPERIMENTS["operative-networks"].units(scale):
        one = {name: group[name] for name in ("task", "N", "updates", "noise", "task_fields")} | own["all"] | own[scale]
        one |= own[group["task"]] | {"scale": scale, "group": group, "sampling": one["sampling"][group["task"]]}
        one |= {"ranks": [k for k in one["ranks"] if k <= group["N"]]}
        made += [one | {"sample": sample} for sample in group["samples"]]
    return made


def authors_grid(scale: str) -> list[dict]:
    """Settings of every network that the authors published, or of the first few."""
    return [unit | of_task(unit) for unit in scaled(TABLE["operative-authors"], scale)]


def made(unit: dict, **changes: float) -> tasks.Task:
    """The task of a unit, with changes of its fields."""
    return tasks.get(unit["task"])(**(unit["task_fields"] | changes))


def initial(unit: dict, device: torch.device) -> tuple[rnn.Weights, torch.Tensor]:
    """Networks of a unit before training: W ~ N(0, 1/N), M ~ N(0, 1/n_in), v ~ N(0, readout^2/N); h0 zero."""
    task, N = made(unit), unit["N"]
    seeds = [seed("operative", unit["task"], N, sample) for sample in unit["samples"]]
    W, M, v = rnn.initialise([1.0] * len(seeds), N, task.n_in, task.n_out, seeds, device=device)
    M, v = M * W.new_tensor(N) ** -0.5 * math.sqrt(N / task.n_in), v * W.new_tensor(N) ** 0.5 * unit["readout"]
    return rnn.Weights(W, M, v), torch.zeros(len(seeds), starts(task), N, device=device)


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
    dims = (
        ("unit", "unit_in"),
        ("unit", "unit_in"),
        ("unit", "channel_in"),
        ("unit", "channel_out"),
        ("start", "unit"),
    )
    parts = zip(("W0", "W", "M", "v", "h0"), dims, (W0, *(part.detach() for part in moving)), strict=True)
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
    """One network trained here, reduced to k directions of each kind; its sampled states are kept."""
    held = fetch("operative-networks", unit["group"], unit["scale"])
    data, coordinates = measured(unit, *network(held, unit["task"], unit["sample"]))
    return dataset(data, {"task": unit["task"], "sample": unit["sample"]}, **coordinates)


def measure_authors(unit: dict, device: torch.device) -> xr.Dataset:
    """The same of a network of the authors, with the spectra of its start and of its change."""
    held = krause.authors(unit["task"], unit["sample"])
    W, M, v, W0 = (torch.as_tensor(held[name].values).float() for name in ("W", "M", "v", "W0"))
    h0 = torch.zeros(1, starts(made(unit)), unit["N"])
    data, coordinates = measured(unit, rnn.Weights(W[None], M[None], v[None]), h0)
    data |= {"values_W0": (("index",), torch.linalg.svdvals(W0)),
             "values_change": (("index",), torch.linalg.svdvals(W - W0))}  # fmt: skip
    kept = {name: part for name, part in data.items() if name not in ("states", "label")}
    coordinates.pop("what")
    return dataset(kept, {"task": unit["task"], "sample": unit["sample"]}, **coordinates).assign_attrs(held.attrs)


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
        z = operative.outputs(Wk, weights, inputs[:, :, trials], task.dt, begin[:, trials], noise[:, :, trials])
        return (z - targets[:, :, trials]).square().mean((0, 2, 3)).numpy()

    def distance(Wk):
        return operative.state_distance(Wk, weights, inputs[:, :, some], task.dt, begin[:, some]).numpy()

    visited = rnn.simulate(weights, inputs, dt=task.dt, h0=begin, noise=noise, keep_states=True)[1][:, 0]
    data = cuts(unit, W, states, draw["random"], costs, distance) | {
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
    coordinates = {"kind": unit["kinds"], "rank": unit["ranks"], "what": ["group", "choice"]}
    if isinstance(task, tasks.ContextIntegration):
        which = "subset_ranks" if "subset_ranks" in unit else "ranks"
        kept = by_function(W, states, labels, drawn, unit[which], costs)
        data["subset_cost"] = (("subset", "tested", which[:-1]), kept)
        coordinates |= {"subset": list(SUBSETS), "tested": ["own", "other"], which[:-1]: unit[which]}
    return data, coordinates


def cuts(unit: dict, W, states, drawing: torch.Generator, costs, distance) -> dict[str, tuple]:
    """By kind and rank: cost, distance of states, and the shares of W and of the drive that are missed."""
    exact, rates, found = W.double(), torch.tanh(states.double()).mT, []
    norm = torch.linalg.matrix_norm
    for kind in unit["kinds"]:
        Q, values = operative.dimensions(W, states, kind, drawing, unit["local"])
        Wk = operative.reduced(exact, Q, unit["ranks"], kind in operative.INPUT_SIDE)
        missed = {
            "missed_drive": norm((exact - Wk) @ rates) / norm(exact @ rates),
            "missed_W": norm(exact - Wk) / norm(W),
        }
        found.append({"cost": costs(Wk), "distance": distance(Wk), "dimension_values": values} | missed)
    dims = {name: ("kind", "index" if name == "dimension_values" else "rank") for name in found[0]}
    return {name: (own, np.stack([one[name] for one in found]).astype(np.float32)) for name, own in dims.items()}


def by_function(W, states, labels, drawn, ranks: list[int], costs) -> np.ndarray:
    """Cost (subset, tested, rank) on trials of own and other function, keeping columns of one function alone."""
    context, drift = (part[0] for part in drawn)
    positive, found = drift.gather(1, context[:, None])[:, 0] > 0, []
    of = ((0, 0, context == 0), (0, 1, context == 1), (1, 1, positive), (1, 0, ~positive))  # as SUBSETS
    for column, value, trials in of:
        Q, _ = operative.dimensions(W, states[torch.as_tensor(labels[:, column] == value)], "columns")
        Wk = operative.reduced(W.double(), Q, ranks)
        found.append([costs(Wk, trials), costs(Wk, ~trials)])
    return np.array(found, np.float32)


EXPERIMENTS = {
    "operative-networks": Experiment(grid, "{task}_s{samples[0]}", train),
    "operative-measures": Experiment(measured_grid, "{task}_s{sample}", measure),
    "operative-authors": Experiment(authors_grid, "{task}_n{sample}", measure_authors),
}
