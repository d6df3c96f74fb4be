"""The ledger: every claim of the papers, what was measured here with its 95 % interval, and the verdict.

A row holds if the mean over samples lies in the range allowed beforehand; a claim that differs stays in the ledger.
"""

import importlib
import math
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from ..archive import ArchiveError
from ..bootstrap import interval


@dataclass(frozen=True)
class Claim:
    """One claim.  `measure` gives one value a sample, from kept results; `low` ... `high` is the accepted mean.

    `expected` says the same range in words and units; `figure` is the page and label that shows it; `note` says what
    was found, and stands in the ledger where the claim differs.
    """

    id: str
    source: str
    claim: str
    expected: str
    low: float
    high: float
    measure: Callable[[], Iterable[float]]
    figure: str
    note: str = ""


def row(claim: Claim) -> dict:
    """One row of the ledger; values that are not there, or samples that never converged, are counted in `missing`."""
    try:
        measured = np.asarray(list(claim.measure()), float)
    except (ValueError, KeyError, ArchiveError):  # the results are not kept here
        measured = np.array([])
    samples = measured[np.isfinite(measured)]
    value, (low, high) = (samples.mean(), interval(samples)) if len(samples) else (math.nan, (math.nan, math.nan))
    holds = claim.low <= value <= claim.high
    return {
        "id": claim.id,
        "source": claim.source,
        "claim": claim.claim,
        "value": float(value) if len(samples) else None,
        "low": low if len(samples) else None,
        "high": high if len(samples) else None,
        "samples": len(samples),
        "missing": len(measured) - len(samples),
        "expected": claim.expected,
        "verdict": "not reproduced" if not len(samples) else "holds" if holds else "differs",
        "figure": claim.figure,
        "note": claim.note if len(samples) and not holds else "",
    }


def parts() -> list[ModuleType]:
    """The modules of this package, in the order of the papers; each has `ORDER` and `CLAIMS`."""
    found = [importlib.import_module(f"{__name__}.{part.name}") for part in pkgutil.iter_modules(__path__)]
    return sorted(found, key=lambda part: part.ORDER)


def ledger() -> list[dict]:
    """All rows, in the order of the papers."""
    return [row(claim) for part in parts() for claim in part.CLAIMS]
