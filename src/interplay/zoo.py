"""The trained networks, ready to run: W0 from its seed, held to a digest; the change from its low-rank factors."""

from typing import NamedTuple

import numpy as np
import torch

from . import archive, experiments, lowrank
from .experiments import training
from .rnn import Weights


class Network(NamedTuple):
    """One network before and after training, each with a network axis of length 1, and its recorded test loss."""

    before: Weights
    after: Weights
    loss: float


def unit_of(name: str, task: str, g: float, sample: int, at: str) -> dict:
    """Settings of the unit that holds a network; raises ValueError that says which networks there are."""
    units = experiments.experiment(name).units(at)
    for unit in units:
        if (unit["task"], unit["sample"]) == (task, sample) and any(np.isclose(g, x) for x in unit["g"]):
            return unit
    there = {key: sorted({x for u in units for x in np.atleast_1d(u[key]).tolist()}) for key in ("task", "g", "sample")}
    raise ValueError(
        f"no network with task {task!r}, g {g}, sample {sample} in {name} at scale {at}; there are {there}"
    )


def load(task: str, g: float, sample: int, name: str = "training", at: str | None = None) -> Network:
    """A trained network, computed first if it is not kept.

    task, g, sample: what it is; name: the experiment ("training": g = 0 and 0.9; "sweep": the others)
    Raises ValueError if there is no such network, ArchiveError if W0 does not come out of its seed as it did.
    """
    at = experiments.scale(at)
    unit = unit_of(name, task, g, sample, at)
    data = experiments.fetch(name, unit, at).sel(task=task, sample=sample).isel(N=0).sel(g=g, method="nearest")
    before = training.initial(unit | {"g": [float(data.g)]}, torch.device("cpu"))
    if (found := training.digests(before.W)[0]) != (wanted := str(data.W0_digest.values)):
        raise archive.ArchiveError(
            f"W0 of {task}, g = {g}, sample {sample} has digest {found}, not {wanted}: numpy changed"
        )
    kept = (data[part] for part in ("left", "right", "input_change", "readout_change"))
    left, right, dM, dv = (torch.from_numpy(part.dropna(part.dims[-1]).values.astype(np.float32)) for part in kept)
    change = lowrank.unpack(left, right, torch.tensor(float(data.factor_scale)))
    after = Weights(before.W + change, before.M + dM, before.v + dv)
    return Network(before, after, float(data.loss_test))
