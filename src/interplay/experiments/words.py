"""The words that the networks of `sentiment` read: a vocabulary with vectors, kept with the results."""

import hashlib
from collections import Counter

import numpy as np
import torch
import xarray as xr

from .. import corpus
from ..seeds import seed

UNKNOWN, PADDING = "<unk>", "<pad>"


def find(unit: dict) -> xr.Dataset:
    """The vocabulary of the training sentences, most frequent first, with vectors; sizes and coverage of the splits.

    Raises DataError if reviews or vectors cannot be had or read.
    """
    chosen = corpus_of(unit["corpus"])
    counts = Counter(word for sentence in chosen.sentences["train"] for word in sentence)
    words = sorted(counts, key=lambda word: (-counts[word], word))
    random = np.random.RandomState(np.random.MT19937(seed("word vectors")))
    vectors = random.standard_normal((len(words), corpus.DIMENSION)).astype(np.float32)
    has, name = np.zeros(len(words), bool), "random"
    if chosen.name != "made":
        found, has, name = corpus.word_vectors(words)
        vectors[has] = found[has]
    step = np.abs(vectors).max() / 32767
    codes = np.vstack([np.zeros((2, corpus.DIMENSION)), np.round(vectors / step)]).astype(np.int16)
    known = dict(zip(words, has))
    tokens = {split: [word for one in part for word in one] for split, part in chosen.sentences.items()}
    data = xr.Dataset(
        {
            "codes": (("word", "channel"), codes),
            "step": ((), step),
            "has_vector": (("word",), np.concatenate([[False, False], has])),
            "count": (("word",), [0, 0, *(counts[word] for word in words)]),
            "sentences": (("split",), [len(part) for part in chosen.sentences.values()]),
            "positive": (("split",), [int(part.sum()) for part in chosen.labels.values()]),
            "tokens": (("split",), [len(part) for part in tokens.values()]),
            "in_vocabulary": (("split",), [sum(word in counts for word in part) for part in tokens.values()]),
            "with_vector": (("split",), [sum(known.get(word, False) for word in part) for part in tokens.values()]),
            "corpus": ((), chosen.name),
            "vectors": ((), name),
        },
        {"word": [UNKNOWN, PADDING, *words], "channel": np.arange(corpus.DIMENSION), "split": list(tokens)},
    )
    data["codes"].encoding["dtype"] = "int16"
    return data


def kept(unit: dict, scale: str) -> xr.Dataset:
    """The kept words that a network reads."""
    from . import fetch  # another experiment's results

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
    rng = np.random.RandomState(np.random.MT19937(seed("vectors of noise")))
    drawn = rng.standard_normal(data.codes.shape).astype(np.float32)
    return torch.from_numpy(drawn * (np.arange(len(drawn)) > 1)[:, None])


def numbered(data: xr.Dataset, sentences: list[list[str]]) -> list[torch.Tensor]:
    """Sentences as numbers of words; unknown ones are 0."""
    place = {word: i for i, word in enumerate(data.word.values.tolist())}
    return [torch.tensor([place.get(word, 0) for word in sentence]) for sentence in sentences]


def corpus_of(name: str) -> corpus.Corpus:
    """The corpus of that name, SST-2 or made; raises DataError if it cannot be had."""
    return corpus.made() if name == "made" else corpus.treebank()


def sentences(data: xr.Dataset, device: torch.device) -> tuple[dict[str, list], dict[str, torch.Tensor]]:
    """Numbered sentences and labels by split, on a device."""
    chosen = corpus_of(str(data.corpus.values))
    read = {split: [one.to(device) for one in numbered(data, chosen.sentences[split])] for split in chosen.sentences}
    return read, {split: torch.from_numpy(part).to(device) for split, part in chosen.labels.items()}
