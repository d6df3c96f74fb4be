"""The engine: grids of units, resume after real kills, executors, status; and the trained networks it keeps."""

import contextlib
import json
import multiprocessing
import os
import random
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Thread

import h5py
import numpy as np
import psutil
import pytest
import torch
import xarray as xr
from tqdm import tqdm

from interplay import __main__ as cli
from interplay import archive, experiments, lowrank, rnn, tasks, zoo
from interplay.experiments import linear, operative, pathways, sentiment, training
from interplay.seeds import generator

ROOT = Path(__file__).parents[1]
ONE = {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "INTERPLAY_SCALE": "smoke"}
FORK = multiprocessing.get_context("fork")  # nothing is imported again


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """Results of an uninterrupted run at smoke scale, in this process."""
    place = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INTERPLAY_RESULTS", str(place))
        experiments.run("training", "smoke")
    return place


@pytest.fixture
def there(whole, tmp_path, monkeypatch) -> Path:
    """A copy of those results that a test may spoil, as the folder of results."""
    shutil.copytree(whole, tmp_path / "results")
    monkeypatch.setenv("INTERPLAY_RESULTS", str(tmp_path / "results"))
    return tmp_path / "results" / "smoke" / "training"


def same(one: Path, other: Path, units: int = 6) -> None:
    """Every variable of every unit of `other`, bit for bit; provenance may differ."""
    names = sorted(path.name for path in other.glob("*.nc"))
    assert len(names) == units
    for name in names:
        xr.testing.assert_identical(*(archive.read(path / name).drop_attrs() for path in (one, other)))


def flip_a_bit(path: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[:5000] + bytes([raw[5000] ^ 1]) + raw[5001:])


FAMILY = """
import numpy as np
import xarray as xr
from interplay.experiments import Experiment, every

def grid(scale):
    return every([{"k": [0, 1], "pair": [[0.5, 2.0]]}])

def compute(unit, device):
    return xr.Dataset({"x": ("k", np.array([7.0 * unit["k"]]))}, {"k": [unit["k"]]})

EXPERIMENTS = {"lonely": Experiment(grid, "k{k}_{pair}", compute)}
"""


def test_an_experiment_is_added_with_one_file(tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(FAMILY)
    monkeypatch.setenv("INTERPLAY_RESULTS", str(tmp_path / "results"))
    monkeypatch.setattr(experiments, "__path__", [*experiments.__path__, str(tmp_path)])
    experiments.names.cache_clear()
    try:
        assert "lonely" in experiments.names()
        experiments.run("lonely", "smoke")
        assert experiments.load("lonely", "smoke").x.values.tolist() == [0.0, 7.0]
        assert sorted(path.name for path in tmp_path.rglob("*.nc")) == ["k0_0.5-2.0.nc", "k1_0.5-2.0.nc"]
    finally:
        experiments.names.cache_clear()


def test_an_experiment_imports_no_other_family():
    code = "import sys; from interplay import experiments as e; e.names(); e.load('sweep', 'paper', present=True);"
    code += "print(*(name.split('.')[2] for name in sys.modules if name.startswith('interplay.experiments.')))"
    environment = {**os.environ, "INTERPLAY_RESULTS": str(ROOT / "results")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["training"]


@pytest.mark.parametrize("name", experiments.names())
@pytest.mark.parametrize("at", experiments.SCALES)
def test_units_are_named_apart_and_cover_their_grid(name, at):
    chosen = experiments.experiment(name)
    units = chosen.units(at)
    assert len({unit["unit"] for unit in units}) == len(units)
    assert all(cost > 0 for cost in experiments.work(units))
    assert all(re.fullmatch(r"[\w.-]+", unit["unit"]) for unit in units)


def test_seconds_that_an_earlier_process_spent_on_a_unit_count(monkeypatch):
    resumed = experiments.Experiment(list, "", lambda unit, device: xr.Dataset(attrs={"seconds": 100.0}))
    monkeypatch.setattr(experiments, "experiment", lambda name: resumed)
    assert 100 <= experiments.compute("any", {"unit": "one"}).attrs["seconds"] < 160


def test_paper_scale_is_the_grid_of_the_paper():
    networks = [
        (unit["task"], g, unit["sample"], unit["N"], unit["batch"], unit["epochs"], unit["lr"])
        for name in ("training", "sweep")
        for unit in experiments.experiment(name).units("paper")
        for g in unit["g"]
    ]
    largest, epochs = {"flip-flop": 2.1, "mante": 2.7, "romo": 3.0}, {"flip-flop": 1000, "mante": 2000, "romo": 6000}
    wanted = {
        (task, round(0.3 * i, 1), sample, 256, 32, epochs[task], 0.05 / 256)
        for task, top in largest.items()
        for i in range(round(top / 0.3) + 1)
        for sample in range(5)
    }
    assert len(networks) == len(wanted)
    assert set(networks) == wanted


@pytest.mark.parametrize("name", experiments.names())
def test_what_is_kept_was_made_with_the_settings_of_its_unit(name):
    units = {unit["unit"]: unit for unit in experiments.experiment(name).units("paper")}
    for file in (ROOT / "results/paper" / name).glob("*.nc"):
        with h5py.File(file) as kept:
            assert json.loads(kept.attrs["settings"]) == json.loads(json.dumps(units[file.stem])), file


computed = experiments.compute


def noted(name: str, settings: dict, *how) -> xr.Dataset:
    """`experiments.compute`, with a line in a log where a unit begins and where it ends."""
    with (archive.folder() / "log").open("a") as log:
        print("began", settings["unit"], file=log, flush=True)
        data = computed(name, settings, *how)
        print("ended", settings["unit"], file=log, flush=True)
    return data


def run_noted(place: Path, *how: str) -> None:
    """What a fork of this process does: `python -m interplay run`, with a log, a full bar, and streams in files."""
    os.environ.update(ONE | {"INTERPLAY_RESULTS": str(place)})
    experiments.compute, experiments.tqdm = noted, partial(tqdm, disable=False, mininterval=0)
    for number, name in enumerate(("stdout", "stderr"), 1):
        setattr(sys, name, (place / name).open("w"))
        os.dup2(getattr(sys, name).fileno(), number)
    sys.argv = ["interplay", "run", "training", "--scale", "smoke", *how]
    del sys.modules["interplay.__main__"]
    runpy.run_module("interplay", run_name="__main__", alter_sys=True)


def test_killed_runs_lose_what_is_in_flight_and_end_with_the_numbers_of_an_uninterrupted_one(whole, tmp_path):
    """Ten kills at random moments after the first unit of a run: of the run, or of one of its two workers."""
    place, expected, draw = tmp_path / "killed", whole / "smoke" / "training", random.Random(11)
    (folder := place / "smoke" / "training").mkdir(parents=True)
    pace = np.median([archive.read(path).attrs["seconds"] for path in expected.glob("*.nc")])

    def kept():
        return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.nc")}

    before, deaths = {}, []
    for _ in range(16):
        for name in draw.sample(sorted(before), k=max(0, len(before) - 2)):
            (folder / name).unlink()  # there is always something left to do
            del before[name]
        whose = {3: "worker", 7: "run with workers"}.get(len(deaths), "run")
        (place / "log").write_text("")
        child = FORK.Process(target=run_noted, args=(place, *(["--workers", "2"] if "worker" in whose else [])))
        child.start()
        while child.is_alive() and kept().keys() <= before.keys():
            time.sleep(0.01)
        time.sleep(pace * draw.uniform(0, 2 if whose == "run" else 1))  # what is left takes twice as long
        family = []
        with contextlib.suppress(psutil.NoSuchProcess):  # it had just finished
            run = psutil.Process(child.pid)
            family = run.children(recursive=True)
            workers = [one for one in family if "spawn_main" in " ".join(one.cmdline())]
            (draw.choice(workers) if whose == "worker" and workers else run).kill()
        child.join(60)
        assert child.exitcode is not None
        assert not psutil.wait_procs(family, timeout=20)[1]  # nobody is left behind

        now, log = kept(), [line.split() for line in (place / "log").read_text().splitlines()]
        began, ended = ({f"{unit}.nc" for word, unit in log if word == what} for what in ("began", "ended"))
        assert before.keys() < now.keys()
        assert before.items() <= now.items()  # what was finished is as it was, to the nanosecond of writing
        assert began.isdisjoint(before)
        assert int(re.findall(r"(\d+)/6", (place / "stdout").read_text())[-1]) <= len(now)  # reported, and there
        on_the_way = {"run": began, "worker": ended}.get(whose, set())  # a run with workers may have any number
        assert len(on_the_way - now.keys()) <= (1 if whose == "run" else 2)
        for name in now.keys() - before.keys():
            xr.testing.assert_identical(*(archive.read(at / name).drop_attrs() for at in (expected, folder)))
        if child.exitcode and len(now) < 6:
            assert child.exitcode == (3 if whose == "worker" else -signal.SIGKILL)
            if whose == "worker":
                said = (place / "stderr").read_text()
                assert re.fullmatch("interplay: a worker ended in the middle of a unit .*\n", said), said
            deaths.append(whose)
        before = now
        if len(deaths) == 10:
            break
    assert len(deaths) == 10
    child = FORK.Process(target=run_noted, args=(place,))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert before.items() <= kept().items()
    same(expected, folder)


def test_a_dask_cluster_gives_what_this_process_gives_and_survives_a_killed_worker(whole, there):
    distributed = pytest.importorskip("distributed")
    for path in there.glob("*.nc"):
        path.unlink()
    how = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": 50}
    kept_at_death = []
    with distributed.LocalCluster(**how) as cluster, distributed.Client(cluster, set_as_default=False) as client:
        victim, address = next(iter(client.run(os.getpid).values())), cluster.scheduler_address

        def kill_in_the_middle():
            while not list(there.glob("*.nc")):
                time.sleep(0.05)
            os.kill(victim, signal.SIGKILL)
            kept_at_death.append(len(list(there.glob("*.nc"))))

        Thread(target=kill_in_the_middle, daemon=True).start()
        assert cli.main(["run", "training", "--scale", "smoke", "--dask", address]) == 0
    assert 1 <= kept_at_death[0] < 6
    same(whole / "smoke" / "training", there)


def test_results_do_not_depend_on_which_networks_share_the_matrix_products(whole):
    unit = experiments.experiment("training").units("smoke")[0]
    alone = training.compute(unit | {"g": [0.9], "unit": "alone"}, torch.device("cpu"))
    group = archive.read(whole / "smoke" / "training" / f"{unit['unit']}.nc").sel(g=[0.9])
    np.testing.assert_array_equal(alone.W0_digest.values, group.W0_digest.values)
    np.testing.assert_allclose(alone.loss, group.loss, rtol=1e-4)


def test_a_unit_costs_what_its_sizes_say_as_far_as_all_units_have_them():
    units = [{"N": 2, "epochs": 5, "g": [0.0], "width": 3}, {"N": 4, "epochs": 10, "g": [0.0, 0.9]}]
    assert experiments.work(units) == [2**2 * 5, 4**2 * 10 * 2]
    assert experiments.work([{"check": "one", "N": 7}, {"check": "other"}]) == [1, 1]


def test_status_counts_what_is_kept_and_what_is_left(there):
    kept = experiments.status("training", "smoke")
    assert kept == (6, 6, 0.0, [])
    units = experiments.experiment("training").units("smoke")
    for unit in units[:2]:
        experiments.path("training", unit, "smoke").unlink()
    spent = sum(archive.read(path).attrs["seconds"] for path in there.glob("*.nc"))
    share = sum((cost := experiments.work(units))[:2]) / sum(cost[2:])
    assert experiments.status("training", "smoke") == (4, 6, pytest.approx(share * spent), [])
    assert experiments.status("sweep", "smoke")[:2] == (0, 6)
    assert np.isnan(experiments.status("sweep", "smoke")[2])


def test_status_names_what_is_damaged_as_missing_and_goes_on(there, capsys):
    units = experiments.experiment("training").units("smoke")
    files = [experiments.path("training", unit, "smoke") for unit in units]
    flip_a_bit(files[0])
    archive.write(files[1], archive.read(files[1]).assign_attrs(format=99))
    spent = sum(archive.read(path).attrs["seconds"] for path in files[2:])
    share = sum((cost := experiments.work(units))[:2]) / sum(cost[2:])
    kept, total, seconds, faults = experiments.status("training", "smoke")
    assert (kept, total, seconds) == (4, 6, pytest.approx(share * spent))
    assert [str(path) in fault for path, fault in zip(files[:2], faults, strict=True)] == [True, True]
    assert cli.main(["status", "--scale", "smoke"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in lines if line[0] != " "] == list(experiments.names())
    at = next(number for number, line in enumerate(lines) if line.startswith("training "))
    assert lines[at + 1].strip() == faults[0] and faults[0].startswith(f"{files[0]} is damaged")
    assert len(lines) == len(experiments.names()) + 2


def test_load_takes_what_is_present_or_computes_the_rest(there, monkeypatch):
    whole = experiments.load("training", "smoke")
    assert {**whole.sizes}.items() >= {"task": 3, "g": 2, "sample": 2, "N": 1, "epoch": 40}.items()
    assert whole.loss.notnull().all()
    gone = experiments.experiment("training").units("smoke")[0]
    experiments.path("training", gone, "smoke").unlink()
    part = experiments.load("training", "smoke", present=True)
    assert part.loss.sel(task=gone["task"], sample=gone["sample"]).isnull().all()
    assert int(part.loss.isnull().sum()) == 2 * 40
    xr.testing.assert_identical(experiments.load("training", "smoke"), whole)
    with pytest.raises(ValueError, match=r"no unit of sweep is kept at scale smoke: `python -m interplay run sweep"):
        experiments.load("sweep", "smoke", present=True)


def test_load_of_what_is_present_leaves_out_what_is_damaged_and_computes_nothing(there, monkeypatch):
    units = experiments.experiment("training").units("smoke")
    files, calls = [experiments.path("training", unit, "smoke") for unit in units], []
    held = {unit["unit"]: archive.read(path).drop_attrs() for unit, path in zip(units, files)}
    counted = training.EXPERIMENTS["training"]._replace(
        compute=lambda unit, device: calls.append(unit["unit"]) or held[unit["unit"]]
    )
    monkeypatch.setitem(training.EXPERIMENTS, "training", counted)
    flip_a_bit(files[0])
    with pytest.warns(UserWarning, match=f"{files[0]} is damaged .*; left out"):
        part = experiments.load("training", "smoke", present=True)
    assert part.loss.sel(task=units[0]["task"], sample=units[0]["sample"]).isnull().all()
    assert int(part.loss.isnull().sum()) == 2 * 40
    for path in files[1:]:
        flip_a_bit(path)
    with pytest.warns(UserWarning, match="left out") as said, pytest.raises(ValueError, match="no unit of training"):
        experiments.load("training", "smoke", present=True)
    assert len(said) == 6
    assert (calls, sorted(there.iterdir())) == ([], sorted(files))  # nor is anything set aside

    files[5].unlink()
    monkeypatch.setenv("INTERPLAY_RETRAIN", "1")
    monkeypatch.setattr(archive, "written", set())  # in another process
    for _ in range(2):
        again = experiments.load("training", "smoke", present=True)
        assert int(again.loss.isnull().sum()) == 2 * 40
        assert calls == [unit["unit"] for unit in units[:5]]  # each of them once


def test_run_computes_a_damaged_unit_again_and_leaves_the_others(there, whole):
    files = sorted(there.glob("*.nc"))
    flip_a_bit(files[2])
    files[4].write_bytes(files[4].read_bytes()[:-1])
    times = {path: path.stat().st_mtime_ns for path in files}
    with pytest.warns(UserWarning, match="is damaged") as said:
        experiments.run("training", "smoke")
    assert [re.search(r"(\S+) is damaged", str(one.message))[1] for one in said] == [str(files[2]), str(files[4])]
    same(whole / "smoke" / "training", there)
    assert [path for path in files if path.stat().st_mtime_ns != times[path]] == [files[2], files[4]]
    assert len(list(there.glob("*.damaged"))) == 2


def test_run_says_at_once_that_a_result_was_made_with_other_settings(there, monkeypatch):
    units = experiments.experiment("training").units("smoke")
    experiments.path("training", units[0], "smoke").unlink()
    odd = experiments.path("training", units[5], "smoke")
    archive.write(odd, archive.read(odd).assign_attrs(settings='{"N": 7}'))

    def compute(*_):
        return pytest.fail("computed in vain")

    monkeypatch.setitem(training.EXPERIMENTS, "training", training.EXPERIMENTS["training"]._replace(compute=compute))
    with pytest.raises(archive.ArchiveError, match=r'was made with \{"N": 7\}, not'):
        experiments.run("training", "smoke")


def default(task: type, field: str, value: object) -> Callable:
    return lambda patch: patch.setitem(task.__init__.__kwdefaults__, field, value)


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("training", default(tasks.FlipFlop, "amplitude", 5.0), '"amplitude": 5.0'),
        ("sweep", lambda patch: patch.setitem(training.TABLE["all"], "optimiser", "sgd"), '"optimiser": "sgd"'),
        (
            "linear-exact",
            lambda patch: patch.setitem(linear.TABLE["linear-exact"]["all"], "quiet", 0.6),
            '{"quiet": 0.1}, not {"quiet": 0.6}',
        ),
        (
            "linear-cosine",
            lambda patch: patch.setitem(linear.TABLE["linear-cosine"]["all"], "period", 4.0),
            '{"period": 5.0}, not {"period": 4.0}',
        ),
        (
            "operative-networks",
            lambda patch: patch.setitem(operative.TABLE["operative-networks"]["all"], "noise", 0.2),
            '{"noise": 0.1}, not {"noise": 0.2}',
        ),
        ("operative-measures", default(tasks.ContextIntegration, "gain", 0.3), '"gain": 0.3'),
        (
            "pathways-figures",
            lambda patch: patch.setitem(pathways.TABLE["pathways-figures"]["all"], "records", 30),
            '{"records": 300}, not {"records": 30}',
        ),
        ("sentiment-networks", lambda patch: patch.setitem(sentiment.TABLE["all"], "dropout", 0.4), '"dropout": 0.4'),
        ("sentiment-probes", lambda patch: patch.setitem(sentiment.TABLE["all"], "dropout", 0.4), '"dropout": 0.4'),
    ],
)
def test_what_was_made_with_another_constant_or_field_of_a_task_is_not_taken(name, change, says, monkeypatch):
    monkeypatch.setenv("INTERPLAY_RESULTS", str(ROOT / "results"))
    before = experiments.experiment(name).units("paper")[0]
    assert archive.look(experiments.path(name, before, "paper"), before)
    change(monkeypatch)
    unit = experiments.experiment(name).units("paper")[0]
    with pytest.raises(archive.ArchiveError, match=re.escape(says)) as caught:
        archive.look(experiments.path(name, unit, "paper"), unit)
    assert "\n" not in str(caught.value)


def test_a_field_of_the_task_in_the_settings_is_that_of_the_trials():
    unit = training.settings("smoke", "flip-flop", (0.9,), 0)
    fields = [unit["task_fields"], unit["task_fields"] | {"target": 0.0}]
    losses = [training.compute(unit | {"task_fields": one}, torch.device("cpu")).loss for one in fields]
    assert not losses[0].equals(losses[1])


def test_a_value_of_g_has_one_name_and_its_own():
    groups = ((0.3, 0.6), (0.1 + 0.2, 0.6), (0.31, 0.6))
    own = training.EXPERIMENTS["sweep"]._replace(grid=lambda at: [training.settings(at, "romo", g, 0) for g in groups])
    names = [unit["unit"] for unit in own.units("paper")]
    assert names == ["romo_N256_WMv_s0_g0.3-0.6"] * 2 + ["romo_N256_WMv_s0_g0.31-0.6"]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda: experiments.run("trainings", "smoke"),
            "unknown experiment 'trainings': choose one of .*linear-exact, ",
        ),
        (lambda: experiments.load("x", "smoke"), "unknown experiment 'x'"),
        (lambda: experiments.load("training", "papr"), "unknown scale 'papr': choose one of smoke, lite, paper"),
        (lambda: experiments.run("training", "big"), "unknown scale 'big'"),
        (
            lambda: experiments.run("training", "smoke", device="tpu"),
            "unknown device 'tpu': choose one of auto, cpu",
        ),
        (lambda: experiments.status("x", "smoke"), "unknown experiment 'x'"),
        (
            lambda: zoo.load("flipflop", 0.9, 0, at="smoke"),
            "no network with task 'flipflop', g 0.9, sample 0 at scale smoke",
        ),
        (lambda: zoo.load("romo", 0.5, 0, at="smoke"), "no network with task 'romo', g 0.5"),
        (lambda: zoo.load("romo", 0.9, 99, at="smoke"), "sample 99 at scale smoke; there are"),
    ],
)
def test_bad_names_get_one_sentence_before_anything_is_written(call, says, tmp_path, monkeypatch):
    monkeypatch.setenv("INTERPLAY_RESULTS", str(tmp_path / "none"))
    with pytest.raises(ValueError, match=f"^{says}|{says}") as caught:
        call()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "none").exists()


def test_scale_is_that_of_the_environment_unless_chosen(monkeypatch):
    monkeypatch.setenv("INTERPLAY_SCALE", "lite")
    assert (experiments.scale(), experiments.scale("smoke")) == ("lite", "smoke")
    monkeypatch.delenv("INTERPLAY_SCALE")
    assert experiments.scale() == "paper"


def test_convergence_epoch_and_functional_rank_keep_labels_and_mark_what_never_comes():
    curves = np.array([[1, 0.04, 0.9, 0.01], [2, 1, 0.0999, 3], [1, 1, 0.05, 1], [np.nan] * 4])
    loss = xr.DataArray(curves, dims=("g", "epoch"), coords={"g": [0.0, 0.3, 0.6, 0.9], "epoch": np.arange(4)})
    wanted = [1.0, 2.0, np.nan, np.nan]
    np.testing.assert_array_equal(training.convergence_epoch(loss), wanted)
    ranks = lowrank.functional_rank(loss.rename(epoch="rank"), first=True)
    np.testing.assert_array_equal(ranks, wanted)
    assert ranks.g.values.tolist() == [0.0, 0.3, 0.6, 0.9]
    np.testing.assert_array_equal(lowrank.functional_rank(loss.rename(epoch="rank")), [3.0, np.nan, np.nan, np.nan])


def recorded_and_found(task: str, g: float, sample: int, at: str) -> tuple[float, float, zoo.Network]:
    """Loss of a network of the zoo as recorded, and of the rebuilt one on the same test trials."""
    size, chosen, network = training.TABLE["scales"][at], tasks.get(task)(), zoo.load(task, g, sample, at=at)
    test = chosen.trials(size["test_trials"], [generator("test", task, size["N"], g, sample)])
    z = rnn.simulate(network.after, test.inputs, dt=chosen.dt)[0]
    return network.loss, float(rnn.loss(z, test.targets, test.mask)[0]), network


def test_every_network_of_the_zoo_reproduces_its_recorded_loss(there):
    for task in training.TABLE["units"]["training"]["smoke"][0]["task"]:
        for g in (0.0, 0.9):
            for sample in range(2):
                recorded, found, network = recorded_and_found(task, g, sample, "smoke")
                assert found == pytest.approx(recorded, rel=0.01)
                kept = archive.read(there / f"{task}_N32_WMv_s{sample}_g0.0-0.9.nc").sel(g=g).squeeze()
                values = torch.linalg.svdvals(network.after.W - network.before.W)[0]
                assert values[:2].numpy() == pytest.approx(kept.values_change.values[:2], rel=1e-3)
                assert not any(torch.equal(a, b) for a, b in zip(network.before, network.after))


@pytest.mark.parametrize("task", ["flip-flop", "mante", "romo"])
def test_a_network_of_paper_scale_reproduces_its_recorded_loss(task, monkeypatch):
    monkeypatch.setenv("INTERPLAY_RESULTS", str(ROOT / "results"))
    sample, g = {"flip-flop": (4, 0.9), "mante": (0, 0.9), "romo": (1, 0.0)}[task]
    _, unit = zoo.unit_of(task, g, sample, "paper")
    assert experiments.path("training", unit, "paper").exists()
    recorded, found, network = recorded_and_found(task, g, sample, "paper")
    assert found == pytest.approx(recorded, rel=0.01)
    assert network.after.W.shape == (1, 256, 256)


def test_a_network_whose_random_stream_changed_is_refused(there, monkeypatch):
    path = there / "romo_N32_WMv_s0_g0.0-0.9.nc"
    data = archive.read(path)
    archive.write(path, data.assign(W0_digest=data.W0_digest.where(data.g < 0.5, "another")))
    assert zoo.load("romo", 0.0, 0, at="smoke").loss > 0
    with pytest.raises(archive.ArchiveError, match="W0 of romo, g = 0.9, sample 0 is .* not another"):
        zoo.load("romo", 0.9, 0, at="smoke")


@pytest.mark.parametrize("task", ["romo", "flip-flop"])
def test_a_network_that_is_not_kept_is_not_trained_at_paper_scale_unless_asked(task, tmp_path, monkeypatch):
    monkeypatch.setenv("INTERPLAY_RESULTS", str(tmp_path / "none"))
    trained = []
    monkeypatch.setattr(experiments, "compute", lambda *which: trained.append(which) or 1 / 0)
    with pytest.raises(
        archive.ArchiveError, match=f"{tmp_path}/none.*is not there: set INTERPLAY_RESULTS .*train=True"
    ):
        zoo.load(task, 0.9, 0, at="paper")
    with pytest.raises(archive.ArchiveError, match="is not there"):
        zoo.load(task, 0.9, 0, at="smoke", train=False)
    assert not trained and not (tmp_path / "none").exists()
    for how in ({"at": "paper", "train": True}, {"at": "smoke"}, {"at": "lite"}):
        with pytest.raises(ZeroDivisionError):
            zoo.load(task, 0.9, 0, **how)
    assert len(trained) == 3
    path = experiments.path(*zoo.unit_of(task, 0.9, 0, "paper"), "paper")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half")
    with pytest.raises(archive.Damaged):
        zoo.load(task, 0.9, 0, at="paper")
    assert path.exists() and len(trained) == 3


def test_index_lists_what_is_kept_with_its_measures(there, monkeypatch):
    table = zoo.index("smoke")
    assert len(table) == 12 and not table.duplicated(["task", "g", "sample"]).any()
    one = table.query("task == 'mante' and g == 0.9 and sample == 1").iloc[0]
    network = zoo.load("mante", 0.9, 1, "smoke")
    assert one.loss == network.loss
    assert one.norm == pytest.approx(float((network.after.W - network.before.W).norm()), rel=1e-2)
    next(there.glob("romo*s1*")).unlink()
    assert len(zoo.index("smoke")) == 10
    data = experiments.load("training", "smoke", present=True)
    curve = (data.loss_at_rank["rank"] < 5).where(data.loss_at_rank["rank"] != 2, 0.0) + 0 * data.loss_at_rank
    monkeypatch.setattr(experiments, "load", lambda *_, **__: data.assign(loss_at_rank=curve))
    table = zoo.index("smoke")
    assert (table["rank"] == 5).all() and (table.rank_first == 2).all() and len(table) == 10


def test_what_is_measured_of_a_network_is_what_numpy_finds():
    task, N = tasks.get("romo")(), 12
    before = rnn.initialise([0.9], N, task.n_in, task.n_out, [1])
    after, shuffled = rnn.initialise([1.2], N, task.n_in, task.n_out, [2]), rnn.initialise([0.8], N, 1, 1, [3]).W[0]
    trials = task.trials(4, [generator("measured")])
    unit = {"ranks": N + 1, "nonlinearity": "tanh", "keep": False}
    found = {name: np.array(x) for name, (_, x) in
             training.measure(unit, before, after, shuffled, trials, task.dt).items()}  # fmt: skip
    W0, W, other, M, v = (np.array(w, float) for w in (before.W[0], after.W[0], shuffled, after.M[0], after.v[0]))
    inputs, targets, mask = (np.array(part[:, 0], float) for part in trials)

    def loss(W):
        h, z = np.zeros((4, N)), []
        for u in inputs:
            h = h + task.dt * (-h + np.tanh(h) @ W.T + u @ M.T)
            z.append(np.tanh(h) @ v)
        return 0.5 * (mask * (targets - z) ** 2).sum() / mask.sum()

    U, s, Vh = np.linalg.svd(W - W0)
    assert found["loss_test"] == pytest.approx(loss(W), rel=1e-4)
    at_rank = [loss(W0 + (U[:, :k] * s[:k]) @ Vh[:k]) for k in range(N + 1)]
    assert found["loss_at_rank"] == pytest.approx(np.array(at_rank), rel=1e-3)
    assert found["loss_shuffled"] == pytest.approx(loss(other + W - W0), rel=1e-4)
    for name, matrix in (("change", W - W0), ("after", W)):
        assert found[f"values_{name}"] == pytest.approx(np.linalg.svd(matrix, compute_uv=False), rel=1e-3, abs=1e-5)
        values = found[f"eigenvalues_{name}"] @ [1, 1j]  # each near one of the matrix, and as many, largest first
        gaps = np.abs(values[:, None] - np.linalg.eigvals(matrix))
        assert gaps.min(0).max() < 1e-4 and gaps.min(1).max() < 1e-4 and (np.diff(np.abs(values)) < 1e-5).all()
