"""MyST as Colab and Jupyter read it: Markdown, mathematics in dollars, numbers and links as on the page.

MyST's own parser finds the directives, jupytext the cells; here is what each becomes, and how the page counts.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import jupytext
import yaml
from markdown_it.renderer import RendererHTML
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser
from pybtex.database import parse_file

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"
SYNTAX = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["parse"]["myst_enable_extensions"]
PARSER = create_md_parser(MdParserConfig(enable_extensions=set(SYNTAX)), RendererHTML)
SHOWN = {"figure": "Fig. {}", "table": "Table {}", "equation": "({})", "exercise": "Exercise {}"}


class Place(NamedTuple):
    """What a label stands for: its page, what the page calls it ("Fig. 2.1"), and that without the word ("2.1")."""

    page: str
    shown: str
    number: str


class Block(NamedTuple):
    """A directive with its argument, options and body; text between directives has no name."""

    name: str
    argument: str
    options: dict[str, str]
    body: str


@cache
def notebook(page: str):
    return jupytext.read(BOOK / f"{page}.md")


@cache
def pages() -> list[str]:
    """The pages of the book in their order; the first has no number."""
    table = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    return [
        Path(name).name for name in (table["root"], *(c["file"] for part in table["parts"] for c in part["chapters"]))
    ]


@cache
def titles() -> dict[str, str]:
    """Page -> its title."""
    return {md.stem: re.search(r"^# (.+)$", md.read_text("utf-8"), re.M)[1] for md in BOOK.glob("*.md")}


@cache
def citations() -> dict[str, tuple[str, str]]:
    """Key of the bibliography -> authors and year."""
    found = {}
    for key, entry in parse_file(BOOK / "references.bib").entries.items():
        names = [" ".join(map(str, one.rich_prelast_names + one.rich_last_names)) for one in entry.persons["author"]]
        shown = names[0] + (" et al." if len(names) > 2 else f" and {names[1]}" if len(names) == 2 else "")
        found[key] = shown, entry.fields["year"]
    return found


def blocks(text: str) -> Iterator[Block]:
    """A cell's directives, labelled equations and targets, and the text between them, in their order."""
    lines, done = text.splitlines(), 0
    for token in PARSER.parse(text):
        directive = re.match(r"\{([\w:-]+)\}\s*(.*)", token.info) if token.type in ("fence", "colon_fence") else None
        if not directive and token.type not in ("math_block_label", "myst_target"):
            continue
        if token.level:
            raise ValueError(f"a directive in a list or a quotation is not translated: {token.content[:60]!r}")
        yield Block("", "", {}, "\n".join(lines[done : token.map[0]]))
        done = token.map[1]
        if token.type == "myst_target":
            yield Block("target", token.content, {}, "")
        elif token.type == "math_block_label":
            yield Block("math", "", {"label": token.info}, token.content.strip("\n"))
        else:
            head = re.match(r"(?::[\w-]+:.*\n?)*", token.content)[0]
            options = dict(re.findall(r"^:([\w-]+):\s*(.*)$", head, re.M))
            yield Block(*directive.groups(), options, token.content[len(head) :].strip("\n"))
    yield Block("", "", {}, "\n".join(lines[done:]))


def figure(cell) -> dict:
    """Caption and name of the figure that a cell draws, empty if it draws none."""
    return cell.metadata.get("mystnb", {}).get("figure", {}) if cell.cell_type == "code" else {}


COUNTED = {"math": "equation", "list-table": "table", "table": "table", "exercise": "exercise"}


@cache
def places() -> dict[str, Place]:
    """Label -> what it stands for, counted as the page counts: by chapter, each kind by itself."""
    found = {}
    for chapter, page in enumerate(pages()):
        counted = Counter()

        def number(kind: str, label: str, page=page, chapter=chapter, counted=counted) -> None:
            counted[kind] += 1
            at = f"{chapter}.{counted[kind]}" if chapter else str(counted[kind])
            found[label] = Place(page, SHOWN[kind].format(at), at)

        for cell in notebook(page).cells:
            if drawn := figure(cell):
                number("figure", drawn.get("name", f"{page}-figure-{counted['figure'] + 1}"))
            waiting = ""
            for block in blocks(cell.source) if cell.cell_type == "markdown" else ():
                if waiting and (heading := re.search(r"^#+ (.+)$", block.body, re.M)):
                    found[waiting], waiting = Place(page, heading[1], ""), ""
                if block.name == "target":
                    waiting = block.argument
                elif (kind := COUNTED.get(block.name)) and (kind == "table" or "label" in block.options):
                    unnamed = block.options.get("name", f"{page}-table-{counted['table'] + 1}")
                    number(kind, block.options.get("label", unnamed))
    return found


def anchor(label: str) -> str:
    return f'<a id="{label}"></a>'


def roles(text: str, link: Callable[[str, str], str]) -> str:
    """Roles as plain Markdown; `link(page, label)` says what opens a place."""

    def role(match: re.Match) -> str:
        name, body = match[1], " ".join(match[2].split())
        given, _, target = body.rpartition("<") if body.endswith(">") else ("", "", body)
        given, target = given.strip(), target.rstrip(">")
        if name == "math":
            return f"${body}$"
        if name.startswith("cite"):
            shown = "{} ({})" if name == "cite:t" else "{}, {}"
            to = link("references", "")
            cited = "; ".join(f"[{shown.format(*citations()[key.strip()])}]({to})" for key in body.split(","))
            return cited if name == "cite:t" else f"({cited})"
        if name == "doc":
            return f"[{given or titles()[target]}]({link(target, '')})"
        if name == "claim":
            return f"[{given or target}]({link('claims', 'sec-ledger')})"  # its rows are made when its twin runs
        if name in ("numref", "ref", "eq"):
            place = places()[target]
            return f"[{given.replace('%s', place.number) or place.shown}]({link(place.page, target)})"
        return f"`{given or target}`"

    return re.sub(r"\{([\w:]+)\}`([^`]+)`", role, text)


def table(block: Block) -> str:
    """A list-table as a table of Markdown."""
    rows: list[list[str]] = []
    for token in PARSER.parse(block.body):
        if token.type == "list_item_open" and token.level == 1:
            rows.append([])
        elif token.type == "inline":
            rows[-1].append(" ".join(token.content.split()))
    rows.insert(1, ["---"] * len(rows[0]))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def plain(text: str, link: Callable[[str, str], str]) -> list[str]:
    """MyST text as cells of Markdown; exercises, solutions and what follows them have cells of their own."""
    cells = [""]
    for block in blocks(text):
        label, said = block.options.get("label", block.options.get("name", "")), block.body
        shown = places()[label].shown if label in places() else ""
        if block.name == "target":
            said = anchor(block.argument)
        elif block.name == "math":
            tag = f" \\tag{{{places()[label].number}}}" if label else ""
            said = (f"{anchor(label)}\n\n" if label else "") + f"$$\n{said}{tag}\n$$"
        elif block.name == "list-table":
            said = f"{anchor(label)}**{shown}.** {block.argument}\n\n{table(block)}"
        elif block.name == "exercise":
            inside = "\n\n".join(plain(said, link))
            cells += [f"### {shown} ({block.argument})\n{anchor(label)}\n\n{inside}", ""]
            continue
        elif block.name == "solution-start":
            cells += [f"#### Solution to {places()[block.argument].shown}", ""]
            continue
        elif block.name in ("solution-end", "bibliography", "tableofcontents"):
            cells.append("")
            continue
        elif block.name:  # admonitions, notes in the margin
            title = "" if block.name == "margin" else f"**{block.argument or block.name.capitalize()}**\n\n"
            said = "\n".join(f"> {line}".rstrip() for line in (title + "\n\n".join(plain(said, link))).splitlines())
        cells[-1] += f"\n\n{said.strip(chr(10))}"
    return [roles(cell.strip(), link) for cell in cells if cell.strip()]
