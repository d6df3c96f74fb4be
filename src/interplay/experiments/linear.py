"""The linear networks of Schuessler et al. 2020: Figures 3 and 4, failures of training, the autonomous cosine.

Kinds of experiment: `exact` (Figure 4 by the fixed-point gradient), `bptt` (Figure 3 by back-propagation through time,
beside the exact gradient), `failure` and `cosine` (supplement; sheet, sections 3.4, 3.5, 5.9); beyond the paper `path`,
on the way to the networks of `training`.
"""

import math
import warnings
from functools import partial

import numpy as np
import torch
import xarray as xr

from .. import archive, linear, lowrank, rnn, tasks, theory
from ..seeds import generator, seed
from . import Experiment, dataset, scaled, table, training

TABLE = table("linear")
RATE = dict(zip(*(TABLE["linear-exact"]["all"][name] for name in ("targets", "rates"))))  # at g = 0
COSINE = {name: TABLE["linear-cosine"]["all"][name] for name in ("dt", "period", "scored", "trial")}


def draw(g: float, N: int, sample: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """W0 (N, N), m and w (N,), unit vectors, of one linear network; raises ValueError unless 0 <= g < 1."""
    theory.check(g)
    W, M, v = rnn.initialise([g], N, 1, 1, [seed("linear", N, g, sample)], dtype=torch.float64)
    return W[0].numpy(), M[0, :, 0].numpy() / math.sqrt(N), v[0, :, 0].numpy() * math.sqrt(N)


def rate(g: float, target: float) -> float:
    """The paper's learning rate; equal epochs are then equal effective learning times beta^2 tau."""
    return RATE[target] * (1 - g**2) ** 2


def slowed(scale: str, name: str) -> list[dict]:
    """Settings of every unit of an experiment whose table has the rates at g = 0."""
    return [unit | {"rate": unit["rate"] * (1 - unit["g"] ** 2) ** 2} for unit in scaled(TABLE[name], scale)]


def exact(unit: dict, device: torch.device) -> xr.Dataset:
    """Figure 4: convergence time, norm of the change, mean gradient, shuffled loss (g, sample, target)."""
    targets = np.array(unit["targets"])
    found = [[figure_4(unit, g, sample, targets) for sample in unit["samples"]] for g in unit["g"]]
    dims, held = ("g", "sample", "target", "rank"), {}
    for name in found[0][0]:
        values = np.array([[one[name] for one in row] for row in found], float)
        held[name] = (dims[: values.ndim], values)
    return xr.Dataset(held, {"g": unit["g"], "sample": unit["samples"], "target": targets})


def figure_4(unit: dict, g: float, sample: int, targets: np.ndarray) -> dict[str, np.ndarray]:
    """What Figure 4 shows of one network trained to each target (target,), those below `quiet` by its quiet readout.

    `shuffled` is the loss relative to that of a zero output; `transferred` the part of the learned output that the
    change still makes on the shuffled W0, without what that gives alone.  Sheet, section 4, last line.
    """
    N, rates, epochs = unit["N"], np.array(unit["rates"]) * (1 - g**2) ** 2, unit["epochs"]
    W0, m, w = draw(g, N, sample)
    other = np.random.RandomState(sample).permutation(W0.ravel()).reshape(N, N)
    readouts = {True: quiet(W0, m, w), False: w}
    nets = {small: linear.reduce(W0, m, readout) for small, readout in readouts.items()}
    moved = {small: linear.transplant(nets[small], other, m, readout) for small, readout in readouts.items()}
    net, changed = (linear.stack([each[target < unit["quiet"]] for target in targets]) for each in (nets, moved))
    run, tau = linear.descend(net, targets, rates, epochs), rates * np.arange(epochs)[:, None]
    time, A = linear.time_to(run.loss, tau, start=targets**2 / 2), run.A[-1]
    z, _, _, det = linear.fixed_point(changed, A)
    z[det <= 0] = np.nan  # no stable fixed point
    found = {
        "time": time,
        "norm": np.linalg.norm(A, axis=(1, 2)),
        "gradient": np.where(tau < time, run.gradient, 0).sum(0) * rates / np.where(time > 0, time, np.nan),
        "shuffled": (1 - z / targets) ** 2,
        "transferred": (z - changed.z0) / (run.z[-1] - net.z0),
        "values": np.linalg.svdvals(A)[:, : unit["leading"]],
    }
    for values in found.values():
        values[run.diverged >= 0] = np.nan  # what has left the flow is counted, not averaged
    own = nets[False]
    lengths = {"q_squared": own.q0 @ own.q0, "p_squared": own.p0 @ own.p0, "z_start": own.z0}
    return found | {"diverged": run.diverged} | lengths


def quiet(W0: np.ndarray, m: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The readout nearest to w whose output is 0 before training; else w^T B m ~ sqrt(beta/N) drowns a small target."""
    q = np.linalg.solve(np.eye(len(m)) - W0, m)
    w = w - (w @ q) / (q @ q) * q
    return w / np.linalg.norm(w)


def step_trial(networks: int, T: float, target: float, dt: float = 0.5, dtype=torch.float32) -> tuple:
    """Inputs, targets and mask (time, network, 1, 1): input 1 from t = 1 on, output scored in the last time unit."""
    inputs, mask = torch.zeros(2, round((T + 1) / dt), networks, 1, 1, dtype=dtype)
    inputs[round(1 / dt) :], mask[-round(1 / dt) :] = 1, 1
    return inputs, target * mask, mask


def cosine_trial(networks: int, dt: float, period: float, scored: float, trial: float) -> tuple[torch.Tensor, ...]:
    """No input; cos(2 pi t / period) over a trial, `scored` over its first part: (time, network, 1, 1) each."""
    t = dt * torch.arange(round(trial / dt))[:, None, None, None].expand(-1, networks, 1, 1)
    return torch.zeros_like(t), torch.cos(2 * math.pi * t / period), (t < scored - dt / 2).float()


def ensemble(unit: dict, dtype: torch.dtype, device: torch.device) -> rnn.Weights:
    """The networks of a unit, one a sample, in the paper's scaling: the same as `draw` gives."""
    seeds = [seed("linear", unit["N"], unit["g"], sample) for sample in unit["samples"]]
    return rnn.initialise([unit["g"]] * len(seeds), unit["N"], 1, 1, seeds, dtype=dtype, device=device)


def train(unit: dict, weights: rnn.Weights, trial: tuple, snapshots: list[int], h0=None) -> rnn.Training:
    """Gradient descent on W alone; what diverged is in the result, by sample, so that no warning is needed."""
    how = {name: unit[name] for name in ("epochs", "optimiser", "dt", "nonlinearity")}
    how |= {"lr": unit["rate"], "names": unit["samples"], "snapshots": snapshots, "h0": h0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same = tuple(x.to(weights.W.device) for x in trial)
        return rnn.train(weights, lambda epoch: same, trained="W", progress=False, **how)


def back_propagation(unit: dict, device: torch.device) -> xr.Dataset:
    """Figure 3 by back-propagation through T (float32, as the paper), and the same networks by the exact gradient."""
    epochs, g, target, leading, parts = (*(unit[name] for name in ("epochs", "g", "target", "leading")), [])
    recorded = sorted({*range(0, epochs, unit["every"]), epochs - 1})
    for sample in unit["samples"]:  # one by one: a network of 1024 units stays in the cache, five do not
        one = unit | {"samples": [sample]}
        done = train(one, ensemble(one, torch.float32, device), step_trial(1, unit["T"], target, unit["dt"]), recorded)
        change = torch.cat([done.snapshots[epoch] - done.snapshots[0] for epoch in recorded]).double()
        run = linear.descend(linear.reduce(*draw(g, unit["N"], sample)), target, unit["rate"], epochs)
        found = {"loss": (("epoch",), done.loss[:, 0]), "loss_exact": (("epoch",), run.loss)}
        found |= {
            "values": (("snapshot", "rank"), torch.linalg.svdvals(change)[:, :leading]),
            "values_exact": (("snapshot", "rank"), np.linalg.svdvals(run.A[recorded])[:, :leading]),
            # What finite T leaves: the largest real part of W's eigenvalues sets the slowest decay of the transient.
            "slowest": ((), torch.linalg.eigvals(done.weights.W[0].cpu()).real.max()),
        }
        parts.append(dataset(found, {"target": target, "g": g, "sample": sample}, snapshot=recorded))
    return archive.combine(parts)


def followed(unit: dict, weights: rnn.Weights, trial: tuple, h0=None) -> tuple[rnn.Training, torch.Tensor, dict, dict]:
    """All samples trained at once: the training, W (sample, snapshot, N, N), loss and divergences, coordinates."""
    recorded = list(range(0, unit["epochs"] + 1, unit["every"]))
    done = train(unit, weights, trial, recorded, h0)
    diverged = [float(done.diverged.get(sample, -1)) for sample in unit["samples"]]
    held = {"loss": (("sample", "epoch"), done.loss.T), "diverged": (("sample",), diverged)}
    course = torch.stack([done.snapshots[epoch] for epoch in recorded], 1)
    return done, course, held, {"sample": unit["samples"], "snapshot": recorded}


def failure(unit: dict, device: torch.device) -> xr.Dataset:
    """Large targets, back-propagation through T: loss (sample, epoch), leading real parts (sample, snapshot, rank)."""
    trial = step_trial(len(unit["samples"]), unit["T"], unit["target"], unit["dt"])
    _, course, held, coordinates = followed(unit, ensemble(unit, torch.float32, device), trial)
    leading = torch.linalg.eigvals(course).real.sort(-1, descending=True)[0][..., : unit["leading"]]
    held["leading"] = (("sample", "snapshot", "rank"), leading)
    return dataset(held, {"target": unit["target"], "g": unit["g"]}, **coordinates)


def cosine(unit: dict, device: torch.device) -> xr.Dataset:
    """The autonomous cosine: loss, output of the trained network, and the leading eigenvalues through training."""
    W, M, _ = ensemble(unit, torch.float32, device)
    trial = cosine_trial(len(M), **{name: unit[name] for name in COSINE})
    done, course, held, coordinates = followed(unit, rnn.Weights(W, M, M / unit["N"]), trial, M[..., 0])
    inputs, phi = trial[0].to(W.device), unit["nonlinearity"]
    z, _ = rnn.simulate(done.weights, inputs, h0=M[..., 0], dt=unit["dt"], nonlinearity=phi)
    values = torch.linalg.eigvals(course)
    for name, index in (("of_imaginary", values.imag.argmax(-1)), ("of_real", values.real.argmax(-1))):
        largest = values.gather(-1, index[..., None])[..., 0]
        held[name] = (("sample", "snapshot", "part"), torch.view_as_real(largest))
    held["output"] = (("sample", "time"), z[:, :, 0, 0].T)
    held["values"] = (("sample", "rank"), torch.linalg.svdvals(course[:, -1] - course[:, 0])[:, : unit["leading"]])
    coordinates |= {"time": unit["dt"] * np.arange(1, len(z) + 1), "part": ["real", "imaginary"]}
    return dataset(held, {"nonlinearity": phi, "g": unit["g"]}, **coordinates)


def path(unit: dict, device: torch.device) -> xr.Dataset:
    """One step of the path on the fixed-point task: a network a g, its readout quiet, trained and measured."""
    g, N, sample, target, parts = *(unit[name] for name in ("g", "N", "sample", "target")), []
    trial = tasks.Trials(*(x.to(device) for x in step_trial(1, unit["T"], target, unit["dt"])))
    drawn = [(W0, m, quiet(W0, m, w)) for W0, m, w in (draw(x, N, sample) for x in g)]
    before = rnn.initialise(g, N, 1, 1, [seed("linear", N, x, sample) for x in g], device=device)
    before.v[:, :, 0] = torch.tensor(np.stack([w for _, _, w in drawn]) / math.sqrt(N))
    if unit["optimiser"] == "flow":
        nets, tau = [linear.reduce(*one) for one in drawn], unit["rate"] * np.arange(unit["epochs"] + 1)
        z, A = zip(*(linear.flow(net, target, tau) for net in nets))
        loss, ends = (target - np.stack(z)[:, :-1]) ** 2 / 2, zip(nets, drawn, A)
        W = torch.tensor(np.stack([linear.connectivity(net, W0, a[-1]) for net, (W0, _, _), a in ends])).to(before.W)
    else:
        done = train(unit | {"samples": g}, before, trial, [])
        loss, W = done.loss.T, done.weights.W
    for n, x in enumerate(g):
        old = rnn.Weights(*(w[n : n + 1] for w in before))
        shuffled = lowrank.shuffle(old.W[0], generator("shuffle", "linear", N, x, sample))
        found = training.measure(unit, old, old._replace(W=W[n : n + 1]), shuffled, trial, unit["dt"])
        found |= {"loss": (("epoch",), loss[n])}
        parts.append(dataset(found, {"step": unit["step"], "g": x, "sample": sample}, part=["real", "imaginary"]))
    return archive.combine(parts)[["loss", "loss_test", "loss_at_rank", "loss_shuffled", "values_change"]]


EXPERIMENTS = {
    "linear-exact": Experiment(partial(scaled, TABLE["linear-exact"]), "exact", exact),
    "linear-many": Experiment(partial(scaled, TABLE["linear-many"]), "many", exact),
    "linear-bptt": Experiment(partial(slowed, name="linear-bptt"), "bptt_z{target}_g{g}", back_propagation),
    "linear-failure": Experiment(partial(slowed, name="linear-failure"), "failure_z{target}_g{g}", failure),
    "linear-cosine": Experiment(partial(scaled, TABLE["linear-cosine"]), "cosine_{nonlinearity}_g{g}", cosine),
    "linear-path": Experiment(partial(scaled, TABLE["linear-path"]), "path_{step}_s{sample}", path),
}
