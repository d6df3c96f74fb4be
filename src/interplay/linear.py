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

REFRESH = 50  # epochs after which the inverse is made anew, so that rounding does not add up


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


def _factor(W0: np.ndarray) -> tuple:
    N = len(W0)
    if not np.isfinite(W0).all():
        raise ValueError("W0 holds entries that are not finite: every entry must be a finite number")
    if (g := np.linalg.norm(W0) / np.sqrt(N)) >= 1:
        raise ValueError(f"initial coupling g = {g:.3g}: a linear network has a stable fixed point only for g < 1")
    lu, pivots = lu_factor(np.eye(N) - W0, check_finite=False)
    if np.sign(np.diag(lu)).prod() * (-1) ** np.sum(pivots != np.arange(N)) < 0:
        raise ValueError(
            "W0 has a real eigenvalue above 1: the fixed point is unstable, choose a smaller g or another seed"
        )
    return lu, pivots


def _next(x: np.ndarray, basis: list[np.ndarray]) -> np.ndarray:
    """The direction of x that `basis` lacks, or zeros if there is none (two passes: orthogonal to rounding)."""
    size, Q = np.linalg.norm(x), np.array(basis)
    for _ in range(2):
        x = x - Q.T @ (Q @ x)
    return x / np.linalg.norm(x) if np.linalg.norm(x) > 1e-11 * size else np.zeros_like(x)


def reduce(W0: np.ndarray, m: np.ndarray, w: np.ndarray, k: int = 12) -> Network:
    """The space in which the change of this network lives, by k steps of block Lanczos: B left, B^T right, in turn.

    W0: (N, N); m, w: (N,), unit vectors; k: dimensions kept of each side (at g = 0 only 2 exist)
    Raises ValueError for entries that are not finite, a coupling g >= 1, or a real eigenvalue of W0 above 1.
    """
    factored = _factor(W0)
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
    solved = lu_solve(_factor(W0), np.column_stack([m, net.left]))
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
    target, rate = np.asarray(target, float), np.asarray(rate, float)
    if (target == 0).any() or not np.isfinite(target).all():
        raise ValueError("target z-hat must be finite and not 0: at 0 there is nothing to learn")
    if not (np.isfinite(rate).all() and (rate > 0).all()) or epochs < 1:
        raise ValueError(
            f"rate {rate.min():g}, epochs {epochs}: the rate must be positive and finite, epochs at least 1"
        )
    shape, k = np.broadcast_shapes(net.z0.shape, target.shape, rate.shape), net.S.shape[-1]
    A, changes = np.zeros((*shape, k, k)), np.empty((epochs, *shape, k, k))
    z, det, squares = np.empty((epochs, *shape)), np.empty((epochs, *shape)), np.empty((epochs, *shape))
    with np.errstate(all="ignore"):  # what overflows has left the flow, and is marked below
        for start in range(0, epochs, REFRESH):
            now = slice(start, min(start + REFRESH, epochs))
            z[now], det[now], squares[now], steps = _burst(net, A, target, rate, now.stop - start)
            changes[now] = A + np.concatenate([np.zeros((1, *shape, k, k)), steps[:-1].cumsum(0)])
            A = changes[now.stop - 1] + steps[-1]
        reach = rate * np.arange(epochs).clip(1).reshape(-1, *[1] * len(shape)) * (target - net.z0) ** 2 / 2
        left = ~((det > 0) & (np.einsum("...ij,...ij->...", changes, changes) <= 4 * reach))
    diverged = np.where(left.any(0), left.argmax(0), -1)
    gone = np.logical_or.accumulate(left, 0)
    frozen = np.take_along_axis(changes, diverged.clip(0)[None, ..., None, None], 0)
    changes = np.where(gone[..., None, None], frozen, changes)
    z = np.where(gone, np.nan, z)
    loss = np.where(gone, np.inf, (target - z) ** 2 / 2)
    return Descent(z, loss, np.where(gone, 0, np.abs(target - z) * np.sqrt(squares)), changes, diverged)


def _burst(net: Network, A: np.ndarray, target: np.ndarray, rate: np.ndarray, epochs: int) -> tuple[np.ndarray, ...]:
    """z, determinant, |p|^2 |q|^2 and step of A, an epoch each: a few epochs by rank-one updates of the inverse alone.

    With G = right^T (I - W)^-1 left, a step W + c p q^T changes G by c (G p)(q^T G) / d, q by c (G p) |q|^2 / d, p by
    c (q^T G) |p|^2 / d and z by c |p|^2 |q|^2 / d, where d = 1 - c q^T G p is the factor of the determinant.
    """
    z, p, q, det = fixed_point(net, A)
    G = np.linalg.inv(np.eye(A.shape[-1]) - net.S @ A) @ net.S
    kept = []
    for _ in range(epochs):
        pp, qq, pull = np.vecdot(p, p), np.vecdot(q, q), rate * (target - z)
        kept.append((z, det, pp * qq, pull, p, q))
        ahead, behind = (G @ p[..., None])[..., 0], (q[..., None, :] @ G)[..., 0, :]
        factor = 1 - pull * np.vecdot(q, ahead)
        step = pull / factor
        z, det = z + step * pp * qq, det * factor
        p, q = p + (step * pp)[..., None] * behind, q + (step * qq)[..., None] * ahead
        G = G + (step[..., None] * ahead)[..., None] * behind[..., None, :]
    z, det, squares, pull, p, q = (np.stack(np.broadcast_arrays(*part)) for part in zip(*kept, strict=True))
    return z, det, squares, (pull[..., None] * p)[..., None] * q[..., None, :]


def flow(net: Network, target: float, tau: np.ndarray, tolerance: float = 1e-9) -> tuple[np.ndarray, np.ndarray]:
    """Continuous gradient flow of one network: z (time,) and A (time, k, k) at learning times tau, increasing from 0.

    Raises ValueError for a target of 0 and RuntimeError if the adaptive solver gives up.
    """
    if target == 0 or not np.isfinite(target):
        raise ValueError(f"target z-hat is {target}, but must be finite and not 0: at 0 there is nothing to learn")
    k = len(net.S)

    def slope(_, state):
        z, p, q, _ = fixed_point(net, state.reshape(k, k))
        return ((target - z) * np.outer(p, q)).ravel()

    done = solve_ivp(slope, (0, tau[-1]), np.zeros(k * k), "LSODA", tau, rtol=tolerance, atol=tolerance * 1e-3)
    if not done.success:
        raise RuntimeError(f"gradient flow stopped at tau = {done.t[-1]:.4g} of {tau[-1]:.4g}: {done.message}")
    A = done.y.T.reshape(-1, k, k)
    return fixed_point(net, A)[0], A


def path(net: Network, z: np.ndarray, tolerance: float = 1e-10) -> np.ndarray:
    """Changes A (point, k, k) met by the flow at outputs z (point,), increasing from z0: one path for all targets.

    Dividing dW/dtau by dz/dtau leaves dW/dz = p q^T / (|p|^2 |q|^2), in which the target no longer appears.
    """
    k = len(net.S)

    def slope(_, state):
        _, p, q, _ = fixed_point(net, state.reshape(k, k))
        return (np.outer(p, q) / ((p @ p) * (q @ q))).ravel()

    done = solve_ivp(slope, (float(net.z0), z[-1]), np.zeros(k * k), "DOP853", z, rtol=tolerance, atol=tolerance * 1e-2)
    if not done.success:
        raise RuntimeError(f"the path stopped at z = {done.t[-1]:.4g} of {z[-1]:.4g}: {done.message}")
    return done.y.T.reshape(-1, k, k)


def singular_values(A: np.ndarray) -> np.ndarray:
    """Singular values of the change, largest first: (..., k); those of A, since the bases are orthonormal."""
    return np.linalg.svd(A, compute_uv=False)


def change_eigenvalues(net: Network, A: np.ndarray) -> np.ndarray:
    """The eigenvalues of the change that may differ from 0: (..., k) complex, those of A right^T left."""
    return np.linalg.eigvals(A @ (np.swapaxes(net.right, -1, -2) @ net.left))


def connectivity(net: Network, W0: np.ndarray, A: np.ndarray) -> np.ndarray:
    """The trained matrix W0 + left A right^T: (N, N), of one network."""
    return W0 + net.left @ A @ net.right.T


def time_to(loss: np.ndarray, tau: np.ndarray, fraction: float = 0.05, start: np.ndarray | None = None) -> np.ndarray:
    """First recorded learning time at which the loss (epoch, ...) is below `fraction` of `start` (...), NaN if never.

    tau: (epoch, ...), broadcast; start: the loss of a zero output, target^2 / 2, in Figure 4; default the first loss
    """
    below = loss < fraction * (loss[0] if start is None else start)
    tau = np.broadcast_to(tau, loss.shape)
    first = np.take_along_axis(tau, below.argmax(0)[None], 0)[0]
    return np.where(below.any(0), first, np.nan)
