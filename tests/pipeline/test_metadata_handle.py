from __future__ import annotations

import pytest
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from applications.settings import MetadataSettings
from pipeline.metadata import connection_config

pytest.importorskip("tfx")
from tfx.orchestration import metadata

from pipeline.metadata_handle import STAND_IN, Handle, Store, WithoutBackslash, replaced


class Shuffled:
    """A store that answers in the order it likes, as a server may."""

    def __init__(self, store):
        self._store = store

    def get_artifacts_by_id(self, ids):
        return self._store.get_artifacts_by_id(ids)[::-1]

    def get_artifact_types_by_id(self, ids):
        return self._store.get_artifact_types_by_id(set(ids))[::-1]


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


@pytest.mark.parametrize("text", ["C:\\new\\\\", 'say \\"so\\"', "a\nb ä", "\\'); drop table Type; --", ""])
def test_a_backslash_reaches_postgresql_as_its_stand_in_and_comes_back_as_itself(store, text):
    kind = store.put_execution_type(mlmd.ExecutionType(name="Train", properties={"settings": mlmd.STRING}))
    execution = mlmd.Execution(type_id=kind, name=text)
    execution.properties["settings"].string_value = text
    execution.custom_properties["all"].struct_value.fields["deep"].list_value.values.add(string_value=text)
    [number] = WithoutBackslash(store).put_executions([execution])
    [written], [found] = (each.get_executions_by_id([number]) for each in (store, WithoutBackslash(store)))
    for each, meant in ((written, text.replace("\\", STAND_IN)), (found, text), (execution, text)):
        [deep] = each.custom_properties["all"].struct_value.fields["deep"].list_value.values
        assert (each.name, each.properties["settings"].string_value, deep.string_value) == (meant, meant, meant)


def test_what_is_looked_for_by_name_is_found_by_the_name_it_was_given(store):
    kind = store.put_context_type(mlmd.ContextType(name="node"))
    put = WithoutBackslash(store)
    put.put_contexts(contexts=[mlmd.Context(type_id=kind, name="a\\b")])
    assert put.get_context_by_type_and_name("node", context_name="a\\b").name == "a\\b"
    assert store.get_context_by_type_and_name("node", f"a{STAND_IN}b").name == f"a{STAND_IN}b"


def test_repeated_texts_and_tuples_are_replaced_and_numbers_are_not():
    options = mlmd.SystemTypeExtension(type_name="a.b")
    assert replaced((1, "a.b", [options], {"k.k": "v.v"}, None), ".", "-") == (
        1, "a-b", [mlmd.SystemTypeExtension(type_name="a-b")], {"k.k": "v-v"}, None,
    )  # fmt: skip
    path = mlmd.Event.Path(steps=[mlmd.Event.Path.Step(key="x.y"), mlmd.Event.Path.Step(index=1)])
    assert [step.key for step in replaced(path, ".", "-").steps] == ["x-y", ""]


@pytest.mark.parametrize(("backend", "is_without"), [("sqlite", False), ("postgresql", True)])
def test_only_postgresql_gets_stand_ins(backend, is_without, monkeypatch, tmp_path):
    monkeypatch.setattr(metadata.Metadata, "store", "the store of TFX")
    handle = Handle(connection_config(MetadataSettings(backend=backend), tmp_path))
    assert isinstance(handle.store._store, WithoutBackslash) == is_without
