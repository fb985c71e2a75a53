import dataclasses
import json

import numpy as np
import pytest

from applications.errors import DataError
from applications.settings import BlessingSettings, EvaluateSettings
from evaluation import predictions as table
from evaluation.predictions import Predictions
from evaluation.scorecard import scorecard

EVALUATE = EvaluateSettings(resamples=400)
RULES = BlessingSettings(at_least=0.6)
CLASSES = ("forest", "river", "road")


def answers(items=300, signal=3.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, items)
    logits = rng.normal(size=(items, 3))
    logits[np.arange(items), labels] += signal
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return labels, probabilities


def predictions(items=300, **changes):
    labels, probabilities = answers(items)
    made = Predictions(
        classes=CLASSES,
        origins=[f"{CLASSES[label]}/{place}.jpg" for place, label in enumerate(labels)],
        sha256=[f"{place:064x}" for place in range(items)],
        groups=[f"scene {place // 3}" for place in range(items)],
        label_ids=labels,
        probabilities=probabilities,
        slices={"label": [CLASSES[label] for label in labels], "band": ["dark", "bright"] * (items // 2)},
    )
    return dataclasses.replace(made, **changes)


def scored(found, rules=RULES, slices=(("band",),), **changes):
    accuracy = float(np.mean(found.probabilities.argmax(axis=1) == found.label_ids))
    evaluated = {"accuracy": {"value": accuracy, "low": None, "high": None}}
    options = {"audit": {"is_clean": True}, "evaluated": evaluated, **changes}
    return scorecard(found, evaluate=EVALUATE, rules=rules, slices=slices, **options)


def test_a_scorecard_holds_what_the_report_shows_and_is_json():
    card = scored(predictions())
    assert json.loads(json.dumps(card, allow_nan=False)) == card
    metrics = card["metrics"]
    assert (metrics["items"], metrics["groups"], metrics["confidence"], metrics["resamples"]) == (300, 100, 0.95, 400)
    assert set(metrics["metrics"]) == {"accuracy", "balanced_accuracy", "macro_f1", "log_loss"}
    assert np.sum(metrics["confusion"]) == 300
    assert sum(each["count"] for each in metrics["calibration"]["bins"]) == 300
    assert card["verdict"]["verdict"] == "blessed"


def test_intervals_hold_their_estimates():
    metrics = scored(predictions())["metrics"]
    found = [*metrics["metrics"].values(), metrics["calibration"]["expected_calibration_error"]]
    found += [each[name] for each in metrics["per_class"] for name in ("recall", "precision", "f1")]
    assert all(each["low"] <= each["value"] <= each["high"] for each in found)


def test_slices_are_named_by_their_values_and_may_be_crossed():
    metrics = scored(predictions(), slices=(("band",), ("label", "band")))["metrics"]
    names = [each["slice"] for each in metrics["slices"]]
    assert names[:3] == ["band=bright", "band=dark", "label=forest, band=bright"]
    assert sum(each["items"] for each in metrics["slices"]) == 600
    assert set(metrics["slices"][0]["metrics"]) == {"accuracy", "balanced_accuracy", "macro_f1"}


def test_a_class_without_test_items_is_null_with_a_note():
    few = predictions()
    few.label_ids[few.label_ids == 2] = 1
    metrics = scored(few)["metrics"]
    assert metrics["per_class"][2]["recall"] == {"value": None, "low": None, "high": None}
    assert metrics["notes"] == ["No test items of road: left out of balanced accuracy and macro F1."]


def test_an_unreadable_item_is_an_error_and_agrees_with_tfma_none_the_less():
    found = predictions()
    found.probabilities[found.label_ids == 0] = 0.0  # TFMA takes the first of equals: class 0, the true one
    card = scored(found)
    assert card["metrics"]["per_class"][0]["recall"]["value"] == 0
    assert card["metrics"]["per_class"][0]["unanswered"] == (found.label_ids == 0).sum()
    assert "could not read" in card["metrics"]["notes"][0]
    assert next(each for each in card["verdict"]["checks"] if each["name"] == "agreement")["outcome"] == "passed"


def test_worst_errors_are_the_surest_ones():
    errors = scored(predictions())["metrics"]["worst_errors"]
    assert errors == sorted(errors, key=lambda each: -each["score"])
    assert all(each["label"] != each["predicted"] for each in errors)
    assert len(errors) <= 24


def test_a_model_that_has_learnt_from_test_items_is_not_blessed():
    card = scored(predictions(has_seen=np.arange(300) < 12))
    assert card["verdict"]["verdict"] == "not blessed"
    assert "learnt from 12 of the 300 test items" in card["verdict"]["sentence"]


def test_a_baseline_is_not_compared_on_items_that_it_has_learnt_from():
    learnt = np.arange(300) < 200
    perfect = np.eye(3)[answers()[0]]
    worse = np.where(learnt[:, None], perfect, answers(signal=1.0)[1])
    card = scored(predictions(baseline_probabilities=worse, baseline_version="7", baseline_has_seen=learnt))
    baseline = card["metrics"]["baseline"]
    assert baseline["compared_items"] == 100
    assert baseline["metrics"]["accuracy"]["value"] < 0.8
    difference = baseline["candidate"]["accuracy"]["value"] - baseline["metrics"]["accuracy"]["value"]
    assert baseline["difference"]["accuracy"]["value"] == pytest.approx(difference)
    sentence = next(check["sentence"] for check in card["verdict"]["checks"] if check["name"] == "baseline")
    assert "(version 7) on the 100 of 300 test items that it has not learnt from (" in sentence


def test_a_baseline_is_compared_on_the_same_items():
    worse = answers(signal=1.2)[1]
    card = scored(predictions(baseline_probabilities=worse, baseline_version="7"))
    baseline = card["metrics"]["baseline"]
    ours, theirs = card["metrics"]["metrics"]["accuracy"]["value"], baseline["metrics"]["accuracy"]["value"]
    assert baseline["version"] == "7"
    assert baseline["difference"]["accuracy"]["value"] == pytest.approx(ours - theirs)
    assert baseline["difference"]["accuracy"]["low"] > 0.1


def test_a_paired_difference_is_narrower_than_the_intervals_it_is_made_of():
    found = predictions()
    near = found.probabilities.copy()
    near[:3] = near[:3, ::-1]
    card = scored(dataclasses.replace(found, baseline_probabilities=near))
    difference, metric = (
        card["metrics"]["baseline"]["difference"]["accuracy"],
        card["metrics"]["metrics"]["accuracy"],
    )
    assert difference["high"] - difference["low"] < (metric["high"] - metric["low"]) / 2


def test_an_empty_test_split_is_refused():
    empty = predictions(0, slices={})
    with pytest.raises(DataError, match="the test split has no items"):
        scorecard(empty, evaluate=EVALUATE, rules=RULES, audit={}, evaluated={})


def test_predictions_survive_their_file(tmp_path):
    path = str(tmp_path / table.FILE_NAME)
    learnt = np.arange(300) < 9
    earlier = {"baseline_version": "7", "baseline_has_seen": learnt}
    made = predictions(baseline_probabilities=answers(signal=1.0)[1], has_seen=~learnt, **earlier)
    table.write(made, path)
    read = table.read(path)
    np.testing.assert_allclose(read.probabilities, made.probabilities, atol=1e-7)
    np.testing.assert_allclose(read.baseline_probabilities, made.baseline_probabilities, atol=1e-7)
    assert (read.classes, read.baseline_version, read.groups) == (CLASSES, "7", made.groups)
    assert read.slices == made.slices
    assert read.baseline_has_seen.tolist() == learnt.tolist()
    assert read.has_seen.tolist() == (~learnt).tolist()


def test_the_file_has_the_columns_other_tools_read(tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    table.write(predictions(), str(tmp_path / "p.parquet"))
    found = pq.read_table(str(tmp_path / "p.parquet"))
    names = "origin sha256 group label_id label predicted_id probabilities baseline_probabilities"
    assert found.column_names == [*names.split(), "has_seen", "baseline_has_seen", "band"]
    assert found["baseline_probabilities"].null_count == 300
    assert [str(found.schema.field(name).type) for name in ("label_id", "predicted_id")] == ["int64", "int64"]


def test_a_label_outside_the_classes_is_refused():
    with pytest.raises(DataError, match="label_id must be from 0 to 2, got 0 to 3"):
        predictions(label_ids=np.array([0, 3] * 150))
