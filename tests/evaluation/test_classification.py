import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation import classification as c

LABELS = np.array([0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 1, 1, c.NO_ANSWER, 0])
CONFUSION = c.confusion_matrix(LABELS, PREDICTED, 4)


def test_confusion_matrix_counts_rows_by_truth_and_keeps_a_last_column_for_no_answer():
    assert CONFUSION.tolist() == [[2, 1, 0, 0, 0], [0, 1, 0, 0, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]


def test_an_item_without_an_answer_counts_as_an_error():
    assert c.accuracy(CONFUSION) == pytest.approx(3 / 6)
    assert c.recalls(CONFUSION)[1] == pytest.approx(1 / 2)


def test_a_class_without_items_is_unknown_and_left_out_of_means():
    assert np.isnan(c.recalls(CONFUSION)[3])
    assert np.isnan(c.f1s(CONFUSION)[3])
    assert c.balanced_accuracy(CONFUSION) == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)


def test_a_class_never_predicted_has_unknown_precision_and_zero_f1():
    assert np.isnan(c.precisions(CONFUSION)[2])
    assert c.f1s(CONFUSION)[2] == 0


def test_f1_is_the_harmonic_mean_of_precision_and_recall():
    precision, recall = c.precisions(CONFUSION)[:2], c.recalls(CONFUSION)[:2]
    np.testing.assert_allclose(c.f1s(CONFUSION)[:2], 2 * precision * recall / (precision + recall))
    assert c.macro_f1(CONFUSION) == pytest.approx(c.f1s(CONFUSION)[:3].mean())


def test_metrics_agree_with_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(3)
    labels, predicted = rng.integers(0, 5, 300), rng.integers(0, 5, 300)
    confusion = c.confusion_matrix(labels, predicted, 5)
    assert c.balanced_accuracy(confusion) == pytest.approx(metrics.balanced_accuracy_score(labels, predicted))
    assert c.macro_f1(confusion) == pytest.approx(metrics.f1_score(labels, predicted, average="macro"))


def test_leading_dimensions_are_scored_one_by_one():
    both = np.stack([CONFUSION, 2 * CONFUSION])
    np.testing.assert_allclose(c.macro_f1(both), [c.macro_f1(CONFUSION)] * 2)


def test_a_row_of_zeros_or_nan_is_no_answer():
    rows = np.array([[0.2, 0.8], [0.0, 0.0], [np.nan, 1.0]])
    assert c.predicted_ids(rows).tolist() == [1, c.NO_ANSWER, c.NO_ANSWER]


def test_calibration_bins_are_closed_above():
    assert c.calibration_bin_ids(np.array([0.0, 1 / 15, 1 / 15 + 1e-9, 1.0])).tolist() == [0, 0, 1, 14]


def test_calibration_error_weighs_each_bin_by_its_items():
    # Three sure answers (0.9), two of them right; one unsure one (0.5), right.
    count, confidence, correct = np.array([3.0, 1.0]), np.array([2.7, 0.5]), np.array([2.0, 1.0])
    assert c.expected_calibration_error(count, confidence, correct) == pytest.approx((0.7 + 0.5) / 4)


def test_an_empty_reliability_bin_is_told_apart_from_a_bad_one():
    bins = c.reliability_bins(np.array([0.95, 0.95]), np.array([True, False]))
    assert bins[0] == {"from": 0.0, "to": pytest.approx(1 / 15), "confidence": None, "accuracy": None, "count": 0}
    assert (bins[14]["confidence"], bins[14]["accuracy"], bins[14]["count"]) == (pytest.approx(0.95), 0.5, 2)


def test_log_loss_of_no_answer_is_finite():
    losses = c.log_losses(np.array([0, 1]), np.array([[0.5, 0.5], [0.0, 0.0]]))
    np.testing.assert_allclose(losses, [np.log(2), -np.log(1e-7)])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 3)), min_size=1, max_size=60))
def test_every_metric_is_a_share_or_unknown(pairs):
    labels, predicted = np.array(pairs).T
    confusion = c.confusion_matrix(labels, predicted, 4)
    assert confusion.sum() == len(pairs)
    for values in (c.recalls(confusion), c.precisions(confusion), c.f1s(confusion), c.balanced_accuracy(confusion)):
        known = values[np.isfinite(values)]
        assert ((known >= 0) & (known <= 1)).all()
