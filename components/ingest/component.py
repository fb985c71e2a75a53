"""The TFX component that turns raw files into Examples."""

from __future__ import annotations

from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import BaseChannel, Channel, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.artifacts import DataWindow, Quarantine
from components.ingest.executor import Executor


class IngestSpec(ComponentSpec):
    """Parameters, input and outputs of `Ingest`."""

    PARAMETERS = {
        "application": ExecutionParameter(type=str),
        "settings": ExecutionParameter(type=str),
        "code_version": ExecutionParameter(type=str),
    }
    INPUTS = {"window": ChannelParameter(type=DataWindow)}
    OUTPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "quarantine": ChannelParameter(type=Quarantine),
    }


class Ingest(base_beam_component.BaseBeamComponent):
    """Reads the files of an application's source into three splits of Examples, and quarantines what is unusable."""

    SPEC_CLASS = IngestSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(self, *, window: BaseChannel, application: str, settings: str, code_version: str) -> None:
        """Describes one ingest.

        Args:
            window: the folders of the raw files; another one where they changed, so that the cache notices.
            application: its name.
            settings: JSON, `{"ingest": {…}, "split": {…}}`, the resolved settings.
            code_version: changes when the code does, so that the cache notices.
        """
        spec = IngestSpec(
            window=window,
            application=application,
            settings=settings,
            code_version=code_version,
            examples=Channel(type=standard_artifacts.Examples),
            quarantine=Channel(type=Quarantine),
        )
        super().__init__(spec=spec)
