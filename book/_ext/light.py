"""Pages that weigh little: icons from a small font, and scripts and styles only on the pages that use them."""

import re
import shutil
from pathlib import Path

import pydata_sphinx_theme
import sphinx_book_theme
from fontTools import subset, ttLib

THEMES = [Path(module.__file__).parent / "theme" for module in (pydata_sphinx_theme, sphinx_book_theme)]
FONTS = Path("vendor/fontawesome/webfonts")
STYLE = Path("styles/pydata-sphinx-theme.css")
ICON = re.compile(r'((?:\.fa-[\w-]+:before,?)+)\{content:"\\(\w+)"\}')
RULE = re.compile(r"(?<![^{};])([^{};@]+)\{([^{}]*)\}")  # selectors and what they set
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


def classes(site: Path) -> set[str]:
    """Classes of the pages' elements; words of scripts, which give classes too, and put some together: `bs-`."""
    pages = [file.read_text("utf-8") for file in site.rglob("*.html")]
    scripts = [file.read_text("utf-8") for file in site.glob("_static/**/*.js")]
    scripts += [script for text in pages for script in re.findall(r"<script>(.*?)</script>", text, re.S)]
    given = {name for text in pages for value in re.findall(r'class=["\']([^"\']*)', text) for name in value.split()}
    return given.union(*(re.findall(r"[\w-]+", text) for text in scripts))


def used(css: str, names: set[str]) -> str:
    """A style without the rules for classes that no page has."""
    begun = tuple(name for name in names if name.endswith("-"))

    def fits(selector: str) -> bool:
        while (plain := re.sub(r"\([^()]*\)|\[[^\]]*\]", "", selector)) != selector:
            selector = plain
        asked = re.findall(r"\.(-?[A-Za-z_][\w-]*)", selector)
        return all(name in names or name.startswith(begun) for name in asked)

    def rule(found: re.Match) -> str:
        kept = ",".join(filter(fits, re.split(r",(?![^(]*\))", found[1])))
        return f"{kept}{{{found[2]}}}" if kept else ""

    css = re.sub(r"/\*.*?\*/", "", css, flags=re.S)
    return re.sub(r"@media[^{}]*\{\s*\}", "", RULE.sub(rule, css))


def finish(app, fault):
    """Rules that are used; Sphinx's own style in place of one that imports it, which a browser would wait for twice."""
    static = Path(app.outdir, "_static")
    if not (static / "basic.css").exists():
        return
    shutil.copy(static / "basic.css", static / "styles/theme.css")
    names = classes(Path(app.outdir))
    for name in (STYLE, "styles/sphinx-book-theme.css", "katex/katex.min.css"):
        (static / name).write_text(used((static / name).read_text("utf-8"), names), "utf-8")


def setup(app):
    app.connect("builder-inited", fonts)
    app.connect("html-page-context", page, priority=950)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
