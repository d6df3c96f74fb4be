"""A two-layer recurrent network that reads a sentence and says whether it is positive (Schuessler et al. 2020, Fig. 5).

Weights carry the paper's names: U1, W1 the input and recurrent weights of layer 1, U2, W2 those of layer 2; their rows
are the gates, one below the other (LSTM: input, forget, cell, output; GRU: reset, update, new; RNN: one).
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

from .seeds import generator, seed

CELLS = {
    "LSTM": ("input", "forget", "cell", "output"),
    "GRU": ("reset", "update", "new"),
    "RNN": ("recurrent",),
}
MATRICES = {"U1": "weight_ih_l0", "W1": "weight_hh_l0", "U2": "weight_ih_l1", "W2": "weight_hh_l1"}
TRUNCATED = ("W1", "U2", "W2")  # all at once; U1 stays
BUCKET = 100  # batches among which sentences are sorted by length


class Batch(NamedTuple):
    """Sentences, longest first: word numbers (time, trial), lengths (trial), labels (trial)."""

    words: Tensor
    lengths: Tensor
    labels: Tensor


class Reader(nn.Module):
    """Frozen word vectors (word, channel), two recurrent layers of `hidden` units, one logit.

    Dropout, of share `dropout`, between the layers and before the readout.  Raises ValueError for an unknown cell.
    """

    def __init__(self, vectors: Tensor, cell: str = "LSTM", hidden: int = 256, dropout: float = 0.5):
        super().__init__()
        if cell not in CELLS:
            raise ValueError(f"unknown cell {cell!r}: choose one of {', '.join(CELLS)}")
        self.embedding = nn.Embedding.from_pretrained(vectors)
        self.cell = getattr(nn, cell)(vectors.shape[1], hidden, num_layers=2, dropout=dropout)
        self.dropout = nn.Dropout(dropout)
        self.readout = nn.Linear(hidden, 1)

    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        """Logit of "positive" after the last word (trial), from the last state of layer 2."""
        return self.readout(self.dropout(self.last(words, lengths, packed=words.is_cuda)))[:, 0]

    def last(self, words: Tensor, lengths: Tensor, packed: bool) -> Tensor:
        """State of layer 2 after the last word (trial, unit).

        packed: skip the padding, as cuDNN can; the CPU's library cannot, and is twice as fast if it runs on through the
        padding, from which nothing is read
        """
        x = self.embedding(words)
        if not packed:
            return self.cell(x)[0][lengths - 1, torch.arange(len(lengths))]
        state = self.cell(pack_padded_sequence(x, lengths.cpu()))[1]
        return (state[0] if isinstance(state, tuple) else state)[-1]

    def word_by_word(self, words: Tensor) -> Tensor:
        """Logit of "positive" after every word of one sentence (time)."""
        return self.readout(self.cell(self.embedding(words)[:, None])[0][:, 0])[:, 0]


def weights(reader: Reader) -> dict[str, Tensor]:
    """The trained parameters by name: U1, W1, U2, W2, then biases and readout as torch calls them (copies)."""
    names = {f"cell.{long}": short for short, long in MATRICES.items()}
    return {names.get(name, name): part.detach().clone() for name, part in reader.named_parameters()
            if not name.startswith("embedding")}  # fmt: skip


def put(reader: Reader, values: dict[str, Tensor]) -> None:
    """Write parameters, by the names of `weights`, into the network; those not named stay."""
    own = dict(reader.named_parameters())
    with torch.no_grad():
        for name, value in values.items():
            own[f"cell.{MATRICES[name]}" if name in MATRICES else name].copy_(value)


def initialise(reader: Reader, chosen: np.random.SeedSequence) -> dict[str, Tensor]:
    """Draw and write all parameters: uniform to +-1/sqrt(hidden), U1 to +-1/sqrt(channels of a word vector).

    By numpy's frozen `RandomState`, whose stream is guaranteed (NEP 19).  Returns them as `weights`.
    """
    rng = np.random.RandomState(np.random.MT19937(chosen))
    drawn = {}
    for name, part in weights(reader).items():
        edge = (part.shape[1] if name == "U1" else reader.cell.hidden_size) ** -0.5
        drawn[name] = torch.from_numpy(rng.uniform(-edge, edge, tuple(part.shape)).astype(np.float32))
    put(reader, drawn)
    return weights(reader)


def batches(
    sentences: list[Tensor], labels: Tensor, size: int, rng: np.random.Generator | None = None, bucket: int = BUCKET
) -> Iterator[Batch]:
    """Batches of `size` sentences of like length; with `rng` in random order, and sorted within `bucket` batches.

    sentences: word numbers, one tensor each; labels (sentence)
    """
    order = np.arange(len(sentences)) if rng is None else rng.permutation(len(sentences))
    pool = len(order) if rng is None else bucket * size
    for start in range(0, len(order), pool):
        ranked = sorted(order[start : start + pool], key=lambda i: -len(sentences[i]))
        cut = [ranked[i : i + size] for i in range(0, len(ranked), size)]
        for chosen in cut if rng is None else [cut[i] for i in rng.permutation(len(cut))]:
            lengths = torch.tensor([len(sentences[i]) for i in chosen])
            yield Batch(pad_sequence([sentences[i] for i in chosen]), lengths, labels[chosen])


@torch.no_grad()
def evaluate(reader: Reader, held: list[Batch]) -> tuple[float, float]:
    """Cross-entropy (nats) and share of right answers over all sentences, without dropout."""
    training = reader.training
    reader.eval()
    logits = torch.cat([reader(batch.words, batch.lengths) for batch in held])
    reader.train(training)
    labels = torch.cat([batch.labels for batch in held])
    return float(binary_cross_entropy_with_logits(logits, labels)), float(
        ((logits > 0) == (labels > 0.5)).float().mean()
    )


def best(matrix: Tensor, blocks: int = 1) -> Callable[[int], Tensor]:
    """Best approximations of a matrix (rows, columns) by rank, each of `blocks` stacked gates on its own."""
    U, s, Vh = torch.linalg.svd(matrix.double().view(blocks, -1, matrix.shape[1]), full_matrices=False)
    return lambda rank: ((U[..., :rank] * s[:, None, :rank]) @ Vh[:, :rank]).flatten(0, 1).to(matrix.dtype)


def against_rank(
    reader: Reader, before: dict[str, Tensor], ranks: list[int], what: str, measure: Callable[[], float | tuple]
) -> list:
    """`measure()` with W1, U2 and W2 cut to each rank; the trained weights are put back afterwards.

    what: "change" keeps the initial weights and cuts what training added, "whole" cuts the trained weights, and "gates"
    is as "change", each gate's rows cut on their own
    Raises ValueError for any other.
    """
    if what not in ("change", "whole", "gates"):
        raise ValueError(f"what to cut is {what!r}, but must be change, whole or gates")
    after = weights(reader)
    start = {name: torch.zeros_like(after[name]) if what == "whole" else before[name] for name in TRUNCATED}
    blocks = after["W1"].shape[0] // after["W1"].shape[1] if what == "gates" else 1
    cut = {name: best(after[name] - start[name], blocks) for name in TRUNCATED}
    try:
        found = []
        for rank in ranks:
            put(reader, {name: start[name] + cut[name](rank) for name in TRUNCATED})
            found.append(measure())
        return found
    finally:
        put(reader, after)


def rank_enough(accuracy: xr.DataArray, level: xr.DataArray | float) -> xr.DataArray:
    """Smallest rank from which on `accuracy` (..., rank) stays at `level` or above; NaN where there is none."""
    reached = (accuracy >= level).transpose(..., "rank")
    stays = np.logical_and.accumulate(reached.values[..., ::-1], axis=-1)[..., ::-1]
    return reached["rank"].where(reached.copy(data=stays)).min("rank")


class Course(NamedTuple):
    """Where a training stands: epochs done, the state of Adam, and rows of (train, validation) x (loss, accuracy)."""

    epoch: int
    optimiser: dict
    history: list[list[float]]


def train(
    reader: Reader,
    sentences: dict[str, list[Tensor]],
    labels: dict[str, Tensor],
    *,
    epochs: int,
    lr: float,
    batch: int,
    bucket: int = BUCKET,
    label: tuple[str | float, ...],
    until: float | None = None,
    course: Course | None = None,
    each: Callable[[Course], None] = lambda course: None,
) -> list[list[float]]:
    """Adam on the cross-entropy, the last epoch kept; returns the history, a row an epoch from epoch 0 (untrained).

    sentences, labels: of the splits train and validation
    label: what the order of sentences and the dropout of every epoch are drawn from, so that a training that goes on
    from `course` (and the parameters at that time) ends as one that was never stopped
    until: training accuracy that is enough: the epoch that reaches it is the last
    each: called after every epoch
    Training loss and accuracy are means over the epoch, with dropout, as the paper's.
    Raises ValueError for a learning rate that is not finite and above 0.
    """
    if not (math.isfinite(lr) and lr > 0):
        raise ValueError(f"learning rate is {lr}, but must be finite and above 0")
    device = reader.readout.weight.device
    held = list(batches(sentences["validation"], labels["validation"], batch))
    optimiser = torch.optim.Adam([part for part in reader.parameters() if part.requires_grad], lr=lr, fused=True)
    if course:
        optimiser.load_state_dict(course.optimiser)
        history, first = list(course.history), course.epoch + 1
    else:
        start = evaluate(reader, list(batches(sentences["train"], labels["train"], batch)))
        history, first = [[*start, *evaluate(reader, held)]], 1
        each(Course(0, optimiser.state_dict(), history))
    reader.train()
    if until and history[-1][1] >= until:
        return history
    for epoch in range(first, epochs + 1):
        rng = np.random.Generator(np.random.PCG64(seed("order", *label, epoch)))
        total, right, count = 0.0, 0.0, 0
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(generator("dropout", *label, epoch).initial_seed())
            for part in batches(sentences["train"], labels["train"], batch, rng, bucket):
                logits = reader(part.words, part.lengths)
                loss = binary_cross_entropy_with_logits(logits, part.labels)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                total += float(loss.detach()) * len(logits)
                right += float(((logits > 0) == (part.labels > 0.5)).sum())
                count += len(logits)
        history.append([total / count, right / count, *evaluate(reader, held)])
        each(Course(epoch, optimiser.state_dict(), history))
        if until and history[-1][1] >= until:
            break
    return history
