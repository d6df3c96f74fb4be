"""Why the model of one mode alone is off for deep pathways: what it leaves out, put in one at a time.

The model (`pathways.chain`) is exact where hidden matrices are orthogonal, input and output directions of a mode enter
with one norm, and the initial map holds no mode in another's place.  Beyond Shi et al. (2022).
"""

import math
from functools import partial

import torch
import xarray as xr

from .. import pathways
from . import Experiment, dataset, scaled, table

ONE = torch.float64


def idealised(pathway: pathways.Pathway, scale: float, start: str) -> pathways.Pathway:
    """A pathway of one network whose first and last layer are as the model has them, but for what `start` names."""
    U, V = torch.linalg.svd(pathways.target())[0], pathways.modes()[2]
    U = torch.cat([pathways.modes()[0], U[:, 8:]], 1)  # the modes, and the outputs that the target leaves out
    first, *hidden, last = (W[0] for W in pathway)

    def through(a: torch.Tensor) -> torch.Tensor:
        for W in hidden:
            a = W @ a
        return a

    def orthonormal(a: torch.Tensor) -> torch.Tensor:  # the nearest columns
        u, _, v = torch.linalg.svd(a, full_matrices=False)
        return u @ v

    root = math.sqrt(scale)
    drawn_in, drawn_out = first @ V, U.T @ last
    K = drawn_out @ through(drawn_in)
    enter = root * orthonormal(drawn_in)
    ahead = orthonormal(through(enter))
    leave = root * orthonormal((drawn_out - drawn_out @ ahead @ ahead.T).T).T
    if start == "norms as drawn":
        enter = enter * drawn_in.norm(dim=0) / root
        leave = leave * drawn_out.norm(dim=1, keepdim=True) / root
    wanted = K if start == "modes mixed" else torch.eye(*K.shape, dtype=ONE) * K
    last = U @ (wanted @ torch.linalg.pinv(through(enter)) + leave)
    return [(enter @ V.T)[None], *pathway[1:-1], last[None]]


def compute(unit: dict, device: torch.device) -> xr.Dataset:
    """Largest error of K / s on the way, the model against training from each start: (depth, seed, start, mode)."""
    goal, s = pathways.target(), pathways.modes()[1]
    how = {name: unit[name] for name in ("lr", "epochs", "until")}
    errors = []
    for start in unit["starts"]:
        gauss = start in ("hidden as drawn", "all as drawn")
        drawn = {"scale": unit["scale"], "orthogonal": not gauss, "dtype": ONE}
        net = pathways.initialise((unit["depth"],) * 2, unit["width"], [unit["seed"]], **drawn)
        if start != "all as drawn":
            net = [idealised(pathway, unit["scale"], start) for pathway in net]
        small = [pathways.reduce(pathway, unit["level"] if gauss else 0) for pathway in net]
        K = pathways.in_modes(pathways.train(small, goal, **how).maps[:, 0]).diagonal(dim1=-2, dim2=-1)
        model = pathways.alone(K[:1], unit["depth"], len(K) - 1, unit["scale"], unit["lr"])[:, 0]
        errors.append(((model - K).abs() / s).amax((0, 1)))
    held = {"error": (("start", "mode"), torch.stack(errors))}
    return dataset(held, {"depth": unit["depth"], "seed": unit["seed"]}, start=unit["starts"])


def work(unit: dict) -> float:
    """Relative cost: epochs x layers, and the drawing of orthogonal layers."""
    return 1e-4 * unit["depth"] * unit["epochs"] + 1e-9 * unit["depth"] * unit["width"] ** 3


_units = partial(scaled, table("idealised")["pathways-idealised"])
EXPERIMENTS = {"pathways-idealised": Experiment(_units, "D{depth}_s{seed}", compute, work)}
