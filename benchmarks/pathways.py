"""An epoch of parallel pathways: by hand and reduced, against autograd."""

import statistics
from functools import reduce

import torch

from interplay import pathways

from . import REPEATS, in_turn, row
from .linear import clock

SETTINGS = {"width": 1000, "lr": 0.01}


def plain(net: list[pathways.Pathway], goal: torch.Tensor, epochs: int, product: bool = False) -> torch.Tensor:
    """The plain loop: `torch.nn.Linear` layers of one network, autograd, SGD; K of both pathways kept each epoch.

    With `product`, maps are the products of the weights from the output on, as the equation is written.
    """
    chains = [torch.nn.Sequential(*(torch.nn.Linear(*W.shape[:0:-1], bias=False) for W in pathway)) for pathway in net]
    for chain, pathway in zip(chains, net, strict=True):
        for layer, W in zip(chain, pathway, strict=True):
            layer.weight = torch.nn.Parameter(W[0].clone())
    step = torch.optim.SGD([W for chain in chains for W in chain.parameters()], lr=SETTINGS["lr"])
    eye, kept = torch.eye(8).to(goal), []
    for _ in range(epochs):
        if product:
            maps = [reduce(torch.matmul, [layer.weight for layer in reversed(chain)]) for chain in chains]
        else:
            maps = [chain(eye).mT for chain in chains]
        kept.append(pathways.in_modes(torch.stack(maps).detach()))
        loss = (goal - sum(maps)).square().sum()
        step.zero_grad()
        loss.backward()
        step.step()
    return torch.stack(kept)


def ensemble_vs_plain() -> dict:
    """Seconds an epoch and network at depth 3: 4 networks in the same products, against one by autograd.

    `ratio_product`: the same against the product of the weights; `ratio_alone`: one network by hand against one.  All
    do the same three products of width 1000 a layer, so that a ratio is what is saved around them.
    """
    goal, networks, epochs = pathways.target(torch.float32), 4, 30
    net = pathways.initialise((3, 3), SETTINGS["width"], list(range(networks)))
    alone = [[W[:1] for W in pathway] for pathway in net]
    sides = [
        lambda: pathways.train(net, goal, epochs=epochs),
        lambda: pathways.train(alone, goal, epochs=epochs),
        lambda: plain(net, goal, epochs),
        lambda: plain(net, goal, epochs, product=True),
    ]
    together, one, modules, product = (seconds / epochs for seconds in in_turn(*sides))
    found = {"ratio_product": product * networks / together, "ratio_alone": modules / one}
    settings = SETTINGS | {"depth": 3, "networks": networks, "per": "epoch and network"}
    return row(together / networks, modules, None, settings | found)


def depth2_reduction_vs_plain() -> dict:
    """Seconds an epoch at depth 2, 23 wide with the reduction counted over 300 epochs, against autograd at width 1000.

    Fifty networks in the same products; both in float64, and equal in K to 1e-10 (`largest_difference`).
    """
    goal, networks, epochs = pathways.target(), 50, 300
    net = pathways.initialise((2, 2), SETTINGS["width"], list(range(networks)), dtype=torch.float64)

    def reduced():
        small = [pathways.reduce(pathway) for pathway in net]
        return pathways.train(small, goal, epochs=epochs)

    fast, slow = [], []
    for _ in range(REPEATS):
        fast.append(clock(reduced) / epochs / networks)
        slow.append(clock(lambda: plain(net, goal, 30)) / 30)
    gap = (pathways.in_modes(reduced().maps[:epochs, 0]) - plain(net, goal, epochs)).abs().max()  # of the first
    found = {"depth": 2, "networks": networks, "epochs": epochs, "largest_difference": float(gap), "per": "epoch"}
    return row(statistics.median(fast), statistics.median(slow), None, SETTINGS | found)


BENCHMARKS = {
    "pathways_ensemble_vs_plain": ensemble_vs_plain,
    "pathways_depth2_reduction_vs_plain": depth2_reduction_vs_plain,
}
