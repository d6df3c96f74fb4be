"""The built site: links, anchors, pictures, and nothing from other hosts.  `make test` builds it."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import mathematics
import numpy as np
import pytest
import yaml
from light import used

from interplay import archive, experiments
from interplay.experiments.linear import draw, rate

ROOT = Path(__file__).parents[1]
SITE = ROOT / "_build/test-site"


class Page(HTMLParser):
    """Links, anchors, loaded assets and images of one page."""

    def __init__(self, file: Path):
        super().__init__()
        self.links, self.anchors, self.assets, self.images = [], set(), [], []
        self.feed(file.read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        have = dict(attributes)
        self.anchors |= {have[name] for name in ("id", "name") if have.get(name)}
        if tag == "a" and have.get("href"):
            self.links.append(have["href"])
        if tag == "img":
            self.images.append(have)
        if tag in ("script", "img", "iframe", "source", "video") and have.get("src"):
            self.assets.append(have["src"])
        if tag == "link" and have.get("rel") in ("stylesheet", "preload", "icon") and have.get("href"):
            self.assets.append(have["href"])


PAGES = {file: Page(file) for file in sorted(SITE.rglob("*.html"))} if SITE.exists() else {}


def test_every_chapter_has_a_page():
    assert PAGES, "the site is not built: run `make test`"
    table = yaml.safe_load((ROOT / "_toc.yml").read_text())
    listed = [table["root"], *(part["file"] for group in table["parts"] for part in group["chapters"])]
    for name in listed:
        assert SITE / f"{name}.html" in PAGES, name


@pytest.mark.parametrize("file", [f for f in PAGES if "book" in f.parts], ids=lambda file: file.stem)
def test_links_anchors_and_pictures(file):
    page = PAGES[file]
    for link in page.links:
        parts = urlsplit(link)
        if parts.scheme or link.startswith("//"):
            continue
        target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
        assert target.exists(), f"{file.name}: {link} is broken"
        if parts.fragment and target in PAGES:
            assert unquote(parts.fragment) in PAGES[target].anchors, f"{file.name}: {link} has no such anchor"
    for image in page.images:
        assert image.get("alt", "").strip() or "logo" in image.get("class", ""), (
            f"{file.name}: {image.get('src')} has no alt"
        )


def test_nothing_is_loaded_from_another_host():
    for file, page in PAGES.items():
        for asset in page.assets:
            assert not re.match(r"^(https?:)?//", asset), f"{file.name} loads {asset}"
        assert not re.search(r"//cdn\.|//cdnjs\.|//unpkg\.", file.read_text("utf-8")), f"{file.name} names a CDN"
    for style in SITE.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*['\"]?https?://", style.read_text("utf-8", "ignore")), style


def test_figures_have_numbers_and_say_how_many_samples():
    captions = re.compile(r'<span class="caption-number">(.*?)</span>.*?</figcaption>', re.S)
    for chapter in ("training", "low-rank-changes"):
        found = captions.findall((SITE / f"book/{chapter}.html").read_text("utf-8"))
        assert found and all(re.match(r"Fig\. \d+\.\d+", number) for number in found), chapter


def test_mathematics_is_drawn_in_the_page_and_no_page_loads_what_would_draw_it():
    formulas = {}
    for file in (file for file in PAGES if "book" in file.parts):
        text = file.read_text("utf-8")
        formulas[file.stem] = len(re.findall(r'class="(?:[^"]* )?math[ "]', text))
        assert formulas[file.stem] == text.count('class="katex-html"') == text.count("<math "), file.stem
        assert not re.search(r"\\\(|\\\[|katex-error", text.partition("<article")[2].partition("</article")[0]), (
            file.stem
        )
        assert not [asset for asset in PAGES[file].assets if re.search(r"(katex|auto-?render).*\.js", asset)], file.stem
    assert sum(formulas.values()) > 1000 and sum(map(bool, formulas.values())) > 20


def test_an_equation_is_quoted_by_its_number():
    pages = {file.name: file.read_text("utf-8") for file in PAGES if "book" in file.parts}
    numbers = {
        (name, place): number
        for name, text in pages.items()
        for place, number in re.findall(r'id="(equation-[\w-]+)">\s*<span class="eqno">(\([\d.]+\))<', text)
    }
    quoted = 0
    for name, text in pages.items():
        for where, place, words in re.findall(r'internal" href="([^"#]*)#(equation-[^"]*)">([^<]*)</a>', text):
            assert words == numbers[where or name, place], (name, place)
            quoted += 1
    assert quoted > 10 and len(set(numbers.values())) == len(numbers) > 5


def test_a_formula_that_cannot_be_drawn_is_named():
    fault = mathematics.answer({"latex": r"x + \frac{1}{", "katex_options": {}}, 1)["error"]
    assert "KaTeX parse error" in fault and r"x + \frac{1}{" in fault
    wide = mathematics.answer({"latex": r"\sum_i ẑ", "katex_options": {"displayMode": True}}, 1)["html"]
    assert wide.startswith('<span class="katex-display">') and "ẑ" in wide


def test_a_style_loses_the_rules_of_classes_that_are_not_there_and_no_other():
    stays = ":root{--a:1}@media (x){p.here:is(.a,.b)>q{a:b}}@font-face{src:url(a.woff2)}"
    stays += ".bs-top[data-x='.gone']{a:b}@keyframes k{from{a:b}50.5%{a:c}}"
    style = "/* v.1 */@media print{.gone .here{a:b}}" + stays + ".here,.gone:not(.here){a:b}"
    assert used(style, {"here", "bs-"}) == stays + ".here{a:b}"


MOVING = {"acceleration": 27, "sharing-or-winning": 12, "spectrum": 4}  # page: frames, or networks that play


def frames(chapter):
    """Rows that the moving picture of a page is drawn from, and its controls."""
    page = (SITE / f"book/{chapter}.html").read_text("utf-8")
    (start,) = [found.end() for found in re.finditer(r"displayChart\(vegaEmbed\)\);\s*\}\)\(", page)]
    spec, _ = json.JSONDecoder().raw_decode(page[start:])
    (rows,) = spec["datasets"].values()
    return rows, {param["name"]: param["bind"] for param in spec["params"]}


def test_pages_with_moving_pictures_share_one_script_and_no_other_page_loads_it():
    loads = {file.stem: [asset for asset in page.assets if "vega" in asset] for file, page in PAGES.items()}
    assert {name for name, scripts in loads.items() if scripts} == set(MOVING)
    for scripts in (loads[name] for name in MOVING):
        assert len(scripts) == 1 and scripts[0].startswith("../_static/vega.js"), scripts
    script = (SITE / "_static/vega.js").read_text("utf-8")
    assert script.startswith("(() => {") and "window.vegaEmbed" in script
    for file in PAGES:
        assert file.stat().st_size < 1.5e6, file


def test_moving_pictures_have_a_frame_for_every_setting_of_their_controls():
    for chapter, number in MOVING.items():
        rows, controls = frames(chapter)
        assert len(rows) == number, chapter
        for key in rows[0].keys() & controls.keys():
            bind, values = controls[key], {row[key] for row in rows}
            if bind["input"] == "select":
                assert set(bind["options"]) == values, key
            else:
                steps = round((bind["max"] - bind["min"]) / bind["step"])
                assert {round(bind["min"] + k * bind["step"], 9) for k in range(steps + 1)} == values, key


def test_the_explorer_shows_what_the_flow_of_the_whole_matrix_ends_with():
    """Recomputed without the reduction to few dimensions, at the sizes of scale smoke."""
    R, m, w = draw(0.5, 40, 0)
    R, m, w = (np.asarray(part, float) for part in (R / 0.5, m, w))
    rows = {(row["g"], row["target"]): row for row in frames("acceleration")[0]}
    for g, target in ((0.0, 0.5), (0.4, 1.0), (0.8, 2.0)):
        W, row = g * R, rows[g, target]
        for epoch in range(201):
            B = np.linalg.inv(np.eye(40) - W)
            error = w @ B @ m - target
            if epoch % 50 == 0:
                shown = dict(row["loss"])[epoch]
                assert shown == pytest.approx((error / target) ** 2, abs=2e-3), (g, target, epoch)
            if epoch < 200:
                W = W - rate(g, target) * error * np.outer(w @ B, B @ m)
        values = np.linalg.svd(W - g * R, compute_uv=False)[:2]
        np.testing.assert_allclose([value for _, value in row["values"][:2]], values, rtol=2e-2)
        assert row["norm"] == pytest.approx(np.linalg.norm(W - g * R), rel=1e-3)
        assert row["top"] == pytest.approx(np.linalg.eigvals(W).real.max(), abs=1e-3)


def test_the_player_shows_the_spectra_that_were_kept():
    kept = archive.combine([experiments.load("training", present=False), experiments.load("sweep", present=False)])
    for row in frames("spectrum")[0]:
        name, g = row["network"].split(", g = ")
        one = kept.isel(N=0).sel(task=name, g=float(g), sample=0).dropna("snapshot", subset=["snapshot_epoch"])
        clouds = one.course_eigenvalues.transpose("snapshot", "mode", "part").values
        assert [moment["epoch"] for moment in row["moments"]] == one.snapshot_epoch.values.tolist()
        for moment, cloud in zip(row["moments"], clouds, strict=True):
            upper = [[x, y] for x, y in cloud.tolist() if y >= 0]
            np.testing.assert_allclose(moment["cloud"], upper, atol=6e-3)  # drawn to two digits
            assert moment["outside"] == sum(abs(complex(*at)) > float(g) + 0.1 for at in cloud.tolist())
            assert moment["top"] == pytest.approx(cloud[:, 0].max())
