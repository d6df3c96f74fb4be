"""The networks that Krause et al. published: read as they were written, refused if they are not, and as measured."""

import re
import socket
from pathlib import Path

import h5py
import numpy as np
import pooch
import pytest

from interplay import corpus, experiments, krause
from interplay.measures import recorded

ROOT = Path(__file__).parents[1]


def write(path, numbers=(1, 2), N=100):
    """A file of weights as the authors wrote theirs, column by column; what is in it."""
    rng, held = np.random.default_rng(0), {}
    with h5py.File(path, "w") as file:
        for number in numbers:
            for stage in ("init", "final"):
                parts = {"n_Wrr_n": (N, N), "n_Wru_v": (N, 1), "m_Wzr_n": (1, N)}
                for name, shape in parts.items():
                    held[number, stage, name] = rng.normal(size=shape)
                    file[f"NetNr{number}/{stage}/{name}"] = held[number, stage, name].T
    return held


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A published file in a folder that INTERPLAY_DATA names, with its checksum; file and contents."""
    path = tmp_path / "krause" / "swg_weights.h5"
    path.parent.mkdir()
    held = write(path)
    (tmp_path / "homes.txt").write_text(f"swg_weights.h5 sha256:{pooch.file_hash(str(path))} http://a/b/c/d/e/f.h5\n")
    monkeypatch.setattr(krause, "HOMES", tmp_path / "homes.txt")
    monkeypatch.setenv("INTERPLAY_DATA", str(tmp_path))
    return path, held


def test_weights_come_back_as_they_were_written_with_licence_and_commit(published):
    _, held = published
    found = krause.authors("sine-wave", 2)
    for here, there in {"W": "n_Wrr_n", "M": "n_Wru_v"}.items():
        np.testing.assert_array_equal(found[here], held[2, "final", there])
        np.testing.assert_array_equal(found[here + "0"], held[2, "init", there])
    np.testing.assert_array_equal(found.v, held[2, "final", "m_Wzr_n"].T)
    assert found.W.dims == ("unit", "unit_in") and found.M.dims == ("unit", "channel_in")
    assert "University of Zurich" in found.licence and "WITHOUT WARRANTY" in found.licence and found.home_commit == "d"


def test_a_file_that_is_cut_or_changed_is_refused(published):
    path, _ = published
    whole = path.read_bytes()
    for content in (whole[:-100], whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:]):
        path.write_bytes(content)
        with pytest.raises(corpus.DataError, match=r"swg_weights.h5 has the checksum sha256:\w+, not .*: it is cut or"):
            krause.authors("sine-wave", 1)
    path.unlink()
    for make in (lambda: None, path.mkdir):  # a folder is no file of weights
        make()
        with pytest.raises(corpus.DataError, match="has none of krause/swg_weights.h5, swg_weights.h5"):
            krause.authors("sine-wave", 1)


def test_another_network_or_size_gets_one_sentence(published, tmp_path):
    path, _ = published
    with pytest.raises(corpus.DataError, match="has no network 3, or not all of it"):
        krause.read(path, "sine-wave", 3)
    write(tmp_path / "small.h5", N=50)
    with pytest.raises(corpus.DataError, match=r"n_Wrr_n of network 1 in .*small.h5 is \(50, 50\), not \(100, 100\)"):
        krause.read(tmp_path / "small.h5", "sine-wave", 1)
    with h5py.File(path, "a") as file:
        for there in (weights := file["NetNr1/init"]):
            del weights[there]
        weights.create_group("n_Wrr_n")
        del file["NetNr2/init/n_Wrr_n"]
        file["NetNr2/init/n_Wrr_n"] = 3.0
    with pytest.raises(corpus.DataError, match="has no network 1, or not all of it"):
        krause.read(path, "sine-wave", 1)
    with pytest.raises(corpus.DataError, match=r"n_Wrr_n of network 2 in .*swg_weights.h5 is \(\), not \(100, 100\)"):
        krause.read(path, "sine-wave", 2)
    (tmp_path / "cut.h5").write_bytes(path.read_bytes()[:3000])
    with pytest.raises(corpus.DataError, match="cut.h5 cannot be read"):
        krause.read(tmp_path / "cut.h5", "sine-wave", 1)
    with pytest.raises(ValueError, match="unknown task 'romo': choose one of context-integration, sine-wave"):
        krause.authors("romo", 1)
    for number in (0, 21, 1.5):
        with pytest.raises(ValueError, match=f"number is {number}, but must be a whole number and at least 1"):
            krause.authors("sine-wave", number)


def test_without_a_network_weights_get_one_sentence_and_kept_measures_are_read(tmp_path, monkeypatch):
    monkeypatch.delenv("INTERPLAY_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("INTERPLAY_RESULTS", str(ROOT / "results"))
    monkeypatch.setattr(corpus, "TRIES", 1)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: (_ for _ in ()).throw(socket.gaierror("no network")))
    with pytest.raises(corpus.UnreachableError, match=r"^http\S+swg_weights.h5 cannot be had .* in INTERPLAY_DATA$"):
        krause.authors("sine-wave", 1)
    assert not list(tmp_path.rglob("*.h5"))
    kept = experiments.load("operative-panels", "paper", present=True)
    assert kept.full_cost.sel(set="paper").count() == 2 * krause.NUMBER


def test_homes_name_the_commit_and_both_files():
    homes = [line.split() for line in corpus.HOMES.read_text().splitlines()]
    of = {name: (checksum, address) for name, checksum, address in homes}
    for file, _ in krause.FILES.values():
        checksum, address = of[file]
        assert re.fullmatch(r"sha256:[0-9a-f]{64}", checksum)
        assert re.fullmatch(r"[0-9a-f]{40}", address.split("/")[5]) and address.endswith(file)


# Means over the paper's 20 networks a task, measured by another program on other trials before this one was written.
BEFORE = {
    ("context-integration", "norm"): 0.40,
    ("context-integration", "change"): 11.7,
    ("context-integration", "W"): 48.3,
    ("context-integration", "columns"): 9.2,
    ("context-integration", "rows"): 17.7,
    ("context-integration", "high-variance"): 82,
    ("sine-wave", "norm"): 0.91,
    ("sine-wave", "change"): 9.4,
    ("sine-wave", "W"): 23.9,
    ("sine-wave", "columns"): 13.5,
    ("sine-wave", "rows"): 23.1,
    ("sine-wave", "high-variance"): 61,
}


@pytest.mark.parametrize(("task", "what"), BEFORE)
def test_kept_measures_agree_with_those_of_another_program(task, what, monkeypatch):
    monkeypatch.setenv("INTERPLAY_RESULTS", str(ROOT / "results"))
    before, name = BEFORE[task, what], "operative-panels"
    values = {of: experiments.kept(name, f"values_{of}", task=task, set="paper") for of in ("W0", "W", "change")}
    assert values["W"].sizes["sample"] == krause.NUMBER
    if what == "norm":
        found = np.linalg.norm(values["change"], axis=1) / np.linalg.norm(values["W0"], axis=1)
    elif what in values:
        squares = values[what] ** 2
        found = squares.sum("index") ** 2 / (squares**2).sum("index")
    else:
        full = {"variable": "full_cost", "kind": None, "plus": 0.01}
        found = recorded(name, "cost", task=task, set="paper", kind=what, at_most=full, take={"rank": "from"})
        assert abs(float(np.mean(found)) - before) <= 1
        return
    assert abs(float(np.mean(found)) - before) <= 0.02 * before


COSTS = {  # of that program, too: error by number kept
    ("context-integration", "columns"): {3: 0.107, 5: 0.056, 8: 0.010},
    ("context-integration", "rows"): {10: 0.069},
    ("sine-wave", "columns"): {3: 0.81, 5: 0.66, 8: 0.13},
    ("sine-wave", "rows"): {10: 0.31},
}


FULL = {"context-integration": 0.0013, "sine-wave": 0.00022}
FAR = {"context-integration": 0.12, "sine-wave": 0.02}  # two draws of the context task's noise differ by up to a tenth


@pytest.mark.parametrize(("task", "kind"), COSTS)
def test_kept_errors_agree_with_those_of_another_program(task, kind, monkeypatch):
    monkeypatch.setenv("INTERPLAY_RESULTS", str(ROOT / "results"))
    for rank, before in COSTS[task, kind].items():
        found = experiments.kept("operative-panels", "cost", task=task, set="paper", kind=kind, rank=rank)
        rounded = 0.5 * 10.0 ** -len(f"{before}".split(".")[1])  # its last digit
        assert abs(float(found.mean()) - before) <= FAR[task] * before + rounded
    full, before = experiments.kept("operative-panels", "full_cost", task=task, set="paper"), FULL[task]
    assert float(full.mean()) == pytest.approx(before, rel=0.05)
