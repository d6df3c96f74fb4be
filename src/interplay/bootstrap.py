"""How far a mean over few samples can be trusted."""

import numpy as np

from .seeds import seed


def interval(samples: np.ndarray, draws: int = 10_000) -> tuple[float, float]:
    """95 % interval of the mean over samples (sample,) by bootstrap, with fixed draws; of one, itself."""
    rng = np.random.RandomState(np.random.MT19937(seed("bootstrap")))
    means = samples[rng.randint(len(samples), size=(draws, len(samples)))].mean(1)
    return float(np.percentile(means, 2.5)), float(np.percentile(means, 97.5))


def curve(samples: np.ndarray, draws: int = 2_000) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean, low and high end of its 95 % interval, and number of samples, for each column of (sample, x).

    Samples that are NaN are left out of their column, and so of its number; a column without any is NaN.
    """
    found = []
    for column in np.asarray(samples, float).T:
        here = column[np.isfinite(column)]
        found.append((here.mean(), *interval(here, draws), len(here)) if len(here) else (np.nan, np.nan, np.nan, 0))
    return tuple(np.array(part) for part in zip(*found, strict=True))
