"""Figures for both themes and every width: no ground of their own, their size known, a link to the whole picture."""

import re
from pathlib import Path

GROUND = 'style="fill: #ffffff"/>'  # as matplotlib writes the ground of a figure and of its axes, and nothing else
IMAGE = re.compile(r'<img [^>]*src="(?P<place>[^"]*_images/(?P<name>[^"/]+\.svg))"[^>]*?(?P<end>\s*/?>)')
SIZE = re.compile(r'<svg [^>]*?width="([\d.]+)pt" height="([\d.]+)pt"')


def thin(svg: str) -> str:
    """The same picture with no ground; short names for styles and ids, no empty words, hundredths of a point."""
    svg = svg.replace(GROUND, 'style="fill: none"/>')
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r'(?<=[ "])-?\d+\.\d{3,}(?=[ "\n])', lambda found: f"{round(float(found[0]), 2):g}", svg)
    styles = dict.fromkeys(re.findall(r'(?<= )style="([^"]*)"', svg))
    classes = {style: f"s{n}" for n, style in enumerate(styles)}
    svg = re.sub(r'(?<= )style="([^"]*)"', lambda found: f'class="{classes[found[1]]}"', svg)
    names = {name: f"i{n}" for n, name in enumerate(dict.fromkeys(re.findall(r"#([\w-]+)[\")]", svg)))}
    svg = re.sub(r'(?<=[#"])([\w-]+)(?=[")])', lambda found: names.get(found[1], found[1]), svg)
    svg = re.sub(r' id="(?!i\d)[^"]*"', "", svg)
    svg = re.sub(r"\s*\n\s*", "\n", svg.replace("xlink:href=", "href="))
    look = "".join(f".{name}{{{style}}}" for style, name in classes.items())
    return re.sub(r"<svg [^>]*>", lambda head: f"{head[0]}<style>{look}</style>", svg, count=1)


def page(app, pagename, templatename, context, doctree):
    """Every figure of a page inside a link to it; with its size, so that nothing moves when it comes."""
    sources = {name: source for source, name in app.builder.images.items()}

    def link(found: re.Match) -> str:
        size = SIZE.search(Path(app.srcdir, sources[found["name"]]).read_text("utf-8"))
        across, down = (round(float(points) * 4 / 3) for points in size.groups())
        image = f'{found[0].removesuffix(found["end"])} width="{across}" height="{down}" loading="lazy"/>'
        return f'<a class="enlarge" href="{found["place"]}" title="Enlarge">{image}</a>'

    if "body" in context:
        context["body"] = IMAGE.sub(link, context["body"]).replace(' loading="lazy"', "", 1)  # the first comes at once


def finish(app, fault):
    for file in Path(app.outdir, "_images").glob("*.svg"):
        file.write_text(thin(file.read_text("utf-8")), "utf-8")


def setup(app):
    app.connect("html-page-context", page)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
