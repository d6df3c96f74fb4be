"""The ledger: intervals that cover, verdicts at their edges, faults of its files and of results, links that lead on."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from interplay import __main__ as cli
from interplay import archive, experiments, intervals, ledger, measures
from interplay.experiments.checks import CHECKS
from interplay.measures import MEASURES, Ratio

ROOT = Path(__file__).parents[1]
KEYS = ["id", "source", "claim", "value", "low", "high", "samples", "missing", "within", "expected", "range", "verdict"]
KEYS += ["interval", "reason", "figure", "note", "cause", "fixed", "by_code", "references"]
GOOD = """
rows:
  - id: C0 $task
    source: Fig. 0
    claim: "$task: a claim"
    low: 0
    high: 1
    figure: training.html#fig-learning-curves
    measure: {epochs_to_5_percent: {task: $task, g: 0.0}}
    for: {task: [flip-flop, mante]}
"""


def row(measured, **accepted):
    claim = {"id": "C0", "source": "Fig. 0", "claim": "a claim", "figure": "claims.html#x", "note": "why"}
    return ledger.judge(claim | (accepted or {"low": 0.0, "high": 1.0}), measured)


@pytest.mark.parametrize("number", [3, 5, 40])
def test_interval_of_a_mean_covers_the_truth_95_times_in_100(number):
    samples = np.random.default_rng(4).standard_normal((4000, number))
    found = np.array([intervals.mean(one) for one in samples])
    assert ((found[:, 0] <= 0) & (found[:, 1] >= 0)).mean() == pytest.approx(0.95, abs=0.012)
    low, high = intervals.mean(samples[0])
    assert intervals.mean(3 * samples[0] + 2) == pytest.approx((3 * low + 2, 3 * high + 2))
    assert np.isnan(intervals.mean(np.array([0.7]))).all()
    assert intervals.mean(np.array([2.0, 2.0])) == (2, 2)


def test_interval_of_a_ratio_covers_the_truth_95_times_in_100_and_turns_over_with_it():
    draw = np.random.default_rng(5)
    above, below = 3 + 0.6 * draw.standard_normal((2000, 5)), 1 + 0.2 * draw.standard_normal((2000, 4))
    found = np.array([intervals.ratio(*both) for both in zip(above, below)])
    assert ((found[:, 0] <= 3) & (found[:, 1] >= 3)).mean() == pytest.approx(0.95, abs=0.02)
    low, high = intervals.ratio(above[0], below[0])
    assert intervals.ratio(below[0], above[0]) == pytest.approx((1 / high, 1 / low))
    one = intervals.ratio(np.array([3.0]), below[0])  # a single network is taken as known
    assert one[0] < 3 / below[0].mean() < one[1]
    assert np.isnan(intervals.ratio(np.array([3.0]), np.array([2.0]))).all()


def test_interval_of_a_share_is_exact_at_its_ends():
    for hits, number in ((0, 5), (4, 5), (5, 5)):
        low, high = intervals.share(hits, number)
        assert low <= hits / number <= high
        assert high == pytest.approx(1 if hits == number else high)
    assert intervals.share(0, 5)[1] == pytest.approx(1 - 0.025 ** (1 / 5))
    assert intervals.share(5, 5)[0] == pytest.approx(0.025 ** (1 / 5))


def test_curve_takes_each_column_by_itself_and_leaves_out_what_is_missing():
    samples = np.random.RandomState(0).standard_normal((6, 4))
    samples[2:, 1], samples[:, 3], samples[1:, 2] = np.nan, np.nan, np.nan
    mean, low, high, number = intervals.curve(samples)
    assert number.tolist() == [6, 2, 1, 0]
    for x in (0, 1):
        column = samples[np.isfinite(samples[:, x]), x]
        assert mean[x] == pytest.approx(column.mean())
        assert (low[x], high[x]) == intervals.mean(column)
    assert mean[2] == samples[0, 2]
    assert np.isnan([mean[3], low[2], high[2], low[3], high[3]]).all()


@pytest.mark.parametrize(
    ("samples", "verdict"),
    [
        ([0.0], "holds"),
        ([1.0, 1.0], "holds"),
        ([0.0, 1.0], "holds"),
        ([-1.0, 3.0], "holds"),  # the mean decides
        ([1 + 1e-9], "differs"),
        ([-1e-9], "differs"),
        ([np.nan, 0.5, np.inf], "holds"),
        ([np.nan, 2.0], "differs"),
        ([np.nan], "undecided"),
        ([], "undecided"),
    ],
)
def test_verdict_and_counts_at_the_edges(samples, verdict):
    found = row(samples)
    finite = np.isfinite(samples)
    assert (found["verdict"], found["samples"], found["missing"]) == (verdict, finite.sum(), (~finite).sum())
    assert found["note"] == ("why" if verdict == "differs" else "")
    inside = int(((np.array(samples) >= 0) & (np.array(samples) <= 1)).sum())
    assert found["within"] == (inside if finite.sum() > 1 else None)
    if verdict == "undecided":
        assert (found["value"], found["low"], found["high"], found["interval"]) == (None,) * 4
        assert found["reason"]
    else:
        assert found["value"] == np.array(samples)[finite].mean()


@pytest.mark.parametrize(
    ("samples", "verdict", "place"),
    [
        ([0.5, 0.5001], "holds", "firmly"),
        ([0.0, 1.0], "holds", "at the edge"),
        ([1.0, 1.0], "holds", "firmly"),
        ([0.0, 0.0], "holds", "firmly"),
        ([0.9, 1.2], "differs", "at the edge"),
        ([1.5, 1.5001], "differs", "clearly differs"),
        ([-1.5, -1.5001], "differs", "clearly differs"),
        ([0.5], "holds", None),
    ],
)
def test_the_interval_lies_in_the_range_across_its_edge_or_outside(samples, verdict, place):
    assert (row(samples)["verdict"], row(samples)["interval"]) == (verdict, place)


def test_an_interval_that_ends_where_the_range_begins_is_at_its_edge():
    samples = np.array([-2.0, -1.0])
    low, high = intervals.mean(samples)
    assert row(samples, low=high)["interval"] == row(samples, high=low)["interval"] == "at the edge"
    further = row(samples, low=np.nextafter(high, np.inf)), row(samples, high=np.nextafter(low, -np.inf))
    assert [one["interval"] for one in further] == ["clearly differs"] * 2


def test_ranges_open_on_one_side_and_their_words():
    for accepted, inside, outside, words in (
        ({"low": 2}, 2, 2 - 1e-9, "at least 2"),
        ({"high": 0.5}, 0.5, 0.5 + 1e-9, "at most 0.5"),
        ({"above": 0}, 1e-300, 0, "above 0"),
        ({"low": 8, "high": 8}, 8, 8 + 1e-9, "8"),
        ({"low": 87, "high": 117}, 117, 117.01, "87 to 117"),
    ):
        assert (row([inside], **accepted)["verdict"], row([outside], **accepted)["verdict"]) == ("holds", "differs")
        assert row([inside], **accepted)["expected"] == words


def test_ratios_and_counts_are_judged_by_their_own_statistics():
    above, below = np.array([2.0, 4.0, np.nan]), np.array([1.0, 2.0])
    found = row(Ratio(above, below, less=1.0))
    assert (found["value"], found["samples"], found["missing"]) == (1.0, 4, 1)
    assert (found["low"], found["high"]) == tuple(np.subtract(intervals.ratio(above[:2], below), 1))
    hits = np.array([[True, False], [True, True], [False, False]])
    found = row(xr.DataArray(hits))
    assert (found["value"], found["samples"]) == (1.0, 3)
    assert (found["low"], found["high"]) == tuple(2 * np.array(intervals.share(3, 6)))


def written(folder, text):
    folder.mkdir(exist_ok=True)
    (folder / "a.yaml").write_text(text, "utf-8")
    return folder


FAULTS = {  # what is changed, the line that is named, what is said
    "unknown measure": ("epochs_to_5_percent", "epochs_to_6_percent", 3, "unknown measure 'epochs_to_6_percent'"),
    "unknown label": ("g: 0.0}", "h: 0.0}", 3, "missing a required argument: 'g'"),
    "range upside down": ("low: 0", "low: 2", 3, "upside down: 2 to 1"),
    "duplicate id": ("C0 $task", "C0", 3, "the id 'C0' is also that of"),
    "no such figure": (
        "#fig-learning-curves",
        "#fig-learning-curve-s",
        3,
        "the site has no figure training.html#fig-l",
    ),
    "no such page": ("training.html", "trainings.html", 3, "the site has no figure trainings.html"),
    "unknown field": ("low: 0", "lo: 0", 3, "'lo' was unexpected"),
    "a field that is missing": ("    source: Fig. 0\n", "", 3, "'source' is a required property"),
    "a number that YAML reads as text": ("high: 1", "high: 1e-3", 3, "high: '1e-3' is not of type 'number'"),
    "a name that no list gives": ("$task: a claim", "$tusk: a claim", 3, "no `for` gives the name $tusk"),
    "a cause without what shows it": (
        "low: 0",
        "cause: {kind: some}\n    low: 0",
        3,
        "cause: 'shown' is a required property",
    ),
    "a cause of no kind": (
        "low: 0",
        "cause: {kind: luck, shown: it}\n    low: 0",
        3,
        "cause: kind: 'luck' is not one of ['figure',",
    ),
    "a name twice": ("    low: 0\n", "    low: 0\n    low: 1\n", 3, "a name stands here twice"),
    "no YAML": ("{task: [flip-flop, mante]}", "{task: [flip-flop, mante}", 10, "expected ',' or ']'"),
}


@pytest.mark.parametrize(("old", "new", "line", "says"), FAULTS.values(), ids=FAULTS)
def test_a_fault_in_a_file_of_claims_gets_one_sentence_with_file_and_line(old, new, line, says, tmp_path):
    assert [claim["id"] for claim in ledger.read(written(tmp_path, GOOD))] == ["C0 flip-flop", "C0 mante"]
    assert old in GOOD
    with pytest.raises(ledger.LedgerError, match=re.escape(says)) as fault:
        ledger.read(written(tmp_path, GOOD.replace(old, new, 1)))
    assert str(fault.value).startswith(f"{tmp_path}/a.yaml:{line}: ")
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("g: 0.0}", "g: 0.05}", "loss of training sweep has no g 0.05: there is 0.0, 0.3"),
        ("flip-flop, mante", "flip-flap", "loss of training sweep has no task 'flip-flap': there is flip-flop, mante"),
        (
            "{epochs_to_5_percent: {task: $task, g: 0.0}}",
            "{recorded: {experiment: training, variable: lose}}",
            "training has no variable 'lose'",
        ),
        (
            "{epochs_to_5_percent: {task: $task, g: 0.0}}",
            "{recorded: {experiment: training, variable: loss_test, tsk: $task}}",
            "loss_test of training has no tsk 'flip-flop': there is ",
        ),
        (
            "{epochs_to_5_percent: {task: $task, g: 0.0}}",
            "{recorded: {experiment: training, variable: loss_test, task: $task, g: 0.0, take: {g: least}}}",
            "take has no 'least': there is max, min, ",
        ),
        (
            "{epochs_to_5_percent: {task: $task, g: 0.0}}",
            "{recorded: {experiment: training, variable: loss, task: $task, g: 0.0, take: {epochs: max}}}",
            "take has no 'epochs': there is sample, epoch",
        ),
    ],
)
def test_a_label_that_the_results_do_not_have_gets_one_sentence_with_file_and_line(
    old, new, says, tmp_path, monkeypatch
):
    monkeypatch.setenv("INTERPLAY_RESULTS", str(ROOT / "results"))
    with pytest.raises(ledger.LedgerError, match=re.escape(f"{tmp_path}/a.yaml:3: {says}")):
        ledger.rows(folder=written(tmp_path, GOOD.replace(old, new, 1)))


def test_a_cause_is_shown_where_a_row_differs_and_only_there():
    cause = {"kind": "some", "shown": "by 3 of 5 networks"}
    assert [row([x], low=0.0, high=1.0, cause=cause)["cause"] for x in (0.5, 2.0)] == [None, cause]


@pytest.mark.parametrize(
    ("here", "code", "beside", "finds"),
    [
        ([70, 74, 78], [68, 72, 76], {"figure": 102}, True),
        ([70, 74, 78], [68, 72, 76], {}, True),  # without a number of the figure, its range
        ([70, 74, 78], [68, 72, 76], {"figure": 74}, False),  # the figure is within what both give
        ([70, 74, 78], [95, 99, 103], {"figure": 150}, False),  # the code does not agree with us
        ([90, 95, 100], [68, 92, 116], {"figure": 150}, False),  # the row holds
        ([70, 74, 78], [72], {"figure": 102}, False),  # of one run the scatter is not known
        ([70, 74, 78], [68, None, 72, 76], {"figure": 102}, True),
        ([40, 80, 120], [68, 72, 76], {"figure": 102}, False),  # both together scatter too much to tell
    ],
)
def test_a_row_that_agrees_with_the_code_and_not_with_the_figure_says_so(
    here, code, beside, finds, tmp_path, monkeypatch
):
    runs = [{"task": "romo", "g": g, "epochs": x} for x in code for g in (0.0, 0.9)]
    monkeypatch.setattr(ledger, "CODE", [*runs, {"task": "romo", "g": 0.0, "norm": 1.0}])
    monkeypatch.setitem(MEASURES, "epochs_to_5_percent", lambda task, g: np.array(here, float))
    references = json.dumps(beside | {"code": {"variable": "epochs", "task": "romo", "g": 0.0}})
    text = GOOD.replace("low: 0", f"references: {references}\n    low: 87").replace("high: 1", "high: 117")
    found = ledger.rows(folder=written(tmp_path, text))[0]
    known = [x for x in code if x]
    low, high = (None, None) if len(known) == 1 else intervals.mean(np.array(known, float))
    expected = {
        "value": np.mean(known),
        "low": low,
        "high": high,
        "samples": len(known),
        "missing": len(code) - len(known),
    }
    assert found["references"]["code"] == expected
    assert found["by_code"] == ("the figure is not what its published code gives" if finds else "")
    with pytest.raises(ledger.LedgerError, match="a.yaml:3: no run of the authors' code has epochs of romo at g = 1.2"):
        ledger.rows(folder=written(tmp_path, text.replace('"g": 0.0', '"g": 1.2')))


@pytest.mark.parametrize(("own", "ratio"), [([99, 101, 103], False), ([69, 75, 78], False), ([99, 101, 103], True)])
def test_a_row_of_another_rate_is_judged_there_and_the_published_rate_beside_it(own, ratio, tmp_path, monkeypatch):
    own, published = np.array(own, float), np.array([70.0, 74, 78])

    def epochs(task, g, experiment=None, factor=None):
        return {("slow", 0.65): own, ("book", None): published}[experiment, factor] / (1 if g == 0.0 else 10)

    monkeypatch.setitem(MEASURES, "epochs_to_5_percent", epochs)
    runs = [{"task": "romo", "g": g, "epochs": x / (1 if g == 0.0 else 20)} for x in (68, 72, 76) for g in (0.0, 0.9)]
    monkeypatch.setattr(ledger, "CODE", runs)
    code = {"variable": "epochs", "task": "romo", "g": 0.0} | ({"over": {"g": 0.9}} if ratio else {})
    references = {"figure": 102, "code": code, "published_rate": {"experiment": "book", "factor": None}}
    measure = {"epochs_to_5_percent": {"task": "romo", "g": 0.0}}
    rate = {"experiment": "slow", "factor": 0.65}
    if ratio:
        measure = {"ratio_of_means": {"measure": measure, "over": {"g": 0.9}} | rate}
    else:
        measure["epochs_to_5_percent"] |= rate
    claim = {"id": "C0", "source": "Fig. 0", "claim": "a claim", "figure": "training.html#fig-learning-curves"}
    claim |= {"low": 9 if ratio else 87, "high": 117, "references": references, "measure": measure}
    (row,) = ledger.rows(folder=written(tmp_path, json.dumps({"rows": [claim]})))
    there = row["references"]["published_rate"]
    assert (row["value"], there["value"]) == (pytest.approx((10, 10)) if ratio else (own.mean(), 74))
    assert row["verdict"] == ("holds" if ratio or own.mean() > 87 else "differs")
    assert there["verdict"] == ("holds" if ratio else "differs")
    assert (row["by_code"], there["by_code"]) == ("", "" if ratio else ledger.NOT_ITS_CODE)
    low, high = intervals.ratio(published, published / 10) if ratio else intervals.mean(published)
    assert (there["low"], there["high"], there["missing"]) == (low, high, 0)


def test_the_code_gives_counts_and_a_ratio_of_means():
    assert ledger.summary(ledger.authors_code("rank", "romo", 0.3, missing=True))[::2] == (pytest.approx(1 / 3), 3)
    ratio = ledger.authors_code("epochs", "flip-flop", 0.0, over={"g": 0.9})
    assert (len(ratio.above), len(ratio.below)) == (16, 16)
    assert ledger.summary(ratio)[0] == pytest.approx(1141 / 472, rel=1e-12)  # sums of the runs' epochs


def test_a_group_hands_its_fields_and_names_down_and_items_win(tmp_path):
    text = """
source: Fig. 1
for: {stage: [{stage: one, note: of one}, {stage: two, note: of two}]}
rows:
  - id: $stage $k
    claim: $stage of $k
    figure: training.html#fig-learning-curves
    measure: {epochs_to_5_percent: {task: romo, g: $k}}
    for: {k: [{k: 0.5, high: 3, note: own}, {k: 2, low: 1}]}
"""
    read = ledger.read(written(tmp_path, text))
    assert [claim["id"] for claim in read] == ["one 0.5", "one 2", "two 0.5", "two 2"]
    assert [claim["note"] for claim in read] == ["own", "of one", "own", "of two"]
    assert [claim["measure"]["epochs_to_5_percent"]["g"] for claim in read] == [0.5, 2, 0.5, 2]  # numbers stay numbers
    assert [ledger.accepted(claim) for claim in read[:2]] == [(-np.inf, 3), (1, np.inf)]
    assert {claim["source"] for claim in read} == {"Fig. 1"}


DRAW = np.random.RandomState(7)
X = DRAW.uniform(0.2, 2, (3, 2, 6))  # sample, kind, rank
X[0, 0, 5] = np.nan
FULL = np.array([0.5, 0.9, 1.3])
KEPT = {
    "x": xr.DataArray(X, {"sample": range(3), "kind": ["a", "b"], "rank": [0, 1, 2, 4, 6, 9]}),
    "full": xr.DataArray(FULL, {"sample": range(3)}),
}
A, B = X[:, 0], X[:, 1]
RANKS = np.array([0, 1, 2, 4, 6, 9])


def reached(good, first=False):
    """Naively: the first of RANKS that is good, or from which on all are."""
    fine = [[r for k, r in enumerate(RANKS) if (one[k] if first else all(one[k:]))] for one in good]
    return [min(each) if each else np.nan for each in fine]


STEPS = {
    "a number over": ({"kind": "b", "over": 2.0}, B / 2),
    "numbers less": ({"kind": "b", "sample": 1, "less": [1, 2, 3, 4, 5, 6]}, B[1] - [1, 2, 3, 4, 5, 6]),
    "another label": ({"kind": "b", "over": {"rank": 0}}, B / B[:, :1]),
    "another kind, before": ({"kind": "b", "rank": 4, "less": {"kind": "a"}, "power": 2}, (B - A)[:, 3] ** 2),
    "another kind, after": ({"kind": "b", "rank": 4, "power": 2, "less": {"kind": "a"}}, B[:, 3] ** 2 - A[:, 3] ** 2),
    "steps of the other": ({"kind": "b", "take": {"rank": "max"}, "over": {"kind": "a"}}, B.max(1) / np.nanmax(A, 1)),
    "another variable": (
        {"kind": "b", "at_most": {"variable": "full", "kind": None, "plus": 0.3}, "take": {"rank": "from"}},
        reached(FULL[:, None] + 0.3 >= B),
    ),
    "first": ({"kind": "b", "below": 0.8, "take": {"rank": "first"}}, reached(B < 0.8, first=True)),
    "from": ({"kind": "b", "at_least": 0.3, "take": {"rank": "from"}}, reached(B >= 0.3)),
    "above": ({"kind": "b", "above": 1.0, "take": {"rank": "sum"}}, (B > 1).sum(1)),
    "a share": (
        {"kind": "b", "power": 2, "over": {"take": {"rank": "sum"}}, "cumulate": "rank", "at_least": 0.7,
         "take": {"rank": "first"}},
        reached(np.cumsum(B**2, 1) / (B**2).sum(1, keepdims=True) >= 0.7, first=True),
    ),
    "between ranks": ({"kind": "b", "interpolate": {"rank": 3}}, (B[:, 2] + B[:, 3]) / 2),
    "a step left out": (
        {"kind": "b", "interpolate": {"rank": 1}, "over": {"variable": "full", "kind": None, "interpolate": None}},
        B[:, 1] / FULL,
    ),
    "two dimensions": ({"take": {"kind": "min", "rank": "median"}}, np.median(np.fmin(A, B), 1)),
    "norm": ({"kind": "b", "take": {"rank": "norm"}}, np.sqrt((B**2).sum(1))),
    "mean": ({"kind": "a", "take": {"rank": "mean"}}, A.mean(1)),  # none if one is missing
    "largest": ({"kind": "b", "less": 2.0, "take": {"rank": "largest"}}, np.max(abs(B - 2), 1)),
    "geometric mean": ({"kind": "b", "take": {"rank": "geometric mean"}}, B.prod(1) ** (1 / 6)),
    "participation": ({"kind": "b", "take": {"rank": "participation"}}, B.sum(1) ** 2 / (B**2).sum(1)),
    "worst": ({"kind": "a", "take": {"rank": "worst"}}, [np.inf, *A[1:].max(1)]),
    "last": ({"kind": "a", "take": {"rank": "last"}}, [A[0, 4], *A[1:, 5]]),
    "none": ({"kind": "a", "missing": True}, np.isnan(A)),
    "label of the least": ({"kind": "b", "take": {"rank": "idxmin"}}, RANKS[B.argmin(1)]),
}  # fmt: skip


@pytest.mark.parametrize(("asked", "expected"), STEPS.values(), ids=STEPS)
def test_recorded_does_what_is_asked_in_the_order_written(asked, expected, monkeypatch):
    def kept(experiment, variable, **labels):
        assert experiment == "some"
        return KEPT[variable].sel({name: label for name, label in labels.items() if label is not None})

    monkeypatch.setattr(measures, "kept", kept)
    np.testing.assert_allclose(measures.recorded("some", "x", **asked), expected, rtol=1e-12)


def test_an_exponent_is_that_of_the_power_and_none_where_a_value_is_missing(monkeypatch):
    g, planted = np.array([0.0, 0.3, 0.6, 0.9]), np.array([2.0, -1.0, 0.4])
    values = 7 * (1 - g**2) ** planted[:, None]
    values[2, 1] = np.nan
    kept = xr.DataArray(values, {"sample": range(3), "g": g}, ("sample", "g"))
    monkeypatch.setattr(measures, "kept", lambda *_, **__: kept)
    found = measures.recorded("some", "x", take={"g": "exponent"})
    np.testing.assert_allclose(found, [2.0, -1.0, np.nan], rtol=1e-9)


QUICK = [check for check in CHECKS if check not in ("collapse", "reduction")]  # the others take seconds


@pytest.mark.parametrize("check", QUICK)
def test_a_kept_check_is_what_the_code_gives_today(check, monkeypatch):
    monkeypatch.setenv("INTERPLAY_RESULTS", str(ROOT / "results"))
    unit = next(unit for unit in experiments.experiment("checks").units("paper") if unit["check"] == check)
    before = archive.look(experiments.path("checks", unit, "paper"), unit)
    found = experiments.compute("checks", unit, "cpu")
    if check == "of_directions":  # what a search finds depends on the machine
        before, found = before.drop_vars("row_over_search"), found.drop_vars("row_over_search")
    xr.testing.assert_allclose(found, before, rtol=1e-4, atol=1e-9)


def test_slow_checks_run_at_smoke_scale():
    for unit in experiments.experiment("checks").units("smoke"):
        if unit["check"] not in QUICK:
            found = experiments.compute("checks", unit, "cpu")
            assert all(np.isfinite(var).all() for var in found.values()), unit["check"]


@pytest.fixture
def some(tmp_path):
    """A folder with the results of Figure 1, at all rates, alone."""
    for name in ("training", "recurrent", "rates"):
        shutil.copytree(ROOT / "results/paper" / name, tmp_path / "results/paper" / name)
    return tmp_path / "results"


def test_missing_and_damaged_results_decide_nothing_are_named_and_end_with_4(some, monkeypatch, capsys):
    monkeypatch.setenv("INTERPLAY_RESULTS", str(some))
    damaged = some / "paper/training/flip-flop_N256_WMv_s2_g0.0-0.9.nc"  # of the published rate, beside those rows
    damaged.write_bytes(damaged.read_bytes()[:-3000])
    assert cli.main(["claims", "C8", "--json"]) == 4
    out, err = capsys.readouterr()
    verdicts = {row["id"]: row["verdict"] for row in json.loads(out)}
    assert verdicts == {
        "C8 flip-flop g=0.0": "undecided",
        "C8 flip-flop g=0.9": "undecided",
        "C8 flip-flop g=0.0 W alone": "holds",
        "C8 flip-flop g=0.9 W alone": "differs",
        "C8 ratio": "undecided",
    }
    assert err.count("\n") == 1
    assert f"3 undecided, as {damaged} is damaged" in err
    assert "C8 flip-flop g=0.9, C8 ratio" in err
    assert damaged.exists()  # it is not set aside: this only reads
    assert cli.main(["claims", "C9"]) == 4  # another task's files are whole, but the sweep is missing
    out, err = capsys.readouterr()
    assert [line[25:35].strip() for line in out.splitlines()] == ["undecided", "holds", "undecided", "undecided"]
    assert "3 undecided, as results of rates-sweep are missing" in err
    assert "`python -m interplay run rates-sweep`" in err


def test_results_of_other_settings_or_that_may_not_be_read_decide_nothing(some, monkeypatch):
    monkeypatch.setenv("INTERPLAY_RESULTS", str(some))
    file = some / "paper/training/mante_N256_WMv_s0_g0.0-0.9.nc"
    data = archive.read(file)
    assert ledger.rows("C1 mante")[0]["verdict"] != "undecided"  # what is remembered of it is asked again
    archive.write(file, data.assign_attrs(settings=json.dumps(json.loads(data.attrs["settings"]) | {"lr": 1.0})))
    (found,) = ledger.rows("C1 mante")
    assert found["verdict"] == "undecided"
    assert f"{file} was made with" in found["reason"]
    file.unlink()
    file.mkdir()
    assert "cannot be read" in ledger.rows("C1 mante")[0]["reason"]


def test_without_results_every_row_is_undecided_and_nothing_is_written(monkeypatch, tmp_path):
    monkeypatch.setenv("INTERPLAY_RESULTS", str(tmp_path))
    rows = ledger.rows()
    for one in rows:
        assert one["verdict"] == "undecided" and "missing" in one["reason"], one["id"]
        assert one["samples"] == one["missing"] == 0
    assert len({one["reason"] for one in rows}) < 25  # a sentence each experiment
    assert not list(tmp_path.iterdir())


def test_a_mistake_in_a_measure_is_not_hidden(monkeypatch):
    def mistaken(**labels):
        raise KeyError("typing error")

    monkeypatch.setitem(MEASURES, "row_bounds_slack", mistaken)
    with pytest.raises(KeyError, match="typing error"):
        ledger.rows("O6")
    with pytest.raises(ValueError, match="no claim begins with 'X1'"):
        ledger.rows("X1")


def test_ledger_of_the_kept_results(monkeypatch):
    monkeypatch.setenv("INTERPLAY_RESULTS", str(ROOT / "results"))
    rows = ledger.rows()
    text = json.dumps(rows, allow_nan=False)
    assert json.loads(text) == rows
    assert all(list(row) == KEYS for row in rows)
    for row in rows:
        assert all(row[key] for key in ("id", "source", "claim", "expected", "figure", "fixed")), row["id"]
        assert row["verdict"] in ("holds", "differs"), row["id"]
        assert bool(row["note"] or row["cause"] or row["by_code"]) <= (row["verdict"] == "differs")
        kind = (row["cause"] or {"kind": None})["kind"]
        assert (kind == "figure") >= bool(row["by_code"]), row["id"]
        assert ("code" in row["references"] and kind == "figure") <= bool(row["by_code"]), row["id"]
        assert (row["low"] is None) == (row["high"] is None) == (row["interval"] is None)
        if row["low"] is not None:
            assert row["low"] <= row["value"] <= row["high"], row["id"]
            assert row["interval"] != {"holds": "clearly differs", "differs": "firmly"}[row["verdict"]], row["id"]
    assert sum(row["cause"]["kind"] == "unknown" for row in rows if row["cause"]) <= 3
    on_the_worst = {"C6", "C19 dW"}  # of all networks, so one value
    for name in (f"C{i}" for i in (*range(1, 20), *range(33, 37))):
        of = [row for row in rows if row["id"].split()[0] == name]
        assert of, name
        for row in of:
            assert row["samples"] >= (1 if row["id"] in on_the_worst else 3), row["id"]
    of_figure_1 = [row for row in rows if re.fullmatch(r"C(1 .*|2|3|4 .*|5 g.*|7 .*|16|17)", row["id"])]
    assert all(row["samples"] + row["missing"] in (5, 10) for row in of_figure_1)


def test_modes_of_one_epoch_and_modes_never_learned_are_not_in_order(monkeypatch):
    in_order = [24, 31, 40, 40, 54, 54, 54, 55]
    half = [in_order, [31, *in_order[1:]], [np.nan, *in_order[1:]], in_order[::-1]]
    monkeypatch.setattr(measures, "kept", lambda *_, **__: xr.DataArray(half, dims=("seed", "mode")))
    assert measures.modes_out_of_order(2) == pytest.approx([0, 1 / 21, 7 / 21, 1])


def test_every_row_links_to_a_figure_that_a_chapter_has():
    claims = ledger.read()
    assert len(claims) == len({claim["id"] for claim in claims}) > 300
    for claim in claims:
        page, label = re.fullmatch(r"([\w-]+)\.html#([\w-]+)", claim["figure"]).groups()
        source = ROOT / "book" / f"{page}.md"
        assert source.exists(), claim["id"]
        assert f"name: {label}\n" in source.read_text("utf-8"), claim["id"]


def test_every_row_that_a_chapter_quotes_is_there():
    ids = [claim["id"] for claim in ledger.read()]
    quoted = {}
    for page in (ROOT / "book").glob("*.md"):
        for name in re.findall(r"\{claim\}`(?:[^`<]*<)?([^`>]+)>?`", page.read_text("utf-8")):
            quoted[name] = page.name
    assert len(quoted) > 20
    for name, page in quoted.items():
        assert any(f"{one} ".startswith(f"{name} ") for one in ids), f"{page} quotes {name}"


def test_kept_gives_what_load_gives(monkeypatch):
    monkeypatch.setenv("INTERPLAY_RESULTS", str(ROOT / "results"))
    whole = experiments.load("linear-failure", "paper", present=True)
    for target in (2.0, 4.0):
        found = experiments.kept("linear-failure", "loss", target=target, g=[0.6, 0.8])
        xr.testing.assert_allclose(
            found.transpose("g", "sample", "epoch"), whole.loss.sel(target=target).transpose("g", "sample", "epoch")
        )
    found = experiments.kept("linear-failure", "loss", target=4.0, g=0.8, epoch={"from": 3, "to": 5})
    assert found.epoch.values.tolist() == [3, 4, 5]


def test_every_measure_says_what_it_is_and_is_used():
    used = json.dumps([claim["measure"] for claim in ledger.read()])
    for name, measure in MEASURES.items():
        assert measure.__doc__, name
        assert f'"{name}"' in used, name


def test_one_page_computes_the_ledger_and_no_other():
    calls = {page.stem: page.read_text("utf-8").count("ledger.rows(") for page in (ROOT / "book").glob("*.md")}
    assert {page: number for page, number in calls.items() if number} == {"claims": 1}
