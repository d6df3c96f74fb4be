"""Pages that weigh little: icons from a small font, and scripts and styles only on the pages that use them."""

import re
from pathlib import Path

import pydata_sphinx_theme
import sphinx_book_theme
from fontTools import subset, ttLib

THEMES = [Path(module.__file__).parent / "theme" for module in (pydata_sphinx_theme, sphinx_book_theme)]
FONTS = Path("vendor/fontawesome/webfonts")
STYLE = Path("styles/pydata-sphinx-theme.css")
ICON = re.compile(r'((?:\.fa-[\w-]+:before,?)+)\{content:"\\(\w+)"\}')
LEDGER, DESIGN = "<div class='ledger'", 'class="sd-'
# File: what a page that needs it has in its text.
ONLY = {"katex": 'class="math', "datatables": LEDGER, "ledger.js": LEDGER, "exercise.css": 'class="exercise'}
ONLY |= {"sphinx-design": DESIGN, "design-tabs": DESIGN, "proof.css": 'class="proof', "thebe": 'class="thebe'}
AT_ONCE = "documentation_options"  # scripts in the page's head set its fields; all other scripts wait for the page


def icons(css: str) -> set[int]:
    """Code points of the icons that the themes' templates and styles name."""
    pages = [file for theme in THEMES for file in [*theme.rglob("*.html"), *theme.parent.rglob("*.py")]]
    named = set(re.findall(r"fa-[\w-]+", "".join(file.read_text("utf-8") for file in pages)))
    codes = {name: code for names, code in ICON.findall(css) for name in re.findall(r"fa-[\w-]+", names)}
    own = re.findall(r'--pst-icon-[\w-]+:"(.)"', css) + re.findall(r'content:"([\ue000-\uf8ff])"', css)
    return {int(codes[name], 16) for name in named & codes.keys()} | set(map(ord, own))


def fonts(app):
    """The theme's icon fonts and style, cut to the icons that are used, under the same names; kept for later builds."""
    static = THEMES[0] / "pydata_sphinx_theme/static"
    here = Path(app.srcdir) / f"_build/few-icons-{pydata_sphinx_theme.__version__}"
    if not here.exists():
        css = (static / STYLE).read_text("utf-8")
        codes = icons(css)
        for file in (static / FONTS).glob("*.ttf"):
            cut = subset.Subsetter(subset.Options(layout_features=[]))
            cut.populate(unicodes=codes)
            cut.subset(font := ttLib.TTFont(file))
            font.flavor = "woff2"
            (here / FONTS).mkdir(parents=True, exist_ok=True)
            font.save((here / FONTS / file.name).with_suffix(".woff2"))
        (here / STYLE).parent.mkdir()
        used = ICON.sub(lambda rule: rule[0] if int(rule[2], 16) in codes else "", css)
        (here / STYLE).write_text(used, "utf-8")
    app.config.html_static_path.append(str(here))


def page(app, pagename, templatename, context, doctree):
    """Leave out what this page does not use; let no script hold up its text."""
    body = context.get("body", "")
    unused = [name for name, sign in ONLY.items() if sign not in body]
    for kind in ("script_files", "css_files"):
        context[kind] = [one for one in context[kind] if not any(name in str(one.filename) for name in unused)]
    for one in context["script_files"]:
        if one.filename and AT_ONCE not in str(one.filename):
            one.attributes["defer"] = "defer"


def finish(app, fault):
    """Sphinx's own style in place of one that imports it, which a browser would wait for twice."""
    static = Path(app.outdir, "_static")
    if (static / "basic.css").exists():
        (static / "styles/theme.css").write_text((static / "basic.css").read_text("utf-8"), "utf-8")


def setup(app):
    app.connect("builder-inited", fonts)
    app.connect("html-page-context", page, priority=950)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
