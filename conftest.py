"""Chapters under test: nbmake runs every MyST notebook of book/ at scale smoke (alone it would skip `.md`)."""

import os
import sys
from pathlib import Path

import pytest
from nbmake.pytest_items import NotebookFailedException, NotebookItem

ROOT = Path(__file__).parent
BOOK = ROOT / "book"
sys.path.insert(0, str(BOOK / "_ext"))
import runs  # noqa: E402 (not before its folder can be found)

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
    """Runs a chapter; the test build of the site draws its page from this run."""

    def runtest(self):
        done = runs.execute(self.parent.path, "smoke", self.config.option.nbmake_timeout, ROOT)
        if done.error is not None:
            raise NotebookFailedException(done)

    def repr_failure(self, excinfo, style=None):
        report = super().repr_failure(excinfo, style)
        if isinstance(excinfo.value, NotebookFailedException):
            done, source = excinfo.value.args[0], self.parent.path
            where = runs.where(source, done.nb, done.error.failing_cell_index)
            report.term = f"{where}\n{report.term}"
            report.reprcrash.message = f"{where}: {report.reprcrash.message}"
        return report
