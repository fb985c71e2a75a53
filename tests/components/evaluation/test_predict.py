import json
import shutil

import numpy as np
import pytest
from tfx.types import standard_artifacts

from applications import discovery
from applications.errors import DataError, StageError
from components import artifacts, predict
from evaluation import predictions as table

CLASSES = discovery.load("satellite/landcover").classes


def artifact(kind, path):
    made = kind()
    made.uri = str(path)
    return made


@pytest.fixture
def run(landcover_examples, landcover_model, tmp_path):
    """Runs the stage with a baseline and returns what it wrote."""

    def call(baseline=None, *, model=landcover_model, examples=landcover_examples, version="3"):
        earlier = artifact(standard_artifacts.Model, baseline or tmp_path / "no baseline")
        earlier.set_string_custom_property("version", version if baseline else "")
        predict.Predict.test_call(
            examples=artifact(standard_artifacts.Examples, examples),
            model=artifact(standard_artifacts.Model, model),
            baseline=earlier,
            predictions=artifact(artifacts.Predictions, tmp_path / "predictions"),
            application="satellite/landcover",
            code_version="",
        )
        return table.read(str(tmp_path / "predictions" / table.FILE_NAME))

    return call


def test_every_test_item_gets_a_row_with_its_origin_group_and_slices(run):
    found = run()
    assert len(found.origins) == 200
    assert len(set(found.groups)) == 100
    assert found.origins[0] == "AnnualCrop/0.jpg"
    assert set(found.slices["brightness_band"]) == {"dark", "bright"}
    assert found.slices["label"][0] == "AnnualCrop"
    assert found.classes == CLASSES


def test_probabilities_are_those_of_the_model_and_an_unreadable_item_has_zeros(run):
    found = run()
    unreadable = found.origins.index("Residential/7.jpg")
    assert found.probabilities[unreadable].tolist() == [0.0] * 10
    sums = np.delete(found.probabilities, unreadable, axis=0).sum(axis=1)
    np.testing.assert_allclose(sums, 1, atol=1e-6)
    assert np.mean(found.probabilities.argmax(axis=1) == found.label_ids) > 0.9


def test_a_missing_or_empty_baseline_gives_no_baseline_answers(run, tmp_path):
    assert run().baseline_probabilities is None
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "absent.json").write_text("{}")
    assert run(tmp_path / "empty").baseline_probabilities is None


def test_a_baseline_answers_about_the_same_items(run, weak_landcover_model):
    found = run(weak_landcover_model)
    assert found.baseline_version == "3"
    ours = np.mean(found.probabilities.argmax(axis=1) == found.label_ids)
    theirs = np.mean(found.baseline_probabilities.argmax(axis=1) == found.label_ids)
    assert theirs < ours - 0.1


def learnt_from_the_first(count, model, folder):
    """A copy of a model that says it learnt from the first test items; what a digest is cut to must tell them apart."""
    shutil.copytree(model, folder)
    listed = "".join(f"{item:016x}\n" for item in range(count))
    (folder / "Format-Serving" / "assets.extra").mkdir(exist_ok=True)
    (folder / "Format-Serving" / "assets.extra" / "learnt_from.txt").write_text(listed)
    return folder


def test_test_items_that_a_baseline_has_learnt_from_are_marked_with_their_groups(run, weak_landcover_model, tmp_path):
    found = run(learnt_from_the_first(3, weak_landcover_model, tmp_path / "earlier"))
    seen = {origin for origin, is_seen in zip(found.origins, found.baseline_has_seen, strict=True) if is_seen}
    assert {int(origin.split("/")[1].removesuffix(".jpg")) for origin in seen} == {0, 1, 2, 3}


def test_test_items_that_the_candidate_has_learnt_from_are_marked_with_their_groups(run, landcover_model, tmp_path):
    assert run().has_seen is None
    found = run(model=learnt_from_the_first(5, landcover_model, tmp_path / "warm"))
    seen = {origin for origin, is_seen in zip(found.origins, found.has_seen, strict=True) if is_seen}
    assert {int(origin.split("/")[1].removesuffix(".jpg")) for origin in seen} == set(range(6))


def test_a_baseline_that_says_nothing_of_what_it_learnt_from_marks_nothing(run, weak_landcover_model):
    assert run(weak_landcover_model).baseline_has_seen is None


def test_a_baseline_that_has_learnt_from_every_test_item_is_noted_and_not_compared(run, weak_landcover_model, tmp_path):
    found = run(learnt_from_the_first(200, weak_landcover_model, tmp_path / "earlier"))
    assert found.baseline_probabilities is None
    assert found.baseline_note == (
        "the earlier model (version 3) has learnt from all of today's test items, so the two are not compared"
    )


def test_a_baseline_of_other_classes_is_noted_and_not_asked(run, foreign_model, tmp_path):
    folder = shutil.copytree(foreign_model, tmp_path / "foreign")
    contents = {
        "format": 1, "model": "m", "version": 3, "application": "satellite/landcover", "classes": CLASSES[::-1],
        "configuration": {}, "metrics": {}, "verdict": {}, "data": {}, "files": {},
    }  # fmt: skip
    (folder / "Format-Serving" / "model.json").write_text(json.dumps(contents))
    found = run(folder)
    assert found.baseline_probabilities is None
    assert found.baseline_note == "the earlier model (version 3) knows other classes, so the two are not compared"


def test_a_candidate_of_other_classes_is_refused(run, foreign_model):
    with pytest.raises(StageError, match=r"must answer with the classes AnnualCrop, Forest.*got SeaLake, River"):
        run(model=foreign_model)


def test_examples_without_a_test_split_are_refused(run, tmp_path):
    with pytest.raises(DataError, match="the split 'test' has no files in"):
        run(examples=tmp_path)


def test_progress_is_told_in_items(run, caplog):
    with caplog.at_level("INFO", logger="earthloop.progress"):
        run()
    told = [json.loads(record.message) for record in caplog.records if record.name == "earthloop.progress"]
    assert told == [
        {"kind": "items", "done": 128, "total": 200},
        {"kind": "items", "done": 200, "total": 200},
    ]


def test_an_empty_test_split_is_refused(run, tmp_path):
    import tensorflow as tf

    (tmp_path / "Split-test").mkdir()
    tf.io.TFRecordWriter(str(tmp_path / "Split-test" / "data.gz"), "GZIP").close()
    with pytest.raises(DataError, match="the test split has no items"):
        run(examples=tmp_path)
