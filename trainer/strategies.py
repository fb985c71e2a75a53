"""How the work of training is spread over devices and machines."""

from __future__ import annotations

import tensorflow as tf

from applications.errors import ConfigError, UnknownName

NAMES = ("none", "mirrored", "multi_worker")


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
        raise UnknownName("strategy (train.strategy)", name, NAMES)
    cluster = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    if "worker" not in cluster.cluster_spec().as_dict():
        raise ConfigError(
            "train.strategy=multi_worker needs a cluster with workers in the environment variable TF_CONFIG, got none. "
            "Start the training with the Kubeflow training operator, or take train.strategy=mirrored."
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
