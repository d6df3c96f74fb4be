"""Which directions of W the dynamics use: operative dimensions (Krause et al. 2022).  Works on any (W, states) pair.

W is (N, N), states x are (K, N), rates tanh(x).  Effects are |(W - W') r|: the change of the recurrent drive at a state
when a direction is removed, the published one-step distance without its common factor dt / tau.  Columns of a (N, n)
matrix of directions are unit vectors, most important first.  Everything is computed in float64.
"""

import numpy as np
import torch
from torch import Tensor

from . import rnn

LOCAL = 30  # row dimensions of a state
GRID, REFINED = 600, 4  # points of the one-parameter curve; rounds of refinement, each 20 times finer
NOTHING = 1e-8  # an effect below this, of the largest, ends the list of local dimensions
KINDS = ("columns", "rows", "rates", "high-variance", "random")


def check(W: Tensor, states: Tensor | None = None, k: int | None = None) -> None:
    """Raise ValueError unless W is square, states are there and as wide as W, and 0 <= k <= N."""
    if W.dim() != 2 or W.shape[0] != W.shape[1]:
        raise ValueError(f"W has shape {tuple(W.shape)}, but must be square, (N, N)")
    N = len(W)
    if states is not None and (states.dim() != 2 or not len(states) or states.shape[1] != N):
        raise ValueError(f"states have shape {tuple(states.shape)}, but must be (K, {N}) with K at least 1")
    if k is not None and not 0 <= k <= N:
        raise ValueError(f"k is {k}, but must be between 0 and N = {N}")


def remove(W: Tensor, directions: Tensor, rows: bool = False) -> Tensor:
    """W without orthonormal directions (N, n): (I - Q Q^T) W, or for rows W (I - Q Q^T)."""
    return W - keep(W, directions, rows)


def keep(W: Tensor, directions: Tensor, rows: bool = False) -> Tensor:
    """What orthonormal directions (N, k) hold of W: Q Q^T W, or for rows W Q Q^T."""
    check(W)
    Q = directions.to(W.dtype)
    return (W @ Q) @ Q.mT if rows else Q @ (Q.mT @ W)


def local_columns(W: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:
    """The one local column dimension of each state, W r / |W r| (K, N), and its effect |W r| (K,): a closed form."""
    check(W, states)
    drive = torch.tanh(states.double()) @ W.double().mT
    size = drive.norm(dim=1)
    return drive / size.clamp(min=1e-300)[:, None], size


def local_rows(W: Tensor, states: Tensor, number: int = LOCAL) -> tuple[Tensor, Tensor]:
    """Local row dimensions of each state (K, number, N), orthonormal, and their effects |W b| |b.r| (K, number).

    Each maximises the effect among directions orthogonal to the earlier ones.  With M = W^T W the maximiser obeys
    b ~ (2m I - M)^-1 r where m = |W b|^2, so that one eigendecomposition leaves a search over the number m.
    Directions with next to no effect are zero.  Raises ValueError for states that do not fit, or a number not in 1..N.
    """
    check(W, states, number)
    if number < 1:
        raise ValueError(f"number of local dimensions is {number}, but must be at least 1")
    M, r = W.double().mT @ W.double(), torch.tanh(states.double())
    found, effects = [], []
    free = torch.eye(len(M), dtype=torch.float64).expand(len(r), -1, -1)  # projector on what is left
    for _ in range(number):
        values, vectors = torch.linalg.eigh(free @ M @ free)
        b, effect = _best_on_curve(values.clamp(min=0), (vectors.mT @ (free @ r[:, :, None]))[..., 0])
        b = (vectors @ b[..., None])[..., 0]
        b = (free @ b[..., None])[..., 0]
        b = b / b.norm(dim=1, keepdim=True).clamp(min=1e-300)
        b = b * (effect > NOTHING * (effects[0] if effects else effect))[:, None]
        found.append(b)
        effects.append(effect * b.norm(dim=1))
        if not b.any():
            break
        free = free - b[:, :, None] * b[:, None, :]
    rest = number - len(found)
    return torch.nn.functional.pad(torch.stack(found, 1), (0, 0, 0, rest)), torch.nn.functional.pad(
        torch.stack(effects, 1), (0, rest)
    )


def _best_on_curve(values: Tensor, overlap: Tensor) -> tuple[Tensor, Tensor]:
    """Maximiser (K, N) of |W b| |b.r| and the maximum (K,), in the eigenbasis of M: values (K, N), r (K, N)."""

    square = overlap.square()

    def effects(m):  # (K, n) -> (K, n), from sums over the eigenbasis
        D = (2 * m[..., None] - values[:, None]).reciprocal_()
        seen = (D @ square[..., None])[..., 0]  # b.r, before b has length 1
        D.square_()
        length, gain = (D @ torch.stack([square, values * square], -1)).unbind(-1)
        return torch.nan_to_num(gain.sqrt() * seen.abs() / length, posinf=0)

    step = values.max(-1, keepdim=True).values / GRID
    m = step * torch.arange(1, GRID + 1)
    for _ in range(REFINED):
        best = m.gather(1, effects(m).argmax(1, keepdim=True))
        m, step = best + step * torch.linspace(-1, 1, 41, dtype=torch.float64), step / 20
    found, top = effects(m).max(1, keepdim=True)
    b = torch.nan_to_num(overlap / (2 * m.gather(1, top) - values))
    return b / b.norm(dim=1, keepdim=True).clamp(min=1e-300), found[:, 0]


def pooled(directions: Tensor, effects: Tensor) -> tuple[Tensor, Tensor]:
    """Global dimensions (N, N) and singular values (N,) of local ones (..., N), each weighted by its effect (...)."""
    weighted = (directions * effects[..., None]).reshape(-1, directions.shape[-1])
    U, s, _ = torch.linalg.svd(weighted.mT, full_matrices=True)
    return U, torch.nn.functional.pad(s, (0, len(U) - len(s)))[: len(U)]


def dimensions(
    W: Tensor, states: Tensor, kind: str, generator: torch.Generator | None = None, local: int = LOCAL
) -> tuple[Tensor, Tensor]:
    """Ordered directions (N, N) of one kind, and their singular values (N,).

    "columns" and "rows" are operative dimensions, "rates" the principal directions of the rates, "high-variance" the
    left singular vectors of W, "random" an orthonormal basis.  Rows and rates are removed from the right.
    local: row dimensions of each state, if there are so many
    Raises ValueError for another kind or states that do not fit.
    """
    check(W, states)
    if kind == "columns":
        return pooled(*local_columns(W, states))
    if kind == "rows":
        return pooled(*local_rows(W, states, min(local, len(W))))
    if kind == "rates":
        rates = torch.tanh(states.double())
        return pooled(rates, torch.ones(len(rates), dtype=torch.float64))
    if kind == "high-variance":
        U, s, _ = torch.linalg.svd(W.double())
        return U, s
    if kind == "random":
        drawn = torch.randn(W.shape, generator=generator, dtype=torch.float64)
        return torch.linalg.qr(drawn)[0], torch.ones(len(W), dtype=torch.float64)
    raise ValueError(f"unknown kind {kind!r}: choose one of {', '.join(KINDS)}")


def reduced(W: Tensor, directions: Tensor, ranks: list[int], rows: bool = False) -> Tensor:
    """W kept to its first k directions, for every k: (k, N, N).  Raises ValueError for a k outside 0..N."""
    for k in ranks:
        check(W, None, k)
    return torch.stack([keep(W, directions[:, :k], rows) for k in ranks])


def is_rows(kind: str) -> bool:
    """Whether directions of this kind act on the input side of W."""
    return kind in ("rows", "rates")


def participation(variances: Tensor) -> float:
    """Participation ratio (sum v)^2 / sum v^2 of variances: how many directions share them."""
    return float(variances.sum() ** 2 / variances.square().sum())


def enough(variances: Tensor, share: float) -> int:
    """Smallest number of directions, in this order, that hold `share` of the variance."""
    return int((variances.cumsum(0) < share * variances.sum() * (1 - 1e-12)).sum()) + 1


def suffices(ranks: np.ndarray, good: np.ndarray) -> float:
    """k*: the smallest rank from which on `good` (rank,) holds for all larger ones; NaN if it does not at the last."""
    bad = np.flatnonzero(~np.asarray(good, bool))
    start = bad[-1] + 1 if len(bad) else 0
    return float(ranks[start]) if start < len(ranks) else np.nan


def outputs(W: Tensor, weights: rnn.Weights, inputs: Tensor, dt: float, h0: Tensor, noise: Tensor | None) -> Tensor:
    """Outputs (time, k, trial, n_out) of one network with its W replaced by each of (k, N, N), under the same noise.

    weights, inputs, h0 and noise are those of one network, with a network axis of length 1
    """
    return rnn.simulate(weights._replace(W=W.to(weights.W.dtype)), inputs, dt=dt, h0=h0, noise=noise)[0]


@torch.no_grad()
def state_distance(W: Tensor, weights: rnn.Weights, inputs: Tensor, dt: float, h0: Tensor) -> Tensor:
    """Euclidean distance of the states of each replaced W (k, N, N) from the full network's: mean (k,).

    Without noise; both run side by side, so that no trajectory is kept.  Shapes as in `outputs`.
    """
    both = torch.cat([weights.W, W.to(weights.W.dtype)])
    x, total = h0.expand(len(both), -1, -1).clone(), 0.0
    for u in inputs:
        x = torch.lerp(x, torch.tanh(x) @ both.mT + u @ weights.M.mT, dt)
        total = total + (x[1:] - x[:1]).norm(dim=-1).mean(-1)
    return total / len(inputs)
