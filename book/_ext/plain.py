"""MyST as Colab and Jupyter read it: Markdown, mathematics in dollars, numbers and links as on the page.

jupytext finds the cells and MyST's own parser the directives; here is what each becomes, and how the page counts.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import jupytext
import yaml
from markdown_it.renderer import RendererHTML
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell
from pybtex.database import parse_file
from sphinx.util.nodes import split_explicit_title
from sphinx_external_toc.parsing import parse_toc_yaml
from sphinxcontrib.bibtex.style.referencing import PersonStyle

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"
SYNTAX = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["parse"]["myst_enable_extensions"]
PARSER = create_md_parser(MdParserConfig(enable_extensions=set(SYNTAX)), RendererHTML)
FORMS = {"figure": "Fig. %s", "table": "Table %s", "math": "(%s)", "exercise": "Exercise %s"}
FOLDED = {"hide-input", "hide-cell", "remove-input", "remove-cell"}


class Place(NamedTuple):
    """A page (no label) or a place of it: what it is called ("Fig. %s", or its heading), and its number ("2.1")."""

    page: str
    label: str
    form: str
    number: str = ""

    def shown(self, form: str = "") -> str:
        return (form or self.form).replace("%s", self.number)


def figure(cell: NotebookNode) -> dict:
    """Caption and name of the figure that a cell draws, empty if it draws none."""
    return cell.metadata.get("mystnb", {}).get("figure", {}) if cell.cell_type == "code" else {}


def anchor(label: str) -> str:
    return f'<a id="{label}"></a>'


def blocks(text: str) -> Iterator[tuple[str, str, dict[str, str], str]]:
    """Name, argument, options and body of each directive; labelled equations, too; the text between has no name."""
    lines, done = text.splitlines(), 0
    for token in PARSER.parse(text):
        directive = re.match(r"\{([\w:-]+)\}\s*(.*)", token.info) if token.type in ("fence", "colon_fence") else None
        if not directive and token.type != "math_block_label":
            continue
        if token.level:
            raise ValueError(f"a directive in a list or a quotation is not translated: {token.content[:60]!r}")
        yield "", "", {}, "\n".join(lines[done : token.map[0]])
        done = token.map[1]
        if directive:
            head = re.match(r"(?::[\w-]+:.*\n?)*", token.content)[0]
            options = dict(re.findall(r"^:([\w-]+):\s*(.*)$", head, re.M))
            yield *directive.groups(), options, token.content[len(head) :].strip("\n")
        else:
            yield "math", "", {"label": token.info}, token.content.strip("\n")
    yield "", "", {}, "\n".join(lines[done:])


@cache
def pages() -> list[str]:
    """The pages of the book in their order; the first has no number."""
    return [Path(name).name for name in parse_toc_yaml(ROOT / "_toc.yml")]


def place(kind: str, label: str, page: str, found: dict[str, Place]) -> Place:
    """The page's next figure, table, equation or exercise: counted by chapter, each kind by itself."""
    n = 1 + sum((one.page, one.form) == (page, FORMS[kind]) for one in found.values())
    chapter = pages().index(page)
    found[label] = Place(page, label, FORMS[kind], f"{chapter}.{n}" if chapter else str(n))
    return found[label]


def plain(text: str, page: str, found: dict[str, Place]) -> list[str]:
    """MyST text as cells of Markdown with roles; exercises, solutions and what follows them have cells of their own."""
    cells = [""]
    for name, argument, options, said in blocks(text):
        label = options.get("label", options.get("name", ""))
        here = place(name, label, page, found) if label and name in FORMS else None
        if name == "solution-end":
            cells.append("")
            continue
        if name == "solution-start":
            cells += [f"#### Solution to {found[argument].shown()}", ""]
            continue
        if name == "exercise":
            inside = "\n\n".join(plain(said, page, found))
            cells += [f"### {here.shown()} ({argument})\n{anchor(label)}\n\n{inside}", ""]
            continue
        if name == "math":
            said = f"{anchor(label)}\n\n$$\n{said} \\tag{{{here.number}}}\n$$" if here else f"$$\n{said}\n$$"
        elif name == "table":
            said = f"{anchor(label)}**{here.shown()}.** {argument}\n\n{said}"
        elif name:  # admonitions
            inside = "\n\n".join([f"**{argument or name.capitalize()}**", *plain(said, page, found)])
            said = re.sub("^", "> ", inside, flags=re.M).replace("> \n", ">\n")
        else:
            said = re.sub(r"^\(([\w-]+)\)=$", lambda target: f"{anchor(target[1])}\n", said, flags=re.M)
        cells[-1] += f"\n\n{said.strip(chr(10))}"
    return [cell.strip() for cell in cells if cell.strip()]


def cells(page: str, found: dict[str, Place]) -> Iterator[NotebookNode]:
    """Cells of a page, with roles: a caption follows the cell that draws its figure, and what the page folds, Colab
    (a form with a title) and Jupyter fold, too.  What has a label goes to `found`."""
    for cell in jupytext.read(BOOK / f"{page}.md").cells:
        if cell.cell_type == "markdown":
            yield from map(new_markdown_cell, plain(cell.source, page, found))
            continue
        drawn = figure(cell)
        title = place("figure", drawn["name"], page, found).shown() if drawn else "Code"
        folded = FOLDED & set(cell.metadata.get("tags", []))
        metadata = {"cellView": "form", "jupyter": {"source_hidden": True}} if folded else {}
        yield new_code_cell(f"# @title {title}\n{cell.source}" if folded else cell.source, metadata=metadata)
        if drawn:
            yield new_markdown_cell(f"{anchor(drawn['name'])}**{title}.** {' '.join(drawn['caption'].split())}")


@cache
def places() -> dict[str, Place]:
    """Label, or page -> the place that it stands for."""
    found = {}
    for file in BOOK.glob("*.md"):
        text, page = file.read_text("utf-8"), file.stem
        found[page] = Place(page, "", re.search(r"^# (.+)$", text, re.M)[1])
        headed = re.findall(r"^\(([\w-]+)\)=\n+#+ (.+)$", text, re.M)
        found |= {label: Place(page, label, heading) for label, heading in headed}
        list(cells(page, found))
    return found


@cache
def cited(key: str) -> tuple[str, str]:
    """Authors and year of an entry of the bibliography."""
    entry = parse_file(BOOK / "references.bib").entries[key]
    data = {"entry": entry, "style": SimpleNamespace(person=PersonStyle())}
    return str(PersonStyle().names("author", full=False).format_data(data)), entry.fields["year"]


def roles(text: str, link: Callable[[str, str], str]) -> str:
    """Roles as plain Markdown; `link(page, label)` says what opens a place."""

    def role(match: re.Match) -> str:
        name, body = match[1], " ".join(match[2].split())
        explicit, title, target = split_explicit_title(body)
        if name == "math":
            return f"${body}$"
        if name == "claim":
            return f"[{title}]({link('claims', 'sec-ledger')})"  # its rows are made when its twin runs
        if name == "cite:t":
            return f"[{'{} ({})'.format(*cited(target))}]({link('references', '')})"
        if name == "cite":
            each = (f"[{', '.join(cited(key.strip()))}]({link('references', '')})" for key in body.split(","))
            return f"({'; '.join(each)})"
        there = places()[target]
        return f"[{there.shown(title if explicit else '')}]({link(there.page, there.label)})"

    return re.sub(r"\{([\w:]+)\}`([^`]+)`", role, text)
