"""What stages that were ended by force leave in ML Metadata and among the artifacts, put right run by run."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from pipeline.metadata import open_store

RUNNING = (metadata_store_pb2.Execution.NEW, metadata_store_pb2.Execution.RUNNING)
_RUN_CONTEXT, _NODE_CONTEXT = "pipeline_run", "node"  # context types of TFX


def tidy(connection: metadata_store_pb2.ConnectionConfig, artifacts: Path, run_ids: Iterable[str]) -> dict[str, int]:
    """Marks executions that say they are running as failed, and removes the folders they wrote to.

    Args:
        connection: of the metadata store; it may serve other output folders too, which are left alone.
        artifacts: of the output folder.
        run_ids: runs of this folder that are over, however they ended.

    Returns:
        `{"executions": number of those marked}`.
    """
    store = open_store(connection)
    count = 0
    for run_id in run_ids:
        context = store.get_context_by_type_and_name(_RUN_CONTEXT, run_id)
        for execution in store.get_executions_by_context(context.id) if context else ():
            if execution.last_known_state in RUNNING:
                stage = stage_name(store, execution)
                fail(store, execution)
                for path in artifacts.glob(f"{stage}/*/{execution.id}"):
                    shutil.rmtree(path, ignore_errors=True)
                count += 1
    return {"executions": count}


def fail(store: MetadataStore, execution: metadata_store_pb2.Execution) -> None:
    """Marks one execution as failed."""
    execution.last_known_state = metadata_store_pb2.Execution.FAILED
    store.put_executions([execution])


def stage_name(store: MetadataStore, execution: metadata_store_pb2.Execution) -> str:
    """Returns the node id: TFX puts each execution into a context `<pipeline>.<node id>` of type `node`."""
    for context in store.get_contexts_by_execution(execution.id):
        if context.type == _NODE_CONTEXT:
            return str(context.name).rpartition(".")[2]
    return "unknown"
