"""Measures of Schuessler et al. (2020), Figures 1 and 2: networks of 256 units trained on three tasks."""

import numpy as np
import torch
import xarray as xr

from .. import lowrank, rnn, tasks
from ..experiments import kept, training
from ..seeds import seed
from .recorded import Ratio, recorded

TRAINED = {"all weights": "training sweep", "W alone": "recurrent recurrent-sweep"}


def initial_loss(task: str, g: list[float]) -> xr.DataArray:
    """Training loss of epoch 0 in units of chance, the loss of a zero output; mean over g."""
    return kept("training", "loss", task=task, g=g, epoch=0).mean("g") / tasks.get(task)().chance


def epochs_to_5_percent(task: str, g: float | list[float], trained: str = "all weights") -> xr.DataArray:
    """First epoch whose training loss is below 5 % of the first; none if it never is."""
    return training.convergence_epoch(kept(TRAINED[trained], "loss", task=task, g=g))


def norm_of_change(task: str, g: float, trained: str = "all weights") -> xr.DataArray:
    """Frobenius norm of dW."""
    return recorded(TRAINED[trained], "values_change", task=task, g=g, take={"mode": "norm"})


def functional_rank(task: str, g: float | list[float]) -> xr.DataArray:
    """First rank of dW at which the loss is below 5 % of that without dW; mean over g, none if one has none."""
    ranks = lowrank.functional_rank(kept("training sweep", "loss_at_rank", task=task, g=g), first=True)
    return ranks.mean("g", skipna=False) if "g" in ranks.dims else ranks


def largest_functional_rank(g: list[float]) -> xr.DataArray:
    """Largest functional rank of all networks that reached 5 %, all tasks; 26 for one without a rank up to 25."""
    loss, at_rank = (kept("training sweep", name, g=g) for name in ("loss", "loss_at_rank"))
    return (
        lowrank.functional_rank(at_rank, first=True).fillna(26).where(training.convergence_epoch(loss).notnull()).max()
    )


def failing_networks(task: str, g: list[float]) -> xr.DataArray:
    """Count of g at which a network never reaches 5 %, or has no functional rank."""
    ranks = lowrank.functional_rank(kept("training sweep", "loss_at_rank", task=task, g=g), first=True)
    return (epochs_to_5_percent(task, g) + ranks).isnull()


def spread_over_sizes(task: str, g: float, N: list[int]) -> Ratio:
    """Largest over smallest mean norm of dW among sizes N, less 1; the interval is that of these two sizes."""
    norms = np.sqrt((kept("training sizes", "values_change", task=task, g=g, N=N) ** 2).sum("mode", min_count=1))
    means = norms.mean("sample").values
    ends = (norms.isel(N=int(size)).dropna("sample") for size in (means.argmax(), means.argmin()))
    return Ratio(*ends, less=1.0)


def initial_norm(g: float, N: int) -> list[float]:
    """|W0| / (g sqrt(N)) of the flip-flop's networks, five samples."""
    drawn = rnn.initialise([g] * 5, N, 2, 2, [seed("weights", "flip-flop", N, g, sample) for sample in range(5)]).W
    return (torch.linalg.matrix_norm(drawn) / N**0.5 / g).tolist()
