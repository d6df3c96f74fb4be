"""Low-rank analyses against what linear algebra promises, and against evaluating one matrix at a time."""

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from interplay import lowrank

DRAW = torch.Generator().manual_seed(5)


def matrix(*shape):
    return torch.randn(*shape, generator=DRAW, dtype=torch.float64)


def test_singular_values_and_eigenvalues_of_a_matrix_made_from_them():
    U, V = (torch.linalg.qr(matrix(12, 12))[0] for _ in range(2))
    s = torch.tensor([3.0, 2, 1, 0.5, *[0.1] * 8], dtype=torch.float64)
    torch.testing.assert_close(lowrank.singular_values((U * s) @ V.T), s)
    wanted = torch.tensor([[0.1, -2.0, 1.0], [0.2, 3.0, -0.5]], dtype=torch.float64)
    P = matrix(2, 3, 3)
    found = lowrank.eigenvalues(P @ torch.diag_embed(wanted) @ torch.linalg.inv(P))
    torch.testing.assert_close(found.real, torch.tensor([[-2.0, 1.0, 0.1], [3.0, -0.5, 0.2]], dtype=torch.float64))
    assert found.imag.abs().max() < 1e-9


def test_truncation_to_no_rank_and_to_full_rank():
    change = matrix(2, 7, 7)
    assert not lowrank.truncate(change, 0).any()
    torch.testing.assert_close(lowrank.truncate(change, 7), change)
    for rank in range(8):
        left, right = lowrank.factors(change, rank)
        assert left.shape == right.shape == (2, 7, rank)
        assert (torch.linalg.matrix_rank(lowrank.truncate(change, rank)) == rank).all()


def test_no_matrix_of_the_same_rank_is_nearer():
    change, rank = matrix(9, 9), 3
    cut = lowrank.truncate(change, rank)
    best, s = (change - cut).norm(), lowrank.singular_values(change)
    torch.testing.assert_close(best, s[rank:].norm())
    left, right = lowrank.factors(change, rank)
    for size in (1e-3, 1e-2, 0.1, 1):
        for _ in range(100):
            other = (left + size * matrix(9, rank)) @ (right + size * matrix(9, rank)).T
            assert (change - other).norm() > best


def test_loss_against_rank_equals_one_matrix_at_a_time():
    before, change, x = matrix(3, 8, 8), matrix(3, 8, 8), matrix(8)

    def evaluate(W):
        return torch.tanh(W @ x).square().sum(-1)

    calls = []
    ranks = [0, 5, 1, 8]
    found = lowrank.loss_against_rank(before, change, ranks, lambda W: calls.append(W.shape) or evaluate(W))
    assert calls == [(4, 3, 8, 8)]
    one_by_one = [[evaluate(W + lowrank.truncate(d, R)) for W, d in zip(before, change)] for R in ranks]
    torch.testing.assert_close(found, torch.tensor(one_by_one, dtype=torch.float64))
    torch.testing.assert_close(found[0], evaluate(before))
    torch.testing.assert_close(found[3], evaluate(before + change))


CURVES = torch.tensor([
    [1.0, 1.0, 2.0, 1.0, 4.0],  # in units of the first: 2, never, a dip that rises again, exactly 5 %, immediately
    [0.5, 0.9, 0.05, 0.05, 0.1],
    [0.04, 0.06, 0.5, 0.05, 0.1],
    [0.04, 0.2, 0.099, 0.049, 0.0],
    [0.01, 0.1, 0.09, 0.04, 0.0],
])  # fmt: skip


@pytest.mark.parametrize("ranks", [[0, 1, 2, 3, 4], [0, 5, 10, 20, 40]])
@pytest.mark.parametrize(("first", "places"), [(False, [2, None, 3, 3, 1]), (True, [2, None, 1, 3, 1])])
def test_functional_rank_is_the_rank_from_which_on_the_loss_stays_below_or_the_first_below(ranks, first, places):
    wanted = torch.tensor([torch.nan if place is None else ranks[place] for place in places], dtype=torch.float64)
    found = lowrank.functional_rank(CURVES, ranks, first=first)
    torch.testing.assert_close(found, wanted, equal_nan=True)
    torch.testing.assert_close(lowrank.functional_rank(3.7 * CURVES, ranks, first=first), found, equal_nan=True)
    if ranks[1] == 1:
        torch.testing.assert_close(lowrank.functional_rank(CURVES.numpy(), first=first), found, equal_nan=True)
    assert lowrank.functional_rank(CURVES[:, 1], ranks, threshold=0.101, first=True) == ranks[2]
    assert lowrank.functional_rank(torch.tensor([torch.nan, 0.0])).isnan()


@pytest.mark.parametrize(
    ("ranks", "says"),
    [
        ([0, 1], "number of ranks for 5 losses is 2"),
        ([1, 2, 3, 4, 5], "must start at 0"),
        ([0, 2, 1, 3, 4], "and rise"),
        ([0, 1, 1, 3, 4], "and rise"),
    ],
)
def test_ranks_that_do_not_fit_their_losses_are_named(ranks, says):
    with pytest.raises(ValueError, match=says):
        lowrank.functional_rank(CURVES, ranks)


@settings(deadline=None)
@given(st.integers(1, 6).flatmap(lambda k: st.lists(st.lists(st.booleans(), min_size=k, max_size=k), min_size=1)))
def test_the_smallest_rank_is_that_of_a_loop_over_the_ranks_and_of_labels(good):
    labels = np.cumsum([3, 1, 4, 1, 5, 9])[: len(good[0])] - 3

    def naive(row, first):
        for k in range(len(row)):
            if all(row[k : k + 1 if first else None]):
                return float(labels[k])
        return np.nan

    array = xr.DataArray(good, {"rank": labels, "g": np.arange(len(good)) / 10}, ("g", "rank"))
    for first in (False, True):
        wanted = [naive(row, first) for row in good]
        for found in (
            lowrank.smallest_rank(torch.tensor(good).T, labels, first=first),
            lowrank.smallest_rank(array, first=first),
            lowrank.smallest_rank(array.T, first=first),
        ):
            np.testing.assert_array_equal(found, wanted)
    assert lowrank.smallest_rank(array).g.equals(array.g)


def test_shuffle_keeps_the_entries_of_each_matrix_and_nothing_else():
    W = matrix(2, 40, 40)
    W[0] *= torch.arange(40.0)  # structure that a shuffle has to destroy
    mixed = lowrank.shuffle(W, torch.Generator().manual_seed(0))
    assert torch.equal(mixed.flatten(1).sort().values, W.flatten(1).sort().values)
    assert (mixed == W).double().mean() < 0.02
    moved = mixed[0].norm(dim=0) / W[0].norm()
    assert moved.std() < 0.4 * (W[0].norm(dim=0) / W[0].norm()).std()
    assert torch.equal(mixed, lowrank.shuffle(W, torch.Generator().manual_seed(0)))
    assert not torch.equal(mixed, lowrank.shuffle(W, torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("rank", [-1, 6, 100])
def test_rank_out_of_range_gets_one_sentence(rank):
    change = torch.eye(5)
    for call in (
        lambda: lowrank.factors(change, rank),
        lambda: lowrank.truncate(change, rank),
        lambda: lowrank.loss_against_rank(change, change, [0, rank], lambda W: pytest.fail("evaluated in vain")),
    ):
        with pytest.raises(
            ValueError, match=rf"^rank is {rank}, but must be a whole number and at least 0 and at most 5$"
        ):
            call()


def test_packed_factors_give_the_truncation_back_to_their_rounding():
    change = matrix(40, 40).float()
    for rank in (1, 7, 40):
        left, right, scale = lowrank.pack(change, rank)
        assert left.dtype == right.dtype == torch.int16 and left.shape == right.shape == (40, rank)
        gap = lowrank.unpack(left, right, scale) - lowrank.truncate(change, rank)
        assert 0 < gap.norm() < 2e-3 * change.norm()
    zero = lowrank.pack(torch.zeros(5, 5), 2)
    assert not lowrank.unpack(*zero).any()
    with pytest.raises(ValueError, match="rank is 41, but must be a whole number and at least 0 and at most 40"):
        lowrank.pack(change, 41)
