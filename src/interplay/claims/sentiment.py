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
EASY = "a few directions of W are enough at this stage; the random start is needed later, see the rows of 500 epochs"
HEART = "at this epoch the network knows its sentences by heart, as the paper's did not: see the rows of equal training accuracy"
FAST = "some ten times fewer epochs than in the paper, here as at the other marks, as if a step were ten times as long; at equal training accuracy spectra and losses agree. The cause is not known"
FEWER = "fewer directions are enough: vectors learned from film reviews already tell good words from bad ones"
FILMS = "vectors learned from film reviews know more of films than GloVe"
CLOSE = "near the range: the whole needs three times the rank of the change"
EQUAL = "at this rank both cuts have lost most of the accuracy, and neither leads"
STAGES = {"matched": "matched-measures", "networks": "measures"}  # where the networks are, where they are cut


@cache
def kept(kind: str) -> xr.Dataset:
    """Every unit of one kind at paper scale, if it is kept."""
    return experiments.load(f"sentiment-{kind}", "paper", present=True)


@cache
def networks(stage: str) -> list[tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]]:
    """Weights before and after of every LSTM that is kept, of one stage."""
    loss = kept(stage).history.sel(cell="LSTM").isel(epoch=0, measured=0).dropna("sample")
    return [trained.network("LSTM", int(sample), stage, "paper")[1:] for sample in loss["sample"].values]


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


def at_the_end(measured: str) -> list[float]:
    """The last record of every matched LSTM."""
    record = kept("matched").history.sel(cell="LSTM", measured=measured).dropna("sample", how="all")
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


def first_rank(what: str, stage: str = "matched", missed: float = 0.01) -> np.ndarray:
    """Smallest rank from which on the accuracy stays within `missed` of the full network's."""
    own = cuts(stage, "validation")
    curve = own.accuracy_at_rank.sel(what=what).transpose("sample", "rank")
    far = (curve < own.accuracy - missed).values
    ranks = np.append(curve["rank"].values, np.nan)
    return np.array([ranks[len(row) - int(row[::-1].argmax()) if row.any() else 0] for row in far])


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
END = {"matched": "LSTM", "networks": "LSTM, 500 epochs"}
CLAIMS = [
    *(
        Claim(f"C33 {matrix} {end}", SUPPLEMENT, f"LSTM: {end} singular value of {matrix} before training",
              f"{edge} ± 3 % (Marchenko-Pastur)", 0.97 * edge, 1.03 * edge,
              lambda matrix=matrix, which=which: values(matrix, "before")[:, which], VALUES)
        for (matrix, which), edge in EDGES.items()
        for end in ["largest" if which == 0 else "smallest"]
    ),
    *(
        Claim(f"C34 {matrix}{extra}", "Fig. 5a" if matrix == "W2" else SUPPLEMENT,
              f"{END[stage]}: tenth over first singular value of the change of {matrix}", text, low, high,
              lambda matrix=matrix, stage=stage: tail(matrix, "change", stage), VALUES, note)
        for stage, extra, note in (("matched", "", ""), ("networks", " 500", HEART))
        for matrix, text, low, high in (("W2", "below 0.1", 0, 0.1), ("W1", "0.14 ± 0.07 (0.5 of 3.7)", 0.07, 0.21))
    ),
    Claim("C34 start", "Fig. 5a", "LSTM: tenth over first singular value of W2 before training", "above 0.9", 0.9, 1,
          lambda: tail("W2", "before"), VALUES),
    *(
        Claim(f"{name}{also}{extra}", "Fig. 5b" if split == "validation" else BEYOND,
              f"{END[stage]}: {split} accuracy lost when the {what} is cut to rank 10", text, low, high,
              lambda what=what, split=split, stage=stage: lost(what, 10, split, stage), page, note)
        for stage, extra, page in (("matched", "", RANK), ("networks", " 500", LATE))
        for split, also in (("validation", ""), ("test", " test"))
        for name, what, text, low, high, note in (
            ("C35", "change", "at most 0.03", -INF, 0.03, "" if stage == "matched" else HEART),
            ("C36", "whole", "at least 0.05", 0.05, INF, EASY if stage == "matched" else ""),
        )
    ),
    *(
        Claim(f"5b {split} {rank}{extra}", "Fig. 5b" if split == "validation" else BEYOND,
              f"{END[stage]}: {split} accuracy with the change cut to rank {rank}, less that with the whole cut",
              "above 0", 1e-9, INF, lambda rank=rank, split=split, stage=stage: difference(rank, split, stage), page,
              EASY if stage == "matched" else EQUAL if rank <= 10 else "")
        for stage, extra, page in (("matched", "", RANK), ("networks", " 500", LATE))
        for split in ("validation", "test")
        for rank in (5, 10, 20, 50)
    ),
    *(
        Claim(f"5a s{i}", "Fig. 5a", f"LSTM: singular value {i} of the change of W2", f"{value} ± {wide}", value - wide,
              value + wide, lambda i=i: values("W2", "change")[:, i - 1], VALUES)
        for i, value, wide in ((1, 3.5, 0.7), (3, 1.0, 0.4), (10, 0.2, 0.1))
    ),
    Claim("5a number", "Fig. 5a", "LSTM: singular values of the change of W2 above 0.1", "25 ± 10", 15, 35,
          lambda: (values("W2", "change") > 0.1).sum(1), VALUES),
    Claim("5a after", "Fig. 5a", "LSTM: largest singular value of W2 after training", "3.7 ± 0.7", 3.0, 4.4,
          lambda: values("W2", "after")[:, 0], VALUES),
    *(
        Claim(f"5b final{extra}", "Fig. 5b", f"{END[stage]}: validation accuracy after the last epoch", "0.79 ± 0.02",
              0.77, 0.81, lambda stage=stage: accuracy("change", stage=stage), LEARNING, note)
        for stage, extra, note in (("matched", "", FILMS),
                                   ("networks", " 500", FILMS))
    ),
    *(
        Claim(f"5b {what} enough{extra}", "Fig. 5b",
              f"{END[stage]}: rank of the {what} from which on the accuracy stays within 0.01 of the final",
              f"{low} to {high}", low, high, lambda what=what, stage=stage: first_rank(what, stage), page, note)
        for stage, extra, page, notes in (("matched", "", RANK, (FEWER, EASY)), ("networks", " 500", LATE, (HEART, CLOSE)))
        for (what, low, high), note in zip((("change", 20, 60), ("whole", 150, 200)), notes, strict=True)
    ),
    Claim("LSTM epochs", SUPPLEMENT, "LSTM: epoch at which the training accuracy reaches 0.84", "about 500", 400, INF,
          lambda: first_epoch(0.84), LEARNING, FAST),
    Claim("LSTM start", SUPPLEMENT, "LSTM: epoch at which the training accuracy exceeds 0.6", "25 to 30", 20, 35,
          lambda: first_epoch(0.6), LEARNING, FAST),
    Claim("LSTM lowest", SUPPLEMENT, "LSTM: epoch of the lowest validation loss", "about 330", 230, 430,
          lambda: history("validation loss").argmin(1), LEARNING, FAST),
    *(
        Claim(f"LSTM {split} loss{extra}", SUPPLEMENT, f"{END[stage]}: {split} loss after the last epoch",
              f"{value} ± 0.06", value - 0.06, value + 0.06, measure, LEARNING, note)
        for split, value in (("training", 0.37), ("validation", 0.51))
        for stage, extra, measure, note in (
            ("matched", "", lambda split=split: at_the_end(f"{split} loss"),
             "" if split == "training" else FILMS),
            ("networks", " 500", lambda split=split: history(f"{split} loss")[:, -1], HEART),
        )
    ),
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
          lambda: [sum(part.numel() for part in before.values()) for before, _ in networks("matched")[:1]], LEARNING),
]  # fmt: skip
