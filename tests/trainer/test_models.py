"""Networks by name, and their form for serving."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest

from applications.errors import ConfigError, UnknownName
from applications.settings import TrainSettings
from trainer import models
from trainer.models.folding import folded

SMALL = TrainSettings(width=8)
IMAGES = np.random.default_rng(0).uniform(0, 255, (3, 33, 47, 3)).astype(np.float32)


def shaken(network: keras.Model) -> keras.Model:
    """Gives every weight another value, so that scales and moving statistics matter."""
    random = np.random.default_rng(1)
    network.set_weights([weight + random.uniform(0.1, 0.4, weight.shape) for weight in network.get_weights()])
    return network


def test_small_resnet_gives_one_logit_per_class_for_odd_sides() -> None:
    network = models.build((33, 47, 3), 5, SMALL)
    assert network(IMAGES).shape == (3, 5)


def test_the_answer_moves_when_the_image_does() -> None:
    network = models.build((33, 47, 3), 5, SMALL)
    assert np.abs(network(IMAGES) - network(IMAGES[:, ::-1])).max() > 1e-4


def test_small_resnet_takes_a_window_of_an_image() -> None:
    network = models.build((33, 47, 3), 5, SMALL)
    assert network(IMAGES[:, :24, :24]).shape == (3, 5)


def test_mobilenet_v3_gives_one_logit_per_class() -> None:
    network = models.build((44, 44, 3), 4, dataclasses.replace(SMALL, model="mobilenet_v3"))
    assert network(np.zeros((2, 32, 32, 3), np.float32)).shape == (2, 4)


@pytest.mark.parametrize("name", ["mobilenet_v3", "resnet50"])
def test_published_networks_refuse_tiny_images(name: str) -> None:
    with pytest.raises(ConfigError, match="needs to see at least 32 pixels a side, got 12 .*Raise image.height_px"):
        models.build((16, 64, 3), 4, dataclasses.replace(SMALL, model=name))


def test_an_unknown_network_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"no train.model 'small_resnt'; .*Did you mean 'small_resnet'\?"):
        models.build((32, 32, 3), 4, dataclasses.replace(SMALL, model="small_resnt"))


def test_the_folded_network_answers_alike_and_has_no_normalisation() -> None:
    network = shaken(models.build((33, 47, 3), 5, SMALL))
    short = folded(network)
    expected = network(IMAGES, training=False).numpy()
    np.testing.assert_allclose(short(IMAGES, training=False), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    assert not any("Norm" in type(layer).__name__ for layer in short.layers)


def test_a_network_without_our_normalisation_is_not_touched() -> None:
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    assert folded(network) is network
