"""Claims of Schuessler et al. (2020) on the LSTM that reads film reviews: C33 to C36, Figure 5 and its supplement."""

from functools import cache

import numpy as np
import torch
import xarray as xr

from .. import experiments
from ..experiments import sentiment as trained
from . import Claim

ORDER = 2.5
INF = float("inf")
PAGE = "sentiment.html#fig-sentiment-"
EASY = (
    "the word vectors here are not the paper's GloVe but were learned from film reviews: good and bad words lie apart"
)


@cache
def kept(kind: str = "measures") -> xr.Dataset:
    """Every unit of one kind at paper scale, if it is kept."""
    return experiments.load(f"sentiment-{kind}", "paper", present=True)


@cache
def networks() -> list[tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]]:
    """Weights before and after of every LSTM that is kept."""
    loss = kept("networks").history.sel(cell="LSTM").isel(epoch=0, measured=0).dropna("sample")
    return [trained.network("LSTM", int(sample), "paper")[1:] for sample in loss["sample"].values]


def values(matrix: str, which: str) -> np.ndarray:
    """Singular values (sample, index) of a matrix "before" or "after" training, or of its "change"."""
    pick = {"before": lambda b, a: b, "after": lambda b, a: a, "change": lambda b, a: a - b}[which]
    return np.stack([torch.linalg.svdvals(pick(b[matrix], a[matrix])).numpy() for b, a in networks()])


def tail(matrix: str, which: str) -> np.ndarray:
    """Tenth over first singular value."""
    s = values(matrix, which)
    return s[:, 9] / s[:, 0]


def history(measured: str) -> np.ndarray:
    """One record over epochs of every LSTM, (sample, epoch)."""
    record = kept("networks").history.sel(cell="LSTM", measured=measured).dropna("sample", how="all")
    return record.dropna("epoch").transpose("sample", "epoch").values


def accuracy(what: str, rank: int | None = None, split: str = "validation") -> np.ndarray:
    """Accuracy of every LSTM in full, or with the "change", the "whole" or the "gates" cut to a rank."""
    own = kept().sel(cell="LSTM", split=split).dropna("sample", how="all")
    return (own.accuracy if rank is None else own.accuracy_at_rank.sel(what=what, rank=rank)).values


def first_rank(what: str, missed: float = 0.01) -> np.ndarray:
    """Smallest rank from which on the accuracy stays within `missed` of the full network's."""
    own = kept().sel(cell="LSTM", split="validation").dropna("sample", how="all")
    curve = own.accuracy_at_rank.sel(what=what).transpose("sample", "rank")
    far = (curve < own.accuracy - missed).values
    ranks = np.append(curve["rank"].values, np.nan)
    return np.array([ranks[len(row) - int(row[::-1].argmax()) if row.any() else 0] for row in far])


def first_epoch(level: float) -> list[float]:
    """First epoch with training accuracy above `level`."""
    return [float((row > level).argmax()) if (row > level).any() else np.nan for row in history("training accuracy")]


def difference(rank: int, split: str) -> np.ndarray:
    """Accuracy with the change cut to a rank, less that with the whole cut to it."""
    return accuracy("change", rank, split) - accuracy("whole", rank, split)


def words(variable: str, **where) -> list[float]:
    """A count of the kept words, of the real reviews only."""
    data = kept("data")
    return [float(data[variable].sel(**where))] if str(data.corpus.values) == "SST-2" else []


EDGES = {("W2", 0): 1.73, ("W2", -1): 0.577, ("U1", 0): 2.42, ("U1", -1): 1.27}
VALUES, RANK, LEARNING = (PAGE + name for name in ("values", "rank", "learning"))
BEYOND, SUPPLEMENT = "beyond the paper", "Supplement, LSTM"
CLAIMS = [
    *(
        Claim(f"C33 {matrix} {end}", SUPPLEMENT, f"LSTM: {end} singular value of {matrix} before training",
              f"{edge} ± 3 % (Marchenko-Pastur)", 0.97 * edge, 1.03 * edge,
              lambda matrix=matrix, which=which: values(matrix, "before")[:, which], VALUES)
        for (matrix, which), edge in EDGES.items()
        for end in ["largest" if which == 0 else "smallest"]
    ),
    *(
        Claim(f"C34 {matrix}", "Fig. 5a" if matrix == "W2" else SUPPLEMENT,
              f"LSTM: tenth over first singular value of the change of {matrix}", "below 0.1", 0, 0.1,
              lambda matrix=matrix: tail(matrix, "change"), VALUES)
        for matrix in ("W2", "U2", "W1")
    ),
    Claim("C34 start", "Fig. 5a", "LSTM: tenth over first singular value of W2 before training", "above 0.9", 0.9, 1,
          lambda: tail("W2", "before"), VALUES),
    Claim("C35", "Fig. 5b", "LSTM: accuracy lost when the change is cut to rank 10", "at most 0.03", -INF, 0.03,
          lambda: accuracy("change") - accuracy("change", 10), RANK),
    Claim("C36", "Fig. 5b", "LSTM: accuracy lost when the whole is cut to rank 10", "at least 0.05", 0.05, INF,
          lambda: accuracy("whole") - accuracy("whole", 10), RANK, EASY),
    *(
        Claim(f"5a s{i}", "Fig. 5a", f"LSTM: singular value {i} of the change of W2", f"{value} ± {wide}", value - wide,
              value + wide, lambda i=i: values("W2", "change")[:, i - 1], VALUES)
        for i, value, wide in ((1, 3.5, 0.7), (3, 1.0, 0.4), (10, 0.2, 0.1))
    ),
    Claim("5a number", "Fig. 5a", "LSTM: singular values of the change of W2 above 0.1", "25 ± 10", 15, 35,
          lambda: (values("W2", "change") > 0.1).sum(1), VALUES),
    Claim("5a after", "Fig. 5a", "LSTM: largest singular value of W2 after training", "3.7 ± 0.7", 3.0, 4.4,
          lambda: values("W2", "after")[:, 0], VALUES),
    Claim("5b final", "Fig. 5b", "LSTM: validation accuracy after the last epoch", "0.79 ± 0.02", 0.77, 0.81,
          lambda: accuracy("change"), RANK),
    *(
        Claim(f"5b {what} {rank}", "Fig. 5b", f"LSTM: accuracy with the {what} cut to rank {rank}", f"{value} ± {wide}",
              value - wide, value + wide, lambda what=what, rank=rank: accuracy(what, rank), RANK, EASY)
        for what, rank, value, wide in (
            ("change", 3, 0.72, 0.05), ("change", 6, 0.77, 0.03), ("whole", 3, 0.72, 0.05), ("whole", 20, 0.71, 0.03),
        )
    ),
    *(
        Claim(f"5b {what} enough", "Fig. 5b",
              f"LSTM: rank of the {what} from which on the accuracy stays within 0.01 of the final", f"{low} to {high}",
              low, high, lambda what=what: first_rank(what), RANK, EASY)
        for what, low, high in (("change", 20, 60), ("whole", 150, 200))
    ),
    *(
        Claim(f"5b {split} {rank}", "Fig. 5b" if split == "validation" else BEYOND,
              f"LSTM: {split} accuracy with the change cut to rank {rank}, less that with the whole cut", "above 0",
              1e-9, INF, lambda rank=rank, split=split: difference(rank, split), RANK, EASY)
        for split in ("validation", "test")
        for rank in (5, 10, 20, 50)
    ),
    Claim("C35 test", BEYOND, "LSTM: test accuracy lost when the change is cut to rank 10", "at most 0.03", -INF, 0.03,
          lambda: accuracy("change", None, "test") - accuracy("change", 10, "test"), RANK),
    *(
        Claim(f"LSTM {split} {what}", SUPPLEMENT, f"LSTM: {split} {what} after the last epoch", f"{value} ± {wide}",
              value - wide, value + wide, lambda split=split, what=what: history(f"{split} {what}")[:, -1], LEARNING, EASY)
        for split, what, value, wide in (
            ("training", "loss", 0.37, 0.06), ("validation", "loss", 0.51, 0.06), ("training", "accuracy", 0.84, 0.03),
        )
    ),
    Claim("LSTM start", SUPPLEMENT, "LSTM: epoch at which the training accuracy exceeds 0.6", "25 to 30", 20, 35,
          lambda: first_epoch(0.6), LEARNING, EASY),
    Claim("LSTM lowest", SUPPLEMENT, "LSTM: epoch of the lowest validation loss", "about 330", 230, 430,
          lambda: history("validation loss").argmin(1), LEARNING, EASY),
    *(
        Claim(f"LSTM {matrix}", SUPPLEMENT, f"LSTM: largest singular value of the change of {matrix}",
              f"{value} ± 20 %", 0.8 * value, 1.2 * value, lambda matrix=matrix: values(matrix, "change")[:, 0], VALUES)
        for matrix, value in (("U1", 1.85), ("W1", 3.7), ("U2", 3.9))
    ),
    Claim("LSTM W1 s10", SUPPLEMENT, "LSTM: singular value 10 of the change of W1", "0.5 ± 0.2", 0.3, 0.7,
          lambda: values("W1", "change")[:, 9], VALUES),
    Claim("LSTM tokens", SUPPLEMENT, "LSTM: tokens of the 6920 training sentences", "138,260 ± 10", 138_250, 138_270,
          lambda: words("tokens", split="train"), LEARNING),
    Claim("LSTM parameters", SUPPLEMENT, "LSTM: trained parameters", "893,185", 893_185, 893_185,
          lambda: [sum(part.numel() for part in before.values()) for before, _ in networks()[:1]], LEARNING),
]  # fmt: skip
