"""What a reader of the site waits for and meets: bytes, faults that axe counts, what twins keep, Lighthouse's scores.

python -m benchmarks.pages [FOLDER] [PAGE ...]: a built site, default _build/html, and pages, default all.
Bytes are a first visit's, with nothing kept by the browser; compressed as GitHub Pages sends text.  Captions and
links to other chapters: those of which the twin in the site's checkout has the words and opens the twin, of the
page's.  The scores of Lighthouse (performance, accessibility, best practice, SEO) are there where its command is:

    npm install --prefix /tmp/lighthouse lighthouse
    PATH=$PATH:/tmp/lighthouse/node_modules/.bin .venv/bin/python -m benchmarks.pages _build/html index tasks
"""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import nbformat
from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup
from playwright.sync_api import sync_playwright

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
KINDS = ("performance", "accessibility", "best-practices", "seo")


class Server(SimpleHTTPRequestHandler):
    """Sends text compressed, as the public site's host does."""

    def log_message(self, *said):
        pass

    def do_GET(self):
        file = Path(self.translate_path(self.path.partition("?")[0]))
        if not file.is_file():
            return self.send_error(404)
        body, kind = file.read_bytes(), self.guess_type(str(file))
        text = kind.startswith("text/") or kind.endswith(("javascript", "svg+xml"))
        body = gzip.compress(body) if text else body
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if text:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(body)


def visit(browser, url: str, scheme: str) -> tuple[int, int, int]:
    """Bytes of a first visit, bytes sent for them, and elements at which axe finds a moderate or graver fault."""
    context = browser.new_context(color_scheme=scheme)
    page, answers = context.new_page(), []
    page.on("response", lambda answer: answers.append(answer))  # it marks what it is given
    page.goto(url, wait_until="networkidle")
    sizes = [(len(one.body()), int(one.headers.get("content-length", 0))) for one in answers if one.ok]
    found = Axe().run(page, options={"preload": False}).response["violations"]
    context.close()
    return *map(sum, zip(*sizes)), sum(len(one["nodes"]) for one in found if one["impact"] != "minor")


def words(text: str) -> str:
    """Letters and digits of a text, targets of its links left out."""
    return re.sub(r"[\W_]+", "", re.sub(r"\]\([^)]*\)", "", text))


def kept(site: Path, page: str) -> list[str]:
    """Captions and links to other chapters that the page's twin keeps, of the page's; empty without a twin."""
    twins = site.resolve().parents[1] / "notebooks"
    article = BeautifulSoup((site / f"book/{page}.html").read_text("utf-8"), "html.parser").select_one("article")
    if not (twins / f"{page}.ipynb").exists():
        return ["", ""]
    cells = nbformat.read(twins / f"{page}.ipynb", 4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    for formula in article.select(".katex"):  # as it was written
        formula.replace_with(formula.select_one("annotation").text)
    captions = [words(one.text) for one in article.select("figcaption .caption-text")]
    links = Counter(
        Path(link["href"].partition("#")[0]).stem
        for link in article.select("p a.reference.internal, li a.reference.internal, td a.reference.internal")
        if not link.find_parent(class_="toctree-wrapper")
    )
    links = Counter({to: n for to, n in links.items() if (twins / f"{to}.ipynb").exists()})
    right = links & Counter(re.findall(r"\]\(([\w-]+)\.ipynb", text))
    return [f"{sum(one in words(text) for one in captions)} of {len(captions)}", f"{right.total()} of {links.total()}"]


def lighthouse(url: str) -> str:
    """Its four scores in percent; empty where it is not installed."""
    if not (command := shutil.which("lighthouse")):
        return ""
    flags = ["--chrome-flags=--headless --no-sandbox --disable-gpu", "--output=json", "--quiet"]
    flags += [f"--only-categories={','.join(KINDS)}", "--no-enable-error-reporting"]
    environment = os.environ | {"CHROME_PATH": BROWSER}
    told = subprocess.run([command, url, *flags], capture_output=True, text=True, check=True, env=environment).stdout
    scores = [json.loads(told)["categories"][kind]["score"] for kind in KINDS]
    return " ".join("–" if score is None else f"{100 * score:.0f}" for score in scores)


def main(folder: str = "_build/html", *names: str) -> int:
    pages = sorted(file.stem for file in Path(folder, "book").glob("*.html"))
    if unknown := [name for name in names if name not in pages] or not pages * bool(BROWSER):
        print(f"needs a built site in {folder}, Chromium, and pages that are there: {unknown}", file=sys.stderr)
        return 2
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Server, directory=folder)) as server, sync_playwright() as play:
        Thread(target=server.serve_forever, daemon=True).start()
        browser = play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        print("page, kB, kB sent, axe (light), axe (dark), captions kept, links right, Lighthouse")
        for name in names or pages:
            url = f"http://127.0.0.1:{server.server_port}/book/{name}.html"
            (whole, sent, light), (*_, dark) = (visit(browser, url, scheme) for scheme in ("light", "dark"))
            line = [name, whole // 1000, sent // 1000, light, dark, *kept(Path(folder), name), lighthouse(url)]
            print(*line, sep=", ", flush=True)
        server.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
