"""Measures of the ledger: what a claim is decided by.  `claims/*.yaml` names them with their labels.

A measure gives one value a sample, from kept results or computed on the spot; booleans (sample, ...) where networks are
counted; a `Ratio` where the claim is on a ratio of means.  It raises `ArchiveError` where a result cannot be read, and
`LabelError` for a label that the results do not have.
"""

from inspect import isfunction

from . import linear, networks, operative, pathways, recorded, sentiment
from .recorded import Ratio

ROOMS = (recorded, networks, linear, sentiment, operative, pathways)
MEASURES = {
    name: found
    for room in ROOMS
    for name, found in vars(room).items()
    if isfunction(found) and found.__module__ == room.__name__ and not name.startswith("_")
}
__all__ = ["MEASURES", "Ratio", "forget"]


def forget() -> None:
    """Let go of what several measures share, so that the next ones look at the files again."""
    for shared in (shared for room in ROOMS for shared in vars(room).values() if hasattr(shared, "cache_clear")):
        shared.cache_clear()
