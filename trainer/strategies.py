"""How the work of training is spread over devices and machines."""

from __future__ import annotations

import typing
from collections.abc import Callable

import keras
import tensorflow as tf

from applications.errors import ConfigError, UnknownName
from applications.settings import Strategy


def strategy(name: str) -> tf.distribute.Strategy:
    """Makes a distribution strategy. Call it before any other TensorFlow work: several workers need that.

    Args:
        name: "none" for one device, "mirrored" for all GPUs (or the CPU) of this machine, "multi_worker" for
            several machines that the TF_CONFIG environment variable describes, as Kubeflow's training operator sets it.

    Returns:
        The strategy; a training batch is divided among its replicas.

    Raises:
        UnknownName: there is no such strategy.
        ConfigError: "multi_worker" without a cluster.
    """
    if name == "none":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    if name != "multi_worker":
        raise UnknownName("train.strategy", name, typing.get_args(Strategy))
    cluster = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    jobs = cluster.cluster_spec().as_dict()
    if "worker" not in jobs:
        raise ConfigError(
            "train.strategy=multi_worker needs a cluster with workers in the environment variable TF_CONFIG, "
            f"got {jobs}. Start the training with the Kubeflow training operator, or take train.strategy=mirrored."
        )
    return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=cluster)


def is_chief() -> bool:
    """Returns whether this process writes the model: true but for workers of a cluster other than the first."""
    cluster = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    if "worker" not in cluster.cluster_spec().as_dict():
        return True
    return cluster.task_type == "chief" or (
        cluster.task_type == "worker" and cluster.task_id == 0 and "chief" not in cluster.cluster_spec().as_dict()
    )


def prepare_for_replicas(model: keras.Model, batches: tf.data.Dataset) -> None:
    """Works around what keeps Keras 3.15 from fitting a model on several replicas.

    It would build the metrics from the mean of a batch over the replicas, and fails to take the mean of a tuple. And
    with several workers it takes the mean of each metric along a first axis that metrics do not have.

    Args:
        model: compiled within the scope of a strategy of several replicas.
        batches: what it will be fitted to.
    """
    blank = tf.nest.map_structure(lambda spec: tf.zeros([2, *spec.shape[1:]], spec.dtype), batches.element_spec)
    with model.distribute_strategy.scope():
        model._symbolic_build(data_batch=blank)
    model._maybe_symbolic_build = lambda **_: None
    if isinstance(model.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
        model.train_step = _with_axis(model.train_step)
        model.test_step = _with_axis(model.test_step)


def _with_axis(step: Callable[..., dict[str, tf.Tensor]]) -> Callable[..., dict[str, tf.Tensor]]:
    def stepped(data: object) -> dict[str, tf.Tensor]:
        """Does one step; each metric is a tensor `[1]`."""
        return {name: tf.reshape(value, [1]) for name, value in step(data).items()}

    return stepped
