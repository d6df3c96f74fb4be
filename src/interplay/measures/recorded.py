"""Measures of any variable of any experiment's kept results, without a line of Python."""

from typing import NamedTuple

import numpy as np
import xarray as xr

from ..experiments import kept


class Ratio(NamedTuple):
    """Two independent sets of networks, one value each: a claim on mean(above) / mean(below) - less."""

    above: xr.DataArray
    below: xr.DataArray
    less: float = 0.0
    samples: int | None = None  # to be shown, if not those of both sets


def recorded(
    experiment: str, variable: str, *, over=None, less=None, above=None, below=None, take=None, **labels
) -> xr.DataArray:
    """A variable at labels, one value a network; these are done in turn, where given:

    over, less: divide by, or take away, what some other labels give (null: leave a label out; `variable`: another one)
    above, below: whether it is above, or below, a level
    take: {dimension: how}, over which to take the max, min, mean, median, sum, norm, idxmin, or the first label that is
    true
    """
    found = kept(experiment, variable, **labels)
    for change, combine in ((over, xr.DataArray.__truediv__), (less, xr.DataArray.__sub__)):
        if change:
            found = combine(found, kept(experiment, **{"variable": variable} | labels | change))
    for level, compare in ((above, xr.DataArray.__gt__), (below, xr.DataArray.__lt__)):
        if level is not None:
            found = compare(found, level)
    for dim, how in (take or {}).items():
        own = {"first": _first, "norm": _norm}
        found = own[how](found, dim) if how in own else getattr(found, how)(dim)
    return found


def _first(there: xr.DataArray, dim: str) -> xr.DataArray:
    return there.idxmax(dim).where(there.any(dim)).astype(float)


def _norm(values: xr.DataArray, dim: str) -> xr.DataArray:
    return xr.apply_ufunc(np.linalg.norm, values, input_core_dims=[[dim]], kwargs={"axis": -1})


def ratio_of_means(measure: dict, over: dict, samples: int | None = None) -> Ratio:
    """Ratio of the means of a measure in two independent sets of networks: {name: labels}, `over` changed labels."""
    from . import MEASURES

    ((name, labels),) = measure.items()
    return Ratio(MEASURES[name](**labels), MEASURES[name](**labels | over), samples=samples)
