"""The pipelines there are, compiled for Kubeflow, and held against the golden files."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("tfx")

import yaml
from kfp import components

from applications import discovery
from pipeline import config as configuration
from pipeline import kubeflow_golden, kubeflow_lint, kubeflow_runner, kubeflow_spec
from pipeline.kubeflow_deployment import Deployment, StageDeployment, Volume
from pipeline.kubeflow_parameters import applied
from pipeline.stage_names import STAGES

APPLICATION = discovery.load("satellite/landcover")
MOUNTED = Deployment(every_stage=StageDeployment(volumes=(Volume(claim="c", mount_path="/earthloop"),)))


def compiled(*overrides, deployment=MOUNTED, data="/earthloop/chips", **options):
    config = configuration.resolve(APPLICATION, data=data, overrides=overrides)
    return kubeflow_runner.compile_application(APPLICATION, config, deployment, **options)


@pytest.fixture(scope="module")
def spec():
    return compiled("train.epochs=7", run_name="spring").spec


def tasks(spec):
    return spec.pipeline["components"]["tfx-dag"]["dag"]["tasks"]


def test_every_stage_is_a_task_under_the_exit_handler(spec):
    assert set(tasks(spec)) == set(STAGES) - {"tune"}
    handler = spec.pipeline["root"]["dag"]["tasks"]["report-outcome"]
    assert handler["triggerPolicy"] == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
    assert handler["dependentTasks"] == ["tfx-dag"]
    assert handler["inputs"]["parameters"]["status"] == {"taskFinalStatus": {"producerTask": "tfx-dag"}}
    assert handler["inputs"]["parameters"]["run_name"] == {"componentInputParameter": "run_name"}


def test_older_servers_are_not_asked_how_the_run_ended():
    spec = compiled(deployment=Deployment(final_status=False)).spec
    assert "taskFinalStatus" not in json.dumps(spec.pipeline)


def test_the_parameters_have_the_values_of_the_configuration_as_defaults(spec):
    parameters = spec.pipeline["root"]["inputDefinitions"]["parameters"]
    assert {name: parameter["defaultValue"] for name, parameter in parameters.items()} == {
        "data": "/earthloop/chips",
        "run_name": "spring",
        "epochs": 7,
        "at_least": APPLICATION.blessing.at_least,
        "worst_class_at_least": APPLICATION.blessing.worst_class_at_least,
        "push_destination": "/earthloop/serving",
        "run_unchanged": False,
    }


def test_every_stage_that_knows_a_value_gets_the_parameter(spec):
    found = {}
    for name, task in tasks(spec).items():
        for key, given in task["inputs"]["parameters"].items():
            if parameter := given.get("componentInputParameter"):
                found.setdefault(parameter, set()).add(f"{name}: {key}")
    whole = {"baseline", "push", "report"}  # what is told all of the configuration

    def everywhere(path):
        return {f"{name}: configuration--{path}" for name in whole}

    assert found == {
        "data": {"spans: data_path", *everywhere("data")},
        "epochs": {"train: custom_config--train--epochs", *everywhere("train--epochs")},
        "at_least": {"bless: settings--blessing--at_least", *everywhere("blessing--at_least")},
        "worst_class_at_least": {
            "bless: settings--blessing--worst_class_at_least",
            *everywhere("blessing--worst_class_at_least"),
        },
        "push_destination": {"baseline: destination", "push: destination", *everywhere("push--destination")},
        "run_unchanged": {"baseline: run_unchanged"},
    }


def test_all_behind_the_baseline_hangs_on_whether_there_is_something_new(spec):
    conditions = {name: task.get("triggerPolicy", {}).get("condition", "") for name, task in tasks(spec).items()}
    assert {name for name, condition in conditions.items() if not condition} == {"spans", "baseline"}
    assert all(condition.endswith("metadata['is_new'] == 1.0)") for condition in conditions.values() if condition)


def test_baseline_and_push_find_out_alike_what_the_model_is_made_from(spec):
    one, other = (tasks(spec)[name]["inputs"]["parameters"] for name in ("baseline", "push"))
    assert one["made_from"] == other["made_from"] == {"runtimeValue": {"constant": ""}}
    shared = [name for name in one if name == "made_with" or name.startswith("configuration")]
    assert {name: one[name] for name in shared} == {name: other[name] for name in shared}
    told = json.loads(one["made_with"]["runtimeValue"]["constant"])
    assert (len(told["code_version"]), told["weights_digest"]) == (16, "")


def test_with_its_defaults_the_trainer_is_told_what_it_is_told_locally(spec):
    given = tasks(spec)["train"]["inputs"]["parameters"]
    text = given["custom_config"]["runtimeValue"]["constant"]
    assert applied({"custom_config": text, "custom_config--train--epochs": 7.0}) == {"custom_config": text}
    assert json.loads(text)["train"]["epochs"] == 7


def test_the_tuner_learns_the_epochs_too():
    assert "custom_config--train--epochs" in tasks(compiled("tune.enabled=true").spec)["tune"]["inputs"]["parameters"]


def test_a_training_that_starts_from_the_last_model_gets_it_from_the_baseline():
    assert "base_model" not in tasks(compiled().spec)["train"]["inputs"].get("artifacts", {})
    given = tasks(compiled("train.warm_start=true").spec)["train"]["inputs"]["artifacts"]["base_model"]
    assert given["taskOutputArtifact"] == {"producerTask": "baseline", "outputArtifactKey": "model"}


def test_containers_start_our_entry_point_with_the_arguments_of_tfx(spec):
    for label, executor in spec.executors.items():
        container = executor["container"]
        assert container["command"] == ["python", "-m", "pipeline.kubeflow_entrypoint"], label
        assert container["args"][2:4] == ["--json_serialized_invocation_args", "{{$}}"]
    assert "--runner=FnApiRunner" in spec.executors["ingest_executor"]["container"]["args"]


def test_the_file_is_read_again_as_it_was_and_kfp_can_load_it(spec, tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text(kubeflow_runner.as_yaml(spec))
    assert kubeflow_spec.read(path) == spec
    assert len(list(yaml.safe_load_all(path.read_text()))) == 2
    loaded = components.load_component_from_file(str(path))
    assert loaded.pipeline_spec.pipeline_info.name == "satellite-landcover"
    assert "ingest_executor" in loaded.platform_spec.platforms["kubernetes"].deployment_spec.executors


def test_what_lies_on_no_volume_is_noted_and_a_uri_is_not():
    notes = compiled(deployment=Deployment(), data="s3://bucket/chips").notes
    assert [note.partition(",")[0] for note in notes] == ["push_destination is /earthloop/serving"]
    assert compiled().notes == ()


def test_a_serving_folder_that_the_lookup_of_the_baseline_does_not_mount_is_noted():
    mounted = MOUNTED.every_stage
    stages = {stage: mounted for stage in ("spans", "ingest", "push")}
    [note] = compiled(deployment=Deployment(stages=stages)).notes
    assert note.startswith("push_destination is /earthloop/serving, which lies on no volume of stage baseline")


def test_a_field_that_the_server_does_not_know_is_not_written(monkeypatch):
    monkeypatch.setattr("pipeline.kubeflow_postprocess._pod", lambda _: {"volumeMounts": []})
    with pytest.raises(Exception, match='no field named "volumeMounts"'):
        compiled()


@pytest.fixture(scope="module")
def made():
    return kubeflow_golden.specs()


def test_the_golden_specs_are_what_the_code_compiles(made, project):
    written = {str(path.relative_to(project)) for path in (project / kubeflow_golden.FOLDER).glob("*.yaml")}
    assert written == set(made)
    for path, text in made.items():
        assert (project / path).read_text(encoding="utf-8") == text, "run `make golden` and look at the difference"


def test_the_golden_specs_are_clean_and_name_nothing_of_this_machine(made, project):
    for path, text in made.items():
        assert kubeflow_lint.lint(kubeflow_spec.read(project / path)) == []
        assert str(project) not in text
        assert "<digest of code>" in text


def test_a_golden_spec_that_differs_is_named(made, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(kubeflow_golden, "ROOT", tmp_path)
    monkeypatch.setattr(kubeflow_golden, "specs", lambda: made)
    assert kubeflow_golden.main(["--check"]) == 1
    assert "tests/golden/satellite-landcover.yaml must be as the code says." in capsys.readouterr().err
    (tmp_path / "tests" / "golden").mkdir(parents=True)
    (tmp_path / "tests" / "golden" / "gone.yaml").write_text("")
    assert kubeflow_golden.main([]) == 0
    assert kubeflow_golden.main(["--check"]) == 0
    assert not (tmp_path / "tests" / "golden" / "gone.yaml").exists()
