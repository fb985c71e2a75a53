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
from pipeline.metadata_handle import Handle
from pipeline.scheduler import ancestors


@dataclasses.dataclass(frozen=True, kw_only=True)
class Nodes:
    """A compiled pipeline for one run.

    Attributes:
        ir: TFX's intermediate representation, with the run id filled in.
        connection: where metadata goes.
        upstream: for each stage, in topological order, the stages it depends on.
        skipped: stages not to be run: reused from an earlier run, or behind the last one wanted.
    """

    ir: pipeline_pb2.Pipeline
    connection: metadata_store_pb2.ConnectionConfig
    upstream: Mapping[str, Sequence[str]]
    skipped: frozenset[str] = frozenset()

    def up_to(self, stage: str) -> Nodes:
        """Returns these nodes with everything skipped that `stage` does not depend on.

        Raises:
            UnknownName: there is no such stage.
        """
        self._check(stage)
        return dataclasses.replace(self, skipped=frozenset(self.upstream) - ancestors(self.upstream, stage))

    def starting_at(self, stage: str, base_run_id: str) -> Nodes:
        """Returns these nodes with everything skipped that does not depend on `stage`.

        Args:
            stage: the first to run.
            base_run_id: the run that made the outputs of the skipped ones; `reuse_outputs` must be called.

        Raises:
            UnknownName: there is no such stage.
            StageError: there is no earlier run to build on.
        """
        self._check(stage)
        if not base_run_id:
            raise StageError(
                f"--from {stage} takes what the stages before it made from an earlier run, and this output folder "
                "has no run that got so far. Run once without --from."
            )
        settings = pipeline_pb2.SnapshotSettings()
        settings.base_pipeline_run_strategy.base_run_id = base_run_id
        wanted = [name for name in self.upstream if name not in self.skipped]
        partial_run_utils.mark_pipeline(self.ir, from_nodes=[stage], to_nodes=wanted, snapshot_settings=settings)
        reused = {_id(node) for node in self.ir.nodes if node.pipeline_node.execution_options.HasField("skip")}
        return dataclasses.replace(self, skipped=self.skipped | reused)

    def reuse_outputs(self, base_run_id: str) -> Mapping[str, Any]:
        """Registers the reused stages' outputs under this run; to be called once, before the first launch.

        Raises:
            StageError: the earlier run lacks an output that is needed.
        """
        try:
            with Handle(self.connection) as handle:
                partial_run_utils.snapshot(handle, self.ir, base_run_id)
        except LookupError as error:
            raise StageError(
                f"run {base_run_id} did not finish a stage whose results --from takes over ({error}). "
                "Run once without --from."
            ) from error
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
    return Nodes(ir=ir, connection=connection, upstream=upstream)


def _what_happened(handle: Handle, stage: str, execution_id: int) -> Mapping[str, Any]:
    [execution] = handle.store.get_executions_by_id([execution_id])
    states = metadata_store_pb2.Execution.State
    if execution.last_known_state not in (states.CACHED, states.COMPLETE):
        raise StageError(
            f"stage {stage} did not run: its inputs could not be resolved "
            f"(execution {execution_id} is {states.Name(execution.last_known_state)}). Run again with --fresh."
        )
    state = "cached" if execution.last_known_state == states.CACHED else "done"
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
