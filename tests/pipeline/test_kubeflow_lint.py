"""One broken spec per rule; the sound one has an exit handler, a DAG, an importer and a platform document."""

from __future__ import annotations

import copy

import pytest

from applications.errors import ConfigError
from pipeline import kubeflow_lint, kubeflow_spec
from pipeline.kubeflow_spec import KubeflowSpec

STRING = {"parameterType": "STRING"}
EXAMPLES = {"artifactType": {"schemaTitle": "tfx.Examples"}}
SOUND = {
    "schemaVersion": "2.1.0",
    "pipelineInfo": {"name": "a-pipeline"},
    "deploymentSpec": {
        "executors": {
            "read_executor": {"container": {"image": "i", "command": ["python", "-m", "mine"]}},
            "use_executor": {"container": {"image": "i"}},
            "import_executor": {"importer": {"artifactUri": {"constant": "gs://b/p"}}},
            "bye_executor": {"container": {"image": "i"}},
        }
    },
    "components": {
        "read": {
            "executorLabel": "read_executor",
            "inputDefinitions": {"parameters": {"data": STRING, "note": {**STRING, "isOptional": True}}},
            "outputDefinitions": {"artifacts": {"examples": EXAMPLES}, "parameters": {"count": STRING}},
        },
        "use": {
            "executorLabel": "use_executor",
            "inputDefinitions": {"artifacts": {"examples": EXAMPLES}, "parameters": {"count": STRING}},
        },
        "import": {"executorLabel": "import_executor", "outputDefinitions": {"artifacts": {"result": EXAMPLES}}},
        "bye": {"executorLabel": "bye_executor", "inputDefinitions": {"parameters": {"status": STRING}}},
        "inner": {
            "inputDefinitions": {"parameters": {"data": STRING}},
            "dag": {
                "outputs": {
                    "artifacts": {
                        "out": {"artifactSelectors": [{"producerSubtask": "read", "outputArtifactKey": "examples"}]}
                    }
                },
                "tasks": {
                    "read": {
                        "componentRef": {"name": "read"},
                        "inputs": {"parameters": {"data": {"componentInputParameter": "data"}}},
                    },
                    "import": {"componentRef": {"name": "import"}},
                    "use": {
                        "componentRef": {"name": "use"},
                        "dependentTasks": ["read"],
                        "inputs": {
                            "artifacts": {
                                "examples": {
                                    "taskOutputArtifact": {"producerTask": "read", "outputArtifactKey": "examples"}
                                }
                            },
                            "parameters": {
                                "count": {
                                    "taskOutputParameter": {"producerTask": "read", "outputParameterKey": "count"}
                                }
                            },
                        },
                    },
                },
            },
        },
    },
    "root": {
        "inputDefinitions": {"parameters": {"data": {**STRING, "defaultValue": "s3://b/data"}}},
        "dag": {
            "tasks": {
                "inner": {
                    "componentRef": {"name": "inner"},
                    "inputs": {"parameters": {"data": {"componentInputParameter": "data"}}},
                },
                "bye": {
                    "componentRef": {"name": "bye"},
                    "dependentTasks": ["inner"],
                    "triggerPolicy": {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"},
                    "inputs": {"parameters": {"status": {"taskFinalStatus": {"producerTask": "inner"}}}},
                },
            }
        },
    },
}
PLATFORM = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"use_executor": {}}}}}}
INNER = "components.inner.dag.tasks"
EXECUTORS = "deploymentSpec.executors"
PLAIN = ["python", "-m", "tfx.orchestration.kubeflow.v2.container.kubeflow_v2_run_executor"]
GONE = object()


def broken(path, value, platform=PLATFORM):
    """Returns the sound spec with one place changed, or removed."""
    spec = copy.deepcopy(SOUND)
    place, keys = spec, path.split(".")
    for key in keys[:-1]:
        place = place[key]
    if value is GONE:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    return KubeflowSpec(pipeline=spec, platform=platform)


def faults(spec, known=()):
    return [(fault.rule, str(fault)) for fault in kubeflow_lint.lint(spec, known)]


def test_a_sound_spec_has_no_faults():
    assert faults(KubeflowSpec(pipeline=SOUND, platform=PLATFORM)) == []


CASES = [
    ("schemaVersion", "2.0.0", "schema-version", "the server takes 2.1.0 alone, got '2.0.0'. Compile with"),
    ("pipelineSpec", {}, "schema-version", "it is a PipelineJob, which no open-source client loads. Write what"),
    ("pipelineInfo.name", "My_Pipeline", "pipeline-name", "at most 128, got 'My_Pipeline'. Rename the pipeline."),
    (f"{INNER}.step_1", {"componentRef": {"name": "import"}}, "task-names", "Rename it, such as 'step-1'"),
    (f"{INNER}.-x", {"componentRef": {"name": "import"}}, "task-names", "Argo takes letters, digits and -"),
    (f"{INNER}.import.componentRef.name", "impord", "references", "no component 'impord'. Did you mean 'import'?"),
    ("components.use.executorLabel", "use_exec", "references", "there is no executor 'use_exec'. Did you mean"),
    ("root.dag.tasks", {}, "references", "root: the pipeline has no task."),
    (f"{EXECUTORS}.use_executor", {"resolver": {}}, "executors", "it is a resolver, which the open-source server"),
    (f"{EXECUTORS}.use_executor", {"customJob": {}}, "executors", "neither container nor importer but customJob."),
    (f"{EXECUTORS}.use_executor.container.image", "", "executors", "its container has no image. Name the image"),
    (
        f"{EXECUTORS}.read_executor.container.lifecycle",
        {"preCacheCheck": {"command": ["python"]}},
        "lifecycles",
        "its driver (lifecycle.preCacheCheck) is never called",
    ),
    (
        f"{INNER}.use.retryPolicy",
        {"maxRetryCount": 2, "backoffDuration": "60s"},
        "retries",
        "task use of inner: its retryPolicy has no backoffMaxDuration; the server makes 0 seconds of that",
    ),
    (
        f"{INNER}.use.retryPolicy",
        {"maxRetryCount": 2, "backoffFactor": 1.5, "backoffMaxDuration": "3600s"},
        "retries",
        "its backoffFactor must be a whole number, got 1.5; Argo reads no other.",
    ),
    (f"{EXECUTORS}.read_executor.container.command", PLAIN, "storage", "own entry point writes to no minio:// root"),
    (f"{INNER}.use.dependentTasks", ["raed"], "producers", "waits for task 'raed', which is not in inner. Did you"),
    (
        f"{INNER}.use.inputs.parameters.count.taskOutputParameter.producerTask",
        "read_task",
        "producers",
        "hand the value on as an artifact.",
    ),
    (
        f"{INNER}.use.inputs.artifacts.examples.taskOutputArtifact.outputArtifactKey",
        "model",
        "producers",
        "is output 'model' of task 'read', which has examples. Name one",
    ),
    (
        "components.inner.dag.outputs.artifacts.out.artifactSelectors",
        [{"producerSubtask": "gone"}],
        "producers",
        "inner: its output 'out' comes from task 'gone', which is not in it.",
    ),
    (f"{INNER}.read.inputs.parameters", {}, "parameter-values", "task read of inner: parameter 'data' has neither"),
    ("components.inner.inputDefinitions", GONE, "handed-on", "'data' takes 'data' from inner, which declares no such"),
    (f"{INNER}.use.inputs.artifacts", {}, "artifact-values", "task use of inner: its input 'examples' comes from now"),
    (
        f"{EXECUTORS}.import_executor.importer.artifactUri.constant",
        "/earthloop/p",
        "importers",
        "scheme, got '/earthloop/p'.",
    ),
    (
        f"{INNER}.import.triggerPolicy",
        {"condition": "1 > 2"},
        "importers",
        "it imports an artifact on a condition, which the server does not compile. Import it always",
    ),
    (f"{INNER}.read.dependentTasks", ["use"], "cycles", "inner: its tasks wait for each other: "),
    (
        f"{INNER}.again",
        {"componentRef": {"name": "inner"}},
        "cycles",
        "components: DAGs hold each other: inner → inner",
    ),
    (
        "components.read.outputDefinitions.artifacts.examples.artifactType.schemaTitle",
        "Examples",
        "artifact-types",
        "component read, artifact examples: its type is 'Examples', which does not look like `namespace.Title`",
    ),
    (
        "root.inputDefinitions.parameters.data",
        STRING,
        "root-parameters",
        "root, parameter data: it has no default, so a run that does not give it fails. Put defaultValue",
    ),
]


@pytest.mark.parametrize(("path", "value", "rule", "text"), CASES, ids=[f"{rule}-{path}" for path, _, rule, _ in CASES])
def test_each_rule_says_what_where_and_the_remedy(path, value, rule, text):
    found = faults(broken(path, value))
    assert rule in {name for name, _ in found}
    assert any(text in sentence for name, sentence in found if name == rule), found


def test_a_policy_with_an_end_passes():
    policy = {"maxRetryCount": 2, "backoffFactor": 2.0, "backoffMaxDuration": "3600s"}
    assert faults(broken(f"{INNER}.use.retryPolicy", policy)) == []


def test_a_file_that_was_cut_off_is_told_as_such_and_nothing_else():
    [(rule, text)] = faults(KubeflowSpec(pipeline={"components": SOUND["components"]}, platform={}))
    assert rule == "whole-file"
    assert text.startswith("the file: it has components and no deploymentSpec, pipelineInfo, root: it looks cut off")


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"kind": "Workflow", "spec": {}}, "it is a Kubernetes object of kind Workflow. Give the file"),
        ({"train": {}, "split": {}}, "it has the keys train, split. Give the file that `earthloop compile`"),
        (dict.fromkeys("abcdefg", 1), "it has the keys a, b, c, d, e and others."),
    ],
)
def test_a_file_of_another_kind_is_told_as_such(document, text):
    [(rule, found)] = faults(KubeflowSpec(pipeline=document, platform={}))
    assert (rule, text in found) == ("whole-file", True), found


def test_platform_documents_speak_of_executors_that_are_there():
    platform = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"use_executer": {}}}}, "vertex": {}}}
    found = faults(KubeflowSpec(pipeline=SOUND, platform=platform))
    assert [rule for rule, _ in found] == ["platforms", "platforms"]
    assert "knows the platform 'kubernetes' alone. Put its content under `kubernetes`." in found[0][1]
    assert "no executor 'use_executer' in the pipeline. Did you mean 'use_executor'?" in found[1][1]


def test_every_rule_has_a_broken_spec():
    rules = {rule.__name__.replace("_", "-") for rule in kubeflow_lint.RULES}
    assert rules - {rule for _, _, rule, _ in CASES} == {"platforms"}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ({"schemaTitle": "tfx.Exampels"}, "tfx has no Exampels. Did you mean 'Examples'? Import the class in tfx"),
        ({"schemaTitle": "components.Verdikt"}, "components has no Verdikt. Did you mean 'Verdict'?"),
        ({"schemaTitle": "nowhere.Thing"}, "there is no package 'nowhere' here, so the container cannot import it."),
        ({"instanceSchema": "title: verdict\ntype: object\n"}, "its type is 'verdict', which does not look like"),
        ({}, "its type has no title. Give it schemaTitle or instanceSchema."),
    ],
)
def test_types_that_no_container_can_import_are_refused(kind, text):
    path = "components.read.outputDefinitions.artifacts.examples.artifactType"
    assert any(text in sentence for _, sentence in faults(broken(path, kind)))


@pytest.mark.parametrize("kind", [{"schemaTitle": "system.Dataset"}, {"instanceSchema": "title: components.Verdict\n"}])
def test_types_that_can_be_imported_or_need_not_be_pass(kind):
    assert faults(broken("components.read.outputDefinitions.artifacts.examples.artifactType", kind)) == []


def test_a_uri_that_comes_from_a_parameter_is_followed_to_its_default():
    spec = broken(f"{EXECUTORS}.import_executor.importer.artifactUri", {"runtimeParameter": "uri"}).pipeline
    task = spec["components"]["inner"]["dag"]["tasks"]["import"]
    for given, expected in (
        ({"runtimeValue": {"constant": "folder/p"}}, ["importers"]),
        ({"componentInputParameter": "data"}, []),
    ):
        task["inputs"] = {"parameters": {"uri": given}}
        assert [rule for rule, _ in faults(KubeflowSpec(pipeline=spec, platform={}))] == expected


def test_a_parameter_that_every_run_gives_needs_no_default():
    assert faults(broken("root.inputDefinitions.parameters.data", STRING), known=["data"]) == []


def test_plain_tfx_containers_may_write_to_google_s_storage():
    spec = broken(f"{EXECUTORS}.read_executor.container.command", PLAIN)
    spec.pipeline["defaultPipelineRoot"] = "gs://bucket/root"
    assert faults(spec) == []


def test_a_spec_with_faults_is_refused_with_all_of_them():
    spec = broken("pipelineInfo.name", "My_Pipeline", platform={"platforms": {"vertex": {}}})
    with pytest.raises(ConfigError, match=r"ours would fail on the cluster:\n  pipelineInfo.*\n  platform vertex"):
        kubeflow_lint.require_clean(spec, "ours")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: ]\nb: 1\n", r"spec.yaml line 1 is not valid YAML: [^.]*\.$"),
        ('a: 1\nb: "x\n', "line 2 is not valid YAML: found unexpected end of stream. The file ends there: it looks"),
        ("", "spec.yaml is empty, or holds nothing but comments. Compile the pipeline again."),
        ("- 1\n", "spec.yaml must hold a pipeline spec and perhaps a platform document, each a mapping, got 1"),
        ("platforms: {}\n---\nplatforms: {}\n", "spec.yaml must hold one pipeline spec, got 0"),
    ],
)
def test_files_that_hold_no_spec_are_refused(tmp_path, text, message):
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        kubeflow_spec.read(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="readable YAML file, got .*gone.yaml': No such file"):
        kubeflow_spec.read(tmp_path / "gone.yaml")
