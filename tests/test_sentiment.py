"""The network that reads: its equations written out, batches, truncation, a training that is killed and goes on."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import sigmoid, tanh

from interplay import archive, corpus, experiments, lowrank, sentiment
from interplay.experiments import reading
from interplay.experiments import sentiment as experiment
from interplay.seeds import generator, seed


def units(kind: str, at: str) -> list[dict]:
    return experiments.experiment(f"sentiment-{kind}").units(at)


WORDS = torch.randn(30, 5, generator=torch.Generator().manual_seed(0))


def reader(cell: str = "LSTM", hidden: int = 8) -> tuple[sentiment.Reader, dict]:
    made = sentiment.Reader(WORDS, cell, hidden)
    return made.eval(), sentiment.initialise(made, seed("test", cell))


def some(number: int = 23, size: int = 5) -> tuple[list[torch.Tensor], torch.Tensor, list[sentiment.Batch]]:
    draw = np.random.RandomState(0)
    sentences = [torch.from_numpy(draw.randint(30, size=draw.randint(1, 12))) for _ in range(number)]
    labels = torch.from_numpy(draw.randint(2, size=number).astype(np.float32))
    return sentences, labels, list(sentiment.batches(sentences, labels, size))


def layer(cell: str, x: torch.Tensor, U, W, b, c) -> torch.Tensor:
    """States of one layer, (time, unit), by the textbook; gates by name."""
    n, h, memory, found = W.shape[1], torch.zeros(W.shape[1]), torch.zeros(W.shape[1]), []
    rows = {gate: slice(i * n, (i + 1) * n) for i, gate in enumerate(sentiment.CELLS[cell])}
    for xt in x:
        into = {g: U[r] @ xt + b[r] for g, r in rows.items()}
        back = {g: W[r] @ h + c[r] for g, r in rows.items()}
        if cell == "LSTM":
            gate = {g: sigmoid(into[g] + back[g]) for g in rows}
            memory = gate["forget"] * memory + gate["input"] * tanh(into["cell"] + back["cell"])
            h = gate["output"] * tanh(memory)
        elif cell == "GRU":
            z = sigmoid(into["update"] + back["update"])
            new = tanh(into["new"] + sigmoid(into["reset"] + back["reset"]) * back["new"])
            h = (1 - z) * new + z * h
        else:
            h = tanh(into["recurrent"] + back["recurrent"])
        found.append(h)
    return torch.stack(found)


@pytest.mark.parametrize("cell", sentiment.CELLS)
def test_logits_are_those_of_the_equations_written_out(cell):
    made, w = reader(cell)
    sentences, _, held = some()

    def bias(layer, kind):
        return w[f"cell.bias_{kind}_l{layer}"]

    expected = {}
    for words in sentences:
        first = layer(cell, WORDS[words], w["U1"], w["W1"], bias(0, "ih"), bias(0, "hh"))
        second = layer(cell, first, w["U2"], w["W2"], bias(1, "ih"), bias(1, "hh"))
        z = second @ w["readout.weight"][0] + w["readout.bias"]
        torch.testing.assert_close(made.readout(made.states(words[:, None]))[:, 0, 0], z)
        expected[tuple(words.tolist())] = z[-1]
    for batch in held:  # padding is not read
        for n, logit in enumerate(made(batch.words, batch.lengths)):
            torch.testing.assert_close(logit, expected[tuple(batch.words[: batch.lengths[n], n].tolist())])


def test_the_network_of_the_paper_has_893_185_parameters_and_its_edges():
    made = sentiment.Reader(torch.zeros(3, 100))
    w = sentiment.initialise(made, seed("test"))
    assert sum(part.numel() for part in w.values()) == 893_185
    assert all(abs(w[name]).max() == pytest.approx(1 / 16, rel=1e-3) for name in ("W1", "U2", "W2"))
    assert abs(w["U1"]).max() == pytest.approx(0.1, rel=1e-3)
    for name, edge, columns in (("W2", 1 / 16, 256), ("U1", 0.1, 100)):
        values, scale = torch.linalg.svdvals(w[name]), edge / 3**0.5
        law = [scale * (1024**0.5 + columns**0.5), scale * (1024**0.5 - columns**0.5)]  # Marchenko-Pastur
        np.testing.assert_allclose([values[0], values[-1]], law, rtol=0.03)


def test_batches_hold_every_sentence_once_longest_first_in_another_order_each_epoch():
    sentences, labels, held = some(230, 4)
    rng = np.random.Generator(np.random.PCG64(0))

    def text(batch):
        return [tuple(batch.words[:n, i].tolist()) for i, n in enumerate(batch.lengths.tolist())]

    every = sorted((tuple(one.tolist()), float(label)) for one, label in zip(sentences, labels))
    orders = []
    for drawn in (
        held,
        list(sentiment.batches(sentences, labels, 4, rng)),
        list(sentiment.batches(sentences, labels, 4, rng)),
    ):
        assert sorted(pair for batch in drawn for pair in zip(text(batch), batch.labels.tolist())) == every
        assert all((batch.lengths.diff() <= 0).all() for batch in drawn)
        assert np.mean([batch.lengths.max() - batch.lengths.min() for batch in drawn]) < 1
        orders.append([text(batch) for batch in drawn])
    assert orders[0] != orders[1] != orders[2]


@pytest.mark.parametrize("what", ["change", "whole", "gates"])
def test_cutting_keeps_the_best_part_and_puts_the_weights_back(what):
    made, before = reader()
    draw = torch.Generator().manual_seed(1)
    after = {name: part + 0.3 * torch.randn(part.shape, generator=draw) for name, part in before.items()}
    sentiment.put(made, after)
    words = some()[2][0]

    def logits():
        return made(words.words, words.lengths).detach()

    full = logits()
    seen = sentiment.against_rank(made, before, [0, 3, 8], what, lambda: (logits(), sentiment.weights(made)))
    torch.testing.assert_close(seen[2][0], full)
    for name, part in seen[0][1].items():  # nothing is left at rank 0, and what is not cut stays
        left = torch.zeros_like(part) if what == "whole" else before[name]
        torch.testing.assert_close(part, left if name in sentiment.TRUNCATED else after[name])
    for name in sentiment.TRUNCATED:
        change = after[name] if what == "whole" else after[name] - before[name]
        cut = seen[1][1][name] - (after[name] - change)
        blocks = [slice(8 * g, 8 * g + 8) for g in range(4)] if what == "gates" else [slice(None)]
        missed = sum(torch.linalg.svdvals(change[rows])[3:].square().sum() for rows in blocks)
        torch.testing.assert_close((change - cut).square().sum(), missed)
        assert torch.linalg.matrix_rank(cut[blocks[-1]], rtol=1e-4) == 3
    torch.testing.assert_close(logits(), full)
    with pytest.raises(ZeroDivisionError):
        sentiment.against_rank(made, before, [1], what, lambda: 1 / 0)
    torch.testing.assert_close(logits(), full)


def test_paper_scale_is_the_protocol_of_the_paper():
    keys = ("cell", "corpus", "hidden", "batch", "epochs", "lr", "sample")
    assert [tuple(unit[key] for key in keys) for unit in units("networks", "paper")] == [
        ("LSTM", "SST-2", 256, 64, 500, 0.01 / 256, sample) for sample in range(3)
    ]
    rates = [(unit["cell"], unit["lr"], unit["keep"]) for unit in units("rates", "paper")]
    for lr, keep in ((0.01 / 256 / 16, True), (0.01 / 256 / 10, False), (0.01 / 256 / 20, False)):
        assert rates.count(("LSTM", lr, keep)) == (5 if keep else 3)
        assert [rates.count((cell, lr, keep)) for cell in ("GRU", "RNN")] == [3 * keep] * 2
    matched = {(unit["cell"], unit["sample"]) for unit in units("matched", "paper")}
    assert matched == {(cell, sample) for cell in sentiment.CELLS for sample in range(6 if cell == "LSTM" else 3)}


def test_bad_names_get_one_sentence():
    with pytest.raises(ValueError, match=r"'TCN'.*LSTM, GRU, RNN"):
        sentiment.Reader(WORDS, "TCN")
    made, before = reader()
    with pytest.raises(ValueError, match=r"'half'.*change, whole, gates"):
        sentiment.against_rank(made, before, [1], "half", lambda: 0)
    with pytest.raises(ValueError, match=r"'LSTM_s9': choose one of LSTM_s0, "):
        experiment.network("LSTM", 9, at="smoke")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """Results of an uninterrupted training and of its truncation."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INTERPLAY_RESULTS", str(folder))
        for kind in ("networks", "measures"):
            experiments.fetch(f"sentiment-{kind}", units(kind, "smoke")[0], "smoke")
    return folder


RUN = """
import torch
torch.set_num_threads(1)
from interplay import experiments
from interplay.experiments import sentiment
sentiment.SAVE_EVERY = 0
experiments.fetch("sentiment-networks", experiments.experiment("sentiment-networks").units("smoke")[0], "smoke")
"""


def start(folder: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", RUN], env=os.environ | {"INTERPLAY_RESULTS": str(folder)}, stderr=subprocess.DEVNULL
    )


def test_a_killed_training_goes_on_from_its_checkpoint_to_the_same_numbers(whole, tmp_path, monkeypatch):
    place = tmp_path / "smoke/sentiment-networks"
    path, process = place / "LSTM_s0.checkpoint", start(tmp_path)

    def state():
        return torch.load(io.BytesIO(archive.read_bytes(path)), weights_only=True)

    while process.poll() is None and not (path.exists() and len(state()["history"]) > 1):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (place / "LSTM_s0.nc").exists(), "it was not killed in time"
    spent = state()["seconds"]
    monkeypatch.setenv("INTERPLAY_RESULTS", str(tmp_path))
    unit = units("networks", "smoke")[0]
    done, afresh = [], sentiment.epoch
    monkeypatch.setattr(sentiment, "epoch", lambda *a, **k: done.append(a[4]) or afresh(*a, **k))
    found = experiments.fetch("sentiment-networks", unit, "smoke")
    assert done == list(range(done[0], unit["epochs"] + 1)) and done[0] > 0 and found.attrs["seconds"] > spent > 0
    expected = archive.read(whole / "smoke/sentiment-networks/LSTM_s0.nc")
    assert archive.digest(found.drop_attrs()) == archive.digest(expected.drop_attrs())
    assert not (place / "LSTM_s0.checkpoint").exists()


def test_dropout_is_on_while_something_is_learned_and_only_then():
    made, before = reader()
    held, still = some()[2], torch.optim.SGD(made.parameters(), lr=0.0)
    plain = sentiment.evaluate(made, held)
    logits = torch.cat([made(batch.words, batch.lengths) for batch in held])
    labels = torch.cat([batch.labels for batch in held])
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)
    assert plain == pytest.approx((float(loss), float(((logits > 0) == (labels > 0)).float().mean())))
    torch.manual_seed(0)
    thinned = {sentiment.evaluate(made, held, still)[0] for _ in range(3)}
    assert len(thinned) == 3 and plain[0] not in thinned
    assert sentiment.evaluate(made, held) == plain  # it is off again, and a rate of 0 moves nothing
    sentiment.evaluate(made, held, torch.optim.SGD(made.parameters(), lr=0.1))
    after = sentiment.weights(made)
    assert all(not torch.equal(after[name], before[name]) for name in sentiment.MATRICES)
    assert sentiment.evaluate(made, held)[0] < plain[0]


def test_training_stops_at_the_epoch_that_knows_enough(tmp_path, monkeypatch):
    monkeypatch.setenv("INTERPLAY_RESULTS", str(tmp_path))
    unit = units("matched", "smoke")[0] | {"hidden": 8, "epochs": 5}
    unit.pop("until")
    rows, epoch = [], sentiment.epoch
    monkeypatch.setattr(sentiment, "epoch", lambda *a, **k: rows.append(epoch(*a, **k)) or rows[-1])

    def trained(**until) -> np.ndarray:
        data = experiment.train(unit | until, torch.device("cpu")).isel(cell=0, sample=0)
        assert data.snapshot.values.tolist() == [data.sizes["epoch"] - 1]  # the last one is looked at
        return data.history.values

    every = trained()
    assert every.shape == (6, 4) and every[0, 1] < 0.7 < every[-1, 1]
    enough = int((every[:, 1] >= 0.7).argmax())
    np.testing.assert_array_equal(trained(until=0.7), every[: enough + 1])
    assert 0 < enough < 5
    np.testing.assert_array_equal(trained(until=rows[0][1]), every[:1])  # just enough, and at the start


@pytest.mark.parametrize("spoil", [lambda b: b[:-1000], lambda b: b[:500] + bytes([b[500] ^ 1]) + b[501:]])
def test_a_damaged_checkpoint_is_set_aside_with_a_sentence(spoil, tmp_path):
    unit = units("networks", "smoke")[0]
    path = tmp_path / "LSTM_s0.checkpoint"
    of = {"unit": json.dumps(unit), "words": "of one kind"}
    experiment.save(path, of | {"history": [[0.0] * 4]})
    assert experiment.resume(path, of)["history"] == [[0.0] * 4]
    for other in ({"unit": json.dumps(unit | {"lr": 1.0})}, {"words": "of another"}):
        with pytest.raises(archive.ArchiveError, match="other settings or words"):
            experiment.resume(path, of | other)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.warns(UserWarning, match=r"LSTM_s0.checkpoint is damaged .* starts afresh"):
        assert experiment.resume(path, of) is None
    assert not path.exists() and path.with_name(path.name + ".damaged").exists()


def test_a_kept_network_reads_as_it_did_when_it_was_trained(whole, monkeypatch):
    monkeypatch.setenv("INTERPLAY_RESULTS", str(whole))
    made, before, after = experiment.network("LSTM", 0, "networks", "smoke")
    held = experiments.load("sentiment-networks", "smoke", present=True)
    measured = experiments.load("sentiment-measures", "smoke", present=True).isel(cell=0, sample=0)
    loss, accuracy = held.history.values[0, 0, -1, 2:]
    assert accuracy > 0.9  # it did learn, and a bag of words could not
    number = {word: i for i, word in enumerate(experiments.load("sentiment-data", "smoke").word.values.tolist())}
    sentences = [torch.tensor([number.get(w, 0) for w in s]) for s in corpus.made()["validation"][0]]
    labels = torch.from_numpy(corpus.made()["validation"][1])
    found = sentiment.evaluate(made, list(sentiment.batches(sentences, labels, 32)))
    assert found == pytest.approx((loss, accuracy), abs=2e-3)
    assert float(measured.loss.sel(split="validation")) == pytest.approx(loss, abs=2e-3)
    curve = measured.accuracy_at_rank.sel(split="validation")
    np.testing.assert_allclose(curve.isel(rank=-1), accuracy, atol=2e-3)  # all ranks kept: nothing was cut
    assert float(curve.sel(what="whole", rank=0)) < 0.7
    values = torch.linalg.svdvals(after["W2"] - before["W2"])
    kept = held.course_values.isel(cell=0, sample=0, snapshot=-1).sel(matrix="W2").values
    np.testing.assert_allclose(kept[: len(values)], values, atol=1e-3)


def test_a_probe_takes_the_start_away_and_sees_the_first_gradient(whole, monkeypatch):
    monkeypatch.setenv("INTERPLAY_RESULTS", str(whole))
    unit = next(u for u in units("probes", "smoke") if u["unit"] == "networks_LSTM_s0")
    data = experiment.probe(unit, torch.device("cpu"))
    assert data.loss.dims[:3] == ("stage", "cell", "sample")  # as in what is kept, to be put together
    found = data.isel(cell=0, sample=0, stage=0)
    measured = experiments.load("sentiment-measures", "smoke", present=True).isel(cell=0, sample=0)
    np.testing.assert_allclose(found.loss.sel(without="all"), measured.loss, rtol=1e-5)
    made, before, after = experiment.network("LSTM", 0, "networks", "smoke")
    kept = experiments.fetch("sentiment-data", unit["network"]["words"], "smoke")
    read, labels = reading.sentences(kept, torch.device("cpu"))
    held = list(sentiment.batches(read["test"], labels["test"], 64))
    cut = ("W1", "U2", "W2")
    sentiment.put(made, {name: after[name] - before[name] for name in cut})
    alone = sentiment.evaluate(made, held)[0]
    assert float(found.loss.sel(without="the change alone", split="test")) == pytest.approx(alone, rel=1e-4)
    other = {name: lowrank.shuffle(before[name], generator("probe", "networks", "LSTM", 0, name)) for name in cut}
    sentiment.put(made, {name: other[name] + after[name] - before[name] for name in cut})
    shuffled = sentiment.evaluate(made, held)[0]
    assert float(found.loss.sel(without="another start", split="test")) == pytest.approx(shuffled, rel=1e-4)
    assert shuffled != pytest.approx(float(found.loss.sel(without="all", split="test")), rel=1e-3)
    sentiment.put(made, before)
    picked = np.linspace(0, len(read["train"]) - 1, unit["sentences"]).astype(int)
    made.zero_grad()
    logits = torch.stack([made.readout(made.states(read["train"][i][:, None]))[-1, 0, 0] for i in picked])
    torch.nn.functional.binary_cross_entropy_with_logits(logits, labels["train"][picked]).backward()
    U, s, _ = torch.linalg.svd(made.cell.weight_hh_l1.grad[2 * 32 : 3 * 32])  # of the cell gate
    of = found.sel(gate="cell")
    cosine = abs(U[:, 0] @ before["readout.weight"][0]) / before["readout.weight"].norm()
    expected = [float(s.norm()), float(s[1] / s[0]), float(cosine)]
    np.testing.assert_allclose([of.gradient_norm, of.gradient_ratio, of.gradient_cosine], expected, rtol=1e-3)


def test_networks_on_noise_read_noise(whole, monkeypatch):
    monkeypatch.setenv("INTERPLAY_RESULTS", str(whole))
    kept = experiments.fetch("sentiment-data", units("data", "smoke")[0], "smoke")
    vectors = {kind: reading.reader(units(kind, "smoke")[0], kept)[0].embedding.weight
               for kind in ("matched", "noise")}  # fmt: skip
    torch.testing.assert_close(vectors["matched"], reading.vectors(kept))
    noise = vectors["noise"]
    assert noise.shape == vectors["matched"].shape and not noise[:2].any()
    assert abs(noise[2:].std() - 1) < 0.05 and not torch.isclose(noise, vectors["matched"])[2:].any(1).all()


def test_a_network_of_a_smaller_rate_is_cut_as_one_that_is_kept_whole(tmp_path, monkeypatch):
    monkeypatch.setenv("INTERPLAY_RESULTS", str(tmp_path))
    whole, rest = units("rates", "smoke")
    assert (whole["keep"], rest["keep"]) == (True, False)
    assert whole["lr"] == pytest.approx(1e-2 / 10) and rest["lr"] == pytest.approx(1e-2 / 20)
    kept = experiments.fetch("sentiment-rates", whole, "smoke")
    measured = experiments.fetch("sentiment-rates-measures", units("rates-measures", "smoke")[0], "smoke")
    less = whole | {"keep": False, "ranks": rest["ranks"], "what": rest["what"], "unit": "less"}
    itself = experiments.fetch("sentiment-rates", less, "smoke")
    np.testing.assert_array_equal(itself.history, kept.history)
    assert not {"dW2", "step_W2", "biases", "readout_weight"} & set(itself.data_vars)
    atol = 1e-3  # weights are kept in whole steps
    np.testing.assert_allclose(
        itself.loss_at_rank, measured.loss_at_rank.transpose("part", "cell", "sample", ...), atol=atol
    )
    both = experiments.load("sentiment-rates", "smoke")
    assert both.part.values.tolist() == [10, 20]
    assert both.history.notnull().all()


@pytest.mark.parametrize("lr", [0, -1e-3, np.nan, np.inf])
def test_a_rate_that_cannot_be_is_refused_before_any_work(lr, tmp_path, monkeypatch):
    monkeypatch.setenv("INTERPLAY_RESULTS", str(tmp_path / "none"))
    monkeypatch.setitem(experiment.TABLE["scales"]["smoke"], "lr", lr)
    for kind in ("networks", "rates"):
        with pytest.raises(ValueError, match="learning rate is .*, but must be finite and above 0"):
            experiments.run(f"sentiment-{kind}", "smoke")
    assert not (tmp_path / "none").exists()


def test_an_empty_text_and_a_string_get_one_sentence(whole, monkeypatch):
    monkeypatch.setenv("INTERPLAY_RESULTS", str(whole))
    kept = experiments.fetch("sentiment-data", units("data", "smoke")[0], "smoke")
    for text in ("", [], "dull film", corpus.tokenise("")):
        with pytest.raises(ValueError, match=rf"a sentence is {re.escape(repr(text))}, but must be a list of tokens"):
            reading.numbered(kept, [["dull"], text])
    sentences, labels, _ = some()
    sentences[3] = torch.tensor([], dtype=torch.long)
    batch = next(sentiment.batches(sentences, labels, 23))
    for number in (23, 0):
        lengths = batch.lengths[:number]
        with pytest.raises(ValueError, match="lengths of sentences are .*, but each must have a word at least"):
            reader()[0](batch.words[:, :number], lengths)


def test_initial_weights_that_changed_are_refused(whole, monkeypatch):
    monkeypatch.setenv("INTERPLAY_RESULTS", str(whole))
    monkeypatch.setattr(reading, "seed", lambda *labels: seed(*labels, "changed"))
    with pytest.raises(archive.ArchiveError, match=r"LSTM_s0 have digest"):
        experiment.network("LSTM", 0, "networks", "smoke")


def test_a_network_is_not_given_other_words_than_it_was_trained_on(whole, monkeypatch):
    monkeypatch.setenv("INTERPLAY_RESULTS", str(whole))
    data = experiments.load("sentiment-data", "smoke")
    other = data.assign(codes=data.codes.copy(data=np.roll(data.codes.values, 1)), vectors="other")
    fetch = reading.fetch
    monkeypatch.setattr(reading, "fetch", lambda name, *of: other if name == "sentiment-data" else fetch(name, *of))
    with pytest.raises(archive.ArchiveError, match=r"LSTM_s0 was trained on made with random vectors, not .* other\)"):
        experiment.network("LSTM", 0, "networks", "smoke")


def test_training_anew_trains_every_network_once(whole, tmp_path, monkeypatch):
    shutil.copytree(whole, tmp_path / "old")
    monkeypatch.setenv("INTERPLAY_RESULTS", str(tmp_path / "old"))
    monkeypatch.setenv("INTERPLAY_RETRAIN", "1")
    trained, epoch = [], sentiment.epoch
    monkeypatch.setattr(sentiment, "epoch", lambda *a, **k: trained.append((a[4], *k["label"][1:])) or epoch(*a, **k))
    for name, value in {"hidden": 4, "epochs": 1}.items():
        monkeypatch.setitem(experiment.TABLE["scales"]["smoke"], name, value)
    for kind in ("networks", "measures"):
        experiments.load(f"sentiment-{kind}", "smoke")
    experiment.network("LSTM", 0, "networks", "smoke")
    assert trained == [(number, "LSTM", 4, sample) for sample in (0, 1) for number in (0, 1)]
