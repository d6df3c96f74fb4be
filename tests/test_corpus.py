"""Film reviews: parsing, fetching from a home that breaks off, vectors, the corpus made here, bad data."""

import contextlib
import errno
import gzip
import hashlib
import http.server
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pooch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interplay import corpus, experiments

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="() \n"), min_size=1)
TREES = st.recursive(
    st.tuples(st.integers(0, 4), WORDS), lambda inner: st.tuples(st.integers(0, 4), inner, inner), max_leaves=12
)


def text_of(tree) -> str:
    return f"({tree[0]} {' '.join(part if isinstance(part, str) else text_of(part) for part in tree[1:])})"


def leaves(tree) -> list[str]:
    return [tree[1]] if isinstance(tree[1], str) else leaves(tree[1]) + leaves(tree[2])


@given(TREES)
def test_a_tree_gives_back_its_label_and_words(tree):
    assert corpus.tree(text_of(tree)) == (tree[0], leaves(tree))


@pytest.mark.parametrize(
    "line",
    [
        "",
        "(3 good",
        "(7 (2 a) (2 b))",
        "(3 (2 a) (2 b)))",
        "3 good",
        "(3 (2 a)) (2 b)",
        "()",
        "\0",
        "(3 (2 a) b)",
        "(3 (2 (2 a) (2 b) (2 c)))",
    ],
)
def test_what_is_no_tree_is_refused(line):
    with pytest.raises(ValueError):
        corpus.tree(line)


def test_tokens_are_those_of_the_paper():
    assert corpus.tokenise("It 's a well-made , moving film -- but do n't go .") == (
        ["It", "'s", "a", "well", "-", "made", ",", "moving", "film", "--", "but", "do", "n't", "go", "."]
    )


@pytest.fixture
def reviews(tmp_path, monkeypatch):
    """A folder of data in miniature, one sentence a label in every split; caches forget."""
    monkeypatch.setenv("INTERPLAY_DATA", str(tmp_path))
    monkeypatch.setattr(corpus, "SPLITS", {split: (name, 4) for split, (name, _) in corpus.SPLITS.items()})
    corpus.treebank.cache_clear()
    (tmp_path / "sst").mkdir()
    for name, _ in corpus.SPLITS.values():
        (tmp_path / "sst" / name).write_text("".join(f"({n} (2 Film) (2 no.{n}))\n" for n in range(5)), "utf-8")
    yield tmp_path
    corpus.treebank.cache_clear()


def test_neutral_sentences_are_dropped_and_the_rest_labelled(reviews):
    found = corpus.treebank()
    assert found["test"][1].tolist() == [0, 0, 1, 1]
    assert [sentence[0] for sentence in found["train"][0]] == ["Film"] * 4


def test_the_archive_of_the_home_reads_as_the_files(reviews):
    expected = corpus.treebank()
    with zipfile.ZipFile(reviews / corpus.TREES, "w") as packed:
        for name, _ in corpus.SPLITS.values():
            packed.write(reviews / "sst" / name, f"trees/{name}")
            (reviews / "sst" / name).unlink()
    corpus.treebank.cache_clear()
    found = corpus.treebank()
    assert [found[split][0] for split in found] == [expected[split][0] for split in corpus.SPLITS]


def cut(path):
    path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda d: (d / "sst/dev.txt").unlink(), "dev.txt"),
        (lambda d: cut(d / "sst/dev.txt"), "line 5 of dev.txt"),
        (lambda d: (d / "sst/dev.txt").write_text("(4 good)\n"), "has 1 sentences"),
        (lambda d: (d / "sst/dev.txt").write_bytes(b"(4 \xff)\n"), "cannot be read"),
    ],
)
def test_damaged_reviews_get_one_sentence(reviews, spoil, says):
    spoil(reviews)
    with pytest.raises(corpus.DataError, match=says) as raised:
        corpus.treebank()
    assert "\n" not in str(raised.value)


def put_vectors(folder, name, rows):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") if path.suffix == ".gz" else path.open("w") as file:
        file.writelines(f"{word} {' '.join(f'{x:.5f}' for x in numbers)}\n" for word, numbers in rows)
    return path


STAND_IN = "vectors/imdb.skipgram.100d.sst.txt.gz"


def test_vectors_of_words_as_written_glove_first(reviews):
    draw = np.random.RandomState(0)
    rows = [(word, draw.randn(100)) for word in ("film", "good", "élan")]
    put_vectors(reviews, STAND_IN, rows)
    found, has, name = corpus.word_vectors(["Film", "film", "élan"])
    assert has.tolist() == [False, True, True] and "skip-gram" in name
    norms = [np.linalg.norm(row) for _, row in rows]
    np.testing.assert_allclose(found[1], rows[0][1] * corpus.GLOVE_NORM / np.mean(norms), rtol=1e-3)
    put_vectors(reviews, "glove/glove.6B.100d.txt.gz", rows[1:])
    found, has, name = corpus.word_vectors(["good", "film"])
    assert has.tolist() == [True, False] and name == "GloVe 6B 100d"
    np.testing.assert_allclose(found[0], rows[1][1], atol=1e-5)


def test_missing_or_damaged_vectors_get_one_sentence(reviews):
    with pytest.raises(corpus.DataError, match=r"has none of .*glove.6B"):
        corpus.word_vectors(["film"])
    put_vectors(reviews, STAND_IN, [("film", np.ones(100)), ("good", np.ones(99))])
    with pytest.raises(corpus.DataError, match="100 numbers a line .*row 2"):
        corpus.word_vectors(["film"])
    put_vectors(reviews, STAND_IN, [("film", [*np.ones(99), np.nan])])
    with pytest.raises(corpus.DataError, match="not finite"):
        corpus.word_vectors(["film"])
    path = put_vectors(reviews, STAND_IN, [("film", np.ones(100))])
    with gzip.open(path, "at") as file:
        file.write("good" + " one" * 100)
    with pytest.raises(corpus.DataError, match="100 numbers a line .*one"):
        corpus.word_vectors(["film"])
    path = put_vectors(reviews, STAND_IN, [("film", np.ones(100))])
    whole = path.read_bytes()
    for at in range(len(whole)):  # wherever a byte is changed
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        with contextlib.suppress(corpus.DataError):
            corpus.word_vectors(["film"])
    path.write_bytes(whole)
    cut(path)
    with pytest.raises(corpus.DataError, match="cannot be read"):
        corpus.word_vectors(["film"])
    glove = put_vectors(reviews, "glove/glove.6B.100d.txt", [("film", np.ones(100)), ("good", np.ones(100))])
    glove.write_bytes(glove.read_bytes()[:-300])  # half copied, in a word that nobody asked for
    with pytest.raises(corpus.DataError, match="row 2"):
        corpus.word_vectors(["film"])


class Home(http.server.BaseHTTPRequestHandler):
    """Serves one file, and breaks off in the middle of the first `breaks` answers."""

    content, breaks, asked = b"", 0, 0

    def do_GET(self):
        type(self).asked += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content[: len(self.content) // (2 if self.asked <= self.breaks else 1)])

    def log_message(self, *_):
        pass


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home on this machine: home(content, breaks=0, checksum=None) says what it serves; all is in `tmp_path`."""
    monkeypatch.delenv("INTERPLAY_DATA", raising=False)
    monkeypatch.setattr(corpus.platformdirs, "user_cache_dir", lambda _: str(tmp_path / "cache"))
    monkeypatch.setattr(corpus, "HOMES", tmp_path / "homes.txt")
    monkeypatch.setattr(pooch.core.time, "sleep", lambda _: None)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Home)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def serve(content, breaks=0, checksum=None):
        Home.content, Home.breaks, Home.asked = content, breaks, 0
        address = f"http://127.0.0.1:{server.server_port}/file.zip"
        right = f"sha256:{checksum or hashlib.sha256(content).hexdigest()}"
        (tmp_path / "homes.txt").write_text(f"file.zip {right} {address}\n")

    yield serve
    server.shutdown()


def kept(folder) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]


def test_a_download_that_breaks_off_is_tried_again_and_kept(home, tmp_path):
    content = np.random.RandomState(0).bytes(400_000)
    home(content, breaks=2)
    path = corpus.home_of("file.zip")
    assert path.read_bytes() == content and Home.asked == 3
    assert corpus.home_of("file.zip") == path and Home.asked == 3  # not asked again
    path.write_bytes(content[:-1])
    assert corpus.home_of("file.zip").read_bytes() == content and Home.asked == 4  # damaged in the cache
    assert kept(tmp_path / "cache") == ["file.zip"]


def test_a_home_that_always_breaks_off_leaves_nothing_half_fetched(home, tmp_path):
    home(np.random.RandomState(1).bytes(400_000), breaks=99)
    with pytest.raises(corpus.UnreachableError, match="INTERPLAY_DATA"):
        corpus.home_of("file.zip")
    assert not kept(tmp_path / "cache") and Home.asked == corpus.TRIES


def test_a_wrong_checksum_leaves_a_clean_cache(home, tmp_path):
    home(b"not what it was", checksum="0" * 64)
    with pytest.raises(corpus.DataError, match="checksum") as fault:
        corpus.home_of("file.zip")
    assert not kept(tmp_path / "cache") and not isinstance(fault.value, corpus.UnreachableError)


def test_what_cannot_be_had_is_named_and_nothing_is_kept_in_its_place(home, monkeypatch, tmp_path):
    home(b"")
    corpus.HOMES.write_text(f"{corpus.TREES} sha256:{'0' * 64} http://127.0.0.1:9/nobody.zip\n")
    monkeypatch.setenv("INTERPLAY_RESULTS", str(tmp_path / "results"))
    corpus.treebank.cache_clear()
    for name in ("sentiment-data", "sentiment-networks"):
        with pytest.raises(corpus.UnreachableError, match=r"nobody.zip cannot be had .*INTERPLAY_DATA"):
            experiments.load(name, "lite")
    assert not list((tmp_path / "results").rglob("*.nc"))
    data = experiments.load("sentiment-data", "smoke")  # what the chapter shows then
    assert str(data.corpus.values) == "made" and str(data.vectors.values) == "random"


def test_a_full_disk_is_not_a_home_that_does_not_answer(home, monkeypatch, tmp_path):
    home(b"reviews")

    def full(*_):
        return (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left"))

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", full)
    with pytest.raises(corpus.DataError, match="No space left") as fault:
        corpus.home_of("file.zip")
    assert not isinstance(fault.value, corpus.UnreachableError) and not kept(tmp_path / "cache")


def test_processes_that_start_together_all_get_the_file(home, tmp_path):
    content = np.random.RandomState(2).bytes(2_000_000)
    home(content)
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(corpus.home_of, ["file.zip"] * 4))
    assert [path.read_bytes() == content for path in paths] == [True] * 4 and kept(tmp_path / "cache") == ["file.zip"]


def polarity(clause: list[str]) -> int:
    """Meaning of a clause of the made corpus, worked out from its words alone."""
    good = sum(word in corpus.GRAMMAR["good"] for word in clause) - sum(
        word in corpus.GRAMMAR["bad"] for word in clause
    )
    return int((good > 0) != bool({"not", "never", "hardly"} & set(clause)))


def test_the_made_corpus_means_what_its_grammar_says():
    made = corpus.made()
    seen = [" ".join(sentence) for part, _ in made.values() for sentence in part]
    assert len(set(seen)) == len(seen) == sum(corpus.GRAMMAR["sizes"].values())
    turned = 0
    for split, (sentences, labels) in made.items():
        assert len(sentences) == corpus.GRAMMAR["sizes"][split] and abs(labels.mean() - 0.5) < 0.06
        for sentence, label in zip(sentences, labels):
            mark = "but" if "but" in sentence else "," if sentence[0] == "although" else None
            first, last = (
                (sentence[: sentence.index(mark)], sentence[sentence.index(mark) :]) if mark else ([], sentence)
            )
            assert polarity(last) == label
            turned += bool(first) and polarity(first) != label
    assert turned > 0.4 * len(seen)  # the contrast decides: a bag of words cannot tell
    assert corpus.made()["test"][0] == made["test"][0]


def test_kept_words_of_paper_scale_are_those_of_the_paper(monkeypatch):
    monkeypatch.delenv("INTERPLAY_RESULTS")
    data = experiments.load("sentiment-data", "paper", present=True)
    assert str(data.corpus.values) == "SST-2" and str(data.vectors.values).endswith("100d")

    def of(name):
        return dict(zip(data.split.values.tolist(), data[name].values.astype(int).tolist()))

    assert of("sentences") == {"train": 6920, "validation": 872, "test": 1821}
    assert of("positive") == {"train": 3610, "validation": 444, "test": 909}
    assert abs(of("tokens")["train"] - 138_260) <= 2 and len(data.word) - 2 == 15_404
    assert of("in_vocabulary")["train"] == of("tokens")["train"]
    assert 0.8 < of("with_vector")["train"] / of("tokens")["train"] < 1
