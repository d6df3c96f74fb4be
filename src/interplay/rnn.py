"""Initialise, simulate and train an ensemble of vanilla RNNs.

`dh/dt = -h + W phi(h) + M u + noise`, `z = v^T phi(h)` (Schuessler et al. 2020, eq. 1), with Euler step dt in units of
the neuronal time constant: `h[k+1] = (1-dt) h[k] + dt (W phi(h[k]) + M u[k] + noise[k])`, `z[k] = v^T phi(h[k+1])`.
Tensors of time loops are (time, network, trial, channel); all networks of an ensemble run in the same matrix products.
"""

import sys
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from . import onednn

PHI = {"tanh": torch.tanh, "linear": lambda h: h}


class Weights(NamedTuple):
    """W (network, N, N), input vectors M (network, N, n_in), readout vectors v (network, N, n_out)."""

    W: Tensor
    M: Tensor
    v: Tensor


class Training(NamedTuple):
    """What training gives: final weights, loss and gradient norm (epoch, network), W at chosen epochs, divergences.

    `snapshots` maps an epoch to W (network, N, N) before that epoch's update; `diverged` maps a network's name to the
    epoch at which its loss was no longer finite.
    """

    weights: Weights
    loss: Tensor
    gradient_norm: Tensor
    snapshots: dict[int, Tensor]
    diverged: dict[str, int]


def device(name: str = "auto") -> torch.device:
    """The device called `name` ("auto", "cpu", "cuda", "cuda:1"); "auto" takes a GPU when there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    there = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if name not in there and not (name == "cuda" and len(there) > 1):
        raise ValueError(f"device {name!r} is not there: choose auto or one of {', '.join(there)}")
    return torch.device(name)


def initialise(
    g: Sequence[float], N: int, n_in: int, n_out: int, seeds: Sequence[np.random.SeedSequence], **kind
) -> Weights:
    """Random networks: W ~ N(0, g^2/N), columns of M of norm sqrt(N), of v of norm 1/sqrt(N) (Schuessler et al. 2020).

    g    : initial coupling of each network, dimensionless, >= 0
    seeds: one a network; drawn by numpy's frozen `RandomState`, whose stream is guaranteed (NEP 19)
    kind : dtype and device of the tensors
    Raises ValueError for a negative or non-finite g, N < 1, or numbers of g and seeds that differ.
    """
    if bad := [x for x in g if not (np.isfinite(x) and x >= 0)]:
        raise ValueError(f"initial coupling g is {bad[0]}, but must be finite and >= 0")
    if N < 1:
        raise ValueError(f"number of units N is {N}, but must be at least 1")
    if len(g) != len(seeds):
        raise ValueError(f"{len(g)} values of g and {len(seeds)} seeds: one of each a network is needed")
    drawn = []
    for coupling, seed in zip(g, seeds, strict=True):
        rng = np.random.RandomState(np.random.MT19937(seed))
        W = coupling / np.sqrt(N) * rng.standard_normal((N, N))
        M, v = rng.standard_normal((N, n_in)), rng.standard_normal((N, n_out))
        drawn.append((W, M * np.sqrt(N) / np.linalg.norm(M, axis=0), v / np.sqrt(N) / np.linalg.norm(v, axis=0)))
    return Weights(*(torch.as_tensor(np.stack(part), **{"dtype": torch.float32} | kind) for part in zip(*drawn)))


def memory(buffers: dict[str, Tensor], name: str, like: Tensor, shape: Sequence[int]) -> Tensor:
    """An uninitialised tensor of this shape, that of an earlier epoch if it was kept in `buffers`.

    Large blocks that come and go each epoch, among small ones that stay, let the heap of a long run grow.
    """
    if name not in buffers or buffers[name].shape != tuple(shape):
        buffers[name] = like.new_empty(shape)
    return buffers[name]


class BackThroughTime(torch.autograd.Function):
    """Outputs of the Euler map, and its gradient by hand: one matrix product over all steps and trials a weight.

    With x[k] = (r[k], u[k]) and a[k] = dL/dh[k]: dL/d(W, M) = dt sum_k a[k+1] x[k]^T, and
    a[k] = (1-dt) a[k+1] + phi'(h[k]) (dt W^T a[k+1] + v dL/dz[k-1]), whose bracket is a product of (a[k+1], dL/dz[k-1])
    and (dt W, v^T).  x[0 ... T] and a[1 ... T+1], a[T+1] = 0, are kept as (network, time, trial, unit), so that the sum
    over k and trials is one product of whole arrays.  oneDNN copies slices: the step at hand has memory of its own.
    """

    @staticmethod
    def forward(ctx, W, M, v, inputs, h0, noise, dt, nonlinearity, buffers=None):
        (steps, networks, trials), (N, n_in) = inputs.shape[:3], M.shape[1:]
        h = h0.clone() if h0.dim() == 3 else h0[:, None].repeat(1, trials, 1)
        ctx.buffers = buffers = {} if buffers is None else buffers
        weights = memory(buffers, "forward", W, (networks, N + n_in, N))
        weights[:, :N], weights[:, N:] = W.mT, M.mT
        drive, minus_one = torch.empty_like(h), h.new_tensor(-1)
        x = torch.cat([PHI[nonlinearity](h), h.new_zeros(networks, trials, n_in)], 2)
        rate, u = x[..., :N], x[..., N:]
        kept = memory(buffers, "states", x, (networks, steps + 1, *x.shape[1:]))
        for k in range(steps):
            u.copy_(inputs[k])
            kept[:, k] = x
            torch.bmm(x, weights, out=drive)
            h.lerp_(drive if noise is None else drive.add_(noise[k]), dt)
            if nonlinearity == "tanh":  # as 2 sigmoid(2h) - 1: three passes, yet three times faster on a CPU
                torch.mul(h, 2, out=drive).sigmoid_()
                torch.add(minus_one, drive, alpha=2, out=rate)
            else:
                rate.copy_(h)
        kept[:, steps] = x
        ctx.save_for_backward(W, v, kept)
        ctx.dt, ctx.nonlinearity, ctx.each_trial = dt, nonlinearity, h0.dim() == 3
        z = torch.bmm(kept.view(networks, (steps + 1) * trials, -1), nn.functional.pad(v, (0, 0, 0, n_in)))
        return z.view(networks, steps + 1, trials, -1)[:, 1:].transpose(0, 1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dz):
        (W, v, kept), dt = ctx.saved_tensors, ctx.dt
        (steps, networks, trials), N = dz.shape[:3], W.shape[-1]
        y, rates = dz.new_zeros(networks, trials, N + v.shape[-1]), kept[..., :N]
        weights = memory(ctx.buffers, "backward", W, (networks, y.shape[-1], N))
        torch.mul(W, dt, out=weights[:, :N])
        weights[:, N:] = v.mT
        later, back = y[..., :N], y.new_empty(networks, trials, N)
        a = memory(ctx.buffers, "gradients", y, (networks, steps + 1, trials, N))
        a[:, steps] = 0
        for k in reversed(range(steps)):
            y[..., N:] = dz[k]
            torch.bmm(y, weights, out=back)
            if ctx.nonlinearity == "tanh":
                torch.ops.aten.tanh_backward.grad_input(back, rates[:, k + 1], grad_input=back)
            a[:, k] = later.mul_(1 - dt).add_(back)
        dh0 = dt * torch.bmm(a[:, 0], W)
        dh0 = (dh0 * (1 - rates[:, 0] ** 2) if ctx.nonlinearity == "tanh" else dh0) + (1 - dt) * a[:, 0]
        a, x = (whole.view(networks, (steps + 1) * trials, -1) for whole in (a, kept))
        dWM = torch.bmm(a.mT, x, out=memory(ctx.buffers, "change", W, (networks, N, x.shape[-1]))).mul_(dt)
        dz = nn.functional.pad(dz.transpose(0, 1), (0, 0, 0, 0, 1, 0)).reshape(networks, len(x[0]), -1)
        # the fused optimiser takes memory in order
        dW = memory(ctx.buffers, "change of W", W, W.shape).copy_(dWM[..., :N])
        dM, dv = dWM[..., N:].contiguous(), torch.bmm(dz.mT, x)[..., :N].mT.contiguous()
        return dW, dM, dv, None, dh0 if ctx.each_trial else dh0.sum(1), None, None, None, None


def outputs(
    weights: Weights,
    inputs: Tensor,
    *,
    dt: float,
    nonlinearity: str = "tanh",
    h0: Tensor | None = None,
    noise: Tensor | None = None,
    buffers: dict[str, Tensor] | None = None,
) -> Tensor:
    """Outputs z (time, network, trial, n_out), differentiable in W, M, v and h0 by `BackThroughTime`.

    inputs: (time, network, trial, n_in); h0: (network, N) or (network, trial, N), zeros if None
    noise: (time, network, trial, N) or None
    buffers: memory that the next call with the same dictionary uses again, that of the gradient of W included
    """
    h0 = weights.W.new_zeros(weights.W.shape[:2]) if h0 is None else h0
    return BackThroughTime.apply(*weights, inputs, h0, noise, dt, nonlinearity, buffers)


@torch.no_grad()
def simulate(
    weights: Weights,
    inputs: Tensor,
    *,
    dt: float,
    nonlinearity: str = "tanh",
    h0: Tensor | None = None,
    noise: Tensor | None = None,
    keep_states: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Outputs (time, network, trial, n_out) and, if asked for, states h after each step (time, network, trial, N).

    The plain loop: nothing is kept for a gradient, so that many networks and trials fit.  Shapes as in `outputs`.
    """
    (W, M, v), phi, z, states = weights, PHI[nonlinearity], [], []
    h = W.new_zeros(W.shape[0], inputs.shape[2], W.shape[1]) if h0 is None else h0 if h0.dim() == 3 else h0[:, None]
    for k, u in enumerate(inputs):
        drive = u @ M.transpose(1, 2) + (0 if noise is None else noise[k])
        h = (1 - dt) * h + dt * (phi(h) @ W.transpose(1, 2) + drive)
        z.append(phi(h) @ v)
        states += [h] if keep_states else []
    return torch.stack(z), torch.stack(states) if keep_states else None


def loss(z: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Loss of each network, 1/2 sum mask (target - z)^2 / sum mask, over time, trial and channel: (network,).

    Raises ValueError if the mask of a network is all zero.
    """
    weight = mask.sum((0, 2, 3))
    if (weight == 0).any():
        raise ValueError(f"mask of network {int((weight == 0).nonzero()[0])} is all zero: no time step would be scored")
    return 0.5 * (mask * (targets - z) ** 2).sum((0, 2, 3)) / weight


@onednn.products()
def train(
    weights: Weights,
    trials: Callable[[int], tuple[Tensor, Tensor, Tensor]],
    *,
    epochs: int,
    lr: float | Sequence[float],
    dt: float,
    nonlinearity: str = "tanh",
    optimiser: str = "adam",
    trained: str = "WMv",
    h0: Tensor | None = None,
    snapshots: Sequence[int] = (),
    names: Sequence[str] | None = None,
    progress: bool = True,
) -> Training:
    """Gradient descent on the loss of every network at once; one epoch is one update on fresh trials.

    trials    : epoch -> inputs, targets, mask, each (time, network, trial, channel)
    lr        : learning rate, one for all or one a network (the paper: 0.05/N); Adam with PyTorch's defaults, or "sgd"
    trained   : which of W, M, v change, e.g. "W"
    snapshots : epochs at which W is recorded before the update; `epochs` means after the last one
    A network whose loss is no longer finite keeps its last weights, is named in a warning, and the others go on.
    Raises ValueError for an unknown optimiser or nonlinearity, weights to train that do not exist, or epochs < 1.
    """
    networks = len(weights.W)
    rates = [lr] * networks if isinstance(lr, (int, float)) else list(lr)
    names = [f"network {n}" for n in range(networks)] if names is None else names
    for value, allowed, what in ((optimiser, ("adam", "sgd"), "optimiser"), (nonlinearity, PHI, "nonlinearity")):
        if value not in allowed:
            raise ValueError(f"unknown {what} {value!r}: choose one of {', '.join(allowed)}")
    if epochs < 1 or not trained or set(trained) - set("WMv") or len(rates) != networks or len(names) != networks:
        raise ValueError(
            f"epochs {epochs}, trained {trained!r}, {len(rates)} learning rates, {len(names)} names: epochs must be at "
            f"least 1, trained made of W, M, v, and there must be one rate and one name for each of {networks} networks"
        )
    weights = Weights(*(w.detach().clone() for w in weights))
    moving = [getattr(weights, name).requires_grad_() for name in "WMv" if name in trained]
    # One parameter a network and weight, all views of the ensemble: each has its own rate, and can be stopped alone.
    leaves = [[w.detach()[n].requires_grad_() for w in moving] for n in range(networks)]
    groups = [
        {"params": leaf, "lr": rate, "network": n} for n, (leaf, rate) in enumerate(zip(leaves, rates, strict=True))
    ]
    kind = torch.optim.Adam if optimiser == "adam" else torch.optim.SGD
    step = kind(groups, fused=True)
    history, norms, kept, diverged, buffers = [], [], {}, {}, {}
    silent = {} if progress else {"disable": True}  # TQDM_DISABLE=1 silences the rest
    for epoch in tqdm(range(epochs), desc=names[0], file=sys.stdout, leave=False, **silent):
        if epoch in snapshots:
            kept[epoch] = weights.W.detach().cpu().clone()
        inputs, targets, mask = trials(epoch)
        z = outputs(weights, inputs, dt=dt, nonlinearity=nonlinearity, h0=h0, buffers=buffers)
        losses = loss(z, targets, mask)
        gradients = torch.autograd.grad(losses.sum(), moving)
        for n, leaf in enumerate(leaves):
            for parameter, gradient in zip(leaf, gradients, strict=True):
                parameter.grad = gradient[n]
        history.append(losses.detach())
        norms.append(
            torch.stack([torch.linalg.vector_norm(gradient, dim=(1, 2)) for gradient in gradients]).norm(dim=0)
        )
        if not torch.isfinite(losses).all():
            lost = [group for group in step.param_groups if not torch.isfinite(losses[group["network"]])]
            diverged |= {names[group["network"]]: epoch for group in lost}
            step.param_groups = [group for group in step.param_groups if torch.isfinite(losses[group["network"]])]
        step.step()
    if epochs in snapshots:
        kept[epochs] = weights.W.detach().cpu().clone()
    if diverged:
        warnings.warn("diverged: " + "; ".join(f"{name} at epoch {k}" for name, k in diverged.items()), stacklevel=2)
    final = Weights(*(w.detach() for w in weights))
    return Training(final, torch.stack(history).cpu(), torch.stack(norms).cpu(), kept, diverged)
