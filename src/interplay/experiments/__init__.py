"""What each experiment computes, over which grid, at which scale; run, resume, load.

An experiment is cut into units of work, each kept in one file `<scale>/<experiment>/<unit>.nc` of the archive.
`INTERPLAY_SCALE` is smoke (seconds, numbers mean little), lite (minutes, the effect is plain) or paper (the default).
"""

import os
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import Executor, as_completed
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from tqdm import tqdm

from .. import archive, rnn
from . import linear, operative, pathways, sentiment, training

SCALES = ("smoke", "lite", "paper")


class Experiment(NamedTuple):
    """units(scale) lists the settings of every unit; compute(settings, device) does one; work(settings) is its size."""

    units: Callable[[str], list[dict]]
    compute: Callable[[dict, str], xr.Dataset]
    work: Callable[[dict], float]


EXPERIMENTS = {
    "training": Experiment(training.units, training.compute, training.work),
    "recurrent": Experiment(training.recurrent_units, training.compute, training.work),
    "sweep": Experiment(training.sweep_units, training.compute, training.work),
    "recurrent-sweep": Experiment(training.recurrent_sweep_units, training.compute, training.work),
    "sizes": Experiment(training.size_units, training.compute, training.work),
} | {
    f"{family}-{kind}": Experiment(partial(part.units, kind), part.compute, part.work)
    for family, part in (
        ("linear", linear),
        ("operative", operative),
        ("pathways", pathways),
        ("sentiment", sentiment),
    )
    for kind in part.KINDS
}


def scale(chosen: str | None = None) -> str:
    """The scale chosen, or that of `INTERPLAY_SCALE`; raises ValueError if there is no such scale."""
    name = chosen or os.environ.get("INTERPLAY_SCALE", "paper")
    if name not in SCALES:
        raise ValueError(f"unknown scale {name!r}: choose one of {', '.join(SCALES)}")
    return name


def experiment(name: str) -> Experiment:
    """The experiment of that name; raises ValueError if there is none."""
    if name not in EXPERIMENTS:
        raise ValueError(f"unknown experiment {name!r}: choose one of {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]


def path(name: str, settings: dict, at: str) -> Path:
    """Where one unit of an experiment is kept."""
    return archive.folder() / at / name / f"{settings['unit']}.nc"


def compute(name: str, settings: dict, device: str = "auto", threads: int | None = None) -> xr.Dataset:
    """One unit of an experiment with its provenance, in whichever process this runs; nothing is kept."""
    if threads:  # here and not when a worker starts: a cluster starts dead ones again as it likes
        torch.set_num_threads(threads)
    chosen = rnn.device(device)
    return archive.made(settings, lambda: experiment(name).compute(settings, chosen), str(chosen))


def fetch(name: str, settings: dict, at: str, device: str = "auto") -> xr.Dataset:
    """One unit: read if it is kept, else computed and kept."""
    chosen = rnn.device(device)
    return archive.fetch(
        path(name, settings, at), settings, lambda: experiment(name).compute(settings, chosen), str(chosen)
    )


def fetch_present(name: str, settings: dict, at: str) -> xr.Dataset | None:
    """One unit as `fetch` gives it if it is there; None, with a warning, if its file is damaged."""
    try:
        data = archive.look(file := path(name, settings, at), settings)
    except archive.Damaged as fault:
        warnings.warn(f"{fault}; left out", stacklevel=3)
        return None
    return fetch(name, settings, at) if data is None and file.exists() else data  # there, and to be trained again


def load(name: str, at: str | None = None, *, present: bool = False) -> xr.Dataset:
    """All units of an experiment as one labelled dataset; what is missing is computed, or left out if `present`.

    A damaged file is named in a warning and taken as missing.
    Raises ValueError for an unknown experiment or scale, or if `present` and no unit is there.
    """
    at, units = scale(at), experiment(name).units(scale(at))
    if not present:
        return archive.combine([fetch(name, unit, at) for unit in units])
    if not (found := [data for unit in units if (data := fetch_present(name, unit, at)) is not None]):
        raise ValueError(f"no unit of {name} is kept at scale {at}: `python -m interplay run {name} --scale {at}`")
    return archive.combine(found)


def status(name: str, at: str) -> tuple[int, int, float, list[str]]:
    """Units kept, units in all, seconds the missing ones will take on one worker (NaN before the first is done).

    Last, a sentence for every file that is damaged or cannot be read: such a unit counts as missing.
    """
    chosen, done, spent, faults = experiment(name), [], 0.0, []
    units = chosen.units(at)
    for unit in units:
        if (file := path(name, unit, at)).exists():
            try:
                spent += archive.read(file).attrs["seconds"]
                done.append(unit)
            except archive.ArchiveError as fault:
                faults.append(str(fault))
    work = sum(map(chosen.work, done))
    todo = sum(map(chosen.work, units)) - work
    return len(done), len(units), todo * spent / work if done else (np.nan if todo else 0.0), faults


def run(name: str, at: str, executor: Executor | None = None, device: str = "auto", threads: int | None = None) -> None:
    """Compute what is missing of an experiment, in this process or by any `concurrent.futures.Executor`.

    Results come back to this process, which keeps each as it is finished: workers need no folder in common.
    Raises before any work if a name, the scale, the device, the folder of results or a kept result will not do.
    """
    units = experiment(name).units(scale(at))
    rnn.device(device)
    archive.check_writable(archive.folder() / at / name)
    missing = [unit for unit in units if archive.kept(path(name, unit, at), unit) is None]
    kept = len(units) - len(missing)
    with tqdm(total=len(units), initial=kept, desc=f"{name} ({at})", unit="unit", file=sys.stdout) as bar:
        if executor is None:
            for unit in missing:
                archive.write(path(name, unit, at), compute(name, unit, device, threads))
                bar.update()
            return
        submitted = {executor.submit(compute, name, unit, device, threads): unit for unit in missing}
        for done in as_completed(submitted):
            archive.write(path(name, submitted[done], at), done.result())
            bar.update()
