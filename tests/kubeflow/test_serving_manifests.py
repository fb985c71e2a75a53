"""The manifests in `kubeflow/serving`, rendered, against the schemas of Kubernetes and against our own rules."""

from __future__ import annotations

import importlib.util
import pathlib
import re

import jsonschema
import kubernetes_validate
import pytest
import yaml

from serving.model_server import config_files

_HERE = pathlib.Path(__file__).resolve().parent
_SPEC = importlib.util.spec_from_file_location("serving_manifests", _HERE / "serving_manifests.py")
manifests = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(manifests)

KUBERNETES = ("1.30", "1.34")  # the oldest with ContainerResource metrics that are stable, and a newer one
OVERLAYS = [folder for folder in manifests.RENDERED if folder.startswith("overlays/")]


@pytest.fixture(scope="module")
def rendered():
    """Objects by folder; each folder is rendered once."""
    cache = {}

    def get(folder):
        if folder not in cache:
            cache[folder] = manifests.render(folder)
        return cache[folder]

    return get


def one(objects, kind, name=None):
    [found] = [thing for thing in objects if thing["kind"] == kind and name in {None, thing["metadata"]["name"]}]
    return found


def pods(objects):
    """The pod specs of everything that makes pods."""
    return [
        thing["spec"] if thing["kind"] == "Pod" else thing["spec"]["template"]["spec"]
        for thing in objects
        if thing["kind"] in {"Pod", "Deployment"}
    ]


def containers(objects):
    return [box for pod in pods(objects) for box in [*pod.get("initContainers", ()), *pod["containers"]]]


def serving(objects):
    [found] = [box for box in containers(objects) if box["name"] == "serving"]
    return found


def flags(arguments):
    return dict(argument.removeprefix("--").split("=", 1) for argument in arguments)


def config(objects, name):
    """A file of the generated config map that the server mounts."""
    volumes = one(objects, "Deployment")["spec"]["template"]["spec"]["volumes"]
    [mounted] = [volume["configMap"]["name"] for volume in volumes if volume["name"] == "config"]
    return one(objects, "ConfigMap", mounted)["data"][name]


@pytest.fixture
def models(tmp_path):
    """Reads the models of an overlay: name to base path."""

    def read(objects):
        (tmp_path / "models.config").write_text(config(objects, "models.config"), encoding="utf-8")
        found = config_files.read_models(tmp_path / "models.config")
        return {model.name: model.base_path for model in found.model_config_list.config}

    return read


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("folder", manifests.RENDERED)
def test_every_object_fits_kubernetes_own_schema(rendered, folder, version):
    objects = [thing for thing in rendered(folder) if thing["kind"] not in {*manifests.CRDS, "InferenceService"}]
    for thing in objects:
        kubernetes_validate.validate(thing, version, strict=True)
    assert objects or folder == "kserve"


@pytest.mark.parametrize("kind", manifests.CRDS)
def test_custom_resources_fit_the_operator_s_definitions(rendered, kind):
    thing = one(rendered("overlays/scaled"), kind)
    crd = manifests.fetched(manifests.CRDS[kind])
    manifests.check_custom(thing, crd)
    with pytest.raises(jsonschema.ValidationError, match="'invented' was unexpected"):
        manifests.check_custom({**thing, "spec": {**thing["spec"], "invented": 1}}, crd)


@pytest.mark.parametrize("folder", [*OVERLAYS, "volume"])
def test_no_container_may_do_more_than_it_must(rendered, folder):
    for pod in pods(rendered(folder)):
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    for box in containers(rendered(folder)):
        context = box["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert {"cpu", "memory", "ephemeral-storage"} <= box["resources"]["limits"].keys()
        assert {"cpu", "memory", "ephemeral-storage"} <= box["resources"]["requests"].keys()


@pytest.mark.parametrize("folder", [*OVERLAYS, "volume"])
def test_every_image_has_a_version(rendered, folder):
    for box in containers(rendered(folder)):
        assert re.fullmatch(r"[a-z/]+:[0-9]+\.[0-9]+\.[0-9]+(-gpu)?", box["image"]), box["image"]


@pytest.mark.parametrize("folder", OVERLAYS)
def test_the_server_cannot_write_what_it_serves(rendered, folder):
    for mount in serving(rendered(folder))["volumeMounts"]:
        assert mount.get("readOnly") is True or mount["name"] == "tmp"
    [pod] = pods(rendered(folder))
    for volume in pod["volumes"]:
        if "persistentVolumeClaim" in volume:
            assert volume["persistentVolumeClaim"]["readOnly"] is True


@pytest.mark.parametrize("folder", OVERLAYS)
def test_probes_ask_for_a_model_that_is_configured_and_liveness_does_not_wait_for_threads(rendered, models, folder):
    box = serving(rendered(folder))
    [name] = models(rendered(folder))
    assert box["startupProbe"]["httpGet"] == {"path": f"/v1/models/{name}", "port": "http"}
    assert box["readinessProbe"]["httpGet"] == {"path": f"/v1/models/{name}/metadata", "port": "http"}
    assert box["livenessProbe"]["tcpSocket"] == {"port": "grpc"}


@pytest.mark.parametrize("folder", OVERLAYS)
def test_a_pod_leaves_the_service_before_it_ends(rendered, folder):
    [pod] = pods(rendered(folder))
    [_, seconds] = serving(rendered(folder))["lifecycle"]["preStop"]["exec"]["command"]
    timeout_s = int(flags(serving(rendered(folder))["args"])["rest_api_timeout_in_ms"]) / 1_000
    assert int(seconds) + timeout_s < pod["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("folder", OVERLAYS)
def test_ports_agree_between_flags_container_services_and_policy(rendered, folder):
    objects = rendered(folder)
    box = serving(objects)
    given = flags(box["args"])
    ports = {port["name"]: port["containerPort"] for port in box["ports"]}
    assert ports == {"grpc": int(given["port"]), "http": int(given["rest_api_port"])}
    labels = one(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]
    for service in [thing for thing in objects if thing["kind"] == "Service"]:
        assert service["spec"]["selector"].items() <= labels.items()
        for port in service["spec"]["ports"]:
            assert port["targetPort"] == port["name"]
            assert port["port"] == ports[port["name"]]
    policy = one(objects, "NetworkPolicy")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert all(port["port"] in ports for rule in policy["ingress"] for port in rule["ports"])
    assert all(rule["from"] for rule in policy["ingress"])


@pytest.mark.parametrize("folder", OVERLAYS)
def test_as_many_threads_as_cores_that_the_limit_leaves(rendered, tmp_path, folder):
    box = serving(rendered(folder))
    cores = box["resources"]["limits"]["cpu"]
    given = flags(box["args"])
    assert given["tensorflow_intra_op_parallelism"] == given["tensorflow_inter_op_parallelism"] == cores
    (tmp_path / "batching.config").write_text(config(rendered(folder), "batching.config"), encoding="utf-8")
    assert str(config_files.read_batching(tmp_path / "batching.config").num_batch_threads) == cores


@pytest.mark.parametrize("folder", OVERLAYS)
def test_files_that_flags_name_are_mounted(rendered, folder):
    objects = rendered(folder)
    box = serving(objects)
    [mounted] = [mount["mountPath"] for mount in box["volumeMounts"] if mount["name"] == "config"]
    named = [value for name, value in flags(box["args"]).items() if name.endswith("_file")]
    assert len(named) == 3
    for path in named:
        assert config(objects, str(pathlib.PurePosixPath(path).relative_to(mounted)))


@pytest.mark.parametrize("folder", OVERLAYS)
def test_models_lie_where_something_puts_them(rendered, models, folder):
    [(name, base)] = models(rendered(folder)).items()
    assert name == "satellite-landcover"
    if folder == "overlays/gcs":
        assert base == f"gs://my-bucket/serving/{name}"
        return
    mounts = {mount["name"]: mount for mount in serving(rendered(folder))["volumeMounts"]}
    assert base == f"{mounts['models']['mountPath']}/{name}"


def test_the_volume_is_the_one_that_the_pipeline_pushes_to(rendered, project):
    deployment = yaml.safe_load((project / "kubeflow" / "deployments" / "example.yaml").read_text(encoding="utf-8"))
    [shared] = deployment["every_stage"]["volumes"]
    [pod] = pods(rendered("overlays/single"))
    claim = next(volume["persistentVolumeClaim"] for volume in pod["volumes"] if volume["name"] == "models")
    mount = next(mount for mount in serving(rendered("overlays/single"))["volumeMounts"] if mount["name"] == "models")
    assert claim["claimName"] == shared["claim"] == one(rendered("volume"), "PersistentVolumeClaim")["metadata"]["name"]
    assert f"{shared['mount_path']}/{mount['subPath']}" == deployment["push_destination"]


def test_what_fetches_models_writes_where_the_server_reads(rendered, models):
    boxes = {box["name"]: box for box in containers(rendered("overlays/s3"))}
    [(name, base)] = models(rendered("overlays/s3")).items()
    for fetcher in (boxes["first-models"], boxes["new-models"]):
        given = {variable["name"]: variable.get("value") for variable in fetcher["env"]}
        assert given["MODELS_FOLDER"] == base == f"/models/{name}"
        assert next(m for m in fetcher["volumeMounts"] if m["name"] == "models")["mountPath"] == "/models"
    [pod] = pods(rendered("overlays/s3"))
    assert pod["initContainers"][0]["name"] == "first-models"


def test_only_what_fetches_models_may_leave_the_pod(rendered):
    assert one(rendered("overlays/single"), "NetworkPolicy")["spec"]["egress"] == []
    for folder in ("overlays/s3", "overlays/gcs"):
        egress = one(rendered(folder), "NetworkPolicy")["spec"]["egress"]
        assert {port["port"] for rule in egress for port in rule["ports"]} <= {53, 80, 443, 988}


def test_a_gpu_is_asked_for_once_and_its_batches_have_few_sizes(rendered):
    box = serving(rendered("overlays/gpu"))
    assert box["resources"]["limits"]["nvidia.com/gpu"] == box["resources"]["requests"]["nvidia.com/gpu"] == "1"
    assert box["image"].endswith("-gpu")
    text = config(rendered("overlays/gpu"), "batching.config")
    sizes = [int(size) for size in re.findall(r"allowed_batch_sizes: (\d+)", text)]
    assert sizes == sorted(sizes)
    assert f"max_batch_size {{ value: {sizes[-1]} }}" in text
    assert one(rendered("overlays/gpu"), "Deployment")["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == 0


@pytest.mark.parametrize("folder", OVERLAYS)
def test_replicas_are_the_autoscaler_s_or_ours_but_not_both_s(rendered, folder):
    kinds = {thing["kind"] for thing in rendered(folder)}
    has_number = "replicas" in one(rendered(folder), "Deployment")["spec"]
    assert has_number is ("HorizontalPodAutoscaler" not in kinds)
    if "HorizontalPodAutoscaler" in kinds:
        scaler = one(rendered(folder), "HorizontalPodAutoscaler")["spec"]
        assert scaler["minReplicas"] > one(rendered(folder), "PodDisruptionBudget")["spec"]["maxUnavailable"]
        [metric] = scaler["metrics"]
        assert metric["containerResource"]["container"] == "serving"


def test_prometheus_finds_the_page_where_the_server_writes_it(rendered, tmp_path):
    objects = rendered("overlays/scaled")
    monitor = one(objects, "ServiceMonitor")["spec"]
    (tmp_path / "monitoring.config").write_text(config(objects, "monitoring.config"), encoding="utf-8")
    page = config_files.read_monitoring(tmp_path / "monitoring.config")
    [endpoint] = monitor["endpoints"]
    assert page.is_enabled
    assert endpoint["path"] == page.path
    matched = [
        thing["metadata"]["name"]
        for thing in objects
        if thing["kind"] == "Service"
        and monitor["selector"]["matchLabels"].items() <= thing["metadata"]["labels"].items()
    ]
    assert matched == ["earthloop-serving"]  # one of the two, so that nothing is scraped twice; rules name this job


def test_kubeflow_is_no_package(project):
    assert not list((project / "kubeflow").rglob("__init__.py"))
