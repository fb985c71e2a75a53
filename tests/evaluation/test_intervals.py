import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation import intervals
from evaluation.intervals import Sizes, Tally

CONFIDENCE = 0.95


def share_interval(hits, groups, *, seed=1, resamples=400):
    """The interval of the share of hits, as the scorecard makes it."""
    hits, groups = np.asarray(hits, bool), np.asarray(groups)
    nowhere = np.zeros(len(hits), np.int64)
    right, count = intervals.resampled_totals(
        groups, [Tally(nowhere, 1, hits.astype(float)), Tally(nowhere, 1)], resamples=resamples, seed=seed
    )
    sizes = intervals.proportion_sizes(hits, np.ones(len(hits), bool), groups)
    return intervals.score_interval(hits.mean(), (right / count)[:, 0], sizes, CONFIDENCE)


def width(interval):
    return interval.high - interval.low


def test_ten_of_ten_right_is_no_certainty():
    found = share_interval(np.ones(10), np.arange(10))
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.7225, abs=1e-4)  # Wilson 1927 for 10 of 10


def test_all_right_in_few_groups_counts_a_group_as_one_item():
    hits, groups = np.ones(1000), np.repeat(np.arange(10), 100)
    assert share_interval(hits, groups).low == pytest.approx(0.7225, abs=1e-4)
    hits[0] = 0  # one miss says nothing about the spread between groups either
    assert share_interval(hits, groups).low < 0.75


def test_independent_items_in_groups_are_not_counted_as_one_item_a_group():
    hits = np.random.default_rng(0).random(20 * 500) < 0.9
    assert width(share_interval(hits, np.repeat(np.arange(20), 500))) < 0.03


def test_groups_of_like_items_widen_the_interval_threefold():
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(40), 20)
    hits = rng.random(len(groups)) < np.repeat(rng.beta(2, 0.5, 40), 20)
    assert width(share_interval(hits, groups)) > 2 * width(share_interval(hits, np.arange(len(hits))))


@pytest.mark.parametrize("share", [0.6, 0.92, 0.985])
def test_coverage_of_independent_items_is_near_nominal(share):
    rng = np.random.default_rng(7)
    found = [share_interval(rng.random(200) < share, np.arange(200), seed=each) for each in range(300)]
    covered = np.mean([each.low <= share <= each.high for each in found])
    assert covered >= 0.92
    assert covered <= 0.985 or share > 0.98  # three misses: steps of a whole miss make any interval cautious


def test_coverage_of_grouped_items_is_near_nominal_where_rows_fail():
    rng, share = np.random.default_rng(8), 0.8
    by_group, by_row = [], []
    for seed in range(300):
        groups = np.repeat(np.arange(30), 10)
        hits = rng.random(300) < np.repeat(rng.beta(4 * share, 4 * (1 - share), 30), 10)
        for found, units in ((by_group, groups), (by_row, np.arange(300))):
            interval = share_interval(hits, units, seed=seed, resamples=300)
            found.append(interval.low <= share <= interval.high)
    assert np.mean(by_group) >= 0.92
    assert np.mean(by_row) < 0.85


def test_coverage_of_a_difference_is_near_nominal():
    rng, inside = np.random.default_rng(9), []
    for seed in range(300):
        easy = rng.random(150)
        first, second = easy < 0.9, (easy < 0.85) ^ (rng.random(150) < 0.02)
        truth = 0.9 - (0.85 * 0.98 + 0.15 * 0.02)
        nowhere = np.zeros(150, np.int64)
        tallies = [Tally(nowhere, 1, first - second.astype(float)), Tally(nowhere, 1)]
        drop, count = intervals.resampled_totals(np.arange(150), tallies, resamples=300, seed=seed)
        found = intervals.difference_interval(
            float(first.mean() - second.mean()), (drop / count)[:, 0], Sizes(150, 150, 150), CONFIDENCE
        )
        inside.append(found.low <= truth <= found.high)
    assert 0.92 <= np.mean(inside) <= 0.99


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=50))
def test_an_interval_holds_its_estimate_and_stays_within_0_and_1(items):
    hits, groups = zip(*items, strict=True)
    found = share_interval(hits, np.unique(groups, return_inverse=True)[1], resamples=100)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert width(found) > 0


def test_the_same_seed_gives_the_same_resamples_and_their_tallies_are_paired():
    groups, cells = np.array([0, 0, 1, 2]), np.array([0, 1, 0, 1])
    tallies = [Tally(cells, 2), Tally(cells, 2, np.full(4, 2.0))]
    once, double = intervals.resampled_totals(groups, tallies, resamples=50, seed=4)
    (again,) = intervals.resampled_totals(groups, tallies[:1], resamples=50, seed=4)
    np.testing.assert_array_equal(once, again)
    np.testing.assert_array_equal(2 * once, double)


def test_groups_are_drawn_whole():
    groups, cells = np.array([0, 0, 0, 1]), np.array([0, 1, 2, 3])
    (totals,) = intervals.resampled_totals(groups, [Tally(cells, 4)], resamples=30, seed=1)
    assert (totals[:, 0] == totals[:, 1]).all()
    assert (totals[:, 0] + totals[:, 3] == 2).all()  # two groups drawn each time


def test_few_groups_get_a_wider_interval_than_plain_percentiles():
    samples = np.random.default_rng(0).normal(0.5, 0.05, 5000)
    few = intervals.plain_interval(0.5, samples, 8, CONFIDENCE)
    many = intervals.plain_interval(0.5, samples, 5000, CONFIDENCE)
    assert width(few) / width(many) == pytest.approx(2.3646 * np.sqrt(8 / 7) / 1.96, abs=0.08)


def test_student_t_is_that_of_the_tables():
    found = [intervals.student_t(0.975, df) for df in (1, 4, 10, 100, 5000)]
    np.testing.assert_allclose(found, [12.7062, 2.7764, 2.2281, 1.9840, 1.9600], atol=1e-3)


def test_wilson_is_that_of_the_tables():
    np.testing.assert_allclose(intervals.wilson(0.8, 10, CONFIDENCE), (0.4902, 0.9433), atol=1e-4)
    assert intervals.wilson(0.5, 0, CONFIDENCE) == (0.0, 1.0)


def test_a_calibration_error_is_reflected_downwards():
    found = intervals.bias_reflected_interval(0.03, np.random.default_rng(0).normal(0.045, 0.004, 2000), 500, 0.95)
    assert found.low == pytest.approx(0.007, abs=0.002)
    assert found.high == 0.03  # it holds its estimate


def test_two_models_that_never_disagree_differ_by_less_than_something_not_by_nothing():
    found = intervals.difference_interval(0.0, np.zeros(200), Sizes(860, 860, 860), CONFIDENCE)
    assert found.high == pytest.approx(1.96 / 862, rel=1e-3)
    assert found.low == -found.high


def test_an_unknown_score_has_an_unknown_interval():
    found = intervals.score_interval(float("nan"), np.full(10, np.nan), Sizes(1, 1, 1), CONFIDENCE)
    assert found.as_dict() == {"value": None, "low": None, "high": None}


def test_the_effective_size_of_a_mean_over_classes_is_that_of_its_rarest():
    labels = np.repeat([0, 1], [1000, 5])
    sizes = intervals.class_mean_sizes(labels, np.arange(1005))
    assert sizes.most == pytest.approx(4 / (1 / 1000 + 1 / 5))
    assert sizes.most == sizes.least


def test_two_thousand_resamples_of_900_items_take_under_a_second():
    rng = np.random.default_rng(0)
    start = time.process_time()
    intervals.resampled_totals(np.arange(900), [Tally(rng.integers(0, 110, 900), 110)], resamples=2000, seed=1)
    assert time.process_time() - start < 1
