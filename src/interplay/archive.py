"""Where results live: look up, or compute and keep.  This module knows no science.

A result is an `xarray.Dataset` in one netCDF file, written whole or not at all, with its provenance and a digest of
its contents in its attributes.  The SHA-256 of the file follows the netCDF part as a last line, which other readers
pass over: it is checked before the HDF5 library sees a byte, since some damage makes that library loop for ever.
Folder: `INTERPLAY_RESULTS`, else `results/` of the checkout, else the user's cache.
"""

import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import h5netcdf
import h5py
import numpy as np
import platformdirs
import xarray as xr

FORMAT = 1
HDF5 = ("v110", "v110")  # of the file format: read by HDF5 1.10 and later, and a fifth smaller than the default
written: set[Path] = set()  # in this process
CHECKOUT = Path(__file__).parents[2]


class ArchiveError(RuntimeError):
    """A result that cannot be read or kept; the message names the file and what to do."""


class Damaged(ArchiveError):
    """A file that is not what was written: truncated or altered, its seal broken."""


def folder() -> Path:
    """The folder of results; nothing is created by asking."""
    if chosen := os.environ.get("INTERPLAY_RESULTS"):
        return Path(chosen)
    inside = CHECKOUT / "pyproject.toml"
    return CHECKOUT / "results" if inside.exists() else Path(platformdirs.user_cache_dir("interplay")) / "results"


def digest(data: xr.Dataset) -> str:
    """SHA-256 over names, dimensions, types, values and attributes (its own digest left out)."""
    sha = hashlib.sha256()
    for name in sorted(map(str, data.variables)):
        values = np.ascontiguousarray(data[name].values)  # of a single number, too, one dimension
        text = values.dtype.kind in "OUST"
        raw = "\0".join(map(str, values.ravel())).encode() if text else values.tobytes()
        sha.update(f"{name}|{data[name].dims}|{values.shape}|{'text' if text else values.dtype.str}|".encode() + raw)
    attributes = {name: str(value) for name, value in sorted(data.attrs.items()) if name != "digest"}
    sha.update(json.dumps(attributes).encode())
    return sha.hexdigest()


def provenance(settings: dict, seconds: float, device: str = "cpu") -> dict[str, str | int | float]:
    """Attributes that say what made a result: settings, versions, commit, device, seconds (wall), date."""
    commit = version("interplay")
    if (CHECKOUT / ".git").exists() and shutil.which("git"):
        git = ["git", "-C", str(CHECKOUT), "describe", "--always", "--dirty", "--abbrev=12"]
        commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip() or commit
    return {
        "format": FORMAT,
        "settings": json.dumps(settings, sort_keys=True),
        "versions": json.dumps({"python": platform.python_version(), **{p: version(p) for p in ("torch", "numpy")}}),
        "commit": commit,
        "device": device,
        "seconds": round(seconds, 2),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def check_writable(place: Path) -> None:
    """Raise `ArchiveError` before any work is done if `place` takes no file."""
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place, suffix=".part"):
            pass
    except OSError as fault:
        raise ArchiveError(
            f"results folder {place} cannot be written ({fault.strerror}): "
            "choose another one with INTERPLAY_RESULTS, or mend its permissions or space"
        ) from fault


def _seal(content: bytes) -> bytes:
    return b"\nsha256 " + hashlib.sha256(content).hexdigest().encode() + b"\n"


def write(path: Path, data: xr.Dataset) -> None:
    """Keep `data` at `path`, whole or not at all: a temporary file beside it, then a rename.

    It is packed in memory first, since the HDF5 library ends the process when the disk fills up under it.  Variables
    with "int16" in their encoding hold whole numbers, and are kept so.
    """
    whole = [name for name, var in data.variables.items() if var.encoding.get("dtype") == "int16"]
    data = data.assign({name: data[name].astype(np.float32) + 0.0 for name in whole})  # as it is read: no -0
    data = data.assign_attrs(digest=digest(data))
    short = {"dtype": "int16", "_FillValue": -32768}
    packed = {
        name: {"zlib": True, "complevel": 6, "shuffle": True} | (short if name in whole else {})
        for name, var in data.variables.items()
        if var.ndim and var.dtype.kind in "biufc"
    }
    buffer = io.BytesIO()
    store = xr.backends.H5NetCDFStore(h5netcdf.File(buffer, "w", libver=HDF5))
    data.dump_to_store(store, encoding=packed)
    store.close()
    write_bytes(path, buffer.getvalue())
    checkpoint(path).unlink(missing_ok=True)  # not before: until here it is all there is


def checkpoint(path: Path) -> Path:
    """Where a long computation keeps what it goes on from, until its result is kept at `path`."""
    return path.with_suffix(".checkpoint")


def write_bytes(path: Path, content: bytes) -> None:
    """Keep `content`, sealed, at `path`, whole or not at all."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as kept:
            kept.write(content + _seal(content))
            kept.flush()
            os.fsync(kept.fileno())
        part.replace(path)
        written.add(path)
    except OSError as fault:
        raise ArchiveError(f"{path} could not be kept ({fault.strerror}): what was there is untouched") from fault
    finally:
        part.unlink(missing_ok=True)


def read(path: Path, settings: dict | None = None) -> xr.Dataset:
    """The result at `path`, checked against its seal.

    Raises `ArchiveError`, naming the file, if it is missing, cannot be read, is of another version or was made with
    other settings than those given; `Damaged` if it is truncated or altered.
    """
    file, held, attrs = _open(path, settings)
    return xr.Dataset({name: _once(file, held, name) for name in file if _is_variable(file[name])}, attrs=attrs)


def variable(path: Path, settings: dict, name: str) -> dict[str, xr.Variable]:
    """One variable of the result at `path` and its coordinates, by name, unpacking no other; errors as of `read`.

    Raises KeyError if there is no such variable.
    """
    file, held, _ = _open(path, settings)
    found = _once(file, held, name)
    return {name: found} | {dim: _once(file, held, dim) for dim in found.dims}


def _open(path: Path, settings: dict | None) -> tuple[h5py.File, dict[str, xr.Variable], dict]:
    """The file, what was unpacked of it, and its attributes."""
    try:
        state = path.stat()
        file, held, attrs = _unsealed(path, state.st_mtime_ns, state.st_size)
    except OSError as fault:
        missing = isinstance(fault, FileNotFoundError)
        todo = "compute it with `python -m interplay run`" if missing else "it is left as it is"
        raise ArchiveError(f"{path} cannot be read ({fault.strerror or fault}): {todo}") from fault
    if (found := attrs.get("format")) != FORMAT:
        raise ArchiveError(f"{path} has format {found}, this version reads {FORMAT}: move it away and compute it again")
    was, wanted = json.loads(attrs.get("settings", "{}")), json.loads(json.dumps(settings))
    if settings is not None and was != wanted:
        differ = sorted(name for name in was | wanted if name not in was.keys() & wanted or was[name] != wanted[name])
        one, other = (json.dumps({name: of[name] for name in differ if name in of}) for of in (was, wanted))
        raise ArchiveError(f"{path} was made with {one}, not {other}: move it away, or go back to those settings")
    return file, held, attrs


@lru_cache(maxsize=512)
def _unsealed(path: Path, changed: int, size: int) -> tuple[h5py.File, dict[str, xr.Variable], dict]:
    """Once for every state of the file: a page and its ledger ask for the same results many times."""
    file = h5py.File(io.BytesIO(read_bytes(path)))
    attrs = {name: value[0] if np.shape(value) == (1,) else value for name, value in file.attrs.items()}
    return file, {}, {name: value for name, value in attrs.items() if name != "_NCProperties"}


def _is_variable(found: h5py.Dataset) -> bool:
    """Whether it holds values, or is a mere dimension (netCDF says so in its name)."""
    return b"not a netCDF variable" not in found.attrs.get("NAME", b"")


def _once(file: h5py.File, held: dict[str, xr.Variable], name: str) -> xr.Variable:
    """As xarray gives it, ten times faster, since xarray looks at every dimension of a file for every variable."""
    if name in held:
        return held[name]
    scale = (found := file[name]).attrs.get("CLASS") == b"DIMENSION_SCALE"
    dims = [name] if scale else [dim[0].name[1:] for dim in found.dims]
    values = found[()] if found.dtype.kind != "O" else np.array(found.asstr()[()]).astype(str)
    fill, encoding = found.attrs.get("_FillValue"), {"dtype": found.dtype}
    if fill is not None and values.dtype.kind == "i":
        values = np.where(values == fill, np.float32(np.nan), values.astype(np.float32))
    if found.attrs.get("dtype") == "bool":  # which netCDF does not know
        values = values.astype(bool)
    if not _is_variable(found):
        values = np.arange(len(values))
    return held.setdefault(name, xr.Variable(dims if np.ndim(values) else (), values, encoding=encoding))


def read_bytes(path: Path) -> bytes:
    """What `write_bytes` kept; raises `Damaged`, naming the file, if it is truncated or altered."""
    raw = path.read_bytes()
    content, seal = raw[: -len(_seal(b""))], raw[-len(_seal(b"")) :]
    if seal != _seal(content):
        raise Damaged(f"{path} is damaged (truncated or altered): `python -m interplay run` computes it again")
    return content


def look(path: Path, settings: dict) -> xr.Dataset | None:
    """The result at `path`, None if it has to be computed: it is not there, or `INTERPLAY_RETRAIN` is 1 and it is old.

    Raises `ArchiveError` as `read`, or if what is kept was made with other settings.
    """
    sys.audit("interplay.archive.look", str(path))  # so that the book's build knows of results that were not there
    if not path.exists() or (os.environ.get("INTERPLAY_RETRAIN") == "1" and path not in written):
        return None
    return read(path, settings)


def kept(path: Path, settings: dict) -> xr.Dataset | None:
    """As `look`; a damaged file is named in a warning, set aside as `*.damaged`, and has to be computed.

    A file that is there but cannot be read now may be good: it stays, and `ArchiveError` says so.
    """
    try:
        return look(path, settings)
    except Damaged as fault:
        check_writable(path.parent)
        path.replace(aside := path.with_name(path.name + ".damaged"))
        warnings.warn(f"{fault}; set aside as {aside.name}", stacklevel=3)
        return None


def fetch(path: Path, settings: dict, compute: Callable[[], xr.Dataset]) -> xr.Dataset:
    """The result at `path` if it is there and was made with `settings`; else what `compute` gives, kept there.

    Raises `ArchiveError` as `kept`, or if nothing can be written.
    """
    if (data := kept(path, settings)) is not None:
        return data
    check_writable(path.parent)
    write(path, compute())
    return read(path)


def combine(parts: list[xr.Dataset | dict[str, xr.Variable]]) -> xr.Dataset:
    """Labelled datasets as one: every value at its labels, NaN (or "" for text) where no part has one.

    A variable has the same dimensions in all parts, in any order.  (`xarray.merge` takes ten times as long.)
    """
    parts = [{**x.variables, **{d: x[d].variable for d in x.dims}} if isinstance(x, xr.Dataset) else x for x in parts]
    dims = list(dict.fromkeys(dim for part in parts for var in part.values() for dim in var.dims))
    found = {dim: dict.fromkeys(x for part in parts if dim in part for x in part[dim].values.tolist()) for dim in dims}
    whole = {dim: (dim, list(x) if isinstance(next(iter(x)), str) else sorted(x)) for dim, x in found.items()}
    index = {dim: {label: i for i, label in enumerate(labels)} for dim, (_, labels) in whole.items()}
    for part in parts:
        places = {dim: [index[dim][x] for x in part[dim].values.tolist()] for dim in dims if dim in part}
        for name in (name for name in part if name not in dims):
            var = part[name]
            if name not in whole:
                text = var.dtype.kind in "OU"
                fill, kind = ("", object) if text else (np.nan, np.result_type(var.dtype, np.float32))
                whole[name] = (var.dims, np.full([len(index[dim]) for dim in var.dims], fill, kind))
            order, values = whole[name]  # a part may have its dimensions in another order
            place, new = np.ix_(*(places[dim] for dim in order)), var.transpose(*order).values
            known = new != "" if values.dtype == object else ~np.isnan(new)  # a part may have no value at its labels
            values[place] = np.where(known, new, values[place])
    return xr.Dataset(whole)
