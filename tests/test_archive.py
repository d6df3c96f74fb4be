"""Results survive what machines do to files: faults are injected for real, and the kept results compared."""

import contextlib
import json
import multiprocessing
import os
import random
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from interplay import archive
from interplay.archive import ArchiveError

SETTINGS = {"unit": "a", "g": [0.0, 0.9], "N": 3}


def result(value: float = 0.5) -> xr.Dataset:
    grid = {"g": [0.0, 0.9], "task": ["romo", "mante"], "rank": np.arange(4)}
    data = xr.Dataset(
        {
            "loss": (("task", "g", "rank"), np.random.default_rng(0).random((2, 2, 4)).astype(np.float32)),
            "double": (("g",), np.array([np.nan, value])),
            "count": (("rank",), np.array([1, -2, 3, 2**40])),
            "digest_of": (("task",), np.array(["ä", ""], dtype=object)),
            "solved": (("g",), np.array([True, False])),
            "alone": ((), np.float32(np.inf)),
            "unlabelled": (("free",), np.array([2.0, 1.0])),
        },
        coords=grid,
    )
    return data.assign_attrs(archive.provenance(SETTINGS, 1.25), created="2026-01-01T00:00:00Z")


@pytest.fixture
def kept(tmp_path) -> Path:
    archive.write(tmp_path / "s" / "unit.nc", result())
    return tmp_path / "s" / "unit.nc"


@contextlib.contextmanager
def powerless(place: Path, rights: int = 0o555):
    """No right to write in `place`, or those given; root, whom rights do not stop, becomes nobody for a while."""
    place.chmod(rights)
    if root := os.geteuid() == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        place.chmod(0o755)


@contextlib.contextmanager
def at_most(what: int, number: int):
    """A limit of this process, for a while."""
    before = resource.getrlimit(what)
    resource.setrlimit(what, (number, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(what, before)


def full_disk(size: int):
    """No file grows beyond `size` bytes: write() fails in the middle, as on a full disk."""
    return at_most(resource.RLIMIT_FSIZE, size)


def test_what_is_read_is_what_was_written(kept):
    data, found = result(), archive.read(kept)
    for name in data.variables:
        np.testing.assert_array_equal(found[name].values, data[name].values)
        assert found[name].dtype == data[name].dtype or data[name].dtype.kind in "OU"
        assert found[name].dims == data[name].dims
    assert set(found.coords) == {"g", "task", "rank"}
    assert {name: value for name, value in found.attrs.items() if name != "digest"} == data.attrs
    assert found.attrs["digest"] == archive.digest(data) == archive.digest(found)
    assert json.loads(found.attrs["settings"]) == SETTINGS
    assert found.attrs["seconds"] == 1.25
    assert found.attrs["commit"]


def test_whole_numbers_are_kept_in_16_bits_and_the_digest_is_that_of_what_is_read(kept):
    data = xr.Dataset({"codes": (("at",), np.array([-0.0, 32767.0, -32767.0, np.nan]))}, {"at": np.arange(4)})
    data["codes"].encoding["dtype"] = "int16"
    archive.write(kept, data.assign_attrs(format=archive.FORMAT))
    found = archive.read(kept)
    np.testing.assert_array_equal(found.codes, data.codes)
    assert found.attrs["digest"] == archive.digest(found)
    with h5py.File(kept) as raw:
        assert raw["codes"].dtype == np.int16


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.assign(double=("g", [np.nan, 0.5 + 1e-15])),
        lambda data: data.assign(loss=data.loss.astype(np.float64)),
        lambda data: data.assign_coords(g=[0.0, 0.90001]),
        lambda data: data.rename(alone="other"),
        lambda data: data.assign(digest_of=("task", np.array(["ä", "b"], dtype=object))),
        lambda data: data.assign_attrs(commit="another"),
    ],
)
def test_digest_sees_every_change(change):
    assert archive.digest(change(result())) != archive.digest(result())


def test_any_flipped_bit_and_any_truncation_is_noticed(kept):
    assert archive.read(kept).equals(result())  # what is remembered of it does not stand in for what it has become
    raw, draw = kept.read_bytes(), random.Random(7)
    spoilt = [raw[:n] for n in (0, 1, 8, 73, len(raw) - 1, *(draw.randrange(len(raw)) for _ in range(100)))]
    for at in (0, *range(len(raw) - 80, len(raw)), *(draw.randrange(len(raw)) for _ in range(1000))):
        spoilt.append(raw[:at] + bytes([raw[at] ^ 1 << draw.randrange(8)]) + raw[at + 1 :])
    for content in [*spoilt, raw + b"\n"]:
        kept.write_bytes(content)
        with pytest.raises(ArchiveError, match=f"^{kept} is damaged") as caught:
            archive.read(kept)
        assert "\n" not in str(caught.value)
    kept.write_bytes(raw)
    assert archive.read(kept).equals(result())


def test_other_version_and_missing_file_are_named(kept):
    for other in (99, 0):
        archive.write(kept, result().assign_attrs(format=other))
        with pytest.raises(ArchiveError, match=f"{kept} has format {other}, this version reads 1"):
            archive.read(kept)
    with pytest.raises(ArchiveError, match=r"none\.nc cannot be read \(No such file or directory\)"):
        archive.read(kept.with_name("none.nc"))


def test_one_variable_is_read_as_it_is_in_the_whole_and_only_of_the_settings_asked_for(kept):
    whole = archive.read(kept)
    for name in whole.data_vars:
        one = archive.variable(kept, SETTINGS, name)
        assert set(one) == {name, *whole[name].dims}
        for part, found in one.items():
            assert found.equals(whole[part].variable) and found.dims == whole[part].dims, part
    for other in (SETTINGS | {"N": 4}, SETTINGS | {"N": 2}, {}):
        with pytest.raises(ArchiveError, match=f'{kept} was made with .*"N": 3.*, not'):
            archive.variable(kept, other, "loss")
    with pytest.raises(KeyError):
        archive.variable(kept, SETTINGS, "nothing")


def test_fetch_computes_once_and_again_if_asked_to(tmp_path, monkeypatch):
    calls = []

    def compute():
        return calls.append(1) or result(len(calls))

    path = tmp_path / "deep" / "unit.nc"
    for expected in (1, 1):
        assert archive.fetch(path, SETTINGS, compute).double[1] == expected
    assert json.loads(archive.read(path).attrs["settings"]) == SETTINGS
    monkeypatch.setenv("INTERPLAY_RETRAIN", "1")
    monkeypatch.setattr(archive, "written", set())  # in another process
    for expected in (2, 2):  # once
        assert archive.fetch(path, SETTINGS, compute).double[1] == expected
    monkeypatch.setenv("INTERPLAY_RETRAIN", "0")
    with pytest.raises(ArchiveError, match=r"unit\.nc was made with {\"N\": 3}, not {\"N\": 4}: move it away"):
        archive.fetch(path, SETTINGS | {"N": 4}, compute)
    assert len(calls) == 2
    assert [p.name for p in path.parent.iterdir()] == ["unit.nc"]


def test_damaged_file_is_set_aside_and_computed_again(kept):
    other = kept.with_name("other.nc")
    archive.write(other, result())
    good, cut = other.read_bytes(), kept.read_bytes()[:-100]
    kept.write_bytes(cut)
    with pytest.warns(UserWarning, match=r"unit\.nc is damaged .*; set aside as unit\.nc\.damaged"):
        again = archive.fetch(kept, SETTINGS, lambda: result(2))
    assert again.double[1] == 2
    assert archive.read(kept).equals(result(2))
    assert kept.with_name("unit.nc.damaged").read_bytes() == cut
    assert other.read_bytes() == good


def test_a_good_file_that_cannot_be_read_now_stays_where_it_is():
    """No right to read it, no file handle left, another version: nothing that computing again would mend."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name, data in {"unit.nc": result(), "other.nc": result().assign_attrs(format=99)}.items():
            archive.write(place / name, data)
        before = (place / "unit.nc").read_bytes()
        faults = [
            ("unit.nc", r"cannot be read \(Permission denied\): it is left as it is", powerless(place, 0o777)),
            ("unit.nc", r"cannot be read \(Too many open files\)", at_most(resource.RLIMIT_NOFILE, 0)),
            ("other.nc", "has format 99", contextlib.nullcontext()),
        ]
        (place / "unit.nc").chmod(0)
        for name, says, fault in faults:
            with fault, pytest.raises(ArchiveError, match=f"{name} {says}") as caught:
                archive.fetch(place / name, SETTINGS, lambda: pytest.fail("computed in vain"))
            assert "\n" not in str(caught.value)
        assert sorted(path.name for path in place.iterdir()) == ["other.nc", "unit.nc"]
        (place / "unit.nc").chmod(0o644)
        assert (place / "unit.nc").read_bytes() == before


def test_read_only_folder_is_said_before_any_work_and_nothing_is_touched():
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)
        archive.write(place / "unit.nc", result())
        before = (place / "unit.nc").read_bytes()
        (place / "bad.nc").write_bytes(b"damaged")
        with powerless(place):
            for name in ("new.nc", "sub/new.nc", "bad.nc"):
                with pytest.raises(ArchiveError, match=r"cannot be written \(Permission denied\)") as caught:
                    archive.fetch(place / name, SETTINGS, lambda: pytest.fail("computed in vain"))
                assert "\n" not in str(caught.value)
            with pytest.raises(ArchiveError, match="untouched"):
                archive.write(place / "unit.nc", result(2))
            assert archive.fetch(place / "unit.nc", SETTINGS, lambda: pytest.fail("was there")).equals(result())
        assert (place / "unit.nc").read_bytes() == before
        assert sorted(p.name for p in place.iterdir()) == ["bad.nc", "unit.nc"]


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "results").write_text("mine")
    with pytest.raises(ArchiveError, match="results cannot be written"):
        archive.fetch(tmp_path / "results" / "unit.nc", SETTINGS, lambda: pytest.fail("computed in vain"))
    assert (tmp_path / "results").read_text() == "mine"


def test_full_disk_leaves_what_was_there(kept):
    before = kept.read_bytes()
    for size in (0, 1, 500, len(before) // 2, len(before) - 72, len(before) - 1):
        with full_disk(size), pytest.raises(ArchiveError, match=r"could not be kept \(File too large\)") as caught:
            archive.write(kept, result())
        assert "\n" not in str(caught.value)
        assert kept.read_bytes() == before
        assert list(kept.parent.iterdir()) == [kept]


def test_killed_at_any_call_of_writing_keeps_the_old_result_or_the_new_one(tmp_path):
    path, seal, seen = tmp_path / "unit.nc", archive._seal, []
    small = [xr.Dataset({"x": value}).assign_attrs(format=archive.FORMAT) for value in (1.0, 2.0)]

    def write_and_die_at(k):  # the k-th call or return, of Python or C, once the content is packed
        def count(*_):
            nonlocal k
            k -= 1
            if k < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        archive._seal = lambda content: (seal(content), sys.setprofile(count))[0]
        archive.write(path, small[1])
        os._exit(0)

    archive.write(path, small[0])
    for k in range(1000):
        child = multiprocessing.get_context("fork").Process(target=write_and_die_at, args=(k,))
        child.start()
        child.join()
        seen.append(float(archive.read(path).x))  # raises if it is half
        if child.exitcode == 0:
            break
    assert child.exitcode == 0
    assert seen == sorted(seen)
    assert seen.count(1.0) > 20


def test_killed_while_writing_never_leaves_half_a_result(tmp_path):
    path, draw, seen = tmp_path / "unit.nc", random.Random(3), set()

    def write_for_ever():
        while True:
            for value in (1.0, 2.0):
                archive.write(path, result(value))

    archive.write(path, result(1.0))
    for _ in range(8):
        child = multiprocessing.get_context("fork").Process(target=write_for_ever)
        child.start()
        time.sleep(0.05 + 0.15 * draw.random())
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        seen.add(float(archive.read(path).double[1]))  # raises if it is half
    assert seen <= {1.0, 2.0}
    assert list(tmp_path.glob("*.nc")) == [path]


def test_folder_is_the_chosen_one_and_is_not_created_by_asking(tmp_path, monkeypatch):
    monkeypatch.setenv("INTERPLAY_RESULTS", str(tmp_path / "mine"))
    assert archive.folder() == tmp_path / "mine"
    assert not (tmp_path / "mine").exists()
    monkeypatch.delenv("INTERPLAY_RESULTS")
    assert archive.folder() == archive.CHECKOUT / "results"
    monkeypatch.setattr(archive, "CHECKOUT", tmp_path)
    assert archive.folder().parts[-2:] == ("interplay", "results")


def test_combine_puts_values_at_their_labels_and_nan_where_there_are_none():
    def part(task, g, **values):
        return xr.Dataset({"loss": (("task", "g", "epoch"), [[values["loss"]]]), "name": (("task",), [task])},
                          coords={"task": [task], "g": [g], "epoch": np.arange(len(values["loss"]))})  # fmt: skip

    parts = [
        part("romo", 0.9, loss=[1.0, 2.0, 3.0]),
        part("mante", 0.0, loss=[4.0]),
        part("romo", 0.3, loss=[5.0, 6.0]),
    ]
    whole = archive.combine(parts)
    assert dict(whole.sizes) == {"task": 2, "g": 3, "epoch": 3}
    assert whole.g.values.tolist() == [0.0, 0.3, 0.9]
    assert whole.task.values.tolist() == ["romo", "mante"]
    for one in parts:
        found = whole.sel(task=one.task, g=one.g, epoch=one.epoch)
        np.testing.assert_array_equal(found.loss.values, one.loss.values)
        assert found.name.values.tolist() == one.name.values.tolist()
    assert int(whole.loss.notnull().sum()) == 6
    assert archive.combine(parts[:1]).loss.dtype == np.float64
    assert archive.combine([parts[0].assign(loss=parts[0].loss.astype(np.float32))]).loss.dtype == np.float32
    xr.testing.assert_identical(archive.combine([parts[0], *(one.transpose(..., "task") for one in parts[1:])]), whole)
    more = part("mante", 0.9, loss=[7.0])
    halves = [archive.combine(parts[:2]), archive.combine([more, parts[2]])]  # either lacks what the other has
    for order in (halves, halves[::-1]):
        together = archive.combine(order).reindex(task=whole.task)
        xr.testing.assert_identical(together, archive.combine([*parts, more]))
    lonely = archive.combine([parts[0], parts[1].drop_vars("name")])
    assert lonely.name.values.tolist() == ["romo", ""]


def test_a_checkpoint_stays_until_its_result_is_kept(tmp_path):
    path = tmp_path / "s" / "unit.nc"
    archive.write_bytes(archive.checkpoint(path), b"an hour of work")
    with full_disk(1000), pytest.raises(ArchiveError):
        archive.write(path, result())
    assert archive.read_bytes(archive.checkpoint(path)) == b"an hour of work"
    archive.write(path, result())
    assert [file.name for file in path.parent.iterdir()] == ["unit.nc"]
