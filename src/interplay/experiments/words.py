"""The words that the networks of `sentiment` read: a vocabulary with vectors, kept with the results."""

import hashlib
from collections import Counter

import numpy as np
import torch
import xarray as xr

from .. import corpus
from ..seeds import seed
from . import fetch

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


def kept(unit: dict, scale: str) -> xr.Dataset:
    """The kept words that a network reads."""
    return fetch("sentiment-data", unit, scale)


def digest(data: xr.Dataset) -> str:
    """What a network's words are held to: the start of the SHA-256 of words and vectors."""
    text = "\n".join(data.word.values.tolist()).encode()
    return hashlib.sha256(text + data.codes.values.astype(np.int16).tobytes()).hexdigest()[:16]


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
        if isinstance(sentence, str) or not sentence:
            raise ValueError(f"a sentence is {sentence!r}, but must be a list of tokens, as corpus.tokenise gives")
    place = {word: i for i, word in enumerate(data.word.values.tolist())}
    return [torch.tensor([place.get(word, 0) for word in sentence]) for sentence in sentences]


def sentences(data: xr.Dataset, device: torch.device) -> tuple[dict[str, list], dict[str, torch.Tensor]]:
    """Numbered sentences and labels by split, on a device."""
    chosen = corpus.CORPORA[str(data.corpus.values)]()
    read = {split: [one.to(device) for one in numbered(data, part)] for split, (part, _) in chosen.items()}
    return read, {split: torch.from_numpy(labels).to(device) for split, (_, labels) in chosen.items()}
