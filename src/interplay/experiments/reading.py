"""The networks of `sentiment` as they are kept, and what they still read when something is taken from them."""

import hashlib

import numpy as np
import torch
import xarray as xr
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils.rnn import pad_sequence

from .. import archive, lowrank, sentiment
from ..seeds import generator, seed
from . import dataset, fetch, words

SPLITS = ("validation", "test")
BOTH = ["change", "whole"]  # cut through training
Held = dict[str, list[sentiment.Batch]]  # by split


def reader(unit: dict, data: xr.Dataset, device: torch.device | str = "cpu") -> tuple[sentiment.Reader, dict]:
    """The network of a unit before training, and its weights."""
    vectors = words.noise(data) if unit.get("vectors") == "noise" else words.vectors(data)
    made = sentiment.Reader(vectors, unit["cell"], unit["hidden"], unit["dropout"]).to(device)
    return made, sentiment.initialise(made, seed("sentiment", unit["cell"], unit["hidden"], unit["sample"]))


def digest(before: dict[str, torch.Tensor]) -> str:
    """What initial weights are held to: the start of the SHA-256 of all of them, as float32."""
    return hashlib.sha256(b"".join(part.cpu().numpy().tobytes() for part in before.values())).hexdigest()[:16]


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
        data[f"d{name}"].encoding = words.SHORT
    return data


def restore(unit: dict, device: torch.device | str = "cpu") -> tuple[sentiment.Reader, dict, dict]:
    """The network of a unit, computed first if it is not kept: ready to read, and its weights before and after.

    Raises ArchiveError if initial weights or words are not what they were.
    """
    read = words.kept(unit["words"], unit["scale"])
    made, before = reader(unit, read, device)
    data = fetch(f"sentiment-{unit['kind']}", unit, unit["scale"]).sel(
        {name: unit[name] for name in ("part", "cell", "sample") if name in unit}
    )
    if words.digest(read) != str(data.words_digest.values):
        raise archive.ArchiveError(
            f"{unit['unit']} was trained on {data.corpus.values} with {data.vectors.values} vectors, not on the words "
            f"kept now ({read.corpus.values}, {read.vectors.values}): move its results away"
        )
    if (found := digest(before)) != (wanted := str(data.before_digest.values)):
        raise archive.ArchiveError(
            f"initial weights of {unit['unit']} have digest {found}, not {wanted}: numpy changed"
        )
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
