"""How much of a change of connectivity fits in a few directions.  Works on any matrix pair (before, after).

Matrices are (..., N, M), square where eigenvalues are asked for, dimensionless; `change` is after minus before.  Arrays
and half precision are taken as float32 (float64 stays).  Definitions: Schuessler et al. 2020.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from . import edge


def singular_values(matrix: Tensor) -> Tensor:
    """Singular values, largest first: (..., min(N, M))."""
    return torch.linalg.svdvals(edge.tensor("matrix", matrix, "...", "N", "M", widen=True))


def eigenvalues(matrix: Tensor) -> Tensor:
    """Eigenvalues, largest modulus first: (..., N), complex."""
    values = torch.linalg.eigvals(edge.tensor("matrix", matrix, "...", "N", "N", widen=True))
    return values.gather(-1, values.abs().argsort(-1, descending=True))


def participation(variances: Tensor | np.ndarray) -> Tensor | np.ndarray:
    """Participation ratio (sum v)^2 / sum v^2 of variances (..., n), how many share them: (...)."""
    variances = edge.tensor("variances", variances, widen=True) if isinstance(variances, Tensor) else variances
    return variances.sum(-1) ** 2 / (variances**2).sum(-1)


def factors(change: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Left (..., N, rank) and right (..., M, rank), left @ right^T the best approximation of `change` of that rank.

    Raises ValueError for a rank below 0 or above min(N, M), or a change that is no matrix.
    """
    change = edge.tensor("change", change, "...", "N", "M", widen=True)
    edge.number("rank", rank, 0, min(change.shape[-2:]), whole=True)
    U, s, Vh = torch.linalg.svd(change, full_matrices=False)
    return U[..., :rank] * s[..., None, :rank], Vh[..., :rank, :].mT


def pack(change: Tensor, rank: int, top: int = 1023) -> tuple[Tensor, Tensor, Tensor]:
    """The factors as whole numbers up to `top`, small to keep: left, right (..., N or M, rank) int16, scale (...).

    `change` is scale * left @ right^T, to its truncation and a rounding; the singular values are shared out evenly, so
    that one step of rounding serves a matrix, and its many weak factors take few bits.  Errors as in `factors`.
    """
    left, right = factors(edge.plain(change).detach(), rank)
    root = left.norm(dim=-2, keepdim=True).sqrt()
    halves = (left / root.clamp(min=torch.finfo(left.dtype).tiny), right * root)
    largest = torch.nn.functional.pad(torch.cat(halves, -2).flatten(-2), (0, 1)).abs().amax(-1).double()
    step = torch.where(largest > 0, largest / top, 1)
    return *((half / step.to(half)[..., None, None]).round().to(torch.int16) for half in halves), (step**2).to(left)


@edge.whole_precision()
def unpack(left: Tensor, right: Tensor, scale: Tensor) -> Tensor:
    """The change (..., N, N) of packed factors, in the precision of `scale`."""
    left, right, scale = map(edge.plain, (left, right, scale))
    return scale[..., None, None] * left.to(scale.dtype) @ right.to(scale.dtype).mT


def truncate(change: Tensor, rank: int) -> Tensor:
    """Best approximation of `change` of that rank, same shape; 0 gives zeros, N gives `change` back."""
    left, right = factors(change, rank)
    return unpack(left, right, left.new_ones(()))


def loss_against_rank(before: Tensor, change: Tensor, ranks: Sequence[int], evaluate: Callable) -> Tensor:
    """Loss of `before + truncate(change, R)` for every R: (rank, ...) (Figure 1 j-l).

    evaluate: loss of stacked matrices (rank, ..., N, N) -> (rank, ...), called once for all ranks together
    Raises ValueError for a rank below 0 or above N.
    """
    left, right = factors(change, min(np.shape(change)[-2:]))
    before = edge.tensor("before", before, "...", "N", "M", widen=True, N=left.shape[-2], M=right.shape[-2])
    ranks = [edge.number("rank", rank, 0, left.shape[-1], whole=True) for rank in edge.several(ranks)]
    return evaluate(torch.stack([before + unpack(left[..., :k], right[..., :k], left.new_ones(())) for k in ranks]))


def functional_rank(
    loss: Tensor | xr.DataArray, ranks: Sequence[int] | None = None, threshold: float = 0.05, *, first: bool = False
) -> Tensor | xr.DataArray:
    """Smallest of the ranks from which on the loss stays below `threshold` times that of rank 0; NaN if none: (...).

    loss : (rank, ...), at the increasing `ranks`, the first of them 0; default 0, 1, 2, ...; or labelled
    first: instead the first rank that is below, as in the figures of Schuessler et al. 2020: an accidental dip counts
    Raises ValueError for ranks that are not as many as losses, do not start at 0 or do not rise.
    """
    if isinstance(loss, xr.DataArray):
        return _along("rank", functional_rank, loss, ranks, threshold=threshold, first=first)
    loss = edge.tensor("loss", loss, widen=True)
    ranks = range(len(loss)) if ranks is None else [edge.number("rank", rank, 0, whole=True) for rank in ranks]
    edge.number(f"number of ranks for {len(loss)} losses", len(ranks), len(loss), len(loss))
    if ranks[0] != 0 or any(later <= rank for rank, later in pairwise(ranks)):
        raise ValueError(f"ranks are {list(ranks)}, but must start at 0, whose loss is the reference, and rise")
    return smallest_rank(loss < edge.number("threshold", threshold, above=0) * loss[0], ranks, first=first)


def smallest_rank(
    good: Tensor | xr.DataArray, ranks: Sequence[int] | None = None, *, first: bool = False, dim: str = "rank"
) -> Tensor | xr.DataArray:
    """Smallest of the ranks from which on `good` (rank, ...) holds for all larger ones, NaN if none: (...), float64.

    A labelled array brings its ranks, or other labels, along the dimension `dim`, and keeps its other labels.
    first: instead the first rank for which it holds
    """
    if isinstance(good, xr.DataArray):
        return _along(dim, smallest_rank, good, ranks, first=first)
    good = edge.plain(good).bool()
    seen = good if first else good.flip(0).cummin(0).values.flip(0)
    labels = torch.tensor([*map(float, ranks)], dtype=torch.float64, device=good.device)  # a copy: may be read-only
    return torch.where(seen.any(0), labels[seen.to(torch.uint8).argmax(0)], torch.nan)


def _along(dim: str, function: Callable, of: xr.DataArray, ranks: Sequence[int] | None, **how) -> xr.DataArray:
    labels = of[edge.one_of("dimension", dim, of.dims)].values if ranks is None else ranks
    return xr.apply_ufunc(lambda x: function(np.moveaxis(x, -1, 0), labels, **how).numpy(), of, input_core_dims=[[dim]])


def shuffle(matrix: Tensor, generator: torch.Generator) -> Tensor:
    """The entries of each matrix (..., N, M) in random order, so that their distribution stays and structure goes."""
    matrix = edge.tensor("matrix", matrix, "...", "N", "M", widen=True)
    flat = matrix.flatten(-2)
    order = torch.rand(flat.shape, generator=generator, device=generator.device, dtype=torch.float32).argsort(-1)
    return flat.gather(-1, order.to(flat.device)).view(matrix.shape)
