"""What to cite, from CITATION.cff: a button of every page shows it as BibTeX."""

from pathlib import Path

import address
import yaml

CITATION = yaml.safe_load((Path(__file__).parents[2] / "CITATION.cff").read_text("utf-8"))
BUTTON = {
    "type": "javascript",
    "javascript": "document.getElementById('cite').showModal()",
    "text": "Cite",
    "label": "cite pst-js-only",
}


def bibtex(citation: dict, where: address.Address | None) -> str:
    """BibTeX's entry of the book."""
    names = [one.get("name") or f"{one['family-names']}, {one['given-names']}" for one in citation["authors"]]
    fields = {
        "title": citation["title"],
        "author": " and ".join(f"{{{name}}}" for name in names),
        "version": citation["version"],
        "year": str(citation["date-released"])[:4],
    }
    if where:
        fields["url"] = where.site
    lines = "".join(f"  {name:<7} = {{{value}}},\n" for name, value in fields.items())
    return f"@software{{randomness-and-structure,\n{lines}}}"


def page(app, pagename, templatename, context, doctree):
    papers = [f"{one['authors'][0]['family-names']} et al. ({one['year']})" for one in CITATION["references"]]
    context |= {"bibtex": bibtex(CITATION, address.find()), "cited_papers": ", ".join(papers)}
    context["header_buttons"].append(dict(BUTTON))


def setup(app):
    app.connect("html-page-context", page, priority=800)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
