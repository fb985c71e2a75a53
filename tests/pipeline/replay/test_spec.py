"""Reading a compiled pipeline."""

from __future__ import annotations

import pytest

from applications.errors import ConfigError
from pipeline.kubeflow_spec import KubeflowSpec
from pipeline.replay import spec


def parsed(pipeline):
    return spec.parse(KubeflowSpec(pipeline=pipeline.document(), platform={}))


def test_tasks_are_listed_in_an_order_in_which_they_can_run(pipeline):
    pipeline.add("a", dependentTasks=["z"]).add("z", gives=["made"]).add("m", takes={"found": "a.made"})
    found = parsed(pipeline)
    assert list(found.leaves()) == ["z", "a", "m"]
    assert found.nodes["m"].needs == ("a",)
    assert found.pipeline_root == "minio://mlpipeline/v2/artifacts"


def test_a_task_that_waits_for_none_is_refused_with_the_near_name(pipeline):
    pipeline.add("train").add("bless", dependentTasks=["train_task"])
    with pytest.raises(ConfigError, match=r"task 'bless' waits for task 'train_task', and there is none. Did you mean"):
        parsed(pipeline)


def test_a_circle_is_refused(pipeline):
    pipeline.add("a", dependentTasks=["b"]).add("b", dependentTasks=["a"])
    with pytest.raises(ConfigError, match="tasks must not wait for each other in a circle, got"):
        parsed(pipeline)


def test_a_resolver_is_refused(pipeline):
    pipeline.add("latest")
    pipeline.executors["latest_executor"] = {"resolver": {}}
    with pytest.raises(ConfigError, match="must be a container or an importer, got resolver"):
        parsed(pipeline)


def test_a_loop_is_refused(pipeline):
    pipeline.add("each", parameterIterator={"itemInput": "x"})
    with pytest.raises(ConfigError, match="task 'each' is a loop, which the replay does not support"):
        parsed(pipeline)


def test_an_unknown_component_is_refused(pipeline):
    pipeline.add("work")
    pipeline.components.clear()
    with pytest.raises(ConfigError, match="task 'work' refers to component 'work', which the spec does not have"):
        parsed(pipeline)


def test_another_schema_version_is_refused(pipeline):
    document = {**pipeline.document(), "schemaVersion": "2.0.0"}
    with pytest.raises(ConfigError, match=r"schemaVersion must be '2.1.0', .* got '2.0.0'"):
        spec.parse(KubeflowSpec(pipeline=document, platform={}))


def test_the_json_of_an_older_compiler_is_refused(pipeline):
    job = {"displayName": "tiny", "pipelineSpec": pipeline.document()}
    with pytest.raises(ConfigError, match="It is a PipelineJob of an older compiler. Compile again, to a .yaml file."):
        spec.parse(KubeflowSpec(pipeline=job, platform={}))
