"""The linear networks of Schuessler et al. 2020: Figures 3 and 4, failures of training, the autonomous cosine.

Four kinds of experiment: `exact` (Figure 4 by the fixed-point gradient), `bptt` (Figure 3 by back-propagation through
time, beside the exact gradient), `failure` and `cosine` (supplement).  Sheet, sections 3.4, 3.5, 5.9.
"""

import math
import warnings

import numpy as np
import torch
import xarray as xr

from .. import linear, rnn, theory
from ..seeds import seed

KINDS = ("exact", "bptt", "failure", "cosine")
RATE = {0.05: 0.015, 0.5: 0.015, 1.0: 0.009, 2.0: 0.003}  # learning rate at g = 0; times (1 - g^2)^2 at g
COUPLINGS = [round(0.1 * i, 1) for i in range(10)]
SIZE = {  # N, samples, epochs, T
    "paper": {"N": 1024, "small": 256, "samples": 5, "epochs": 200, "T": 100, "cosine_epochs": 1000, "every": 10},
    "lite": {"N": 256, "small": 128, "samples": 3, "epochs": 200, "T": 100, "cosine_epochs": 1000, "every": 20},
    "smoke": {"N": 96, "small": 32, "samples": 2, "epochs": 30, "T": 20, "cosine_epochs": 40, "every": 10},
}
LEADING = 5
PERIOD, SCORED, TRIAL = 5.0, 10.0, 20.0  # cosine task: units of the neuronal time constant
COSINE_RATE = {"linear": {0.0: 0.2, 0.4: 0.15, 0.8: 0.05}, "tanh": {0.0: 0.4, 0.4: 0.3, 0.8: 0.1}}


def draw(g: float, N: int, sample: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """W0 (N, N), m and w (N,), unit vectors, of one linear network; raises ValueError unless 0 <= g < 1."""
    theory.check(g)
    W, M, v = rnn.initialise([g], N, 1, 1, [seed("linear", N, g, sample)], dtype=torch.float64)
    return W[0].numpy(), M[0, :, 0].numpy() / math.sqrt(N), v[0, :, 0].numpy() * math.sqrt(N)


def rate(g: float, target: float) -> float:
    """The paper's learning rate; equal epochs are then equal effective learning times beta^2 tau."""
    return RATE[target] * (1 - g**2) ** 2


def units(kind: str, scale: str) -> list[dict]:
    """Settings of every unit of one kind."""
    size, samples = SIZE[scale], list(range(SIZE[scale]["samples"]))
    made = {"kind": kind, "samples": samples, "epochs": size["epochs"]}
    if kind == "exact":
        one = made | {"N": size["N"], "targets": list(RATE)}
        return [one | {"unit": f"exact_g{g}", "g": g} for g in COUPLINGS]
    if kind == "bptt":
        one = made | {"N": size["N"], "T": size["T"]}
        return [one | {"unit": f"bptt_z{t}_g{g}", "target": t, "g": g, "rate": rate(g, t)} for t in (0.5, 2.0) for g in (0.0, 0.6)]
    if kind == "failure":
        one = made | {"N": size["small"], "T": 2 * size["T"], "every": 4}
        rates = {2.0: 0.002, 4.0: 0.001}
        return [
            one | {"unit": f"failure_z{t}_g{g}", "target": t, "g": g, "rate": rates[t] * (1 - g**2) ** 2}
            for t in rates
            for g in (0.6, 0.8)
        ]
    one = made | {"N": size["small"], "epochs": size["cosine_epochs"], "every": size["every"]}
    return [
        one | {"unit": f"cosine_{phi}_g{g}", "nonlinearity": phi, "g": g, "rate": eta}
        for phi, rates in COSINE_RATE.items()
        for g, eta in rates.items()
    ]


def work(unit: dict) -> float:
    """Relative cost of one unit: epochs x steps x N^2 for back-propagation, N^3 for the exact gradient."""
    if unit["kind"] == "exact":
        return 1e-9 * len(unit["samples"]) * unit["N"] ** 3
    steps = TRIAL / 0.1 if unit["kind"] == "cosine" else 2 * unit["T"] + 2
    return 4e-9 * len(unit["samples"]) * unit["epochs"] * steps * unit["N"] ** 2


def compute(unit: dict, device: torch.device = torch.device("cpu")) -> xr.Dataset:
    """One unit, labelled by g, sample and, where they differ, target or nonlinearity."""
    return {"exact": exact, "bptt": back_propagation, "failure": failure, "cosine": cosine}[unit["kind"]](unit, device)


def exact(unit: dict, device: torch.device) -> xr.Dataset:
    """Figure 4 at one g: convergence time, norm of the change, mean gradient, shuffled loss (target, sample)."""
    g, N, targets, found = unit["g"], unit["N"], np.array(unit["targets"]), []
    rates = np.array([rate(g, t) for t in targets])
    tau = rates * np.arange(unit["epochs"])[:, None]
    for sample in unit["samples"]:
        W0, m, w = draw(g, N, sample)
        net = linear.reduce(W0, m, w)
        run = linear.descend(net, targets, rates, unit["epochs"])
        time = linear.time_to(run.loss, tau, start=targets**2 / 2)
        mean = np.where(tau < time, run.gradient, 0).sum(0) * rates / time
        shuffled = np.random.RandomState(sample).permutation(W0.ravel()).reshape(N, N)
        z = linear.fixed_point(linear.transplant(net, shuffled, m, w), run.A[-1])[0]
        values = linear.singular_values(run.A[-1])[:, :LEADING]
        lengths = [net.q0 @ net.q0, net.p0 @ net.p0, net.z0]
        found.append((time, np.linalg.norm(values, axis=1), mean, (targets - z) ** 2 / targets**2, run.diverged, values, lengths))
    data = [np.stack(part) for part in zip(*found)]
    names = ["time", "norm", "gradient", "shuffled", "diverged"]
    held = {name: (("sample", "target"), values.astype(float)) for name, values in zip(names, data[:5])}
    held |= {"values": (("sample", "target", "rank"), data[5])}
    held |= {name: (("sample",), data[6][:, i]) for i, name in enumerate(("q_squared", "p_squared", "z_start"))}
    return xr.Dataset(held, {"sample": unit["samples"], "target": targets}).expand_dims(g=[g])


def step_trial(networks: int, T: float, target: float, dt: float = 0.5, dtype=torch.float32) -> tuple[torch.Tensor, ...]:
    """Inputs, targets and mask (time, network, 1, 1): input 1 from t = 1 on, output scored in the last time unit."""
    steps, first, scored = round((T + 1) / dt), round(1 / dt), round(1 / dt)
    inputs, mask = torch.zeros(steps, networks, 1, 1, dtype=dtype), torch.zeros(steps, networks, 1, 1, dtype=dtype)
    inputs[first:], mask[-scored:] = 1, 1
    return inputs, target * mask, mask


def ensemble(unit: dict, dtype: torch.dtype, device: torch.device) -> rnn.Weights:
    """The networks of a unit, one a sample, in the paper's scaling: the same as `draw` gives."""
    seeds = [seed("linear", unit["N"], unit["g"], sample) for sample in unit["samples"]]
    return rnn.initialise([unit["g"]] * len(seeds), unit["N"], 1, 1, seeds, dtype=dtype, device=device)


def train(unit: dict, weights: rnn.Weights, trial: tuple, snapshots: list[int], **kind) -> rnn.Training:
    """Plain gradient descent on W alone; what diverged is in the result, so that no warning is needed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return rnn.train(
            weights,
            lambda epoch: tuple(x.to(weights.W.device) for x in trial),
            epochs=unit["epochs"],
            lr=unit["rate"],
            optimiser="sgd",
            trained="W",
            snapshots=snapshots,
            names=[f"{unit['unit']} sample {s}" for s in unit["samples"]],
            **kind,
        )


def diverged_at(unit: dict, done: rnn.Training) -> np.ndarray:
    """Epoch at which each sample's loss was no longer finite, -1 if it always was."""
    return np.array([done.diverged.get(f"{unit['unit']} sample {s}", -1) for s in unit["samples"]])


def back_propagation(unit: dict, device: torch.device) -> xr.Dataset:
    """Figure 3 by back-propagation through T (float64), and the same networks by the exact gradient."""
    weights, epochs = ensemble(unit, torch.float64, device), unit["epochs"]
    at = sorted({*range(0, epochs, max(1, epochs // 8)), epochs - 1})
    trial = step_trial(len(unit["samples"]), unit["T"], unit["target"], dtype=torch.float64)
    done = train(unit, weights, trial, at, dt=0.5, nonlinearity="linear")
    change = torch.stack([done.snapshots[epoch] - done.snapshots[0] for epoch in at], 1)
    values = torch.linalg.svdvals(change)[..., :LEADING].numpy()
    nets = [linear.reduce(*draw(unit["g"], unit["N"], sample)) for sample in unit["samples"]]
    run = linear.descend(linear.stack(nets), unit["target"], unit["rate"], epochs)
    # What finite T leaves: the largest real part of W's eigenvalues sets the slowest decay of the transient.
    slowest = torch.linalg.eigvals(done.weights.W.cpu()).real.amax(-1).numpy()
    held = {
        "loss": (("sample", "epoch"), done.loss.T.numpy()),
        "loss_exact": (("sample", "epoch"), run.loss.T),
        "values": (("sample", "snapshot", "rank"), values),
        "values_exact": (("sample", "snapshot", "rank"), linear.singular_values(run.A[at]).swapaxes(0, 1)[..., :LEADING]),
        "slowest": (("sample",), slowest),
    }
    coords = {"sample": unit["samples"], "epoch": np.arange(epochs), "snapshot": at}
    return xr.Dataset(held, coords).expand_dims(target=[unit["target"]], g=[unit["g"]])


def failure(unit: dict, device: torch.device) -> xr.Dataset:
    """Large targets, back-propagation through T: loss (sample, epoch), leading real parts (sample, snapshot, rank)."""
    weights, at = ensemble(unit, torch.float32, device), list(range(0, unit["epochs"] + 1, unit["every"]))
    done = train(unit, weights, step_trial(len(unit["samples"]), unit["T"], unit["target"]), at, dt=0.5, nonlinearity="linear")
    leading = [torch.linalg.eigvals(done.snapshots[epoch]).real.sort(-1, descending=True)[0][:, :LEADING] for epoch in at]
    held = {
        "loss": (("sample", "epoch"), done.loss.T.numpy()),
        "leading": (("sample", "snapshot", "rank"), torch.stack(leading, 1).numpy()),
        "diverged": (("sample",), diverged_at(unit, done).astype(float)),
    }
    coords = {"sample": unit["samples"], "epoch": np.arange(unit["epochs"]), "snapshot": at}
    return xr.Dataset(held, coords).expand_dims(target=[unit["target"]], g=[unit["g"]])


def cosine_trial(networks: int, dt: float = 0.1) -> tuple[torch.Tensor, ...]:
    """No input; cos(2 pi t / 5) over 20 time units, scored over the first 10: (time, network, 1, 1) each."""
    t = dt * torch.arange(round(TRIAL / dt))[:, None, None, None].expand(-1, networks, 1, 1)
    return torch.zeros_like(t), torch.cos(2 * math.pi * t / PERIOD), (t < SCORED - dt / 2).float()


def cosine(unit: dict, device: torch.device) -> xr.Dataset:
    """The autonomous cosine: loss, output of the trained network, and the leading eigenvalues through training."""
    W, M, _ = ensemble(unit, torch.float32, device)
    weights, start = rnn.Weights(W, M, M / unit["N"]), M[..., 0]
    at, trial = list(range(0, unit["epochs"] + 1, unit["every"])), cosine_trial(len(unit["samples"]))
    done = train(unit, weights, trial, at, dt=0.1, nonlinearity=unit["nonlinearity"], h0=start)
    z, _ = rnn.simulate(done.weights, trial[0].to(W.device), dt=0.1, nonlinearity=unit["nonlinearity"], h0=start)
    values = torch.stack([torch.linalg.eigvals(done.snapshots[epoch]) for epoch in at], 1)
    largest = {"of_imaginary": values.imag.argmax(-1), "of_real": values.real.argmax(-1)}
    held = {name: values.gather(-1, index[..., None])[..., 0] for name, index in largest.items()}
    held = {name: (("sample", "snapshot", "part"), torch.view_as_real(value).numpy()) for name, value in held.items()}
    change = torch.linalg.svdvals(done.snapshots[at[-1]] - done.snapshots[0])[:, :LEADING].numpy()
    held |= {
        "loss": (("sample", "epoch"), done.loss.T.numpy()),
        "output": (("sample", "time"), z[:, :, 0, 0].T.cpu().numpy()),
        "values": (("sample", "rank"), change),
        "diverged": (("sample",), diverged_at(unit, done).astype(float)),
    }
    coords = {"sample": unit["samples"], "epoch": np.arange(unit["epochs"]), "snapshot": at}
    coords |= {"time": 0.1 * np.arange(1, len(z) + 1), "part": ["real", "imaginary"]}
    return xr.Dataset(held, coords).expand_dims(nonlinearity=[unit["nonlinearity"]], g=[unit["g"]])
