"""The chapters as Colab opens them: plain Markdown for directives and roles, a first cell that installs the book.

`make colab` writes those of notebooks/, which know no address and run in a checkout; a test holds them in step with the
chapters.  The workflow publishes the same with the address filled in, to the branch that the pages' buttons open.
"""

import argparse
import ast
import re
from functools import cache
from pathlib import Path

import address
import jupytext
import nbformat
from address import Address

ROOT = Path(__file__).parents[2]
BOOK, TWINS = ROOT / "book", ROOT / "notebooks"
RESULTS = ROOT / "results" / "paper"
FIRST_CELL = (Path(__file__).parent / "first_cell.py").read_text("utf-8")


@cache
def chapters() -> list[Path]:
    """Executable chapters, in the order of the file system."""
    return [md for md in sorted(BOOK.glob("*.md")) if "format_name: myst" in md.read_text("utf-8").split("\n---", 1)[0]]


@cache
def citations() -> dict[str, str]:
    """Key of the bibliography -> (Author et al., year)."""
    found = {}
    for key, body in re.findall(r"@\w+\{(\w+),(.*)", (BOOK / "references.bib").read_text("utf-8")):
        authors = re.search(r"author=\{(.*?)\}, title", body)[1].split(" and ")
        first = re.sub(r"[{}\\\"']", "", authors[0].split(",")[0])
        second = f" and {authors[1].split(',')[0]}" if len(authors) == 2 else ""
        year = re.search(r"year=.(\d{4})", body)[1]
        found[key] = f"{first}{' et al.' if len(authors) > 2 else second}, {year}"
    return found


@cache
def titles() -> dict[str, str]:
    """Page -> its title."""
    return {md.stem: re.search(r"^# (.+)$", md.read_text("utf-8"), re.M)[1] for md in BOOK.glob("*.md")}


def link(page: str, where: Address | None) -> str:
    """What opens another page: its twin, the page itself where it has none, beside this file where there is no site."""
    if (BOOK / f"{page}.md") in chapters():
        return where.twin(page) if where else f"{page}.ipynb"
    return f"{where.site}book/{page}.html" if where else f"../book/{page}.md"


def reads(chapter: Path) -> list[str]:
    """Folders of kept results that a chapter may open, named in its code or implied by it."""
    code = "\n".join(cell.source for cell in jupytext.read(chapter).cells if cell.cell_type == "code")
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


def first_cell(chapter: Path, where: Address | None) -> str:
    """The cell that installs: of this repository and commit, with the results that the chapter opens and their size."""
    text = FIRST_CELL
    if where is None:
        return text
    folders = reads(chapter)
    size = sum(file.stat().st_size for name in folders for file in (RESULTS / name).glob("*.nc"))
    filled = {
        'REPOSITORY, COMMIT = "", ""': f'REPOSITORY, COMMIT = "{where.repository}", "{where.commit}"',
        'READS, SIZE = [], ""': f'READS, SIZE = {folders}, "{1 + size / 1e6:.0f} MB"',
    }
    for empty, full in filled.items():
        assert text.count(empty) == 1, empty
        text = text.replace(empty, full)
    return text


def roles(text: str, page: str, where: Address | None) -> str:
    """Roles as plain Markdown: mathematics in dollars, references as links."""
    cited, titled = citations(), titles()

    def role(match: re.Match) -> str:
        name, body = match[1], " ".join(match[2].split())
        shown, _, target = body.rpartition("<") if body.endswith(">") else (body, "", body)
        shown, target = shown.strip(), target.rstrip(">")
        if name in ("math", "eq"):
            return f"${body}$" if name == "math" else f"({target.removeprefix('eq-')})"
        if name.startswith("cite"):
            return "(" + "; ".join(cited.get(key.strip(), key) for key in body.split(",")) + ")"
        if name == "doc":
            return f"[{titled.get(target, target) if shown == target else shown}]({link(target, where)})"
        if name in ("numref", "ref"):
            return "the figure" if shown == target else shown
        if name == "glue:text":
            return "(printed by the cell before)"
        return f"`{shown}`"

    return re.sub(r"\{([\w:]+)\}`([^`]+)`", role, text)


def plain(text: str, page: str, where: Address | None) -> str:
    """MyST directives as plain Markdown; what is inside stays."""
    out, fences = [], []  # fences: (marker, what the directive becomes)
    for line in text.splitlines():
        opened = re.match(r"^\s*(`{3,}|:{3,})\{([\w-]+)\}\s*(.*)$", line)
        if opened:
            marker, kind, rest = opened.groups()
            fences.append((marker, kind))
            if kind == "math":
                out.append("$$")
            elif kind in ("admonition", "note", "tip", "warning", "important", "dropdown", "seealso", "margin"):
                out.append(f"> **{rest or kind.capitalize()}**\n>")
            elif kind == "exercise":
                out.append(f"### Exercise: {rest}")
            elif kind.startswith("solution-start"):
                out.append("**Solution.** *Think first.*")
            elif kind in ("figure", "image"):
                out.append(f"![]({rest})")
            continue
        if fences and line.strip() == fences[-1][0]:
            out.extend(["$$"] if fences.pop()[1] == "math" else [])
            continue
        kind = fences[-1][1] if fences else ""
        if kind and (option := re.match(r"^:([\w-]+):\s*(.*)$", line.strip())):
            if (kind, option[1]) == ("math", "label"):
                out.append(f"\\tag{{{option[2].removeprefix('eq-')}}}")
            continue
        if kind in ("bibliography", "tableofcontents"):
            continue
        quoted = kind in ("admonition", "note", "tip", "warning", "important", "dropdown", "seealso", "margin")
        out.append(f"> {line}" if quoted else line)
    body = re.sub(r"^\([\w-]+\)=\n", "", "\n".join(out), flags=re.M)
    body = re.sub(r"^\$\$ \(([\w-]+)\)$", "$$", body, flags=re.M)  # a label after the dollars
    return re.sub(r"\\label\{[^}]*\}", "", roles(body, page, where)).strip()


def twin(chapter: Path, where: Address | None = None) -> nbformat.NotebookNode:
    """The notebook of a chapter, always the same for the same chapter and address."""
    source = jupytext.read(chapter)
    cells = [nbformat.v4.new_code_cell(first_cell(chapter, where))]
    if where:
        head = f"[Read this chapter with its results]({where.site}book/{chapter.stem}.html)"
        cells.insert(0, nbformat.v4.new_markdown_cell(head))
    for cell in source.cells:
        if cell.cell_type == "code":
            cells.append(nbformat.v4.new_code_cell(cell.source))
        elif text := plain(cell.source, chapter.stem, where):
            cells.append(nbformat.v4.new_markdown_cell(text))
    for n, cell in enumerate(cells):
        cell["id"] = f"{chapter.stem[:40]}-{n}"
    notebook = nbformat.v4.new_notebook(cells=cells)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata = {"accelerator": "GPU", "colab": {"provenance": []}, "kernelspec": kernel}
    return notebook


def main() -> None:
    """Writes the twins to notebooks/; with --publish to another folder, the address filled in."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--publish", type=Path, metavar="FOLDER")
    folder, where = parser.parse_args().publish, None
    if folder and not (where := address.find()):
        parser.error("there is nowhere to publish to: GITHUB_REPOSITORY is not set and `origin` is not on GitHub")
    folder = folder or TWINS
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.ipynb"):
        old.unlink()
    for chapter in chapters():
        (folder / f"{chapter.stem}.ipynb").write_text(nbformat.writes(twin(chapter, where)) + "\n", "utf-8")


if __name__ == "__main__":
    main()
