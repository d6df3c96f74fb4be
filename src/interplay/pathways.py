"""Parallel pathways of linear, rectified or tanh layers whose outputs add up (Shi, Shea-Brown and Buice 2022).

A pathway is a list of weights, first layer first, each (network, out, in): all networks of an ensemble run in the same
matrix products.  The inputs are the rows of the identity, so a pathway's effective map is its output on the identity.
One epoch of gradient descent on the summed squared error advances the gradient flow of half that error by 2 lr.
"""

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
import scipy
import torch
from torch import Tensor

from . import edge
from .rnn import PHI, SLOPE

Pathway = list[Tensor]
CLOSED = 1e-9  # directions shorter than this, of unit vectors, add nothing to a subspace


class Training(NamedTuple):
    """Final weights, loss (epoch, network), effective maps (record, network, pathway, out, in) before those epochs."""

    pathways: list[Pathway]
    loss: Tensor
    maps: Tensor


def target(dtype: torch.dtype = torch.float64) -> Tensor:
    """The map to be learned, (15, 8): column i holds the attributes of item i, a balanced binary tree.

    Rows: the root, two halves, four pairs, eight leaves.  Singular values sqrt 15, sqrt 7, sqrt 3 twice, 1 four times.
    """
    return torch.cat([torch.eye(8 // n, dtype=dtype).repeat_interleave(n, 1) for n in (8, 4, 2, 1)])


def modes(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Singular modes U (15, 8), s (8,), V (8, 8) of the target, in the Haar basis.

    Equal singular values leave a numerical SVD free to turn its vectors; the Haar wavelets are one fixed choice.
    """
    M = target(dtype)
    V = torch.stack([M[0], *(left - right for left, right in zip(M[1::2], M[2::2], strict=True))], 1)
    V = V / V.norm(dim=0)
    image = M @ V
    return image / image.norm(dim=0), image.norm(dim=0), V


def in_modes(maps: Tensor) -> Tensor:
    """K = U^T Omega V of effective maps (..., 15, 8): (..., 8, 8), one row and column a mode."""
    maps = edge.tensor("maps", maps, "...", "attribute", "item", widen=True, attribute=15, item=8)
    U, _, V = (part.to(maps.device) for part in modes())
    return (U.mT @ maps.double() @ V).to(maps)


def initialise(
    depths: Sequence[int],
    width: int,
    seeds: Sequence[int],
    *,
    scale: float = 0.1,
    earlier: Sequence[int] = (),
    orthogonal: bool = False,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
) -> list[Pathway]:
    """Random pathways, one of each depth (number of weight matrices), entries N(0, scale / width).

    The stream is that of the published code: drawn in float32, pathway by pathway from the input on, each matrix after
    as many uniform numbers; `earlier` lists depths of two-pathway networks drawn before from the same seed.
    With `orthogonal`, hidden matrices are sqrt(scale) times an orthogonal one.
    Raises ValueError for a depth below 1, a width below 1, a scale that is not positive, or no seeds.
    """
    depths, seeds = edge.several(depths), edge.several(seeds)
    for name, value in (*(("depth", d) for d in depths), ("width", width), ("number of pathways", len(depths))):
        edge.number(name, value, 1, whole=True)
    edge.number("scale", scale, above=0)
    edge.number("number of seeds", len(seeds), 1)

    def draw(depth, stream):
        widths, drawn = [8, *[width] * (depth - 1), 15], []
        for out, into in zip(widths[1:], widths[:-1], strict=True):
            kind = {"generator": stream, "dtype": torch.float32, "device": "cpu"}
            torch.rand(out, into, **kind)  # the default weights that the published code overwrites
            W = torch.randn(out, into, **kind) * math.sqrt(scale / width)
            if orthogonal and out == into == width:
                W = torch.linalg.qr(W.double())[0] * math.sqrt(scale)
            drawn.append(W.to(device, dtype))
        return drawn

    networks = []
    for seed in seeds:
        stream = torch.Generator().manual_seed(edge.number("seed", seed, whole=True))
        for depth in earlier:
            draw(depth, stream), draw(depth, stream)
        networks.append([draw(depth, stream) for depth in depths])
    return [[torch.stack(layers) for layers in zip(*same, strict=True)] for same in zip(*networks, strict=True)]


def _activations(pathway: Pathway, phi: str) -> list[Tensor]:
    """Of the input, which is the identity, and of every layer: (network, item, width), faster than columns."""
    items = torch.eye(pathway[0].shape[-1], dtype=pathway[0].dtype, device=pathway[0].device)
    return list(accumulate(pathway, lambda a, W: PHI[phi](a @ W.mT), initial=items.expand(len(pathway[0]), -1, -1)))


def check(pathways: list[Pathway], goal: Tensor) -> None:
    """Raise ValueError unless there are pathways, of one dtype, and widths fit, from input to output of the goal."""
    edge.number("number of pathways", len(pathways), 1)
    for which, pathway in enumerate(pathways):
        edge.number(f"depth of pathway {which}", len(pathway), 1)
        width = goal.shape[-1]
        for layer, W in enumerate(pathway):
            name = f"layer {layer} of pathway {which}"
            width = edge.tensor(name, W, "network", "out", "in", **{"in": width}).shape[1]
            edge.one_of(f"dtype of {name} beside the first", W.dtype, (pathways[0][0].dtype,))
        edge.number(f"width of the output of pathway {which}", width, goal.shape[-2], goal.shape[-2])


@torch.inference_mode(False)
@torch.no_grad()
@edge.whole_precision()
def train(
    pathways: list[Pathway],
    goal: Tensor,
    *,
    lr: float = 0.01,
    epochs: int,
    phi: str = "linear",
    until: float = 0.0,
    every: int = 1,
) -> Training:
    """Full-batch gradient descent on |goal - sum of maps|^2, by hand, on a copy of the weights.

    goal  : (out, in), or one a network (network, out, in); taken in the dtype of the weights, float32 or float64
    until : training ends before `epochs` when every network's loss is below this
    every : maps are recorded before every so many epochs, and at the end
    A network whose loss is no longer finite is named in a warning, and the others go on.
    Raises ValueError for widths that do not fit, an unknown nonlinearity, or numbers out of range.
    """
    pathways = [[edge.plain(W).detach().clone() for W in pathway] for pathway in pathways]
    check(pathways, goal)
    goal = edge.plain(goal).to(pathways[0][0])
    edge.one_of("nonlinearity", phi, PHI)
    edge.number("number of epochs", epochs, 1, whole=True)
    edge.number("every", every, 1, whole=True)
    lr, until = edge.number("learning rate", lr, above=0), edge.number("until", until)
    losses, maps = [], []
    for epoch in range(epochs + 1):
        a = [_activations(pathway, phi) for pathway in pathways]
        error = goal.mT - sum(one[-1] for one in a)
        losses.append(error.square().sum((1, 2)))
        last = epoch == epochs or bool((losses[-1] < until).all())
        if last or epoch % every == 0:
            maps.append(torch.stack([one[-1].mT for one in a], 1))
        if last:
            break
        for pathway, layers in zip(pathways, a, strict=True):
            delta = 2 * lr * error
            for W, below, above in zip(pathway[::-1], layers[-2::-1], layers[:0:-1], strict=True):
                delta = delta * SLOPE[phi](above)
                back = delta @ W
                W.baddbmm_(delta.mT, below)  # of rank 8: added to the weights, it never stands alone
                delta = back
    loss = torch.stack(losses)
    edge.diverged(loss, [f"network {n}" for n in range(loss.shape[1])])
    return Training(pathways, loss, torch.stack(maps))


@edge.whole_precision()
def invariants(pathway: Pathway) -> list[Tensor]:
    """C_l = W_{l+1}^T W_{l+1} - W_l W_l^T of neighbouring layers, constant under gradient flow: (network, n, n)."""
    layers = [edge.tensor("weights", W, widen=True) for W in pathway]
    return [above.mT @ above - below @ below.mT for below, above in pairwise(layers)]


def _join(*parts: np.ndarray) -> np.ndarray:
    """Orthonormal basis (N, k) of what columns of the parts span."""
    columns = np.hstack(parts)
    return scipy.linalg.orth(columns / np.linalg.norm(columns, axis=0).clip(1e-300), rcond=CLOSED)


def reduce(pathway: Pathway, level: int = 0) -> Pathway:
    """The pathway between small subspaces of its hidden layers: block Krylov spaces of the given level (float64).

    Level 0 holds what input and output reach through the initial weights, 23 directions; each level adds what one more
    step between layers reaches.  Exact at depth 2 and for scaled-orthogonal hidden matrices, at any step size; else an
    approximation that gets better with the level.  Linear networks only.
    Raises ValueError for a negative level, or networks whose subspaces differ in size.
    """
    edge.number("level", level, 0, whole=True)
    reduced = []
    for layers in zip(*pathway, strict=True):  # of one network
        A = [edge.plain(W).double().numpy(force=True) for W in layers]
        first, last = np.eye(A[0].shape[1]), np.eye(A[-1].shape[0])
        ahead = list(accumulate(A[:-1], lambda Q, W: W @ Q, initial=first))[1:]
        behind = list(accumulate(A[:0:-1], lambda Q, W: W.T @ Q, initial=last))[:0:-1]
        S = [first, *map(_join, ahead, behind), last]
        for _ in range(level):
            S[1:-1] = [_join(Q, W @ P, V.T @ R) for P, W, Q, V, R in zip(S, A, S[1:], A[1:], S[2:], strict=False)]
        reduced.append([torch.from_numpy(Q.T @ W @ P) for P, W, Q in zip(S, A, S[1:], strict=False)])
    if len({tuple(W.shape for W in one) for one in reduced}) > 1:
        raise ValueError("the subspaces of these networks differ in size: reduce them one by one")
    return [torch.stack(layers).to(pathway[0].device) for layers in zip(*reduced, strict=True)]


def chain(K0: Tensor, depth: int, scale: float = 0.1) -> list[Pathway]:
    """Networks in which no mode meets another, from K0 (network, pathway, mode): the model of one mode alone.

    Every layer starts at sqrt(scale) times the identity between two hidden units a mode; the last one also holds what
    makes the product K0.  So each layer grows, of which the published equation counts one.
    """
    (networks, _, count), root = (K0 := edge.tensor("K0", K0, widen=True)).shape, math.sqrt(scale)
    eye = (root * torch.eye(2 * count, dtype=K0.dtype, device=K0.device)).expand(networks, -1, -1)
    held = torch.diag_embed(K0 / root ** (depth - 1)).unbind(1)
    lasts = [torch.cat([one, eye[:, :count, :count]], -1) for one in held]
    return [[eye[..., :count], *[eye] * (depth - 2), last] for last in lasts]


def alone(K0: Tensor, depth: int, epochs: int, scale: float = 0.1, lr: float = 0.01) -> Tensor:
    """Course of the target's modes by `chain` from K0 (network, pathway, mode): K (epoch, network, pathway, mode)."""
    target = torch.diag(modes()[1].to(edge.plain(K0).device))
    return train(chain(K0, depth, scale), target, lr=lr, epochs=epochs).maps.diagonal(dim1=-2, dim2=-1)


@edge.whole_precision()
def two_layers(pathways: list[Pathway], epochs: int, lr: float = 0.01) -> tuple[Tensor, Tensor]:
    """Course of the modes at depth 2, what couples them left out: K (epoch, network, pathway, mode), and final shares.

    What a mode reaches in the hidden layer, x = W_1 v and y = W_2^T u, obeys x' = E y and y' = E x with one E.
    """
    pathways = [[edge.tensor("weights", W, widen=True) for W in one] for one in pathways]
    U, s, V = (part.to(pathways[0][0]) for part in modes())
    x, y = (torch.stack(one, 1) for one in zip(*((first @ V, last.mT @ U) for first, last in pathways), strict=True))
    grow, decay, tau, course = (x + y).square().sum(2), (x - y).square().sum(2), torch.zeros_like(s), []
    for _ in range(epochs):
        course.append((grow * torch.exp(2 * tau) - decay * torch.exp(-2 * tau)) / 4)
        tau = tau + 2 * lr * (s - course[-1].sum(1, keepdim=True))
    return torch.stack(course), grow / grow.sum(1, keepdim=True)


def product(p: np.ndarray, depth: int) -> np.ndarray:
    """K of a pathway whose first layer is p and whose others are sqrt(p^2 + 1), in units of scale^(depth/2)."""
    return p * (p**2 + 1) ** ((depth - 1) / 2)


def first_layer(K: np.ndarray, depth: int) -> np.ndarray:
    """The p that gives K, by Newton's method on a convex function: inverse of `product`."""
    size = np.abs(K := edge.array(K))
    p = np.minimum(size, size ** (1 / depth)) if depth > 1 else size
    for _ in range(60):
        slope = (p**2 + 1) ** ((depth - 3) / 2) * (depth * p**2 + 1)
        p = p - (product(p, depth) - size) / slope
    return np.sign(K) * p


def flow(p: np.ndarray, S: float, depth: int) -> np.ndarray:
    """dp/dt of one mode in every pathway (pathway, ...): (p^2 + 1)^((depth-1)/2) (S - sum K)."""
    return (p**2 + 1) ** ((depth - 1) / 2) * (S - product(p, depth).sum(0))


def orbit(p: np.ndarray, S: float, depth: int, step: float, steps: int) -> np.ndarray:
    """Euler steps of `flow` from p (pathway, ...): K (step, pathway, ...), that of the start first."""
    course = [edge.array(p)]
    for _ in range(steps):
        course.append(course[-1] + step * flow(course[-1], S, depth))
    return product(np.array(course), depth)


def published(K0: np.ndarray, depth: int, epochs: int, scale: float = 0.1, lr: float = 0.01) -> np.ndarray:
    """Course of the target's modes by the published equation from K0 (pathway, mode): K (epoch, pathway, mode)."""
    scale, s, K0 = float(scale), modes()[1].numpy(), edge.array(K0)
    unit, tau = scale ** (depth / 2), 2 * float(lr) * scale ** (depth - 1)
    return unit * orbit(first_layer(K0 / unit, depth), s / unit, depth, tau, epochs)


def flow_of_product(K: np.ndarray, S: float, depth: int) -> np.ndarray:
    """dK/dt of one mode in every pathway (pathway, ...), by the chain rule from `flow`."""
    p = first_layer(K := edge.array(K), depth)
    return (p**2 + 1) ** (depth - 2) * (depth * p**2 + 1) * (S - K.sum(0))


def orbit_constant(p: np.ndarray, depth: int) -> np.ndarray:
    """G(p) = int_0^p (1 + x^2)^(-(depth-1)/2) dx: two pathways keep the difference of theirs.

    Bounded for depth 3 and more: the winner grows without end while the loser stops.
    """
    p = edge.array(p)
    return p * scipy.special.hyp2f1(0.5, (depth - 1) / 2, 1.5, -(p**2))


def cosine(maps: Tensor) -> Tensor:
    """Cosine between the maps of the first two pathways, <A, B> / |A| |B|: (...) from (..., pathway, out, in)."""
    a, b = edge.tensor("maps", maps, widen=True)[..., :2, :, :].flatten(-2).unbind(-2)
    return torch.nn.functional.cosine_similarity(a, b, dim=-1)
