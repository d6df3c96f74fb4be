"""A twin's first cell: first_cell.py with where the book is, and what the chapter's kept results weigh and cost."""

import re
from functools import cache
from pathlib import Path

import h5py
import jupytext
from address import Address

RESULTS = Path(__file__).parents[2] / "results" / "paper"
FIRST_CELL = (Path(__file__).parent / "first_cell.py").read_text("utf-8")
GAIN = {"training"}  # from a GPU: what others train live is too small for one


def reads(chapter: Path) -> list[str]:
    """Folders of kept results that a chapter may open, named in its code or implied by it."""
    code = "\n".join(cell.source for cell in jupytext.read(chapter).cells if cell.cell_type == "code")
    kept = sorted(folder.name for folder in RESULTS.iterdir())
    if re.search(r"\b(claims|ledger|experiments\.names)\b", code):
        return kept
    said = set(re.findall(r'"([\w-]+)["{]', code)) | ({"training", "sweep"} if re.search(r"\bzoo\b", code) else set())
    begun = tuple(part for part in said if part.endswith("-"))  # of f"linear-{kind}"
    return [name for name in kept if name in said or (begun and name.startswith(begun))]


@cache
def seconds(file: Path) -> float:
    """What it took to compute a kept result, as it says."""
    with h5py.File(file) as kept:
        return kept.attrs["seconds"].item()


def card(page: str, files: list[Path]) -> str:
    """What a chapter's kept results cost, and whether a GPU serves it."""
    minutes = sum(map(seconds, files)) / 60
    took = f"{minutes:.0f} minutes" if minutes < 90 else f"{minutes / 60:.0f} hours"
    kept = f"At scale paper they took {took} of one CPU core. " if files else "This chapter opens none. "
    return kept + ("The live training gains from a GPU." if page in GAIN else "What it computes live needs no GPU.")


def first_cell(chapter: Path, where: Address | None) -> str:
    """The cell that installs: of this repository and commit, with the results that the chapter opens and their size."""
    text, folders = FIRST_CELL, reads(chapter)
    files = [file for name in folders for file in sorted((RESULTS / name).glob("*.nc"))]
    filled = {'CARD = ""': f'CARD = "{card(chapter.stem, files)}"'}
    if where:
        size = 1 + sum(file.stat().st_size for file in files) / 1e6
        filled['REPOSITORY, COMMIT = "", ""'] = f'REPOSITORY, COMMIT = "{where.repository}", "{where.commit}"'
        filled['READS, SIZE = [], ""'] = f'READS, SIZE = {folders}, "{size:.0f} MB"'
    for empty, full in filled.items():
        assert text.count(empty) == 1, empty
        text = text.replace(empty, full)
    return text
