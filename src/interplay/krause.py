"""The forty networks that Krause et al. (2022) trained and published (MIT licence).

From the folder `INTERPLAY_DATA` if it is set, else from their home: GitHub, ManteLab/operative_dimensions,
data/pretrained_networks; address and checksum stand in homes.txt.
"""

from pathlib import Path

import h5py
import numpy as np
import pooch
import xarray as xr

from . import edge
from .corpus import HOMES, DataError, given, home_of

FILES = {"context-integration": "ctxt_weights.h5", "sine-wave": "swg_weights.h5"}
NUMBER, N = 20, 100  # networks a task, units
LICENCE = Path(__file__).with_name("licence_krause.txt")
SHAPES = {  # of each array as it is stored; HDF5 has them written column by column
    "context-integration": {"n_Wrr_n": (N, N), "n_Wru_v": (5, N), "m_Wzr_n": (N, 1)},
    "sine-wave": {"n_Wrr_n": (N, N), "n_Wru_v": (1, N), "m_Wzr_n": (N, 1)},
}


def authors(task: str, number: int) -> xr.Dataset:
    """One of the authors' networks: W0, W (unit, unit_in), M0, M (unit, channel_in), v0, v (unit, channel_out).

    number: 1 to 20; W0, M0, v0 are those before training.  Biases and initial states are zero in all of them.
    Raises ValueError for another task or number, DataError for a file that cannot be had or is not the published one.
    """
    edge.one_of("task", task, tuple(FILES))
    edge.number("number", number, 1, NUMBER, whole=True)
    table = dict(line.split()[:2] for line in HOMES.read_text("utf-8").splitlines())
    address = next(line.split()[2] for line in HOMES.read_text("utf-8").splitlines() if line.startswith(FILES[task]))
    path = given(f"krause/{FILES[task]}", FILES[task]) or home_of(FILES[task])
    if (found := f"sha256:{pooch.file_hash(str(path))}") != table[FILES[task]]:
        raise DataError(
            f"{path} has the checksum {found}, not {table[FILES[task]]}: it is cut or changed, get it again"
        )
    about = {"task": task, "number": number, "home": address, "home_commit": address.split("/")[5]}
    return read(path, task, number).assign_attrs(about, licence=LICENCE.read_text("utf-8"))


def read(path: Path, task: str, number: int) -> xr.Dataset:
    """One network of a file of weights, as in `authors`; DataError if it is not there or has another shape."""
    dims = {"n_Wrr_n": ("W", "unit_in"), "n_Wru_v": ("M", "channel_in"), "m_Wzr_n": ("v", "channel_out")}
    held = {}
    try:
        with h5py.File(path) as file:
            for stage, mark in (("init", "0"), ("final", "")):
                for stored, (name, other) in dims.items():
                    values, wanted = file[f"NetNr{number}/{stage}/{stored}"][:], SHAPES[task][stored]
                    if values.shape != wanted:
                        raise DataError(f"{stored} of network {number} in {path} is {values.shape}, not {wanted}")
                    held[name + mark] = (("unit", other), values if name == "v" else values.T)
    except KeyError:
        raise DataError(f"{path} has no network {number}, or not all of it") from None
    except OSError as fault:
        raise DataError(f"{path} cannot be read ({fault}): get it again") from fault
    if not all(np.isfinite(values).all() for _, values in held.values()):
        raise DataError(f"network {number} in {path} has weights that are not finite")
    return xr.Dataset(held)
