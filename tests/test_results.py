"""Every kept result can be read: by this package's lowest versions (the workflow runs this file alone), and by others.

Needs nothing but `interplay.archive`, h5py and pytest.
"""

from pathlib import Path

import h5py
import pytest
import xarray as xr

from interplay import archive

FILES = sorted((Path(__file__).parents[1] / "results").rglob("*.nc"))


def test_there_are_kept_results():
    assert len(FILES) >= 284


def messages(content: bytes):
    """Kind and version of every message in the object headers (version 2) of an HDF5 file, by its specification."""
    at = content.find(b"OHDR")
    while at >= 0:
        flags = content[at + 5]
        start = at + 6 + (16 if flags & 32 else 0) + (4 if flags & 16 else 0)
        size, head = 1 << (flags & 3), 6 if flags & 4 else 4
        blocks = [(start + size, int.from_bytes(content[start : start + size], "little"))]
        for begin, length in blocks:
            place = begin
            while place + head <= begin + length:
                kind, many = content[place], int.from_bytes(content[place + 1 : place + 3], "little")
                data = content[place + head : place + head + many]
                yield kind, data[0] if data else 0
                if kind == 0x10:  # the header goes on elsewhere
                    offset, more = (int.from_bytes(data[i : i + 8], "little") for i in (0, 8))
                    blocks.append((offset + 4, more - 8))
                place += head + many
        at = content.find(b"OHDR", at + 4)


def is_of_hdf5_110(content: bytes) -> bool:
    """Superblock 3 and no layout of an array newer than 4: HDF5 2.0 writes 5, which none before it reads."""
    layouts = [version for kind, version in messages(content) if kind == 8]
    return content[:9] == b"\x89HDF\r\n\x1a\n\x03" and bool(layouts) and max(layouts) <= 4


def test_the_newest_format_would_be_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "HDF5", "latest")
    data = xr.Dataset({"x": ("at", range(9))}).assign_attrs(format=archive.FORMAT)
    archive.write(tmp_path / "latest.nc", data)
    assert is_of_hdf5_110((tmp_path / "latest.nc").read_bytes()) == (h5py.version.hdf5_version_tuple < (2,))
    monkeypatch.undo()
    archive.write(tmp_path / "ours.nc", data)
    assert is_of_hdf5_110((tmp_path / "ours.nc").read_bytes())


@pytest.mark.parametrize("folder", sorted({file.parent for file in FILES}), ids=lambda folder: folder.name)
def test_every_kept_result_is_what_was_written_and_in_a_format_that_others_read(folder):
    for file in folder.glob("*.nc"):
        data = archive.read(file)
        assert data.attrs["digest"] == archive.digest(data), file
        assert is_of_hdf5_110(file.read_bytes()), file
        with h5py.File(file) as raw:
            assert set(raw) >= set(data.variables), file
            assert all(raw[name].shape == data[name].shape for name in data.variables), file
