"""The package without the clone: built, unpacked elsewhere, its networks fetched from a home that also fails."""

import json
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pooch
import pytest
import torch

from interplay import archive, corpus, zoo
from interplay.experiments import training

ROOT = Path(__file__).parents[1]
FILE = "paper/training/romo_N256_WMv_s0_g0.0-0.9.nc"


class Home(SimpleHTTPRequestHandler):
    """The folder `results/`, or what `fault` makes of the bytes of a file."""

    fault, asked = None, []

    def do_GET(self):
        self.asked.append(self.path)
        if self.fault is None:
            return super().do_GET()
        content = (ROOT / "results" / FILE).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(self.fault(content))

    def log_message(self, *_):
        pass


@pytest.fixture
def home(monkeypatch):
    monkeypatch.setattr(Home, "fault", None)
    monkeypatch.setattr(Home, "asked", [])
    monkeypatch.setattr(pooch.core.time, "sleep", lambda _: None)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Home, directory=str(ROOT / "results")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def bare(home, tmp_path, monkeypatch):
    """No results but at `home`, and nothing is trained."""
    monkeypatch.setenv("INTERPLAY_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("INTERPLAY_HOME", home)
    monkeypatch.setattr(training, "compute", None)
    return tmp_path / "results"


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_checksums_are_those_of_the_kept_networks():
    """To write them again: `pooch.make_registry` of either folder, with the folder before each name."""
    kept = {name: path for e in zoo.EXPERIMENTS for path in (ROOT / "results/paper" / e).glob("*.nc")
            if (name := f"paper/{e}/{path.name}")}  # fmt: skip
    listed = dict(line.split() for line in zoo.CHECKSUMS.read_text().splitlines())
    assert listed == {name: f"sha256:{pooch.file_hash(str(path))}" for name, path in kept.items()} and len(kept) == 70


def test_a_network_that_is_not_there_is_fetched_once(bare, monkeypatch):
    network = zoo.load("romo", 0.9, 0, at="paper")
    assert files(bare) == [FILE] and Home.asked == [f"/{FILE}"]
    assert zoo.load("romo", 0.0, 0, at="paper").loss != network.loss and len(Home.asked) == 1  # in the same file
    monkeypatch.setenv("INTERPLAY_RESULTS", str(ROOT / "results"))
    for one, other in zip(
        (*network.before, *network.after), (*(n := zoo.load("romo", 0.9, 0, at="paper")).before, *n.after)
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (lambda content: content[: len(content) // 2], r"cannot be had \((ChunkedEncoding|Connection)Error\): name .*"),
        (lambda content: content[:-1] + b"?", "has not the checksum it had .*: nothing of it was kept"),
    ],
)  # fmt: skip
def test_a_file_that_is_cut_or_changed_on_the_way_is_named_and_not_kept(fault, says, bare, monkeypatch):
    monkeypatch.setattr(Home, "fault", staticmethod(fault))
    with pytest.raises(archive.ArchiveError, match=f"^http://127.0.0.1:[0-9]+/{FILE} {says}$"):
        zoo.load("romo", 0.9, 0, at="paper")
    assert not files(bare) and len(Home.asked) == corpus.TRIES
    monkeypatch.setattr(Home, "fault", None)
    assert zoo.load("romo", 0.9, 0, at="paper").loss > 0 and files(bare) == [FILE]


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "127.0.0.1/results", "http://nobody.invalid", "missing"])
def test_no_network_and_an_address_that_is_none_get_one_sentence(address, bare, home, monkeypatch):
    monkeypatch.setenv("INTERPLAY_HOME", f"{home}/missing" if address == "missing" else address)
    with pytest.raises(archive.ArchiveError, match=f"{address}/{FILE} cannot be had .* INTERPLAY_RESULTS$") as fault:
        zoo.load("romo", 0.9, 0, at="paper")
    assert "\n" not in str(fault.value) and not files(bare)


def test_what_has_no_checksum_is_not_asked_for(bare):
    for how in ({"at": "smoke", "train": False}, {"at": "lite", "train": False}):
        with pytest.raises(archive.ArchiveError, match="is not there: set INTERPLAY_RESULTS .* or INTERPLAY_HOME"):
            zoo.load("romo", 0.9, 0, **how)
    assert not Home.asked


LOAD = """
import json, sys
from interplay import archive, experiments, zoo
from interplay.experiments import training
training.compute = None
said = [zoo.__file__, str(archive.folder()), zoo.home()]
try:
    said += [zoo.load("mante", 0.9, 1).loss]
except archive.ArchiveError as fault:
    said += [str(fault)]
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A wheel of this checkout's package, unpacked where pip would have put it."""
    place = tmp_path_factory.mktemp("wheel")
    for name in ("src", "pyproject.toml", "README.md", "LICENSE"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, place / name)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "--wheel-dir", str(place), str(place)], check=True, capture_output=True)
    zipfile.ZipFile(next(place.glob("*.whl"))).extractall(place / "lib/site")
    return place / "lib/site"


@pytest.mark.parametrize("source", ["wheel", "GitHub"])
def test_a_package_without_the_clone_says_where_networks_are_and_fetches_them(source, installed, home, tmp_path):
    url = {"wheel": "file:///tmp/interplay-0.1.0-py3-none-any.whl", "GitHub": "https://github.com/owner/book.git"}[
        source
    ]
    told = {"url": url, "vcs_info": {"vcs": "git", "commit_id": "f00"}} if source == "GitHub" else {"url": url}
    (next(installed.glob("*.dist-info")) / "direct_url.json").write_text(json.dumps(told))
    plain = {name: value for name, value in os.environ.items() if not name.startswith("INTERPLAY_")}
    plain |= {
        "PYTHONPATH": str(installed),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }

    def load(**more):
        done = subprocess.run(
            [sys.executable, "-c", LOAD], env=plain | more, cwd=tmp_path, capture_output=True, text=True
        )
        return json.loads(done.stdout or pytest.fail(done.stderr))

    file, folder, address, fault = load()
    assert file.startswith(str(installed)) and folder == str(tmp_path / "cache/interplay/results")
    if source == "wheel":
        assert address is None and "is not there: set INTERPLAY_RESULTS to the folder results/ of a clone" in fault
        assert not Path(folder).exists()
    else:
        assert address == "https://raw.githubusercontent.com/owner/book/f00/results"
        assert fault.startswith(f"{address}/paper/training/mante_N256_WMv_s1_g0.0-0.9.nc cannot be had (ProxyError)")
        return
    recorded = load(INTERPLAY_RESULTS=str(ROOT / "results"))[3]
    assert load(INTERPLAY_HOME=home)[2:] == [home, recorded] and recorded < 0.1
    assert load()[2:] == [None, recorded] and len(Home.asked) == 1  # kept from then on
