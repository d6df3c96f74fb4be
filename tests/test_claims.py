"""The ledger: intervals that cover, verdicts at their edges, rows that are strict JSON, links that lead somewhere."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from interplay import claims
from interplay.archive import ArchiveError
from interplay.claims import Claim, modes

ROOT = Path(__file__).parents[1]
KEYS = ["id", "source", "claim", "value", "low", "high", "samples", "missing", "expected", "verdict", "figure", "note"]


def row(*samples, low=0.0, high=1.0):
    return claims.row(Claim("C0", "Fig. 0", "a claim", "0 to 1", low, high, lambda: iter(samples), "claims.html#x"))


def fail(fault):
    raise fault


def forget():
    """What the measures of the ledger have read and keep."""
    for part in claims.parts():
        for kept in vars(part).values():
            getattr(kept, "cache_clear", int)()


@pytest.fixture(autouse=True)
def fresh():
    forget()
    yield
    forget()


@pytest.mark.parametrize("law", ["normal", "exponential"])
def test_interval_covers_the_truth_about_95_times_in_100(law):
    draw = np.random.default_rng(4)
    samples = draw.standard_normal((400, 40)) if law == "normal" else draw.exponential(size=(400, 40)) - 1
    found = np.array([claims.interval(one, draws=1000) for one in samples])
    assert 0.90 <= ((found[:, 0] <= 0) & (found[:, 1] >= 0)).mean() <= 0.98
    assert np.diff(found).mean() == pytest.approx(2 * 1.96 / np.sqrt(40), rel=0.05)


def test_interval_scales_with_the_samples_and_is_the_sample_where_there_is_one():
    one = np.random.default_rng(0).standard_normal(5)
    low, high = claims.interval(one)
    assert low < one.mean() < high
    assert (low, high) == claims.interval(one)  # the draws are fixed
    assert claims.interval(3 * one + 2) == pytest.approx((3 * low + 2, 3 * high + 2))
    assert claims.interval(np.array([0.7])) == (0.7, 0.7)


@pytest.mark.parametrize(
    ("samples", "verdict"),
    [
        ([0.0], "holds"),
        ([1.0, 1.0], "holds"),
        ([-1.0, 3.0], "holds"),  # the mean decides
        ([1 + 1e-9], "differs"),
        ([-1e-9], "differs"),
        ([np.nan, 0.5, np.inf], "holds"),
        ([np.nan, 2.0], "differs"),
        ([np.nan], "not reproduced"),
        ([], "not reproduced"),
    ],
)
def test_verdict_and_counts_at_the_edges(samples, verdict):
    found = row(*samples)
    finite = np.isfinite(samples)
    assert (found["verdict"], found["samples"], found["missing"]) == (verdict, finite.sum(), (~finite).sum())
    if finite.any():
        assert found["low"] <= found["value"] <= found["high"]
        assert found["value"] == np.array(samples)[finite].mean()
    else:
        assert (found["value"], found["low"], found["high"]) == (None, None, None)


def test_a_range_open_on_one_side():
    assert row(1e9, low=2, high=np.inf)["verdict"] == "holds"
    assert row(1.9, low=2, high=np.inf)["verdict"] == "differs"


def test_without_results_a_claim_is_not_reproduced_and_a_mistake_is_not_hidden():
    for fault in (ValueError("no unit"), KeyError(0.9), ArchiveError("damaged")):
        found = claims.row(Claim("C0", "", "", "", 0, 1, lambda fault=fault: fail(fault), ""))
        assert (found["verdict"], found["samples"], found["value"]) == ("not reproduced", 0, None)
    with pytest.raises(AttributeError):
        claims.row(Claim("C0", "", "", "", 0, 1, lambda: fail(AttributeError("typing error")), ""))


def test_ledger_without_results_says_so_in_every_row_that_needs_them(monkeypatch, tmp_path):
    monkeypatch.setenv("INTERPLAY_RESULTS", str(tmp_path))
    on_the_spot = {claim.id for claim in modes.CLAIMS} | {"C18 W0 g=0.9", "C18 W0 g=1.8"}  # and the linear theory
    rows = [row for row in claims.ledger() if not row["figure"].startswith("linear-theory")]
    kept = [row for row in rows if row["id"] not in on_the_spot]
    assert {row["verdict"] for row in kept} == {"not reproduced"}
    assert not list(tmp_path.iterdir())


def test_ledger_of_the_kept_results(monkeypatch):
    monkeypatch.setenv("INTERPLAY_RESULTS", str(ROOT / "results"))
    rows = claims.ledger()
    text = json.dumps(rows, allow_nan=False)
    assert json.loads(text) == rows
    assert all(list(row) == KEYS for row in rows)
    assert len({row["id"] for row in rows}) == len(rows)
    for row in rows:
        assert all(row[key] for key in ("id", "source", "claim", "expected", "figure"))
        assert row["verdict"] in ("holds", "differs", "not reproduced")
        if row["verdict"] != "not reproduced":
            assert row["low"] <= row["value"] <= row["high"]
    on_the_worst = {"C6", "C19 dW"}  # of all networks, so one value
    for name in (f"C{i}" for i in (*range(1, 20), *range(33, 37))):
        of = [row for row in rows if row["id"].split()[0] == name]
        assert of, name
        for row in of:
            assert row["verdict"] != "not reproduced", row["id"]
            assert row["samples"] >= (1 if row["id"] in on_the_worst else 3), row["id"]
    of_figure_1 = [row for row in rows if re.fullmatch(r"C(1 .*|2|3|4 .*|5 g.*|7 .*|16|17)", row["id"])]
    assert all(row["samples"] + row["missing"] == 5 for row in of_figure_1)


def test_every_row_links_to_a_figure_that_a_chapter_has():
    for claim in (claim for part in claims.parts() for claim in part.CLAIMS):
        page, label = re.fullmatch(r"([\w-]+)\.html#([\w-]+)", claim.figure).groups()
        source = ROOT / "book" / f"{page}.md"
        assert source.exists(), claim.id
        assert label in source.read_text("utf-8"), claim.id
