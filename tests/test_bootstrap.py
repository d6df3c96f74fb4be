"""The interval that every curve of the book is drawn with."""

import numpy as np
import pytest

from interplay import bootstrap


def test_curve_takes_each_column_by_itself_and_leaves_out_what_is_missing():
    samples = np.random.RandomState(0).standard_normal((6, 4))
    samples[2:, 1], samples[:, 3] = np.nan, np.nan
    mean, low, high, number = bootstrap.curve(samples)
    assert number.tolist() == [6, 2, 6, 0]
    for x in (0, 1, 2):
        column = samples[np.isfinite(samples[:, x]), x]
        assert mean[x] == pytest.approx(column.mean())
        assert (low[x], high[x]) == bootstrap.interval(column, draws=2_000)
        assert column.min() <= low[x] < mean[x] < high[x] <= column.max()
    assert np.isnan([mean[3], low[3], high[3]]).all()
