"""Hessian-free training of one vanilla RNN with structural damping (Martens & Sutskever 2011; Sussillo & Barak 2013).

An iteration minimises, by conjugate gradients, the model of the loss around the weights, for a change p of them,
`q(p) = g.p + p.(G + damping (I + structural S)) p / 2`: g is the gradient of the loss, half the mean squared error of
what is scored, G its Gauss-Newton matrix, and p.S p the squared change of the rates, summed over units and steps, a
mean over trials.  Written from these papers; W, M and v are trained, states start at zero.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from . import edge, rnn
from .tasks import Trials

Product = Callable[[Tensor], Tensor]


class Model(NamedTuple):
    """Loss at the weights; its gradient (parameter,); product of G + structural S with a vector, at (p, structural)."""

    loss: float
    gradient: Tensor
    product: Callable[[Tensor, float], Tensor]


class State(NamedTuple):
    """Between two iterations: weights (network axis of length 1), where the next search starts, and the damping."""

    weights: rnn.Weights
    start: Tensor
    damping: float = 1.0
    loss: float = float("nan")


def begin(weights: rnn.Weights, damping: float = 1.0) -> State:
    """The state before the first iteration; raises ValueError for more than one network or a damping not above 0."""
    edge.number("number of networks", len(weights.W), 1, 1)
    return State(weights, torch.zeros_like(_vector(weights)), edge.number("damping", damping, above=0))


def _vector(weights: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([part.ravel() for part in weights])


def _weights(vector: Tensor, like: rnn.Weights) -> rnn.Weights:
    parts = vector.split([part.numel() for part in like])
    return rnn.Weights(*(part.view_as(one) for part, one in zip(parts, like, strict=True)))


def model(weights: rnn.Weights, trials: Trials, noise: Tensor | None, dt: float) -> Model:
    """The loss around one network's weights; trials and noise (time, 1, trial, channel), as in `rnn.outputs`.

    Products are by hand: forward with the change of the rates at every step, and back with its adjoint.
    """
    W, _, v = (part[0] for part in weights)
    after = torch.tanh(rnn.simulate(weights, trials.inputs, dt=dt, noise=noise, keep_states=True)[1][:, 0])
    before, (inputs, targets, mask) = torch.cat([0 * after[:1], after[:-1]]), (part[:, 0] for part in trials)
    slope, share, error = 1 - after**2, mask / mask.sum(), after @ v - targets

    def forward(change: Tensor) -> tuple[Tensor, Tensor]:
        dW, dM, dv = (part[0] for part in _weights(change, weights))
        push, moved = dt * (before @ dW.mT + inputs @ dM.mT), torch.empty_like(after)
        h = rate = torch.zeros_like(after[0])
        for k in range(len(after)):
            h = torch.addmm(push[k].add_(h, alpha=1 - dt), rate, W.mT, alpha=dt)
            rate = torch.mul(slope[k], h, out=moved[k])
        return moved @ v + after @ dv, moved

    def backward(dz: Tensor, dr: Tensor | None = None) -> Tensor:
        pull, adjoint = dz @ v.mT if dr is None else dz @ v.mT + dr, torch.empty_like(after)
        a = torch.zeros_like(after[0])
        for k in reversed(range(len(after))):
            back = torch.addmm(pull[k], a, W, alpha=dt)
            a = torch.addcmul((1 - dt) * a, slope[k], back, out=adjoint[k])
        adjoint = dt * adjoint.flatten(0, 1).mT
        dW, dM = (adjoint @ x.flatten(0, 1) for x in (before, inputs))
        return _vector((dW, dM, after.flatten(0, 1).mT @ dz.flatten(0, 1)))

    def product(change: Tensor, structural: float) -> Tensor:
        dz, dr = forward(change)
        return backward(share * dz, dr.mul_(structural / inputs.shape[1]) if structural else None)

    return Model(float((share * error**2).sum() / 2), backward(share * error), product)


def conjugate_gradients(
    product: Product, gradient: Tensor, start: Tensor, least: int = 20, most: int = 150, tolerance: float = 5e-4
) -> list[tuple[Tensor, float]]:
    """Iterates p towards the minimum of q(p) = gradient.p + p.product(p) / 2 and their q, ever further apart.

    It ends where a step has gained less than `tolerance` of q, a mean over the last tenth of the steps and at least
    ten (Martens 2010), and at the exact minimum.
    """
    p, r = start, product(start) + gradient
    d, square, values, kept = -r, r @ r, [], []
    for i in range(1, most + 1):
        bent = product(d)
        size = square / (d @ bent)
        if not size.isfinite():
            break
        p, r = p + size * d, r + size * bent
        values.append(float(p @ (r + gradient)) / 2)
        if i >= 1.3 ** len(kept):
            kept.append((p, values[-1]))
        back = max(10, i // 10)
        if i >= least and values[-1] < 0 and values[-1] > (1 - back * tolerance) ** -1 * values[-1 - back]:
            break
        square, last = r @ r, square
        d = square / last * d - r
    return [*kept, (p, values[-1])] if values else [(p, 0.0)]


def move(model: Model, loss: Callable[[Tensor], float], start: Tensor, damping: float, structural: float) -> tuple:
    """The change of the parameters that one iteration makes, where the next search starts, and the next damping.

    Of the iterates the one with the least loss is taken, shortened until the loss falls.  The damping falls by a third
    where the loss fell by more than 3/4 of what q foretold, and rises by a half where by less than 1/4.
    """
    course = conjugate_gradients(
        lambda p: model.product(p, damping * structural) + damping * p, model.gradient, 0.95 * start
    )
    losses = [loss(p) for p, _ in course]
    best = min(range(len(course)), key=losses.__getitem__)
    p, foretold = course[best]
    gain = (losses[best] - model.loss) / foretold if foretold else 0.0
    damping *= 2 / 3 if gain > 3 / 4 else 3 / 2 if not gain >= 1 / 4 else 1
    tried = ((s, loss(s * p) if s < 1 else losses[best]) for s in (0.8**n for n in range(60)))
    slope = float(model.gradient @ p)
    size = next((s for s, now in tried if now <= model.loss + 0.01 * s * slope), 0.0)
    return size * p, course[-1][0], damping


@torch.no_grad()
@edge.whole_precision()
def iterate(state: State, trials: Trials, *, dt: float, structural: float = 0.0, noise: Tensor | None = None) -> State:
    """One iteration on these trials and this noise, all (time, 1, trial, channel), as in `rnn.outputs`.

    structural: weight of the change of the rates in the damping, 0 for none; what serves goes with 1/dt
    Raises ValueError for a negative or infinite `structural`, and as `rnn.outputs`.
    """
    edge.number("structural damping", structural, 0)
    here = _vector(state.weights)

    def loss(p: Tensor) -> float:
        z = rnn.outputs(_weights(here + p, state.weights), trials.inputs, dt=dt, noise=noise)
        return float(rnn.loss(z, trials.targets, trials.mask))

    local = model(state.weights, trials, noise, dt)
    p, start, damping = move(local, loss, state.start, state.damping, structural)
    return State(_weights(here + p, state.weights), start, damping, local.loss)
