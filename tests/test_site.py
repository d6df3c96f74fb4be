"""The built site: links, anchors, pictures, and nothing from other hosts.  `make test` builds it."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

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
    for style in SITE.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*['\"]?https?://", style.read_text("utf-8", "ignore")), style


def test_figures_have_numbers_and_say_how_many_samples():
    captions = re.compile(r'<span class="caption-number">(.*?)</span>.*?</figcaption>', re.S)
    for chapter in ("training", "low-rank-changes"):
        found = captions.findall((SITE / f"book/{chapter}.html").read_text("utf-8"))
        assert found and all(re.match(r"Fig\. \d+\.\d+", number) for number in found), chapter
