"""Two parallel pathways learn a tree of features: Figures 4 to 8 of Shi et al. (2022), and what many seeds say.

Kinds: `figures` (the paper's networks, at full width; `longer`: as long as there), `seeds` (many draws a depth;
`order`: every epoch recorded), `steps` (large ones), `unequal` (one pathway deeper).
"""

from functools import partial

import numpy as np
import torch
import xarray as xr

from .. import lowrank, pathways
from . import Experiment, dataset, scaled, table

TABLE = table("pathways")


def figures(of: str, scale: str) -> list[dict]:
    """One network of Figures 4 to 8 a unit, trained no longer than the scale allows."""
    units = scaled(TABLE[of], scale)
    return [unit | {"epochs": min(unit["epochs"], unit.pop("longest"))} for unit in units]


def work(unit: dict) -> float:
    """Relative cost: epochs x layers x the square of the width (for reduced networks, a tenth)."""
    depth = unit.get("depth") or sum(unit["depths"]) / 2
    many = len(unit.get("seeds", [0]))
    return 1e-9 * unit["epochs"] * depth * many * (unit["width"] * (0.1 if "level" in unit else 1)) ** 2


def halves(K: torch.Tensor, every: int = 1) -> torch.Tensor:
    """First epoch at which both pathways together hold half of a mode, NaN if none: (..., mode).

    K: (record, ..., pathway, mode, mode)
    """
    half = K.diagonal(dim1=-2, dim2=-1).sum(-2) >= pathways.modes(K.dtype)[1] / 2
    return lowrank.smallest_rank(half, range(0, every * len(K), every), first=True)


def spectra(before: list[pathways.Pathway], after: list[pathways.Pathway], leading: int) -> dict[str, tuple]:
    """Of each layer: leading singular values of the change and of the end, and how far its invariant drifted."""

    def values(W: torch.Tensor) -> torch.Tensor:
        found = torch.linalg.svdvals(W[0])[:leading]
        return torch.nn.functional.pad(found, (0, leading - len(found)), value=torch.nan)

    both = list(zip(before, after, strict=True))
    invariants = [zip(*map(pathways.invariants, pair), strict=True) for pair in both]
    layers, joint = ("pathway", "layer", "leading"), ("pathway", "joint")

    def stacked(rows):
        return torch.stack([torch.stack(row) for row in rows])

    return {
        "values_change": (layers, stacked([[values(W - W0) for W0, W in zip(*pair)] for pair in both])),
        "values_end": (layers, stacked([[values(W) for W in new] for new in after])),
        "drift": (joint, stacked([[(C - C0).norm() for C0, C in pairs] for pairs in invariants])),
        "moved": (joint, stacked([[(W @ W.mT - W0 @ W0.mT).norm() for W0, W in zip(*pair)][:-1] for pair in both])),
    }


def figure(unit: dict, device: torch.device) -> xr.Dataset:
    """One of the paper's networks: loss and K through training, spectra of its layers."""
    how = {name: unit[name] for name in ("scale", "earlier")}
    drawn = pathways.initialise((unit["depth"],) * 2, unit["width"], [unit["seed"]], **how)
    if nudge := unit.get("nudge", 0):  # what float32 rounds away
        drawn = [[torch.nextafter(W, W + nudge) for W in pathway] for pathway in drawn]
    before = [[W.to(device) for W in pathway] for pathway in drawn]
    goal = pathways.target(torch.float32).to(device)
    done = pathways.train(before, goal, **{name: unit[name] for name in ("lr", "epochs", "phi", "until")})
    K = pathways.in_modes(done.maps[:, 0].cpu().double())
    recorded = np.unique(np.linspace(0, len(K) - 1, unit["records"]).round().astype(int))
    held = {
        "loss": (("epoch",), done.loss[:, 0].cpu()),
        "record_epoch": (("record",), recorded.astype(float)),
        "K": (("record", "pathway", "out", "in"), K[recorded].float()),
        "first": (("start", "pathway", "out", "in"), K[: unit["first"]].float()),
        "map": (("pathway", "attribute", "item"), done.maps[-1, 0].cpu()),
        "half_time": (("mode",), halves(K)),
    }
    plain = ([[W.cpu().double() for W in pathway] for pathway in both] for both in (before, done.pathways))
    held |= spectra(*plain, unit["leading"])
    return dataset(held, {name: unit[name] for name in ("phi", "seed", "depth", "nudge") if name in unit})


def many(unit: dict, device: torch.device) -> xr.Dataset:
    """Ends of many networks, reduced by `pathways.reduce` where the unit has a level; exact at depth 2 alone."""
    depths, parts = unit.get("depths") or (unit["depth"],) * 2, []
    for seed in unit["seeds"]:  # one by one: full networks of all seeds would fill the memory
        drawn = pathways.initialise(depths, unit["width"], [seed], scale=unit["scale"], dtype=torch.float64)
        parts.append([pathways.reduce(pathway, unit["level"]) for pathway in drawn] if "level" in unit else drawn)
    before = [[torch.cat(layers).to(device) for layers in zip(*same, strict=True)] for same in zip(*parts, strict=True)]
    every, goal = unit.get("every", 10), pathways.target().to(device)
    done = pathways.train(before, goal, every=every, **{name: unit[name] for name in ("lr", "epochs", "until")})
    K = pathways.in_modes(done.maps.cpu())
    held = {
        "last_loss": (("seed",), done.loss[-1].cpu()),
        "epochs": (("seed",), torch.full((len(unit["seeds"]),), len(done.loss) - 1.0)),
        "K": (("seed", "pathway", "out", "in"), K[-1].float()),
        "start": (("seed", "pathway", "out", "in"), K[0].float()),
        "half_time": (("seed", "mode"), halves(K, every)),
        "rises": (("seed",), (done.loss[1:] > done.loss[:-1]).sum(0).cpu()),  # epochs in which the loss rose
        "cosine": (("seed",), pathways.cosine(done.maps[-1].cpu())),
        "values_map": (("seed", "pathway", "mode"), torch.linalg.svdvals(done.maps[-1].cpu())),
    }
    named = {"seeds": ("depth",), "steps": ("depth", "lr"), "unequal": ("scale", "depths")}[unit["kind"]]
    labels = {name: str(unit[name])[1:-1] if name == "depths" else unit[name] for name in named}
    return dataset(held, labels, seed=unit["seeds"])


EXPERIMENTS = {
    "pathways-figures": Experiment(partial(figures, "pathways-figures"), "{phi}_D{depth}_s{seed}", figure, work),
    "pathways-longer": Experiment(partial(figures, "pathways-longer"), "{phi}_D{depth}_n{nudge}", figure, work),
    "pathways-steps": Experiment(partial(scaled, TABLE["pathways-steps"]), "lr{lr}", many, work),
    "pathways-order": Experiment(partial(scaled, TABLE["pathways-order"]), "D{depth}_s{seeds[0]}", many, work),
    "pathways-seeds": Experiment(partial(scaled, TABLE["pathways-seeds"]), "D{depth}_s{seeds[0]}", many, work),
    "pathways-unequal": Experiment(partial(scaled, TABLE["pathways-unequal"]), "c{scale}_D{depths}", many, work),
}
