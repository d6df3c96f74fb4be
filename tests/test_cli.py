"""The command line: what it prints, its exit codes, one sentence on stderr where something cannot be done."""

import json
import subprocess
import sys
import time
from threading import Thread

import psutil
import pytest
import torch
import xarray as xr

from interplay import __main__ as cli
from interplay import experiments, ledger
from interplay.experiments import training


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("INTERPLAY_RESULTS", str(tmp_path / "results"))
    yield tmp_path / "results"
    torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "trainin"], "unknown experiment 'trainin': choose one of checks, linear-exact"),
        (["run", "training", "--scale", "huge"], "unknown scale 'huge': choose one of smoke, lite, paper"),
        (["status", "--scale", "huge"], "unknown scale 'huge'"),
        (["run", "training", "--device", "tpu"], "unknown device 'tpu': choose one of auto, cpu"),
        (["run", "training", "--device", "cuda:99"], "unknown device 'cuda:99'"),
        (["run", "training", "--threads", "0"], "number of threads is 0, but must be finite and at least 1"),
        (["run", "training", "--workers", "-2"], "number of workers is -2, but must be finite and at least 1"),
        (["run", "training", "--dask", "nowhere"], "no Dask scheduler answers at 'nowhere'"),
    ],
)
def test_what_is_not_there_gets_one_sentence(words, says, capsys, folder):
    assert cli.main(words) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"interplay: {says}")
    assert not folder.exists()


def test_results_that_cannot_be_written_get_one_sentence(capsys, folder):
    folder.write_text("a file, not a folder")
    assert cli.main(["run", "training", "--scale", "smoke"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"interplay: results folder {folder}")
    assert (err.count("\n"), folder.read_text()) == (1, "a file, not a folder")


def test_no_verb_or_an_unknown_one_prints_the_usage(capsys):
    for words in ([], ["fly"]):
        with pytest.raises(SystemExit, match="2"):
            cli.main(words)
        assert "usage: python -m interplay" in capsys.readouterr().err


def test_interrupt_says_that_the_run_can_go_on(capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(experiments, "run", interrupted)
    assert cli.main(["run", "training", "--scale", "smoke"]) == 130
    assert "what was finished is kept" in capsys.readouterr().err


FAULTY = """
import sys, time
import psutil
from interplay import __main__ as cli, archive, experiments

def run(name, at, executor, **_):
    executor.submit(int).result()  # the first worker has begun
    for _ in range(4):
        executor.submit(time.sleep, 300)
    time.sleep(1)
    print(*(one.pid for one in psutil.Process().children() if "spawn_main" in " ".join(one.cmdline())))
    raise archive.ArchiveError("the disk is full")

experiments.run = run
sys.exit(cli.main(["run", "training", "--workers", "2"]))
"""


def test_after_a_fault_no_worker_is_waited_for_and_none_is_left():
    done = subprocess.run([sys.executable, "-c", FAULTY], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (2, "interplay: the disk is full\n")
    assert len(workers := done.stdout.split()) == 2
    assert not [one for one in workers if psutil.pid_exists(int(one))]


SERVE = """
import asyncio, sys
from distributed import Scheduler, Worker

async def serve():
    async with {} as one:
        print(one.address, flush=True)
        await one.finished()

asyncio.run(serve())
"""


def test_a_dask_cluster_without_workers_is_named_and_so_is_a_scheduler_that_is_gone(folder, capsys):
    pytest.importorskip("distributed")
    said, kept, started = [], [], []

    def start(what, *options):
        words = [sys.executable, "-c", SERVE.format(what), *options]
        started.append(subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True))
        return started[-1].stdout.readline().strip()

    def disturb():
        end = time.monotonic() + 60
        while "\n" not in "".join(said) and time.monotonic() < end:
            said.append(capsys.readouterr().err)
            time.sleep(0.05)
        start("Worker(sys.argv[1], nthreads=1)", address)
        while not kept:
            kept.extend(folder.rglob("*.nc"))
            time.sleep(0.02)
        started[0].kill()

    address = start("Scheduler(host='127.0.0.1', port=0, dashboard=False)")
    thread = Thread(target=disturb, daemon=True)
    try:
        thread.start()
        assert cli.main(["run", "training", "--scale", "smoke", "--dask", address]) == 3
        thread.join()
    finally:
        for process in started:
            process.kill()
    first, last = "".join([*said, capsys.readouterr().err]).splitlines()
    assert first.startswith(f"interplay: the Dask scheduler at {address} has no workers")
    assert last.startswith(f"interplay: the Dask scheduler at {address} is gone or was started again; what was")
    assert 1 <= len(list(folder.rglob("*.nc"))) < 6


def test_run_uses_as_many_threads_as_asked_for(monkeypatch, capsys):
    asked = []
    seen = training.EXPERIMENTS["training"]._replace(
        compute=lambda *unit: asked.append(torch.get_num_threads()) or xr.Dataset()
    )
    monkeypatch.setitem(training.EXPERIMENTS, "training", seen)
    assert cli.main(["run", "training", "--scale", "smoke", "--threads", "2", "--device", "cpu"]) == 0
    assert asked == [2] * 6


def test_status_has_a_line_for_every_experiment(capsys, folder):
    assert cli.main(["status", "--scale", "smoke"]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert str(folder) in first
    assert [line.split()[0] for line in lines] == list(experiments.names())
    assert all(" 0 of " in line and line.endswith("time unknown") for line in lines)
    assert not folder.exists()


@pytest.mark.parametrize("read", [0, 1])
def test_a_reader_that_has_seen_enough_ends_it_without_a_word(read):
    command = [sys.executable, "-m", "interplay", "status", "--scale", "smoke"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(read):
        child.stdout.readline()
    child.stdout.close()
    assert (child.stderr.read(), child.wait(60)) == ("", 141)


def test_claims_are_strict_json_or_a_table_and_end_with_4_where_nothing_is_kept(capsys, folder):
    assert cli.main(["claims", "C2", "--json"]) == 4
    out, err = capsys.readouterr()
    rows = json.loads(out, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert err.startswith(f"interplay: 1 undecided, as results of training are missing in {folder}: ")
    assert cli.main(["claims", "C2"]) == 4
    table = capsys.readouterr().out.splitlines()
    assert len(rows) == len(table) == sum(claim["id"].startswith("C2") for claim in ledger.read()) > 20
    assert all(row["id"] in line and row["verdict"] in line for row, line in zip(rows, table))
    assert cli.main(["claims", "nothing"]) == 2
    assert capsys.readouterr().err == "interplay: no claim begins with 'nothing'\n"
