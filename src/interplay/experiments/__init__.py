"""What each experiment computes, over which grid, at which scale; run, resume, load.

A family is a module of this package with a table `EXPERIMENTS`, names to `Experiment`; it is imported when one of its
experiments is asked for.  What is a table of its settings stands in a YAML file beside it.  An experiment is cut into
units of work, each kept in one file `<scale>/<experiment>/<unit>.nc` of the archive.  `INTERPLAY_SCALE` is smoke
(seconds, numbers mean little), lite (minutes, the effect is plain) or paper (the default).
"""

import ast
import json
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, as_completed
from functools import cache, lru_cache
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
import yaml
from tqdm import tqdm

from .. import archive, edge, rnn

SCALES = ("smoke", "lite", "paper")
COST = {"epochs": 1, "updates": 1, "depth": 1, "N": 2, "width": 2}  # power with which a size adds to a unit's cost
FROM_ONE = {"mode", "leading", "factor", "layer", "joint", "in", "out", "index"}  # dimensions counted from 1


class Experiment(NamedTuple):
    """grid(scale): settings of every unit, all that decides its result; named: its file, filled from them.

    compute(settings, device) does one unit.
    """

    grid: Callable[[str], Iterable[dict]]
    named: str
    compute: Callable[[dict, torch.device], xr.Dataset]

    def units(self, at: str) -> list[dict]:
        """Settings of every unit at a scale, its name `unit` among them; lists in a name are joined by dashes."""
        plain = str.maketrans({"[": None, "]": None, ",": "-", " ": None})
        return [{"unit": self.named.format_map(one).translate(plain)} | one for one in self.grid(at)]


def table(family: str) -> dict:
    """The settings of a family, from its YAML file."""
    return yaml.safe_load(Path(__file__).with_name(f"{family}.yaml").read_text("utf-8"))


def every(units: list[dict]) -> list[dict]:
    """A unit for every combination of what stands in lists, row by row, the last one changing fastest."""
    return [dict(zip(row, one, strict=True)) for row in units for one in product(*map(edge.several, row.values()))]


def scaled(settings: dict, at: str) -> list[dict]:
    """Every unit of an entry of a table: what holds for `all`, for the scale, and for each of its `units`."""
    common = settings.get("all", {}) | settings[at]
    return [common | one for one in every(common.pop("units"))]


def dataset(held: dict[str, tuple], labels: dict[str, object], **coordinates: object) -> xr.Dataset:
    """Arrays or tensors by name, each (dimensions, values), as the part of a whole that has these labels.

    Dimensions without coordinates are counted: singular values, layers and the like from 1, the rest from 0.
    """
    plain = {name: (dims, values.cpu() if torch.is_tensor(values) else values) for name, (dims, values) in held.items()}
    data = xr.Dataset({name: (dims, np.asarray(values)) for name, (dims, values) in plain.items()})
    free = data.sizes.keys() - coordinates.keys()
    counted = {dim: np.arange(data.sizes[dim]) + (dim in FROM_ONE) for dim in free}
    return data.assign_coords(counted | coordinates).expand_dims({name: [label] for name, label in labels.items()})


@cache
def names() -> dict[str, str]:
    """All experiments, each with its family, by the keys of `EXPERIMENTS` in the sources: nothing is imported."""
    found = {}
    for file in sorted(file for folder in __path__ for file in Path(folder).glob("*.py")):
        for line in ast.parse(file.read_text("utf-8")).body:
            if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "EXPERIMENTS":
                found |= dict.fromkeys(map(ast.literal_eval, line.value.keys), file.stem)
    return found


def scale(chosen: str | None = None) -> str:
    """The scale chosen, or that of `INTERPLAY_SCALE`; raises ValueError if there is no such scale."""
    return edge.one_of("scale", chosen or os.environ.get("INTERPLAY_SCALE", "paper"), SCALES)


def experiment(name: str) -> Experiment:
    """The experiment of that name; raises ValueError if there is none."""
    family = names()[edge.one_of("experiment", name, names())]
    return import_module(f".{family}", __name__).EXPERIMENTS[name]


def path(name: str, settings: dict, at: str) -> Path:
    """Where one unit of an experiment is kept."""
    return archive.folder() / at / name / f"{settings['unit']}.nc"


def compute(name: str, settings: dict, device: str = "auto", threads: int | None = None) -> xr.Dataset:
    """One unit of an experiment with its provenance, in whichever process this runs; nothing is kept."""
    if threads:  # here and not when a worker starts: a cluster starts dead ones again as it likes
        torch.set_num_threads(threads)
    chosen, start = rnn.device(device), time.perf_counter()
    data = experiment(name).compute(settings, chosen)
    spent = time.perf_counter() - start + data.attrs.get("seconds", 0.0)  # and what an earlier process did
    return data.assign_attrs(archive.provenance(settings, spent, str(chosen)))


def fetch(name: str, settings: dict, at: str, device: str = "auto") -> xr.Dataset:
    """One unit: read if it is kept, else computed and kept."""
    rnn.device(device)
    return archive.fetch(path(name, settings, at), settings, lambda: compute(name, settings, device))


def load(name: str, at: str | None = None, *, present: bool = False) -> xr.Dataset:
    """All units of an experiment as one labelled dataset; what is missing is computed, or left out if `present`.

    A damaged file is named in a warning and taken as missing.
    Raises ValueError for an unknown experiment or scale, or if `present` and no unit is there.
    """
    at, found = scale(at), []
    for unit in experiment(name).units(at):
        try:
            there = not present or archive.look(file := path(name, unit, at), unit) or file.exists()
            found += [fetch(name, unit, at)] if there else []
        except archive.Damaged as fault:
            warnings.warn(f"{fault}; left out", stacklevel=2)
    if not found:
        raise ValueError(f"no unit of {name} is kept at scale {at}: `python -m interplay run {name} --scale {at}`")
    return archive.combine(found)


class LabelError(ValueError):
    """A label that no result has; the message names it and those there are."""


def kept(names: str, variable: str, **labels) -> xr.DataArray:
    """One variable of experiments (names with spaces between) at labels, at paper scale, samples first.

    labels: of units or dimensions; a value, a list of them, or {"from": first, "to": last}; None is passed over
    Only units with these labels are read, and all of them: nothing is computed, and nothing left out.
    Raises LabelError for what no result has, ArchiveError for a result that is missing or cannot be read.
    """
    labels = {label: value for label, value in labels.items() if value is not None}
    units = [(name, unit) for name in names.split() for unit in _units(name)]
    for label, value in labels.items():
        asked = {*map(str, edge.several(value))}
        units = [one for one in units if asked & {*map(str, edge.several(one[1].get(label)))}] or units
    try:
        whole = _combined(tuple((name, json.dumps(unit)) for name, unit in units), variable)
    except KeyError:
        raise LabelError(f"{names} has no variable {variable!r}") from None
    for label, value in labels.items():
        there = whole[label].values.tolist() if label in whole.dims else [unit.get(label) for _, unit in units]
        if missing := [] if isinstance(value, dict) else [one for one in edge.several(value) if one not in there]:
            known = ", ".join(map(str, there if label in whole.dims else whole.dims))
            raise LabelError(f"{variable} of {names} has no {label} {missing[0]!r}: there is {known}")
        if label in whole.dims:
            whole = whole.sel({label: slice(value["from"], value["to"]) if isinstance(value, dict) else value})
    alone = [dim for dim in whole.dims if dim != "sample" and whole.sizes[dim] == 1 and dim in units[0][1]]
    return whole.squeeze(alone, drop=True).transpose("sample", ..., missing_dims="ignore")


@cache
def _units(name: str) -> list[dict]:
    return experiment(name).units("paper")


@lru_cache(maxsize=512)
def _combined(units: tuple[tuple[str, str], ...], variable: str) -> xr.DataArray:
    """Of units (experiment, settings); `kept.cache_clear()` has files that changed read again."""
    parts = []
    for name, settings in units:
        unit = json.loads(settings)
        if not (file := path(name, unit, "paper")).exists():
            raise archive.ArchiveError(
                f"results of {name} are missing in {archive.folder()}: `python -m interplay run {name}` computes them"
            )
        parts.append(archive.variable(file, unit, variable))
    return archive.combine(parts)[variable]


kept.cache_clear = _combined.cache_clear


def work(units: list[dict]) -> list[float]:
    """About how much each unit costs beside the others of its experiment: by sizes, and how many networks share it."""
    sizes = [name for name in COST if all(isinstance(unit.get(name), int) for unit in units)]
    lists = [name for name in ("g", "seeds") if all(isinstance(unit.get(name), list) for unit in units)]
    return [math.prod([one[key] ** COST[key] for key in sizes] + [len(one[key]) for key in lists]) for one in units]


def status(name: str, at: str) -> tuple[int, int, float, list[str]]:
    """Units kept, units in all, seconds the missing ones will take on one worker (NaN before the first is done).

    Last, a sentence for every file that is damaged or cannot be read: such a unit counts as missing.
    """
    units, done, spent, faults = experiment(name).units(at), [], 0.0, []
    for unit, cost in zip(units, costs := work(units), strict=True):
        if (file := path(name, unit, at)).exists():
            try:
                spent += archive.read(file).attrs["seconds"]
                done.append(cost)
            except archive.ArchiveError as fault:
                faults.append(str(fault))
    part = sum(done) / sum(costs)
    return len(done), len(units), spent * (1 / part - 1) if done else np.nan, faults


def run(name: str, at: str, executor: Executor | None = None, device: str = "auto", threads: int | None = None) -> None:
    """Compute what is missing of an experiment, in this process or by any `concurrent.futures.Executor`.

    Results come back to this process, which keeps each as it is finished: workers need no folder in common.
    Raises before any work if a name, the scale, the device, the folder of results or a kept result will not do.
    """
    units = experiment(name).units(scale(at))
    rnn.device(device)
    archive.check_writable(archive.folder() / at / name)
    missing = [unit for unit in units if archive.kept(path(name, unit, at), unit) is None]
    how = (device, threads)
    if executor is None:
        done = ((unit, compute(name, unit, *how)) for unit in missing)
    else:
        submitted = {executor.submit(compute, name, unit, *how): unit for unit in missing}
        done = ((submitted[one], one.result()) for one in as_completed(submitted))
    with tqdm(total=len(units), initial=len(units) - len(missing), desc=f"{name} ({at})", file=sys.stdout) as bar:
        for unit, data in done:
            archive.write(path(name, unit, at), data)
            bar.update()
