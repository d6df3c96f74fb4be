"""`make torture`: faults of builds and set-ups, repeated end to end in temporary folders; prints a table.

    python -m tests.torture [--full]

Every case says `make` in a clone with a .venv of its own, as a reader would.  The clone's book is cut down to two small
chapters; with --full the whole book is built there first, and timed.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "book/_ext"))
from tests.test_build import PLOT, chapter, write  # noqa: E402 (not before the folder can be found)

USES = "from interplay import lowrank\nlowrank.__name__"


def clone(folder: Path) -> Path:
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
    return folder


def cut_down(book: Path) -> None:
    """Leave two small chapters of the book."""
    for page in (book / "book").glob("*.md"):
        page.unlink()
    write(book, {"_toc.yml": "format: jb-book\nroot: book/one\nchapters: [{file: book/two}]\n"})
    write(book, {"book/one.md": chapter("One", PLOT), "book/two.md": chapter("Two", USES)})


def reader() -> dict[str, str]:
    """The environment without what is of this process, not of the reader's."""
    ours = re.compile("PYTHON.|MAKE|MFLAGS")
    return {name: value for name, value in os.environ.items() if not ours.match(name)}


def make(book: Path, *words: str, **variables: str) -> tuple[int, list[str], float]:
    """Exit code, what was said but for make's own words, and seconds."""
    start = time.monotonic()
    done = subprocess.run(
        ["make", *words],
        cwd=book,
        env=reader() | variables,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=900,
    )
    said = [line for line in done.stdout.splitlines() if not re.match(r"make(\[\d+\])?:", line)]
    return done.returncode, said, time.monotonic() - start


def fails_twice(book: Path, page: str, text: str, last: str) -> str:
    """A page so changed fails the build twice, says why last, and leaves the site as it was; then all is well again."""
    file, site = book / f"book/{page}.md", book / "_build/html"
    before, good = {one: one.read_bytes() for one in site.rglob("*.html")}, file.read_text()
    file.write_text(text)
    for _ in range(2):
        code, said, _ = make(book, "book")
        assert code and re.search(last, said[-1]), said[-5:]
        assert {one: one.read_bytes() for one in site.rglob("*.html")} == before, "the site changed"
    file.write_text(good)
    assert make(book, "book")[0] == 0
    return said[-1].removeprefix(str(book) + "/")


def a_chapter_raises(book: Path) -> str:
    return fails_twice(book, "two", chapter("Two", "1", "unknown"), r"^book/two.md:18 \(code cell 2\): NameError")


def a_reference_is_missing(book: Path) -> str:
    text = (book / "book/two.md").read_text() + "\n{numref}`fig-nowhere`\n"
    return fails_twice(book, "two", text, r"two.md:\d+: WARNING: undefined label: 'fig-nowhere'")


def a_chapter_is_taken_off(book: Path) -> str:
    write(book, {"book/three.md": chapter("Three", "3")})
    toc = (book / "_toc.yml").read_text()
    write(book, {"_toc.yml": toc.replace("{file: book/two}", "{file: book/two}, {file: book/three}")})
    assert make(book, "book")[0] == 0 and (book / "_build/html/book/three.html").exists()
    write(book, {"_toc.yml": toc})
    (book / "book/three.md").unlink()
    assert make(book, "book")[0] == 0
    assert not (book / "_build/html/book/three.html").exists()
    return "its page is gone"


def a_hostile_environment(book: Path) -> str:
    page = (book / "_build/html/book/one.html").read_text()
    hostile = {"MPLBACKEND": "Agg", "HOME": "/dev/null", "INTERPLAY_RESULTS": "/nowhere", "LC_ALL": "tr_TR.UTF-8"}
    code, said, _ = make(book, "book", **hostile)
    assert code == 0 and not any("executed in" in line for line in said), said
    shutil.rmtree(book / "_build/runs")
    code, said, _ = make(book, "book", **hostile)
    assert code == 0, said[-5:]
    assert (book / "_build/html/book/one.html").read_text() == page
    code, said, _ = make(book, "book")
    assert code == 0 and not any("executed in" in line for line in said), said
    return "the same pages, nothing poisoned"


def a_module_changes(book: Path) -> str:
    executed = {}
    for module in ("workers", "lowrank"):
        with (book / f"src/interplay/{module}.py").open("a") as file:
            file.write("# a comment\n")
        code, said, _ = make(book, "book")
        assert code == 0
        executed[module] = [line.split(".")[0] for line in said if "executed in" in line]
    assert executed == {"workers": [], "lowrank": ["two"]}, executed
    return "workers.py runs none, lowrank.py only the chapter that loads it"


def a_copied_checkout(book: Path) -> str:
    copy = book.with_name("copy of it")
    shutil.copytree(book, copy, symlinks=True)
    (copy / "src/interplay/lowrank.py").write_text("raise RuntimeError('the copy')\n")
    code, said, _ = make(copy, "book")
    assert code and "RuntimeError: the copy" in said[-1], said[-5:]
    shutil.rmtree(copy)
    return "builds its own code"


def a_moved_checkout(book: Path) -> str:
    """The last case: moved back, it would be set up once more."""
    moved = book.rename(book.with_name("moved"))
    assert make(moved, "book")[0] == 0
    where = subprocess.check_output(
        [moved / ".venv/bin/python", "-I", "-c", "import interplay; print(interplay.__file__)"]
    )
    assert where.decode().startswith(str(moved)), where
    return "set up anew, and builds"


def an_index_is_gone(book: Path) -> str:
    bare, seen = clone(book.with_name("bare")), []
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=bare)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        index = f"http://127.0.0.1:{server.server_port}/whl/cpu"
        seen.append(make(bare, "book", f"TORCH_INDEX={index}"))
        server.shutdown()
    seen.append(make(bare, "book", f"TORCH_INDEX={index}"))
    for code, said, seconds in seen:
        assert code and said[-1].startswith("no PyTorch can be had from TORCH_INDEX") and seconds < 30, said
    assert not (bare / ".venv").exists()
    return f"said in {max(seconds for _, _, seconds in seen):.0f} s"


def a_title_changes(book: Path) -> str:
    write(book, {"book/two.md": chapter("Another title", USES)})
    assert make(book, "book")[0] == 0
    assert "Another title" in (book / "_build/html/book/one.html").read_text()
    return "in every sidebar"


def signs_in_a_path(book: Path) -> str:
    code, said, _ = make(clone(book.with_name("a[b]?")), "book")
    assert code and "has [ and ] and ? in it" in said[-1], said
    return "named in a sentence"


def clean(book: Path) -> str:
    assert make(book, "clean")[0] == 0
    assert not (book / "_build").exists() and (book / ".venv/ready").exists() and any((book / "results").iterdir())
    return "_build is gone, .venv and results stay"


def a_port_is_taken(book: Path) -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said, seconds = make(book, "serve", f"PORT={port}")
        assert code and said[-1].startswith(f"port {port} cannot be used"), said
        assert not any("drawing" in line for line in said)
    serving = subprocess.Popen(
        [book / ".venv/bin/python", "book/_ext/serve.py", str(port)], cwd=book, stdout=subprocess.PIPE, text=True
    )
    try:
        for line in serving.stdout:
            if "the site is at" in line:
                break
        assert "One" in urlopen(f"http://127.0.0.1:{port}/book/one.html", timeout=10).read().decode()
        listening = subprocess.check_output(["cat", f"/proc/{serving.pid}/net/tcp"], text=True)
        assert re.search(rf"0100007F:{port:04X} 00000000:0000 0A", listening), "not on the loopback alone"
    finally:
        serving.terminate()
        serving.wait(30)
    return f"said in {seconds:.0f} s; else served on 127.0.0.1"


def chapters_in_jupyterlab(book: Path) -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = f"c.ServerApp.update(allow_root=True, open_browser=False, port={port})\nc.IdentityProvider.token = ''\n"
    write(place := book.with_name("jupyter"), {"jupyter_server_config.py": config})
    lab = subprocess.Popen(
        ["make", "lab"], cwd=book, env=reader() | {"JUPYTER_CONFIG_DIR": str(place)}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def answer(path: str) -> str:
        return urlopen(f"http://127.0.0.1:{port}/{path}", timeout=10).read().decode()

    try:
        for _ in range(300):
            with contextlib.suppress(OSError):
                viewers = answer("lab/api/settings/@jupyterlab/docmanager-extension:plugin")
                break
            assert lab.poll() is None, f"make lab ended with {lab.returncode}"
            time.sleep(1)
        assert '"myst": "Jupytext Notebook"' in viewers, viewers
        cells = json.loads(answer("api/contents/one.md?type=notebook"))["content"]["cells"]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(lab.pid, signal.SIGTERM)
        lab.wait(60)
    return f"a chapter opens as a notebook of {len(cells)} cells"


def colab(book: Path) -> str:
    words = ["-m", "pytest", "-p", "no:cacheprovider", "tests/test_address.py"]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-1500:]
    return done.stdout.strip().splitlines()[-1]


CASES = [
    ("3", a_chapter_raises),
    ("3", a_reference_is_missing),
    ("3", a_chapter_is_taken_off),
    ("4", a_hostile_environment),
    ("4", a_module_changes),
    ("5", a_copied_checkout),
    ("7", colab),
    ("8", an_index_is_gone),
    ("10", a_title_changes),
    ("10", signs_in_a_path),
    ("11", chapters_in_jupyterlab),
    ("12", a_port_is_taken),
    ("10", clean),
    ("5", a_moved_checkout),
]


def run(book: Path, full: bool) -> int:
    """Number of cases that failed; a line of the table each."""
    failed = 0
    clone(book)
    if full:
        code, said, seconds = make(book, "book")
        print(f"whole book from a fresh clone: exit code {code} in {seconds:.0f} s", flush=True)
        failed += code != 0
    cut_down(book)
    code, said, seconds = make(book, "book")
    assert code == 0, said
    print(f"a small book built in {seconds:.0f} s\n\ncase  seconds  verdict  what was seen", flush=True)
    for number, case in CASES:
        start = time.monotonic()
        try:
            verdict, seen = "holds", case(book)
        except (AssertionError, OSError, subprocess.SubprocessError) as fault:
            verdict, seen, failed = "FAILS", f"{type(fault).__name__}: {fault}", failed + 1
        name = case.__name__.replace("_", " ")
        print(f"{number:>4} {time.monotonic() - start:8.0f}  {verdict:7}  {name}: {seen}", flush=True)
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="first build the whole book in the clone, and time it")
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        failed = run(Path(folder) / "clone", parser.parse_args().full)
    print(f"\n{len(CASES)} cases, {failed} failed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
