"""Claims of Krause et al. (2022) on operative dimensions, and the identities behind them."""

from functools import cache

import numpy as np
import torch
import xarray as xr
from scipy.optimize import minimize

from .. import experiments, operative
from ..experiments import operative as trained
from . import Claim

ORDER = 3
INF = float("inf")
PAGE = "operative-dimensions.html#fig-"
NAMES = {"context-integration": "context", "sine-wave": "sine"}
AUTHORS = {
    ("context-integration", "columns"): 15,
    ("context-integration", "rows"): 27,
    ("sine-wave", "columns"): 29,
    ("sine-wave", "rows"): 41,
}


@cache
def kept(kind: str = "measures") -> xr.Dataset:
    """Every unit of one kind at paper scale, if it is kept."""
    return experiments.load(f"operative-{kind}", "paper", present=True)


def of(task: str, variable: str, **where) -> np.ndarray:
    """One measure of the networks of a task, samples first; raises ValueError if there are none."""
    if task not in kept().task:
        raise ValueError(f"no network of {task} is kept")
    return kept()[variable].sel(task=task, **where).dropna("sample", how="all").transpose("sample", ...).values


def pairs() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """W and sampled states of every network, float64."""
    found = []
    for task in kept().task.values:
        states = of(task, "states")
        for sample, X in zip(kept().sample.values, states, strict=False):
            W = trained.network(kept("networks"), task, sample)[0].W[0].double()
            X = torch.as_tensor(X).double()
            found.append((W, X[X.isfinite().all(1)]))
    return found


def one_step() -> list[float]:
    """Relative error of the effect of removing a random direction, one Euler step against |a . W r|."""
    found = []
    for W, X in pairs():
        a = torch.ones(len(W), 1).double() / len(W) ** 0.5
        step = lambda matrix, X=X: 0.9 * X + 0.1 * torch.tanh(X) @ matrix.mT
        moved = (step(W) - step(operative.remove(W, a))).norm(dim=1) / 0.1
        formula = (torch.tanh(X) @ W.mT @ a).abs()[:, 0]
        found.append(float((moved - formula).abs().max() / formula.max()))
    return found


def orthogonal() -> list[float]:
    """Largest effect of removing a direction orthogonal to the drive, over the effect of removing the drive's."""
    found = []
    for W, X in pairs():
        drive, size = operative.local_columns(W, X)
        a = torch.ones(len(W)).double() - (drive.sum(1))[:, None] * drive  # one direction a state
        found.append(float(((a / a.norm(dim=1, keepdim=True)) * drive * size[:, None]).sum(1).abs().max() / size.max()))
    return found


def drives() -> list[float]:
    """Relative difference of the singular values of weighted local columns and of W R."""
    found = []
    for W, X in pairs():
        s, exact = operative.dimensions(W, X, "columns")[1], torch.linalg.svdvals(W @ torch.tanh(X).mT)
        found.append(float((s[: len(exact)] - exact).abs().max() / exact[0]))
    return found


def searched() -> list[float]:
    """First local row effect over the best of two local searches (BFGS, random starts), two states of four networks."""
    found = []
    for n, (W, X) in enumerate(pairs()[::5]):
        rng, (_, effects) = np.random.RandomState(n), operative.local_rows(W, X[[20, 60]], 1)
        for x, ours in zip(X[[20, 60]], effects[:, 0], strict=True):
            matrix, r = W.numpy(), torch.tanh(x).numpy()
            effect = lambda b, matrix=matrix, r=r: -np.linalg.norm(matrix @ b) * abs(b @ r) / (b @ b)
            best = min(minimize(effect, rng.standard_normal(len(r)), tol=1e-10).fun for _ in range(2))
            found.append(float(ours) / -best)
    return found


def weighted() -> list[float]:
    """Relative error of |(W - W_k) R|^2 = sum of the squared singular values left out, at k = 10."""
    found = []
    for W, X in pairs():
        R, (U, s) = torch.tanh(X).mT, operative.dimensions(W, X, "columns")
        missed = ((W - operative.keep(W, U[:, :10])) @ R).square().sum()
        found.append(float((missed / s[10:].square().sum() - 1).abs()))
    return found


def full_rank(task: str) -> np.ndarray:
    """Distance of the states at k = N over that at k = 0, operative columns."""
    distance = of(task, "distance", kind="columns")
    return distance[:, -1] / distance[:, 0]


def row_bounds() -> list[float]:
    """Smallest slack of |W r| <= effect <= s_1 |r|, over states and networks, in units of |W r|."""
    low, mid, high = (
        np.concatenate([of(t, name).ravel() for t in kept().task.values])
        for name in ("drive", "first_row_effect", "bound")
    )
    there = np.isfinite(mid)
    return [float(np.minimum(mid - low, high - mid)[there].min() / low[there].mean())]


def squares(task: str, which: str) -> list[torch.Tensor]:
    """Squared values of a spectrum: activity, W, columns or rows."""
    values = of(task, f"values_{which}") if which in ("W", "activity") else of(task, "dimension_values", kind=which)
    return [torch.as_tensor(v) ** 2 for v in values]


def ratio(task: str, which: str) -> list[float]:
    return [operative.participation(v) for v in squares(task, which)]


def needed(task: str, which: str, share: float) -> list[float]:
    return [float(operative.enough(v, share)) for v in squares(task, which)]


def enough(task: str, kind: str, criterion: int = 0) -> np.ndarray:
    """k* by one of the three criteria: error within 0.01, error within half, states within 5 %; one a network."""
    at, full = kept()["rank"].values, of(task, "full_cost")[:, None]
    cost, distance = of(task, "cost", kind=kind), of(task, "distance", kind=kind)
    good = (cost <= full + 0.01, cost <= 1.5 * full, distance <= 0.05 * distance[:, :1])[criterion]
    return np.array([operative.suffices(at, one) for one in good])


def at_rank(task: str, variable: str, kind: str, k: int) -> np.ndarray:
    return of(task, variable, kind=kind, rank=k)


def specific(subset: list[str], k: int = 10) -> np.ndarray:
    """Error on the other function's trials over that on the own, geometric mean over subsets, one a network."""
    cost = of("context-integration", "subset_cost", subset=subset, rank=k)
    return np.exp(np.log(cost[:, :, 1] / cost[:, :, 0]).mean(1))


TASKS = tuple(NAMES)
CLAIMS = [
    Claim("O1", "theory", "one Euler step without a column direction moves the state by α|a·Wr| (relative error)", "below 1e-9", 0, 1e-9, one_step, PAGE + "curve"),
    Claim("O2", "theory", "a direction orthogonal to the drive has no effect: one local column dimension a state (relative effect)", "below 1e-9", 0, 1e-9,
          orthogonal, PAGE + "curve"),
    Claim("O3", "theory", "weighted local columns are the drives: singular values of L and of W R (relative difference)", "below 1e-9", 0, 1e-9,
          drives, PAGE + "two-norms"),
    Claim("O7", "theory", "local rows: the curve is never below a local search (ratio of the maxima, two starts)", "at least 1", 1 - 1e-6, INF, searched, PAGE + "curve"),
    Claim("O4", "theory", "operative columns: |(W - W_k)R|² equals the squared singular values left out (relative error)", "below 1e-9", 0, 1e-9,
          weighted, PAGE + "two-norms"),
    *(
        Claim(f"O5 {NAMES[t]}", "theory", f"{t}: with all dimensions the network is the full one (distance over that at k = 0)", "below 1e-4", 0, 1e-4,
              lambda t=t: full_rank(t), PAGE + "enough")
        for t in TASKS
    ),
    Claim("O6", "theory", "local rows: |Wr| ≤ effect/α ≤ s₁|r| at every state (least slack, in units of |Wr|)", "at least 0", -1e-6, INF, row_bounds, PAGE + "curve"),
    *(
        Claim(f"O8 {which} {NAMES[t]}", "Fig. 1", f"{t}: participation ratio of the spectrum of {which}", expected, low, high,
              lambda t=t, which=which: ratio(t, which), PAGE + "high-variance")
        for t in TASKS
        for which, expected, low, high in (("activity", "below 5", 1, 5), ("W", "above 30", 30, 100))
    ),
    *(
        Claim(f"O8 90 % {which} {NAMES[t]}", "Fig. 1", f"{t}: dimensions for 90 % of the variance of {which}", expected, low, high,
              lambda t=t, which=which: needed(t, which, 0.9), PAGE + "high-variance")
        for t in TASKS
        for which, expected, low, high in (("activity", "at most 5", 1, 5), ("W", "at least 40", 40, 100))
    ),
    *(
        Claim(f"O9 {NAMES[t]}", "Fig. 3b", f"{t}: global operative columns that hold 95 % of their variance", "at most 6", 1, 6,
              lambda t=t: needed(t, "columns", 0.95), PAGE + "global")
        for t in TASKS
    ),
    *(
        Claim(f"O10 {NAMES[t]}", "Fig. 3c", f"{t}: operative columns that suffice (error within 0.01)", "at most 25", 1, 25, lambda t=t: enough(t, "columns"), PAGE + "enough")
        for t in TASKS
    ),
    *(
        Claim(f"O10 {kind} {NAMES[t]}", "Fig. 3", f"{t}: error at the authors' rank for {kind} ({k}), over the full network's", "below 5", 0, 5,
              lambda t=t, kind=kind, k=k: np.array([np.interp(k, kept()["rank"].values, c) for c in of(t, "cost", kind=kind)]) / of(t, "full_cost"),
              PAGE + "enough")
        for (t, kind), k in AUTHORS.items()
    ),
    *(
        Claim(f"O11 {NAMES[t]}", "Fig. 1", f"{t}: high-variance dimensions that suffice (error within 0.01)", "at least 50", 50, 100,
              lambda t=t: enough(t, "high-variance"), PAGE + "enough")
        for t in TASKS
    ),
    *(
        Claim(f"O11 ratio {NAMES[t]}", "Figs. 1, 3", f"{t}: high-variance dimensions needed, over operative columns needed", "above 2.5", 2.5, INF,
              lambda t=t: enough(t, "high-variance") / enough(t, "columns"), PAGE + "enough")
        for t in TASKS
    ),
    *(
        Claim(f"O12 {kind} {NAMES[t]}", "Figs. 1, 3d", f"{t}: distance of the states at k = 15 over that at k = 0, {kind}", expected, low, high,
              lambda t=t, kind=kind: at_rank(t, "distance", kind, 15) / at_rank(t, "distance", kind, 0), PAGE + "enough")
        for t in TASKS
        for kind, expected, low, high in (("columns", "below 0.2", 0, 0.2), ("high-variance", "above 0.4", 0.4, INF))
    ),
    *(
        Claim(f"O13 {NAMES[t]}", "Fig. 3f", f"{t}: operative rows needed less columns needed (error within 0.01)", "at least 0", 0, 100,
              lambda t=t: enough(t, "rows") - enough(t, "columns"), PAGE + "enough")
        for t in TASKS
    ),
    *(
        Claim(f"O14 {NAMES[t]}", "control", f"{t}: error with 80 random directions, over the full network's", "above 10", 10, INF,
              lambda t=t: at_rank(t, "cost", "random", 80) / of(t, "full_cost"), PAGE + "enough")
        for t in TASKS
    ),
    *(
        Claim(f"O15 {variable} {NAMES[t]}", "Figs. 1, 3", f"{t}: {what} at k = 10, high-variance over operative columns", expected, low, high,
              lambda t=t, variable=variable: at_rank(t, variable, "high-variance", 10) / at_rank(t, variable, "columns", 10), PAGE + "two-norms")
        for t in TASKS
        for variable, what, expected, low, high in (("missed_W", "what is lost of W", "below 1", 0, 1), ("missed_drive", "what is lost of the drives", "above 1", 1, INF),
                                                    ("cost", "error", "above 1", 1, INF))
    ),
    Claim("O16", "function-specific", "10 columns of one context: error on the other context over that on the own", "above 20", 20, INF,
          lambda: specific(["context 1", "context 2"]), PAGE + "functions"),
    Claim("O17", "function-specific", "10 columns of one choice: error on the other choice over that on the own", "above 1, far below O16", 1, 20,
          lambda: specific(["positive choice", "negative choice"]), PAGE + "functions"),
]  # fmt: skip
