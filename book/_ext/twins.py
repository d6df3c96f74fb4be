"""The chapters as Colab opens them: plain Markdown for directives and roles, a first cell that installs the book.

`make colab` writes those of notebooks/, which know no address and run in a checkout; a test holds them in step with the
chapters.  The workflow publishes the same with the address filled in, to the branch that the pages' buttons open.
"""

import argparse
import re
from functools import cache, partial
from pathlib import Path

import address
import nbformat
import plain
import set_up
from address import Address
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

BOOK, TWINS = plain.BOOK, plain.ROOT / "notebooks"


@cache
def chapters() -> list[Path]:
    """Executable chapters, in the order of the file system."""
    return [md for md in sorted(BOOK.glob("*.md")) if "format_name: myst" in md.read_text("utf-8").split("\n---", 1)[0]]


def link(here: str, where: Address | None, page: str, label: str) -> str:
    """What opens a place: in this notebook, in a page's twin, or on the page itself where it has none."""
    if page == here:
        return f"#{label}"
    if (BOOK / f"{page}.md") not in chapters():
        return f"{where.site}book/{page}.html" if where else f"../book/{page}.md"
    if where:
        return where.twin(page) + f"#scrollTo={label}" * bool(label)
    return f"{page}.ipynb" + f"#{label}" * bool(label)


def twin(chapter: Path, where: Address | None = None) -> nbformat.NotebookNode:
    """The notebook of a chapter, always the same for the same chapter and address."""
    page, folded = chapter.stem, []
    first = new_code_cell(set_up.first_cell(chapter, where), metadata={"cellView": "form"})
    cells = [first, *plain.cells(page, {})]
    if where:
        cells.insert(0, new_markdown_cell(f"[Read this chapter with its results]({where.site}book/{page}.html)"))
    for n, cell in enumerate(cells):
        placed = None
        if cell.cell_type == "markdown":
            cell.source = plain.roles(cell.source, partial(link, page, where))
            placed = re.search(r'<a id="([\w-]+)">', cell.source)
        cell["id"] = cell.metadata["id"] = placed[1] if placed else f"{page[:40]}-{n}"  # in the metadata Colab looks
        if cell.source.startswith("#### Solution"):
            folded.append(cell["id"])
            cell.metadata["jp-MarkdownHeadingCollapsed"] = True
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"colab": {"collapsed_sections": folded, "provenance": []}, "kernelspec": kernel}
    return new_notebook(cells=cells, metadata=metadata | ({"accelerator": "GPU"} if page in set_up.GAIN else {}))


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
