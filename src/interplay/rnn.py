"""Initialise, simulate and train an ensemble of vanilla RNNs.

`dh/dt = -h + W phi(h) + M u + noise`, `z = v^T phi(h)` (Schuessler et al. 2020, eq. 1), with Euler step dt in units of
the neuronal time constant: `h[k+1] = (1-dt) h[k] + dt (W phi(h[k]) + M u[k] + noise[k])`, `z[k] = v^T phi(h[k+1])`.
Tensors of time loops are (time, network, trial, channel); all networks of an ensemble run in the same matrix products.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from . import edge

Nonlinearity = str | Callable[[Tensor], Tensor]
PHI = MappingProxyType({"tanh": torch.tanh, "linear": torch.clone, "relu": torch.relu})  # another is given as it is
SLOPE = {"tanh": lambda rate: 1 - rate**2, "linear": torch.ones_like, "relu": torch.sign}  # phi'(h), of phi(h)
AXES = {
    "W": "network N N", "M": "network N n_in", "v": "network N n_out", "inputs": "time network trial n_in",
    "h0": "network N", "noise": "time network trial N",
}  # fmt: skip


class Weights(NamedTuple):
    """W (network, N, N), input vectors M (network, N, n_in), readout vectors v (network, N, n_out)."""

    W: Tensor
    M: Tensor
    v: Tensor


class Training(NamedTuple):
    """Final weights; loss and gradient norm (epoch, network); W (network, N, N) before an epoch's update; divergences.

    `diverged` maps a network's name to the epoch at which its loss was no longer finite.
    """

    weights: Weights
    loss: Tensor
    gradient_norm: Tensor
    snapshots: dict[int, Tensor]
    diverged: dict[str, int]


def device(name: str | torch.device = "auto") -> torch.device:
    """The device called `name` ("auto", "cpu", "cuda", "cuda:1"); "auto" takes a GPU when there is one."""
    cards = torch.cuda.device_count()
    there = ["auto", "cpu", *["cuda"][:cards], *(f"cuda:{i}" for i in range(cards))]
    name = edge.one_of("device", str(name), there)
    return torch.device(there[min(2, len(there) - 1)] if name == "auto" else name)


def initialise(g: float | Sequence[float], N: int, n_in: int, n_out: int, seeds: Sequence, **kind) -> Weights:
    """Random networks: W ~ N(0, g^2/N), columns of M of norm sqrt(N), of v of norm 1/sqrt(N) (Schuessler et al. 2020).

    g    : initial coupling of each network (one number: of one), dimensionless, >= 0
    seeds: one a network, of `seeds.seed` or a number; drawn by numpy's frozen `RandomState`, guaranteed (NEP 19)
    kind : dtype and device of the tensors
    Raises ValueError for a negative or non-finite g, N < 1, or numbers of g and seeds that differ.
    """
    g, seeds = [edge.number("initial coupling g", x, 0) for x in edge.several(g)], edge.several(seeds)
    N = edge.number("number of units N", N, 1, whole=True)
    edge.number(f"number of seeds for {len(g)} values of g", len(seeds), len(g), len(g))
    drawn = []
    for coupling, seed in zip(g, seeds, strict=True):
        rng = np.random.RandomState(np.random.MT19937(seed.item() if hasattr(seed, "item") else seed))
        W = coupling / np.sqrt(N) * rng.standard_normal((N, N))
        M, v = rng.standard_normal((N, n_in)), rng.standard_normal((N, n_out))
        drawn.append((W, M * np.sqrt(N) / np.linalg.norm(M, axis=0), v / np.sqrt(N) / np.linalg.norm(v, axis=0)))
    kind = {"dtype": torch.float32, "device": "cpu"} | kind
    return Weights(*(torch.as_tensor(np.stack(part), **kind) for part in zip(*drawn)))


def steps(
    W: Tensor, M: Tensor, inputs: Tensor, h0: Tensor | None, noise: Tensor | None, dt: float, phi: Callable
) -> Iterator[tuple[Tensor, Tensor]]:
    """The Euler map: states h and rates phi(h), each (network, trial, N), of the start and after every step."""
    h = W.new_zeros(W.shape[:2]) if h0 is None else h0
    h = h if h.dim() == 3 else h[:, None].expand(-1, inputs.shape[2], -1)
    yield h, (rate := phi(h))
    for k, u in enumerate(inputs):
        drive = rate @ W.mT + u @ M.mT
        h = torch.lerp(h, drive if noise is None else drive + noise[k], dt)
        yield h, (rate := phi(h))


class BackThroughTime(torch.autograd.Function):
    """Outputs of the Euler map, and its gradient by hand: one matrix product over all steps and trials a weight.

    With rates r[k] and a[k] = dL/dh[k]: dL/dW = dt sum_k a[k+1] r[k]^T, dL/dM = dt sum_k a[k+1] u[k]^T, and
    a[k] = (1-dt) a[k+1] + phi'(h[k]) (dt W^T a[k+1] + v dL/dz[k-1]).  Rates and a are kept as (network, time, trial,
    unit), so that a sum over steps and trials is one product of whole arrays.
    """

    @staticmethod
    def forward(ctx, W, M, v, inputs, h0, noise, dt, nonlinearity):
        rates = torch.stack([rate for _, rate in steps(W, M, inputs, h0, noise, dt, PHI[nonlinearity])], 1)
        ctx.save_for_backward(W, v, inputs, rates)
        ctx.dt, ctx.slope, ctx.starts = dt, SLOPE[nonlinearity], 0 if h0 is None else h0.dim()
        return (rates[:, 1:] @ v[:, None]).transpose(0, 1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    @edge.whole_precision()
    def backward(ctx, dz):
        (W, v, inputs, rates), dt, kept = ctx.saved_tensors, ctx.dt, []
        a = torch.zeros_like(rates[:, 0])
        for k in reversed(range(len(dz))):
            back = torch.baddbmm(dz[k] @ v.mT, a, W, alpha=dt)
            a = torch.addcmul((1 - dt) * a, ctx.slope(rates[:, k + 1]), back)
            kept.append(a)
        dh0 = (1 - dt) * a + dt * ctx.slope(rates[:, 0]) * (a @ W) if ctx.starts else None
        adjoint = torch.stack(kept[::-1], 1).flatten(1, 2).mT
        dW, dM = (dt * adjoint @ x.flatten(1, 2) for x in (rates[:, :-1], inputs.transpose(0, 1)))
        dv = rates[:, 1:].flatten(1, 2).mT @ dz.transpose(0, 1).flatten(1, 2)
        return dW, dM, dv, None, dh0.sum(1) if ctx.starts == 2 else dh0, None, None, None


def _checked(weights, inputs, dt, nonlinearity, h0, noise) -> tuple:
    """Tensors of one dtype and of shapes that fit; ValueError for what does not, or an Euler step that will not do."""
    dt = edge.euler_step(dt)
    if not callable(nonlinearity):
        edge.one_of("nonlinearity", nonlinearity, PHI)
    given = zip(AXES, (*weights, inputs, h0, noise), strict=True)
    parts = {name: edge.tensor(name, part) for name, part in given if part is not None}
    axes = {name: AXES[name].split() for name in parts} | {"h0": ["network", *["trial"] * (np.ndim(h0) == 3), "N"]}
    sizes, networks = {}, 1
    for name, part in parts.items():
        sizes |= edge.shape(name, part, *axes[name], **sizes)
        networks = max(networks, sizes.pop("network"))
        edge.one_of(f"dtype of {name} beside W", part.dtype, (parts["W"].dtype,))
    for name, part in parts.items():
        axis = axes[name].index("network")
        edge.one_of(f"number of networks of {name}", part.shape[axis], sorted({1, networks}))
        parts[name] = part.expand(*part.shape[:axis], networks, *part.shape[axis + 1 :])
    W, M, v, inputs, h0, noise = map(parts.get, AXES)
    return Weights(W, M, v), inputs, h0, noise, dt


@edge.whole_precision()
def outputs(
    weights: Weights,
    inputs: Tensor,
    *,
    dt: float,
    nonlinearity: Nonlinearity = "tanh",
    h0: Tensor | None = None,
    noise: Tensor | None = None,
) -> Tensor:
    """Outputs z (time, network, trial, n_out), differentiable in W, M, v and h0.

    inputs: (time, network, trial, n_in); h0: (network, N) or (network, trial, N), zeros if None; one network of any
        of these, and of the weights, stands for as many as the others have
    noise: (time, network, trial, N) or None
    nonlinearity: "tanh", "linear" or "relu", by `BackThroughTime`; any other function by autograd, more slowly
    Raises ValueError for shapes or names that do not fit, dt not from 0.001 to 1, dtypes but float32 and float64.
    """
    weights, inputs, h0, noise, dt = _checked(weights, inputs, dt, nonlinearity, h0, noise)
    if callable(nonlinearity):
        run = islice(steps(*weights[:2], inputs, h0, noise, dt, nonlinearity), 1, None)
        return torch.stack([rate @ weights.v for _, rate in run])
    return BackThroughTime.apply(*weights, inputs, h0, noise, dt, nonlinearity)


@torch.no_grad()
@edge.whole_precision()
def simulate(
    weights: Weights,
    inputs: Tensor,
    *,
    dt: float,
    nonlinearity: Nonlinearity = "tanh",
    h0: Tensor | None = None,
    noise: Tensor | None = None,
    keep_states: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Outputs (time, network, trial, n_out) and, if asked for, states h after each step (time, network, trial, N).

    Nothing is kept for a gradient, so that many networks and trials fit.  Shapes and errors as in `outputs`.
    """
    weights, inputs, h0, noise, dt = _checked(weights, inputs, dt, nonlinearity, h0, noise)
    run = islice(steps(*weights[:2], inputs, h0, noise, dt, PHI.get(nonlinearity, nonlinearity)), 1, None)
    z, states = zip(*((rate @ weights.v, h if keep_states else None) for h, rate in run))
    return torch.stack(z), torch.stack(states) if keep_states else None


def loss(z: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Loss of each network, 1/2 sum mask (target - z)^2 / sum mask, over time, trial and channel: (network,).

    Raises ValueError for shapes that do not fit, or if the mask of a network is all zero.
    """
    given, axes = {"outputs": z, "targets": targets, "mask": mask}, ("time", "network", "trial", "n_out")
    sizes = {axes[i]: z.shape[i] for i in (0, 2, 3)} if z.ndim == 4 else {}
    z, targets, mask = (edge.tensor(name, x, *axes, widen=True, **sizes) for name, x in given.items())
    weight = mask.sum((0, 2, 3))
    if (weight == 0).any():
        raise ValueError(f"mask of network {int((weight == 0).nonzero()[0])} is all zero: no time step would be scored")
    return 0.5 * (mask * (targets - z) ** 2).sum((0, 2, 3)) / weight


def _prepared(weights, lr, epochs, optimiser, trained, names, mask) -> tuple:
    """What `train` moves, one parameter a network and weight: each has its own rate, and can be stopped alone."""
    networks, given = len(weights[0]), zip("WMv", weights, strict=True)
    weights = Weights(*(edge.tensor(x, w, *AXES[x].split(), network=networks).detach() for x, w in given))
    names = edge.several([f"network {n}" for n in range(networks)] if names is None else names)
    rates = [edge.number("learning rate", rate, above=0) for rate in edge.several(lr)]
    rates *= networks if len(rates) == 1 else 1
    edge.number("number of epochs", epochs, 1, whole=True)
    kind = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD, "momentum": partial(torch.optim.SGD, momentum=0.9)}
    for letter in trained or " ":
        edge.one_of("weights to train", letter, "WMv")
    for what, given in (("learning rates", rates), ("names", names)):
        edge.number(f"number of {what} for {networks} networks", len(given), networks, networks)
    exists = torch.ones_like(weights.W[0]) if mask is None else edge.plain(mask).to(weights.W)
    edge.shape("mask", exists, *["network"] * (exists.ndim == 3), "N", "N", network=networks, N=weights.W.shape[-1])
    edge.number("number of entries of mask beside 0 and 1", ((exists != 0) & (exists != 1)).sum(), 0, 0)
    copies = [[w.clone(memory_format=torch.contiguous_format) for w in one] for one in zip(*weights, strict=True)]
    leaves = [[w.requires_grad_(name in trained) for name, w in zip("WMv", one, strict=True)] for one in copies]
    groups = [{"params": [w for w in one if w.requires_grad], "lr": rate} for one, rate in zip(leaves, rates)]
    return leaves, exists, kind[edge.one_of("optimiser", optimiser, kind)](groups, fused=True), names


def _updated(step: torch.optim.Optimizer, leaves: list[list[Tensor]], losses: Tensor) -> tuple[Tensor, Tensor]:
    """Losses and gradient norms (network,); each network is updated until its loss is no longer finite."""
    step.zero_grad()
    losses.sum().backward()
    for group, fine in zip(step.param_groups, losses.isfinite(), strict=True):
        group["params"] = group["params"] if fine else []
    step.step()
    norms = [torch.nn.utils.get_total_norm([w.grad for w in one if w.requires_grad]) for one in leaves]
    return losses.detach(), torch.stack(norms)


def _whole(leaves: list[list[Tensor]], exists: Tensor) -> Weights:
    W, M, v = map(torch.stack, zip(*leaves, strict=True))
    return Weights(W * exists, M, v)


@torch.inference_mode(False)
@torch.enable_grad()
@edge.whole_precision()
def train(
    weights: Weights,
    trials: Callable[[int], tuple[Tensor, Tensor, Tensor]],
    *,
    epochs: int,
    lr: float | Sequence[float],
    dt: float,
    nonlinearity: Nonlinearity = "tanh",
    optimiser: str = "adam",
    trained: str = "WMv",
    h0: Tensor | None = None,
    snapshots: Sequence[int] = (),
    names: Sequence[str] | None = None,
    progress: bool = True,
    mask: Tensor | None = None,
    objective: Callable[[Tensor, Tensor, Tensor], Tensor] = loss,
    callback: Callable[[int, Weights, Tensor], object] | None = None,
) -> Training:
    """Gradient descent on the loss of every network at once; one epoch is one update on fresh trials.

    trials    : epoch -> inputs, targets, mask, each (time, network, trial, channel)
    lr        : learning rate, one for all or one a network, of "adam" (PyTorch's; 0.05/N), "sgd" or "momentum" (0.9)
    trained   : which of W, M, v change, e.g. "W"
    snapshots : epochs at which W is recorded before the update; `epochs` means after the last one
    mask      : 0 or 1, (N, N) or (network, N, N), of connections that exist: the others are and stay 0
    objective : outputs, targets, mask of the trials -> loss (network,)
    callback  : called before every update with epoch, weights and losses
    A network whose loss is no longer finite keeps its last weights, is named in a warning, and the others go on.
    Raises ValueError for an unknown optimiser, weights to train that do not exist, epochs < 1, and as `outputs`.
    """
    leaves, exists, step, names = _prepared(weights, lr, epochs, optimiser, trained, names, mask)
    course, kept, snapshots = [], {}, edge.several(snapshots)
    silent = {} if progress else {"disable": True}  # TQDM_DISABLE=1 silences the rest
    for epoch in tqdm(range(epochs), desc=names[0], file=sys.stdout, leave=False, **silent):
        whole = _whole(leaves, exists)
        if epoch in snapshots:
            kept[epoch] = whole.W.detach().cpu()
        inputs, targets, scored = map(edge.plain, trials(epoch))
        losses = objective(outputs(whole, inputs, dt=dt, nonlinearity=nonlinearity, h0=h0), targets, scored)
        edge.shape("losses of the objective", losses, "network", network=len(leaves))
        if callback:
            callback(epoch, Weights(*(w.detach() for w in whole)), losses.detach())
        course.append(_updated(step, leaves, losses))
    final = Weights(*(w.detach() for w in _whole(leaves, exists)))
    if epochs in snapshots:
        kept[epochs] = final.W.cpu()
    history, norms = (torch.stack(part).cpu() for part in zip(*course, strict=True))
    return Training(final, history, norms, kept, edge.diverged(history, names))
