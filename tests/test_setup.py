"""`.ci/venv.py`: whose .venv is, which machines are refused, what a package index that is not there leads to."""

import importlib.util
import platform
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distributions
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]


def checkout(root: Path):
    """Its `.ci/venv.py`, with a .venv that holds nothing: what would be installed is noted in `installed`."""
    (root / ".ci").mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / ".ci/venv.py", root / ".ci")
    for name in ("requirements.lock", "pyproject.toml"):
        if not (root / name).exists():
            (root / name).write_text("a")
    spec = importlib.util.spec_from_file_location("venv_maker", root / ".ci/venv.py")
    spec.loader.exec_module(maker := importlib.util.module_from_spec(spec))
    maker.installed = []
    maker.install = lambda index: maker.installed.append(index) or True
    call = subprocess.call
    maker.subprocess = SimpleNamespace(  # pip is not needed: nothing is installed
        call=lambda command, **how: call([*command, "--without-pip"] if "venv" in command else command, **how),
        DEVNULL=subprocess.DEVNULL,
    )
    return maker


def made_anew(maker) -> bool:
    """Whether saying `make` replaced .venv; whichever way, it is this checkout's then."""
    (mark := maker.VENV / "mark").touch()
    assert maker.main("") is None
    config = (maker.VENV / "pyvenv.cfg").read_text()
    assert str(maker.VENV) in config and not maker.VENV.is_symlink()
    return not mark.exists()


def test_a_venv_belongs_to_its_checkout_and_its_python(tmp_path, monkeypatch):
    one = checkout(tmp_path / "one")
    assert one.main("") is None
    assert not made_anew(one) and one.installed == [""]
    (tmp_path / "one/requirements.lock").write_text("b")
    assert not made_anew(one) and one.installed == ["", ""]  # on top

    shutil.copytree(tmp_path / "one", tmp_path / "copy", symlinks=True)
    assert made_anew(checkout(tmp_path / "copy"))
    (tmp_path / "copy").rename(tmp_path / "moved")
    moved = checkout(tmp_path / "moved")
    assert made_anew(moved)
    assert not made_anew(moved)
    assert not made_anew(one)

    version = platform.python_version
    monkeypatch.setattr(platform, "python_version", lambda: "3.19.0")
    assert made_anew(one)
    monkeypatch.setattr(platform, "python_version", version)
    assert made_anew(one)

    (one.VENV / "bin/python").unlink()  # its Python was removed
    assert made_anew(one)
    one.READY.unlink()  # it was stopped half way
    assert made_anew(one)

    shutil.rmtree(moved.VENV)
    moved.VENV.symlink_to(one.VENV)  # another's is left alone
    assert moved.main("") is None
    assert not moved.VENV.is_symlink() and one.READY.exists()

    one.READY.unlink()
    one.install = lambda index: False
    assert one.main("").startswith("the packages could not be installed")
    assert not one.READY.exists()


@pytest.mark.parametrize(
    ("system", "machine", "python", "libc", "says"),
    [
        ("Linux", "x86_64", (3, 10, 13), "glibc", "Python 3.11 or newer is needed"),
        ("Darwin", "x86_64", (3, 12, 1), "", "Macs with Intel processors"),
        ("Windows", "AMD64", (3, 12, 1), "", "Linux or macOS is needed, this is Windows"),
        ("Linux", "armv7l", (3, 12, 1), "glibc", "64-bit"),
        ("Linux", "x86_64", (3, 12, 1), "musl", "glibc"),
        ("Linux", "aarch64", (3, 11, 2), "glibc", None),
        ("Darwin", "arm64", (3, 13, 0), "", None),
    ],
)
def test_where_the_book_cannot_be_built_is_said_before_any_work(
    system, machine, python, libc, says, monkeypatch, tmp_path
):
    maker = checkout(tmp_path / "one")
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(platform, "libc_ver", lambda: (libc, ""))
    monkeypatch.setattr(sys, "version_info", python)
    if says is None:
        assert maker.unfit() is None
    else:
        assert says in maker.main("")
        assert not maker.VENV.exists()


def test_every_version_of_the_lock_takes_the_python_that_the_check_lets_in():
    """Debian 12's is 3.11.2; a pin that needs a later one would fail there after half a minute, in pip's words."""
    locked = {line.split("==")[0].lower().replace("_", "-") for line in (ROOT / "requirements.lock").open()}
    wanted = {
        one.metadata["Name"].lower().replace("_", "-"): one.metadata.get("Requires-Python") for one in distributions()
    }
    assert len(locked & set(wanted)) > 100
    for name in locked & set(wanted):
        assert SpecifierSet(wanted[name] or "").contains("3.11.2"), f"{name} needs Python {wanted[name]}"


def run(root: Path, index: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, root / ".ci/venv.py", index], capture_output=True, text=True, check=False, timeout=60
    )


def test_an_index_without_pytorch_is_named_before_anything_is_fetched(tmp_path):
    checkout(tmp_path / "one")
    serve = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        there = f"http://127.0.0.1:{server.server_port}/whl/cpu"
        missing = run(tmp_path / "one", there)
        server.shutdown()
    refused = run(tmp_path / "one", there)
    for told, why in ((missing, "HTTP Error 404: File not found"), (refused, "Connection refused")):
        assert told.returncode == 1 and why in told.stderr
        assert told.stderr.splitlines()[-1].startswith(f"no PyTorch can be had from TORCH_INDEX={there} (")
    assert not (tmp_path / "one/.venv").exists()


def test_signs_in_a_path_that_the_tools_stumble_over_are_named(tmp_path):
    maker = checkout(tmp_path / "a[b]?")
    assert f"{maker.ROOT} has [ and ] and ? in it" in maker.main("")
    assert checkout(tmp_path / "ä b").unfit() is None
