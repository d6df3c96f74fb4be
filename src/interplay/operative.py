"""Which directions of W the dynamics use: operative dimensions (Krause et al. 2022).  Works on any (W, states) pair.

W is (N, N), states x are (K, N), rates r = tanh(x).  Functions take states; with `rates=True` what they are given are
rates already: of `torch.nn.RNN`, which calls them its state, or of another nonlinearity.  Effects are |(W - W') r|: the
change of the recurrent drive at a state when a direction is removed, the published one-step distance without its common
factor dt / tau.  Columns of a (N, n) matrix of directions are unit vectors, most important first.  Everything is
computed in float64; arrays and half precision are taken too.  All raise ValueError for a W that is
not square, or states not as wide.
"""

import torch
from torch import Tensor

from . import edge, rnn

LOCAL = 30  # row dimensions of a state
NOTHING = 1e-8  # an effect below this, of the largest, ends the list of local dimensions
KINDS = ("columns", "rows", "rates", "high-variance", "random")
INPUT_SIDE = ("rows", "rates")  # of W, where directions of these kinds act


def _double(W: Tensor, states: Tensor, rates: bool) -> tuple[Tensor, Tensor]:
    """W (N, N), and the rates of states (K, N), as plain float64."""
    W = edge.tensor("W", W, "N", "N", widen=True).detach().double()
    given = edge.tensor("rates" if rates else "states", states, "K", "N", widen=True, N=len(W)).detach().double()
    return W, given if rates else torch.tanh(given)


def remove(W: Tensor, directions: Tensor, rows: bool = False) -> Tensor:
    """W without orthonormal directions (N, n): (I - Q Q^T) W, or for rows W (I - Q Q^T)."""
    return edge.tensor("W", W, widen=True) - keep(W, directions, rows)


def keep(W: Tensor, directions: Tensor, rows: bool = False) -> Tensor:
    """What orthonormal directions (N, k) hold of W: Q Q^T W, or for rows W Q Q^T."""
    W = edge.tensor("W", W, "N", "N", widen=True)
    Q = edge.tensor("directions", directions, widen=True).double()
    return ((W.double() @ Q) @ Q.mT if rows else Q @ (Q.mT @ W.double())).to(W)


def local_columns(W: Tensor, states: Tensor, *, rates: bool = False) -> tuple[Tensor, Tensor]:
    """The one local column dimension of each state, W r / |W r| (K, N), and its effect |W r| (K,): a closed form."""
    W, r = _double(W, states, rates)
    drive = r @ W.mT
    return torch.nn.functional.normalize(drive, eps=1e-300), drive.norm(dim=1)


def local_rows(W: Tensor, states: Tensor, number: int = LOCAL, *, rates: bool = False) -> tuple[Tensor, Tensor]:
    """Local row dimensions of each state (K, number, N), orthonormal, and their effects |W b| |b.r| (K, number).

    Each maximises the effect among directions orthogonal to the earlier ones; those with next to no effect are zero.
    Raises ValueError for a number of dimensions not in 1..N.
    """
    W, r = _double(W, states, rates)
    M = W.mT @ W
    edge.number("number of local dimensions", number, 1, len(W), whole=True)
    b, effects = r.new_zeros(len(r), number, len(W)), r.new_zeros(len(r), number)
    free = torch.eye(len(W), dtype=r.dtype, device=r.device).expand(len(r), -1, -1)  # projector on what is left
    for i in range(number):
        best = torch.nn.functional.normalize((free @ _strongest(M, free, r)[..., None])[..., 0], eps=1e-300)
        effects[:, i] = (best @ W.mT).norm(dim=1) * (best * r).sum(1).abs()
        effects[:, i] *= effects[:, i] > NOTHING * effects[:, 0]
        b[:, i] = best * (effects[:, i : i + 1] > 0)
        free = free - b[:, i, :, None] * b[:, i, None]
    return b, effects


def _strongest(M: Tensor, free: Tensor, r: Tensor) -> Tensor:
    """Vectors b (K, N) in the range of the projectors `free` that maximise (b^T M b) (b.r)^2 / |b|^4.

    With b = e + y, e along r and y orthogonal to it, the best y of a given length solves a trust-region problem,
    (mu - M) y = M e, mu above all eigenvalues of M orthogonal to r.  At the best length mu = 2 b^T M b / |b|^2; the two
    sides differ by a function that rises with mu, so that bisection finds it.  If that is above 0 at the largest
    eigenvalue already (the "hard case": no overlap with the strongest direction), this direction is added.
    """
    e = torch.nn.functional.normalize((free @ r[..., None])[..., 0], eps=1e-300)
    rest = free - e[..., None] * e[:, None]
    values, V = torch.linalg.eigh(rest @ M @ rest)
    c = (V.mT @ (rest @ (M @ e[..., None])))[..., 0]
    own = ((e @ M) * e).sum(1, keepdim=True)

    def excess(mu):
        y = torch.nan_to_num(c / (mu - values))
        return y, mu * (1 - (y * y).sum(1, keepdim=True)) - 2 * (own + (y * c).sum(1, keepdim=True))

    low = values[:, -1:]
    high = torch.maximum(2 * torch.linalg.matrix_norm(M, 2), 2 * low)
    for _ in range(64):
        middle = (low + high) / 2
        above = excess(middle)[1] >= 0
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    y, left = excess(high)
    y[:, -1:] = torch.copysign((y[:, -1:] ** 2 + torch.nan_to_num(left / high).clamp(min=0)).sqrt(), y[:, -1:])
    return e + (V @ y[..., None])[..., 0]


def pooled(directions: Tensor, effects: Tensor) -> tuple[Tensor, Tensor]:
    """Global dimensions (N, N) and singular values (N,) of local ones (..., N), each weighted by its effect (...)."""
    directions, effects = (edge.tensor("local dimensions", x, widen=True).detach() for x in (directions, effects))
    edge.one_of("shape of effects", effects.shape, (directions.shape[:-1],))
    weighted = (directions * effects[..., None]).reshape(-1, directions.shape[-1]).double()
    U, s, _ = torch.linalg.svd(weighted.mT)
    return U, torch.nn.functional.pad(s, (0, len(U) - len(s)))


def dimensions(
    W: Tensor,
    states: Tensor,
    kind: str,
    generator: torch.Generator | None = None,
    local: int = LOCAL,
    *,
    rates: bool = False,
) -> tuple[Tensor, Tensor]:
    """Ordered directions (N, N) of one kind, and their singular values (N,).

    "columns" and "rows" are operative dimensions, "rates" the principal directions of the rates, "high-variance" the
    left singular vectors of W, "random" an orthonormal basis.  Rows and rates are removed from the right.
    local: row dimensions of each state, if there are so many
    Raises ValueError for another kind.
    """
    edge.one_of("kind", kind, KINDS)
    W, r = _double(W, states, rates)
    if kind == "columns":
        return pooled(*local_columns(W, r, rates=True))
    if kind == "rows":
        return pooled(*local_rows(W, r, min(local, len(W)), rates=True))
    if kind == "rates":
        return pooled(r, torch.ones_like(r[:, 0]))
    if kind == "high-variance":
        return torch.linalg.svd(W)[:2]
    place = generator.device if generator else W.device
    drawn = torch.randn(W.shape, generator=generator, dtype=torch.float64, device=place).to(W.device)
    return torch.linalg.qr(drawn)[0], torch.ones_like(drawn[0])


def reduced(W: Tensor, directions: Tensor, ranks: list[int], rows: bool = False) -> Tensor:
    """W kept to its first k directions, for every k: (k, N, N).  Raises ValueError for a k outside 0..N."""
    ranks = [edge.number("k", k, 0, len(W), whole=True) for k in edge.several(ranks)]
    return torch.stack([keep(W, directions[:, :k], rows) for k in ranks])


@torch.no_grad()
@edge.whole_precision()
def state_distance(W: Tensor, weights: rnn.Weights, inputs: Tensor, dt: float, h0: Tensor) -> Tensor:
    """Mean Euclidean distance of states, and of rates, of each replaced W (k, N, N) from the full network's: (2, k).

    Without noise; both run side by side, so that no trajectory is kept.  The rest is of one network (axis of length 1).
    """
    weights = rnn.Weights(*(edge.tensor(name, w) for name, w in zip("WMv", weights, strict=True)))
    W, inputs, h0 = (edge.plain(x).to(weights.W) for x in (W, inputs, h0))
    W, dt = torch.cat([weights.W, W]), edge.euler_step(dt)
    run = rnn.steps(W, weights.M, inputs, h0, None, dt, torch.tanh)
    next(run)
    return sum(torch.stack([(x[1:] - x[:1]).norm(dim=-1).mean(-1) for x in both]) for both in run) / len(inputs)
