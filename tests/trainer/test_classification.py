"""What TFX calls: training, export and the search for settings."""

from __future__ import annotations

import dataclasses
import json
import logging
import pathlib
import shutil
from types import SimpleNamespace

import keras_tuner
import numpy as np
import pytest
import tensorflow as tf

from applications import discovery
from applications.errors import ConfigError
from serving import learnt_from
from trainer import classification


@pytest.fixture(scope="module")
def trained(fn_args):
    """The arguments after `run_fn` ran over them."""
    classification.run_fn(fn_args)
    return fn_args


def answers(trained, signature: str, batch: list[bytes]) -> dict[str, np.ndarray]:
    """Asks the exported model."""
    outputs = tf.saved_model.load(trained.serving_model_dir).signatures[signature](tf.constant(batch))
    return {name: value.numpy() for name, value in outputs.items()}


def records(trained) -> list[bytes]:
    """Returns the validation items as they are on disk."""
    return [record.numpy() for record in tf.data.TFRecordDataset(trained.eval_files, "GZIP")]


def test_serving_answers_as_the_trainer_did_on_the_same_item(trained) -> None:
    kept = json.loads(pathlib.Path(trained.model_run_dir, "trainer_predictions.json").read_text())
    served = answers(trained, "serving_default", records(trained))
    assert len(kept["sha256"]) == 48
    np.testing.assert_allclose(served["probabilities"], kept["probabilities"], atol=1e-4)


def test_both_signatures_give_the_same_answer(trained) -> None:
    batch = records(trained)[:5]
    images = [tf.train.Example.FromString(record).features.feature["image"].bytes_list.value[0] for record in batch]
    by_example, by_image = answers(trained, "serving_default", batch), answers(trained, "predict_image", images)
    for name, value in by_example.items():
        np.testing.assert_array_equal(value, by_image[name])


def test_labels_come_in_the_order_of_the_application(trained) -> None:
    served = answers(trained, "serving_default", records(trained)[:2])
    classes = discovery.load("satellite/landcover").classes
    assert [name.decode() for name in served["classes"][1]] == list(classes)
    assert served["label"][0].decode() == classes[served["label_id"][0]]


def test_history_has_the_agreed_keys(trained) -> None:
    history = json.loads(pathlib.Path(trained.model_run_dir, "history.json").read_text())
    keys = {"epochs", "best_epoch", "stopped_early", "network", "parameters", "train_seconds", "temperature"}
    assert set(history) == keys
    assert history["network"] == "small_resnet"
    assert len(history["epochs"]) == 3


def test_weights_for_a_later_start_are_kept(trained) -> None:
    assert pathlib.Path(trained.model_run_dir, "network.weights.h5").is_file()


def test_the_model_says_which_items_it_has_learnt_from(trained) -> None:
    known = learnt_from.read(pathlib.Path(trained.serving_model_dir))
    stopped_by = json.loads(pathlib.Path(trained.model_run_dir, "trainer_predictions.json").read_text())["sha256"]
    assert len(known) == 96 + 48
    assert {digest[:16] for digest in stopped_by} <= known


def test_a_model_that_starts_from_weights_says_what_those_have_learnt_from_too(trained, fn_args, tmp_path) -> None:
    weights = shutil.copy(f"{trained.model_run_dir}/network.weights.h5", tmp_path)
    known = pathlib.Path(trained.model_run_dir, "network.learnt_from.txt").read_text()
    (tmp_path / "network.learnt_from.txt").write_text(f"{known}{'f' * 16}\n")
    config = {**fn_args.custom_config, "train": {**fn_args.custom_config["train"], "weights": weights, "epochs": 1}}
    again = {"serving_model_dir": str(tmp_path / "model"), "model_run_dir": str(tmp_path / "run")}
    classification.run_fn(SimpleNamespace(**{**vars(fn_args), **again, "custom_config": config}))
    assert learnt_from.read(tmp_path / "model") == {*known.split(), "f" * 16}
    assert learnt_from.of_weights(str(tmp_path / "run" / "network.weights.h5")) == {*known.split(), "f" * 16}


def test_tuned_values_stand_over_configured_ones(fn_args) -> None:
    tuned = keras_tuner.HyperParameters()
    tuned.Fixed("learning_rate", 0.123)
    settings = classification.train_settings(fn_args.custom_config, tuned.get_config())
    assert settings.learning_rate == 0.123
    assert settings.width == 8


def test_a_setting_out_of_range_is_refused(fn_args) -> None:
    config = {"train": {**fn_args.custom_config["train"], "batch_size": 0}}
    with pytest.raises(ConfigError, match="train.batch_size must be at least 1, got 0"):
        classification.train_settings(config, None)


def test_the_search_tries_the_configured_settings_first_and_reports(fn_args, quick, caplog) -> None:
    fn_args.custom_config["tune"] = {"enabled": True, "trials": 2, "epochs": 1}
    found = classification.tuner_fn(fn_args)
    with caplog.at_level(logging.INFO, "earthloop.progress"):
        found.tuner.search(**found.fit_kwargs)
    reports = [record.progress for record in caplog.records if getattr(record, "progress", {}).get("kind") == "trial"]
    assert [(report["done"], report["total"]) for report in reports] == [(1, 2), (2, 2)]
    configured = dataclasses.asdict(quick)
    assert reports[0]["learning_rate"] == configured["learning_rate"]
    assert reports[0]["width"] == configured["width"]
    best = found.tuner.get_best_hyperparameters()[0].get_config()
    assert classification.train_settings(fn_args.custom_config, best).epochs == 3
