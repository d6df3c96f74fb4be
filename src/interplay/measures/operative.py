"""Measures of Krause et al. (2022): which dimensions of W the dynamics of trained networks use."""

from collections.abc import Callable
from functools import cache, wraps

import numpy as np
import torch
import xarray as xr
from scipy.optimize import minimize
from torch import Tensor

from .. import lowrank, operative
from ..experiments import kept
from ..experiments import operative as trained

MEASURES, NETWORKS, AUTHORS = "operative-measures", "operative-networks", "operative-authors"


@cache
def _pairs() -> list[tuple[Tensor, Tensor]]:
    """W (N, N) and sampled states (K, N) of every network, float64."""
    found = []
    for task in trained.TASKS:
        W, states = (kept(of, name, task=task) for of, name in ((NETWORKS, "W"), (MEASURES, "states")))
        for sample in W["sample"].values:
            X = torch.as_tensor(states.sel(sample=sample).values).double()
            found.append((torch.as_tensor(W.sel(sample=sample).values).double(), X[X.isfinite().all(1)]))
    return found


def _of_every_network(measure: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], list[float]]:
    @wraps(measure)
    def each() -> list[float]:
        return [float(measure(W, X)) for W, X in _pairs()]

    del each.__wrapped__  # it takes no labels
    return each


@_of_every_network
def one_step_error(W, X):
    """Relative error of the effect of removing a direction: one Euler step against |a . W r|."""
    a = torch.ones(len(W), 1).double() / len(W) ** 0.5
    one, other = (0.9 * X + 0.1 * torch.tanh(X) @ matrix.mT for matrix in (W, operative.remove(W, a)))
    formula = (torch.tanh(X) @ W.mT @ a).abs()[:, 0]
    return ((one - other).norm(dim=1) / 0.1 - formula).abs().max() / formula.max()


@_of_every_network
def orthogonal_effect(W, X):
    """Largest effect of removing a direction orthogonal to the drive, over that of removing the drive's."""
    drive, size = operative.local_columns(W, X)
    a = 1 - drive.sum(1)[:, None] * drive  # one direction a state
    return ((a / a.norm(dim=1, keepdim=True)) * drive * size[:, None]).sum(1).abs().max() / size.max()


@_of_every_network
def drives_error(W, X):
    """Largest difference of the singular values of weighted local columns and of W R, over the first."""
    s, exact = operative.dimensions(W, X, "columns")[1], torch.linalg.svdvals(W @ torch.tanh(X).mT)
    return (s[: len(exact)] - exact).abs().max() / exact[0]


@_of_every_network
def missed_drive_error(W, X):
    """Relative error of |(W - W_k) R|^2 = sum of the squared singular values left out, k = 10."""
    R, (U, s) = torch.tanh(X).mT, operative.dimensions(W, X, "columns")
    return (((W - operative.keep(W, U[:, :10])) @ R).square().sum() / s[10:].square().sum() - 1).abs()


def local_row_over_search() -> list[float]:
    """First local row effect over the best of two searches (BFGS, random starts), two states of four networks."""
    found = []
    for n, (W, X) in enumerate(_pairs()[::5]):
        rng, (_, effects) = np.random.RandomState(n), operative.local_rows(W, X[[20, 60]], 1)
        for x, ours in zip(X[[20, 60]], effects[:, 0], strict=True):
            matrix, r = W.numpy(), torch.tanh(x).numpy()

            def effect(b, matrix=matrix, r=r):
                return -np.linalg.norm(matrix @ b) * abs(b @ r) / (b @ b)

            best = min(minimize(effect, rng.standard_normal(len(r)), tol=1e-10).fun for _ in range(2))
            found.append(float(ours) / -best)
    return found


def row_bounds_slack() -> float:
    """Smallest slack of |W r| <= effect <= s_1 |r|, over states and networks, in units of |W r|."""
    low, mid, high = (kept(MEASURES, name) for name in ("drive", "first_row_effect", "bound"))
    return np.minimum(mid - low, high - mid).min() / low.where(mid.notnull()).mean()


def _variances(task: str, of: str, experiment: str) -> list[Tensor]:
    """Squared values of a spectrum: "activity", "W", or the dimensions of a kind."""
    direct = {"activity": "values_activity", "W": "values_W"}
    values = (
        kept(experiment, direct[of], task=task)
        if of in direct
        else kept(experiment, "dimension_values", task=task, kind=of)
    )
    return [torch.as_tensor(one) ** 2 for one in values.transpose("sample", "index").values]


def participation_ratio(task: str, of: str, experiment: str = MEASURES) -> list[float]:
    """(sum v)^2 / sum v^2 of the variances of activity, W, or the dimensions of a kind."""
    return [operative.participation(v) for v in _variances(task, of, experiment)]


def dimensions_for_variance(task: str, of: str, share: float, experiment: str = MEASURES) -> list[float]:
    """Number of dimensions that hold a share of the variance of activity, W, or the dimensions of a kind."""
    return [float(operative.enough(v, share)) for v in _variances(task, of, experiment)]


def sufficient_dimensions(
    task: str, kind: str, *, over: str | None = None, less: str | None = None, experiment: str = MEASURES
) -> np.ndarray:
    """Rank from which on the error is within 0.01 of the full network's; over that, or less that, of another kind."""
    cost, full = (
        kept(experiment, "cost", task=task).transpose("sample", "kind", "rank"),
        kept(experiment, "full_cost", task=task),
    )
    of = {one: lowrank.smallest_rank(cost.sel(kind=one) <= full + 0.01).values for one in {kind, over, less} - {None}}
    return of[kind] / of.get(over, 1) - of.get(less, 0)


def error_at_rank(task: str, kind: str, rank: int, experiment: str = MEASURES) -> xr.DataArray:
    """Error with so many dimensions of a kind, interpolated between the ranks measured, over the full network's."""
    return kept(experiment, "cost", task=task, kind=kind).interp(rank=rank) / kept(experiment, "full_cost", task=task)


def specificity(subset: list[str], rank: int, experiment: str = MEASURES) -> xr.DataArray:
    """Error on the other function's trials over that on the own, one function's columns kept; geometric mean of two."""
    label = {"subset_rank" if experiment == AUTHORS else "rank": rank}
    cost = kept(experiment, "subset_cost", task="context-integration", subset=subset, **label)
    return np.exp(np.log(cost.sel(tested="other") / cost.sel(tested="own")).mean("subset"))
