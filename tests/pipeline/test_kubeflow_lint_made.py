"""The lint on specs that others make: plain TFX, whose ways the cluster refuses, and the KFP SDK, whose it takes."""

import pytest

pytest.importorskip("tfx")

import yaml
from kfp import compiler
from kfp import dsl as kfp_dsl
from tfx import v1 as tfx
from tfx.dsl.component.experimental.annotations import OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration.kubeflow.decorators import FinalStatusStr
from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import KubeflowV2DagRunner, KubeflowV2DagRunnerConfig
from tfx.types import standard_artifacts

from pipeline import kubeflow_lint, kubeflow_spec
from pipeline.kubeflow_spec import KubeflowSpec


@component
def Say(text: Parameter[str], words: OutputArtifact[standard_artifacts.String]):
    """Says something."""


@component
def Goodbye(status: Parameter[str]):
    """Ends."""


def made_by_tfx(*nodes, version_2_1=True, handler=None):
    config = KubeflowV2DagRunnerConfig(default_image="image", use_pipeline_spec_2_1=version_2_1)
    runner = KubeflowV2DagRunner(config)
    if handler is not None:
        runner.set_exit_handler(handler)
    pipeline = tfx.dsl.Pipeline(pipeline_name="made-by-tfx", pipeline_root="gs://b/r", components=list(nodes))
    spec = runner.run(pipeline, write_out=False)["pipelineSpec"]
    return KubeflowSpec(pipeline={**spec, "defaultPipelineRoot": "gs://b/r"}, platform={})


def rules(spec):
    return {fault.rule for fault in kubeflow_lint.lint(spec)}


def test_a_resolver_of_tfx_is_refused():
    node = tfx.dsl.Resolver(
        strategy_class=tfx.dsl.experimental.LatestBlessedModelStrategy,
        model=tfx.dsl.Channel(type=standard_artifacts.Model),
        model_blessing=tfx.dsl.Channel(type=standard_artifacts.ModelBlessing),
    ).with_id("latest")
    found = [fault for fault in kubeflow_lint.lint(made_by_tfx(node)) if fault.rule == "executors"]
    assert {fault.where for fault in found} == {
        "executor latest-model-blessing-resolver_executor",
        "executor latest-model-resolver_executor",
    }
    assert all("components/baseline.py" in fault.remedy for fault in found)


def test_the_driver_of_a_file_based_example_gen_is_refused():
    node = tfx.components.CsvExampleGen(input_base="gs://b/data").with_id("read")
    assert rules(made_by_tfx(node)) == {"lifecycles"}


def test_a_runtime_parameter_of_tfx_has_lost_its_default():
    node = Say(text=tfx.dsl.experimental.RuntimeParameter(name="text", ptype=str, default="hello")).with_id("say")
    spec = made_by_tfx(node)
    assert rules(spec) == {"root-parameters"}
    assert kubeflow_lint.lint(spec, known=["text"]) == []


def test_a_runtime_parameter_under_an_exit_handler_of_tfx_is_not_handed_on():
    node = Say(text=tfx.dsl.experimental.RuntimeParameter(name="text", ptype=str)).with_id("say")
    handler = Goodbye(status=FinalStatusStr()).with_id("bye")
    assert rules(made_by_tfx(node, handler=handler)) == {"handed-on", "root-parameters"}


def test_a_value_that_tfx_hands_on_dangles():
    first = Say(text="hello").with_id("first")
    second = Say(text=first.outputs["words"].future()[0].value).with_id("second")
    [fault] = kubeflow_lint.lint(made_by_tfx(first, second))
    assert (fault.rule, fault.where) == ("producers", "task second")
    assert "comes from task 'first_task', which is not in root." in fault.what
    assert "hand the value on as an artifact" in fault.remedy


def test_names_that_tfx_allows_and_argo_does_not_are_refused():
    assert rules(made_by_tfx(Say(text="hello").with_id("say_it.now"))) == {"task-names"}


def test_an_importer_of_a_plain_path_is_refused():
    node = tfx.dsl.Importer(source_uri="/data/schema", artifact_type=standard_artifacts.Schema).with_id("schema")
    assert rules(made_by_tfx(node)) == {"importers"}


def test_the_older_schema_of_tfx_is_refused():
    assert rules(made_by_tfx(Say(text="hello").with_id("say"), version_2_1=False)) == {"schema-version"}


def test_the_entry_point_of_tfx_cannot_write_to_a_cluster_s_own_root():
    spec = made_by_tfx(Say(text="hello").with_id("say"))
    assert rules(spec) == set()
    del spec.pipeline["defaultPipelineRoot"]
    assert rules(spec) == {"storage"}


@kfp_dsl.component(base_image="python:3.11")
def make(count: int, out: kfp_dsl.Output[kfp_dsl.Dataset]) -> str:
    return str(count)


@kfp_dsl.component(base_image="python:3.11")
def use(data: kfp_dsl.Input[kfp_dsl.Dataset], text: str = "x") -> int:
    return 1


@kfp_dsl.component(base_image="python:3.11")
def bye(status: kfp_dsl.PipelineTaskFinalStatus, text: str):
    pass


@kfp_dsl.pipeline
def inner(count: int) -> kfp_dsl.Dataset:
    return make(count=count).outputs["out"]


@kfp_dsl.pipeline(name="made-by-kfp")
def whole(items: list, count: int = 3, uri: str = "s3://b/p"):
    with kfp_dsl.ExitHandler(bye(text=uri)):
        first = make(count=count)
        second = use(data=first.outputs["out"], text=first.outputs["Output"])
        use(data=inner(count=count).output)
        with kfp_dsl.If(second.output == 1):
            use(data=first.outputs["out"])
        with kfp_dsl.ParallelFor(items) as item:
            make(count=item)
        with kfp_dsl.ParallelFor([1, 2]) as item:
            make(count=item)
        use(data=kfp_dsl.importer(artifact_uri=uri, artifact_class=kfp_dsl.Dataset).output)


def test_what_the_kfp_sdk_makes_has_no_fault_but_a_parameter_without_default(tmp_path):
    compiler.Compiler().compile(whole, str(tmp_path / "whole.yaml"))
    spec = kubeflow_spec.read(tmp_path / "whole.yaml")
    [fault] = kubeflow_lint.lint(spec)
    assert (fault.rule, fault.where) == ("root-parameters", "root, parameter items")
    assert kubeflow_lint.lint(spec, known=["items"]) == []


def test_a_json_file_of_tfx_is_no_spec(tmp_path):
    runner = KubeflowV2DagRunner(
        KubeflowV2DagRunnerConfig(default_image="image", use_pipeline_spec_2_1=True),
        output_dir=str(tmp_path),
        output_filename="job.json",
    )
    node = Say(text="hello").with_id("say")
    runner.run(tfx.dsl.Pipeline(pipeline_name="made-by-tfx", pipeline_root="gs://b/r", components=[node]))
    [fault] = kubeflow_lint.lint(kubeflow_spec.read(tmp_path / "job.json"))
    assert fault.what == "it is a PipelineJob, which no open-source client loads."
    assert yaml.safe_load((tmp_path / "job.json").read_text())["pipelineSpec"]
