"""Claims of Schuessler et al. (2020) on the LSTM that reads film reviews: C33 to C36, Figure 5 and its supplement."""

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
import xarray as xr

from .. import experiments, sentiment
from ..experiments import sentiment as trained
from . import Claim

ORDER = 2.5
INF = float("inf")
PAGE = "sentiment.html#fig-sentiment-"
EASY = "at this stage a few directions of W are enough: see the rows of 500 epochs"
HEART = "after 500 epochs the network knows its sentences by heart, as the paper's did not: see the other stage"
FAST = "some ten times fewer epochs than in the paper, here as at the other marks, as if a step were ten times as long; with vectors that mean nothing it takes no longer, so that the vectors are not the reason. The cause is not known"
FEWER = "fewer directions are enough. The vectors are not the paper's; whether they are the reason we cannot tell"
FILMS = (
    "the vectors are not the paper's: they were learned from film reviews. Whether that is the reason we cannot tell"
)
EQUAL = "at this rank neither cut leads"
REVERSED = "at rank 5 the whole reads better than the change; the loss is lower with the change"
TAIL = "the leading values agree with the paper's, the tail falls more slowly"
ZERO = "with its trained readout, W of layer 1 and 2 at their start still read better than a coin: the trained input weights do part of the work"
STAGES = {"matched": "matched-measures", "networks": "measures"}  # where the networks are, where they are cut
END = {"matched": "LSTM at training accuracy 0.84", "networks": "LSTM after 500 epochs"}
EXTRA = {"matched": "", "networks": " 500"}  # of the id


@cache
def kept(kind: str) -> xr.Dataset:
    """Every unit of one kind at paper scale, if it is kept."""
    return experiments.load(f"sentiment-{kind}", "paper", present=True)


@cache
def networks(stage: str) -> list[tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]]:
    """Weights before and after of every LSTM that is kept, of one stage."""
    loss = kept(stage).history.sel(cell="LSTM").isel(epoch=0, measured=0).dropna("sample")
    return [trained.network("LSTM", int(sample), stage, "paper")[1:] for sample in loss["sample"].values]


@cache
def values(matrix: str, which: str, stage: str = "matched") -> np.ndarray:
    """Singular values (sample, index) of a matrix "before" or "after" training, or of its "change"."""
    pick = {"before": lambda b, a: b, "after": lambda b, a: a, "change": lambda b, a: a - b}[which]
    return np.stack([torch.linalg.svdvals(pick(b[matrix], a[matrix])).numpy() for b, a in networks(stage)])


def tail(matrix: str, which: str, stage: str = "matched") -> np.ndarray:
    """Tenth over first singular value."""
    s = values(matrix, which, stage)
    return s[:, 9] / s[:, 0]


def history(measured: str) -> np.ndarray:
    """One record over the 500 epochs of every LSTM, (sample, epoch)."""
    record = kept("networks").history.sel(cell="LSTM", measured=measured).dropna("sample", how="all")
    return record.dropna("epoch").transpose("sample", "epoch").values


def at_the_end(measured: str, stage: str = "matched") -> list[float]:
    """The last record of every LSTM of a stage."""
    record = kept(stage).history.sel(cell="LSTM", measured=measured).dropna("sample", how="all")
    return [float(one[np.isfinite(one)][-1]) for one in record.transpose("sample", "epoch").values]


def cuts(stage: str, split: str) -> xr.Dataset:
    """What is left of the LSTMs of a stage when they are cut."""
    return kept(STAGES[stage]).sel(cell="LSTM", split=split).dropna("sample", how="all")


def accuracy(what: str, rank: int | None = None, split: str = "validation", stage: str = "matched") -> np.ndarray:
    """Accuracy of every LSTM in full, or with the "change", the "whole" or the "gates" cut to a rank."""
    own = cuts(stage, split)
    return (own.accuracy if rank is None else own.accuracy_at_rank.sel(what=what, rank=rank)).values


def lost(what: str, rank: int, split: str = "validation", stage: str = "matched") -> np.ndarray:
    """Accuracy lost by a cut."""
    return accuracy(what, None, split, stage) - accuracy(what, rank, split, stage)


def enough(what: str, split: str, stage: str, level: Callable[[xr.DataArray], xr.DataArray]) -> np.ndarray:
    """Smallest rank from which on the accuracy stays at a level, a function of the full network's."""
    own = cuts(stage, split)
    return sentiment.rank_enough(own.accuracy_at_rank.sel(what=what), level(own.accuracy)).values


def first_epoch(level: float) -> list[float]:
    """First epoch with training accuracy above `level`."""
    return [float((row > level).argmax()) if (row > level).any() else np.nan for row in history("training accuracy")]


def difference(rank: int, split: str, stage: str) -> np.ndarray:
    """Accuracy with the change cut to a rank, less that with the whole cut to it."""
    return accuracy("change", rank, split, stage) - accuracy("whole", rank, split, stage)


def words(variable: str, **where) -> list[float]:
    """A count of the kept words, of the real reviews only."""
    data = kept("data")
    return [float(data[variable].sel(**where))] if str(data.corpus.values) == "SST-2" else []


EDGES = {("W2", 0): 1.73, ("W2", -1): 0.577, ("U1", 0): 2.42, ("U1", -1): 1.27}
VALUES, RANK, LEARNING, LATE = (PAGE + name for name in ("values", "rank", "learning", "heart"))
BEYOND, SUPPLEMENT = "beyond the paper", "Supplement, LSTM"
SPECTRUM = [  # matrix, index (from 1), value, tolerance: read off the figures of the paper
    ("W2", 1, 3.5, 0.7), ("W2", 3, 1.0, 0.4), ("W2", 6, 0.4, 0.2), ("W2", 10, 0.2, 0.1),
    ("U1", 1, 1.85, 0.37), ("U1", 8, 0.6, 0.2), ("U1", 100, 0.07, 0.05),
    ("W1", 1, 3.7, 0.74), ("W1", 10, 0.5, 0.2), ("U2", 1, 3.9, 0.78),
]  # fmt: skip
CURVE = [  # what is cut, rank, accuracy, tolerance
    ("change", 0, 0.50, 0.03), ("change", 3, 0.72, 0.04), ("change", 6, 0.77, 0.03),
    ("whole", 0, 0.50, 0.03), ("whole", 4, 0.72, 0.04), ("whole", 24, 0.71, 0.03), ("whole", 72, 0.75, 0.03),
]  # fmt: skip


# fmt: off
def of_stage(stage: str) -> list[Claim]:
    """The claims that can be asked of either stage: the paper's protocol, and the paper's training accuracy."""
    end, extra, page = END[stage], EXTRA[stage], RANK if stage == "matched" else LATE
    by_heart = "" if stage == "matched" else HEART
    own = [
        Claim(f"C34 {matrix}{extra}", "Fig. 5a" if matrix == "W2" else SUPPLEMENT,
              f"{end}: tenth over first singular value of the change of {matrix}", text, low, high,
              lambda matrix=matrix: tail(matrix, "change", stage), VALUES, by_heart)
        for matrix, text, low, high in (("W2", "below 0.1", 0, 0.1), ("W1", "0.14 ± 0.07 (0.5 of 3.7)", 0.07, 0.21))
    ]
    own += [
        Claim(f"{name}{also}{extra}", "Fig. 5b" if split == "validation" else BEYOND,
              f"{end}: {split} accuracy lost when the {what} is cut to rank 10", text, low, high,
              lambda what=what, split=split: lost(what, 10, split, stage), page, note)
        for split, also in (("validation", ""), ("test", " test"))
        for name, what, text, low, high, note in (
            ("C35", "change", "at most 0.03", -INF, 0.03, by_heart),
            ("C36", "whole", "at least 0.05", 0.05, INF, EASY),
        )
    ]
    own += [
        Claim(f"5b {split} {rank}{extra}", "Fig. 5b" if split == "validation" else BEYOND,
              f"{end}: {split} accuracy with the change cut to rank {rank}, less that with the whole cut",
              "above 0", 1e-9, INF, lambda rank=rank, split=split: difference(rank, split, stage), page,
              REVERSED if rank == 5 and stage == "matched" else EQUAL)
        for split in ("validation", "test")
        for rank in (5, 10, 20, 50)
    ]
    own += [
        Claim(f"5b {what} rank {rank}{extra}", "Fig. 5b", f"{end}: validation accuracy with the {what} cut to rank {rank}",
              f"{value} ± {wide}", value - wide, value + wide,
              lambda what=what, rank=rank: accuracy(what, rank, stage=stage), page,
              by_heart or (ZERO if (what, rank) == ("change", 0) else FEWER))
        for what, rank, value, wide in CURVE
    ]
    own += [
        Claim(f"5a {matrix} s{i}{extra}", "Fig. 5a" if matrix == "W2" else SUPPLEMENT,
              f"{end}: singular value {i} of the change of {matrix}", f"{value} ± {wide}", value - wide, value + wide,
              lambda matrix=matrix, i=i: values(matrix, "change", stage)[:, i - 1], VALUES, by_heart)
        for matrix, i, value, wide in SPECTRUM
    ]
    own += [
        Claim(f"5a number{extra}", "Fig. 5a", f"{end}: singular values of the change of W2 above 0.1", "25 ± 10", 15, 35,
              lambda: (values("W2", "change", stage) > 0.1).sum(1), VALUES, by_heart),
        Claim(f"5a W1 number{extra}", SUPPLEMENT, f"{end}: singular values of the change of W1 above 0.1", "60 ± 20", 40,
              80, lambda: (values("W1", "change", stage) > 0.1).sum(1), VALUES, by_heart or TAIL),
        Claim(f"5a after{extra}", "Fig. 5a", f"{end}: largest singular value of W2 after training", "3.7 ± 0.7", 3.0, 4.4,
              lambda: values("W2", "after", stage)[:, 0], VALUES, by_heart),
        Claim(f"5b final{extra}", "Fig. 5b", f"{end}: validation accuracy", "0.79 ± 0.02", 0.77, 0.81,
              lambda: accuracy("change", stage=stage), LEARNING, FILMS),
        Claim(f"5b test{extra}", BEYOND, f"{end}: test accuracy", "0.79 ± 0.02, as for validation", 0.77, 0.81,
              lambda: accuracy("change", split="test", stage=stage), page, FILMS),
        Claim(f"LSTM accuracy{extra}", SUPPLEMENT, f"{end}: training accuracy", "0.84 ± 0.02", 0.82, 0.86,
              lambda: at_the_end("training accuracy", stage), LEARNING, by_heart),
    ]
    own += [
        Claim(f"5b {what} enough{extra}", "Fig. 5b",
              f"{end}: rank of the {what} from which on the accuracy stays within 0.01 of the final",
              f"{low} to {high}", low, high,
              lambda what=what: enough(what, "validation", stage, lambda full: full - 0.01), page, by_heart or FEWER)
        for what, low, high in (("change", 20, 60), ("whole", 150, 200))
    ]
    own += [
        Claim(f"5b {what} needs{'' if split == 'validation' else ' test'}{extra}",
              "Fig. 5b" if split == "validation" else BEYOND,
              f"{end}: rank of the {what} from which on 95 % of the gain in {split} accuracy over 0.5 stay",
              f"{low} to {high}", low, high,
              lambda what=what, split=split: enough(what, split, stage, lambda full: 0.025 + 0.95 * full), page,
              by_heart or FEWER)
        for split in ("validation", "test")
        for what, low, high in (("change", 6, 60), ("whole", 90, 200))
    ]
    return own + [
        Claim(f"LSTM {split} loss{extra}", SUPPLEMENT, f"{end}: {split} loss", f"{value} ± 0.06", value - 0.06,
              value + 0.06, lambda split=split: at_the_end(f"{split} loss", stage), LEARNING, by_heart or FILMS)
        for split, value in (("training", 0.37), ("validation", 0.51))
    ]
# fmt: on


CLAIMS = [
    *(
        Claim(f"C33 {matrix} {end}", SUPPLEMENT, f"LSTM: {end} singular value of {matrix} before training",
              f"{edge} ± 3 % (Marchenko-Pastur)", 0.97 * edge, 1.03 * edge,
              lambda matrix=matrix, which=which: values(matrix, "before")[:, which], VALUES)
        for (matrix, which), edge in EDGES.items()
        for end in ["largest" if which == 0 else "smallest"]
    ),
    Claim("C34 start", "Fig. 5a", "LSTM: tenth over first singular value of W2 before training", "above 0.9", 0.9, 1,
          lambda: tail("W2", "before"), VALUES),
    *(claim for stage in STAGES for claim in of_stage(stage)),
    Claim("LSTM epochs", SUPPLEMENT, "LSTM: epoch at which the training accuracy reaches 0.84", "about 500", 400, INF,
          lambda: first_epoch(0.84), LEARNING, FAST),
    Claim("LSTM start", SUPPLEMENT, "LSTM: epoch at which the training accuracy exceeds 0.6", "25 to 30", 20, 35,
          lambda: first_epoch(0.6), LEARNING, FAST),
    Claim("LSTM lowest", SUPPLEMENT, "LSTM: epoch of the lowest validation loss", "about 330", 230, 430,
          lambda: history("validation loss").argmin(1), LEARNING, FAST),
    Claim("LSTM tokens", SUPPLEMENT, "LSTM: tokens of the 6920 training sentences", "138,260 ± 10", 138_250, 138_270,
          lambda: words("tokens", split="train"), LEARNING),
    Claim("LSTM parameters", SUPPLEMENT, "LSTM: trained parameters", "893,185", 893_185, 893_185,
          lambda: [sum(part.numel() for part in before.values()) for before, _ in networks("matched")[:1]], LEARNING),
]  # fmt: skip
