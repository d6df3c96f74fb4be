"""What trained networks of `sentiment` still read when something is taken from them."""

import numpy as np
import torch
import xarray as xr
from torch.nn.functional import binary_cross_entropy_with_logits

from .. import lowrank, sentiment
from ..seeds import generator
from . import words
from .sentiment import MATRICES, restore

SPLITS = ("validation", "test")


def opened(unit: dict, device: torch.device) -> tuple[sentiment.Reader, dict, dict, dict, xr.Dataset]:
    """The unit's network on a device, its weights before and after, batches by split, and the kept words."""
    from . import fetch

    network = unit["network"]
    made, before, after = restore(network, fetch(f"sentiment-{network['kind']}", network, unit["scale"]))
    made.to(device)
    text = words.kept(network["words"], unit["scale"])
    read, labels = words.sentences(text, device)
    some = np.linspace(0, len(read["train"]) - 1, unit.get("sentences", 0)).astype(int)  # they come sorted by label
    read["train"], labels["train"] = [read["train"][i] for i in some], labels["train"][some]
    held = {split: list(sentiment.batches(read[split], labels[split], 256)) for split in read if read[split]}
    put = lambda weights: {name: part.to(device) for name, part in weights.items()}
    return made, put(before), put(after), held, text


def labelled(unit: dict, data: xr.Dataset) -> xr.Dataset:
    """Results with the labels of their network."""
    return data.expand_dims(
        {name: [unit["network"][name]] for name in ("part", "cell", "sample") if name in unit["network"]}
    )


def measure(unit: dict, device: torch.device) -> xr.Dataset:
    """One kept network, `cuts` to every rank."""
    made, before, _, held, text = opened(unit, device)
    data = cuts(made, before, held, unit)
    of = {"corpus": str(text.corpus.values), "vectors": unit["network"].get("vectors", str(text.vectors.values))}
    return labelled(unit, data.assign(of))


def cuts(made: sentiment.Reader, before: dict, held: dict[str, list[sentiment.Batch]], unit: dict) -> xr.Dataset:
    """A network with W1, U2 and W2 cut to every rank of `unit`: loss and accuracy on validation and test sentences."""
    look = lambda: [sentiment.evaluate(made, held[split]) for split in SPLITS]
    cut = [sentiment.against_rank(made, before, unit["ranks"], what, look) for what in unit["what"]]
    found = np.array(cut, np.float32)  # what, rank, split, (loss, accuracy)
    full = np.array(look(), np.float32)
    dims = ("what", "rank", "split")
    return xr.Dataset(
        {
            "loss_at_rank": (dims, found[..., 0]),
            "accuracy_at_rank": (dims, found[..., 1]),
            "loss": (("split",), full[:, 0]),
            "accuracy": (("split",), full[:, 1]),
        },
        {"what": unit["what"], "rank": unit["ranks"], "split": list(SPLITS)},
    )


def of_rate(
    unit: dict, whole: xr.Dataset, made: sentiment.Reader, before: dict, read: dict, labels: dict
) -> xr.Dataset:
    """A network of another rate: as it is, or with its `cuts` (dimensions of, cut) in place of its weights."""
    whole = whole.expand_dims(part=[unit["part"]])
    if unit["keep"]:
        return whole
    held = {split: list(sentiment.batches(read[split], labels[split], 256)) for split in SPLITS}
    on = {name: part.to(made.readout.weight.device) for name, part in before.items()}
    found = cuts(made.eval(), on, held, unit).rename(rank="cut", what="of")
    rest = whole.drop_dims(["row", "unit", "channel", "bias"])
    return rest.drop_vars([f"step_{name}" for name in MATRICES]).merge(labelled({"network": unit}, found))


def probe(unit: dict, device: torch.device) -> xr.Dataset:
    """One network without its start, or with another; how often few directions decide as all; the first gradient.

    Start and change of W1, U2 and W2 are meant, the rest stays as trained; another start is the same with its entries
    shuffled.  The gradient of W2 is that of the untrained network, over some of the training sentences, evenly picked.
    """
    made, before, after, held, _ = opened(unit, device)
    where = ("probe", unit["network"]["kind"], unit["network"]["cell"], unit["network"]["sample"])
    found = []
    for what in unit["without"]:
        start = {
            "all": lambda name: before[name],
            "the change alone": lambda name: torch.zeros_like(before[name]),
            "another start": lambda name: lowrank.shuffle(before[name].cpu(), generator(*where, name)).to(device),
        }[what]
        cut = {name: start(name) + after[name] - before[name] for name in sentiment.TRUNCATED}
        sentiment.put(made, cut)
        found.append([sentiment.evaluate(made, held[split]) for split in SPLITS])
    sentiment.put(made, after)
    with torch.no_grad():
        decide = lambda: torch.cat([made(batch.words, batch.lengths) for batch in held["test"]]) > 0
        full = decide()
        same = lambda: float((decide() == full).float().mean())
        agree = sentiment.against_rank(made, before, unit["ranks"], "change", same)
    gates = sentiment.CELLS[unit["network"]["cell"]]
    sentiment.put(made, before)
    labels = torch.cat([batch.labels for batch in held["train"]])
    logits = torch.cat([made(batch.words, batch.lengths) for batch in held["train"]])
    weight = made.cell.weight_hh_l1
    (gradient,) = torch.autograd.grad(binary_cross_entropy_with_logits(logits, labels), weight)
    U, s, _ = torch.linalg.svd(gradient.view(len(gates), -1, weight.shape[1]), full_matrices=False)
    readout = before["readout.weight"][0] / before["readout.weight"].norm()
    data = xr.Dataset(
        {
            "loss": (("without", "split"), np.array(found, np.float32)[..., 0]),
            "accuracy": (("without", "split"), np.array(found, np.float32)[..., 1]),
            "agreement": (("rank",), agree),
            "gradient_norm": (("gate",), s.norm(dim=1).cpu()),
            "gradient_ratio": (("gate",), (s[:, 1] / s[:, 0]).cpu()),
            "gradient_cosine": (("gate",), (U[:, :, 0] @ readout).abs().cpu()),
        },
        {"without": unit["without"], "split": list(SPLITS), "rank": unit["ranks"], "gate": list(gates)},
    )
    return labelled(unit, data).expand_dims(stage=[unit["network"]["kind"]])
