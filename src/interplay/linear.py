"""The linear network's exact gradient flow, in a space of a dozen dimensions.

Network `dh/dt = -h + W h + sqrt(N) m u`, read out by `w^T h / sqrt(N)`, |m| = |w| = 1 (Schuessler et al. 2020, sec. 3):
a constant input drives the output to `z = w^T (I - W)^-1 m`.  The loss `1/2 (target - z)^2` has the gradient
`-(target - z) p q^T` with `p = (I - W)^-T w`, `q = (I - W)^-1 m`.  All p and q of a training stay in the space that
B = (I - W0)^-1 and its transpose make of w and m, and a few steps of block Lanczos find it: W0 is factored once, the
change is `left @ A @ right^T` with A (k, k), and a step costs a k by k inverse (Woodbury), whatever N is.
"""

from typing import NamedTuple

import numpy as np
from scipy.integrate import solve_ivp
from scipy.linalg import lu_factor, lu_solve

from . import edge, theory


class Network(NamedTuple):
    """A network seen from the space of its change; leading axes (network, ...) may be stacked.

    left, right: (N, k), orthonormal columns (or zero ones, where fewer than k directions exist)
    S: (k, k), right^T B left; p0 = left^T B^T w and q0 = right^T B m: (k,); z0 = w^T B m: ()
    """

    left: np.ndarray
    right: np.ndarray
    S: np.ndarray
    p0: np.ndarray
    q0: np.ndarray
    z0: np.ndarray


class Descent(NamedTuple):
    """Gradient descent, recorded before every update: z, loss, gradient norm (epoch, ...), A (epoch, ..., k, k).

    `diverged` (...) is the epoch at which descent had left the flow, or -1: a real eigenvalue of W had passed 1, or the
    change was twice as large as any flow can make it, |dW|^2 <= tau L(0).  From there on the network is frozen, its
    loss is infinite and its output NaN.
    """

    z: np.ndarray
    loss: np.ndarray
    gradient: np.ndarray
    A: np.ndarray
    diverged: np.ndarray


def _factor(W0: np.ndarray, m: np.ndarray, w: np.ndarray) -> tuple:
    """LU factors of I - W0, whose fixed point is stable: no eigenvalue of W0 has a real part of 1 or more; m; w."""
    W0, m, w = map(edge.array, (W0, m, w))
    edge.shape("W0", W0, "N", "N"), edge.shape("m", m, "N", N=len(W0)), edge.shape("w", w, "N", N=len(W0))
    edge.number("norm of W0", np.linalg.norm(W0))
    if not np.linalg.norm(np.linalg.matrix_power(W0, 128)) < 1:  # if so, no eigenvalue is as large as 1, and cheaply
        edge.number("largest real part of an eigenvalue of W0", np.linalg.eigvals(W0).real.max(), below=1)
    return lu_factor(np.eye(len(W0)) - W0), m, w


def _next(x: np.ndarray, basis: list[np.ndarray]) -> np.ndarray:
    """The direction of x that `basis` lacks, or zeros if there is none (two passes: orthogonal to rounding)."""
    size, Q = np.linalg.norm(x), np.array(basis)
    for _ in range(2):
        x = x - Q.T @ (Q @ x)
    return x / np.linalg.norm(x) if np.linalg.norm(x) > 1e-11 * size else np.zeros_like(x)


def reduce(W0: np.ndarray, m: np.ndarray, w: np.ndarray, k: int = 12) -> Network:
    """The space in which the change of this network lives, by k steps of block Lanczos: B left, B^T right, in turn.

    W0: (N, N); m, w: (N,), unit vectors; k: dimensions kept of each side (at g = 0 only 2 exist)
    Raises ValueError for a W0 whose fixed point is not stable, or entries that are not finite.
    """
    factored, m, w = _factor(W0, m, w)
    q, p = lu_solve(factored, m), lu_solve(factored, w, trans=1)
    left, right, image = [p / np.linalg.norm(p)], [q / np.linalg.norm(q)], []
    for j in range(k):
        image.append(lu_solve(factored, left[j], check_finite=False))
        if j + 1 < k:
            left.append(_next(lu_solve(factored, right[j], trans=1, check_finite=False), left))
            right.append(_next(image[j], right))
    U, V = np.array(left).T, np.array(right).T
    return Network(U, V, V.T @ np.array(image).T, U.T @ p, V.T @ q, w @ q)


def transplant(net: Network, W0: np.ndarray, m: np.ndarray, w: np.ndarray) -> Network:
    """The same directions of change on another W0, e.g. a shuffled one; shapes and errors as in `reduce`."""
    factored, m, w = _factor(W0, m, w)
    solved = lu_solve(factored, np.column_stack([m, net.left]))
    q, image = solved[:, 0], solved[:, 1:]
    return Network(net.left, net.right, net.right.T @ image, w @ image, net.right.T @ q, w @ q)


def stack(nets: list[Network]) -> Network:
    """Networks of one N and k as one, along a new first axis."""
    return Network(*map(np.stack, zip(*nets, strict=True)))


def fixed_point(net: Network, A: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Output z (...), p and q in the bases `left` and `right` (..., k), and det(I - W) / det(I - W0) (...).

    A: (..., k, k), the change in those bases.  The determinant is positive until a real eigenvalue of W passes 1.
    """
    K = np.eye(A.shape[-1]) - net.S @ A
    inverse = np.linalg.inv(K)
    q = (inverse @ net.q0[..., None])[..., 0]
    towards = (net.p0[..., None, :] @ A)[..., 0, :]
    p = net.p0 + (towards[..., None, :] @ inverse @ net.S)[..., 0, :]
    return net.z0 + (towards * q).sum(-1), p, q, np.linalg.det(K)


def descend(net: Network, target: np.ndarray | float, rate: np.ndarray | float, epochs: int) -> Descent:
    """Gradient descent on the exact loss of stacked networks; eq. E1 of the text with a finite step.

    net: leading axes (...); target and rate broadcast against them; learning time tau = rate x epoch
    Raises ValueError for a target of 0, a rate that is not positive and finite, or epochs < 1.
    """
    edge.number("number of epochs", epochs, 1, whole=True)
    for step in np.ravel(rate := edge.array(rate)):
        edge.number("learning rate", step, above=0)
    target, rate, z0 = np.broadcast_arrays(theory.check(target=target), rate, net.z0)
    A, diverged, kept = np.zeros((*z0.shape, *net.S.shape[-2:])), np.full(z0.shape, -1), []
    for epoch in range(epochs):
        z, p, q, det = fixed_point(net, A)
        reach = rate * max(epoch, 1) * (target - z0) ** 2 / 2
        left = (det <= 0) | (np.square(A).sum((-1, -2)) > 4 * reach)
        diverged = np.where(left & (diverged < 0), epoch, diverged)
        push = np.where(diverged < 0, target - z, 0)
        kept.append((z, np.abs(push) * np.linalg.norm(p, axis=-1) * np.linalg.norm(q, axis=-1), A))
        A = A + ((rate * push)[..., None] * p)[..., None] * q[..., None, :]
    z, gradient, changes = map(np.stack, zip(*kept, strict=True))
    gone = (diverged >= 0) & (np.arange(epochs).reshape(-1, *[1] * z0.ndim) >= diverged)
    z = np.where(gone, np.nan, z)
    return Descent(z, np.where(gone, np.inf, (target - z) ** 2 / 2), gradient, changes, diverged)


def flow(net: Network, target: float, tau: np.ndarray, tolerance: float = 1e-9) -> tuple[np.ndarray, np.ndarray]:
    """Continuous gradient flow of one network: z (time,) and A (time, k, k) at learning times tau, increasing from 0.

    Raises ValueError for a target of 0 and RuntimeError if the adaptive solver gives up.
    """
    target = float(theory.check(target=target))
    k = len(net.S)

    def slope(_, state):
        z, p, q, _ = fixed_point(net, state.reshape(k, k))
        return ((target - z) * np.outer(p, q)).ravel()

    done = solve_ivp(slope, (0, tau[-1]), np.zeros(k * k), "LSODA", tau, rtol=tolerance, atol=tolerance * 1e-3)
    if not done.success:
        raise RuntimeError(f"gradient flow stopped at tau = {done.t[-1]:.4g} of {tau[-1]:.4g}: {done.message}")
    A = done.y.T.reshape(-1, k, k)
    return fixed_point(net, A)[0], A


def change_eigenvalues(net: Network, A: np.ndarray) -> np.ndarray:
    """The eigenvalues of the change that may differ from 0: (..., k) complex, those of A right^T left."""
    return np.linalg.eigvals(A @ (np.swapaxes(net.right, -1, -2) @ net.left))


def connectivity(net: Network, W0: np.ndarray, A: np.ndarray) -> np.ndarray:
    """The trained matrix W0 + left A right^T: (N, N), of one network."""
    return edge.array(W0) + net.left @ edge.array(A) @ net.right.T


def time_to(loss: np.ndarray, tau: np.ndarray, fraction: float = 0.05, start: np.ndarray | None = None) -> np.ndarray:
    """First recorded learning time at which the loss (epoch, ...) is below `fraction` of `start` (...), NaN if never.

    tau: (epoch, ...), broadcast; start: the loss of a zero output, target^2 / 2, in Figure 4; default the first loss
    """
    below = (loss := edge.array(loss)) < fraction * (loss[0] if start is None else start)
    tau = np.broadcast_to(edge.array(tau), loss.shape)
    first = np.take_along_axis(tau, below.argmax(0)[None], 0)[0]
    return np.where(below.any(0), first, np.nan)
