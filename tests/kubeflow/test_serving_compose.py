"""docker-compose.yaml for one machine, held against the Kubernetes base and the files it mounts."""

from __future__ import annotations

import re

import pytest
import yaml


@pytest.fixture(scope="module")
def serving(project):
    return project / "kubeflow" / "serving"


@pytest.fixture(scope="module")
def compose(serving):
    return yaml.safe_load((serving / "docker-compose.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def container(serving):
    deployment = yaml.safe_load((serving / "base" / "deployment.yaml").read_text(encoding="utf-8"))
    return deployment["spec"]["template"]["spec"]["containers"][0]


def test_the_server_is_started_as_in_the_cluster(compose, container, serving):
    base = yaml.safe_load((serving / "base" / "kustomization.yaml").read_text(encoding="utf-8"))
    server = compose["services"]["serving"]
    assert server["entrypoint"] == container["command"]
    assert server["command"] == container["args"]
    assert server["image"] == f"{base['images'][0]['name']}:{base['images'][0]['newTag']}"
    assert server["cpus"] == int(container["resources"]["limits"]["cpu"])


def test_nothing_listens_beyond_this_machine(compose):
    ports = [port for service in compose["services"].values() for port in service["ports"]]
    assert sorted(ports) == [f"127.0.0.1:{port}:{port}" for port in (3000, 8500, 8501, 9090)]


def test_containers_are_locked_down_and_limited(compose):
    for service in compose["services"].values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["mem_limit"]
        assert service["cpus"]
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"])


def test_mounted_files_are_there_and_cannot_be_written(compose, serving):
    mounts = [mount for service in compose["services"].values() for mount in service["volumes"]]
    files = [mount for mount in mounts if mount.startswith("./")]
    assert len(files) >= 5
    for mount in files:
        source, _, mode = mount.split(":")
        assert (serving / source).exists(), source
        assert mode == "ro"
    named = {mount.split(":")[0] for mount in mounts if not mount.startswith((".", "$"))}
    assert named == set(compose["volumes"])


def test_models_are_mounted_where_the_configuration_looks_for_them(compose, serving):
    [mount] = [mount for mount in compose["services"]["serving"]["volumes"] if mount.startswith("${EARTHLOOP_SERVING")]
    folder = re.fullmatch(r"\$\{.*\}:(/[^:]+):ro", mount)[1]
    assert f'base_path: "{folder}/' in (serving / "base" / "config" / "models.config").read_text(encoding="utf-8")


def test_prometheus_asks_the_server_by_its_name_and_grafana_prometheus(compose, serving):
    scraped = yaml.safe_load((serving / "monitoring" / "prometheus.yaml").read_text(encoding="utf-8"))
    [target] = scraped["scrape_configs"][0]["static_configs"][0]["targets"]
    name, port = target.split(":")
    assert f"--rest_api_port={port}" in compose["services"][name]["command"]
    sources = yaml.safe_load((serving / "monitoring" / "grafana" / "datasources.yaml").read_text(encoding="utf-8"))
    assert sources["datasources"][0]["url"].split("//")[1].split(":")[0] in compose["services"]


def test_the_health_check_asks_for_metadata_of_a_configured_model(compose, serving):
    asked = re.search(r"/v1/models/([\w-]+)/metadata", compose["services"]["serving"]["healthcheck"]["test"][-1])[1]
    assert f'name: "{asked}"' in (serving / "base" / "config" / "models.config").read_text(encoding="utf-8")
