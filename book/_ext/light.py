"""Pages that weigh little: icons from a small font, and scripts and styles only on the pages that use them."""

import re
from pathlib import Path

import pydata_sphinx_theme
import sphinx_book_theme
from fontTools import subset, ttLib

THEMES = [Path(module.__file__).parent / "theme" for module in (pydata_sphinx_theme, sphinx_book_theme)]
FONTS = Path("vendor/fontawesome/webfonts")
LEDGER = "<div class='ledger'"
ONLY = {"katex": 'class="math', "datatables": LEDGER, "ledger.js": LEDGER}  # file: what needs it


def icons(css: str) -> set[int]:
    """Code points of the icons that the themes' templates and styles name."""
    pages = [file for theme in THEMES for file in [*theme.rglob("*.html"), *theme.parent.rglob("*.py")]]
    named = set(re.findall(r"fa-[\w-]+", "".join(file.read_text("utf-8") for file in pages)))
    codes = {
        name: code
        for names, code in re.findall(r'((?:\.fa-[\w-]+:before,?)+)\{content:"\\(\w+)"\}', css)
        for name in re.findall(r"fa-[\w-]+", names)
    }
    own = re.findall(r'--pst-icon-[\w-]+:"(.)"', css) + re.findall(r'content:"([\ue000-\uf8ff])"', css)
    return {int(codes[name], 16) for name in named & codes.keys()} | set(map(ord, own))


def fonts(app):
    """The theme's icon fonts, cut to the icons that are used, under the same names; kept from build to build."""
    static = THEMES[0] / "pydata_sphinx_theme/static"
    here = Path(app.srcdir) / f"_build/icons-{pydata_sphinx_theme.__version__}"
    if not here.exists():
        codes = icons((static / "styles/pydata-sphinx-theme.css").read_text("utf-8"))
        for file in (static / FONTS).glob("*.ttf"):
            cut = subset.Subsetter(subset.Options(layout_features=[]))
            cut.populate(unicodes=codes)
            cut.subset(font := ttLib.TTFont(file))
            font.flavor = "woff2"
            (here / FONTS).mkdir(parents=True, exist_ok=True)
            font.save((here / FONTS / file.name).with_suffix(".woff2"))
    app.config.html_static_path.append(str(here))


def page(app, pagename, templatename, context, doctree):
    """Leave out what this page does not use."""
    body = context.get("body", "")
    unused = [name for name, sign in ONLY.items() if sign not in body]
    for kind in ("script_files", "css_files"):
        context[kind] = [one for one in context[kind] if not any(name in str(one.filename) for name in unused)]


def setup(app):
    app.connect("builder-inited", fonts)
    app.connect("html-page-context", page, priority=950)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
