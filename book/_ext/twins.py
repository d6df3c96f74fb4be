"""The chapters as Colab opens them: plain Markdown for directives and roles, a first cell that installs the book.

`make colab` writes those of notebooks/, which know no address and run in a checkout; a test holds them in step with the
chapters.  The workflow publishes the same with the address filled in, to the branch that the pages' buttons open.
"""

import argparse
import ast
import re
from functools import cache, partial
from pathlib import Path

import address
import h5py
import nbformat
import plain
from address import Address

ROOT = Path(__file__).parents[2]
BOOK, TWINS = ROOT / "book", ROOT / "notebooks"
RESULTS = ROOT / "results" / "paper"
FIRST_CELL = (Path(__file__).parent / "first_cell.py").read_text("utf-8")
GAIN = {"training"}  # from a GPU: what others train live is too small for one
FOLDED = {"hide-input", "hide-cell", "remove-input", "remove-cell"}


@cache
def chapters() -> list[Path]:
    """Executable chapters, in the order of the file system."""
    return [md for md in sorted(BOOK.glob("*.md")) if "format_name: myst" in md.read_text("utf-8").split("\n---", 1)[0]]


def link(here: str, where: Address | None, page: str, label: str) -> str:
    """What opens a place: in this notebook, in a page's twin, or on the page itself where it has none."""
    if page == here:
        return f"#{label}"
    if (BOOK / f"{page}.md") in chapters():
        beside = f"{page}.ipynb" + (f"#{label}" if label else "")
        return where.twin(page) + (f"#scrollTo={label}" if label else "") if where else beside
    return f"{where.site}book/{page}.html" if where else f"../book/{page}.md"


def reads(chapter: Path) -> list[str]:
    """Folders of kept results that a chapter may open, named in its code or implied by it."""
    code = "\n".join(cell.source for cell in plain.notebook(chapter.stem).cells if cell.cell_type == "code")
    nodes = list(ast.walk(ast.parse(code)))
    said = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    used = {node.id for node in nodes if isinstance(node, ast.Name)} | {
        node.attr for node in nodes if isinstance(node, ast.Attribute)
    }
    kept = sorted(folder.name for folder in RESULTS.iterdir())
    if used & {"claims", "ledger"} or "experiments.names" in map(ast.unparse, nodes):
        return kept
    said |= {"training", "sweep"} if "zoo" in used else set()
    begun = tuple(part for part in said if part.endswith("-"))  # of f"linear-{kind}"
    return [name for name in kept if name in said or (begun and name.startswith(begun))]


@cache
def seconds(file: Path) -> float:
    """What it took to compute a kept result, as it says."""
    with h5py.File(file) as kept:
        return kept.attrs["seconds"].item()


def card(page: str, files: list[Path]) -> str:
    """What a chapter's kept results cost, and whether a GPU serves it."""
    minutes = sum(map(seconds, files)) / 60
    took = f"{minutes:.0f} minutes" if minutes < 90 else f"{minutes / 60:.0f} hours"
    kept = f"At scale paper they took {took} of one CPU core. " if files else "This chapter opens none. "
    return kept + ("The live training gains from a GPU." if page in GAIN else "What it computes live needs no GPU.")


def first_cell(chapter: Path, where: Address | None) -> str:
    """The cell that installs: of this repository and commit, with the results that the chapter opens and their size."""
    text, folders = FIRST_CELL, reads(chapter)
    files = [file for name in folders for file in sorted((RESULTS / name).glob("*.nc"))]
    filled = {'CARD = ""': f'CARD = "{card(chapter.stem, files)}"'}
    if where:
        size = 1 + sum(file.stat().st_size for file in files) / 1e6
        filled['REPOSITORY, COMMIT = "", ""'] = f'REPOSITORY, COMMIT = "{where.repository}", "{where.commit}"'
        filled['READS, SIZE = [], ""'] = f'READS, SIZE = {folders}, "{size:.0f} MB"'
    for empty, full in filled.items():
        assert text.count(empty) == 1, empty
        text = text.replace(empty, full)
    return text


def code_cell(cell, shown: str) -> nbformat.NotebookNode:
    """A cell of code; what the page folds, Colab (a form with a title) and Jupyter fold, too."""
    if not FOLDED & set(cell.metadata.get("tags", [])):
        return nbformat.v4.new_code_cell(cell.source)
    metadata = {"cellView": "form", "jupyter": {"source_hidden": True}}
    return nbformat.v4.new_code_cell(f"# @title {shown or 'Code'}\n{cell.source}", metadata=metadata)


def body(page: str, where: Address | None) -> list[nbformat.NotebookNode]:
    """Cells of a page: a caption follows the cell that draws its figure."""
    cells, to = [], partial(link, page, where)
    for cell in plain.notebook(page).cells:
        if cell.cell_type == "code":
            drawn = plain.figure(cell)
            shown = plain.places()[drawn["name"]].shown if drawn else ""
            cells.append(code_cell(cell, shown))
            if drawn:
                caption = f"{plain.anchor(drawn['name'])}**{shown}.** {' '.join(drawn['caption'].split())}"
                cells.append(nbformat.v4.new_markdown_cell(plain.roles(caption, to)))
        else:
            cells += [nbformat.v4.new_markdown_cell(text) for text in plain.plain(cell.source, to)]
    return cells


def twin(chapter: Path, where: Address | None = None) -> nbformat.NotebookNode:
    """The notebook of a chapter, always the same for the same chapter and address."""
    page, head = chapter.stem, []
    if where:
        head.append(
            nbformat.v4.new_markdown_cell(f"[Read this chapter with its results]({where.site}book/{page}.html)")
        )
    head.append(nbformat.v4.new_code_cell(first_cell(chapter, where), metadata={"cellView": "form"}))
    cells, folded = head + body(page, where), []
    for n, cell in enumerate(cells):
        placed = re.search(r'<a id="([\w-]+)">', cell.source) if cell.cell_type == "markdown" else None
        cell["id"] = placed[1] if placed else f"{page[:40]}-{n}"
        cell.metadata["id"] = cell["id"]  # where Colab looks
        if cell.source.startswith("#### Solution"):
            folded.append(cell["id"])
            cell.metadata["jp-MarkdownHeadingCollapsed"] = True
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"colab": {"collapsed_sections": folded, "provenance": []}, "kernelspec": kernel}
    metadata |= {"accelerator": "GPU"} if page in GAIN else {}
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def main() -> None:
    """Writes the twins to notebooks/; with --publish to another folder, the address filled in."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--publish", type=Path, metavar="FOLDER")
    publish, where = parser.parse_args().publish, None
    if publish and not (where := address.find()):
        parser.error("there is nowhere to publish to: GITHUB_REPOSITORY is not set and `origin` is not on GitHub")
    folder = publish or TWINS
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.ipynb"):
        old.unlink()
    for chapter in chapters():
        (folder / f"{chapter.stem}.ipynb").write_text(nbformat.writes(twin(chapter, where)) + "\n", "utf-8")


if __name__ == "__main__":
    main()
