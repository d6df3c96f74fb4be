"""Measures of Schuessler et al. (2020), sections 3 and 4: linear networks, kept or computed on the spot."""

from functools import cache

import numpy as np
import xarray as xr

from .. import linear, theory
from ..experiments import kept
from ..experiments.linear import draw, rate


def length_over_beta(g: float) -> xr.DataArray:
    """|B m|^2 over beta, B = (I - W0)^-1."""
    return kept("linear-exact", "q_squared", g=g) / theory.beta(g)


def shuffled_output_loss(target: float, g: float) -> xr.DataArray:
    """Loss after shuffling W0 that the learned part of the output leaves, in units of that of a zero output."""
    return (1 - kept("linear-exact", "transferred", target=target, g=g)) ** 2


def shuffled_loss_above_law(target: list[float], g: list[float]) -> xr.DataArray:
    """Loss after shuffling W0, less the law for small targets; mean over targets and g."""
    loss = kept("linear-exact", "shuffled", target=target, g=g)
    return (loss - xr.DataArray(theory.shuffle_law(loss.g.values), dims="g")).mean(("g", "target"))


def second_value_of_gradient(g: float, N: int) -> list[float]:
    """s2/s1 of the first gradient, from the dense inverse, five samples."""
    found = []
    for W0, m, w in (draw(g, N, sample) for sample in range(5)):
        B = np.linalg.inv(np.eye(N) - W0)
        s = np.linalg.svd((1 - w @ B @ m) * np.outer(B.T @ w, B @ m), compute_uv=False)
        found.append(s[1] / s[0])
    return found


@cache
def _inverses(g: float, N: int) -> list[np.ndarray]:
    return [np.linalg.inv(np.eye(N) - draw(g, N, sample)[0]) for sample in range(3)]


def moment_over_theory(n: int, g: float, N: int) -> list[float]:
    """tr (B B^T)^n / N over its value for large N, n = 1 or 2, three samples."""
    sums = [np.sum(B * B) if n == 1 else np.sum((B @ B.T) ** 2) for B in _inverses(g, N)]
    return [float(one / N / theory.moment(g, n)) for one in sums]


@cache
def _flows(target: float, tau: float, N: int = 256) -> list[tuple[linear.Network, float, np.ndarray]]:
    """Network, output and change at learning time tau, g = 0, readout made orthogonal to the input, five samples."""
    found = []
    for W0, m, w in (draw(0.0, N, sample) for sample in range(5)):
        w = w - (w @ m) * m
        net = linear.reduce(W0, m, w / np.linalg.norm(w), k=2)  # the change stays in the plane of w and m
        z, A = linear.flow(net, target, np.array([0, tau]), 1e-12)
        found.append((net, z[-1], A[-1]))
    return found


def flow_from_zero(quantity: str, target: float, tau: float) -> list[float]:
    """Gradient flow at g = 0 until learning time tau, w orthogonal to m, five samples.

    quantity: "z by series" and "s1 by series", third order over the flow's; "s2"; "norm", over the exact solution's at
    the end; "larger eigenvalue" and "smaller eigenvalue" of dW, over (tau target)^2
    """
    exact = np.linalg.norm(theory.exact_change(theory.exact_angle(target)))
    measure = {
        "z by series": lambda net, z, A: theory.output_series(tau, 0, target) / z,
        "s1 by series": lambda net, z, A: theory.first_value_series(tau, 0, target) / np.linalg.svdvals(A)[0],
        "s2": lambda net, z, A: np.linalg.svdvals(A)[1],
        "norm": lambda net, z, A: np.linalg.norm(A) / exact,
        "larger eigenvalue": lambda net, z, A: linear.change_eigenvalues(net, A).real.max() / (tau * target) ** 2,
        "smaller eigenvalue": lambda net, z, A: linear.change_eigenvalues(net, A).real.min() / (tau * target) ** 2,
    }[quantity]
    return [float(measure(*one)) for one in _flows(target, tau)]


def flow_invariant_drift(g: float, target: float, N: int) -> list[float]:
    """Relative drift of the two invariants of the gradient flow until learning time 10, five samples."""
    found, one = [], np.eye(N)
    for W0, m, w in (draw(g, N, sample) for sample in range(5)):
        net, off_w, off_m = linear.reduce(W0, m, w), one - np.outer(w, w), one - np.outer(m, m)
        _, A = linear.flow(net, target, np.array([0, 10.0]), 1e-12)
        ends = [one - W0, one - linear.connectivity(net, W0, A[-1])]
        start, end = (np.stack([off_w @ X.T @ X @ off_w, off_m @ X @ X.T @ off_m]) for X in ends)
        found.append(float(np.linalg.norm(end - start) / np.linalg.norm(start)))
    return found


def loss_collapse(target: float, g: list[float], N: int) -> float:
    """Largest difference of two mean losses at equal effective time, five samples, over the loss of a zero output."""
    curves = []
    for one in g:
        nets = linear.stack([linear.reduce(*draw(one, N, sample)) for sample in range(5)])
        curves.append(linear.descend(nets, target, rate(one, target), 200).loss.mean(1))
    return np.abs(curves[0] - curves[1]).max() / (target**2 / 2)


def late_loss(target: float, g: float, above: float | None = None) -> xr.DataArray:
    """Largest loss of the last 50 epochs over that of a zero output, infinite where it diverged; or if it is above."""
    loss = kept("linear-failure", "loss", target=target, g=g).isel(epoch=slice(-50, None))
    worst = loss.fillna(np.inf).max("epoch") / (target**2 / 2)
    return worst if above is None else worst > above
