from __future__ import annotations

import logging
from pathlib import Path

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.config import file_system_storage_path_source_pb2, model_server_config_pb2

from serving.model_server.errors import Code, ServingError
from serving.model_server.sources import Folders, local_path, versions_found, wanted

POLICY = file_system_storage_path_source_pb2.FileSystemStoragePathSourceConfig.ServableVersionPolicy
VERSIONS = st.sets(st.integers(0, 2**63 - 1), max_size=20)


def policy(text: str = ""):
    return text_format.Parse(text, POLICY())


def model(base_path: Path, policy_text: str = ""):
    config = model_server_config_pb2.ModelConfig(name="m", base_path=str(base_path))
    config.model_version_policy.CopyFrom(policy(policy_text))
    return config


@given(VERSIONS, st.integers(0, 25))
def test_latest_takes_the_highest_and_zero_means_one(versions, count):
    chosen = wanted(versions, policy(f"latest {{ num_versions: {count} }}"))

    assert len(chosen) == min(max(count, 1), len(versions))
    assert all(one > other for one in chosen for other in versions - chosen)


@given(VERSIONS)
def test_no_policy_takes_the_newest_alone(versions):
    assert wanted(versions, policy()) == ({max(versions)} if versions else set())


@given(VERSIONS)
def test_all_takes_all(versions):
    assert wanted(versions, policy("all { }")) == versions


@given(VERSIONS, VERSIONS)
def test_specific_takes_what_is_named_and_there(versions, named):
    listed = " ".join(f"versions: {version}" for version in named)

    assert wanted(versions, policy(f"specific {{ {listed} }}")) == versions & named


def test_only_folders_named_by_a_number_are_versions(tmp_path):
    for name in ("1", "0020", "3.5", "v4", ".incoming-5-77", "-6", "7 ", "99999999999999999999", "٣"):
        (tmp_path / name).mkdir()
    (tmp_path / "8").write_text("a file")
    (tmp_path / "9").symlink_to(tmp_path / "1")

    assert versions_found(tmp_path) == {1: tmp_path / "1", 20: tmp_path / "0020", 9: tmp_path / "9"}


def test_of_two_spellings_of_a_version_the_plain_one_is_taken(tmp_path, caplog):
    for name in ("01", "1"):
        (tmp_path / name).mkdir()

    assert versions_found(tmp_path) == {1: tmp_path / "1"}
    assert "there twice" in caplog.text


def test_a_missing_folder_keeps_what_is_served_and_is_told_once(tmp_path, caplog):
    folders = Folders()

    assert [folders.look(model(tmp_path / "no")) for _ in range(3)] == [None, None, None]
    assert caplog.text.count("Could not find base path") == 1


def test_an_empty_folder_wants_nothing_and_says_what_a_version_looks_like(tmp_path, caplog):
    assert Folders().look(model(tmp_path)) == {}
    assert f"No versions of servable m found under base path {tmp_path}" in caplog.text
    assert f"such as {tmp_path}/1" in caplog.text


def test_a_specific_version_that_is_not_there_is_told(tmp_path, caplog):
    (tmp_path / "1").mkdir()

    with caplog.at_level(logging.WARNING):
        assert Folders().look(model(tmp_path, "specific { versions: 1 versions: 4 }")) == {1: tmp_path / "1"}
    assert "versions 4 of servable m" in caplog.text


@pytest.mark.parametrize("path", ["models/m", "./m", "", "../m"])
def test_a_relative_base_path_is_refused_as_tensorflow_serving_does(path):
    with pytest.raises(
        ServingError, match=r"Expected model m to have an absolute path or URI; got base_path\(\)="
    ) as caught:
        local_path("m", path)

    assert caught.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize("path", ["gs://bucket/m", "s3://bucket/m", "hdfs://host/m"])
def test_other_file_systems_are_refused_with_what_to_do(path):
    with pytest.raises(ServingError, match="Mount or copy the folder"):
        local_path("m", path)


def test_a_file_uri_is_a_local_folder():
    assert local_path("m", "file:///models/m") == Path("/models/m")


def test_a_base_path_that_no_system_takes_is_refused():
    with pytest.raises(ServingError, match="base_path of model m must hold no NUL character") as caught:
        local_path("m", "/models/m\0")

    assert caught.value.code is Code.INVALID_ARGUMENT
