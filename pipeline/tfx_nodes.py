"""A TFX pipeline as a set of nodes that can be launched one by one, each in a process of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import compiler, constants
from tfx.orchestration.local import runner_utils
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import launcher, partial_run_utils, runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2

from applications.errors import StageError, UnknownName
from applications.formats import workers
from pipeline import leftovers, partial_run
from pipeline.metadata_handle import Handle
from pipeline.scheduler import ancestors

_WITH_WORKERS = ("ingest",)  # stages that share out their work by `applications.formats.workers`
FINISHED = (metadata_store_pb2.Execution.COMPLETE, metadata_store_pb2.Execution.CACHED)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Nodes:
    """A compiled pipeline for one run.

    Attributes:
        ir: TFX's intermediate representation, with the run id filled in.
        connection: where metadata goes.
        upstream: for each stage, in topological order, the stages it depends on.
        guards: for some stages, those they depend on without reading anything of theirs.
        skipped: stages not to be run: reused from an earlier run, or behind the last one wanted.
        reused: those of them whose results an earlier run must give.
    """

    ir: pipeline_pb2.Pipeline
    connection: metadata_store_pb2.ConnectionConfig
    upstream: Mapping[str, Sequence[str]]
    guards: Mapping[str, Sequence[str]]
    skipped: frozenset[str] = frozenset()
    reused: Sequence[str] = ()

    def up_to(self, stage: str) -> Nodes:
        """Returns these nodes with everything skipped that `stage` does not depend on.

        Raises:
            UnknownName: there is no such stage.
        """
        self._check(stage)
        return dataclasses.replace(self, skipped=frozenset(self.upstream) - ancestors(self.upstream, stage))

    def starting_at(self, stage: str, base_run_id: str) -> Nodes:
        """Returns these nodes with everything skipped that `pipeline.partial_run.running` does not name.

        Args:
            stage: the first to run.
            base_run_id: the run that made the outputs of the skipped ones; `reuse_outputs` must be called.

        Raises:
            UnknownName: there is no such stage.
            StageError: it needs what earlier stages made, and there is no earlier run to build on.
        """
        self._check(stage)
        wanted = {name: names for name, names in self.upstream.items() if name not in self.skipped}
        reused = partial_run.reused(wanted, stage)
        if reused and not base_run_id:
            raise StageError(
                f"--from {stage} takes the results of {', '.join(reused)} over from an earlier run, and there is none. "
                "Run once without --from."
            )
        running = partial_run.running(wanted, stage)
        settings = pipeline_pb2.SnapshotSettings()
        settings.base_pipeline_run_strategy.base_run_id = base_run_id
        partial_run_utils.mark_pipeline(self.ir, from_nodes=running, to_nodes=running, snapshot_settings=settings)
        skipped = frozenset(self.upstream).difference(running)
        return dataclasses.replace(self, skipped=skipped, reused=tuple(reused))

    def reuse_outputs(self, base_run_id: str) -> Mapping[str, Any]:
        """Registers the reused stages' outputs under this run; to be called once, before the first launch.

        Raises:
            StageError: the metadata of the earlier run lacks a stage that is needed.
        """
        if not self.reused:
            return {}
        with Handle(self.connection) as handle:
            finished = _finished_stages(handle, base_run_id)
            missing = [stage for stage in self.reused if stage not in finished]
            if missing:
                raise StageError(
                    f"--from takes the results of {', '.join(missing)} over from run {base_run_id}, but the metadata "
                    "knows of none. Run once without --from."
                )
            partial_run_utils.snapshot(handle, self.ir, base_run_id)
        return {}

    def launch(self, stage: str) -> Mapping[str, Any]:
        """Runs one stage: driver, executor and publisher, or takes its outputs from the cache.

        Returns:
            `{"state": "done" or "cached", "outputs": {key: [uri, ...]}}`.

        Raises:
            StageError: an input of the stage is missing.
            Exception: whatever the stage's executor raises.
        """
        node = next(node.pipeline_node for node in self.ir.nodes if _id(node) == stage)
        deployment = runner_utils.extract_local_deployment_config(self.ir)
        with workers.at_hand(workers.useful() if stage in _WITH_WORKERS else 0):  # the launcher starts threads
            info = launcher.Launcher(
                pipeline_node=node,
                mlmd_connection=Handle(self.connection),
                pipeline_info=self.ir.pipeline_info,
                pipeline_runtime_spec=self.ir.runtime_spec,
                executor_spec=runner_utils.extract_executor_spec(deployment, stage),
                custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, stage),
            ).launch()
        if info is None or info.execution_id is None:
            raise StageError(f"stage {stage} did not run: one of its inputs is missing. Run again with --fresh.")
        with Handle(self.connection) as handle:
            return _what_happened(handle, stage, info.execution_id)

    def _check(self, stage: str) -> None:
        if stage not in self.upstream:
            raise UnknownName("stage", stage, list(self.upstream))


def compile_nodes(pipeline: Pipeline, connection: metadata_store_pb2.ConnectionConfig, run_id: str) -> Nodes:
    """Compiles a pipeline for one run."""
    ir = compiler.Compiler().compile(pipeline)
    runtime_parameter_utils.substitute_runtime_parameter(ir, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id})
    upstream = {_id(node): tuple(node.pipeline_node.upstream_nodes) for node in ir.nodes}
    guards = {_id(node): _guards(node) for node in ir.nodes}
    return Nodes(ir=ir, connection=connection, upstream=upstream, guards=guards)


def _guards(node: pipeline_pb2.Pipeline.PipelineOrNode) -> tuple[str, ...]:
    """Names the stages a node waits for although it reads nothing of theirs."""
    inputs = node.pipeline_node.inputs.inputs.values()
    read = {channel.producer_node_query.id for each in inputs for channel in each.channels}
    return tuple(name for name in node.pipeline_node.upstream_nodes if name not in read)


def _finished_stages(handle: Handle, run_id: str) -> set[str]:
    """Names the stages of a run that ended well, as far as the metadata store knows."""
    run = handle.store.get_context_by_type_and_name(constants.PIPELINE_RUN_CONTEXT_TYPE_NAME, run_id)
    executions = handle.store.get_executions_by_context(run.id) if run else []
    return {leftovers.stage_name(handle.store, each) for each in executions if each.last_known_state in FINISHED}


def _what_happened(handle: Handle, stage: str, execution_id: int) -> Mapping[str, Any]:
    [execution] = handle.store.get_executions_by_id([execution_id])
    if execution.last_known_state not in FINISHED:
        state = metadata_store_pb2.Execution.State.Name(execution.last_known_state)
        raise StageError(
            f"stage {stage} did not run: its inputs could not be resolved (execution {execution_id} is {state}). "
            "Run again with --fresh."
        )
    state = "cached" if execution.last_known_state == metadata_store_pb2.Execution.CACHED else "done"
    return {"state": state, "outputs": _outputs(handle, execution_id)}


def _outputs(handle: Handle, execution_id: int) -> dict[str, list[str]]:
    events = [
        event
        for event in handle.store.get_events_by_execution_ids([execution_id])
        if event.type in (metadata_store_pb2.Event.OUTPUT, metadata_store_pb2.Event.DECLARED_OUTPUT)
    ]
    artifacts = {item.id: item for item in handle.store.get_artifacts_by_id([event.artifact_id for event in events])}
    outputs: dict[str, list[str]] = {}
    for event in events:
        outputs.setdefault(event.path.steps[0].key, []).append(artifacts[event.artifact_id].uri)
    return outputs


def _id(node: pipeline_pb2.Pipeline.PipelineOrNode) -> str:
    return str(node.pipeline_node.node_info.id)
