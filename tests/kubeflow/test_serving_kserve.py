"""The InferenceService in `kubeflow/serving/kserve` against the definitions of KServe itself."""

from __future__ import annotations

import copy
import importlib.util
import pathlib
import re

import jsonschema
import pytest
import yaml

_HERE = pathlib.Path(__file__).resolve().parent
_SPEC = importlib.util.spec_from_file_location("serving_manifests", _HERE / "serving_manifests.py")
manifests = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(manifests)

CRD = "serving.kserve.io_inferenceservices.yaml"
RUNTIME = "kserve-tensorflow-serving.yaml"


@pytest.fixture(scope="module")
def service():
    [found] = manifests.render("kserve")
    return found


def changed(thing, path, value):
    """A copy of the object with another value at a path such as `spec.predictor.model`."""
    *above, last = path.split(".")
    at = copied = copy.deepcopy(thing)
    for key in above:
        at = at[key]
    at[last] = value
    return copied


def test_the_inference_service_fits_kserve_s_definition(service):
    manifests.check_custom(service, manifests.fetched(CRD))


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("spec.invented", 1, "'invented' was unexpected"),
        ("spec.predictor.modle", {}, "'modle' was unexpected"),
        ("spec.predictor.model.storageURI", "pvc://earthloop", "'storageURI' was unexpected"),
        ("spec.predictor.model.modelFormat", {"version": "2"}, "'name' is a required property"),
        ("spec.predictor.model.runtimeVersion", 2.20, "2.2 is not of type 'string'"),
        ("spec.predictor.maxReplicas", "5", "'5' is not of type 'integer'"),
        ("spec.predictor.model.resources.limits.memory", "2 gigabytes", "'2 gigabytes' is not valid"),
    ],
)
def test_an_inference_service_with_a_wrong_field_is_refused(service, path, value, words):
    with pytest.raises(jsonschema.ValidationError, match=re.escape(words)):
        manifests.check_custom(changed(service, path, value), manifests.fetched(CRD))


def test_kserve_s_own_runtime_takes_the_model_and_its_flags(service):
    runtime = yaml.safe_load(manifests.fetched(RUNTIME).read_text(encoding="utf-8"))["spec"]
    model = service["spec"]["predictor"]["model"]
    formats = [(offered["name"], offered["version"]) for offered in runtime["supportedModelFormats"]]
    assert (model["modelFormat"]["name"], model["modelFormat"]["version"]) in formats
    assert model["protocolVersion"] in runtime["protocolVersions"]
    [box] = runtime["containers"]
    given, own = ({flag.partition("=")[0] for flag in each["args"]} for each in (model, box))
    assert given == {"--tensorflow_intra_op_parallelism", "--tensorflow_inter_op_parallelism"}
    assert "--model_base_path" in own
    assert not given & own


def test_the_inference_service_serves_the_pushed_model(service):
    assert service["apiVersion"] == "serving.kserve.io/v1beta1"
    assert service["metadata"]["name"] == "satellite-landcover"
    predictor = service["spec"]["predictor"]
    assert predictor["model"]["storageUri"] == "pvc://earthloop/serving/satellite-landcover"
    assert predictor["model"]["modelFormat"]["name"] == "tensorflow"
    assert predictor["securityContext"]["runAsNonRoot"] is True
    assert predictor["model"]["securityContext"]["readOnlyRootFilesystem"] is True
    assert predictor["model"]["resources"]["limits"] == {"cpu": "2", "memory": "2Gi"}
