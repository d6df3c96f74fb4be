"""Build the website at a scale: execute what is stale (runs.py), then let Jupyter Book draw the pages from these runs.

A site is built in a folder of its own and renamed when it is whole: what was there stays until then, and a build that
fails leaves nothing behind, so that the next one fails again.
"""

import argparse
import io
import os
import shutil
import sys
from contextlib import redirect_stderr
from pathlib import Path

import address
import runs
import twins
import yaml
from filelock import FileLock, Timeout

ROOT = runs.ROOT
SITES = {"paper": "html", "lite": "lite-site", "smoke": "test-site"}


def configuration(work: Path, scale: str) -> tuple[Path, list[str]]:
    """The book's configuration for a build in `work`, with all current runs in its cache; chapters without a run."""
    from jupyter_cache import get_cache  # here and below: what executes chapters, in processes of its own, needs none
    from jupyter_cache.base import CacheBundleIn

    cache, without = get_cache(str(work / "cache")), []
    for source in twins.chapters():
        if run := runs.kept(source, scale):
            cache.cache_notebook_bundle(CacheBundleIn(run, str(source)), check_validity=False, overwrite=True)
        else:
            without.append(source.relative_to(ROOT).as_posix())
    config = address.configure(yaml.safe_load((ROOT / "_config.yml").read_text("utf-8")), address.find(ROOT))
    config["execute"] |= {"cache": str(work / "cache"), "exclude_patterns": without}
    local = config["sphinx"]["local_extensions"]
    config["sphinx"]["local_extensions"] = {name: str(ROOT / where) for name, where in local.items()}
    (file := work / "config.yml").write_text(yaml.safe_dump(config), "utf-8")
    return file, without


def draw(scale: str, work: Path, page: Path | None = None) -> list[str]:
    """The pages, or one of them, into `work`/html; what Sphinx found wrong."""
    from jupyter_book.sphinx import build_sphinx
    from sphinx.util.console import nocolor

    config, without = configuration(work, scale)
    nocolor()
    print("drawing the pages", flush=True)
    with redirect_stderr(io.StringIO()) as said:
        status = build_sphinx(
            ROOT,
            work / "html",
            noconfig=True,
            path_config=config,
            confoverrides={
                "external_toc_path": str(ROOT / "_toc.yml"),
                "latex_individualpages": False,
                "nitpicky": True,
            },
            doctreedir=work / "doctrees",
            filenames=[str(page)] if page else None,
            warningiserror=not page,
            keep_going=True,
            quiet=True,
        )
    lines = said.getvalue().splitlines()
    if page and not isinstance(status, Exception):  # what chapters without a run would define is not there
        lines = [line for line in lines if f"{page.name}:" in line and not (without and "undefined label" in line)]
        return lines
    return lines or [f"Sphinx ended with {status}"] * bool(status)


def replace(site: Path, new: Path) -> None:
    """Put `new` where `site` is; at no time is there neither."""
    old = site.with_name(f"{site.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if site.exists():
        site.rename(old)
    new.rename(site)
    shutil.rmtree(old, ignore_errors=True)


def build(scale: str, page: Path | None = None) -> list[str]:
    """Execute, draw, and put in place; what went wrong, in words."""
    chosen = [page] if page else twins.chapters()
    if faults := runs.update([one for one in chosen if one in twins.chapters()], scale):
        return faults
    work = ROOT / "_build" / f"work-{scale}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        faults = draw(scale, work, page)
        if not faults:
            replace(ROOT / "_build" / ("chapter" if page else SITES[scale]), work / "html")
    finally:
        shutil.rmtree(work)
    return faults


def main(argv: list[str] | None = None) -> int:
    """Scale `paper` builds _build/html from the kept results, `smoke` _build/test-site from the tests' runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", choices=SITES, default="paper")
    parser.add_argument("--page", metavar="NAME", help="only the page of this chapter, into _build/chapter")
    asked = parser.parse_args(argv)
    page = ROOT / f"book/{asked.page}.md" if asked.page else None
    if page and not page.exists():
        names = ", ".join(file.stem for file in sorted(page.parent.glob("*.md")))
        print(f"there is no chapter {asked.page!r}: choose one of {names}", file=sys.stderr)
        return 2
    chosen = runs.environment(asked.scale)
    os.environ.clear()
    os.environ.update(chosen)
    (ROOT / "_build").mkdir(exist_ok=True)
    try:
        with FileLock(ROOT / f"_build/{asked.scale}.lock", timeout=0):
            faults = build(asked.scale, page)
    except Timeout:
        faults = [f"another build of this site is running in {ROOT}: wait for it to end"]
    sys.stdout.flush()
    if faults:
        print("\nNot built; what was there before is untouched:", *faults, sep="\n", file=sys.stderr)
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
