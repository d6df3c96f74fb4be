"""Chapters under test: nbmake runs every MyST notebook of book/ at scale smoke (alone it would skip `.md`)."""

import os
import sys
import time
from pathlib import Path

import jupytext
import nbformat
import pytest
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from nbmake.nb_run import NotebookRun
from nbmake.pytest_items import NotebookFailedException, NotebookItem

ROOT = Path(__file__).parent
BOOK = ROOT / "book"
sys.path.insert(0, str(BOOK / "_ext"))
os.environ |= {"INTERPLAY_SCALE": "smoke", "INTERPLAY_RESULTS": str(ROOT / "_build/smoke-results"), "TQDM_DISABLE": "1"}


def is_chapter(path: Path) -> bool:
    return path.suffix == ".md" and "format_name: myst" in path.read_text("utf-8").split("\n---", 1)[0]


def pytest_collect_file(file_path: Path, parent):
    if parent.config.option.nbmake and file_path.parent == BOOK and is_chapter(file_path):
        return Chapter.from_parent(parent, path=file_path)


class Chapter(pytest.File):
    """One chapter, as pytest sees it."""

    def collect(self):
        yield ChapterItem.from_parent(self, filename=str(self.path))


class ChapterItem(NotebookItem):
    """Runs a chapter and keeps what it printed for the test build of the site: nothing is executed twice."""

    def runtest(self):
        import build

        source, option, start = self.parent.path, self.config.option, time.time()
        notebook = jupytext.read(source)
        work = ROOT / "_build/nbmake" / f"{source.stem}.ipynb"
        work.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, work)
        done = NotebookRun(work, option.nbmake_timeout, kernel=option.nbmake_kernel).execute()
        if done.error is not None:
            raise NotebookFailedException(done)
        for cell in done.nb.cells:  # the cache hashes a cell's metadata: drop what the run added
            cell.metadata.pop("execution", None)
        bundle = CacheBundleIn(done.nb, str(source), data={"execution_seconds": time.time() - start})
        kept = get_cache(str(build.cache("smoke")))
        kept.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)

    def repr_failure(self, excinfo, style=None):
        report = super().repr_failure(excinfo, style)
        if isinstance(excinfo.value, NotebookFailedException):
            done, source = excinfo.value.args[0], self.parent.path
            which = sum(cell.cell_type == "code" for cell in done.nb.cells[: done.error.failing_cell_index + 1])
            lines = source.read_text("utf-8").splitlines()
            starts = [n for n, line in enumerate(lines, 1) if line.lstrip("`~:").startswith("{code-cell}")]
            where = f"{source.relative_to(ROOT)}:{starts[which - 1]} (code cell {which})"
            report.term = f"{where}\n{report.term}"
            report.reprcrash.message = f"{where}: {report.reprcrash.message}"
        return report
