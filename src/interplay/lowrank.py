"""How much of a change of connectivity fits in a few directions.  Works on any matrix pair (before, after).

Matrices are (..., N, N) tensors, dimensionless; `change` is after minus before.  Definitions: Schuessler et al. 2020.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from . import edge


def singular_values(matrix: Tensor) -> Tensor:
    """Singular values, largest first: (..., N)."""
    return torch.linalg.svdvals(matrix)


def eigenvalues(matrix: Tensor) -> Tensor:
    """Eigenvalues, largest modulus first: (..., N), complex."""
    values = torch.linalg.eigvals(matrix)
    return values.gather(-1, values.abs().argsort(-1, descending=True))


def factors(change: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Left and right (..., N, rank), with left @ right^T the best approximation of `change` of that rank.

    Raises ValueError for a rank below 0 or above N.
    """
    edge.number("rank", rank, 0, min(change.shape[-2:]), whole=True)
    U, s, Vh = torch.linalg.svd(change, full_matrices=False)
    return U[..., :rank] * s[..., None, :rank], Vh[..., :rank, :].mT


def pack(change: Tensor, rank: int, top: int = 1023) -> tuple[Tensor, Tensor, Tensor]:
    """The factors as whole numbers up to `top`, small to keep: left, right (..., N, rank) int16, scale ().

    `change` is scale * left @ right^T, to its truncation and a rounding; the singular values are shared out evenly, so
    that one step of rounding serves all factors, and the many weak ones take few bits.  Errors as in `factors`.
    """
    left, right = factors(change, rank)
    root = left.norm(dim=-2, keepdim=True).sqrt()
    halves = (left / root.clamp(min=torch.finfo(change.dtype).tiny), right * root)
    step = max(float(half.abs().max()) if rank else 0.0 for half in halves) / top or 1.0
    return *((half / step).round().to(torch.int16) for half in halves), change.new_tensor(step**2)


def unpack(left: Tensor, right: Tensor, scale: Tensor) -> Tensor:
    """The change (..., N, N) of packed factors, in the precision of `scale`."""
    return scale * left.to(scale.dtype) @ right.to(scale.dtype).mT


def truncate(change: Tensor, rank: int) -> Tensor:
    """Best approximation of `change` of that rank, same shape; 0 gives zeros, N gives `change` back."""
    left, right = factors(change, rank)
    return left @ right.mT


def loss_against_rank(
    before: Tensor, change: Tensor, ranks: Sequence[int], evaluate: Callable[[Tensor], Tensor]
) -> Tensor:
    """Loss of `before + truncate(change, R)` for every R: (rank, ...) (Figure 1 j-l).

    evaluate: loss of stacked matrices (rank, ..., N, N) -> (rank, ...), called once for all ranks together
    Raises ValueError for a rank below 0 or above N.
    """
    left, right = factors(change, min(change.shape[-2:]))
    ranks = [edge.number("rank", rank, 0, left.shape[-1], whole=True) for rank in ranks]
    return evaluate(torch.stack([before + left[..., :rank] @ right[..., :rank].mT for rank in ranks]))


def functional_rank(loss: Tensor, threshold: float = 0.05) -> Tensor:
    """Smallest R whose loss is below `threshold` times the loss at R = 0; NaN if none is: (...).

    loss: (rank, ...), for R = 0, 1, 2, ...; the reference keeps the trained input and readout
    """
    solved = loss < threshold * loss[0]
    first = solved.to(torch.float64).argmax(0).to(torch.float64)
    return torch.where(solved.any(0), first, torch.nan)


def shuffle(matrix: Tensor, generator: torch.Generator) -> Tensor:
    """The entries of each matrix (..., N, M) in random order, so that their distribution stays and structure goes."""
    flat = matrix.flatten(-2)
    order = torch.rand(flat.shape, generator=generator, device=generator.device).argsort(-1).to(flat.device)
    return flat.gather(-1, order).view(matrix.shape)
