from __future__ import annotations

import copy

import pytest

from pipeline import kubeflow_postprocess as post
from pipeline.kubeflow_deployment import Deployment, SecretEnv, SecretVolume, StageDeployment, Toleration, Volume

SPEC = {
    "deploymentSpec": {
        "executors": {
            "train_executor": {
                "container": {
                    "image": "old",
                    "args": ["--json_serialized_inputs_spec_args", "{}"],
                    "lifecycle": {"preCacheCheck": {}},
                }
            },
            "ingest_executor": {"container": {"image": "old"}},
        }
    },
    "components": {
        "tfx-dag": {
            "dag": {
                "tasks": {
                    "train": {
                        "componentRef": {"name": "train"},
                        "inputs": {
                            "parameters": {
                                "custom_config": {"runtimeValue": {"constant": '{"train": {"epochs": 5}}'}},
                                "note": {"runtimeValue": {"constant": "{not JSON"}},
                            }
                        },
                    },
                    "ingest": {
                        "componentRef": {"name": "ingest"},
                        "inputs": {"parameters": {"data_path": {"runtimeValue": {"constant": "d"}}}},
                    },
                }
            }
        },
        "train": {"executorLabel": "train_executor"},
        "ingest": {"executorLabel": "ingest_executor"},
    },
    "root": {"dag": {"tasks": {"tfx-dag": {"componentRef": {"name": "tfx-dag"}}}}},
}
DEFAULTS = {"data": "d", "epochs": 5, "run_name": "r", "at_least": 0.5, "worst_class_at_least": 0.1}


@pytest.fixture
def spec():
    return copy.deepcopy(SPEC)


def test_a_parameter_reaches_the_tasks_that_hold_its_value_and_keeps_its_default(spec):
    post.add_parameters(spec, DEFAULTS)
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    assert set(parameters) == {"data", "epochs"}  # nothing takes the others
    assert parameters["epochs"]["defaultValue"] == 5
    assert (parameters["epochs"]["parameterType"], parameters["epochs"]["isOptional"]) == ("NUMBER_INTEGER", True)
    holder = spec["root"]["dag"]["tasks"]["tfx-dag"]["inputs"]["parameters"]
    assert holder == {name: {"componentInputParameter": name} for name in ("data", "epochs")}
    tasks = post.stage_tasks(spec)
    assert tasks["ingest"]["inputs"]["parameters"] == {"data_path": {"componentInputParameter": "data"}}
    train = tasks["train"]["inputs"]["parameters"]
    assert train["custom_config--train--epochs"] == {"componentInputParameter": "epochs"}
    assert train["custom_config"] == {"runtimeValue": {"constant": '{"train": {"epochs": 5}}'}}


def test_an_entry_point_is_told_the_types_of_the_new_inputs(spec):
    post.add_parameters(spec, DEFAULTS)
    told = post.containers(spec)["train_executor"]["args"][1]
    assert '"custom_config--train--epochs": {\n   "parameterType": "NUMBER_INTEGER"' in told


def test_the_cache_is_off_where_something_outside_the_run_is_looked_at(spec):
    post.set_caching(spec)
    found = {name: task["cachingOptions"] for name, task in post.all_tasks(spec)}
    assert found == {"tfx-dag": {}, "ingest": {}, "train": {"enableCache": True}}


def test_resources_environment_and_retries_are_in_the_spec(spec):
    train = StageDeployment(
        cpu_limit="500m",
        memory_request="2Gi",
        memory_limit="4G",
        accelerator_type="nvidia.com/gpu",
        accelerator_count=2,
        retries=3,
        retry_after_s=10,
        env={"B": "2", "A": "1"},
    )
    post.deploy(spec, Deployment(image="new", pipeline_root="s3://b/r", stages={"train": train}))
    container = post.containers(spec)["train_executor"]
    assert container["image"] == "new"
    assert "lifecycle" not in container
    assert container["env"] == [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    assert container["resources"] == {
        "cpuLimit": 0.5,
        "resourceCpuLimit": "500m",
        "memoryRequest": 2.147483648,
        "resourceMemoryRequest": "2Gi",
        "memoryLimit": 4.0,
        "resourceMemoryLimit": "4G",
        "accelerator": {
            "type": "nvidia.com/gpu",
            "resourceType": "nvidia.com/gpu",
            "count": "2",
            "resourceCount": "2",
        },
    }
    assert post.stage_tasks(spec)["train"]["retryPolicy"] == {
        "maxRetryCount": 3,
        "backoffDuration": "10s",
        "backoffFactor": 2.0,
        "backoffMaxDuration": "604800s",  # without it the server lets Argo try nothing again
    }
    assert post.containers(spec)["ingest_executor"] == {"image": "new"}
    assert spec["defaultPipelineRoot"] == "s3://b/r"


def test_memory_of_every_unit_is_what_the_kfp_sdk_makes_of_it():
    compiler_utils = pytest.importorskip("kfp.compiler.compiler_utils")
    for quantity in ("1", "2Ki", "3M", "3Mi", "4G", "4Gi", "5T", "5Ti", "1P", "1Pi", "1E", "1Ei", "1.5Gi"):
        assert post._gigabytes(quantity) == pytest.approx(compiler_utils._memory_to_float(quantity)), quantity
    for quantity in ("2", "0.5", "500m"):
        assert post._cores(quantity) == compiler_utils._cpu_to_float(quantity)


def test_what_the_spec_cannot_say_is_in_the_platform_document(spec):
    train = StageDeployment(
        shm="2Gi",
        secrets_as_env=(SecretEnv(secret="store", key="user", env="USER"),),
        secrets_as_volumes=(SecretVolume(secret="ca", mount_path="/etc/ca"),),
        volumes=(Volume(claim="data", mount_path="/earthloop/data", sub_path="chips"),),
        node_selector={"zone": "a"},
        tolerations=(Toleration(key="gpu", operator="Exists"),),
        image_pull_secrets=("registry",),
    )
    document = post.platform(spec, Deployment(stages={"train": train}))
    executors = document["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    constant = {name: {"runtimeValue": {"constant": name}} for name in ("store", "ca", "data", "registry")}
    assert executors == {
        "train_executor": {
            "secretAsEnv": [
                {
                    "secretName": "store",
                    "secretNameParameter": constant["store"],
                    "keyToEnv": [{"secretKey": "user", "envVar": "USER"}],
                }
            ],
            "secretAsVolume": [{"secretName": "ca", "secretNameParameter": constant["ca"], "mountPath": "/etc/ca"}],
            "pvcMount": [
                {
                    "constant": "data",
                    "pvcNameParameter": constant["data"],
                    "mountPath": "/earthloop/data",
                    "subPath": "chips",
                }
            ],
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "imagePullSecret": [{"secretName": "registry", "secretNameParameter": constant["registry"]}],
            "nodeSelector": {"labels": {"zone": "a"}},
            "emptyDirMounts": [{"volumeName": "shm", "mountPath": "/dev/shm", "medium": "Memory", "sizeLimit": "2Gi"}],
        }
    }


def test_without_anything_to_say_there_is_no_platform_document(spec):
    assert post.platform(spec, Deployment()) == {}
