"""Closed forms of the linear network: functions of g, z-hat (`target`) and learning time tau, all vectorised.

tau is learning rate x number of steps, beta = 1 / (1 - g^2), and beta^2 tau is the effective learning time.  All hold
for N to infinity; chapter linear-theory derives each with SymPy, asserts that it equals the function here, and says up
to where it holds.  Schuessler et al. 2020, section 3 and supplement, corrected where the chapter says so.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp
from scipy.optimize import brentq


def check(g: ArrayLike = 0.0, target: ArrayLike = 1.0) -> None:
    """Raise ValueError, in one sentence, unless 0 <= g < 1 and the target is finite and not 0."""
    if bad := [x for x in np.ravel(g) if not 0 <= x < 1]:
        raise ValueError(f"initial coupling g is {bad[0]}, but a linear network has a fixed point only for 0 <= g < 1")
    if bad := [x for x in np.ravel(target) if x == 0 or not np.isfinite(x)]:
        raise ValueError(f"target z-hat is {bad[0]}, but must be finite and not 0: at 0 there is nothing to learn")


def beta(g: ArrayLike) -> np.ndarray:
    """|B m|^2 = |B^T w|^2 = tr(B B^T)/N with B = (I - W0)^-1; raises ValueError unless 0 <= g < 1."""
    check(g)
    return 1 / (1 - np.asarray(g, float) ** 2)


def moment(g: ArrayLike, n: int) -> np.ndarray:
    """tr[(B B^T)^n]/N for n = 1 ... 4, from the resolvent; raises ValueError for another n."""
    if n not in (1, 2, 3, 4):
        raise ValueError(f"moment {n} is not tabulated: choose n = 1, 2, 3 or 4")
    g2 = np.asarray(g, float) ** 2
    return beta(g) ** (3 * n - 2) * [1, 1, 1 + 2 * g2, (1 + g2) * (1 + 5 * g2)][n - 1]


def overlap(g: ArrayLike) -> np.ndarray:
    """(B m)^T B^T B m = tr(B^T B^2)/N = beta^2: how far p-hat leans on q0."""
    return beta(g) ** 2


def output_series(tau: ArrayLike, g: ArrayLike, target: ArrayLike) -> np.ndarray:
    """Output z to third order in tau."""
    t, b = beta(g) ** 2 * tau, beta(g)
    return target * (t - t**2 / 2 + t**3 / 6 * (1 + 8 * target**2 * b))


def first_value_series(tau: ArrayLike, g: ArrayLike, target: ArrayLike) -> np.ndarray:
    """Largest singular value of the change to third order in tau."""
    t, b = beta(g) ** 2 * tau, beta(g)
    return target / b * (t - t**2 / 2 + t**3 / 6 * (1 + 3.5 * target**2 * b))


def second_value(tau: ArrayLike, g: ArrayLike, target: ArrayLike) -> np.ndarray:
    """Second singular value of the change, lowest order: (z-hat beta^2 tau)^3 / 12."""
    return (target * beta(g) ** 2 * tau) ** 3 / 12


def small_target(tau: ArrayLike, g: ArrayLike, target: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """z, s1 and s2 at all tau for small targets (z-hat^2 beta << 1): the readout is then a simple relaxation."""
    risen = 1 - np.exp(-(beta(g) ** 2) * tau)
    return target * risen, target * risen / beta(g), (target * risen) ** 3 / 12


def series_end(g: float, target: float) -> float:
    """Effective learning time at which the third-order output reaches the target; drawn theory is frozen there."""
    check(g, target)
    return brentq(lambda t: t - t**2 / 2 + t**3 / 6 * (1 + 8 * target**2 * float(beta(g))) - 1, 0, 3)


def time_law(g: ArrayLike) -> np.ndarray:
    """Convergence time relative to g = 0, small targets: (1 - g^2)^2."""
    return beta(g) ** -2.0


def norm_law(g: ArrayLike) -> np.ndarray:
    """Norm of the change relative to g = 0, small targets: 1 - g^2."""
    return 1 / beta(g)


def gradient_law(g: ArrayLike) -> np.ndarray:
    """Mean gradient relative to g = 0, small targets: 1 / (1 - g^2)."""
    return beta(g)


def shuffle_law(g: ArrayLike) -> np.ndarray:
    """Loss after W0 is shuffled, relative to that of a zero output, small targets: g^4 (2 - g^2)^2."""
    return (1 - beta(g) ** -2.0) ** 2


def change_eigenvalues(tau: ArrayLike, g: ArrayLike, target: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The two eigenvalues of the change to leading order, beta^3 tau^2 z-hat^2 (1/2 +- 1/sqrt 3)."""
    lead = beta(g) ** 3 * np.square(tau) * np.square(target)
    return lead * (0.5 + 3**-0.5), lead * (0.5 - 3**-0.5)


def change_trace(tau: ArrayLike, g: ArrayLike, target: ArrayLike) -> np.ndarray:
    """Trace of the change to third order, beta^3 tau^2 z-hat^2 (1 - beta^2 tau)."""
    return beta(g) ** 3 * np.square(tau) * np.square(target) * (1 - beta(g) ** 2 * tau)


def outlier(change: ArrayLike, g: ArrayLike) -> np.ndarray:
    """Eigenvalue of W outside the disk of radius g, given the trace of the change: (lambda - g^2)^2 = lambda trace."""
    check(g)
    g2, t = np.square(g), np.asarray(change, float)
    return g2 + (t + np.sqrt(t**2 + 4 * t * g2)) / 2


def exact_output(s: ArrayLike) -> np.ndarray:
    """g = 0, w orthogonal to m, any target: output when the change has turned by theta, s = sin theta."""
    return s / (1 - s * np.arctanh(s))


def exact_change(s: float) -> np.ndarray:
    """g = 0: the change (2, 2) in the basis (w, m) when it has turned by theta, s = sin theta."""
    c = np.sqrt(1 - s**2)
    return np.array([[1 - c, s], [np.arctanh(s) - s, 1 - c]])


def exact_eigenvalues(s: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """g = 0: both eigenvalues of the change, 1 - cos theta +- sqrt(sin theta (artanh sin theta - sin theta))."""
    mean, half = 1 - np.sqrt(1 - np.square(s)), np.sqrt(s * (np.arctanh(s) - s))
    return mean + half, mean - half


def exact_limit() -> float:
    """g = 0: sin theta at which the output diverges; no target is out of reach, and no change goes beyond."""
    return brentq(lambda s: 1 - s * np.arctanh(s), 0.1, 0.99, xtol=1e-15)


def exact_angle(target: float) -> float:
    """g = 0: sin theta at which the output meets a positive target; raises ValueError for a target <= 0."""
    if not (np.isfinite(target) and target > 0):
        raise ValueError(f"target z-hat is {target}, but the exact solution is for finite targets > 0")
    return brentq(lambda s: s - target * (1 - s * np.arctanh(s)), 0, exact_limit(), xtol=1e-15)


def exact_course(tau: ArrayLike, target: float) -> np.ndarray:
    """g = 0: sin theta at learning times tau (time,), increasing from 0, by an adaptive solver to 1e-10."""
    exact_angle(target)

    def slope(_, theta):
        s = np.sin(theta)
        return (target - exact_output(s)) * np.cos(theta) * (1 - s * np.arctanh(s)) ** -2

    tau = np.atleast_1d(np.asarray(tau, float))
    return np.sin(solve_ivp(slope, (0, tau[-1]), [0.0], "LSODA", tau, rtol=1e-11, atol=1e-13).y[0])
