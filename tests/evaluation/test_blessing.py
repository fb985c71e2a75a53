import dataclasses

import numpy as np
import pytest

from applications.settings import BlessingSettings
from evaluation import blessing
from evaluation.blessing import Evidence
from evaluation.intervals import Interval

RULES = BlessingSettings(metric="accuracy", at_least=0.85, worst_class_at_least=0.7, must_not_drop_by=0.01)
GOOD = Evidence(
    items=860,
    confidence=0.95,
    metric=Interval(0.921, 0.903, 0.938),
    recalls={"Forest": Interval(0.95, 0.9, 0.98), "Highway": Interval(0.81, 0.72, 0.88)},
    calibration_error=Interval(0.03, 0.02, 0.05),
    difference=None,
    baseline_version="",
    baseline_note="",
    argmax_accuracy=0.921,
    evaluator_accuracy=0.921,
    audit={"is_clean": True},
)


def judged(rules=RULES, **changes):
    return blessing.judge(dataclasses.replace(GOOD, **changes), rules)


def outcome(found, name):
    return next(check["outcome"] for check in found["checks"] if check["name"] == name)


def test_a_good_first_model_is_blessed_with_its_reasons():
    assert judged()["verdict"] == "blessed"
    assert judged()["sentence"] == (
        "Blessed: accuracy 0.921 (95 % interval 0.903–0.938) clears 0.85 even at its lower end, the weakest class "
        "(Highway, recall 0.810, 95 % interval 0.720–0.880) clears 0.70, and there is no earlier model to compare with."
    )


def test_a_model_that_has_learnt_from_test_items_is_not_blessed_however_good():
    found = judged(learnt_items=1_012, items=8_600)
    assert found["sentence"] == (
        "Not blessed: the model has learnt from 1,012 of the 8,600 test items or from others of their groups, so its "
        "score cannot be trusted (take train.weights that were trained with today's split, or none)."
    )
    [check] = [check for check in found["checks"] if check["name"] == "learnt_from"]
    assert (check["value"], check["limit"], check["outcome"]) == (1_012, 0, "failed")


@pytest.mark.parametrize("learnt", [0, None])
def test_a_model_that_has_learnt_from_no_test_item_or_does_not_say_is_judged_by_its_score(learnt):
    assert judged(learnt_items=learnt)["sentence"] == judged()["sentence"]
    assert outcome(judged(learnt_items=learnt), "learnt_from") == "passed"


def test_an_interval_below_the_limit_is_not_blessed():
    found = judged(metric=Interval(0.71, 0.68, 0.74))
    assert found["verdict"] == "not blessed"
    assert found["sentence"] == (
        "Not blessed: accuracy 0.710 (95 % interval 0.680–0.740) stays below 0.85 even at its upper end."
    )


def test_an_interval_that_straddles_cannot_tell_and_says_how_many_items_would():
    found = judged(metric=Interval(0.86, 0.84, 0.88))
    assert found["verdict"] == "cannot tell"
    assert found["sentence"] == (
        "Cannot tell: accuracy 0.860 (95 % interval 0.840–0.880) lies on both sides of 0.85 "
        "(about 3,500 test items instead of 860 would settle it if the score stays)."
    )
    assert "more test items would hardly settle it" in judged(metric=Interval(0.8501, 0.83, 0.87))["sentence"]


def test_a_lower_end_at_the_limit_passes():
    assert judged(metric=Interval(0.87, 0.85, 0.89))["verdict"] == "blessed"


def test_a_weak_class_is_named_and_counted():
    weak = {"Forest": Interval(0.5, 0.4, 0.6), "Highway": Interval(0.41, 0.3, 0.53), "River": Interval(0.9, 0.8, 1)}
    found = judged(recalls=weak)
    assert found["sentence"] == (
        "Not blessed: the weakest class (Highway, recall 0.410, 95 % interval 0.300–0.530) is below 0.70, as is 1 more."
    )


def test_a_recall_just_below_its_floor_is_not_rounded_up_to_it():
    found = judged(recalls={"Highway": Interval(0.6998, 0.6, 0.8)})
    assert "recall 0.6998," in found["sentence"]
    assert found["verdict"] == "not blessed"


def test_a_class_without_test_items_leaves_its_floor_unproven():
    unknown = Interval(float("nan"), float("nan"), float("nan"))
    found = judged(recalls={**GOOD.recalls, "River": unknown})
    assert found["sentence"] == "Cannot tell: River has no test items, so the recall is unknown."


@pytest.mark.parametrize(
    ("difference", "wanted"),
    [
        (Interval(0.02, 0.005, 0.035), "passed"),  # better
        (Interval(0.0, -0.016, 0.016), "passed"),  # equal, on a test split of ordinary size
        (Interval(-0.012, -0.028, 0.004), "passed"),  # within noise
        (Interval(-0.005, -0.009, -0.001), "passed"),  # a sure drop, but a smaller one than allowed
        (Interval(-0.015, -0.028, -0.002), "failed"),  # surely there, probably larger than allowed
        (Interval(-0.05, -0.07, -0.03), "failed"),  # surely larger than allowed
        (Interval(-0.3, -0.61, 0.01), "cannot tell"),  # too few items, probably bad
    ],
)
def test_a_drop_must_be_beyond_noise_and_beyond_what_is_allowed(difference, wanted):
    assert outcome(judged(difference=difference), "baseline") == wanted


def test_an_equal_model_is_almost_always_blessed():
    rng, error = np.random.default_rng(0), 0.0084  # of 860 items of which the models disagree on 6 %
    drops = rng.normal(0, error, 1000)
    found = [judged(difference=Interval(d, d - 1.96 * error, d + 1.96 * error))["verdict"] for d in drops]
    assert np.mean([each == "blessed" for each in found]) > 0.96


def test_the_comparison_names_the_version_and_both_ends():
    found = judged(difference=Interval(-0.034, -0.046, -0.022), baseline_version="17")
    assert found["sentence"] == (
        "Not blessed: accuracy is 0.034 below the earlier model's (version 17) on the same items "
        "(95 % interval −0.046 to −0.022), a drop beyond noise and beyond the allowed 0.01."
    )


def test_a_baseline_of_other_classes_is_told():
    note = "the earlier model knows other classes, so the two are not compared"
    assert note in judged(baseline_note=note)["sentence"]


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (Interval(0.04, 0.03, 0.06), "passed"),
        (Interval(0.06, 0.04, 0.07), "cannot tell"),
        (Interval(0.1, 0.08, 0.12), "failed"),
    ],
)
def test_calibration_has_a_ceiling(error, wanted):
    rules = dataclasses.replace(RULES, calibration_error_at_most=0.05)
    assert outcome(judged(rules, calibration_error=error), "calibration") == wanted


def test_a_leak_between_splits_is_never_blessed():
    audit = {"is_clean": False, "groups_in_two_splits_count": 3, "near_duplicates_across_splits_count": 1200}
    found = judged(audit=audit)
    assert found["sentence"] == (
        "Not blessed: the split audit found 3 groups and 1,200 near-duplicate pairs in two splits, "
        "so the score cannot be trusted."
    )
    assert judged(audit={})["sentence"] == "Not blessed: there is no split audit."


def test_tfma_and_the_predictions_must_agree():
    assert outcome(judged(evaluator_accuracy=0.9215), "agreement") == "passed"
    found = judged(evaluator_accuracy=0.912)
    assert found["sentence"] == (
        "Not blessed: the evaluator and the predictions disagree (accuracy 0.9120 against 0.9210)."
    )
    assert judged(evaluator_accuracy=None)["verdict"] == "not blessed"


def test_one_failure_outweighs_what_cannot_be_told():
    found = judged(metric=Interval(0.86, 0.84, 0.88), audit={})
    assert found["verdict"] == "not blessed"
    assert "0.860" not in found["sentence"]


def test_checks_are_records_with_a_sentence_each():
    (metric, *_) = judged()["checks"]
    assert metric["name"] == "metric"
    assert (metric["value"], metric["low"], metric["high"], metric["limit"]) == (0.921, 0.903, 0.938, 0.85)
    assert metric["outcome"] == "passed"
    assert metric["sentence"].startswith("Accuracy 0.921 (95 %")
    assert [check["name"] for check in judged()["checks"]] == [
        "metric",
        "worst_class",
        "baseline",
        "calibration",
        "split_audit",
        "learnt_from",
        "agreement",
    ]
