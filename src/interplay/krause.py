"""The forty networks that Krause et al. (2022) trained and published (MIT licence).

From the folder `INTERPLAY_DATA` if it is set, else from their home: GitHub, ManteLab/operative_dimensions,
data/pretrained_networks; address and checksum stand in homes.txt.
"""

from hashlib import sha256
from itertools import product
from pathlib import Path

import h5py
import xarray as xr

from . import edge
from .corpus import HOMES, DataError, given, home_of

FILES = {"context-integration": ("ctxt_weights.h5", 5), "sine-wave": ("swg_weights.h5", 1)}  # and inputs
NUMBER, N = 20, 100  # networks a task, units
LICENCE = Path(__file__).with_name("licence_krause.txt")


def authors(task: str, number: int) -> xr.Dataset:
    """One of the authors' networks: W0, W (unit, unit_in), M0, M (unit, channel_in), v0, v (unit, channel_out).

    number: 1 to 20; W0, M0, v0 are those before training.  Biases and initial states are zero in all of them.
    Raises ValueError for another task or number, DataError for a file that cannot be had or is not the published one.
    """
    name, _ = FILES[edge.one_of("task", task, tuple(FILES))]
    edge.number("number", number, 1, NUMBER, whole=True)
    homes = {file: rest for file, *rest in map(str.split, HOMES.read_text("utf-8").splitlines())}
    wanted, address = homes[name]
    path = given(f"krause/{name}", name) or home_of(name)
    if (found := f"sha256:{sha256(path.read_bytes()).hexdigest()}") != wanted:
        raise DataError(f"{path} has the checksum {found}, not {wanted}: it is cut or changed, get it again")
    about = {"task": task, "number": number, "home": address, "home_commit": address.split("/")[5]}
    return read(path, task, number).assign_attrs(about, licence=LICENCE.read_text("utf-8"))


def read(path: Path, task: str, number: int) -> xr.Dataset:
    """One network of a file of weights, as in `authors`; DataError if it is not there or has another shape."""
    stored = {  # name there, name here, shape there: all but the readout were written transposed
        "n_Wrr_n": ("W", ("unit_in", "unit"), (N, N)),
        "n_Wru_v": ("M", ("channel_in", "unit"), (FILES[task][1], N)),
        "m_Wzr_n": ("v", ("unit", "channel_out"), (N, 1)),
    }
    held = {}
    try:
        with h5py.File(path) as file:
            for stage, there in product(("init", "final"), stored):
                name, dims, shape = stored[there]
                values = file[f"NetNr{number}/{stage}/{there}"][()]
                if values.shape != shape:
                    raise DataError(f"{there} of network {number} in {path} is {values.shape}, not {shape}")
                held[name + "0" * (stage == "init")] = (dims, values)
    except (KeyError, TypeError):
        raise DataError(f"{path} has no network {number}, or not all of it") from None
    except OSError as fault:
        raise DataError(f"{path} cannot be read ({fault}): get it again") from fault
    return xr.Dataset(held).transpose("unit", ...)
