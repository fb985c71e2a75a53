"""A network learns, stops and fails as it should."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from applications.errors import ConfigError, StageError
from trainer import fitting
from trainer.input import Items


@pytest.fixture(scope="module")
def learnt(toy, quick, tmp_path_factory):
    """A network after 30 steps on 96 toys, and its history."""
    folder = tmp_path_factory.mktemp("fit")
    settings = dataclasses.replace(quick, epochs=5)
    model = fitting.compiled((16, 16, 3), 3, 30, settings)
    history = fitting.fit(model, toy(96, 1), toy(48, 2), settings, str(folder / "logs"))
    model.save_weights(folder / "network.weights.h5")
    return model, history, folder


def test_loss_halves_in_30_steps(learnt) -> None:
    epochs = learnt[1].epochs
    assert epochs[-1]["loss"] < epochs[0]["loss"] / 2


def test_every_epoch_is_recorded_with_its_figures(learnt) -> None:
    history = learnt[1]
    assert [record["epoch"] for record in history.epochs] == [1, 2, 3, 4, 5]
    assert set(history.epochs[0]) == {
        "epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds"
    }  # fmt: skip
    assert history.epochs[-1]["learning_rate"] < history.epochs[1]["learning_rate"]
    assert not history.stopped_early


def test_the_answer_moves_when_the_image_does(learnt, toy) -> None:
    items = toy(6, 3)
    turned = items.pixels.transpose(0, 2, 1, 3)
    assert np.abs(fitting.logits(learnt[0], items.pixels) - fitting.logits(learnt[0], turned)).max() > 0.1


def test_logs_are_written_for_tensorboard(learnt) -> None:
    assert list((learnt[2] / "logs").glob("events.out.tfevents.*"))


def test_training_starts_from_given_weights(learnt, quick, toy) -> None:
    settings = dataclasses.replace(quick, weights=str(learnt[2] / "network.weights.h5"))
    model = fitting.compiled((16, 16, 3), 3, 30, settings)
    pixels = toy(6, 3).pixels
    np.testing.assert_allclose(fitting.logits(model, pixels), fitting.logits(learnt[0], pixels), rtol=1e-4)


def test_missing_weights_are_named(quick) -> None:
    settings = dataclasses.replace(quick, weights="nowhere.weights.h5")
    with pytest.raises(ConfigError, match="train.weights must name an existing .weights.h5 file, got 'nowhere.weig"):
        fitting.compiled((16, 16, 3), 3, 30, settings)


def test_weights_of_another_network_are_refused(learnt, quick) -> None:
    settings = dataclasses.replace(quick, width=12, weights=str(learnt[2] / "network.weights.h5"))
    with pytest.raises(ConfigError, match="train.weights must fit the network 'small_resnet' of") as caught:
        fitting.compiled((16, 16, 3), 3, 30, settings)
    assert "objects could not be loaded. Use the train settings it was made with." in str(caught.value)


def test_a_lost_loss_stops_the_training_with_advice(toy, quick, tmp_path) -> None:
    settings = dataclasses.replace(quick, learning_rate=1e30, warmup_share=0.0)
    model = fitting.compiled((16, 16, 3), 3, 18, settings)
    text = (
        r"must stay finite, got (nan|inf) in epoch 1 of 3, step \d+, at a learning rate of .*Lower train.learning_rate"
    )
    with pytest.raises(StageError, match=text):
        fitting.fit(model, toy(96, 1), toy(48, 2), settings, str(tmp_path))


def test_training_stops_early_and_keeps_the_best_epoch(toy, quick, tmp_path) -> None:
    items = toy(48, 1)
    wrong = Items(pixels=items.pixels, label_id=(items.label_id + 1) % 3, sha256=items.sha256)  # learning harms
    settings = dataclasses.replace(quick, epochs=8, patience=2, warmup_share=0.0)
    model = fitting.compiled((16, 16, 3), 3, 24, settings)
    history = fitting.fit(model, items, wrong, settings, str(tmp_path))
    assert history.stopped_early
    losses = [record["val_loss"] for record in history.epochs]
    assert history.best_epoch == int(np.argmin(losses)) + 1
    assert len(losses) == history.best_epoch + 2


def test_the_same_seed_gives_the_same_history(toy, quick, tmp_path) -> None:
    losses = []
    for run in ("a", "b"):
        settings = dataclasses.replace(quick, epochs=1, augment=("flip", "rotate", "light"), dropout=0.2, crop=0.75)
        fitting.seed(settings.seed)
        model = fitting.compiled((16, 16, 3), 3, 18, settings)
        history = fitting.fit(model, toy(48, 1), toy(24, 2), settings, str(tmp_path / run))
        losses.append(history.epochs[0]["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_one_class_alone_cannot_be_learnt() -> None:
    items = Items(pixels=np.zeros((4, 8, 8, 3), np.uint8), label_id=np.ones(4, int), sha256=("",) * 4)
    with pytest.raises(StageError, match="the train split must hold items of at least two classes, got 4 of b only"):
        fitting.check_enough(items, ("a", "b"), "train")


@pytest.mark.parametrize(("items", "asked", "steps"), [(100, 0, 6), (5, 0, 1), (100, 3, 3)])
def test_steps_of_an_epoch(quick, items: int, asked: int, steps: int) -> None:
    assert fitting.steps_per_epoch(items, dataclasses.replace(quick, steps_per_epoch=asked)) == steps
