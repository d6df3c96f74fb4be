"""A two-layer recurrent network that reads a sentence and says whether it is positive (Schuessler et al. 2020, Fig. 5).

Weights carry the paper's names: U1, W1 the input and recurrent weights of layer 1, U2, W2 those of layer 2; their rows
are the gates, one below the other (LSTM: input, forget, cell, output; GRU: reset, update, new; RNN: one).
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy
from torch.nn.utils.rnn import pad_sequence

from . import edge
from .lowrank import factors
from .seeds import generator, seed

CELLS = {"LSTM": ("input", "forget", "cell", "output"), "GRU": ("reset", "update", "new"), "RNN": ("recurrent",)}
MATRICES = {"U1": "cell.weight_ih_l0", "W1": "cell.weight_hh_l0", "U2": "cell.weight_ih_l1", "W2": "cell.weight_hh_l1"}
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
        edge.one_of("cell", cell, CELLS)
        self.embedding = nn.Embedding.from_pretrained(vectors)
        self.cell = getattr(nn, cell)(vectors.shape[1], hidden, num_layers=2, dropout=dropout, dtype=torch.float32)
        self.dropout = nn.Dropout(dropout)
        self.readout = nn.Linear(hidden, 1, dtype=torch.float32)

    def states(self, words: Tensor) -> Tensor:
        """State of layer 2 after every word (time, trial, unit)."""
        return self.cell(self.embedding(words))[0]

    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        """Logit of "positive" after the last word (trial): layer 2 runs on through padding, which nothing is read of.

        Raises ValueError for a sentence without words.
        """
        if not (len(lengths) and lengths.min() > 0):
            raise ValueError(f"lengths of sentences are {lengths.tolist()}, but each must have a word at least")
        last = self.states(words)[lengths - 1, torch.arange(len(lengths))]
        return self.readout(self.dropout(last))[:, 0]


def weights(reader: Reader) -> dict[str, Tensor]:
    """The trained parameters by name: U1, W1, U2, W2, then biases and readout as torch calls them (copies)."""
    short = {long: name for name, long in MATRICES.items()}
    trained = ((name, part) for name, part in reader.named_parameters() if part.requires_grad)
    return {short.get(name, name): part.detach().clone() for name, part in trained}


@torch.no_grad()
def put(reader: Reader, values: dict[str, Tensor]) -> None:
    """Write parameters, by the names of `weights`, into the network; those not named stay."""
    for name, value in values.items():
        reader.get_parameter(MATRICES.get(name, name)).copy_(value)


def initialise(reader: Reader, chosen: np.random.SeedSequence) -> dict[str, Tensor]:
    """Draw and write all parameters: uniform to +-1/sqrt(hidden), U1 to +-1/sqrt(channels of a word vector).

    By numpy's frozen `RandomState`, whose stream is guaranteed (NEP 19).  Returns them as `weights`.
    """
    rng = np.random.RandomState(np.random.MT19937(chosen))
    for name, part in weights(reader).items():
        edge = (part.shape[1] if name == "U1" else reader.cell.hidden_size) ** -0.5
        put(reader, {name: torch.from_numpy(rng.uniform(-edge, edge, tuple(part.shape)).astype(np.float32))})
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


def evaluate(
    reader: Reader, held: Iterable[Batch], optimiser: torch.optim.Optimizer | None = None
) -> tuple[float, float]:
    """Cross-entropy (nats) and share of right answers over all sentences, without dropout (which stays off).

    optimiser: takes a step after every batch, with dropout; then both are means while the network learns
    """
    reader.train(optimiser is not None)
    loss, right, count = 0.0, 0.0, 0
    for part in held:
        with torch.set_grad_enabled(optimiser is not None):
            logits = reader(part.words, part.lengths)
            error = cross_entropy(logits, part.labels)
        if optimiser:
            optimiser.zero_grad()
            error.backward()
            optimiser.step()
        loss += float(error.detach()) * len(logits)
        right += float(((logits > 0) == (part.labels > 0.5)).sum())
        count += len(logits)
    return loss / count, right / count


def against_rank(
    reader: Reader, before: dict[str, Tensor], ranks: list[int], what: str, measure: Callable[[], float | tuple]
) -> list:
    """`measure()` with W1, U2 and W2 cut to each rank; the trained weights are put back afterwards.

    what: "change" keeps the initial weights and cuts what training added, "whole" cuts the trained weights, and "gates"
    is as "change", each gate's rows cut on their own
    Raises ValueError for any other.
    """
    edge.one_of("cut", what, ("change", "whole", "gates"))
    after, hidden = weights(reader), reader.cell.hidden_size
    start = {name: torch.zeros_like(after[name]) if what == "whole" else before[name] for name in TRUNCATED}
    rows = hidden if what == "gates" else len(after["W1"])
    cut = {name: factors((after[name] - start[name]).double().view(-1, rows, hidden), hidden) for name in TRUNCATED}
    found = []
    try:
        for rank in [edge.number("rank", rank, 0, hidden, whole=True) for rank in edge.several(ranks)]:
            for name, (left, right) in cut.items():
                put(reader, {name: start[name] + (left[..., :rank] @ right[..., :rank].mT).flatten(0, 1).float()})
            found.append(measure())
    finally:
        put(reader, after)
    return found


def epoch(
    reader: Reader,
    optimiser: torch.optim.Optimizer,
    sentences: dict[str, list[Tensor]],
    labels: dict[str, Tensor],
    number: int,
    *,
    batch: int,
    bucket: int = BUCKET,
    label: tuple[str | float, ...],
) -> list[float]:
    """Loss (nats) and accuracy of training, then of validation, of one epoch; in epoch 0 nothing is learned.

    sentences, labels: of the splits train and validation
    label: what the order of sentences and the dropout of the epoch are drawn from, so that a training that goes on ends
    as one that was never stopped
    Training loss and accuracy are means over the epoch, with dropout, as the paper's.
    """
    device, known = reader.readout.weight.device, (sentences["train"], labels["train"], batch)
    rng = np.random.Generator(np.random.PCG64(seed("order", *label, number)))
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(generator("dropout", *label, number).initial_seed())
        learned = (batches(*known, rng, bucket), optimiser) if number else (batches(*known),)
        found = evaluate(reader, *learned)
    return [*found, *evaluate(reader, batches(sentences["validation"], labels["validation"], batch))]
