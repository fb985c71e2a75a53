"""Spreading training over devices."""

from __future__ import annotations

import json

import pytest
import tensorflow as tf

from applications.errors import ConfigError, UnknownName
from trainer import fitting, strategies


def test_a_mirrored_network_learns_on_the_cpu(toy, quick, tmp_path) -> None:
    with strategies.strategy("mirrored").scope():
        model = fitting.compiled((16, 16, 3), 3, 18, quick)
    history = fitting.fit(model, toy(96, 1), toy(48, 2), quick, str(tmp_path))
    assert history.epochs[-1]["loss"] < history.epochs[0]["loss"]


def test_none_is_tensorflow_s_default() -> None:
    assert strategies.strategy("none") is tf.distribute.get_strategy()


def test_several_workers_need_a_cluster(monkeypatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ConfigError, match="multi_worker needs a cluster with workers in the environment variable"):
        strategies.strategy("multi_worker")


def test_an_unknown_strategy_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"no train.strategy 'miror'.*Did you mean 'mirrored'\?"):
        strategies.strategy("miror")


@pytest.mark.parametrize(("index", "is_chief"), [(0, True), (1, False)])
def test_the_first_worker_writes_the_model(monkeypatch, index: int, is_chief: bool) -> None:
    cluster = {"cluster": {"worker": ["localhost:1", "localhost:2"]}, "task": {"type": "worker", "index": index}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    assert strategies.is_chief() is is_chief


def test_without_a_cluster_this_process_writes_the_model(monkeypatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert strategies.is_chief()
