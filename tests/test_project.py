"""What holds the project together: versions, chapters under test, twins."""

import ast
import importlib
import inspect
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import jupytext
import nbformat
import plain
import pytest
import twins
import yaml
from nbclient import NotebookClient
from packaging.requirements import Requirement

import interplay
from tests import touched

ROOT = Path(__file__).parents[1]
LOCK = {
    line.split("==")[0].lower().replace("_", "-"): line.split("==")[1].strip()
    for line in (ROOT / "requirements.lock").read_text().splitlines()
}


def conda():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    plain = [entry.replace("=", "==") for entry in listed if isinstance(entry, str) and "=" in entry]
    return plain + next(entry["pip"] for entry in listed if isinstance(entry, dict))


def test_environment_and_bounds_agree_with_the_lock():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for entry in conda():
        name, _, version = entry.partition("==")
        if name not in ("python", "-e .", "jupyterlab"):
            assert LOCK[name] == version, name
    extras = project["optional-dependencies"]
    assert any("jupyterlab==" in entry for entry in conda()) and "lab" in extras  # which `make lab` alone installs
    wanted = project["dependencies"] + [r for name in extras if name != "lab" for r in extras[name]]
    for requirement in map(Requirement, wanted):
        if requirement.name != "interplay":
            assert requirement.specifier.contains(LOCK[requirement.name.lower()]), str(requirement)
    named = {re.split("[=><]", entry)[0] for entry in conda()}
    assert {"python", "numpy", "sympy", "matplotlib", "torch", "jupyter-book", "jupytext", "nbmake"} <= named
    assert LOCK["torch"] == "2.13.0"


LINES_OF_SRC = 5390  # in all; it goes down, to 3300: raising it is a decision that the change log names


def test_package_is_thin():
    lines = {file: len(file.read_text().splitlines()) for file in (ROOT / "src").rglob("*.py")}
    assert sum(lines.values()) <= LINES_OF_SRC
    assert max(lines.values()) <= 300, max(lines, key=lines.get)
    functions = {
        f"{file.name}: {node.name}": node.end_lineno - node.lineno + 1
        for file in lines
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    assert max(functions.values()) <= 50, max(functions, key=functions.get)


def test_arrows_run_down():
    allowed = {name: set() for name in ("edge", "archive", "seeds")}
    allowed |= {name: {"edge"} for name in ("rnn", "lowrank", "theory", "tasks/base")}
    allowed |= {"linear": {"edge", "theory"}, "pathways": {"edge", "rnn"}, "operative": {"edge", "rnn"}}
    allowed |= {"tasks/schuessler": {"base"}, "tasks/krause": {"base"}}
    for name, below in allowed.items():
        tree = ast.parse((ROOT / f"src/interplay/{name}.py").read_text())
        inside = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
        found = {
            module for node in inside for module in ([node.module] if node.module else [n.name for n in node.names])
        }
        assert found <= below, f"{name} imports {found}"


def test_every_public_name_has_its_place_on_the_page_of_helpers():
    page = (ROOT / "book/api.md").read_text()
    assert 5 < len(interplay.__all__) <= 25
    assert interplay.__version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for name in interplay.__all__:
        module = importlib.import_module(f"interplay.{name}")
        for each in vars(module).values():
            if inspect.isfunction(each) and each.__module__ == module.__name__ and each.__name__[0] not in "_<":
                assert inspect.getdoc(each), each
        assert page.count(f"\n## {name}: ") == page.count(f"\nshow({name})\n") == 1, name
        example = page.split(f"\n## {name}: ")[1].split("ipython3\n")[1].split("```")[0].splitlines()
        assert len(example) == 3 and any(f"{name}." in line for line in example), name
    assert set(re.findall(r"^show\((\w+)\)$", page, re.M)) == set(interplay.__all__)


def toc():
    table = yaml.safe_load((ROOT / "_toc.yml").read_text())
    listed = [part["file"] for group in table["parts"] for part in group["chapters"]]
    return [Path(name).name for name in (table["root"], *listed)]


def test_every_chapter_is_in_the_book_and_under_test():
    notebooks = {chapter.stem for chapter in twins.chapters()}
    assert {md.stem for md in twins.BOOK.glob("*.md")} == set(toc())
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "book"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    collected = set(re.findall(r"book/([\w-]+)\.md", listed))
    assert collected == notebooks
    assert len(notebooks) >= 6


def sitting(chapter):
    """How much there is of a chapter: words of prose, cells, figures, lines of the longest visible and drawing cell."""
    size = dict.fromkeys(LIMITS, 0)
    for cell in jupytext.read(chapter).cells:
        lines = sum(bool(line.strip()) for line in cell.source.splitlines())
        if cell.cell_type == "markdown":
            prose = re.sub(r"\$\$.*?\$\$|^(```|:::).*?$|^:[\w-]+:.*?$", "", cell.source, flags=re.S | re.M)
            size["words"] += sum(bool(re.search(r"\w", word)) for word in prose.split())
            continue
        size["cells"] += 1
        if plain.figure(cell):
            size["figures"] += 1
            size["drawing"] = max(size["drawing"], lines)
        elif not plain.FOLDED & set(cell.metadata.get("tags", [])):
            size["visible"] = max(size["visible"], lines)
    return size


LIMITS = {"words": 2200, "cells": 30, "figures": 10, "visible": 20, "drawing": 30}


def test_no_chapter_outgrows_one_sitting():
    over = {}
    for chapter in twins.BOOK.glob("*.md"):
        if beyond := {what: n for what, n in sitting(chapter).items() if n > LIMITS[what]}:
            over[chapter.stem] = beyond
    assert not over, over


def test_a_chapter_that_fails_names_chapter_line_and_cell(tmp_path):
    head = (ROOT / "book/claims.md").read_text().split("\n---\n")[0]
    broken = tmp_path / "book" / "broken.md"
    broken.parent.mkdir()
    broken.write_text(
        head + "\n---\n\n# Broken\n\n```{code-cell} ipython3\n1\n```\n\n```{code-cell} ipython3\nassert 0\n```\n"
    )
    shutil.copytree(ROOT / "book/_ext", tmp_path / "book/_ext")
    for name in ("conftest.py", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "book"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    line = 1 + broken.read_text().splitlines().index("assert 0") - 1
    assert f"book/broken.md:{line} (code cell 2)" in told.stdout


@pytest.mark.parametrize("chapter", twins.chapters(), ids=lambda chapter: chapter.stem)
def test_twin_is_in_step_and_plain(chapter):
    kept = nbformat.read(twins.TWINS / f"{chapter.stem}.ipynb", 4)
    assert kept == twins.twin(chapter), "out of step: run `make colab`"
    nbformat.validate(kept)
    for cell in kept.cells:
        if cell.cell_type == "markdown":
            assert not re.search(r"\{[\w:-]+\}`|^\s*(```|:::)\{|^\([\w-]+\)=$", cell.source, re.M), cell.source
    assert len(list(twins.TWINS.glob("*.ipynb"))) == len(twins.chapters())


def test_the_workflow_says_what_is_there():
    jobs = yaml.safe_load((ROOT / ".github/workflows/book.yml").read_text())["jobs"]
    said = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    verbs = set(re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert {verb for command in said for verb in re.findall(r"^make (\S+)", command)} <= verbs
    files = {name for command in said for name in re.findall(r"(?<!\S)(?:\.ci/|tests/|book\b|-e )\S*", command)}
    assert {"tests/test_results.py", ".ci/run", ".ci/publish-twins", "book"} <= files
    assert all((ROOT / name).exists() for name in files if not name.startswith("-e "))
    assert {need for job in jobs.values() for need in job.get("needs", [])} <= jobs.keys()


def test_a_twin_executes_first_cell_included():
    notebook = nbformat.read(twins.TWINS / "tasks.ipynb", 4)
    notebook.cells[0].source = notebook.cells[0].source.replace('SCALE = "paper"', 'SCALE = "smoke"')
    NotebookClient(notebook, timeout=120).execute()
    assert notebook.cells[0].outputs[0].text.startswith("Scale smoke; results are read")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("src/interplay/lowrank.py", "test_lowrank"),
        ("src/interplay/experiments/reading.py", "test_sentiment"),
        ("src/interplay/experiments/linear.yaml", "test_linear"),
        ("src/interplay/grammar.yaml", "test_corpus"),
        ("book/_ext/runs.py", "test_build"),
        (".ci/venv.py", "test_setup"),
        ("tests/test_rnn.py", "test_rnn"),
        ("LICENSE", None),
    ],
)
def test_a_check_runs_what_a_change_touches(name, nearest, monkeypatch):
    monkeypatch.setattr(touched, "changed", lambda: {ROOT / name})
    touched.distances.cache_clear()
    found = {file.stem: steps for file, steps in touched.distances().items()}
    touched.distances.cache_clear()
    if nearest is None:
        assert not found
    else:
        first = min(steps for test, steps in found.items() if test != "test_project")  # which names all of these files
        assert found[nearest] <= 3 and found[nearest] == first
        assert len(found) < len(list((ROOT / "tests").glob("test_*.py")))


def test_map_of_figures_names_labels_that_exist_and_every_figure_that_remakes_one():
    cells = [cell for path in twins.chapters() for cell in path.read_text().split("```{code-cell} ipython3\n---\n")[1:]]
    figures = [yaml.safe_load(cell.split("\n---\n")[0])["mystnb"].get("figure") for cell in cells if "mystnb" in cell]
    captions = {figure["name"]: figure["caption"] for figure in figures if figure}
    mapped = set(re.findall(r"numref}`(.*?)`", (ROOT / "book/map-of-figures.md").read_text()))
    assert mapped <= set(captions)
    remade = {label for label, caption in captions.items() if re.search(r"\b(R|r)emakes\b", caption)}
    assert len(remade) > 20 and remade <= mapped
