"""What theory says of networks that need no training, or of those kept, in numbers that the ledger reads.

Schuessler et al. (2020), sections 3 and 4, linear networks, and Figure 5, LSTMs; Krause et al. (2022), Figures 1 and 3,
directions; Shi et al. (2022), Figures 3, 5 and 7, pathways.
"""

from itertools import pairwise

import numpy as np
import torch
import xarray as xr
from scipy.optimize import minimize
from scipy.special import gamma
from torch.nn.utils.rnn import pad_sequence

from .. import linear, operative, pathways, rnn, theory
from ..seeds import seed
from . import Experiment, dataset, experiment, fetch, reading, table
from .linear import draw, rate

Held = dict[str, tuple]  # variables: dimensions and values
TABLE = table("checks")
SMALLER = {"paper": 1, "lite": 4, "smoke": 16}  # by which sizes, epochs and steps are divided
SIZES = ("N", "width", "epochs", "steps")


def grid(scale: str) -> list[dict]:
    """Settings of every check, those of the networks that it reads among them."""

    def setting(name: str, value):
        if not isinstance(value, dict):
            return value // SMALLER[scale] if name in SIZES else value
        units = experiment(value["experiment"]).units(scale)
        return [one for one in units if all(one[name] == value[name] for name in value if name != "experiment")]

    return [
        {"check": check, "scale": scale} | {name: setting(name, value) for name, value in own.items()}
        for check, own in TABLE.items()
    ]


def compute(unit: dict, device: torch.device) -> xr.Dataset:
    """One check: its variables, at the labels that stand in its settings."""
    held = CHECKS[unit["check"]](unit)
    return dataset(held, {}, **{dim: unit[dim] for dims, _ in held.values() for dim in dims if dim in unit})


def gradient(unit: dict) -> Held:
    """s2/s1 of the first gradient, from the dense inverse."""
    found = []
    for W0, m, w in (draw(unit["g"], unit["N"], sample) for sample in unit["sample"]):
        B = np.linalg.inv(np.eye(len(W0)) - W0)
        s = np.linalg.svd((1 - w @ B @ m) * np.outer(B.T @ w, B @ m), compute_uv=False)
        found.append(s[1] / s[0])
    return {"ratio": (["sample"], found)}


def moments(unit: dict) -> Held:
    """tr (B B^T)^n / N over its value for large N, B = (I - W0)^-1."""
    g, N, found = unit["g"], unit["N"], []
    for B in (np.linalg.inv(np.eye(N) - draw(g, N, sample)[0]) for sample in unit["sample"]):
        sums = {1: np.sum(B * B), 2: np.sum((B @ B.T) ** 2)}
        found.append([sums[n] / N / theory.moment(g, n) for n in unit["n"]])
    return {"over_theory": (["sample", "n"], found)}


def flow(unit: dict) -> Held:
    """`of_flow` for g = 0, the readout made orthogonal to the input."""
    found = []
    for W0, m, w in (draw(0.0, unit["N"], sample) for sample in unit["sample"]):
        w = w - (w @ m) * m
        net = linear.reduce(W0, m, w / np.linalg.norm(w), k=2)  # the change stays in the plane of w and m
        found.append([[of_flow(net, target, tau) for tau in unit["tau"]] for target in unit["target"]])
    return {"value": (["sample", "target", "tau", "quantity"], found)}


def of_flow(net: linear.Network, target: float, tau: float) -> list[float]:
    """Gradient flow until learning time tau: output and s1 by the third-order series over its own; s2; norm over the
    exact solution's at the end; the eigenvalues of the change over (tau target)^2."""
    z, A = (course[-1] for course in linear.flow(net, target, np.array([0, tau]), 1e-12))
    s, pair = np.linalg.svdvals(A), linear.change_eigenvalues(net, A).real / (tau * target) ** 2
    by_series = theory.output_series(tau, 0, target) / z, theory.first_value_series(tau, 0, target) / s[0]
    norm = np.linalg.norm(A) / np.linalg.norm(theory.exact_change(theory.exact_angle(target)))
    return [*by_series, s[1], norm, pair.max(), pair.min()]


def invariants(unit: dict) -> Held:
    """Relative drift of the two invariants of the gradient flow until learning time tau."""
    found, one = [], np.eye(unit["N"])
    for W0, m, w in (draw(unit["g"], unit["N"], sample) for sample in unit["sample"]):
        net, off_w, off_m = linear.reduce(W0, m, w), one - np.outer(w, w), one - np.outer(m, m)
        A = linear.flow(net, unit["target"], np.array([0, unit["tau"]]), 1e-12)[1][-1]
        ends = [one - W0, one - linear.connectivity(net, W0, A)]
        start, end = (np.stack([off_w @ X.T @ X @ off_w, off_m @ X @ X.T @ off_m]) for X in ends)
        found.append(np.linalg.norm(end - start) / np.linalg.norm(start))
    return {"drift": (["sample"], found)}


def collapse(unit: dict) -> Held:
    """Largest difference of the mean losses of two g at equal effective time, over the loss of a zero output."""
    target, curves = unit["target"], []
    for g in unit["g"]:
        nets = linear.stack([linear.reduce(*draw(g, unit["N"], sample)) for sample in unit["sample"]])
        curves.append(linear.descend(nets, target, rate(g, target), unit["epochs"]).loss.mean(1))
    return {"difference": ([], np.abs(curves[0] - curves[1]).max() / (target**2 / 2))}


def start(unit: dict) -> Held:
    """|W0| / (g sqrt(N)) of the networks of the flip-flop."""
    N, found = unit["N"], []
    for g in unit["g"]:
        seeds = [seed("weights", "flip-flop", N, g, sample) for sample in unit["sample"]]
        drawn = rnn.initialise([g] * len(seeds), N, 2, 2, seeds).W
        found.append(torch.linalg.matrix_norm(drawn) / N**0.5 / g)
    return {"norm": (["g", "sample"], torch.stack(found))}


def laws(unit: dict) -> Held:
    """Singular values of the tree against sqrt(15), ..., 1; the published dK/dt against the chain rule; G at p = 1e4
    against its limit by the Gamma function, infinite at depth 2."""
    p, equation, limit = np.array([[0.1, 0.7, 2.0], [0.4, 0.2, 1.1]]), [], []
    for D in unit["depth"]:
        K = pathways.product(p, D)
        law = ((K / p) ** 2 + (D - 1) * p * (K / p) ** ((D - 3) / (D - 1)) * K) * (30 - K.sum(0))
        equation.append(np.abs(pathways.flow_of_product(K, 30, D) / law - 1).max())
        end = np.sqrt(np.pi) * gamma((D - 2) / 2) / (2 * gamma((D - 1) / 2))
        limit.append(abs(pathways.orbit_constant(1e4, D) / end - 1))
    values = (torch.linalg.svdvals(pathways.target()) - pathways.modes()[1]).abs().max()
    return {"values_error": ([], values), "equation_error": (["depth"], equation), "limit_error": (["depth"], limit)}


def orbits(unit: dict) -> Held:
    """Ends of the published orbits of the phase plane: median share of the winner; largest error of the closed form of
    the share at depth 2; largest drift of atan p_a - atan p_b, constant at depth 3."""
    draws, winner, found = np.random.default_rng(unit["seed"]), [], {}
    for spread in unit["spread"]:
        first = draws.normal(0, spread, (100, 2)).T
        for depth in unit["depth"]:
            K = pathways.orbit(first, 10.0, depth, unit["step"], unit["steps"])[-1]
            winner.append(np.median(K.max(0) / K.sum(0)))
            if depth == 2:
                delta = np.subtract(*np.arcsinh(first))
                law = (1 + np.tanh(delta) * np.sqrt(1 + np.cosh(delta) ** 2 / K.sum(0) ** 2)) / 2
                found.setdefault("error_of_share", []).append(np.abs(K[0] / K.sum(0) - law).max())
            if depth == 3:
                moved = np.diff(np.arctan(pathways.first_layer(K, 3)), axis=0) - np.diff(np.arctan(first), axis=0)
                found.setdefault("drift", []).append(np.abs(moved).max())
    held = {name: (["spread"], values) for name, values in found.items()}
    return held | {"winner": (["spread", "depth"], np.reshape(winner, (len(unit["spread"]), -1)))}


def reduction(unit: dict) -> Held:
    """Largest difference of the maps of networks reduced to Krylov spaces from the full ones': where hidden layers are
    orthogonal, or there are none, and level by level of Gaussian ones (depth 3)."""

    def errors(depth: int, orthogonal: bool, levels: list[int]) -> list[float]:
        net = pathways.initialise((depth,) * 2, unit["width"], [1], orthogonal=orthogonal, dtype=torch.float64)
        nets = [net, *([pathways.reduce(pathway, level) for pathway in net] for level in levels)]
        full, *cut = (pathways.train(each, pathways.target(), epochs=unit["epochs"]).maps for each in nets)
        return [float((full - one).abs().max()) for one in cut]

    of_level = errors(3, False, unit["level"])
    gain = min(one / other for one, other in pairwise(of_level))
    closed = [errors(depth, depth > 2, [0])[0] for depth in unit["depth"]]
    return {"closed": (["depth"], closed), "of_level": (["level"], of_level), "least_gain": ([], gain)}


def two_layers(unit: dict) -> Held:
    """Depth 2: largest error of the shares and half times (epochs) that modes without coupling predict of training."""
    full = pathways.initialise((2, 2), unit["width"], unit["seed"], dtype=torch.float64)
    small = [pathways.reduce(pathway) for pathway in full]
    maps = pathways.train(small, pathways.target(), epochs=unit["epochs"]).maps
    K, (course, shares) = pathways.in_modes(maps).diagonal(dim1=-2, dim2=-1), pathways.two_layers(full, 300)
    half, later = ((both.sum(2) >= pathways.modes()[1] / 2).int().argmax(0) for both in (K, course))
    wrong = (shares[:, 0] - K[-1, :, 0] / K[-1].sum(1)).abs()
    found = {"error_of_shares": wrong, "error_of_half_times": (half - later).abs()}
    return {name: (["seed"], errors.amax(1)) for name, errors in found.items()}


def of_pathways(unit: dict) -> Held:
    """Of the paper's networks: mode equations against training; half time of mode 1 by the published equation over its
    own; drift of W^T W - W W^T of neighbouring layers over the change of W W^T; last loss less the number of outputs
    that should be 1 and are off in both pathways (rectified)."""
    linear, relu = (
        [fetch("pathways-figures", one, unit["scale"]).isel(phi=0, seed=0, depth=0) for one in unit[phi]]
        for phi in ("linear", "relu")
    )
    modes = [equations(net, depth, unit["steps"]) for net, depth in zip(linear, unit["depth"], strict=True)]
    largest = [net["map"].transpose("pathway", "attribute", "item").values.max(0) for net in relu]
    dead = [((pathways.target().numpy() == 1) & (outputs <= 0)).sum() for outputs in largest]
    last = [float(net.loss.dropna("epoch")[-1]) for net in relu]
    return {
        "mode_error": (["depth", "mode"], [error for error, _ in modes]),
        "lateness": (["depth"], [late for _, late in modes]),
        "drift": (["pair"], np.concatenate([(net.drift / net.moved).values.ravel() for net in linear])),
        "beyond_dead": (["depth"], np.subtract(last, dead)),
    }


def equations(net: xr.Dataset, depth: int, steps: int) -> tuple[np.ndarray, float]:
    """Largest error of K/s on the way, the equations of one mode alone against a trained network, (mode,); and the half
    time of mode 1 by the published equation over its own, NaN if it does not come within so many steps."""
    s, K = pathways.modes()[1].numpy(), net.K.dropna("record", how="all").transpose("record", "pathway", "out", "in")
    K, epochs = np.einsum("rpii->rpi", K.values.astype(float)), net.record_epoch.dropna("record").values.astype(int)
    model = pathways.alone(torch.as_tensor(K[:1]), depth, int(epochs[-1]))[epochs, 0].numpy()
    half = pathways.published(K[0], depth, steps)[:, :, 0].sum(1) >= s[0] / 2
    late = half.argmax() / float(net.half_time.sel(mode=1)) if half.any() else np.nan
    return (np.abs(model - K) / s).max((0, 1)), late


def of_directions(unit: dict) -> Held:
    """Of each network: one Euler step without a direction against |a . W r|; the effect of directions orthogonal to the
    drive; singular values of weighted local columns against those of W R; |(W - W_k) R|^2 against the squared values
    left out, k = 10.  Of some: the first local row effect over the best of two searches (BFGS, random starts)."""
    pairs, found = [], []
    for one in unit["networks"]:
        labels, scale = {"task": one["task"], "sample": one["sample"]}, unit["scale"]
        W = fetch("operative-networks", one["group"], scale).W.sel(labels).values
        X = fetch("operative-measures", one, scale).states.sel(labels).values
        pairs.append((torch.as_tensor(W).double(), torch.as_tensor(X).double()))
    for W, X in pairs:
        R, (drive, size), (U, s) = torch.tanh(X), operative.local_columns(W, X), operative.dimensions(W, X, "columns")
        a = torch.ones(len(W), 1).double() / len(W) ** 0.5
        one, other = (0.9 * X + 0.1 * R @ matrix.mT for matrix in (W, operative.remove(W, a)))
        formula = (R @ W.mT @ a).abs()[:, 0]
        free = 1 - drive.sum(1)[:, None] * drive  # one direction a state
        effect = ((free / free.norm(dim=1, keepdim=True)) * drive * size[:, None]).sum(1).abs()
        exact = torch.linalg.svdvals(W @ R.mT)
        missed = ((W - operative.keep(W, U[:, :10])) @ R.mT).square().sum() / s[10:].square().sum()
        step_error = ((one - other).norm(dim=1) / 0.1 - formula).abs().max() / formula.max()
        drives = (s[: len(exact)] - exact).abs().max() / exact[0]
        found.append([step_error, effect.max() / size.max(), drives, (missed - 1).abs()])
    names = ("step_error", "orthogonal_effect", "drives_error", "missed_drive_error")
    held = {name: (["network"], values) for name, values in zip(names, np.transpose(found), strict=True)}
    chosen = enumerate((W, X[np.minimum(unit["state"], len(X) - 1)]) for W, X in pairs[:: unit["every"]])
    return held | {"row_over_search": (["case"], np.concatenate([row_over_search(W, X, n) for n, (W, X) in chosen]))}


def row_over_search(W: torch.Tensor, X: torch.Tensor, seed: int) -> list[float]:
    """First local row effect at states (K, N) over the best that two searches find."""
    rng, matrix, found = np.random.RandomState(seed), W.numpy(), []
    for r, ours in zip(torch.tanh(X).numpy(), operative.local_rows(W, X, 1)[1][:, 0], strict=True):

        def effect(b, r=r):
            return -np.linalg.norm(matrix @ b) * abs(b @ r) / (b @ b)

        best = min(minimize(effect, rng.standard_normal(len(r)), tol=1e-10).fun for _ in range(2))
        found.append(float(ours) / -best)
    return found


def lstm(unit: dict) -> Held:
    """Singular values of every matrix of LSTMs before and after training, and of its change; trained parameters."""
    held = {}
    for stage in ("networks", "matched"):
        ends = [reading.restore(one)[1:] for one in unit[stage]]
        each = [W for b, a in ends for name in unit["matrix"] for W in (b[name], a[name], a[name] - b[name])]
        values = pad_sequence([torch.linalg.svdvals(W) for W in each], batch_first=True, padding_value=torch.nan)
        held["values_" + stage] = (["of_" + stage, "matrix", "of", "index"], values.unflatten(0, (len(ends), -1, 3)))
    return held | {"parameters": ([], sum(W.numel() for W in ends[0][1].values()))}


LINEAR, TREE = (gradient, moments, flow, invariants, collapse, start), (laws, orbits, reduction, two_layers)
CHECKS = {check.__name__: check for check in (*LINEAR, *TREE, of_pathways, of_directions, lstm)}
EXPERIMENTS = {"checks": Experiment(grid, "{check}", compute)}
