"""Parallel pathways of linear, rectified or tanh layers whose outputs add up (Shi, Shea-Brown and Buice 2022).

A pathway is a list of weights, first layer first, each (network, out, in): all networks of an ensemble run in the same
matrix products.  The inputs are the rows of the identity, so a pathway's effective map is its output on the identity.
One epoch of gradient descent on the summed squared error advances the gradient flow of half that error by 2 lr.
"""

import math
import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import scipy
import torch
from torch import Tensor

Pathway = list[Tensor]
PHI = {"linear": lambda x: x, "relu": torch.relu, "tanh": torch.tanh}
SLOPE = {"relu": lambda a: (a > 0).to(a.dtype), "tanh": lambda a: 1 - a**2}  # of an activation
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
    V = torch.ones(8, 8, dtype=dtype)
    V[:, 1:] = 0
    for mode, (start, length) in enumerate([(0, 8), (0, 4), (4, 4), (0, 2), (2, 2), (4, 2), (6, 2)], 1):
        V[start : start + length // 2, mode], V[start + length // 2 : start + length, mode] = 1, -1
    V = V / V.norm(dim=0)
    image = target(dtype) @ V
    return image / image.norm(dim=0), image.norm(dim=0), V


def in_modes(maps: Tensor) -> Tensor:
    """K = U^T Omega V of effective maps (..., 15, 8): (..., 8, 8), one row and column a mode."""
    U, _, V = modes(maps.dtype)
    return U.mT @ maps @ V


def initialise(
    depths: Sequence[int],
    width: int,
    seeds: Sequence[int],
    *,
    scale: float = 0.1,
    earlier: Sequence[int] = (),
    orthogonal: bool = False,
    n_in: int = 8,
    n_out: int = 15,
    dtype: torch.dtype = torch.float32,
) -> list[Pathway]:
    """Random pathways, one of each depth (number of weight matrices), entries N(0, scale / width).

    The stream is that of the published code: drawn in float32, pathway by pathway from the input on, each matrix after
    as many uniform numbers; `earlier` lists depths of two-pathway networks drawn before from the same seed.
    With `orthogonal`, hidden matrices are sqrt(scale) times an orthogonal one.
    Raises ValueError for a depth below 1, a width below 1, a scale that is not positive, or no seeds.
    """
    for value, what in (*((depth, "depth") for depth in depths), (width, "width"), (len(seeds), "number of seeds")):
        if value < 1:
            raise ValueError(f"{what} is {value}, but must be at least 1")
    if not depths or not scale > 0:
        raise ValueError(f"depths are {list(depths)} and scale is {scale}: at least one pathway and a scale above 0")

    def draw(depth, stream):
        widths, drawn = [n_in, *[width] * (depth - 1), n_out], []
        for out, into in zip(widths[1:], widths[:-1], strict=True):
            torch.empty(out, into).uniform_(generator=stream)  # the default weights that the published code overwrites
            W = torch.randn(out, into, generator=stream) * math.sqrt(scale / width)
            if orthogonal and out == into == width:
                W = torch.linalg.qr(W.double())[0] * math.sqrt(scale)
            drawn.append(W.to(dtype))
        return drawn

    networks = []
    for seed in seeds:
        stream = torch.Generator().manual_seed(seed)
        for depth in earlier:
            draw(depth, stream), draw(depth, stream)
        networks.append([draw(depth, stream) for depth in depths])
    return [[torch.stack(layers) for layers in zip(*same, strict=True)] for same in zip(*networks, strict=True)]


def _activations(pathway: Pathway, phi: str) -> list[Tensor]:
    """Of every layer on the identity, from the first on: each (network, item, width), six times faster than columns."""
    a = [PHI[phi](pathway[0].mT.contiguous())]
    for W in pathway[1:]:
        a.append(PHI[phi](a[-1] @ W.mT))
    return a


def effective(pathways: list[Pathway], phi: str = "linear") -> Tensor:
    """Effective maps (network, pathway, out, in)."""
    return torch.stack([_activations(pathway, phi)[-1].mT for pathway in pathways], 1)


def check(pathways: list[Pathway], goal: Tensor) -> None:
    """Raise ValueError unless there are pathways and widths fit, from the input to the output of the goal."""
    for which, pathway in enumerate(pathways):
        if not pathway:
            raise ValueError(f"pathway {which} has depth 0, but must have at least one layer")
        widths = [pathway[0].shape[-1], *(W.shape[-2] for W in pathway)]
        joined = all(W.shape[-1] == width for W, width in zip(pathway, widths, strict=False))
        if not joined or (widths[-1], widths[0]) != tuple(goal.shape[-2:]):
            shapes = ", ".join("x".join(map(str, W.shape[-2:])) for W in pathway)
            raise ValueError(
                f"widths of pathway {which} do not fit: its layers are {shapes}, the target {tuple(goal.shape[-2:])}"
            )
    if not pathways:
        raise ValueError("no pathway given: at least one is needed")


@torch.no_grad()
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
    """Full-batch gradient descent on |goal - sum of maps|^2, forward and backward by hand, weights in place on a copy.

    goal  : (out, in), or one a network (network, out, in)
    until : training ends before `epochs` when every network's loss is below this
    every : maps are recorded before every so many epochs, and at the end
    A gradient is an outer product of rank 8: it is added to the weights and never stands alone.  A network whose loss
    is no longer finite is named in a warning, and the others go on.
    Raises ValueError for widths that do not fit, an unknown nonlinearity, or numbers out of range.
    """
    check(pathways, goal)
    if phi not in PHI:
        raise ValueError(f"unknown nonlinearity {phi!r}: choose one of {', '.join(PHI)}")
    if epochs < 1 or every < 1 or not (math.isfinite(lr) and lr > 0):
        raise ValueError(f"epochs {epochs}, every {every}, lr {lr}: the first two at least 1, lr finite and above 0")
    pathways = [[W.clone() for W in pathway] for pathway in pathways]
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
        for pathway, activations in zip(pathways, a, strict=True):
            delta = (2 * lr) * error
            for layer in reversed(range(len(pathway))):
                if phi != "linear":
                    delta = delta * SLOPE[phi](activations[layer])
                back = delta @ pathway[layer] if layer else None
                if layer:
                    pathway[layer].baddbmm_(delta.mT, activations[layer - 1])
                else:  # the input is the identity
                    pathway[layer] += delta.mT
                delta = back
    loss = torch.stack(losses)
    if not (fine := torch.isfinite(loss)).all():
        when = {int(n): int((~fine[:, n]).int().argmax()) for n in (~fine).any(0).nonzero()}
        said = "; ".join(f"network {n} at epoch {k}" for n, k in when.items())
        warnings.warn(f"step size {lr} diverges: {said}; choose a smaller one", stacklevel=2)
    return Training(pathways, loss, torch.stack(maps))


def invariants(pathway: Pathway) -> list[Tensor]:
    """C_l = W_{l+1}^T W_{l+1} - W_l W_l^T of neighbouring layers, constant under gradient flow: (network, n, n)."""
    return [above.mT @ above - below @ below.mT for below, above in pairwise(pathway)]


def _join(*parts: Tensor) -> Tensor:
    """Orthonormal basis (N, k) of what columns of the parts span."""
    columns = torch.cat([part / part.norm(dim=0, keepdim=True).clamp(min=1e-300) for part in parts], 1)
    U, s, _ = torch.linalg.svd(columns, full_matrices=False)
    return U[:, s > CLOSED * s[0]]


def reduce(pathway: Pathway, level: int = 0) -> Pathway:
    """The pathway between small subspaces of its hidden layers: block Krylov spaces of the given level (float64).

    Level 0 holds what input and output reach through the initial weights, 23 directions; each level adds what one more
    step between layers reaches.  Exact at depth 2 and for scaled-orthogonal hidden matrices, at any step size; else an
    approximation that gets better with the level.  Linear networks only.
    Raises ValueError for a negative level, or networks whose subspaces differ in size.
    """
    if level < 0:
        raise ValueError(f"level is {level}, but must be at least 0")
    reduced = []
    for n in range(len(pathway[0])):
        A = [W[n].double() for W in pathway]
        ahead, behind = [A[0]], [A[-1].mT]
        for W, back in zip(A[1:-1], reversed(A[1:-1]), strict=True):
            ahead.append(W @ ahead[-1])
            behind.append(back.mT @ behind[-1])
        S = [_join(*both) for both in zip(ahead, reversed(behind), strict=True)] if len(A) > 1 else []
        for _ in range(level):
            below = [[], *([W @ Q] for W, Q in zip(A[1:-1], S, strict=False))]
            above = [*([W.mT @ Q] for W, Q in zip(A[1:-1], S[1:], strict=True)), []]
            S = [_join(Q, *one, *other) for Q, one, other in zip(S, below, above, strict=True)]
        eye = torch.eye(A[0].shape[1], dtype=torch.float64), torch.eye(A[-1].shape[0], dtype=torch.float64)
        ends = [eye[0], *S, eye[1]]
        reduced.append([Q.mT @ W @ P for W, P, Q in zip(A, ends, ends[1:], strict=False)])
    if len({tuple(W.shape for W in one) for one in reduced}) > 1:
        raise ValueError("the subspaces of these networks differ in size: reduce them one by one")
    return [torch.stack(layers) for layers in zip(*reduced, strict=True)]


def chain(K0: Tensor, depth: int, scale: float = 0.1) -> list[Pathway]:
    """One small network a mode, width 2, whose pathways start at K0 (mode, pathway): the model of one mode alone.

    Every layer starts at sqrt(scale), and the last one also holds what makes the product K0; trained by `train` towards
    the singular value, each layer grows, of which the published equation counts one.
    """
    root, made = math.sqrt(scale), []
    for k in K0.double().T:
        first, hidden = torch.tensor([[root], [0.0]]), root * torch.eye(2)
        last = torch.stack([k / root ** (depth - 1), torch.full_like(k, root)], -1)[:, None]
        layers = [first.double().expand(len(k), 2, 1), *[hidden.double().expand(len(k), 2, 2)] * (depth - 2), last]
        made.append([layer.clone() for layer in layers])
    return made


def product(p: np.ndarray, depth: int) -> np.ndarray:
    """K of a pathway whose first layer is p and whose others are sqrt(p^2 + 1), in units of scale^(depth/2)."""
    return p * (p**2 + 1) ** ((depth - 1) / 2)


def first_layer(K: np.ndarray, depth: int) -> np.ndarray:
    """The p that gives K, by Newton's method on a convex function: inverse of `product`."""
    size = np.abs(np.asarray(K, float))
    p = np.minimum(size, size ** (1 / depth)) if depth > 1 else size
    for _ in range(60):
        slope = (p**2 + 1) ** ((depth - 3) / 2) * (depth * p**2 + 1)
        p = p - (product(p, depth) - size) / slope
    return np.sign(K) * p


def flow(p: np.ndarray, S: float, depth: int) -> np.ndarray:
    """dp/dt of one mode in every pathway (pathway, ...): (p^2 + 1)^((depth-1)/2) (S - sum K)."""
    return (p**2 + 1) ** ((depth - 1) / 2) * (S - product(p, depth).sum(0))


def flow_of_product(K: np.ndarray, S: float, depth: int) -> np.ndarray:
    """dK/dt of one mode in every pathway (pathway, ...), by the chain rule from `flow`."""
    p = first_layer(K, depth)
    return (p**2 + 1) ** (depth - 2) * (depth * p**2 + 1) * (S - K.sum(0))


def orbit_constant(p: np.ndarray, depth: int) -> np.ndarray:
    """G(p) = int_0^p (1 + x^2)^(-(depth-1)/2) dx: two pathways keep the difference of theirs.

    Bounded for depth 3 and more: the winner grows without end while the loser stops.
    """
    p = np.asarray(p, float)
    return p * scipy.special.hyp2f1(0.5, (depth - 1) / 2, 1.5, -(p**2))


def cosine(maps: Tensor) -> Tensor:
    """Cosine between the maps of the first two pathways, <A, B> / |A| |B|: (...) from (..., pathway, out, in)."""
    a, b = maps[..., 0, :, :].flatten(-2), maps[..., 1, :, :].flatten(-2)
    return (a * b).sum(-1) / a.norm(dim=-1) / b.norm(dim=-1)
