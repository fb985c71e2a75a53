from __future__ import annotations

import dataclasses

import pytest

from applications.errors import ConfigError, UnknownName
from pipeline import kubeflow_deployment
from pipeline.kubeflow_deployment import (
    Deployment,
    SecretEnv,
    SecretVolume,
    StageDeployment,
    Toleration,
    Volume,
)

EXAMPLE = "kubeflow/deployments/example.yaml"


@pytest.fixture
def read(tmp_path):
    def call(text):
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return kubeflow_deployment.read(path)

    return call


def test_an_empty_file_is_the_default(read):
    assert read("") == Deployment()


def test_a_stage_replaces_single_values_and_adds_to_mappings_and_lists(read):
    found = read(
        """
        image: mine:1
        every_stage:
          cpu_limit: 2
          retries: 2
          env: {A: "1", B: "2"}
          volumes: [{claim: all, mount_path: /earthloop/all}]
        stages:
          train:
            cpu_limit: 500m
            retries: 0
            env: {B: "3"}
            volumes: [{claim: own, mount_path: /earthloop/own, sub_path: weights}]
        """
    )
    assert found.of("ingest") == found.every_stage
    assert (found.every_stage.cpu_limit, found.every_stage.retries) == ("2", 2)
    train = found.of("train")
    assert (train.cpu_limit, train.retries, train.env) == ("500m", 0, {"A": "1", "B": "3"})
    assert train.volumes == (
        Volume(claim="all", mount_path="/earthloop/all"),
        Volume(claim="own", mount_path="/earthloop/own", sub_path="weights"),
    )


def test_lists_of_mappings_become_their_classes(read):
    stage = read(
        """
        every_stage:
          secrets_as_env:
            - {secret: store, key: user, env: AWS_ACCESS_KEY_ID}
          secrets_as_volumes:
            - {secret: ca, mount_path: /etc/ca}
          tolerations:
            - {key: gpu, operator: Exists, effect: NoSchedule}
          image_pull_secrets: [registry]
        """
    ).every_stage
    assert stage.secrets_as_env == (SecretEnv(secret="store", key="user", env="AWS_ACCESS_KEY_ID"),)
    assert stage.secrets_as_volumes == (SecretVolume(secret="ca", mount_path="/etc/ca"),)
    assert stage.tolerations == (Toleration(key="gpu", operator="Exists", effect="NoSchedule"),)
    assert stage.image_pull_secrets == ("registry",)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("imagee: x", UnknownName, r"mine.yaml line 1: no deployment setting 'imagee'.* Did you mean 'image'\?"),
        ("stages: {trian: {}}", UnknownName, r"mine.yaml line 1: no stage 'trian'.* Did you mean 'train'\?"),
        ("every_stage:\n  cpu: 2", UnknownName, r"mine.yaml line 2: no every_stage setting 'cpu'"),
        (
            "every_stage:\n  volumes: [{clam: a}]",
            UnknownName,
            r"line 2: no every_stage.volumes setting 'clam'.*'claim'",
        ),
        ("every_stage:\n  volumes: [{claim: a}]", ConfigError, r"must have claim, mount_path, but lacks mount_path"),
        (
            "every_stage:\n  volumes: a",
            ConfigError,
            r"every_stage.volumes must be a list, each item with a dash, got 'a'",
        ),
        (
            "every_stage:\n  volumes: [{claim: a, mount_path: b}]",
            ConfigError,
            r"every_stage.volumes.mount_path must be an absolute path in the container, got 'b'. It comes from",
        ),
        (
            "stages:\n  train:\n    memory_limit: 8 GB",
            ConfigError,
            r"stages.train.memory_limit must be a Kubernetes quantity such as 8Gi, got '8 GB'. It comes from mine.yaml "
            r"line 3.",
        ),
        ("every_stage:\n  retries: often", ConfigError, r"every_stage.retries must be a whole number, got 'often'"),
        ("every_stage:\n  retries: 99", ConfigError, r"every_stage.retries must be from 0 to 10, got 99."),
        (
            "every_stage:\n  tolerations: [{operator: Equals}]",
            ConfigError,
            r"must be one of 'Equal', 'Exists', got 'Equals'.*Did you mean 'Equal'\?",
        ),
        ("every_stage:\n  accelerator_type: gpu", ConfigError, r"given with accelerator_count, both or neither"),
        ("version: 2", ConfigError, r"version must be 1, got 2. It comes from mine.yaml line 1."),
        ("pipeline_root: /earthloop/root", ConfigError, r"pipeline_root must be a URI such as minio://bucket/path"),
        ("push_destination: s3://b/x", ConfigError, r"push_destination must be a folder on a volume of the pods"),
        ('image: ""', ConfigError, r"image must be the name of an image, got ''"),
        ("every_stage:\n  env: {A: true}", ConfigError, r"every_stage.env.A must be text, got True"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(read, text, kind, message):
    with pytest.raises(kind, match=message):
        read(text)


def test_numbers_that_mean_text_are_taken_as_they_are_written(read):
    assert read("every_stage:\n  env: {OMP_NUM_THREADS: 08.50}").every_stage.env == {"OMP_NUM_THREADS": "08.50"}


def test_the_example_can_be_read_and_shows_every_setting(project):
    found = kubeflow_deployment.read(project / EXAMPLE)
    assert found.of("train").accelerator_type == "nvidia.com/gpu"
    text = (project / EXAMPLE).read_text()
    for kind in (Deployment, StageDeployment, SecretEnv, SecretVolume, Volume, Toleration):
        for field in dataclasses.fields(kind):
            assert f"{field.name}:" in text, field.name


def test_the_kubeflow_folder_does_not_hide_the_package_of_that_name(project):
    assert not list((project / "kubeflow").rglob("__init__.py"))
