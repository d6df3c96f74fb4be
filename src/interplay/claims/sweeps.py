"""Claims of Schuessler et al. (2020) on the sweeps over g and network size: Figure 2 and its supplement, C4 to C18."""

from functools import cache

import numpy as np
import torch
import xarray as xr

from .. import archive, experiments, rnn
from ..seeds import seed
from . import Claim
from .nonlinear import epochs, norm, ranks, ratio, runs, shuffled

ORDER = 1.5
INF = float("inf")
TASKS = {"flip-flop": 2.1, "mante": 2.7, "romo": 3.0}  # largest g of each
SWEEP, SIZES = (f"low-rank-sweeps.html#fig-{name}" for name in ("sweep", "sizes"))


def complete(task: str) -> np.ndarray:
    """The values of g of a task's grid; raises ValueError unless five networks of each are kept."""
    count = runs().loss_test.sel(task=task, g=slice(0, TASKS[task])).notnull().sum("sample")
    if int(count.min()) < 5:
        raise ValueError(f"the sweep of {task} is not complete")
    return count.g.values


def fastest(task: str) -> np.ndarray:
    """The g at which the 5 % are reached first, of those where it is reached; one a sample."""
    grid = complete(task)
    return grid[np.nanargmin([epochs(task, g) for g in grid], axis=0)]


def rank_of_means(task: str, top: float) -> np.ndarray:
    """Functional rank, mean over g up to `top`; one a sample, NaN if one of its networks has none."""
    return np.mean([ranks(task, g) for g in complete(task) if g <= top + 0.01], axis=0)


def failing(task: str, at: tuple[float, ...]) -> np.ndarray:
    """At how many of the values `at` of g a network never reaches 5 %, or has no functional rank; one a sample."""
    complete(task)
    return sum((~np.isfinite(epochs(task, g) + ranks(task, g))).astype(float) for g in at)


@cache
def sizes() -> xr.Dataset:
    """Networks of every size at g = 0 and 0.9, all weights trained."""
    parts = [experiments.load(name, "paper", present=True) for name in ("training", "sizes")]
    return archive.combine(parts).sel(g=[0.0, 0.9])


def spread(task: str, g: float) -> np.ndarray:
    """Largest over smallest mean norm of dW, N = 128 to 1024, less 1; the interval is that of these two sizes."""
    kept = sizes().sel(task=task, g=g, N=[128, 256, 512, 1024])
    norms = np.sqrt((kept.values_change**2).sum("mode")).where(kept.loss_test.notnull())
    means = norms.mean("sample")
    if means.isnull().any():
        raise ValueError("not every size is there")
    ends = (norms.isel(N=int(at)).dropna("sample").values for at in (means.values.argmax(), means.values.argmin()))
    return ratio(*ends) - 1


def start_norm(g: float) -> list[float]:
    """|W0| / sqrt(N) over g, flip-flop, N = 256, five samples."""
    seeds = [seed("weights", "flip-flop", 256, g, sample) for sample in range(5)]
    drawn = rnn.initialise([g] * 5, 256, 2, 2, seeds).W
    return (torch.linalg.matrix_norm(drawn) / 16 / g).tolist()


def early_rank() -> np.ndarray:
    """Functional rank of the flip-flop, mean over g = 1.5 and 1.8."""
    return np.mean([ranks("flip-flop", g) for g in (1.5, 1.8)], axis=0)


CENTRES = (
    ("C9", "Fig. 2a", "mante", 1.2, "epochs until the loss is below 5 % of its first value", 40, 12, epochs),
    ("C10", "Fig. 2a", "romo", 2.1, "epochs until the loss is below 5 % of its first value", 58, 20, epochs),
    ("C12", "Fig. 2b", "flip-flop", 1.5, "Frobenius norm of dW", 0.6, 0.15, norm),
)
NOTES = {
    "C5 romo g=0.3": "Ranks 11, 8, 7, 6 and 9: two of five networks lie above the range.",
    "C18 mante g=0.9": "One of five networks of 128 units lost again what it had learned: its loss ends at .76 of the first, its change at "
    "a norm of 2.3; those of the other four at 1.17 on average.",
    "C9 mante g=1.2": "Faster here. For the flip-flop, holding the readout slows learning (C8); for Mante that was not tested.",
    "failing flip-flop": "None fails at any g up to 2.1, the end of the sweep: at g = 2.1 all five learn, in 299 to 423 epochs, and have functional ranks 9 to 11. The paper drops "
    "points with fewer than five usable networks, and which networks are lost to chaos depends on the draw.",
}
CLAIMS = [
    *(
        Claim(f"C4 g={g}", "Fig. 2d", f"Mante, g = {g}: functional rank 3 to 6", "3 to 6", 3, 6, lambda g=g: ranks("mante", g), SWEEP)
        for g in (0.3, 0.6, 1.2, 1.5, 1.8, 2.1)
    ),
    *(
        Claim(f"C5 g={g}", "Fig. 2d", f"Romo, g = {g}: functional rank 5 to 8", "5 to 8", 5, 8, lambda g=g: ranks("romo", g), SWEEP, NOTES.get(f"C5 romo g={g}", ""))
        for g in (0.3, 0.6, 1.2, 1.5, 1.8, 2.1, 2.4, 2.7, 3.0)
    ),
    Claim("C5 mean", "Fig. 2d", "Romo: functional rank, mean over all g, of samples that have one at every g", "5 to 8", 5, 8, lambda: rank_of_means("romo", 3.0), SWEEP),
    Claim("Fig2d flip-flop", "Fig. 2d", "flip-flop: the functional rank grows with g; mean of g = 1.5 and 1.8", "6 to 10.5 (read off: 8.0)",
          6, 10.5, early_rank, SWEEP),
    *(
        Claim(f"{name} {task} g={g}", panel, f"{task}, g = {g}: {what}", f"{centre} ± {wide}", centre - wide, centre + wide,
              lambda task=task, g=g, measure=measure: measure(task, g), SWEEP, NOTES.get(f"{name} {task} g={g}", ""))
        for name, panel, task, g, what, centre, wide, measure in CENTRES
    ),
    *(
        Claim(f"C11 {task}", "Fig. 2a", f"{task}: learning is fastest inside the range of g, not at its ends (the best g)",
              f"above 0, below {TASKS[task]}", 0.15, TASKS[task] - 0.15, lambda task=task: fastest(task), SWEEP)
        for task in ("flip-flop", "mante")
    ),
    *(
        Claim(f"C15 {task} g=0.3", "Fig. 2c", f"{task}, g = 0.3: loss after shuffling W0, in units of the first loss", "0.2 to 0.5",
              0.2, 0.5, lambda task=task: shuffled(task, 0.3), SWEEP)
        for task in ("flip-flop", "mante")
    ),
    *(
        Claim(f"C15 {task} g={g}", "Fig. 2c", f"{task}, g = {g}: loss after shuffling W0, in units of the first loss", "1 ± 0.15",
              0.85, 1.15, lambda task=task, g=g: shuffled(task, g), SWEEP)
        for task, top in (("flip-flop", 1.8), ("mante", 2.4), ("romo", 3.0))
        for g in (1.2, 1.5, 1.8, 2.1, 2.4, 2.7, 3.0)
        if g <= top
    ),
    *(
        Claim(f"failing {task}", "Fig. 2", f"{task}: networks fail at g = {at[0]} or {at[1]} (missing points of the figure; at how many of the two a sample "
              "never reaches 5 % or has no functional rank)", "above 0", 0.1, 2, lambda task=task, at=at: failing(task, at), SWEEP, NOTES.get(f"failing {task}", ""))
        for task, at in (("flip-flop", (1.8, 2.1)), ("mante", (2.4, 2.7)))
    ),
    *(
        Claim(f"C18 {task} g={g}", "Supplement", f"{task}, g = {g}: the norm of dW varies little from N = 128 to 1024 (largest mean over smallest, less 1)",
              "below 0.2", 0, 0.2, lambda task=task, g=g: spread(task, g), SIZES, NOTES.get(f"C18 {task} g={g}", ""))
        for task in ("flip-flop", "mante", "romo")
        for g in (0.0, 0.9)
    ),
    *(
        Claim(f"C18 W0 g={g}", "Supplement", f"norm of W0 over g sqrt(N), g = {g}", "1 ± 0.02", 0.98, 1.02, lambda g=g: start_norm(g), SIZES)
        for g in (0.9, 1.8)
    ),
]  # fmt: skip
