"""Style, and what several chapters share: plots, which return their axes, tables, moving pictures."""

import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from . import intervals

if TYPE_CHECKING:
    import altair as alt
    from IPython.display import Markdown

# Okabe-Ito, safe for colour-blind readers; a task keeps its colour through the book.
TASK = {"flip-flop": "#0072B2", "mante": "#D55E00", "romo": "#009E73"}
TARGET = {0.5: "#0072B2", 1.0: "#CC79A7", 2.0: "#D55E00", 4.0: "#882255"}  # z-hat of the linear network
CHANNEL = ("#56B4E9", "#E69F00", "#CC79A7", "#882255")  # inputs of a trial
BAR = {"color": "black", "linewidth": 1, "capsize": 0, "clip_on": False}
REFERENCE = {"color": "0.55", "linestyle": "--", "linewidth": 1}  # what a paper reports, said so in the caption


def style() -> None:
    """Set the book's look; called once at the top of a chapter."""
    plt.style.use(["default", "interplay.book"])  # book.mplstyle


def of_g(g: float) -> tuple[float, float, float, float]:
    """Colour of an initial coupling g in 0 ... 3: perceptually even, dark is small."""
    return mpl.colormaps["viridis"](0.05 + 0.85 * min(g, 3.0) / 3.0)


def band(ax: plt.Axes, x: np.ndarray, samples: np.ndarray, **line) -> plt.Axes:
    """Mean over the first axis of `samples` (sample, x), with the range over samples as a band."""
    (drawn,) = ax.plot(x, np.nanmean(samples, axis=0), **line)
    ax.fill_between(x, np.nanmin(samples, 0), np.nanmax(samples, 0), color=drawn.get_color(), alpha=0.2, linewidth=0)
    return ax


def curve(ax: plt.Axes, x: np.ndarray, samples: np.ndarray, **line) -> plt.Axes:
    """Mean of `samples` (sample, x) with its 95 % t-interval as a band; NaN samples are left out."""
    mean, low, high, number = intervals.curve(samples)
    (drawn,) = ax.plot(x[number > 0], mean[number > 0], **line)
    ax.fill_between(x, low, high, color=drawn.get_color(), alpha=0.2, linewidth=0)
    return ax


def trial(axes: Sequence[plt.Axes], trials, output=None, *, task) -> Sequence[plt.Axes]:
    """The first trial as in Figure 1a-c of Schuessler et al. (2020): inputs on the first axis, targets on the second.

    trials: inputs, targets, mask, each (time, network, trial, channel), such as `task.test_trial()`
    output: of a network, of the shape of the targets, drawn in grey; task: gives the step and the names of channels
    Targets are black where they are scored; the time that is not scored is shaded.  A row a channel, baseline dotted.
    """
    inputs, targets, mask = (np.asarray(part[:, 0, 0]) for part in trials)
    t = task.dt * np.arange(len(mask) + 1)
    scored = np.where(mask > 0, targets, np.nan)
    z = None if output is None else np.asarray(output[:, 0, 0])
    for ax, names, rows in zip(axes, (task.inputs, task.outputs), (inputs, targets if z is None else z), strict=True):
        span = max(1.3 * (rows.max() - rows.min()), 0.8)
        base = -span * np.arange(len(names))
        for channel, zero in enumerate(base):
            ax.axhline(zero, color="0.6", linewidth=0.6, linestyle=":")
            if rows is inputs:
                ax.stairs(zero + inputs[:, channel], t, baseline=None, color=CHANNEL[channel], linewidth=1.4)
                continue
            if z is not None:
                ax.plot(t[1:], zero + z[:, channel], color="0.65", linewidth=3)
            ax.stairs(zero + scored[:, channel], t, baseline=None, color="black", linewidth=1.4, zorder=3)
        ax.set_yticks(base, names)
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        bottom = base[-1] + min(rows.min(), 0) - 0.2 * span
        ax.set(xlim=(t[0], t[-1]), ylim=(bottom, max(rows.max(), 0) + 0.2 * span))
        size = 1.0 if rows is inputs else 0.5  # a bar says how high a pulse or a target is
        ax.errorbar([1.02], [bottom + size / 2], yerr=size / 2, transform=ax.get_yaxis_transform(), **BAR)
        ax.text(1.03, bottom + size / 2, f"{size:g}", transform=ax.get_yaxis_transform(), va="center")
    axes[1].stairs(mask[:, 0] == 0, t, fill=True, color="0.92", transform=axes[1].get_xaxis_transform(), zorder=0)
    axes[1].set_xlabel("time (units of the neuronal time constant)")
    return axes


def table(head: Sequence[object], rows: Sequence[Sequence[object]]) -> "Markdown":
    """Markdown table for the end of a cell; entries are put in as they are, so that they may hold mathematics.

    Raises ValueError if a row does not have as many entries as the head.
    """
    if wrong := [row for row in rows if len(row) != len(head)]:
        raise ValueError(f"a row has {len(wrong[0])} entries, the head {len(head)}: they must be equal")
    from IPython.display import Markdown  # only pages need it

    return Markdown("\n".join(f"| {' | '.join(map(str, line))} |" for line in [head, ["---"] * len(head), *rows]))


def frames(rows: Sequence[dict], controls: dict[str, str]) -> "alt.Chart":
    """Altair chart of the row that a reader chose: by a slider where a control's values rise evenly, else from a list.

    rows: one a frame, of plain numbers, words and lists; controls: key of the rows -> what stands beside its control
    Raises ValueError unless every combination of the controls' values has one frame.
    """
    import altair as alt  # here and below: it takes 0.5 s, and three pages need it

    found = [tuple(row[key] for key in controls) for row in rows]
    values = [list(dict.fromkeys(column)) for column in zip(*found)]
    for frame in product(*values):
        if (number := found.count(frame)) != 1:
            raise ValueError(f"{dict(zip(controls, frame))} has {number} frames: it must have one")
    chart = alt.Chart(alt.InlineData(values=list(rows)))
    for (key, label), options in zip(controls.items(), values):
        start, bind = options[0], {"input": "select", "options": options}
        if not isinstance(start, str) and start < options[-1] and np.ptp(np.diff(options)) < 1e-9:
            bind = {"input": "range", "min": start, "max": options[-1], "step": round(options[1] - start, 9)}
            start = options[len(options) // 2]
        chart = chart.add_params(alt.param(key, value=start, bind=bind | {"name": f"{label} "}))
        chart = chart.transform_filter(f"datum.{key} === {key}")
    return chart


def eigenvalues(chart: "alt.Chart", reach: float, color: str) -> "alt.LayerChart":
    """Panel of a frame's `cloud`, (real, imaginary >= 0) with conjugates implied, disk of radius `g`, line at 1."""
    from altair import Scale, X, XDatum, Y

    scale = Scale(domain=[-reach, reach])
    x, y = X("cloud[0]:Q", title="real part", scale=scale), Y("cloud[1]:Q", title="imaginary part", scale=scale)
    disk = chart.transform_calculate(angle="sequence(0, 6.3, 0.1)").transform_flatten(["angle"])
    disk = disk.transform_calculate(cloud="[datum.g * cos(datum.angle), datum.g * sin(datum.angle)]")
    disk = disk.mark_line(filled=True, color="currentColor", opacity=0.12, strokeWidth=0).encode(x, y, order="angle:Q")
    both = chart.transform_flatten(["cloud"]).transform_calculate(side="[1, -1]").transform_flatten(["side"])
    both = both.transform_calculate(cloud="[datum.cloud[0], datum.side * datum.cloud[1]]")
    edge = chart.mark_rule().encode(XDatum(1, scale=scale))
    return disk + edge + both.mark_circle(size=12, opacity=1, color=color, clip=True).encode(x, y)


def moving(frame, panels: Sequence, said: Sequence[str], description: str, *signals: dict) -> "alt.ConcatChart":
    """Panels of a frame and a text that says its numbers, in as many columns as there is room for, in the page's ink.

    said: an expression of Vega a line, read out when it changes; description: read out in place of the picture
    signals: of Vega, for what Vega-Lite cannot say, such as a timer
    """
    import altair as alt

    lines, whole = (alt.expr(form.format(", ".join(said))) for form in ("[{}]", "join([{}], ' ')"))
    text = frame.mark_text(x=0, y=0, ariaRole="status", text=lines, description=whole).properties(height=20 * len(said))
    look = json.loads(Path(__file__).with_name("moving.json").read_text("utf-8"))
    look["usermeta"]["embedOptions"]["patch"] += [{"op": "add", "path": "/signals/-", "value": x} for x in signals]
    return alt.concat(*panels, text, columns=len(panels) + 1, description=description, **look)
