from __future__ import annotations

import pytest
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from applications.settings import MetadataSettings
from pipeline import leftovers, metadata


@pytest.fixture
def connection(tmp_path):
    return metadata.connection_config(MetadataSettings(), tmp_path)


@pytest.fixture
def store(connection):
    return MetadataStore(connection)


def add_execution(store, run_id, state):
    """Registers an execution of the stage `train` of one run, as TFX does."""
    kind = store.put_execution_type(mlmd.ExecutionType(name="trainer"))
    execution = mlmd.Execution(type_id=kind, last_known_state=state)
    contexts = []
    for type_name, name in (("pipeline_run", run_id), ("node", "ocean-foam.train")):
        context_type = store.put_context_type(mlmd.ContextType(name=type_name))
        contexts.append(mlmd.Context(type_id=context_type, name=name))
    return store.put_execution(execution, [], contexts, reuse_context_if_already_exist=True)[0]


def test_what_a_stopped_stage_was_writing_goes_and_the_rest_stays(connection, store, tmp_path):
    stopped = add_execution(store, "a", mlmd.Execution.RUNNING)
    done = add_execution(store, "a", mlmd.Execution.COMPLETE)
    another = add_execution(store, "b", mlmd.Execution.RUNNING)
    for number in (stopped, done, another):
        (tmp_path / f"artifacts/train/model/{number}/half").mkdir(parents=True)
    assert leftovers.tidy(connection, tmp_path / "artifacts", ["a", "unheard of"]) == {"executions": 1}
    states = [item.last_known_state for item in store.get_executions_by_id([stopped, done, another])]
    assert states == [mlmd.Execution.FAILED, mlmd.Execution.COMPLETE, mlmd.Execution.RUNNING]
    left = sorted(path.name for path in (tmp_path / "artifacts/train/model").iterdir())
    assert left == sorted([str(done), str(another)])


def test_runs_that_never_reached_a_stage_are_nothing_to_tidy(connection, tmp_path):
    assert leftovers.tidy(connection, tmp_path / "artifacts", ["a"]) == {"executions": 0}
