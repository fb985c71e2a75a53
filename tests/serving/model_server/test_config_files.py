from __future__ import annotations

import re
from pathlib import Path

import pytest

from applications.errors import ConfigError
from serving.model_server.batch_queues import BatchingParameters
from serving.model_server.config_files import (
    Monitoring,
    one_model,
    read_batching,
    read_models,
    read_monitoring,
    read_tls,
)

MODELS = """
# what our station serves
model_config_list {
  config {
    name: "landcover"
    base_path: "/models/landcover"
    model_platform: "tensorflow"
    model_version_policy { specific { versions: 3 versions: 5 } }
    version_labels { key: "stable" value: 3 }
    version_labels { key: "canary" value: 5 }
  }
  config { name: "reef" base_path: "/models/reef" model_platform: "tensorflow" model_version_policy { all {} } }
}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "settings.config"
    path.write_text(text, encoding="utf-8")
    return path


def test_models_are_read_with_their_policies_and_labels(tmp_path):
    first, second = read_models(written(tmp_path, MODELS)).model_config_list.config

    assert (first.name, first.base_path) == ("landcover", "/models/landcover")
    assert list(first.model_version_policy.specific.versions) == [3, 5]
    assert dict(first.version_labels) == {"stable": 3, "canary": 5}
    assert second.model_version_policy.WhichOneof("policy_choice") == "all"


def test_errors_name_file_line_and_the_near_name(tmp_path):
    path = written(tmp_path, MODELS.replace('version_labels { key: "stable"', 'version_label { key: "stable"'))

    with pytest.raises(ConfigError, match=re.escape(f"{path}:9:5: ") + ".*Did you mean 'version_labels'"):
        read_models(path)


@pytest.mark.parametrize(
    ("text", "line"), [("model_config_list {\n config {\n", "2"), ("model_config_list {\n config { name: 5 }\n}", "2")]
)
def test_a_text_that_is_no_message_is_told_with_its_line(tmp_path, text, line):
    path = written(tmp_path, text)

    with pytest.raises(ConfigError, match=re.escape(f"{path}:{line}:") + ".* takes a text-format ModelServerConfig"):
        read_models(path)


def test_a_custom_configuration_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="must list its models in model_config_list"):
        read_models(written(tmp_path, 'custom_model_config { type_url: "type.example/x" }'))


def test_a_file_that_is_not_there_is_told_by_its_flag(tmp_path):
    with pytest.raises(ConfigError, match="--model_config_file must name a text file that can be read"):
        read_models(tmp_path / "no")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="--ssl_config_file must name a text file"):
        read_tls(tmp_path / "binary")


def test_one_model_is_a_configuration_with_an_absolute_path(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    (model,) = one_model("m", "models/m").model_config_list.config

    assert (model.name, model.base_path, model.model_platform) == ("m", str(tmp_path / "models/m"), "tensorflow")
    assert one_model("m", "gs://b/m").model_config_list.config[0].base_path == "gs://b/m"


def test_batching_parameters_that_are_named_are_taken_and_the_others_stay(tmp_path):
    path = written(
        tmp_path,
        """max_batch_size { value: 16 } batch_timeout_micros { value: 500 } max_enqueued_batches { value: 0x10 }
        num_batch_threads { value: 2 } thread_pool_name { value: "pool" } allowed_batch_sizes: [4, 16]
        pad_variable_length_inputs: true enable_large_batch_splitting { value: false }""",
    )

    assert read_batching(path) == BatchingParameters(
        max_batch_size=16,
        batch_timeout_micros=500,
        max_enqueued_batches=16,
        num_batch_threads=2,
        thread_pool_name="pool",
        allowed_batch_sizes=(4, 16),
        pad_variable_length_inputs=True,
        enable_large_batch_splitting=False,
        limits_requests=True,
    )
    assert read_batching(written(tmp_path, "")) == BatchingParameters(limits_requests=True)


def test_batching_parameters_out_of_range_are_told_with_their_file(tmp_path):
    path = written(tmp_path, "max_batch_size { value: 0 }")

    with pytest.raises(ConfigError, match=re.escape(f"{path}: max_batch_size must be at least 1, got 0")):
        read_batching(path)
    with pytest.raises(ConfigError, match="max_execution_batch_size in .* is not known here"):
        read_batching(written(tmp_path, "max_execution_batch_size { value: 4 }"))


def test_monitoring_is_off_until_it_is_enabled_and_has_tensorflow_servings_path(tmp_path):
    assert read_monitoring(written(tmp_path, "")) == Monitoring(is_enabled=False)
    assert read_monitoring(written(tmp_path, "prometheus_config { enable: true }")) == Monitoring(
        is_enabled=True, path="/monitoring/prometheus/metrics"
    )
    other = read_monitoring(written(tmp_path, 'prometheus_config: { enable: true, path: "/metrics" }'))
    assert other.path == "/metrics"
    with pytest.raises(ConfigError, match="must begin with '/', got 'metrics'"):
        read_monitoring(written(tmp_path, 'prometheus_config { enable: true path: "metrics" }'))


def test_tls_settings_hold_pem_and_never_show_the_key(tmp_path):
    text = 'server_key: "-----BEGIN KEY-----\\nsecret" server_cert: "-----BEGIN CERTIFICATE-----" client_verify: true'

    tls = read_tls(written(tmp_path, text))

    assert tls.key == "-----BEGIN KEY-----\nsecret"
    assert (tls.is_client_checked, tls.client_authority) == (True, "")
    assert "secret" not in repr(tls)
    with pytest.raises(ConfigError, match="server_cert in .* must be PEM text"):
        read_tls(written(tmp_path, 'server_key: "-----BEGIN KEY-----" server_cert: "server.pem"'))


@pytest.mark.parametrize(
    "begin", ["-----BEGIN ENCRYPTED PRIVATE KEY-----", "-----BEGIN KEY-----\\nProc-Type: 4,ENCRYPTED"]
)
def test_a_key_that_asks_for_a_pass_phrase_is_refused(tmp_path, begin):
    text = f'server_key: "{begin}" server_cert: "-----BEGIN CERTIFICATE-----"'
    with pytest.raises(ConfigError, match=r"server_key in .* must not be encrypted.*openssl pkey -in"):
        read_tls(written(tmp_path, text))
