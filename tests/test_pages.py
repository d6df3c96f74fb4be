"""The built site in a browser: what axe finds, what the console says, both themes, the ledger asked, figures enlarged.

Skipped, with a word, where there is no Chromium or no site.
"""

import shutil
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pydata_sphinx_theme
import pytest
import sphinx_book_theme
import yaml

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
from playwright.sync_api import sync_playwright  # noqa: E402

ROOT = Path(__file__).parents[1]
SITE = ROOT / "_build/test-site"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CONTEXT = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["sphinx"]["config"]["html_context"]
MOVED, PARTED = CONTEXT["moved"], CONTEXT["parted"]
THEMES = [Path(theme.__file__).parent for theme in (pydata_sphinx_theme, sphinx_book_theme)]
WHOLE = [file for theme in THEMES for file in theme.glob("theme/*/static/styles/*sphinx*theme.css")]
PAGES = sorted(file.stem for file in (SITE / "book").glob("*.html") if f"book/{file.stem}" not in MOVED)
pytestmark = [
    pytest.mark.skipif(not BROWSER, reason="neither chromium nor google-chrome is installed"),
    pytest.mark.skipif(not PAGES, reason="the site is not built: run `make test`"),
]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *said):
        pass


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as play:
        yield play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])


@pytest.fixture(scope="module")
def address():
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=SITE)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/book"
        server.shutdown()


@pytest.fixture
def visit(browser, address):
    """Opens a page as it is once everything is there; a page that complains, or lacks a file, fails the test."""
    said, contexts = [], []

    def open_page(name, **options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda fault: said.append(str(fault)))
        page.on(
            "response", lambda answer: said.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None
        )
        page.goto(f"{address}/{name}", wait_until="networkidle")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not said


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_on_a_page_in_the_theme_of_the_system(visit, name, scheme):
    page = visit(f"{name}.html", color_scheme=scheme, reduced_motion="reduce")
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    if page.locator(".ledger").count():  # as it is when someone sees it: until then its rows have no place
        ledger(page)
    # code and equations are thousands of boxes in few colours, the same on every page: one page is asked for all
    passed = [] if name == "low-rank-changes" else [".highlight", ".katex"]
    options = {"preload": False, "resultTypes": ["violations"]}
    found = axe.Axe().run(page, {"exclude": passed}, options).response["violations"]
    grave = [one for one in found if one["impact"] in ("critical", "serious", "moderate")]
    assert not [(one["id"], one["nodes"][0]["html"], one["nodes"][0]["failureSummary"]) for one in grave]
    assert page.evaluate("document.querySelectorAll('.katex-error').length") == 0


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_wider_than_a_narrow_screen(visit, name):
    page = visit(f"{name}.html", viewport={"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    x = "part.getBoundingClientRect().x - part.closest('.math').getBoundingClientRect().x"
    begins = page.evaluate(f"[...document.querySelectorAll('.katex-display .base')].map(part => {x})")
    assert all(x > -1 for x in begins), "an equation is cut off where no reader can scroll to"


def test_a_table_that_scrolls_keeps_its_first_column_in_sight_and_breaks_no_number(visit):
    page = visit("acceleration.html", viewport={"width": 400, "height": 800})
    moved = page.evaluate("""() => [...document.querySelectorAll(".table")].map((table) => {
      const [box, cell] = [table.parentNode, table.querySelector("td")], before = cell.getBoundingClientRect().x;
      box.scrollLeft = 999;
      return [box.scrollLeft, cell.getBoundingClientRect().x - before];
    })""")
    assert max(far for far, _ in moved) > 50 and all(abs(by) < 1 for _, by in moved)
    breaks = page.evaluate("[...document.querySelectorAll('td.short')].map(cell => getComputedStyle(cell).whiteSpace)")
    assert len(breaks) > 50 and set(breaks) == {"nowrap"}


@pytest.mark.parametrize("name", MOVED)
def test_an_old_address_leads_to_where_its_places_are_now(visit, browser, name):
    old, first, last = Path(name).name, MOVED[name][0], MOVED[name][-1]
    (to, place), (there, far) = ((part["page"], part["places"][-1]) for part in (first, last))
    for asked, found in ((place, f"{to}.html#{place}"), (far, f"{there}.html#{far}"), ("no", f"{to}.html")):
        assert visit(f"{old}.html#{asked}").url.endswith(f"/book/{found}"), asked
    page = browser.new_page()
    page.goto(f"{(SITE / name).as_uri()}.html#{far}", wait_until="load")
    assert page.url == f"{(SITE / 'book' / there).as_uri()}.html#{far}"
    page.close()
    listed = visit(f"{old}.html", java_script_enabled=False).locator("li a").all_inner_texts()
    assert listed == [place for part in MOVED[name] for place in part["places"]]


@pytest.mark.parametrize("name", PARTED)
def test_a_place_that_another_chapter_took_along_is_found_there(visit, name):
    old = Path(name).name
    for part, place in ((to, place) for to in PARTED[name] for place in to["places"]):
        found, now = visit(f"{old}.html#{place}"), part.get("now", {}).get(place, place)
        assert found.url.endswith(f"/book/{part['page']}.html#{now}") and found.locator(f"[id='{now}']").count() == 1
    assert visit(f"{old}.html#no").url.endswith(f"/book/{old}.html#no")


def test_a_figure_opens_whole_by_the_keyboard_and_closes(visit):
    page = visit("tasks.html", viewport={"width": 400, "height": 800})
    link = page.locator("a.enlarge").first
    link.press("Enter")
    assert page.locator("dialog.whole img").bounding_box()["width"] > 1.5 * link.bounding_box()["width"]
    page.keyboard.press("Escape")
    assert not page.locator("dialog.whole").is_visible()
    assert page.evaluate("document.activeElement.className") == "enlarge"


@pytest.mark.parametrize("name", ["claims", "when-learning-fails", "zoo"])
def test_a_page_looks_as_with_the_whole_styles_of_the_themes(visit, browser, address, name):
    """Boxes, colours and letters of every element, and of the search that a script opens."""
    look = """() => [...document.body.querySelectorAll("*")].map((one) => {
      const style = getComputedStyle(one), box = one.getBoundingClientRect();
      return [one.className, box.x, box.y, box.width, box.height, ...["color", "backgroundColor", "borderTop", "font",
        "display", "visibility", "cursor", "textDecoration", "opacity", "zIndex"].map((key) => style[key])].join(" ");
    })"""
    for size in ({"width": 400, "height": 800}, {"width": 1300, "height": 900}):
        looks = []
        for whole in (False, True):
            context = browser.new_context(viewport=size, reduced_motion="reduce")
            page = context.new_page()
            served = set()

            def serve(route, request, served=served):
                style = next(one for one in WHOLE if f"/{one.name}?" in request.url)
                served.add(style)
                route.fulfill(path=style)

            for style in WHOLE if whole else ():
                page.route(f"**/{style.name}?*", serve)
            page.goto(f"{address}/{name}.html", wait_until="networkidle")
            page.keyboard.press("Control+k")
            page.locator("#pst-search-dialog[open]").wait_for()
            looks.append(page.evaluate(look))
            assert len(served) == (2 if whole else 0)
            context.close()
        assert len(looks[0]) > 500 and looks[0] == looks[1]


def ledger(page):
    """The ledger once it is set up, which it is as soon as it comes near."""
    page.locator(".ledger").scroll_into_view_if_needed()
    page.locator(".ledger-filters").wait_for()
    return page


def test_the_ledger_waits_until_it_comes_near(visit):
    page = visit("claims.html")
    assert page.evaluate("typeof DataTable") == "undefined"
    assert page.locator(".ledger tbody tr[id]").count() > 300
    assert ledger(page).locator(".ledger tbody tr[id]").count() == 25


def test_the_ledger_can_be_asked(visit):
    page = ledger(visit("claims.html"))
    rows = page.locator(".ledger tbody tr[id]")
    assert rows.count() == 25
    verdicts = page.locator("select[name=verdict]")  # of a page at scale smoke most rows are undecided
    verdicts.select_option(index=verdicts.locator("option").count() - 1)
    asked = verdicts.input_value()
    assert asked in {"holds", "differs", "undecided"}
    assert set(page.locator(".ledger .verdict").all_inner_texts()) == {asked}
    page.get_by_label("Search").last.fill("flip-flop")
    assert all("flip-flop" in text for text in rows.all_inner_texts())
    page.get_by_role("button", name="Show all").click()
    assert rows.count() == 25
    head = page.locator(".ledger th", has_text="samples").get_by_role("button")
    head.press("Enter")
    page.locator(".ledger th[aria-sort=ascending]").wait_for()
    samples = [int(text.split()[0]) for text in page.locator(".ledger td[data-label=samples]").all_inner_texts()]
    assert samples == sorted(samples)


def test_a_row_of_the_ledger_has_an_address_and_one_that_is_none_hides_nothing(visit):
    last = visit("claims.html").locator(".ledger tbody tr[id]").last.get_attribute("id")
    page = visit(f"claims.html#{last}")
    assert page.locator(f"[id='{last}']").is_visible()
    assert page.locator("tr.found").get_attribute("id") == last
    assert 0 < page.locator("tr.found").bounding_box()["y"] < page.viewport_size["height"]
    for none in ("no-such-row", "%", "%E0%A4%A"):
        assert ledger(visit(f"claims.html#{none}")).locator(".ledger tbody tr[id]").count() == 25


def test_without_script_mathematics_is_there(visit):
    page = visit("start-stretches.html", java_script_enabled=False)
    formulas = page.locator("article .katex-html")
    assert formulas.count() > 100 and formulas.first.is_visible()
    wide = page.locator("article .katex-display").first.bounding_box()
    assert wide["width"] > 200 and wide["height"] > 20


def test_without_script_the_ledger_is_whole_and_figures_are_links(visit):
    page = visit("claims.html", java_script_enabled=False)
    assert page.locator(".ledger tbody tr[id]").count() > 300
    assert page.locator(".ledger-filters").count() == 0
    assert page.locator("a.enlarge").first.get_attribute("href").endswith(".svg")


@pytest.mark.parametrize("name", ["training", "sharing-or-winning", "claims"])
def test_a_page_opened_from_a_disc_at_a_place_that_is_not_there_is_whole(browser, name):
    said, page = [], browser.new_context(offline=True).new_page()
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda fault: said.append(str(fault)))
    page.goto(f"{(SITE / 'book' / name).as_uri()}.html#no-such-place", wait_until="load")
    page.evaluate("() => { for (const image of document.images) image.loading = 'eager'; }")
    page.wait_for_function("() => [...document.images].every((image) => image.complete)")
    missing = "[...document.images].filter(image => !image.naturalWidth).length"
    assert page.evaluate(missing) == page.evaluate("scrollY") == len(said) == 0, said
    assert page.locator("article .katex").count() > 0
    page.context.close()


def test_without_script_solutions_and_pictures_are_open(visit):
    page = visit("training.html", java_script_enabled=False)
    solutions = page.locator(".solution")
    assert solutions.count() > 0
    assert all(solutions.nth(n).locator("p").last.is_visible() for n in range(solutions.count()))
    assert page.locator("a.enlarge img").first.is_visible()
