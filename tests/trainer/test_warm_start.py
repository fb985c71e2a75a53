"""A training that starts from the newest pushed model."""

from __future__ import annotations

import dataclasses
import json
import logging
import pathlib
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from applications.errors import ConfigError
from serving import learnt_from
from trainer import classification, fitting, warm_start
from trainer.input import digests
from trainer.warm_start import NETWORK_FILE, WEIGHTS_FILE, Network

NETWORK = Network(model="small_resnet", width=8, height_px=16, width_px=16, classes=("a", "b", "c"))


@pytest.fixture(scope="module")
def earlier(toy, quick, tmp_path_factory):
    """A trained network, and the SavedModel folder of a pushed version as far as a warm start looks at it."""
    folder = tmp_path_factory.mktemp("earlier")
    fitting.seed(1)
    model = fitting.compiled((16, 16, 3), 3, 30, quick)
    fitting.fit(model, toy(96, 1), toy(48, 2), dataclasses.replace(quick, epochs=5), str(folder / "logs"))
    model.save_weights(folder / "network.weights.h5")  # with the optimizer's state, as Keras does by default
    pushed = folder / "Format-Serving"
    pushed.mkdir()
    (pushed / "saved_model.pb").write_bytes(b"graph")
    warm_start.keep(str(folder / "network.weights.h5"), NETWORK, str(pushed), None)
    return model, pushed


@pytest.fixture
def pushed(earlier, tmp_path) -> pathlib.Path:
    """A copy of the pushed version that a test may change; it has learnt from the first toy."""
    copy = pathlib.Path(shutil.copytree(earlier[1], tmp_path / "Format-Serving"))
    learnt_from.write(str(copy), ["a" * 64])
    return copy


@pytest.fixture
def notes(caplog):
    """Returns a function that gives the notes so far."""
    caplog.set_level(logging.INFO, "earthloop.progress")
    return lambda: [record.progress["text"] for record in caplog.records if record.progress["kind"] == "note"]


def test_the_weights_come_back_value_by_value(earlier, pushed, quick) -> None:
    fitting.seed(2)
    model = fitting.compiled((16, 16, 3), 3, 30, quick)
    before = [np.copy(weight) for weight in model.get_weights()]
    warm_start.find(str(pushed), NETWORK, []).restore(model)
    for restored, was, cold in zip(model.get_weights(), earlier[0].get_weights(), before, strict=True):
        np.testing.assert_array_equal(restored, was)
        assert restored.shape == cold.shape
    assert any(not np.array_equal(one, two) for one, two in zip(model.get_weights(), before, strict=True))
    assert int(model.optimizer.iterations) == 0, "the schedule must start anew"


def test_a_warm_start_begins_with_a_lower_validation_loss(pushed, quick, toy, tmp_path) -> None:
    losses = {}
    for name in ("cold", "warm"):
        fitting.seed(3)
        settings = dataclasses.replace(quick, epochs=1)
        model = fitting.compiled((16, 16, 3), 3, 3, settings)
        if name == "warm":
            warm_start.find(str(pushed), NETWORK, []).restore(model)
        history = fitting.fit(model, toy(48, 5), toy(48, 6), settings, str(tmp_path / name))
        losses[name] = history.epochs[0]["val_loss"]
    assert losses["warm"] < 0.7 * losses["cold"]


@pytest.mark.parametrize("folder", [None, "", "absent", "empty"])
def test_without_a_pushed_model_training_starts_from_nothing_and_says_so(folder, tmp_path, monkeypatch, notes) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert warm_start.find(folder, NETWORK, []) is None
    assert notes() == ["training starts from nothing: no model was pushed yet"]


@pytest.mark.parametrize("file", [WEIGHTS_FILE, NETWORK_FILE])
def test_a_version_without_its_weights_is_noted(pushed, file, notes) -> None:
    (pushed / file).unlink()
    assert warm_start.find(str(pushed), NETWORK, []) is None
    assert notes() == ["training starts from nothing: the last model was pushed without the weights of its training"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"width": 12}, "train.width=12"),
        ({"model": "mobilenet_v3"}, "train.model=mobilenet_v3"),
        ({"height_px": 32}, "images of 32 by 16 pixels"),
        ({"classes": ("a", "c", "b")}, "classes a, c, b"),
    ],
)
def test_another_network_or_other_classes_are_refused_with_both_named(pushed, change, told) -> None:
    with pytest.raises(ConfigError) as caught:
        warm_start.find(str(pushed), dataclasses.replace(NETWORK, **change), [])
    text = str(caught.value)
    assert "the last model is: train.model=small_resnet, train.width=8, images of 16 by 16 pixels" in text
    assert told in text
    assert "Give train.warm_start=false to start from nothing" in text


def test_weights_that_no_longer_fit_are_refused(pushed, quick) -> None:
    start = warm_start.find(str(pushed), NETWORK, [])
    wider = fitting.compiled((16, 16, 3), 3, 30, dataclasses.replace(quick, width=12))
    with pytest.raises(
        ConfigError, match=r"of the last model do not: A total of \d+ objects could not be loaded\. Give"
    ):
        start.restore(wider)


def test_a_description_that_cannot_be_read_is_refused(pushed) -> None:
    (pushed / NETWORK_FILE).write_text('{"model": "small_resnet"}')
    with pytest.raises(ConfigError, match=r"network\.json does not say it .*Give train.warm_start=false"):
        warm_start.find(str(pushed), NETWORK, [])


@pytest.fixture
def splits(toy, write_records, tmp_path):
    """The pattern of a training split with a test split of six toys beside it, and the digests of those."""
    items = toy(6, 7)
    for name in ("train", "test"):
        (tmp_path / "examples" / f"Split-{name}").mkdir(parents=True)
    write_records(tmp_path / "examples" / "Split-test" / "data.gz", items)
    write_records(tmp_path / "examples" / "Split-train" / "data.gz", toy(6, 8))
    return f"{tmp_path}/examples/Split-train/*", list(items.sha256)


def test_the_digests_of_a_split_are_read_without_its_images(splits) -> None:
    pattern, sha256 = splits
    assert digests([pattern.replace("train", "test")]) == sha256
    assert digests([pattern.replace("train", "absent")]) == []


def test_a_model_that_has_learnt_from_todays_test_items_is_no_start(pushed, splits, notes) -> None:
    pattern, sha256 = splits
    assert warm_start.find(str(pushed), NETWORK, [pattern]).learnt_from == {"a" * 16}
    learnt_from.write(str(pushed), sha256[:2])
    assert warm_start.find(str(pushed), NETWORK, [pattern]) is None
    assert notes()[-1] == (
        "training starts from nothing: the last model has learnt from 2 of today's test items, and no model that "
        "starts from it could be blessed"
    )


@pytest.fixture(scope="module")
def trained(fn_args, tmp_path_factory):
    """The arguments of a first training with `train.warm_start`, which had nothing to start from."""
    folder = tmp_path_factory.mktemp("first")
    return run(fn_args, folder, base_model=str(folder / "nothing"))


def run(fn_args, folder: pathlib.Path, base_model: str, **train):
    """Trains with `train.warm_start`; returns the arguments."""
    values = {**fn_args.custom_config["train"], "warm_start": True, "epochs": 1, **train}
    where = {"serving_model_dir": str(folder / "model"), "model_run_dir": str(folder / "run"), "base_model": base_model}
    config = {**fn_args.custom_config, "train": values}
    found = SimpleNamespace(**{**vars(fn_args), **where, "custom_config": config})
    classification.run_fn(found)
    return found


def test_a_model_carries_the_raw_weights_of_its_training(trained) -> None:
    inside = pathlib.Path(trained.serving_model_dir, WEIGHTS_FILE).read_bytes()
    assert inside == pathlib.Path(trained.model_run_dir, "network.weights.h5").read_bytes()
    assert len(inside) < 5 * history_of(trained)["parameters"] + 100_000, "bytes: the optimizer's state is in it"
    about = json.loads(pathlib.Path(trained.serving_model_dir, NETWORK_FILE).read_text())
    assert (about["model"], about["width"], about["height_px"], about["started_from"]) == ("small_resnet", 8, 16, "")
    assert about["classes"][:2] == ["AnnualCrop", "Forest"]


def history_of(trained) -> dict:
    """Returns the history of a training."""
    return json.loads(pathlib.Path(trained.model_run_dir, "history.json").read_text())


def test_a_model_that_starts_from_another_has_learnt_from_all_that_either_saw(trained, fn_args, tmp_path) -> None:
    base = pathlib.Path(shutil.copytree(trained.serving_model_dir, tmp_path / "base"))
    today = learnt_from.read(base)
    learnt_from.write(str(base), ["f" * 64])
    again = run(fn_args, tmp_path, str(base))
    assert learnt_from.read(pathlib.Path(again.serving_model_dir)) == {*today, "f" * 16}
    assert learnt_from.of_weights(f"{again.model_run_dir}/network.weights.h5") == {*today, "f" * 16}


def test_where_the_start_does_not_say_what_it_learnt_from_its_heir_does_not_either(
    trained, fn_args, tmp_path, notes
) -> None:
    base = pathlib.Path(shutil.copytree(trained.serving_model_dir, tmp_path / "base"))
    (base / learnt_from.FILE_NAME).unlink()
    again = run(fn_args, tmp_path, str(base))
    assert learnt_from.read(pathlib.Path(again.serving_model_dir)) is None
    assert not pathlib.Path(again.model_run_dir, "network.learnt_from.txt").exists()
    told = "the last model does not say what it has learnt from: whether it knows today's test items cannot be told"
    assert told in notes()
