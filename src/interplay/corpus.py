"""Film reviews to learn from: the Stanford Sentiment Treebank, word vectors, or a small corpus made here.

Files come from the folder `INTERPLAY_DATA` if it is set, else from their homes (checksum, cache, tries).
"""

import gzip
import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
import platformdirs
import requests
import yaml

from .seeds import seed

HOMES = Path(__file__).with_name("homes.txt")  # file, checksum and address, as pooch reads them
TREES, GLOVE = "trainDevTestTrees_PTB.zip", "glove.6B.zip"
SPLITS = {"train": ("train.txt", 6920), "validation": ("dev.txt", 872), "test": ("test.txt", 1821)}
DIMENSION = 100
GLOVE_NORM = 5.7  # mean norm of GloVe's vectors, over 2,157 words of the reviews
TRIES = 5
Corpus = dict[str, tuple[list[list[str]], np.ndarray]]  # by split: tokens of sentences; 1 for positive, 0 for negative


class DataError(ValueError):
    """Data that cannot be had or read; the message names the file and what to do."""


class UnreachableError(DataError):
    """A home that does not answer, and no folder named that holds its data."""


def home_of(name: str, registry: Path | None = None, folder: Path | None = None, base: str = "") -> Path:
    """A file from its home, kept in `folder`; by default data, in the user's cache.

    registry: a line a file, its checksum and address, as pooch reads them; base: address of those that have none
    Raises UnreachableError if it cannot be had, DataError if it is not what it was; nothing of it is kept then.
    """
    import pooch  # not for everyone who reads: it warns where a notebook has no widgets

    folder = folder or Path(platformdirs.user_cache_dir("interplay")) / "data"
    home = pooch.create(folder, base, retry_if_failed=TRIES - 1)
    home.load_registry(registry or HOMES)
    url, checksum = home.get_url(name), home.registry[name]
    try:
        return Path(home.fetch(name, downloader=pooch.HTTPDownloader(progressbar=True, timeout=30)))
    except requests.RequestException as fault:
        variable = "INTERPLAY_DATA" if registry is None else "INTERPLAY_RESULTS"
        why = f"{url} cannot be had ({type(fault).__name__})"
        raise UnreachableError(f"{why}: name a folder that holds the data in {variable}") from fault
    except ValueError as fault:
        raise DataError(f"{url} has not the checksum it had ({checksum}): nothing of it was kept") from fault
    except OSError as fault:
        raise DataError(f"{folder} cannot keep {name} ({fault.strerror}): mend its permissions or space") from fault


def given(*names: str) -> Path | None:
    """The first of these files in the folder `INTERPLAY_DATA`, None if that is not set; DataError if it has none."""
    if not (chosen := os.environ.get("INTERPLAY_DATA")):
        return None
    if not (found := [path for name in names if (path := Path(chosen) / name).is_file()]):
        raise DataError(f"INTERPLAY_DATA is {chosen}, but has none of {', '.join(names)}")
    return found[0]


def lines(path: Path, member: str) -> Iterator[str]:
    """Lines of a text file, plain or gzip, or of a member of a zip archive; raises DataError if it is damaged."""
    try:
        file = zipfile.Path(path, member) if path.suffix == ".zip" else path
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else file.open(encoding="utf-8") as text:
            yield from (line.rstrip("\n") for line in text)
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, KeyError, UnicodeDecodeError) as fault:
        raise DataError(f"{path} cannot be read ({type(fault).__name__}): move it away and get it again") from fault


def tree(line: str, where: str = "it") -> tuple[int, list[str]]:
    """Label 0 to 4 and words of one binary tree, such as `(3 (2 Good) (2 film))`; raises DataError if it is none."""
    leaf, pair = r"\([0-4] ([^() ]+)\)", "\\([0-4] \0 \0\\)"
    rest, folded = re.sub(leaf, "\0", line.strip()), 1
    while folded:  # two leaves are one, until the root is left
        rest, folded = re.subn(pair, "\0", rest)
    if rest != "\0" or not line.strip().startswith("("):
        raise DataError(f"{where} is not a labelled binary tree: {line[:40]!r}")
    return int(line.strip()[1]), re.findall(leaf, line)


@cache
def tokeniser():
    """spaCy's English tokeniser, which the paper used; no model is needed."""
    import spacy  # seconds

    return spacy.blank("en").tokenizer


def tokenise(text: str) -> list[str]:
    """Tokens of a text, as written; any white space parts words."""
    return [token.text for token in tokeniser()(" ".join(text.split()))]


@cache
def treebank() -> Corpus:
    """SST-2 (Socher et al. 2013): whole sentences, neutral ones dropped, 6920 / 872 / 1821.

    Raises DataError if it cannot be had, a tree does not parse or the splits have other sizes.
    """
    found = {}
    for split, (name, size) in SPLITS.items():
        path = given(f"sst/{name}", TREES) or home_of(TREES)
        read = enumerate(lines(path, f"trees/{name}"), 1)
        trees = [tree(line, f"line {number} of {name} in {path}") for number, line in read]
        chosen = [(label, words) for label, words in trees if label != 2]
        if len(chosen) != size:
            raise DataError(f"{name} in {path} has {len(chosen)} sentences that are not neutral, but must have {size}")
        labels = np.array([label > 2 for label, _ in chosen], np.float32)
        found[split] = [tokenise(" ".join(words)) for _, words in chosen], labels
    return found


def word_vectors(words: list[str]) -> tuple[np.ndarray, np.ndarray, str]:
    """Vectors (word, 100) of words as written, which of them have one (word), and the name of the set.

    GloVe 6B, or in `INTERPLAY_DATA` another set that stands in for it, brought to GloVe's mean norm.
    Raises DataError if there is none, or a line of it does not parse.
    """
    stand_in = "vectors/imdb.skipgram.100d.sst.txt.gz"
    path = given("glove/glove.6B.100d.txt", "glove/glove.6B.100d.txt.gz", GLOVE, stand_in) or home_of(GLOVE)
    row = [("word", object), ("vector", np.float32, DIMENSION)]
    try:
        table = np.loadtxt(lines(path, "glove.6B.100d.txt"), row, comments=None, delimiter=" ", ndmin=1)
    except DataError:
        raise
    except ValueError as fault:
        raise DataError(f"{path} is not a word and {DIMENSION} numbers a line ({fault})") from fault
    if not (len(table) and np.isfinite(table["vector"]).all()):
        raise DataError(f"{path} has no vectors, or one that is not finite")
    place = dict(zip(table["word"], range(len(table))))
    has = np.array([word in place for word in words])
    found = np.zeros((len(words), DIMENSION), np.float32)
    found[has] = table["vector"][[place[word] for word in words if word in place]]
    if path.name != Path(stand_in).name:
        return found, has, "GloVe 6B 100d"
    norm = np.mean([np.linalg.norm(vector) for vector in table["vector"]])
    return found * (GLOVE_NORM / norm), has, "skip-gram of film reviews 100d"


GRAMMAR = yaml.safe_load(Path(__file__).with_name("grammar.yaml").read_text("utf-8"))


def made() -> Corpus:
    """Sentences of a small grammar, seeded, for where no data can be had: 3000 / 400 / 400, no two alike.

    clause: subject "is" [degree] adjective; "is not", "is never" and "is hardly" turn the meaning round
    sentence: clause | clause "but" clause | "although" clause "," clause; the last clause decides
    """
    rng = np.random.RandomState(np.random.MT19937(seed("made corpus")))

    def pick(what):
        return GRAMMAR[what][rng.randint(len(GRAMMAR[what]))]

    def clause(label: int) -> list[str]:
        turned = rng.rand() < 0.4
        verb = pick("negations") if turned else "is"
        return f"{pick('subjects')} {verb} {pick('degrees')} {pick('good' if label ^ turned else 'bad')}".split()

    def sentence(label: int) -> list[str]:
        form = rng.randint(3)
        first = clause(1 - label if rng.rand() < 0.8 else label) if form else []
        return [*(["although"] * (form == 2)), *first, *([[], ["but"], [","]][form]), *clause(label), "."]

    seen: dict[str, int] = {}
    while len(seen) < sum(GRAMMAR["sizes"].values()):
        label = rng.randint(2)
        seen[" ".join(sentence(label))] = label
    texts, labels = iter(seen), iter(seen.values())
    return {
        split: ([text.split() for text in islice(texts, size)], np.array([*islice(labels, size)], np.float32))
        for split, size in GRAMMAR["sizes"].items()
    }


CORPORA = {"SST-2": treebank, "made": made}
