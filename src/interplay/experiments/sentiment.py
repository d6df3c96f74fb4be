"""Recurrent networks trained on film reviews, and how few directions their change needs (Schuessler et al. Figure 5).

Kinds: `data` finds words and vectors; `networks` trains LSTMs by the paper's protocol, `matched` LSTMs, GRUs and RNNs
until they know the training sentences as well as the paper's network did, `noise` LSTMs to the same point with word
vectors that mean nothing.  `measures`, `matched-measures` and `noise-measures` cut each of them to every rank, `probes`
takes their random start away.  `rates` trains LSTMs as `networks`, at a tenth to a twentieth of the published learning
rate, whose training curve is not the published one; `rates-measures` cuts those whose weights are kept.
"""

import hashlib
import io
import json
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from .. import archive, corpus, sentiment
from ..seeds import seed
from ..sentiment import MATRICES
from . import Experiment, fetch, scale, words
from . import path as where

SIZE = {  # `paper`: the paper's; the rates of the others are higher, to be done in few epochs
    "paper": {"corpus": "SST-2", "hidden": 256, "batch": 64, "lr": 0.01 / 256, "samples": 3},
    "lite": {"corpus": "SST-2", "hidden": 128, "batch": 64, "lr": 1e-3, "samples": 1},
    "smoke": {"corpus": "made", "hidden": 32, "batch": 32, "lr": 1e-2, "samples": 2},
}
LSTMS = {  # more where the two cuts differ by little, fewer where one tells
    "matched": {"paper": 6, "lite": 1, "smoke": 2},
    "noise": {"paper": 3, "lite": 1, "smoke": 1},
}
EPOCHS = {"paper": 500, "lite": 10, "smoke": 4}
UNTIL = {"paper": 0.84, "lite": 0.84, "smoke": 0.95}  # training accuracy of the paper's network; 5 x EPOCHS at most
SNAPSHOTS = (0, 1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 40, 60, 80, 100, 150, 200, 250, 300, 400, 500)
RANKS_THROUGH = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 50)  # at every snapshot
NETWORK = {"optimiser": "adam", "dropout": 0.5, "bucket": sentiment.BUCKET, "ranks_through": list(RANKS_THROUGH)}
SAVE_EVERY = 60.0  # seconds between checkpoints
WHAT = ("change", "whole", "gates")
WITHOUT = ("all", "the change alone", "another start")


def units(kind: str, scale: str) -> list[dict]:
    """Settings of every unit of one kind: the words, or a network each."""
    size = {name: value for name, value in SIZE[scale].items() if name != "samples"} | {"scale": scale}
    words = {"kind": "data", "unit": "words", "corpus": size["corpus"]}
    words |= {"dimension": corpus.DIMENSION, "norm": corpus.GLOVE_NORM}  # of the vectors
    if kind == "data":
        return [words]
    if kind == "probes":
        stages = [network for stage in ("networks", "matched") for network in units(stage, scale)]
        return [
            {"kind": kind, "unit": f"{network['kind']}_{network['unit']}", "scale": scale, "ranks": [2, 5, 10]}
            | {"sentences": 600, "without": list(WITHOUT), "truncated": list(sentiment.TRUNCATED), "network": network}
            for network in stages
        ]
    cut = {"ranks": ranks(size["hidden"]), "what": list(WHAT), "truncated": list(sentiment.TRUNCATED)}
    if kind.endswith("measures"):
        measured = {"kind": kind, "scale": scale} | cut
        stage = "networks" if kind == "measures" else kind.removesuffix("-measures")
        whole = [network for network in units(stage, scale) if network.get("keep", True)]
        return [measured | {"unit": network["unit"], "network": network} for network in whole]
    stop = NETWORK | {"kind": kind, "epochs": EPOCHS[scale]}
    if kind in ("networks", "rates"):
        stop |= {"snapshots": list(SNAPSHOTS)}
    if kind == "rates":
        from .rates import units as rates

        return rates(scale, {"cell": "LSTM", "words": words} | size | stop, cut)
    if kind != "networks":
        stop |= {"epochs": 5 * EPOCHS[scale], "until": UNTIL[scale]}
    if kind == "noise":
        stop |= {"vectors": "noise"}
    number = dict.fromkeys(sentiment.CELLS if kind == "matched" else ("LSTM",), SIZE[scale]["samples"])
    number |= {"LSTM": LSTMS[kind][scale]} if kind in LSTMS else {}
    return [
        {"unit": f"{cell}_s{sample}", "cell": cell, "sample": sample, "words": words} | size | stop
        for cell, many in number.items()
        for sample in range(many)
    ]


def work(unit: dict) -> float:
    """Relative cost: tokens x parameters."""
    if unit["kind"] == "data":
        return 0.01
    network = unit.get("network", unit)
    each = {"LSTM": 1.0, "GRU": 1.3, "RNN": 0.5}[network["cell"]] * network["hidden"] ** 2
    epochs = min(network["epochs"], 30) if "until" in network else network["epochs"]
    return each * (0.4 * len(unit["ranks"]) if "network" in unit else epochs)


def ranks(hidden: int) -> list[int]:
    """Ranks to cut to: every one up to 40, then coarser, and all."""
    return sorted({r for r in (*range(41), *range(42, 64, 2), *range(64, 128, 8), *range(128, 256, 16)) if r < hidden}
                  | {hidden})  # fmt: skip


def compute(unit: dict, device: torch.device) -> xr.Dataset:
    """One unit, labelled by cell and sample."""
    if unit["kind"] == "data":
        return words.find(unit)
    if "network" in unit:
        from . import reading  # which reads the networks of this module

        return (reading.probe if unit["kind"] == "probes" else reading.measure)(unit, device)
    return train(unit, device)


def reader(unit: dict, data: xr.Dataset) -> tuple[sentiment.Reader, dict[str, torch.Tensor]]:
    """The network of a unit before training, and its weights."""
    vectors = words.noise(data) if unit.get("vectors") == "noise" else words.vectors(data)
    made = sentiment.Reader(vectors, unit["cell"], unit["hidden"], unit["dropout"])
    return made, sentiment.initialise(made, seed("sentiment", unit["cell"], unit["hidden"], unit["sample"]))


def digest(before: dict[str, torch.Tensor]) -> str:
    """What initial weights are held to: the start of the SHA-256 of all of them, as float32."""
    return hashlib.sha256(b"".join(part.numpy().tobytes() for part in before.values())).hexdigest()[:16]


def train(unit: dict, device: torch.device) -> xr.Dataset:
    """One network; goes on from the checkpoint beside the results if there is one of the same settings."""
    data = words.kept(unit["words"], unit["scale"])
    made, before = reader(unit, data)
    made.to(device)
    read, labels = words.sentences(data, device)
    held = list(sentiment.batches(read["validation"], labels["validation"], unit["batch"]))
    path = archive.checkpoint(where(f"sentiment-{unit['kind']}", unit, unit["scale"]))
    of = {"unit": json.dumps(unit, sort_keys=True), "words": words.digest(data)}
    found = resume(path, of)
    course, snapshots, spent = None, {}, 0.0
    if found:
        sentiment.put(made, found["weights"])
        course, snapshots, spent = sentiment.Course(*found["course"]), found["snapshots"], found["seconds"]
    began = saved = time.monotonic()

    def each(course: sentiment.Course) -> None:
        nonlocal saved
        if "snapshots" in unit and course.epoch in (*unit["snapshots"], unit["epochs"]):
            snapshots[course.epoch] = snapshot(made, before, held, unit["ranks_through"])
        if time.monotonic() - saved > SAVE_EVERY:
            save(path, of, made, course, snapshots, spent + time.monotonic() - began)
            saved = time.monotonic()

    history = sentiment.train(
        made, read, labels, **{name: unit[name] for name in ("epochs", "lr", "batch", "bucket")},
        label=("sentiment", unit["cell"], unit["hidden"], unit["sample"]), course=course, each=each,
        until=unit.get("until"),
    )  # fmt: skip
    snapshots = snapshots or {len(history) - 1: snapshot(made, before, held, unit["ranks_through"])}
    result = kept_network(unit, data, before, sentiment.weights(made), history, snapshots)
    if "part" in unit:
        from . import reading

        result = reading.of_rate(unit, result, made, before, read, labels)
    return result.assign_attrs(seconds=spent)


def save(
    path: Path, of: dict, made: sentiment.Reader, course: sentiment.Course, snapshots: dict, seconds: float
) -> None:
    """Keep what a training goes on from, whole or not at all."""
    buffer = io.BytesIO()
    state = of | {"weights": sentiment.weights(made), "course": tuple(course)}
    torch.save(state | {"snapshots": snapshots, "seconds": seconds}, buffer)
    archive.write_bytes(path, buffer.getvalue())


def resume(path: Path, of: dict) -> dict | None:
    """What was kept of the same training (`of`: its unit and words), None if there is none.

    A damaged file is set aside with a warning; ArchiveError if what is kept is of another training.
    """
    if not path.exists():
        return None
    try:
        state = torch.load(io.BytesIO(archive.read_bytes(path)), weights_only=True, map_location="cpu")
    except archive.ArchiveError as fault:
        path.replace(aside := path.with_name(path.name + ".damaged"))
        warnings.warn(f"{fault}; set aside as {aside.name}, training starts afresh", stacklevel=2)
        return None
    if any(state.get(name) != value for name, value in of.items()):
        raise archive.ArchiveError(f"{path} is of a training with other settings or words: move it away")
    return state


def snapshot(made: sentiment.Reader, before: dict, held: list[sentiment.Batch], ranks: list[int]) -> dict[str, list]:
    """Singular values of each matrix's change; accuracy in full, and with change and whole cut to a few ranks."""
    after = {name: part.cpu() for name, part in sentiment.weights(made).items()}
    on = {name: part.to(made.readout.weight.device) for name, part in before.items()}
    few = [rank for rank in ranks if rank <= made.cell.hidden_size]
    right = lambda: sentiment.evaluate(made, held)[1]
    return {
        "values": [torch.linalg.svdvals(after[name] - before[name]).tolist() for name in MATRICES],
        "accuracy": right(),
        "at_rank": [sentiment.against_rank(made, on, few, what, right) for what in WHAT[:2]],
    }


def kept_network(unit: dict, data: xr.Dataset, before: dict, after: dict, history: list, snapshots: dict) -> xr.Dataset:
    """What is kept of one training: the course, and the change of every matrix in steps of 1/32767 of its largest."""
    hidden, cell = unit["hidden"], unit["cell"]
    after = {name: part.cpu() for name, part in after.items()}
    held, dims = {}, {"U1": ("row", "channel"), "W1": ("row", "unit"), "U2": ("row", "unit"), "W2": ("row", "unit")}
    for name, dim in dims.items():
        change = after[name] - before[name]
        step = float(change.abs().max()) / 32767
        held[f"d{name}"] = (dim, np.round((change / step).numpy()))
        held[f"step_{name}"] = ((), step)
    biases = [name for name in after if "bias" in name and "readout" not in name]
    most = max(len(values) for values in next(iter(snapshots.values()))["values"])
    mode = np.full((len(snapshots), len(dims), most), np.nan, np.float32)
    for i, taken in enumerate(snapshots.values()):
        for j, values in enumerate(taken["values"]):
            mode[i, j, : len(values)] = values
    few = [rank for rank in unit["ranks_through"] if rank <= hidden]
    held |= {
        "biases": (("bias", "row"), torch.stack([after[name] for name in biases]).numpy()),
        "readout_weight": (("unit",), after["readout.weight"][0].numpy()),
        "readout_bias": ((), float(after["readout.bias"])),
        "history": (("epoch", "measured"), np.array(history, np.float32)),
        "course_values": (("snapshot", "matrix", "mode"), mode),
        "course_accuracy": (("snapshot",), [taken["accuracy"] for taken in snapshots.values()]),
        "course_accuracy_at_rank": (("snapshot", "what", "rank"), [taken["at_rank"] for taken in snapshots.values()]),
        "before_digest": ((), digest(before)),
        "words_digest": ((), words.digest(data)),
        "corpus": ((), str(data.corpus.values)),
        "vectors": ((), unit.get("vectors", str(data.vectors.values))),
    }
    coords = {
        "bias": biases,
        "row": np.arange(len(after["W1"])),
        "unit": np.arange(hidden),
        "channel": np.arange(after["U1"].shape[1]),
        "epoch": np.arange(len(history)),
        "measured": ["training loss", "training accuracy", "validation loss", "validation accuracy"],
        "snapshot": list(snapshots),
        "matrix": list(dims),
        "mode": np.arange(1, most + 1),
        "what": list(WHAT[:2]),
        "rank": few,
    }
    result = xr.Dataset(held, coords).expand_dims(cell=[cell], sample=[unit["sample"]])
    for name in dims:
        result[f"d{name}"].encoding["dtype"] = "int16"
    return result


def network(
    cell: str, sample: int, kind: str = "matched", at: str | None = None
) -> tuple[sentiment.Reader, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """A trained network ready to read, its weights before and after; computed first if it is not kept.

    kind: "networks" (the paper's protocol), "matched" or "noise"
    Raises ValueError if there is no such network, ArchiveError if initial weights or words are not what they were.
    """
    at = scale(at)
    chosen = [unit for unit in units(kind, at) if (unit["cell"], unit["sample"]) == (cell, sample)]
    if not chosen:
        there = ", ".join(unit["unit"] for unit in units(kind, at))
        raise ValueError(f"no network with cell {cell!r} and sample {sample} at scale {at}; there are {there}")
    return restore(chosen[0], fetch(f"sentiment-{kind}", chosen[0], at))


def restore(unit: dict, kept: xr.Dataset) -> tuple[sentiment.Reader, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """A network of a unit from what was kept of it: ready to read, and its weights before and after."""
    read = words.kept(unit["words"], unit["scale"])
    made, before = reader(unit, read)
    data = kept.sel({name: unit[name] for name in ("cell", "sample", "part") if name in unit})
    if words.digest(read) != str(data.words_digest.values):
        raise archive.ArchiveError(
            f"{unit['unit']} was trained on {data.corpus.values} with {data.vectors.values} vectors, not on the words "
            f"kept now ({read.corpus.values}, {read.vectors.values}): move its results away"
        )
    if (found := digest(before)) != (wanted := str(data.before_digest.values)):
        raise archive.ArchiveError(
            f"initial weights of {unit['unit']} have digest {found}, not {wanted}: numpy changed"
        )
    tensor = lambda values: torch.from_numpy(values.astype(np.float32))
    after = {name: before[name] + tensor(data[f"d{name}"].values * float(data[f"step_{name}"])) for name in MATRICES}
    after |= {name: tensor(data.biases.sel(bias=name).values) for name in data.bias.values.tolist()}
    after |= {
        "readout.weight": tensor(data.readout_weight.values[None]),
        "readout.bias": tensor(data.readout_bias.values[None]),
    }
    sentiment.put(made, after)
    return made.eval(), before, after


EXPERIMENTS = {
    "sentiment-data": Experiment(partial(units, "data"), "{unit}", compute, work),
    "sentiment-networks": Experiment(partial(units, "networks"), "{unit}", compute, work),
    "sentiment-measures": Experiment(partial(units, "measures"), "{unit}", compute, work),
    "sentiment-matched": Experiment(partial(units, "matched"), "{unit}", compute, work),
    "sentiment-matched-measures": Experiment(partial(units, "matched-measures"), "{unit}", compute, work),
    "sentiment-noise": Experiment(partial(units, "noise"), "{unit}", compute, work),
    "sentiment-noise-measures": Experiment(partial(units, "noise-measures"), "{unit}", compute, work),
    "sentiment-probes": Experiment(partial(units, "probes"), "{unit}", compute, work),
    "sentiment-rates": Experiment(partial(units, "rates"), "{unit}", compute, work),
    "sentiment-rates-measures": Experiment(partial(units, "rates-measures"), "{unit}", compute, work),
}
