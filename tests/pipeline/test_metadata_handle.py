from __future__ import annotations

import json

import pytest
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from applications.settings import MetadataSettings
from pipeline.metadata import connection_config

pytest.importorskip("tfx")
from pipeline.metadata_handle import Handle, Store, without_backslash


class Shuffled:
    """A store that answers in the order it likes, as a server may."""

    def __init__(self, store):
        self._store = store
        self.written = []

    def get_artifacts_by_id(self, ids):
        return self._store.get_artifacts_by_id(ids)[::-1]

    def get_artifact_types_by_id(self, ids):
        return self._store.get_artifact_types_by_id(set(ids))[::-1]

    def put_execution(self, execution, *_more):
        self.written.append(execution.custom_properties["__execution_result__"].string_value)


@pytest.fixture
def store(tmp_path):
    return MetadataStore(connection_config(MetadataSettings(), tmp_path))


def test_answers_come_in_the_order_of_the_question(store):
    kinds = [store.put_artifact_type(mlmd.ArtifactType(name=name)) for name in ("Model", "ModelRun")]
    ids = store.put_artifacts([mlmd.Artifact(type_id=kind, uri="x") for kind in (*kinds, kinds[0])])
    asked = [ids[1], ids[2], ids[0]]
    ordered = Store(Shuffled(store))
    assert [item.id for item in ordered.get_artifacts_by_id(asked)] == asked
    types = ordered.get_artifact_types_by_id([kinds[1], kinds[0], kinds[0]])
    assert [item.name for item in types] == ["ModelRun", "Model", "Model"]


def test_the_handle_is_what_tfx_takes_and_still_does_everything_else(tmp_path):
    with Handle(connection_config(MetadataSettings(), tmp_path)) as handle:
        assert handle.store.get_executions() == []


def test_a_traceback_is_written_without_backslashes():
    said = json.dumps({"resultMessage": 'File "a.py"\n\tat C:\\x \x1b[1mß'})
    found = json.loads(without_backslash(said))
    assert found == {"resultMessage": "File 'a.py' at C:/x [1mß"}
    assert "\\" not in without_backslash(said)


@pytest.mark.parametrize("has_no_backslash", [True, False])
def test_only_where_it_must_is_a_result_changed(store, has_no_backslash):
    execution = mlmd.Execution()
    execution.custom_properties["__execution_result__"].string_value = '{"a": "b\\nc"}'
    shuffled = Shuffled(store)
    Store(shuffled, has_no_backslash=has_no_backslash).put_execution(execution, [], [])
    assert shuffled.written == ['{"a": "b c"}' if has_no_backslash else '{"a": "b\\nc"}']
