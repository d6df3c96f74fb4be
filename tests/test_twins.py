"""Twins say what the page says: figures, captions, equations, tables, exercises, links, in its order and numbers."""

import base64
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import jupytext
import nbformat
import plain
import pytest
import set_up
import twins
import yaml
from address import Address
from bs4 import BeautifulSoup
from filelock import FileLock

from interplay import archive

ROOT = Path(__file__).parents[1]
FORK = Address("ada/fork", "0123456789abcdef0123456789abcdef01234567")
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.fixture(scope="module")
def site(tmp_path_factory, worker_id):
    """The pages as Sphinx makes them of the chapters; the first process that asks makes them for all."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "pages"
    with FileLock(f"{folder}.lock"):
        if not (folder / "made").exists():
            make(folder)
            (folder / "made").touch()
    return folder / "_build/html/book"


def make(folder):
    """The site, nothing executed: a dot stands for every picture."""
    shutil.copytree(ROOT / "book", folder / "book")
    for name in ("_toc.yml", "CITATION.cff"):
        shutil.copy(ROOT / name, folder)
    for chapter in twins.chapters():
        notebook, page = jupytext.read(chapter), folder / "book" / chapter.name
        for cell in notebook.cells:
            if plain.figure(cell):
                picture = {"image/png": base64.b64encode(base64.b64decode(DOT)).decode(), "text/plain": "a dot"}
                cell.outputs = [nbformat.v4.new_output("display_data", picture)]
        nbformat.write(notebook, page.with_suffix(".ipynb"))
        page.unlink()
    config = yaml.safe_load((ROOT / "_config.yml").read_text()) | {"execute": {"execute_notebooks": "off"}}
    config["sphinx"]["local_extensions"] = {
        name: str(ROOT / "book/_ext") for name in config["sphinx"]["local_extensions"]
    }
    (folder / "_config.yml").write_text(yaml.safe_dump(config))
    command = [Path(sys.executable).with_name("jupyter-book"), "build", folder, "-q", "-n", "-W", "--keep-going"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr


@pytest.fixture(scope="module", params=twins.chapters(), ids=lambda chapter: chapter.stem)
def pair(request, site):
    """Article of the page, and the text of the twin's Markdown cells."""
    page = BeautifulSoup((site / f"{request.param.stem}.html").read_text("utf-8"), "html.parser")
    article = page.select_one("article.bd-article")
    for extra in article.select(".headerlink, .toctree-wrapper, .cell_output.docutils > script"):
        extra.decompose()
    for formula in article.select(".katex"):  # as it was written
        formula.replace_with(formula.select_one("annotation").text)
    notebook = twins.twin(request.param, FORK)
    text = "\n\n".join(cell.source for cell in notebook.cells[2:] if cell.cell_type == "markdown")
    return request.param.stem, article, notebook, re.sub(r"\[Read this chapter.*\n", "", text)


def words(text):
    """Letters and digits of a text, its markup left out."""
    return re.sub(r"[\W_]+", "", re.sub(r"<a id=[^>]*></a>|\]\([^)]*\)", "", text))


def test_captions(pair):
    _, article, notebook, text = pair
    pages = [(c.select_one(".caption-number").text.strip(), words(c.select_one(".caption-text").text))
             for c in article.select("figcaption") if c.select_one(".caption-number")]  # fmt: skip
    found = re.findall(r'^<a id="[\w-]+"></a>\*\*(Fig\. [\d.]+)\.\*\* (.+)$', text, re.M)
    assert [(number, words(caption)) for number, caption in found] == pages
    drawn = [cell for cell in jupytext.read(plain.BOOK / f"{pair[0]}.md").cells if plain.figure(cell)]
    assert len(pages) == len(drawn)
    for cell, after in zip(notebook.cells, notebook.cells[1:]):  # under its figure
        if after.source.startswith("<a id=") and "**Fig. " in after.source[:80]:
            number = re.search(r"\*\*(Fig\. [\d.]+)\.\*\*", after.source)[1]
            assert cell.cell_type == "code"
            assert not cell.source.startswith("# @title") or cell.source.startswith(f"# @title {number}\n")


def test_equations_and_tables(pair):
    _, article, _, text = pair
    assert re.findall(r"\\tag\{([\d.]+)\}", text) == [e.text.strip("() \n#") for e in article.select("span.eqno")]
    displayed = len(article.select("div.math"))
    assert text.count("$$") == 2 * displayed
    captions = [(c.select_one(".caption-number").text.strip(), words(c.select_one(".caption-text").text))
                for c in article.select("table caption")]  # fmt: skip
    found = re.findall(r"\*\*(Table [\d.]+)\.\*\* (.+)", text)
    assert [(number, words(caption)) for number, caption in found] == captions
    rows = [row for row in re.findall(r"^\| .*\|$", text, re.M) if not re.match(r"^\|[ |:-]+\|$", row)]
    page = [
        row for row in article.select("table.table tr, table.docutils tr") if not row.find_parent(class_="cell_output")
    ]
    assert [words(row) for row in rows] == [words(row.text) for row in page]


def test_exercises_and_solutions(pair):
    _, article, notebook, text = pair
    titles = [words(e.select_one(".admonition-title").text) for e in article.select("div.exercise")]
    assert [words(title) for title in re.findall(r"^### (Exercise .*)$", text, re.M)] == titles
    solved = [words(e.text)[len("Solutionto") :] for e in article.select("div.solution > .admonition-title")]
    shown = [words(e) for e in re.findall(r"^#### Solution to (.*)$", text, re.M)]
    assert len(shown) == len(solved) and all(long.startswith(short) for short, long in zip(shown, solved))
    folded = [cell["id"] for cell in notebook.cells if cell.source.startswith("#### Solution")]
    assert notebook.metadata["colab"]["collapsed_sections"] == folded
    for n, cell in enumerate(notebook.cells):  # folding hides the solution, and nothing else
        if cell["id"] in folded:
            assert cell.metadata["jp-MarkdownHeadingCollapsed"] is True
            after = next(other for other in notebook.cells[n + 1 :] if re.match("#{1,4} ", plain_text(other)))
            assert re.match(r"### Exercise|## ", after.source), f"{cell.source} folds what follows it"


def plain_text(cell):
    return re.sub(r'^<a id="[\w-]+"></a>\s*', "", cell.source) if cell.cell_type == "markdown" else ""


def test_links(pair):
    """Same text and target in the same order; a link to another chapter opens its twin."""
    name, article, _, text = pair
    pages = []
    for a in article.select("a.reference.internal, a.reference.external"):
        url = urlsplit(a["href"])
        if a.find_parent(class_="admonition-title") or a.find_parent("nav"):
            continue
        target = url.netloc or Path(unquote(url.path)).stem or name
        label = url.fragment.removeprefix("equation-") if not url.netloc and target != "references" else ""
        if "claim" in a["class"]:  # a twin makes the rows of the ledger when it runs
            assert target == "claims" and label
            label = "sec-ledger"
        pages.append((target, label))
    found = []
    for link in re.findall(r"\]\(([^)\s]+)\)|<(https?://[^>]+)>", text):
        url = urlsplit(link[0] or link[1])
        if url.netloc == urlsplit(FORK.twin(name)).netloc:
            target = Path(url.path).stem
            assert (link[0] == FORK.twin(target)) or url.fragment.startswith("scrollTo=")
            found.append((target, url.fragment.removeprefix("scrollTo=")))
        elif url.netloc == urlsplit(FORK.site).netloc:
            found.append((Path(url.path).stem, url.fragment))
            assert (plain.BOOK / f"{found[-1][0]}.md") not in twins.chapters(), f"{link[0]} is not the twin"
        else:
            found.append((url.netloc or name, url.fragment if not url.netloc else ""))
    assert found == pages


def test_in_links_every_place_is_in_its_twin():
    """Fragments within a notebook and into others lead to an anchor, those to a figure to its cell."""
    anchors, cells, wanted = {}, {}, []
    for chapter in twins.chapters():
        notebook = twins.twin(chapter, FORK)
        text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
        anchors[chapter.stem] = set(re.findall(r'<a id="([\w-]+)"></a>', text))
        cells[chapter.stem] = {cell.metadata["id"] for cell in notebook.cells}
        wanted += [(chapter.stem, label) for label in re.findall(r"\]\(#([\w-]+)\)", text)]
        wanted += re.findall(r"/([\w-]+)\.ipynb#scrollTo=([\w-]+)\)", text)
        assert len({cell["id"] for cell in notebook.cells}) == len(notebook.cells)
    assert len(wanted) > 40
    for page, label in wanted:
        assert label in anchors[page], (page, label)
        assert not label.startswith("fig-") or label in cells[page], (page, label)


@pytest.mark.parametrize("chapter", twins.chapters(), ids=lambda chapter: chapter.stem)
def test_what_the_page_folds_is_folded(chapter):
    source = [cell for cell in jupytext.read(chapter).cells if cell.cell_type == "code"]
    made = [cell for cell in twins.twin(chapter).cells if cell.cell_type == "code"][1:]
    for old, new in zip(source, made, strict=True):
        folded = bool(plain.FOLDED & set(old.metadata.get("tags", [])))
        assert (new.metadata.get("cellView") == "form") == folded == bool(new.metadata.get("jupyter"))
        assert new.source == (f"{new.source.splitlines()[0]}\n{old.source}" if folded else old.source)
        assert new.source.startswith("# @title ") == folded


def test_first_cell_has_the_fields():
    for field in (
        'SCALE = "paper"  # @param ["paper", "lite", "smoke"]',
        'RETRAIN = False  # @param {type: "boolean"}',
    ):
        assert field in set_up.FIRST_CELL.splitlines()
    asks = {chapter.stem for chapter in twins.chapters() if "accelerator" in twins.twin(chapter).metadata}
    assert asks == {"training"}


def test_first_cell_says_what_computing_anew_takes():
    kept = [archive.read(file) for name in ("training", "rates") for file in (set_up.RESULTS / name).glob("*.nc")]
    hours = sum(one.attrs["seconds"] for one in kept) / 3600
    assert hours > 1.5
    told = set_up.card(
        "training", [file for name in ("training", "rates") for file in (set_up.RESULTS / name).glob("*.nc")]
    )
    assert f"they took {hours:.0f} hours of one CPU core" in told and told.endswith(
        "The live training gains from a GPU."
    )
    assert set_up.card("tasks", []).startswith("This chapter opens none.")
    chapter = twins.BOOK / "oscillation.md"
    assert re.search(r'^CARD = "At scale paper they took \d+ (minutes|hours)', set_up.first_cell(chapter, None), re.M)


def test_a_directive_where_none_is_translated_is_named():
    with pytest.raises(ValueError, match="directive in a list"):
        plain.plain("- item\n\n  ```{note}\n  inside\n  ```\n", "tasks", {})
