"""Colab buttons that open the twin of a page in notebooks/, and no assets from other hosts."""

import re
from pathlib import Path

import address

TWINS = Path(__file__).parents[2] / "notebooks"
WHERE = address.find()


def fix(app, pagename, templatename, context, doctree):
    """Point the launch button at the twin, or drop it where there is none; drop Thebe, which the book does not use."""
    page = Path(pagename).name
    for group in context.get("header_buttons", []):
        buttons = group.get("buttons", [])
        for button in [b for b in buttons if b.get("text") == "Colab"]:
            if WHERE and (TWINS / f"{page}.ipynb").exists():
                button["url"] = WHERE.twin(page)
            else:
                buttons.remove(button)
    if "body" in context:  # what a fold says is its name
        context["body"] = context["body"].replace('<summary aria-label="Toggle hidden content">', "<summary>")
        # a number or a name is not broken at its hyphen
        context["body"] = re.sub(r"<td(?=><p>[^<]{1,12}</p>)", '<td class="short"', context["body"])
        # ARIA 1.2 gives a list items, not entries of a bibliography
        context["body"] = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')
    context["script_files"] = [
        script
        for script in context.get("script_files", [])
        if "THEBE_JS_URL" not in ((getattr(script, "attributes", {}) or {}).get("body") or "")
        and "sphinx-thebe.js" not in str(getattr(script, "filename", script))
    ]


def setup(app):
    app.connect("html-page-context", fix, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
