"""Closed forms of the linear network: functions of g, z-hat (`target`) and learning time tau, all vectorised.

tau is learning rate x number of steps, beta = 1 / (1 - g^2), and beta^2 tau is the effective learning time.  All hold
for N to infinity; gradient-writes, start-stretches and theory-ends derive each with SymPy, assert that it equals the
function here, and say where it ends.  Schuessler et al. 2020, section 3 and supplement, corrected where they say so.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from . import edge


def check(g: ArrayLike = 0.0, target: ArrayLike = 1.0) -> np.ndarray:
    """The targets as an array; raises ValueError unless all are finite and not 0, and 0 <= g < 1."""
    for x in np.ravel(edge.array(g)):  # only there is a fixed point
        edge.number("initial coupling g", x, 0, below=1)
    for x in np.ravel(edge.array(target)):  # at 0 there is nothing to learn
        edge.number("size of the target z-hat", abs(x), above=0)
    return edge.array(target)


def beta(g: ArrayLike) -> np.ndarray:
    """|B m|^2 = |B^T w|^2 = tr(B B^T)/N with B = (I - W0)^-1; raises ValueError unless 0 <= g < 1."""
    check(g)
    return 1 / (1 - edge.array(g) ** 2)


def moment(g: ArrayLike, n: int) -> np.ndarray:
    """tr[(B B^T)^n]/N for n = 1 ... 4, from the resolvent; raises ValueError for another n."""
    edge.one_of("moment", n, (1, 2, 3, 4))
    g2 = edge.array(g) ** 2
    return beta(g) ** (3 * n - 2) * [1, 1, 1 + 2 * g2, (1 + g2) * (1 + 5 * g2)][n - 1]


def output_series(tau: ArrayLike, g: ArrayLike, target: ArrayLike) -> np.ndarray:
    """Output z to third order in tau."""
    t, b, target = beta(g) ** 2 * edge.array(tau), beta(g), edge.array(target)
    return target * (t - t**2 / 2 + t**3 / 6 * (1 + 8 * target**2 * b))


def first_value_series(tau: ArrayLike, g: ArrayLike, target: ArrayLike) -> np.ndarray:
    """Largest singular value of the change to third order in tau."""
    t, b, target = beta(g) ** 2 * edge.array(tau), beta(g), edge.array(target)
    return target / b * (t - t**2 / 2 + t**3 / 6 * (1 + 3.5 * target**2 * b))


def small_target(tau: ArrayLike, g: ArrayLike, target: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """z, s1 and s2 at all tau for small targets (z-hat^2 beta << 1): the readout is then a simple relaxation."""
    z = edge.array(target) * (1 - np.exp(-(beta(g) ** 2) * edge.array(tau)))
    return z, z / beta(g), z**3 / 12


def shuffle_law(g: ArrayLike) -> np.ndarray:
    """Loss after W0 is shuffled, relative to that of a zero output, small targets: g^4 (2 - g^2)^2."""
    return (1 - beta(g) ** -2.0) ** 2


def exact_output(s: ArrayLike) -> np.ndarray:
    """g = 0, w orthogonal to m, any target: output when the change has turned by theta, s = sin theta."""
    s = edge.array(s)
    return s / (1 - s * np.arctanh(s))


def exact_change(s: float) -> np.ndarray:
    """g = 0: the change (2, 2) in the basis (w, m) when it has turned by theta, s = sin theta."""
    s = edge.array(s)
    c = np.sqrt(1 - s**2)
    return np.array([[1 - c, s], [np.arctanh(s) - s, 1 - c]])


def exact_limit() -> float:
    """g = 0: sin theta at which the output diverges; no target is out of reach, and no change goes beyond."""
    return brentq(lambda s: 1 - s * np.arctanh(s), 0.1, 0.99, xtol=1e-15)


def exact_angle(target: float) -> float:
    """g = 0: sin theta at which the output meets a positive target; raises ValueError for a target <= 0."""
    target = edge.number("target z-hat of the exact solution", target, above=0)
    return brentq(lambda s: s - target * (1 - s * np.arctanh(s)), 0, exact_limit(), xtol=1e-15)


def exact_course(tau: ArrayLike, target: float) -> np.ndarray:
    """g = 0: sin theta at learning times tau (time,), increasing from 0, by an adaptive solver to 1e-10."""
    exact_angle(target)
    tau, target = np.atleast_1d(edge.array(tau)), float(edge.array(target))

    def slope(_, theta):
        s = np.sin(theta)
        return (target - exact_output(s)) * np.cos(theta) * (1 - s * np.arctanh(s)) ** -2

    return np.sin(solve_ivp(slope, (0, tau[-1]), [0.0], "LSODA", tau, rtol=1e-11, atol=1e-13).y[0])
