"""The trained networks, ready to run: W0 from its seed, held to a digest; the change from its low-rank factors."""

import json
import os
import re
from contextlib import suppress
from importlib.metadata import distribution
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import xarray as xr

from . import archive, corpus, edge, experiments, lowrank, tasks
from .experiments import training
from .rnn import Weights
from .seeds import fingerprint

EXPERIMENTS = ("training", "sweep")  # where networks are kept
CHECKSUMS = Path(__file__).with_name("networks.txt")  # of their files in `results/`, as pooch reads them


class Network(NamedTuple):
    """One network before and after training, each with a network axis of length 1, and its recorded test loss."""

    before: Weights
    after: Weights
    loss: float


def unit_of(task: str, g: float, sample: int, at: str) -> tuple[str, dict]:
    """Experiment ("own": of a reader's task) and unit that hold a network; ValueError says which networks there are."""
    if task in tasks.TASKS and task not in tasks.BOOK:
        return "own", training.networks(lambda scale: [training.settings(scale, task, (g,), sample)]).units(at)[0]
    units = [(name, unit) for name in EXPERIMENTS for unit in experiments.experiment(name).units(at)]
    for name, unit in units:
        if (unit["task"], unit["sample"]) == (task, sample) and np.isclose(g, unit["g"]).any():
            return name, unit
    there = {key: np.unique(np.hstack([unit[key] for _, unit in units])).tolist() for key in ("task", "g", "sample")}
    raise ValueError(f"no network with task {task!r}, g {g}, sample {sample} at scale {at}; there are {there}")


def load(
    task: str,
    g: float,
    sample: int,
    at: str | None = None,
    device: str | torch.device = "cpu",
    *,
    train: bool | None = None,
) -> Network:
    """A trained network, read from `archive.folder()`: `INTERPLAY_RESULTS`, or `results/` of a clone of the book.

    One of the book's that is not there is fetched from `home()`, held to its checksum, and kept there.
    task, g, sample: what it is, as in `index`; any g and sample of a task of your own; device: where weights are wanted
    train: whether one that is not kept is trained, minutes to hours at paper scale, and kept; None: at other scales
    Raises ValueError if there is no such network, ArchiveError if it is neither kept, nor can be had, nor is to be
    trained, or if W0 does not come out of its seed as it did.
    """
    at = experiments.scale(at)
    g, sample = edge.number("g", g, 0), edge.number("sample", sample, 0, whole=True)
    name, unit = unit_of(task, g, sample, at)
    path = experiments.path(name, unit, at)
    if not (at != "paper" if train is None else train):
        if not path.exists():
            _get(path)
        archive.read(path)  # a damaged one is named, and not trained anew
    data = archive.fetch(path, unit, lambda: experiments.compute("training", unit))
    data = data.sel(task=task, sample=sample).isel(N=0).sel(g=g, method="nearest")
    before = training.initial(unit | {"g": [float(data.g)]}, torch.device("cpu"))
    if (found := fingerprint(before.W)) != (wanted := str(data.W0_digest.values)):
        raise archive.ArchiveError(f"W0 of {task}, g = {g}, sample {sample} is {found}, not {wanted}: numpy changed")
    kept = (data[part] for part in ("left", "right", "input_change", "readout_change"))
    left, right, dM, dv = (torch.from_numpy(part.dropna(part.dims[-1]).values.astype(np.float32)) for part in kept)
    change = lowrank.unpack(left, right, torch.tensor(float(data.factor_scale), dtype=torch.float32, device="cpu"))
    after = Weights(before.W + change, before.M + dM, before.v + dv)
    before, after = (Weights(*(w.to(device) for w in weights)) for weights in (before, after))
    return Network(before, after, float(data.loss_test))


def home() -> str | None:
    """Address of the folder `results/`: `INTERPLAY_HOME`, or of the commit on GitHub that pip installed; or none."""
    told = json.loads(distribution("interplay").read_text("direct_url.json") or "{}")
    source = f"{told.get('url')}@{told.get('vcs_info', {}).get('commit_id')}"
    found = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?@([0-9a-f]+)", source)
    installed = found and found.expand(r"https://raw.githubusercontent.com/\1/\2/results")
    return os.environ.get("INTERPLAY_HOME") or installed


def _get(path: Path) -> None:
    """Fetch a file of kept networks to its place."""
    name = path.relative_to(archive.folder()).as_posix()
    if (address := home()) and name in CHECKSUMS.read_text("utf-8").split():
        try:
            corpus.home_of(name, CHECKSUMS, archive.folder(), address.rstrip("/") + "/")
        except corpus.DataError as fault:
            raise archive.ArchiveError(str(fault)) from fault
    else:
        raise archive.ArchiveError(
            f"{path} is not there: set INTERPLAY_RESULTS to the folder results/ of a clone of the book, which has the "
            "trained networks, or INTERPLAY_HOME to its address, or have it trained here with zoo.load(..., train=True)"
        )


def index(at: str | None = None) -> pd.DataFrame:
    """All networks of the book that are kept, a row each: task, g, sample, and what was measured.

    loss: on 512 unseen trials; of_first: the same over the first training loss; epoch: first below 5 % of that (NaN:
    never); norm: Frobenius norm of dW; rank: functional rank (NaN: not reached); rank_first: the first rank below
    5 %, as in the paper's figures; factors: kept of dW
    """
    parts = []
    for name in EXPERIMENTS:
        with suppress(ValueError):  # nothing of it is kept
            parts.append(experiments.load(name, at, present=True))
    if not parts:
        return pd.DataFrame(columns=["task", "g", "sample"])
    data = archive.combine(parts).isel(N=0, drop=True)
    columns = {
        "loss": data.loss_test,
        "of_first": data.loss_test / data.loss.isel(epoch=0, drop=True),
        "epoch": training.convergence_epoch(data.loss),
        "norm": np.sqrt((data.values_change**2).sum("mode")),
        "rank": lowrank.functional_rank(data.loss_at_rank),
        "rank_first": lowrank.functional_rank(data.loss_at_rank, first=True),
        "factors": data.left.isel(neuron=0, drop=True).notnull().sum("factor"),
    }
    table = xr.Dataset(columns).to_dataframe().dropna(subset=["loss"]).reset_index()
    return table.sort_values(["task", "g", "sample"], ignore_index=True)
