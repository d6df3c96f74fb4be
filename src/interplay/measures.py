"""Measures of the ledger: what a claim is decided by.  `claims/*.yaml` names them with their labels.

A measure gives one value a sample, from kept results; booleans (sample, ...) where networks are counted; a `Ratio`
where the claim is on a ratio of means.  It raises `ArchiveError` where a result cannot be read, and `LabelError` for a
label that the results do not have.
"""

import operator
from functools import partial
from inspect import isfunction
from typing import NamedTuple

import numpy as np
import xarray as xr

from . import lowrank, pathways, theory
from .experiments import LabelError, kept, training

SWEEP = "training sweep"


class Ratio(NamedTuple):
    """Two independent sets of networks, one value each: a claim on mean(above) / mean(below) - less."""

    above: xr.DataArray
    below: xr.DataArray
    less: float = 0.0


def recorded(experiment: str, variable: str, **asked) -> xr.DataArray:
    """A variable of kept results at labels, one value a network; then, step by step, in the order written:

    over, less, plus: a number, numbers, or what the same steps give at other labels (null: leave a label or step out;
    `variable`: another); above, below, at_least, at_most: whether it is, of the same; missing: true, whether none is
    power, cumulate, interpolate: to a power; summed up along a dimension; {dimension: value} between labels
    take: {dimension: how}, over which to take the max, min, mean, median, sum, norm, largest (size), geometric mean,
    participation (ratio), idxmin, worst (max; what is missing has diverged), last (that is there), first (label that is
    true), from (the first label from which on all are true), or exponent (of a power of 1 - g^2 over g, least squares)
    """
    same, done = {"experiment": experiment}, {name: value for name, value in asked.items() if name not in STEPS}
    found, done = kept(experiment, variable, **done), {"variable": variable} | done
    for name, value in asked.items():
        if name in STEPS and value is not None:
            other = isinstance(value, dict) and name not in ("interpolate", "take")
            found = STEPS[name](found, recorded(**same | done | value) if other else value)
            done[name] = value
    return found


def _take(found: xr.DataArray, take: dict[str, str]) -> xr.DataArray:
    for dim, how in take.items():
        for name, there in ((how, TAKE), (dim, found.dims)):
            if name not in there:
                raise LabelError(f"take has no {name!r}: there is {', '.join(there)}")
        found = TAKE[how](found, dim)
    return found


def _along(function, found: xr.DataArray, dim: str, **options) -> xr.DataArray:
    return xr.apply_ufunc(function, found, input_core_dims=[[dim]], **options)


def _exponent(found: xr.DataArray, dim: str) -> xr.DataArray:
    line = np.log(found).assign_coords({dim: np.log(1 - found[dim] ** 2)}).polyfit(dim, 1, skipna=False)
    return line.polyfit_coefficients.sel(degree=1, drop=True)


STEPS = {"over": operator.truediv, "less": operator.sub, "plus": operator.add, "power": operator.pow, "take": _take}
STEPS |= {"above": operator.gt, "below": operator.lt, "at_least": operator.ge, "at_most": operator.le}
STEPS |= {"cumulate": xr.DataArray.cumsum, "interpolate": xr.DataArray.interp, "missing": lambda x, _: x.isnull()}
TAKE = {name: getattr(xr.DataArray, name) for name in ("max", "min", "median", "sum", "idxmin")}
TAKE |= {
    "mean": partial(xr.DataArray.mean, skipna=False),
    "norm": partial(_along, partial(np.linalg.norm, axis=-1)),
    "largest": lambda found, dim: abs(found).max(dim),
    "geometric mean": lambda found, dim: np.exp(np.log(found).mean(dim)),
    "participation": partial(_along, lowrank.participation),
    "exponent": _exponent,
    "worst": lambda found, dim: found.fillna(np.inf).max(dim),
    "last": lambda found, dim: found.isel({dim: found.notnull().cumsum(dim).argmax(dim)}, drop=True),
    "first": lambda found, dim: lowrank.smallest_rank(found, dim=dim, first=True),
    "from": lambda found, dim: lowrank.smallest_rank(found, dim=dim),
}


def ratio_of_means(measure: dict, over: dict, **both) -> Ratio:
    """Ratio of means of {name: labels} in two independent sets: `over` changes labels of the lower, `both` of both."""
    ((name, labels),) = measure.items()
    return Ratio(MEASURES[name](**labels | both), MEASURES[name](**labels | both | over))


def epochs_to_5_percent(task: str, g: float | list[float], experiment: str = SWEEP, **labels) -> xr.DataArray:
    """First epoch whose training loss is below 5 % of the first; none if it never is."""
    return training.convergence_epoch(kept(experiment, "loss", task=task, g=g, **labels))


def largest_functional_rank(g: list[float], experiment: str = SWEEP, **labels) -> xr.DataArray:
    """Largest functional rank of all networks that reached 5 %, all tasks; 26 for one without a rank up to 25."""
    loss, at_rank = (kept(experiment, name, g=g, **labels) for name in ("loss", "loss_at_rank"))
    ranks = lowrank.functional_rank(at_rank, first=True).fillna(26)
    return ranks.where(training.convergence_epoch(loss).notnull()).max()


def spread_over_sizes(task: str, g: float, N: list[int]) -> Ratio:
    """Largest over smallest mean norm of dW among sizes N, less 1; the interval is that of these two sizes."""
    norms = np.sqrt((kept("training sizes", "values_change", task=task, g=g, N=N) ** 2).sum("mode", min_count=1))
    means = norms.mean("sample").values
    ends = (norms.isel(N=int(size)).dropna("sample") for size in (means.argmax(), means.argmin()))
    return Ratio(*ends, less=1.0)


def shuffled_loss_above_law(target: list[float], g: list[float]) -> xr.DataArray:
    """Loss of linear networks after shuffling W0, less the law for small targets; mean over targets and g."""
    loss = kept("linear-exact", "shuffled", target=target, g=g)
    return (loss - xr.DataArray(theory.shuffle_law(loss.g.values), dims="g")).mean(("g", "target"))


def row_bounds_slack() -> float:
    """Smallest slack of |W r| <= effect <= s_1 |r|, over states and networks, in units of |W r|."""
    low, mid, high = (kept("operative-measures", name) for name in ("drive", "first_row_effect", "bound"))
    return np.minimum(mid - low, high - mid).min() / low.where(mid.notnull()).mean()


def modes_out_of_order(depth: int) -> list[float]:
    """Share of pairs of modes not learned in the order of their singular values (a tie counts as not); one a seed."""
    half, s = kept("pathways-order", "half_time", depth=depth).values, pathways.modes()[1].numpy()
    larger = s[:, None] > s + 1e-9
    return [float((~(one[:, None] < one))[larger].mean()) for one in half]


def share(experiment: str, modes: list[int], of: str, **labels) -> np.ndarray:
    """Share of the first of two pathways in the modes, one a seed.

    of: "winner" (the larger share, of one mode), "distance" (the largest from a half), "least" or "greatest" of modes
    """
    K = kept(experiment, "K", **labels).transpose("seed", "pathway", "out", "in").values
    ends = np.einsum("spii->psi", K)[..., [mode - 1 for mode in modes]]
    first = ends[0] / ends.sum(0)
    if of == "winner":
        return (ends.max(0) / ends.sum(0))[:, 0]
    return {"distance": np.abs(first - 0.5).max(1), "least": first.min(1), "greatest": first.max(1)}[of]


MEASURES = {
    name: found
    for name, found in [*vars().items()]
    if isfunction(found) and found.__module__ == __name__ and name[0] != "_"
}
