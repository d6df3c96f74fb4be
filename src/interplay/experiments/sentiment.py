"""Recurrent networks trained on film reviews, and how few directions their change needs (Schuessler et al. Figure 5).

`sentiment-data` finds words and vectors; `networks` trains LSTMs by the paper's protocol, `matched` LSTMs, GRUs and
RNNs until they know the training sentences as well as the paper's network did, `noise` LSTMs to the same point with
word vectors that mean nothing, and `rates` as `networks` at a tenth to a twentieth of the published learning rate,
whose training curve is not the published one.  `measures` cut each of them to every rank, `probes` take their random
start away.
"""

import io
import json
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from .. import archive, corpus, edge, sentiment
from ..seeds import fingerprint
from . import Experiment, experiment, fetch, reading, scaled, table
from . import path as where
from . import scale as scale_of

TABLE = table("sentiment")
MEASURED = ["training loss", "training accuracy", "validation loss", "validation accuracy"]
SAVE_EVERY = 60.0  # seconds between checkpoints


def text(scale: str) -> dict:
    """Settings of the words: corpus, and channels and mean norm of the vectors."""
    vectors = {"dimension": corpus.DIMENSION, "norm": corpus.GLOVE_NORM}
    return {"kind": "data", "unit": "words", "corpus": TABLE["scales"][scale]["corpus"]} | vectors


def cuts(hidden: int) -> dict:
    """Ranks to cut to, and what is cut."""
    ranks = [*(rank for rank in TABLE["cuts"]["ranks"] if rank < hidden), hidden]
    return TABLE["cuts"] | {"truncated": list(sentiment.TRUNCATED), "ranks": ranks}


def networks(kind: str, scale: str) -> list[dict]:
    """Settings of the networks of a stage; raises ValueError for a learning rate that is not finite and above 0."""
    made, size = [], TABLE["all"] | TABLE["scales"][scale]
    for own in scaled(TABLE[kind], scale):
        lr = edge.number("learning rate", size["lr"] / own.get("part", 1), above=0)
        one = size | own | {"kind": kind, "scale": scale, "words": text(scale), "lr": lr}
        made.append(one if own.get("keep", True) else one | cuts(size["hidden"]))
    return made


def kept_whole(kind: str, scale: str) -> list[dict]:
    """Units of a stage whose weights are kept."""
    return [unit for unit in experiment(f"sentiment-{kind}").units(scale) if unit.get("keep", True)]


def measured(kind: str, stage: str, scale: str) -> list[dict]:
    """Settings of the cuts of every network of a stage."""
    return [{"kind": kind, "scale": scale, "network": one} | cuts(one["hidden"]) for one in kept_whole(stage, scale)]


def probed(scale: str) -> list[dict]:
    """Settings of the probes of all networks that are kept, but those on noise."""
    own = TABLE["probes"] | {"kind": "probes", "scale": scale, "truncated": list(sentiment.TRUNCATED)}
    return [own | {"network": unit} for stage in ("networks", "matched", "rates") for unit in kept_whole(stage, scale)]


def opened(unit: dict, device: torch.device) -> tuple[sentiment.Reader, dict, reading.Held, xr.Dataset]:
    """The network of a unit, its weights before, batches by split (of training `sentences`, evenly), the words."""
    network = unit["network"]
    made, before, _ = reading.restore(network, device)
    kept = fetch("sentiment-data", network["words"], unit["scale"])
    read, labels = reading.sentences(kept, device)
    some = np.linspace(0, len(read["train"]) - 1, unit.get("sentences", 0)).astype(int)  # they come sorted by label
    read["train"], labels["train"] = [read["train"][i] for i in some], labels["train"][some]
    held = {split: list(sentiment.batches(read[split], labels[split], 256)) for split in read if read[split]}
    return made, before, held, kept


def measure(unit: dict, device: torch.device) -> xr.Dataset:
    """A kept network cut to every rank."""
    made, before, held, kept = opened(unit, device)
    vectors = unit["network"].get("vectors", str(kept.vectors.values))
    return labelled(reading.cut(made, before, held, unit).assign(corpus=kept.corpus, vectors=vectors), unit["network"])


def probe(unit: dict, device: torch.device) -> xr.Dataset:
    """A kept network without its start, and more of `reading.probe`."""
    found, network = reading.probe(*opened(unit, device)[:3], unit), unit["network"]
    return labelled(found, {"stage": network["kind"], "cell": network["cell"], "sample": network["sample"]})


def labelled(data: xr.Dataset, network: dict) -> xr.Dataset:
    """Results with the labels of their network."""
    return data.expand_dims({name: [network[name]] for name in ("stage", "part", "cell", "sample") if name in network})


def train(unit: dict, device: torch.device) -> xr.Dataset:
    """One network; goes on from the checkpoint beside the results if there is one of the same settings."""
    data = fetch("sentiment-data", unit["words"], unit["scale"])
    made, before = reading.reader(unit, data, device)
    read, labels = reading.sentences(data, device)
    held = list(sentiment.batches(read["validation"], labels["validation"], unit["batch"]))
    learned = [part for part in made.parameters() if part.requires_grad]
    optimiser = torch.optim.Adam(learned, lr=unit["lr"], fused=True)
    few = [rank for rank in unit["ranks_through"] if rank <= unit["hidden"]]
    path = archive.checkpoint(where(f"sentiment-{unit['kind']}", unit, unit["scale"]))
    of = {"unit": json.dumps(unit, sort_keys=True), "words": reading.words_digest(data)}
    found = resume(path, of) or {"history": [], "snapshots": {}, "seconds": 0.0}
    history, spent = found["history"], found["seconds"]
    snapshots = {epoch: xr.Dataset.from_dict(taken) for epoch, taken in found["snapshots"].items()}
    if history:
        sentiment.put(made, found["weights"])
        optimiser.load_state_dict(found["optimiser"])
    began = saved = time.monotonic()
    how = {"label": ("sentiment", unit["cell"], unit["hidden"], unit["sample"]), "batch": unit["batch"]}
    while (epoch := len(history)) <= unit["epochs"] and not (history and history[-1][1] >= unit.get("until", np.inf)):
        history.append(sentiment.epoch(made, optimiser, read, labels, epoch, bucket=unit["bucket"], **how))
        if "snapshots" in unit and epoch in (*unit["snapshots"], unit["epochs"]):
            snapshots[epoch] = reading.through(made, before, held, few)
        if time.monotonic() - saved > SAVE_EVERY:
            state = of | {"weights": sentiment.weights(made), "optimiser": optimiser.state_dict(), "history": history}
            state |= {"snapshots": {epoch: taken.to_dict() for epoch, taken in snapshots.items()}}
            save(path, state | {"seconds": spent + time.monotonic() - began})
            saved = time.monotonic()
    snapshots = snapshots or {len(history) - 1: reading.through(made, before, held, few)}
    if unit.get("keep", True):
        found = reading.pack(before, sentiment.weights(made))
    else:  # a cut has other ranks here than those through training
        held = {split: list(sentiment.batches(read[split], labels[split], 256)) for split in reading.SPLITS}
        found = reading.cut(made, before, held, unit).rename(rank="cut", what="of")
    about = {"corpus": data.corpus, "vectors": unit.get("vectors", str(data.vectors.values))}
    about |= {"words_digest": reading.words_digest(data), "before_digest": fingerprint(*before.values())}
    through = xr.concat(snapshots.values(), "snapshot").assign_coords(snapshot=list(snapshots)).astype(np.float32)
    steps = xr.DataArray(np.array(history, np.float32), {"epoch": range(len(history)), "measured": MEASURED})
    found = found.assign(through.assign(history=steps, **about))
    return labelled(found, unit).assign_attrs(seconds=spent)


def save(path: Path, state: dict) -> None:
    """Keep what a training goes on from, whole or not at all."""
    torch.save(state, buffer := io.BytesIO())
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


def network(
    cell: str, sample: int, kind: str = "matched", at: str | None = None
) -> tuple[sentiment.Reader, dict, dict]:
    """A trained network ready to read, its weights before and after; computed first if it is not kept.

    kind: "networks" (the paper's protocol), "matched", "noise" or "rates" (the rate that fits)
    Raises ValueError if there is no such network, ArchiveError as `restore`.
    """
    chosen = {SAMPLE.format_map(unit): unit for unit in kept_whole(kind, scale_of(at))}
    return reading.restore(chosen[edge.one_of("network", SAMPLE.format(cell=cell, sample=sample), chosen)])


SAMPLE, CUT = "{cell}_s{sample}", "{network[unit]}"  # names of files
EXPERIMENTS = {
    "sentiment-data": Experiment(lambda scale: [text(scale)], "words", reading.find),
    "sentiment-networks": Experiment(partial(networks, "networks"), SAMPLE, train),
    "sentiment-measures": Experiment(partial(measured, "measures", "networks"), CUT, measure),
    "sentiment-matched": Experiment(partial(networks, "matched"), SAMPLE, train),
    "sentiment-matched-measures": Experiment(partial(measured, "matched-measures", "matched"), CUT, measure),
    "sentiment-noise": Experiment(partial(networks, "noise"), SAMPLE, train),
    "sentiment-noise-measures": Experiment(partial(measured, "noise-measures", "noise"), CUT, measure),
    "sentiment-probes": Experiment(probed, "{network[kind]}_{network[unit]}", probe),
    "sentiment-rates": Experiment(partial(networks, "rates"), "{cell}_1-{part}_s{sample}", train),
    "sentiment-rates-measures": Experiment(partial(measured, "rates-measures", "rates"), CUT, measure),
}
