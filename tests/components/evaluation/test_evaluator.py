import json

import numpy as np
import pytest
from tfx.dsl.components.base import base_beam_executor
from tfx.types import Channel, standard_artifacts

from applications import discovery
from applications.settings import EvaluateSettings
from components.evaluator import Evaluator, Executor
from components.predict import load, predict
from components.split_records import split_files
from evaluation import classification, eval_config, scores
from schemas import features

APPLICATION = discovery.load("satellite/landcover")
SETTINGS = {"evaluate": {"confidence": 0.9, "resamples": 300, "seed": 2}}


def artifact(kind, path):
    made = kind()
    made.uri = str(path)
    return made


def evaluate(examples, model, baseline, folder):
    """Runs the executor as TFX does and returns the folder of its ModelEvaluation."""
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=["--runner=FnApiRunner", "--sdk_container_image=none"],
        tmp_dir=str(folder / "tmp"),
        unique_id="1",
    )
    inputs = {"examples": examples, "model": model, "baseline_model": baseline}
    evaluation = artifact(standard_artifacts.ModelEvaluation, folder / "evaluation")
    found = artifact(standard_artifacts.Examples, examples)
    found.split_names = '["test"]'
    Executor(context).Do(
        {
            "examples": [found],
            **{name: [artifact(standard_artifacts.Model, inputs[name])] for name in ("model", "baseline_model")},
        },
        {"evaluation": [evaluation]},
        {"application": APPLICATION.name, "settings": json.dumps(SETTINGS), "code_version": ""},
    )
    return evaluation.uri


@pytest.fixture(scope="module")
def evaluated(landcover_examples, landcover_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluated")
    return evaluate(landcover_examples, landcover_model, folder / "no baseline", folder)


def test_tfma_evaluates_a_model_with_text_outputs_and_an_absent_baseline(
    evaluated, landcover_examples, landcover_model
):
    ask = load(str(landcover_model / "Format-Serving"), APPLICATION.classes)
    columns, (answers,) = predict(split_files(landcover_examples, features.TEST), [ask], [])
    labels = np.array(columns[features.LABEL_ID])
    found = eval_config.read_metrics(evaluated)
    assert found["accuracy"]["value"] == pytest.approx(np.mean(answers.argmax(axis=1) == labels), abs=1e-6)
    ours = scores.Answers(
        labels, classification.predicted_ids(answers), scores.number_groups(columns[features.GROUP]), 10
    )
    wanted = scores.metric_intervals(
        ours, ours.resampled_confusion(EvaluateSettings(**SETTINGS["evaluate"])), confidence=0.9
    )
    assert found["macro_f1"] == pytest.approx(wanted["macro_f1"].as_dict())
    assert found["accuracy"]["low"] == pytest.approx(wanted["accuracy"].low)


def test_tfma_gives_every_slice_an_interval(evaluated):
    import tensorflow_model_analysis as tfma

    slices = dict(tfma.load_eval_result(evaluated).slicing_metrics)
    assert {(("brightness_band", "dark"),), (("brightness_band", "bright"),), (("label", "River"),)} <= set(slices)
    dark = slices[(("brightness_band", "dark"),)][""][""]
    assert dark["example_count"]["doubleValue"] == 100
    bounded = dark["grouped_accuracy"]["boundedValue"]
    assert bounded["lowerBound"] < bounded["value"] < bounded["upperBound"]


def test_a_present_baseline_is_evaluated_beside_the_candidate(
    landcover_examples, landcover_model, weak_landcover_model, evaluated, tmp_path
):
    import tensorflow_model_analysis as tfma

    found = evaluate(landcover_examples, landcover_model, weak_landcover_model, tmp_path)
    assert eval_config.read_metrics(found) == eval_config.read_metrics(evaluated)
    weak = dict(tfma.load_eval_result(found, model_name="baseline").slicing_metrics)[()][""][""]
    assert weak["accuracy"]["doubleValue"] < eval_config.read_metrics(found)["accuracy"]["value"] - 0.1


def test_the_config_names_slices_label_and_prediction_and_sets_no_threshold():
    config = eval_config.build(APPLICATION, EvaluateSettings())
    (model,) = config.model_specs
    assert (model.signature_name, model.prediction_key, model.label_key) == (
        "serving_default",
        "probabilities",
        "label_id",
    )
    assert [list(spec.feature_keys) for spec in config.slicing_specs] == [[], ["label"], ["brightness_band"]]
    assert not any(metric.HasField("threshold") for metric in config.metrics_specs[0].metrics)


def test_the_component_needs_no_baseline_and_writes_no_blessing():
    made = Evaluator(
        examples=Channel(type=standard_artifacts.Examples),
        model=Channel(type=standard_artifacts.Model),
        application=APPLICATION.name,
        settings=json.dumps(SETTINGS),
    )
    assert list(made.inputs) == ["examples", "model"]
    assert list(made.outputs) == ["evaluation"]
    assert made.exec_properties["application"] == "satellite/landcover"
