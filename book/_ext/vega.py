"""Altair's pictures without another host: Vega, Vega-Lite and Vega-Embed once in _static, on the pages that need them.

Altair's output fetches the three from a CDN, which suits Colab.  A page of the site loads one script instead, bundled
when the site is built by vl-convert, which carries the three.
"""

import re
from pathlib import Path

import altair
import vl_convert

# Of Altair's page: where the scripts are and how to load one; and the loading, before the picture is shown.
LOADER = re.compile(r"const paths = \{.*?(?=function showError)", re.S)
LOADING = re.compile(r"if\(typeof define === .*?\.then\(\(\) => (displayChart\(vegaEmbed\))\);\s*\}", re.S)


def bundle(app):
    """_static/vega.js, kept from build to build; its short names stay inside a function."""
    file = Path(app.srcdir) / f"_build/vega-{altair.VEGALITE_VERSION}-{vl_convert.__version__}/vega.js"
    if not file.exists():
        script = vl_convert.javascript_bundle(vl_version=altair.VEGALITE_VERSION.rpartition(".")[0])
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"(() => {{{script}}})();", "utf-8")
    app.config.html_static_path.append(str(file.parent))


def page(app, pagename, templatename, context, doctree):
    """Take the loading out of every picture of a page, and load _static/vega.js in its head."""
    if "displayChart(vegaEmbed)" in context.get("body", ""):
        app.add_js_file("vega.js")
        shown = r'addEventListener("DOMContentLoaded", () => \1);'
        context["body"] = LOADING.sub(shown, LOADER.sub("", context["body"]))


def setup(app):
    app.connect("builder-inited", bundle)
    app.connect("html-page-context", page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
