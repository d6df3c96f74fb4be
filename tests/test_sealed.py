"""When ranges were fixed, as git and the kept results say; and that the ledger's `fixed` says so."""

import json
import math

import pytest

from interplay import ledger
from tests import sealed

KEPT = json.loads(sealed.FILE.read_text("utf-8"))


def shallow():
    try:
        return sealed.git("rev-parse", "--is-shallow-repository").strip() == "true"
    except (OSError, sealed.subprocess.CalledProcessError):
        return True


@pytest.mark.skipif(shallow(), reason="the history is not there")
def test_days_of_ranges_and_of_first_results_are_those_of_the_history(monkeypatch):
    monkeypatch.setenv("INTERPLAY_RESULTS", str(sealed.ROOT / "results"))
    claims = {claim["id"]: claim for claim in ledger.read()}
    assert len(KEPT["rows"].keys() & claims) > 300
    since, last, changes = sealed.history(KEPT["until"])
    assert KEPT["changed"] == changes
    days, other = sealed.added(), []
    before = sealed.git("log", "--reverse", "--format=%h", "--abbrev=7", "--", "src/interplay/claims").split()
    for name in KEPT["rows"].keys() & claims:
        row, claim = KEPT["rows"][name], claims[name]
        assert row["fixed"] == since[name], name
        assert row["on"] == sealed.git("show", "-s", "--format=%aI", row["fixed"]).strip()
        if not sealed.moved(last[name], [x if math.isfinite(x) else None for x in ledger.accepted(claim)]):
            assert claim["fixed"] in before[: 1 + before.index(row["fixed"])], name  # as a comment, perhaps, at first
            first, of = sealed.first_result(claim, days)
            assert first == row["first"] if of == row["of"] else first > row["first"], name
            other += [name] if of != row["of"] else []  # it is measured on later results since
    assert len(other) < 120, other


def test_an_end_that_moves_is_seen_and_one_that_nothing_could_pass_is_not():
    assert sealed.moved([0.0, 0.1], [0.07, 0.21])
    assert sealed.moved([None, 0.1], [None, 0.11])
    assert not sealed.moved([0.0, 0.1], [None, 0.1])
    assert not sealed.moved([1e-9, None], [5e-324, None])
