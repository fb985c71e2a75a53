from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy import special

from trainer import calibration


def drawn(true_temperature: float, items: int = 40_000) -> tuple[np.ndarray, np.ndarray]:
    """Returns logits, and labels drawn from the probabilities that they give at a known temperature."""
    generator = np.random.default_rng(5)
    logits = generator.normal(0, 2, (items, 4))
    chances = special.softmax(logits / true_temperature, axis=1)
    labels = (chances.cumsum(axis=1) > generator.random((items, 1))).argmax(axis=1)
    return logits, labels


@pytest.mark.parametrize("true_temperature", [0.3, 1.0, 2.5])
def test_the_temperature_that_made_the_labels_is_found_again(true_temperature):
    assert calibration.temperature(*drawn(true_temperature)) == pytest.approx(true_temperature, rel=0.05)


@pytest.mark.parametrize(("items", "sure"), [(30, 31 / 32), (300, 301 / 302)])
def test_a_network_that_is_always_right_becomes_no_surer_than_so_many_items_allow(items, sure):
    labels = np.arange(items) % 3
    logits = np.eye(3)[labels] * 5.0
    answers = special.softmax(logits / calibration.temperature(logits, labels), axis=1)
    assert answers.max() == pytest.approx(sure, abs=2e-3)


def test_scaling_divides_the_logits_and_keeps_every_answer():
    images = keras.Input((6,))
    model = keras.Model(images, keras.layers.Dense(3)(keras.layers.Dense(5, activation="relu")(images)))
    values = np.random.default_rng(1).normal(size=(20, 6)).astype("f4")
    before = model.predict(values, verbose=0)
    calibration.scale(model, 2.5)
    np.testing.assert_allclose(model.predict(values, verbose=0), before / 2.5, rtol=1e-4, atol=1e-6)
