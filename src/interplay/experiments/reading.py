"""Words and networks of `sentiment` as they are kept, and what these still read when something is taken from them."""

from collections import Counter

import numpy as np
import torch
import xarray as xr
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils.rnn import pad_sequence

from .. import archive, corpus, lowrank, sentiment
from ..seeds import fingerprint, generator, seed
from . import dataset, fetch

SPLITS = ("validation", "test")
BOTH = ["change", "whole"]  # cut through training
Held = dict[str, list[sentiment.Batch]]  # by split
UNSEEN = ("<unk>", "<pad>")  # an unknown word, and padding
SHORT = {"dtype": "int16"}  # how whole numbers are kept


def find(unit: dict, device: object = None) -> xr.Dataset:
    """The vocabulary of the training sentences, most frequent first, with vectors; sizes and coverage of the splits.

    Raises DataError if reviews or vectors cannot be had or read.
    """
    chosen = corpus.CORPORA[unit["corpus"]]()
    counts = Counter(word for sentence in chosen["train"][0] for word in sentence)
    words = sorted(counts, key=lambda word: (-counts[word], word))
    vectors = normal("word vectors", len(words))
    has, name = np.zeros(len(words), bool), "random"
    if unit["corpus"] != "made":
        found, has, name = corpus.word_vectors(words)
        vectors[has] = found[has]
    step = np.abs(vectors).max() / 32767
    tokens = {split: [word for one in part for word in one] for split, (part, _) in chosen.items()}
    known = set(np.array(words, object)[has])
    counted = {
        "sentences": [len(part) for part, _ in chosen.values()],
        "positive": [int(labels.sum()) for _, labels in chosen.values()],
        "tokens": [len(part) for part in tokens.values()],
        "in_vocabulary": [sum(word in counts for word in part) for part in tokens.values()],
        "with_vector": [sum(word in known for word in part) for part in tokens.values()],
    }
    held = {name: ("split", values) for name, values in counted.items()} | {
        "codes": (("word", "channel"), np.pad(np.round(vectors / step), ((2, 0), (0, 0))).astype(np.int16), {}, SHORT),
        "step": step,
        "has_vector": ("word", np.pad(has, (2, 0))),
        "count": ("word", [0, 0, *(counts[word] for word in words)]),
        "corpus": unit["corpus"],
        "vectors": name,
    }
    return xr.Dataset(held, {"word": [*UNSEEN, *words], "channel": np.arange(corpus.DIMENSION), "split": list(tokens)})


def normal(label: str, words: int) -> np.ndarray:
    """Normal numbers (word, channel) from the stream of that label."""
    rng = np.random.RandomState(np.random.MT19937(seed(label)))
    return rng.standard_normal((words, corpus.DIMENSION)).astype(np.float32)


def words_digest(data: xr.Dataset) -> str:
    """What a network's words are held to: the start of the SHA-256 of words and vectors."""
    text = np.frombuffer("\n".join(data.word.values.tolist()).encode(), np.uint8)
    return fingerprint(text, data.codes.values.astype(np.int16))


def vectors(data: xr.Dataset) -> torch.Tensor:
    """Vectors (word, channel) of the kept words."""
    return torch.from_numpy((data.codes.values * float(data.step)).astype(np.float32))


def noise(data: xr.Dataset) -> torch.Tensor:
    """Vectors (word, channel) that mean nothing: normal numbers for every word, zeros where `vectors` has them."""
    return torch.from_numpy(normal("vectors of noise", len(data.word)) * (np.arange(len(data.word)) > 1)[:, None])


def numbered(data: xr.Dataset, sentences: list[list[str]]) -> list[torch.Tensor]:
    """Sentences, each a list of tokens, as numbers of words; unknown ones are 0.

    Raises ValueError for a text that is not cut into tokens, or has none.
    """
    for sentence in sentences:
        if isinstance(sentence, str) or not len(sentence) or not all(isinstance(word, str) for word in sentence):
            raise ValueError(f"a sentence is {sentence!r}, but must be a list of tokens, as corpus.tokenise gives")
    place = {word: i for i, word in enumerate(data.word.values.tolist())}
    return [torch.tensor([place.get(word, 0) for word in sentence]) for sentence in sentences]


def sentences(data: xr.Dataset, device: torch.device) -> tuple[dict[str, list], dict[str, torch.Tensor]]:
    """Numbered sentences and labels by split, on a device."""
    chosen = corpus.CORPORA[str(data.corpus.values)]()
    read = {split: [one.to(device) for one in numbered(data, part)] for split, (part, _) in chosen.items()}
    return read, {split: torch.from_numpy(labels).to(device) for split, (_, labels) in chosen.items()}


def reader(unit: dict, data: xr.Dataset, device: torch.device | str = "cpu") -> tuple[sentiment.Reader, dict]:
    """The network of a unit before training, and its weights."""
    lookup = noise(data) if unit.get("vectors") == "noise" else vectors(data)
    made = sentiment.Reader(lookup, unit["cell"], unit["hidden"], unit["dropout"]).to(device)
    return made, sentiment.initialise(made, seed("sentiment", unit["cell"], unit["hidden"], unit["sample"]))


def pack(before: dict, after: dict) -> xr.Dataset:
    """What is kept of the weights: the change of every matrix in steps of 1/32767 of its largest, the rest as it is."""
    biases = [name for name in after if "bias" in name and "readout" not in name]
    held = {
        "biases": (("bias", "row"), torch.stack([after[name] for name in biases])),
        "readout_weight": (("unit",), after["readout.weight"][0]),
        "readout_bias": ((), float(after["readout.bias"])),
    }
    for name in sentiment.MATRICES:
        change = after[name] - before[name]
        held[f"step_{name}"] = ((), step := float(change.abs().max()) / 32767)
        held[f"d{name}"] = (("row", "channel" if name == "U1" else "unit"), (change / step).round())
    data = dataset(held, {}, bias=biases)
    for name in sentiment.MATRICES:
        data[f"d{name}"].encoding = SHORT
    return data


def restore(unit: dict, device: torch.device | str = "cpu") -> tuple[sentiment.Reader, dict, dict]:
    """The network of a unit, computed first if it is not kept: ready to read, and its weights before and after.

    Raises ArchiveError if initial weights or words are not what they were.
    """
    read = fetch("sentiment-data", unit["words"], unit["scale"])
    made, before = reader(unit, read, device)
    labels = {name: unit[name] for name in ("part", "cell", "sample") if name in unit}
    data = fetch(f"sentiment-{unit['kind']}", unit, unit["scale"]).sel(labels)
    if words_digest(read) != str(data.words_digest.values):
        raise archive.ArchiveError(
            f"{unit['unit']} was trained on {data.corpus.values} with {data.vectors.values} vectors, not on the words "
            f"kept now ({read.corpus.values}, {read.vectors.values}): move its results away"
        )
    if (found := fingerprint(*before.values())) != (wanted := str(data.before_digest.values)):
        raise archive.ArchiveError(f"first weights of {unit['unit']} have digest {found}, not {wanted}: numpy changed")
    stored = {name: data[f"d{name}"].values * float(data[f"step_{name}"]) for name in sentiment.MATRICES}
    stored |= dict(zip(data.bias.values.tolist(), data.biases.values))
    stored |= {f"readout.{name}": data[f"readout_{name}"].values[None] for name in ("weight", "bias")}
    after = {name: torch.from_numpy(part.astype(np.float32)).to(device) for name, part in stored.items()}
    after |= {name: before[name] + after[name] for name in sentiment.MATRICES}
    sentiment.put(made, after)
    return made.eval(), before, after


def cut(made: sentiment.Reader, before: dict, held: Held, unit: dict) -> xr.Dataset:
    """W1, U2 and W2 cut as `unit` says: loss and accuracy (what, rank, split), and (split) of the network in full."""
    splits = [split for split in SPLITS if split in held]

    def look():
        return [sentiment.evaluate(made, held[split]) for split in splits]

    cuts = [sentiment.against_rank(made, before, unit["ranks"], what, look) for what in unit["what"]]
    found = np.array(cuts, np.float32)
    full, dims = np.array(look(), np.float32), ("what", "rank", "split")
    values = {"loss_at_rank": (dims, found[..., 0]), "accuracy_at_rank": (dims, found[..., 1])}
    values |= {"loss": ("split", full[:, 0]), "accuracy": ("split", full[:, 1])}
    return xr.Dataset(values, {"what": unit["what"], "rank": unit["ranks"], "split": splits})


def through(made: sentiment.Reader, before: dict, held: list[sentiment.Batch], ranks: list[int]) -> xr.Dataset:
    """At one epoch: singular values of each change; accuracy in full, and with change and whole cut to each rank."""
    after = sentiment.weights(made)
    values = [lowrank.singular_values(after[name] - before[name]).cpu() for name in sentiment.MATRICES]
    padded = pad_sequence(values, batch_first=True, padding_value=torch.nan).numpy()
    found = cut(made, before, {"validation": held}, {"ranks": ranks, "what": BOTH}).isel(split=0, drop=True)
    values = {"course_accuracy": found.accuracy, "course_accuracy_at_rank": found.accuracy_at_rank}
    values |= {"course_values": (("matrix", "mode"), padded)}
    return xr.Dataset(values, {"matrix": list(sentiment.MATRICES), "mode": range(1, padded.shape[1] + 1)})


def probe(made: sentiment.Reader, before: dict, held: Held, unit: dict) -> xr.Dataset:
    """A network without its start, or with another; how often few directions decide as all; the first gradient.

    Start and change of W1, U2 and W2 are meant, the rest stays as trained; another start is the same with its entries
    shuffled.  The gradient of W2 is that of the untrained network, over held["train"].
    """
    after, weight = sentiment.weights(made), made.cell.weight_hh_l1
    gates = sentiment.CELLS[unit["network"]["cell"]]
    label = ("probe", *(unit["network"][name] for name in ("kind", "cell", "sample")))
    starts = {
        "all": lambda name: before[name],
        "the change alone": lambda name: torch.zeros_like(before[name]),
        "another start": lambda name: lowrank.shuffle(before[name].cpu(), generator(*label, name)).to(weight.device),
    }
    found = []
    for what in unit["without"]:
        sentiment.put(made, {name: starts[what](name) + after[name] - before[name] for name in sentiment.TRUNCATED})
        found.append([sentiment.evaluate(made, held[split]) for split in SPLITS])
    sentiment.put(made, after)

    def logits(split):
        return torch.cat([made(batch.words, batch.lengths) for batch in held[split]])

    with torch.no_grad():
        full = logits("test") > 0

        def same():
            return float(((logits("test") > 0) == full).float().mean())

        agree = sentiment.against_rank(made, before, unit["ranks"], "change", same)
    sentiment.put(made, before)
    loss = binary_cross_entropy_with_logits(logits("train"), torch.cat([batch.labels for batch in held["train"]]))
    (gradient,) = torch.autograd.grad(loss, weight)
    U, s, _ = torch.linalg.svd(gradient.view(len(gates), -1, weight.shape[1]), full_matrices=False)
    readout = before["readout.weight"][0] / before["readout.weight"].norm()
    loss, accuracy = np.moveaxis(np.array(found, np.float32), -1, 0)
    return xr.Dataset(
        {
            "loss": (("without", "split"), loss),
            "accuracy": (("without", "split"), accuracy),
            "agreement": ("rank", agree),
            "gradient_norm": ("gate", s.norm(dim=1).cpu()),
            "gradient_ratio": ("gate", (s[:, 1] / s[:, 0]).cpu()),
            "gradient_cosine": ("gate", (U[:, :, 0] @ readout).abs().cpu()),
        },
        {"without": unit["without"], "split": list(SPLITS), "rank": unit["ranks"], "gate": list(gates)},
    )
