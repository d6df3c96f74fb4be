"""Style, and the few plots that several chapters share.  Shared plots return their axes."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

# Okabe-Ito, safe for colour-blind readers; a task keeps its colour through the book.
TASK = {"flip-flop": "#0072B2", "mante": "#D55E00", "romo": "#009E73"}
TARGET = {0.5: "#0072B2", 1.0: "#CC79A7", 2.0: "#D55E00", 4.0: "#882255"}  # z-hat of the linear network
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
