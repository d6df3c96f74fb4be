"""Style, and what several chapters share: plots, which return their axes, and tables."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from . import bootstrap

if TYPE_CHECKING:
    from IPython.display import Markdown

# Okabe-Ito, safe for colour-blind readers; a task keeps its colour through the book.
TASK = {"flip-flop": "#0072B2", "mante": "#D55E00", "romo": "#009E73"}
TARGET = {0.5: "#0072B2", 1.0: "#CC79A7", 2.0: "#D55E00", 4.0: "#882255"}  # z-hat of the linear network
CHANNEL = ("#56B4E9", "#E69F00", "#CC79A7", "#882255")  # inputs of a trial
BAR = {"color": "black", "linewidth": 1, "capsize": 0, "clip_on": False}
REFERENCE = {"color": "0.55", "linestyle": "--", "linewidth": 1}  # what a paper reports, said so in the caption


def style() -> None:
    """Set the book's look; called once at the top of a chapter."""
    plt.rcdefaults()
    mpl.rcParams.update(
        {
            "figure.figsize": (7.2, 3.2),
            "figure.dpi": 110,
            "figure.constrained_layout.use": True,
            "font.size": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 10,
            "legend.frameon": False,
            "lines.linewidth": 1.6,
            "svg.fonttype": "path",
            "svg.hashsalt": "interplay",
        }
    )


def of_g(g: float) -> tuple[float, float, float, float]:
    """Colour of an initial coupling g in 0 ... 3: perceptually even, dark is small."""
    return mpl.colormaps["viridis"](0.05 + 0.85 * min(g, 3.0) / 3.0)


def band(ax: plt.Axes, x: np.ndarray, samples: np.ndarray, **line) -> plt.Axes:
    """Mean over the first axis of `samples` (sample, x), with the range over samples as a band."""
    (drawn,) = ax.plot(x, np.nanmean(samples, axis=0), **line)
    ax.fill_between(x, np.nanmin(samples, 0), np.nanmax(samples, 0), color=drawn.get_color(), alpha=0.2, linewidth=0)
    return ax


def curve(ax: plt.Axes, x: np.ndarray, samples: np.ndarray, **line) -> plt.Axes:
    """Mean of `samples` (sample, x) with its 95 % bootstrap interval as a band; NaN samples are left out."""
    mean, low, high, number = bootstrap.curve(samples)
    (drawn,) = ax.plot(x[number > 0], mean[number > 0], **line)
    ax.fill_between(x, low, high, color=drawn.get_color(), alpha=0.2, linewidth=0)
    return ax


def trial(
    axes: Sequence[plt.Axes], trials, output=None, *, task, network: int = 0, which: int = 0
) -> Sequence[plt.Axes]:
    """One trial as in Figure 1a-c of Schuessler et al. (2020): inputs on the first axis, targets on the second.

    trials: inputs, targets, mask, each (time, network, trial, channel), such as `task.test_trial()`
    output: of a network, of the shape of the targets, drawn in grey; task: gives the step and the names of channels
    Targets are black where they are scored; the time that is not scored is shaded.  A row a channel, baseline dotted.
    """
    inputs, targets, mask = (np.asarray(part[:, network, which]) for part in trials)
    t = task.dt * np.arange(len(mask) + 1)
    scored = np.where(mask > 0, targets, np.nan)
    z = None if output is None else np.asarray(output[:, network, which])
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
    across = {"transform": axes[1].get_xaxis_transform(), "zorder": 0}
    axes[1].stairs(mask[:, 0] == 0, t, fill=True, color="0.92", **across)
    axes[1].set_xlabel("time (units of the neuronal time constant)")
    return axes


def table(head: Sequence[object], rows: Sequence[Sequence[object]]) -> "Markdown":
    """Markdown table for the end of a cell; entries are put in as they are, so that they may hold mathematics.

    Raises ValueError if a row does not have as many entries as the head.
    """
    if wrong := [row for row in rows if len(row) != len(head)]:
        raise ValueError(f"a row has {len(wrong[0])} entries, the head {len(head)}: they must be equal")
    from IPython.display import Markdown  # only pages need it

    lines = [head, ["---"] * len(head), *rows]
    return Markdown("\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines))
