"""To and from `torch.nn.RNN` and `RNNCell`: the network of `rnn` at dt = 1, which calls the rate phi(h) its state."""

import torch
from torch import Tensor, nn

from . import edge
from .rnn import Weights


def _plain(module: nn.Module) -> nn.Module:
    """A module that the Euler map can run: one layer, one direction, no gates; ValueError names another."""
    cell, layers = isinstance(module, nn.RNNCell), isinstance(module, nn.RNN)
    if not (cell or (layers and module.num_layers == 1 and not module.bidirectional)):
        raise ValueError(f"module is {module}, but must be an nn.RNN of one layer and direction, or an nn.RNNCell")
    return module


def from_torch(module: nn.RNN | nn.RNNCell, readout: nn.Linear | None = None) -> Weights:
    """Weights, one network, a copy: `rnn.simulate` at dt = 1 with them and `inputs_of` gives the module's output.

    module : its nonlinearity is to be given to `rnn.simulate`, too; the sum of its biases is a last column of M
    readout: without a bias; v is its weight transposed.  If None v is the identity, so that outputs are rates
    Raises ValueError for other modules, several layers, two directions, half precision, or a readout with a bias.
    """
    end = "_l0" if isinstance(_plain(module), nn.RNN) else ""
    W, M = (getattr(module, f"weight_{of}{end}").detach().clone() for of in ("hh", "ih"))
    if module.bias:
        M = torch.cat([M, sum(getattr(module, f"bias_{of}{end}").detach() for of in ("ih", "hh"))[:, None]], 1)
    if readout is not None and readout.bias is not None:
        raise ValueError(f"readout is {readout}, but must have no bias: outputs of `rnn` are v^T phi(h)")
    v = torch.eye(len(W), dtype=W.dtype, device=W.device) if readout is None else readout.weight.detach().clone().mT
    edge.shape("weight of the readout, transposed,", v, "N", "n_out", N=len(W))
    return Weights(*(edge.tensor(name, w)[None] for name, w in zip("WMv", (W, M, v), strict=True)))


def inputs_of(module: nn.RNN | nn.RNNCell, x: Tensor) -> Tensor:
    """Inputs (time, 1, trial, n_in) from what the module takes, a last channel of 1 for its biases.

    x: (time, n_in) or (time, trial, n_in), or (trial, time, n_in) if the module has `batch_first`; steps of an RNNCell
    are stacked along time
    """
    x = x[:, None] if x.ndim == 2 else x.swapaxes(0, 1) if getattr(module, "batch_first", False) else x
    x = edge.tensor("x", x, "time", "trial", "n_in", n_in=_plain(module).input_size)
    return (torch.nn.functional.pad(x, (0, 1), value=1.0) if module.bias else x)[:, None]


def to_torch(weights: Weights, nonlinearity: str = "tanh", *, biases: bool = False) -> tuple[nn.RNN, nn.Linear]:
    """One network as `nn.RNN`, equal at dt = 1 whatever step it was trained with, and its readout of the rates.

    biases: the last column of M becomes bias_ih, as `from_torch` made it
    Raises ValueError for several networks, or a nonlinearity that torch's module has not.
    """
    edge.one_of("nonlinearity", nonlinearity, ("tanh", "relu"))
    given = (edge.tensor(name, w, "network", "N", "channel", network=1) for name, w in zip("WMv", weights, strict=True))
    W, M, v = (w[0].detach() for w in given)
    kind = {"dtype": W.dtype, "device": W.device}
    module = nn.RNN(M.shape[1] - biases, len(W), nonlinearity=nonlinearity, bias=biases, **kind)
    readout = nn.Linear(len(W), v.shape[1], bias=False, **kind)
    own = {"weight_hh_l0": W, "weight_ih_l0": M[:, : module.input_size]}
    module.load_state_dict(own | ({"bias_ih_l0": M[:, -1], "bias_hh_l0": 0 * M[:, -1]} if biases else {}))
    readout.load_state_dict({"weight": v.mT})
    return module, readout
