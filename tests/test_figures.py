"""What chapters share to show: tables."""

import pytest

from interplay import figures


def test_a_table_shows_every_entry_as_it_is():
    shown = figures.table(["g", "$z$"], [[0.5, "$\\hat z^2$"], ["–", 3]]).data
    assert shown.splitlines() == ["| g | $z$ |", "| --- | --- |", "| 0.5 | $\\hat z^2$ |", "| – | 3 |"]


def test_a_row_that_does_not_fit_its_table_is_named():
    with pytest.raises(ValueError, match="a row has 1 entries, the head 2: they must be equal"):
        figures.table(["g", "z"], [[1, 2], [3]])
