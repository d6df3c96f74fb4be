"""What chapters share to show: tables, and moving pictures, each drawn from the rows that it was given."""

import re
from itertools import product
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest
import vl_convert

from interplay import figures, tasks

SVG = "{http://www.w3.org/2000/svg}"


def test_a_table_shows_every_entry_as_it_is():
    shown = figures.table(["g", "$z$"], [[0.5, "$\\hat z^2$"], ["–", 3]]).data
    assert shown.splitlines() == ["| g | $z$ |", "| --- | --- |", "| 0.5 | $\\hat z^2$ |", "| – | 3 |"]


def test_a_row_that_does_not_fit_its_table_is_named():
    with pytest.raises(ValueError, match="a row has 1 entries, the head 2: they must be equal"):
        figures.table(["g", "z"], [[1, 2], [3]])


def rows():
    """A row a coupling and target, its eigenvalues drawn at random: two conjugate pairs, one real."""
    rng = np.random.default_rng(0)
    for g, target in product([0.0, 0.1, 0.2, 0.3], [0.5, 1.0, 2.0]):
        pairs = np.abs(rng.uniform(0.1, 0.9, (2, 2))).round(3).tolist()
        yield {"g": g, "target": target, "cloud": [*pairs, [-g, 0]], "said": f"norm {rng.uniform():.4f}"}


def vega(chart, **chosen):
    """The chart as a browser has it: compiled to Vega, patched as it asks for, controls set to what was chosen."""
    spec = chart.to_dict()
    compiled = vl_convert.vegalite_to_vega(spec)
    for change in spec["usermeta"]["embedOptions"]["patch"]:
        *way, last = change["path"].strip("/").split("/")
        at = compiled
        for step in way:
            at = at[step]
        if change["op"] == "replace":
            assert last in at, change
            at[last] = change["value"]
        else:
            at.insert(len(at) if last == "-" else int(last), change["value"])
    for signal in compiled["signals"]:
        if signal["name"] in chosen:
            signal["value"] = chosen[signal["name"]]
    names = [signal["name"] for signal in compiled["signals"]]
    assert len(set(names)) == len(names) and set(chosen) <= set(names)
    return compiled


def drawn(chart, **chosen):
    """The picture, with every point of the plane that has a circle: (real, imaginary), sorted."""
    picture = ElementTree.fromstring(vl_convert.vega_to_svg(vega(chart, **chosen)))
    marks = [mark for mark in picture.iter(f"{SVG}path") if mark.get("fill") == "#009E73"]
    at = [re.match(r"translate\(([-\d.e]+),([-\d.e]+)\)", mark.get("transform")).groups() for mark in marks]
    x, y = np.array(at, float).T
    return picture, sorted(zip((x / 80 - 1).round(3), (1 - y / 80).round(3)))


def test_every_frame_shows_its_own_numbers_and_says_them():
    given = list(rows())
    frame = figures.frames(given, {"g": "coupling", "target": "target"})
    chart = figures.moving(frame, [figures.eigenvalues(frame, 1.0, "#009E73")], ["'at'", "datum.said"], "eigenvalues")
    for row in given:
        picture, points = drawn(chart, g=row["g"], target=row["target"])
        whole = [(x, y) for re, im in row["cloud"] for x, y in ((re, im), (re, -im))]
        np.testing.assert_allclose(points, sorted(whole), atol=2e-3)
        (said,) = [part for part in picture.iter(f"{SVG}text") if part.get("role") == "status"]
        assert said.get("aria-label") == f"at {row['said']}"  # a live region: read out when it changes
        assert [line.text for line in said] == ["at", row["said"]]
        (disk,) = [mark for mark in picture.iter(f"{SVG}path") if mark.get("opacity") == "0.12"]
        extent = np.array(re.findall(r"[-\d.]+", disk.get("d")), float).reshape(-1, 2)
        np.testing.assert_allclose(np.hypot(*(extent / 80 - 1).T), row["g"], atol=2e-3)


def test_even_numbers_get_a_slider_and_others_a_list_each_with_its_name():
    frame = figures.frames(list(rows()), {"g": "coupling", "target": "target"})
    chart = figures.moving(frame, [frame.mark_point()], ["datum.said"], "points")
    g, target = (signal["bind"] for signal in vega(chart)["signals"] if "bind" in signal)
    assert g == {"input": "range", "min": 0, "max": 0.3, "step": 0.1, "name": "coupling "}
    assert target == {"input": "select", "options": [0.5, 1, 2], "name": "target "}
    named = figures.frames([{"task": "mante"}, {"task": "romo"}], {"task": "task"}).mark_point().to_dict()
    assert named["params"][0]["bind"]["options"] == ["mante", "romo"]


def test_a_frame_that_is_missing_or_there_twice_is_named():
    given, controls = list(rows()), {"g": "coupling", "target": "target"}
    with pytest.raises(ValueError, match=r"\{'g': 0.1, 'target': 2.0\} has 0 frames: it must have one"):
        figures.frames(given[:5] + given[6:], controls)
    with pytest.raises(ValueError, match=r"\{'g': 0.0, 'target': 0.5\} has 2 frames: it must have one"):
        figures.frames([*given, given[0]], controls)


def test_pictures_take_the_ink_of_the_page_and_as_many_columns_as_fit():
    signal = {"name": "moment", "value": 1, "on": [{"events": {"type": "timer", "throttle": 400}, "update": "0"}]}
    frame = figures.frames([{"n": 1, "cloud": [[0, 1]], "g": 1.0}], {"n": "number"})
    panels = [figures.eigenvalues(frame, 2.0, "#0072B2")] * 2
    compiled = vega(figures.moving(frame, panels, ["'one'"], "said in words", signal))
    assert "containerSize" in compiled["layout"]["columns"]["signal"]
    assert compiled["signals"][-1] == signal and compiled["description"] == "said in words"
    inks = set(re.findall(r'(?:fill|stroke|color)="([^"]+)"', vl_convert.vega_to_svg(compiled)))
    assert inks <= {"currentColor", "#0072B2", "none", "transparent"}, inks


def test_a_line_is_the_mean_of_samples_and_its_band_their_range():
    figure, ax = plt.subplots()
    figures.band(ax, np.arange(3), np.array([[1, 2, np.nan], [3, 6, 4], [2, 4, 5]]))
    assert ax.lines[0].get_ydata().tolist() == [2, 4, 4.5]
    corners = ax.collections[0].get_paths()[0].vertices
    ends = [sorted({y for x, y in corners if x == at}) for at in range(3)]
    assert ends == [[1, 3], [2, 6], [4, 5]]
    plt.close(figure)


@pytest.mark.parametrize("name", ["flip-flop", "mante", "romo"])
def test_a_trial_is_drawn_at_the_steps_at_which_it_is(name):
    task = tasks.get(name)()
    trials = task.test_trial()
    inputs, targets, mask = (part[:, 0, 0].numpy() for part in trials)
    figure, axes = plt.subplots(2)
    figures.trial(axes, trials, trials.targets + 0.25, task=task)
    steps = [[patch.get_data() for patch in ax.patches] for ax in axes]
    edges, baselines = task.dt * np.arange(len(mask) + 1), [[-base for base in ax.get_yticks()] for ax in axes]
    for channel, (values, at, _) in enumerate(steps[0]):
        np.testing.assert_allclose(values + baselines[0][channel], inputs[:, channel], atol=1e-6)
        np.testing.assert_allclose(at, edges)
    *scored, shade = steps[1]
    for channel, (values, at, _) in enumerate(scored):
        wanted = np.where(mask[:, channel] > 0, targets[:, channel], np.nan)
        np.testing.assert_allclose(values + baselines[1][channel], wanted, atol=1e-6)
        np.testing.assert_allclose(at, edges)
    assert shade[0].tolist() == (mask[:, 0] == 0).tolist() and np.allclose(shade[1], edges)
    curves = [line for line in axes[1].lines if len(line.get_xdata()) == len(mask)]
    for channel, line in enumerate(curves):  # an output is that after a step
        np.testing.assert_allclose(line.get_xdata(), edges[1:])
        np.testing.assert_allclose(line.get_ydata() + baselines[1][channel], targets[:, channel] + 0.25, atol=1e-6)
    assert len(curves) == targets.shape[1]
    plt.close(figure)
