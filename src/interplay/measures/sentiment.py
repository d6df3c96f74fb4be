"""Measures of Schuessler et al. (2020), Figure 5: LSTMs that read film reviews.

stage: "matched" (trained until the training accuracy is the paper's, 0.84) or "networks" (500 epochs)
"""

from functools import cache

import numpy as np
import torch
import xarray as xr

from .. import lowrank
from ..experiments import kept
from ..experiments import sentiment as trained


@cache
def _singular_values(matrix: str, of: str, stage: str) -> np.ndarray:
    """(sample, index), of every LSTM of a stage; `of`: "before" or "after" training, or its "change"."""
    return np.stack([
        torch.linalg.svdvals({"before": b[matrix], "after": a[matrix], "change": a[matrix] - b[matrix]}[of]).numpy()
        for b, a in _weights(stage)
    ])  # fmt: skip


@cache
def _weights(stage: str) -> list[tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]]:
    """Weights before and after training."""
    kept("sentiment-data", "corpus")  # raises unless it is there, so that nothing is fetched
    samples = kept(f"sentiment-{stage}", "step_W1", cell="LSTM")["sample"].values.tolist()
    return [trained.network("LSTM", sample, stage, "paper")[1:] for sample in samples]


def lstm_singular_value(
    matrix: str, of: str, index: int, stage: str = "matched", over: int | None = None
) -> np.ndarray:
    """Singular value (from 1; -1 the last) of a matrix before or after training, or of its change; over another one."""
    s = _singular_values(matrix, of, stage)
    value = s[:, index - (index > 0)]
    return value / s[:, over - 1] if over else value


def lstm_values_above(matrix: str, of: str, level: float, stage: str = "matched") -> np.ndarray:
    """Number of singular values above a level."""
    return (_singular_values(matrix, of, stage) > level).sum(1)


def lstm_rank_enough(
    what: str, split: str, stage: str, *, within: float | None = None, gain: float = 1.0
) -> xr.DataArray:
    """Rank from which on the accuracy is within a distance of the full one, or holds a share of its gain over 1/2."""
    labels = {"cell": "LSTM", "split": split}
    of = {"matched": "sentiment-matched-measures", "networks": "sentiment-measures"}[stage]
    full = kept(of, "accuracy", **labels)
    level = 0.5 * (1 - gain) + gain * full if within is None else full - within
    return lowrank.smallest_rank(kept(of, "accuracy_at_rank", what=what, **labels) >= level)


def lstm_final(measured: str, stage: str) -> np.ndarray:
    """The last record of training: loss or accuracy on the training or validation sentences."""
    record = kept(f"sentiment-{stage}", "history", cell="LSTM", measured=measured).transpose("sample", "epoch")
    return np.array([one[np.isfinite(one)][-1] for one in record.values])


def lstm_parameters() -> float:
    """Number of trained parameters."""
    return float(sum(part.numel() for part in _weights("matched")[0][0].values()))
