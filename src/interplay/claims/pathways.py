"""Claims of Shi et al. (2022) on trained networks with two pathways; those of the theory are in `modes`."""

from functools import cache

import numpy as np
import torch
import xarray as xr

from .. import experiments, pathways
from . import Claim

ORDER = 4
INF = float("inf")
PAGE = "multiple-pathways.html#fig-"
SEEDS = {"linear": 576, "relu": 63535, "tanh": 539394}
HALF = {2: [24, 31, 40, 40, 54, 54, 54, 55], 3: [39, 56, 80, 80], 4: [76, 113, 152, 158]}  # the authors' random stream


@cache
def kept(kind: str) -> xr.Dataset:
    """Every unit of one kind at paper scale, if it is kept."""
    return experiments.load(f"pathways-{kind}", "paper", present=True)


def figure(phi: str, depth: int) -> xr.Dataset:
    """One network of Figures 5, 7, 8; raises ValueError if it is not kept."""
    one = kept("figures")
    if phi not in one.phi or depth not in one.depth:
        raise ValueError(f"the {phi} network of depth {depth} is not kept")
    one = one.sel(phi=phi, depth=depth, seed=SEEDS[phi])
    if one.loss.isnull().all():
        raise ValueError(f"the {phi} network of depth {depth} is not kept")
    return one


def reached(depth: int, level: float = 1e-3) -> list[float]:
    """First epoch with a loss below `level`."""
    below = figure("linear", depth).loss.values < level
    return [float(below.argmax()) if below.any() else np.nan]


def loss_at(depth: int, epoch: int) -> list[float]:
    """Loss before one epoch."""
    return [float(figure("linear", depth).loss.sel(epoch=epoch))]


def half_times(depth: int) -> list[float]:
    """Largest difference of the half times from those of the authors' stream of random numbers, epochs."""
    return [float(np.abs(figure("linear", depth).half_time.values[: len(HALF[depth])] - HALF[depth]).max())]


def order(depth: int) -> list[float]:
    """How often a mode of larger singular value is learned later than one of smaller value, seeds and pairs."""
    half, s = kept("seeds").half_time.sel(depth=depth).values, pathways.modes()[1].numpy()
    pairs = [(i, j) for i in range(8) for j in range(8) if s[i] > s[j] + 1e-9]
    return [float(np.mean([one[i] > one[j] for i, j in pairs])) for one in half]


def cosines(depth: int) -> np.ndarray:
    """Cosine of the two end-to-end maps, one a seed."""
    return kept("seeds").cosine.sel(depth=depth).values


def held(depth: int, together: bool) -> np.ndarray:
    """Singular values above 0.1, of both pathways together or of the mean pathway, one a seed."""
    number = (kept("seeds").values_map.sel(depth=depth) > 0.1).sum("mode")
    return (number.sum("pathway") if together else number.mean("pathway")).values


def winner(depth: int) -> np.ndarray:
    """Share of mode 1 of the pathway that wins it, one a seed."""
    ends = kept("seeds").K.sel(depth=depth).isel({"in": 0, "out": 0}).transpose("seed", "pathway").values
    return ends.max(1) / ends.sum(1)


def spread(depth: int) -> list[float]:
    """Largest distance of a share from a half, modes 1 to 8, over seeds."""
    ends = np.einsum("spii->spi", kept("seeds").K.sel(depth=depth).transpose("seed", "pathway", "out", "in").values)
    return np.abs(ends[:, 0] / ends.sum(1) - 0.5).max(1)


def above(depth: int) -> np.ndarray:
    """Singular values of the change above 5 % of the largest, one a layer and pathway."""
    change = figure("linear", depth).values_change.sel(layer=slice(1, depth))
    return (change > 0.05 * change.isel(leading=0)).sum("leading").values.ravel()


def energy(depth: int) -> np.ndarray:
    """Share of the first eight singular values in the squared norm of the change, one a layer and pathway."""
    square = figure("linear", depth).values_change.sel(layer=slice(1, depth)) ** 2
    return (square.sel(leading=slice(1, 8)).sum("leading") / square.sum("leading")).values.ravel()


def drift(depth: int) -> np.ndarray:
    """Drift of the invariants over the change of W W^T, one a pair of layers and pathway."""
    one = figure("linear", depth)
    return (one.drift / one.moved).sel(joint=slice(1, depth - 1)).values.ravel()


def lateness(depth: int, epochs: int) -> list[float]:
    """Half time of mode 1 by the published equation over that of the trained network."""
    one, unit, s1 = figure("linear", depth), 0.1 ** (depth / 2), float(pathways.modes()[1][0])
    K0 = one.K.isel(record=0).sel({"in": 1, "out": 1}).values.astype(float)
    p = pathways.first_layer(K0 / unit, depth)
    for epoch in range(epochs):
        K = unit * pathways.product(p, depth).sum()
        if s1 / 2 <= K:
            return [epoch / float(one.half_time.sel(mode=1))]
        p = p + 0.02 * 0.1 ** ((depth - 2) / 2) * (p**2 + 1) ** ((depth - 1) / 2) * (s1 - K)
    return [np.nan]


@cache
def model_error(depth: int) -> np.ndarray:
    """Largest error of K / s on the way, small network a mode against the trained network, both pathways: (mode,)."""
    one, s = figure("linear", depth), pathways.modes()[1]
    K = one.K.dropna("record", how="all").transpose("record", "pathway", "out", "in").values
    K = np.einsum("rpii->rpi", K)
    at = one.record_epoch.dropna("record").values.astype(int)
    small = pathways.chain(torch.as_tensor(K[0].T.astype(float)), depth)
    model = pathways.train(small, s[:, None, None], epochs=int(at[-1])).maps[..., 0, 0].numpy().transpose(0, 2, 1)
    model = model[np.minimum(at, len(model) - 1)]
    return (np.abs(model - K) / s.numpy()).max((0, 1))


def whole(depth: int) -> list[float]:
    """Rectified network: last loss minus the number of ones that are off in both pathways."""
    one = figure("relu", depth)
    outputs = one["map"].transpose("pathway", "attribute", "item").values
    dead = ((pathways.target().numpy() == 1) & (outputs.max(0) <= 0)).sum()
    return [float(one.loss.dropna("epoch")[-1]) - float(dead)]


def shallow(scale: float, depths: str, modes: list[int]) -> np.ndarray:
    """Share of the shallower pathway, least (c < 1) or greatest (c > 1) over modes, one a seed."""
    K = kept("unequal").K.sel(scale=scale, depths=depths).transpose("seed", "pathway", "out", "in").values
    ends = np.einsum("spii->spi", K)[:, :, [m - 1 for m in modes]]
    share = ends[:, 0] / ends.sum(1)
    return share.min(1) if scale < 1 else share.max(1)


CLAIMS = [
    Claim("P2 D=2..7", "theory", "conserved matrices: drift over the change of W Wᵀ (linear, largest depth kept)", "below 0.01", 0, 0.01,
          lambda: np.concatenate([drift(d) for d in (2, 3, 4, 7)]), PAGE + "change"),
    Claim("P7 spread", "Fig. 5", "depth 2: every share lies within a half ± 0.06 (largest distance over modes)", "below 0.06", 0, 0.06,
          lambda: spread(2), PAGE + "many-seeds"),
    *(
        Claim(f"P8 D={d}", "Fig. 5", f"seed 576, depth {d}: half times of the modes equal those of the authors' stream (largest difference, epochs)",
              f"at most {wide}", 0, wide, lambda d=d: half_times(d), PAGE + "linear")
        for d, wide in ((2, 1), (3, 1), (4, 2))
    ),
    Claim("P9 loss", "Supplement", "seed 576, depth 2: loss at epoch 100", "0.0641 ± 2 %", 0.0628, 0.0654, lambda: loss_at(2, 100), PAGE + "loss"),
    *(
        Claim(f"P9 D={d}", "Supplement", f"seed 576, depth {d}: first epoch with a loss below 1e-3", f"{e} ± {wide}", e - wide, e + wide,
              lambda d=d: reached(d), PAGE + "loss")
        for d, e, wide in ((2, 153, 2), (3, 215, 3), (4, 340, 5))
    ),
    *(
        Claim(f"P10 D={d}", "Fig. 5", f"depth {d}: cosine of the two end-to-end maps", said, low, high, lambda d=d: cosines(d), PAGE + "many-seeds")
        for d, said, low, high in (
            (2, "above 0.98", 0.98, 1), (3, "0.75 to 0.93", 0.75, 0.93), (4, "0.25 to 0.42", 0.25, 0.42), (5, "below 0.2", -0.2, 0.2),
            (6, "below 0.1", -0.1, 0.1), (7, "below 0.1", -0.1, 0.1),
        )
    ),
    Claim("P11 together", "Figs. 5, 6", "depth 7: singular values above 0.1 in both pathways together", "8 to 9", 8, 9, lambda: held(7, True), PAGE + "many-seeds"),
    Claim("P11 each", "Figs. 5, 6", "depth 7: singular values above 0.1 in a pathway (mean of two)", "3 to 5", 3, 5, lambda: held(7, False), PAGE + "many-seeds"),
    *(
        Claim(f"share D={d}", "Fig. 5", f"depth {d}: share of mode 1 of the pathway that wins it", said, low, high, lambda d=d: winner(d), PAGE + "many-seeds",
              "" if d == 2 else "The median is 0.92; where the starts are close by chance, the pathways divide rotated modes: their maps are orthogonal all the same (P10).")
        for d, said, low, high in ((2, "0.5 to 0.56: shared", 0.5, 0.56), (7, "above 0.9: winner takes all", 0.9, 1.1))
    ),
    *(
        Claim(f"P12 D={d}", "Fig. 5", f"depth {d}: modes are learned in the order of their singular values (pairs out of order)", "none", -1e-9, 1e-9,
              lambda d=d: order(d), PAGE + "linear")
        for d in (2, 3, 4)
    ),
    *(
        Claim(f"P13 D={d}", "beyond the paper", f"depth {d}: singular values of the change above 5 %, every layer", "8", 8 - 1e-9, 8 + 1e-9,
              lambda d=d: above(d), PAGE + "change")
        for d in (2, 3, 4, 7)
    ),
    *(
        Claim(f"P13 energy D={d}", "beyond the paper", f"depth {d}: share of the first 8 singular values in the change (of 24 kept)", "above 0.999",
              0.999, 1, lambda d=d: energy(d), PAGE + "change")
        for d in (3, 7)
    ),
    *(
        Claim(f"P16 D={d}", "Fig. 3, 5", f"depth {d}: the published equation is late (its half time of mode 1 over the trained one)", f"{x} ± 5 %",
              0.95 * x, 1.05 * x, lambda d=d: lateness(d, 5000), PAGE + "theory")
        for d, x in ((3, 1.46), (4, 1.71), (7, 2.67))
    ),
    *(
        Claim(f"mode equations D={d} {name}", "Figs. 3, 5", f"depth {d}, {name}: mode equations against training, largest error of K/s on the way",
              "below 0.1", 0, 0.1, lambda d=d, pick=pick: model_error(d)[pick], PAGE + "theory",
              "" if d == 2 else "A delay of sharp transitions: a model of one mode alone leaves out that modes mix, and that random matrices are not orthogonal.")
        for d in (2, 3, 4, 7)
        for name, pick in (("mode 1", [0]), ("mode 2", [1]), ("modes 3, 4", [2, 3]), ("modes 5 to 8", [4, 5, 6, 7]))
    ),
    *(
        Claim(f"P17 D={d}", "Fig. 7", f"rectified, depth {d}: last loss less the number of outputs that are off for ever", "0 ± 0.01", -0.01, 0.01,
              lambda d=d: whole(d), PAGE + "relu")
        for d in (2, 3, 4, 7)
    ),
    *(
        Claim(f"P18 c={c} {depths}", "theory", f"depths {depths}, c = {c}: share of the shallow pathway, {'least' if c < 1 else 'greatest'} of modes {modes}",
              said, low, high, lambda c=c, depths=depths, modes=modes: shallow(c, depths, modes), PAGE + "many-seeds")
        for c, depths, modes, said, low, high in (
            (0.1, "2, 3", [1, 2, 3, 5], "above 0.88", 0.88, 1.1), (0.1, "2, 4", [1, 2, 3, 5], "above 0.88", 0.88, 1.1),
            (0.1, "3, 4", [1, 2, 3, 5], "above 0.88", 0.88, 1.1), (4.0, "2, 3", [1], "below 0.2", -0.3, 0.2), (4.0, "2, 4", [1], "below 0.2", -0.3, 0.2),
        )
    ),
    *(
        Claim(f"P19 epoch {epoch}", "Supplement", f"seed 576, depth 7: loss on its plateau at epoch {epoch}", f"{x} ± 0.1", x - 0.1, x + 0.1,
              lambda epoch=epoch: loss_at(7, epoch), PAGE + "loss")
        for epoch, x in ((950, 17.0), (1400, 10.0))
    ),
]  # fmt: skip
