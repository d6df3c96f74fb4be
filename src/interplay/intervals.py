"""How far a mean over few samples can be trusted: 95 % intervals by SciPy, right for few samples."""

import numpy as np
from scipy import stats

LEVEL = 0.95
Interval = tuple[float, float]


def mean(samples: np.ndarray) -> Interval:
    """Of the mean over samples (sample,), by Student's t; NaN for a single sample, whose scatter is not known."""
    if len(samples) < 2:
        return np.nan, np.nan
    half = stats.t.ppf((1 + LEVEL) / 2, len(samples) - 1) * stats.sem(samples)
    return float(np.mean(samples) - half), float(np.mean(samples) + half)


def ratio(above: np.ndarray, below: np.ndarray) -> Interval:
    """Of mean(above) / mean(below), independent positive samples, on a logarithmic scale by Welch's t.

    A set of a single sample is taken as known; of two such sets, NaN.
    """
    whole, sets = np.mean(above) / np.mean(below), [one / np.mean(one) for one in (above, below)]
    if min(map(len, sets)) > 1:
        low, high = stats.ttest_ind(*sets, equal_var=False).confidence_interval(LEVEL)
    else:
        low, high = np.subtract(mean(max(sets, key=len)), 1)
    return float(whole * np.exp(low)), float(whole * np.exp(high))


def share(hits: int, number: int) -> Interval:
    """Of a probability, from how many of a number of independent trials hit: exact binomial (Clopper and Pearson)."""
    found = stats.binomtest(hits, number).proportion_ci(LEVEL, method="exact")
    return float(found.low), float(found.high)


def curve(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean, low and high end of its interval, and number of samples, for each column of (sample, x).

    Samples that are NaN are left out of their column, and so of its number; a column without any is NaN, and so are
    the ends of the interval of a single sample.
    """
    samples = np.asarray(samples, float)
    number = np.isfinite(samples).sum(0)
    columns = [column[np.isfinite(column)] for column in samples.T]
    ends = np.array([mean(column) for column in columns]).reshape(-1, 2).T
    return np.array([column.mean() if len(column) else np.nan for column in columns]), *ends, number


def text(samples: np.ndarray, digits: int = 3) -> str:
    """Mean of the samples that have a value, with its interval: "0.81 [0.80, 0.82]", or of a single one alone."""
    known = np.asarray(samples, float)
    known = known[np.isfinite(known)]
    low, high = mean(known)
    return f"{known.mean():.{digits}f}" + (f" [{low:.{digits}f}, {high:.{digits}f}]" if len(known) > 1 else "")


def span(samples: np.ndarray) -> str:
    """Mean of whole numbers and their range: "18 (15 to 22)"; a dash if a sample has no value."""
    if not np.isfinite(samples).all():
        return "–"
    return f"{np.mean(samples):.0f} ({np.min(samples):.0f} to {np.max(samples):.0f})"
