"""Two parallel pathways learn a tree of features: Figures 4 to 8 of Shi et al. (2022), and what many seeds say.

Kinds: `figures` (the paper's networks, at full width), `seeds` (many draws a depth), `unequal` (one pathway deeper).
"""

import numpy as np
import torch
import xarray as xr

from .. import pathways
from . import Experiment, dataset, rows

COMMON = {
    "scale": 0.1,
    "lr": 0.01,
    "until": 1e-6,
    "phi": "linear",
}  # sigma^2 N of the initial weights; loss that is enough
FIGURES = {  # nonlinearity, seed, depths drawn one after the other, epochs at most
    "linear": (576, {2: 1000, 3: 1000, 4: 1000, 7: 5000}),
    "relu": (63535, {2: 3000, 3: 3000, 4: 4000, 7: 20000}),
    "tanh": (539394, {2: 3000, 3: 3000, 4: 4000, 7: 12000}),
}
ALONE = (345345, 128373)  # Figure 6: depth 7, the only network of its stream
SIZE = {
    "paper": {"width": 1000, "longest": 20000, "seeds": 50, "level": 4, "narrow": 200, "unequal": 10},
    "lite": {"width": 200, "longest": 4000, "seeds": 10, "level": 2, "narrow": 100, "unequal": 3},
    "smoke": {"width": 30, "longest": 60, "seeds": 2, "level": 1, "narrow": 30, "unequal": 1},
}
UNEQUAL = [(0.1, (2, 3), 0.01), (0.1, (2, 4), 0.01), (0.1, (3, 4), 0.01), (4.0, (2, 3), 0.0005), (4.0, (2, 4), 0.0005)]
RECORDS, LEADING = 300, 24  # maps kept of a run; singular values of a change
GROUP = 10  # seeds that run in the same matrix products


def figure_units(scale: str) -> list[dict]:
    """One network of Figures 4 to 8 a unit."""
    table = [
        {"phi": phi, "seed": seed, "depth": depth, "earlier": [d for d in epochs if d < depth], "epochs": most}
        for phi, (seed, epochs) in FIGURES.items()
        for depth, most in epochs.items()
    ] + [{"seed": seed, "depth": 7, "earlier": [], "epochs": 5000} for seed in ALONE]
    kept = {"kind": "figures", "width": SIZE[scale]["width"], "records": RECORDS, "leading": LEADING, "first": 10}
    return [COMMON | kept | one | {"epochs": min(one["epochs"], SIZE[scale]["longest"])} for one in table]


def seed_units(scale: str) -> list[dict]:
    """Many draws a depth, in groups that run in the same matrix products."""
    size, last = SIZE[scale], 100 + SIZE[scale]["seeds"]
    groups = [list(range(first, min(first + GROUP, last))) for first in range(100, last, GROUP)]
    own = {"kind": "seeds", "width": size["width"], "epochs": min(6000, size["longest"]), "every": 10}
    return [
        COMMON | own | one | {"level": 0 if one["depth"] == 2 else size["level"]}
        for one in rows(depth=range(2, 8), seeds=groups)
    ]


def unequal_units(scale: str) -> list[dict]:
    """Pairs of depths at two scales of the initial weights."""
    size = SIZE[scale]
    own = {"kind": "unequal", "width": size["narrow"], "seeds": list(range(100, 100 + size["unequal"]))}
    own |= {"until": 1e-4, "epochs": min(4000, size["longest"])}
    return [COMMON | own | {"scale": sigma, "depths": list(depths), "lr": lr} for sigma, depths, lr in UNEQUAL]


def work(unit: dict) -> float:
    """Relative cost: epochs x layers x the square of the width (for reduced networks, a tenth)."""
    depth = unit.get("depth") or sum(unit["depths"]) / 2
    many = len(unit.get("seeds", [0]))
    return 1e-9 * unit["epochs"] * depth * many * (unit["width"] * (0.1 if unit["kind"] == "seeds" else 1)) ** 2


def halves(K: torch.Tensor, every: int = 1) -> torch.Tensor:
    """First epoch at which both pathways together hold half of a mode, NaN if none: (..., mode).

    K: (record, ..., pathway, mode, mode)
    """
    both = K.diagonal(dim1=-2, dim2=-1).sum(-2)
    there = both >= pathways.modes(K.dtype)[1] / 2
    first = there.to(torch.float64).argmax(0) * float(every)
    return torch.where(there.any(0), first, torch.nan)


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
    depth = unit["depth"]
    drawn = pathways.initialise(
        (depth, depth), unit["width"], [unit["seed"]], scale=unit["scale"], earlier=unit["earlier"]
    )
    before = [[W.to(device) for W in pathway] for pathway in drawn]
    goal = pathways.target(torch.float32).to(device)
    done = pathways.train(before, goal, **{name: unit[name] for name in ("lr", "epochs", "phi", "until")})
    K = pathways.in_modes(done.maps[:, 0].cpu().double())
    at = np.unique(np.linspace(0, len(K) - 1, unit["records"]).round().astype(int))
    held = {
        "loss": (("epoch",), done.loss[:, 0].cpu()),
        "record_epoch": (("record",), at.astype(float)),
        "K": (("record", "pathway", "out", "in"), K[at].float()),
        "first": (("start", "pathway", "out", "in"), K[: unit["first"]].float()),
        "map": (("pathway", "attribute", "item"), done.maps[-1, 0].cpu()),
        "half_time": (("mode",), halves(K)),
    }
    plain = ([[W.cpu().double() for W in pathway] for pathway in both] for both in (before, done.pathways))
    held |= spectra(*plain, unit["leading"])
    return dataset(held, {"phi": unit["phi"], "seed": unit["seed"], "depth": depth})


def many(unit: dict, device: torch.device) -> xr.Dataset:
    """Ends of many networks of one depth, by the reduction of `pathways.reduce`; exact at depth 2 alone."""
    parts = []
    for seed in unit["seeds"]:  # one by one: full networks of all seeds would fill the memory
        drawn = pathways.initialise((unit["depth"],) * 2, unit["width"], [seed], scale=unit["scale"])
        parts.append([pathways.reduce(pathway, unit["level"]) for pathway in drawn])
    before = [[torch.cat(layers).to(device) for layers in zip(*same, strict=True)] for same in zip(*parts, strict=True)]
    every, goal = unit["every"], pathways.target().to(device)
    done = pathways.train(before, goal, every=every, **{name: unit[name] for name in ("lr", "epochs", "until")})
    K = pathways.in_modes(done.maps.cpu())
    held = {
        "last_loss": (("seed",), done.loss[-1].cpu()),
        "epochs": (("seed",), torch.full((len(unit["seeds"]),), len(done.loss) - 1.0)),
        "K": (("seed", "pathway", "out", "in"), K[-1].float()),
        "start": (("seed", "pathway", "out", "in"), K[0].float()),
        "half_time": (("seed", "mode"), halves(K, every)),
        "cosine": (("seed",), pathways.cosine(done.maps[-1].cpu())),
        "values_map": (("seed", "pathway", "mode"), torch.linalg.svdvals(done.maps[-1].cpu())),
    }
    return dataset(held, {"depth": unit["depth"]}, seed=unit["seeds"])


def unequal(unit: dict, device: torch.device) -> xr.Dataset:
    """Final K of networks whose second pathway is deeper: (scale, shallow, deep, seed)."""
    drawn = pathways.initialise(unit["depths"], unit["width"], unit["seeds"], scale=unit["scale"], dtype=torch.float64)
    before = [[W.to(device) for W in pathway] for pathway in drawn]
    goal = pathways.target().to(device)
    done = pathways.train(
        before, goal, every=unit["epochs"], **{name: unit[name] for name in ("lr", "epochs", "until")}
    )
    K = pathways.in_modes(done.maps[-1].cpu()).float()
    held = {"K": (("seed", "pathway", "out", "in"), K), "last_loss": (("seed",), done.loss[-1].cpu())}
    return dataset(held, {"scale": unit["scale"], "depths": str(unit["depths"])[1:-1]}, seed=unit["seeds"])


EXPERIMENTS = {
    "pathways-figures": Experiment(figure_units, "{phi}_D{depth}_s{seed}", figure, work),
    "pathways-seeds": Experiment(seed_units, "D{depth}_s{seeds[0]}", many, work),
    "pathways-unequal": Experiment(unequal_units, "c{scale}_D{depths}", unequal, work),
}
