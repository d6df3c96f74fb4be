"""The build of the site: what it executes again, what it refuses to keep, what a failed one leaves behind."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import runs

ROOT = Path(__file__).parents[1]
HEAD = (ROOT / "book/claims.md").read_text("utf-8").split("\n---\n")[0] + "\n---\n\n"
FIGURE = "---\nmystnb:\n  figure: {name: fig-one, caption: One.}\n  image: {alt: A line.}\n---\n"
PLOT = FIGURE + "import matplotlib.pyplot as plt\nplt.plot([0, 1]);"


def chapter(title: str, *cells: str) -> str:
    return HEAD + f"# {title}\n" + "".join(f"\n```{{code-cell}} ipython3\n{cell}\n```\n" for cell in cells)


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "utf-8")


READS = """
import os
from pathlib import Path
from interplay import archive
from helpers import loaded
kept = Path(os.environ["INTERPLAY_RESULTS"]) / "paper"
(kept / "read.nc").read_text()
Path(loaded.__file__).with_name("looked_through.py").read_text()
archive.look(kept / "missing.nc", {})
written = kept / "written.part"
written.write_text("x")
written.replace(kept / "written.nc").read_text()
"""


def test_a_chapter_is_executed_again_when_what_its_run_depended_on_changed_and_only_then(tmp_path, monkeypatch):
    package = ROOT / "src/interplay"
    shutil.copytree(package, tmp_path / "src/interplay", ignore=shutil.ignore_patterns("__pycache__"))
    files = {
        "book/one.md": chapter("One", READS),
        "requirements.lock": "a==1",
        "src/helpers/loaded.py": "from . import below",
        "src/helpers/below.py": "",
        "src/helpers/other.py": "",
        "src/helpers/looked_through.py": "",
        "results/paper/read.nc": "1",
        "results/paper/other.nc": "1",
    }
    write(tmp_path, files)
    source = tmp_path / "book/one.md"
    assert runs.execute(source, "paper", root=tmp_path).error is None

    def fresh() -> bool:
        return runs.kept(source, "paper", tmp_path) is not None

    assert fresh()
    for name in (
        "src/helpers/other.py",
        "src/helpers/looked_through.py",
        "src/interplay/workers.py",
        "results/paper/other.nc",
    ):
        write(tmp_path, {name: "# 2"})
        assert fresh(), name
    write(tmp_path, {"book/one.md": files["book/one.md"] + "\nMore prose.\n"})
    for name in ("MPLBACKEND", "MPLCONFIGDIR", "INTERPLAY_RESULTS", "INTERPLAY_RETRAIN", "PYTHONHASHSEED", "LC_ALL"):
        monkeypatch.setenv(name, "1")
        assert fresh(), name
    changed = ("requirements.lock", "src/helpers/loaded.py", "src/helpers/below.py", "src/interplay/archive.py")
    for name in (*changed, "results/paper/read.nc", "results/paper/written.nc"):
        before = (tmp_path / name).read_bytes()
        (tmp_path / name).write_text("2")
        assert not fresh(), name
        (tmp_path / name).write_bytes(before)
        assert fresh(), name
    write(tmp_path, {"results/paper/missing.nc": "now it is there"})
    assert not fresh()
    (tmp_path / "results/paper/missing.nc").unlink()
    write(tmp_path, {"book/one.md": chapter("One", READS + "1 + 1")})
    assert not fresh()
    write(tmp_path, {"book/one.md": files["book/one.md"]})
    assert fresh()
    ours = runs.environment
    monkeypatch.setattr(runs, "environment", lambda *given: ours(*given) | {"MPLBACKEND": "agg"})
    assert not fresh()


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("raise ValueError('no')", "ValueError: no"),
        ("import warnings\nwarnings.warn('look')", "wrote to stderr: "),
        (FIGURE + "1;", "is a figure, and gave no picture"),
        ("import os\nos._exit(1)", "Kernel died"),
    ],
)
def test_a_run_that_did_not_do_what_it_should_is_not_kept(cell, said, tmp_path):
    write(tmp_path, {"requirements.lock": "", "book/one.md": chapter("One", "1", "2")})
    source = tmp_path / "book/one.md"
    runs.execute(source, "paper", root=tmp_path)
    assert runs.kept(source, "paper", tmp_path)
    write(tmp_path, {"book/one.md": chapter("One", "1", cell)})
    _, told = runs.attempt(source, "paper", tmp_path)
    place = "book/one.md:18 (code cell 2)" if "exit" not in cell else "book/one.md"  # a dead kernel knows no cell
    assert told.splitlines()[-1].startswith(f"{place}: {said}")
    assert not runs.place(source, "paper", tmp_path).exists()


def test_a_chapter_that_is_executed_again_gives_the_same(tmp_path, monkeypatch):
    write(tmp_path, {"requirements.lock": "", "book/one.md": chapter("One", PLOT)})
    before = runs.execute(source := tmp_path / "book/one.md", "paper", root=tmp_path).nb.cells[1].outputs
    assert "image/svg+xml" in before[0].data
    for name, hostile in {"MPLBACKEND": "Agg", "HOME": "/dev/null", "LC_ALL": "tr_TR.UTF-8"}.items():
        monkeypatch.setenv(name, hostile)
    assert runs.execute(source, "paper", root=tmp_path).nb.cells[1].outputs == before


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A book of two chapters, in a folder with spaces and letters that are not ASCII."""
    root = tmp_path_factory.mktemp("Büch mit Leerstellen")
    shutil.copytree(ROOT / "book/_ext", root / "book/_ext", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("_static", "_templates"):
        shutil.copytree(ROOT / "book" / name, root / "book" / name)
    for name in ("_config.yml", "CITATION.cff", "requirements.lock", "book/references.bib"):
        shutil.copy(ROOT / name, root / name)
    write(root, {"_toc.yml": "format: jb-book\nroot: book/one\nchapters: [{file: book/two}]\n"})
    write(root, {"book/one.md": chapter("One", PLOT), "book/two.md": chapter("Two", "2")})
    return root


def make(root: Path, *words: str, **variables: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "book/_ext/build.py", *words]
    return subprocess.run(
        command, cwd=root, env=os.environ | variables, capture_output=True, text=True, check=False, timeout=300
    )


def test_a_failed_build_leaves_the_site_as_it_was_and_fails_again(book):
    first = make(book, MPLBACKEND="Agg", HOME="/dev/null", INTERPLAY_RESULTS="/nowhere", PYTHONSTARTUP="/nowhere")
    assert first.returncode == 0, first.stderr
    site = book / "_build/html"
    page = (site / "book/one.html").read_text()
    assert page.count('<img alt="A line."') == 1
    pages = {file: file.read_bytes() for file in site.rglob("*.html")}

    def folders() -> list[str]:
        return sorted(file.name for file in (book / "_build").iterdir() if file.is_dir())

    there = folders()
    assert {"html", "runs"} <= set(there) and "work-paper" not in there
    two = book / "book/two.md"
    good = two.read_text()
    for broken, last in (
        (chapter("Two", "2", "unknown"), "book/two.md:18 (code cell 2): NameError: name 'unknown' is not defined"),
        (good + "\n{numref}`fig-nowhere`\n", "two.md:18: WARNING: undefined label: 'fig-nowhere'"),
    ):
        two.write_text(broken)
        for _ in range(2):
            failed = make(book)
            assert failed.returncode == 1
            assert failed.stderr.splitlines()[-1].endswith(last)
            assert {file: file.read_bytes() for file in site.rglob("*.html")} == pages
            assert folders() == there
    two.write_text(good)

    # Renamed, the chapter's old page is gone, and its new title is in the other's sidebar.
    two.rename(book / "book/three.md").write_text(good.replace("# Two", "# Three"))
    (book / "_toc.yml").write_text((book / "_toc.yml").read_text().replace("two", "three"))
    again = make(book)
    assert (again.returncode, "executed" in again.stdout) == (0, True), again.stderr
    assert "one.md" not in again.stdout
    assert not (site / "book/two.html").exists()
    assert "Three" in (site / "book/one.html").read_text()


def test_one_page_alone_and_a_name_that_is_not_there(book):
    done = make(book, "--page", "one")
    assert done.returncode == 0, done.stderr
    assert "fig-one" in (book / "_build/chapter/book/one.html").read_text()
    names = ", ".join(sorted(file.stem for file in (book / "book").glob("*.md")))
    wrong = make(book, "--page", "on")
    assert (wrong.returncode, wrong.stderr) == (2, f"there is no chapter 'on': choose one of {names}\n")
