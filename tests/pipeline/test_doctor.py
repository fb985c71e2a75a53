from __future__ import annotations

import os
import subprocess
import sys

import pytest
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from applications.settings import MetadataSettings
from pipeline import doctor, metadata, output_folder
from pipeline.output_folder import OutputFolder
from pipeline.run_record import RunRecord


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "artifacts").mkdir()
    return OutputFolder(tmp_path)


@pytest.fixture
def store(folder):
    return MetadataStore(metadata.connection_config(MetadataSettings(), folder.path))


def texts(folder):
    return [problem.text for problem in doctor.problems(folder)]


def fix_all(folder):
    return [problem.fix() for problem in doctor.problems(folder)]


def add_artifact(store, folder, name, state=mlmd.Artifact.LIVE):
    kind = store.put_artifact_type(mlmd.ArtifactType(name="Examples"))
    path = folder.artifacts / name
    path.mkdir(parents=True)
    store.put_artifacts([mlmd.Artifact(type_id=kind, uri=str(path), state=state)])
    return path


def test_an_empty_folder_has_no_problems(folder):
    assert texts(folder) == []


def test_an_orphaned_execution_is_found_with_its_stage_and_marked_failed(folder, store):
    kind = store.put_execution_type(mlmd.ExecutionType(name="trainer.component.Trainer"))
    node = store.put_context_type(mlmd.ContextType(name="node"))
    states = (mlmd.Execution.RUNNING, mlmd.Execution.COMPLETE, mlmd.Execution.CACHED)
    ids = store.put_executions([mlmd.Execution(type_id=kind, last_known_state=state) for state in states])
    context = store.put_contexts([mlmd.Context(type_id=node, name="ocean-foam.train")])[0]
    store.put_attributions_and_associations([], [mlmd.Association(execution_id=ids[0], context_id=context)])
    assert texts(folder) == [f"execution {ids[0]} of stage train says it is running, but no run is."]
    assert fix_all(folder) == [f"Marked execution {ids[0]} as failed."]
    assert [item.last_known_state for item in store.get_executions()] == [mlmd.Execution.FAILED, *states[1:]]
    assert texts(folder) == []


def test_artifact_folders_that_nobody_published_are_removed(folder, store):
    kept = add_artifact(store, folder, "ingest/examples/1")
    pending = add_artifact(store, folder, "train/model/2", state=mlmd.Artifact.PENDING)
    (folder.artifacts / "train/model/3/half").mkdir(parents=True)
    (folder.artifacts / "train/.system/executor_execution/3").mkdir(parents=True)
    assert texts(folder) == [
        "artifacts/train/model/2 was never finished: no execution published it.",
        "artifacts/train/model/3 was never finished: no execution published it.",
    ]
    fix_all(folder)
    assert kept.is_dir()
    assert not pending.exists()
    assert (folder.artifacts / "train/.system/executor_execution/3").is_dir()
    assert texts(folder) == []


def test_a_published_artifact_that_is_gone_is_no_longer_offered_to_the_cache(folder, store):
    add_artifact(store, folder, "ingest/examples/1").rmdir()
    assert texts(folder) == ["artifacts/ingest/examples/1 is gone, though ML Metadata has it."]
    fix_all(folder)
    assert [item.state for item in store.get_artifacts()] == [mlmd.Artifact.DELETED]
    assert texts(folder) == []


def test_a_damaged_metadata_file_is_told_and_left(folder):
    folder.metadata.write_bytes(b"this is no database" * 100)
    [problem] = doctor.problems(folder)
    assert problem.text.startswith("metadata.sqlite cannot be read (")
    assert problem.fix is None


def test_half_pushed_versions_of_dead_processes_are_removed(folder):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    model = folder.serving / "ocean-foam"
    (model / "1").mkdir(parents=True)
    (model / f".incoming-2-{child.pid}").mkdir()
    (model / f".incoming-3-{os.getpid()}").mkdir()
    assert texts(folder) == [f"ocean-foam/.incoming-2-{child.pid} is half a version."]
    fix_all(folder)
    assert sorted(path.name for path in model.iterdir()) == [f".incoming-3-{os.getpid()}", "1"]


def test_dead_runs_are_ended_and_unreadable_ones_set_aside(folder):
    RunRecord.create(folder.path, "ocean/foam", {"push": {}}, run_id="20260101T000000Z", stages=["train"])
    folder.run("20260102T000000Z").mkdir()
    assert texts(folder) == [
        "run 20260102T000000Z has no record that can be read.",
        "run 20260101T000000Z says it is running, but its process is gone.",
    ]
    fix_all(folder)
    assert RunRecord.open(folder.path, "20260101T000000Z").data["state"] == "interrupted"
    assert (folder.runs / ".broken-20260102T000000Z").is_dir()
    assert texts(folder) == []


def test_a_stale_lock_file_is_emptied(folder):
    folder.lock.write_text('{"pid": 999999, "host": "x"}')
    assert texts(folder) == ["the lock file still names process 999999, which is gone."]
    fix_all(folder)
    assert texts(folder) == []


def test_half_a_sample_is_removed_and_a_full_disk_is_told(folder, monkeypatch):
    (folder.path / ".data-incoming").mkdir()
    monkeypatch.setattr(output_folder, "free_mib", lambda path: 12)
    assert texts(folder) == [
        ".data-incoming is half a synthetic sample.",
        "only 12 MiB are free on its disk; a run needs 500 MiB.",
    ]


def test_artifacts_of_a_moved_folder_are_never_removed(folder, store, tmp_path):
    kind = store.put_artifact_type(mlmd.ArtifactType(name="Examples"))
    store.put_artifacts([mlmd.Artifact(type_id=kind, uri="/before/artifacts/ingest/x/1", state=mlmd.Artifact.LIVE)])
    record = RunRecord.create(tmp_path, "ocean/foam", {"push": {}}, run_id="20260101T000000Z")
    record.artifacts("ingest", {"x": ["artifacts/ingest/x/1"]})
    record.finish("complete")
    (folder.artifacts / "ingest/x/1").mkdir(parents=True)
    [text] = texts(folder)
    assert text.startswith("ML Metadata has 1 artifacts outside this folder, such as /before/artifacts/ingest/x/1")
    fix_all(folder)
    assert texts(folder) == []
    assert (folder.artifacts / "ingest/x/1").is_dir()


def test_a_folder_reached_through_a_link_is_the_same_folder(folder, store, tmp_path):
    kept = add_artifact(store, folder, "ingest/examples/1")
    link = tmp_path.with_name(f"{tmp_path.name}-link")
    link.symlink_to(tmp_path)
    assert texts(OutputFolder(link)) == []
    assert kept.is_dir()
