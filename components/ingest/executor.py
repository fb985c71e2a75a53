"""Runs ingest: the Beam pipeline first, then the judgement whether its result is fit to go on with."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import Artifact, artifact_utils

from applications import discovery
from applications.errors import DataError
from applications.formats.source import Source
from applications.settings import IngestSettings, SplitSettings
from applications.spans import Span
from applications.spec import Application
from components import window
from components.ingest import failures, flow, judgement
from components.ingest.portions import Portions
from schemas import features

STAGE = "ingest"
_log = logging.getLogger(__name__)


class Executor(base_beam_executor.BaseBeamExecutor):
    """Executor of `Ingest`."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the examples of every split and the quarantine.

        Raises:
            DataError: the data path cannot be used as a whole.
            StageError: no item is readable, too many are bad, a split or a class is empty.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        quarantine = artifact_utils.get_single_instance(output_dict["quarantine"])
        application = _configured(exec_properties)
        found = window.read(Path(artifact_utils.get_single_uri(input_dict["window"])))
        portions = Portions(discovery.source(application), found.folders)
        job = flow.Job(
            portions=portions,
            group_by=application.group_by,
            ingest=application.ingest,
            split=application.split,
            items=_expected_items(portions.source, list(found.folders.values())),
            examples_uri=examples.uri,
            quarantine_uri=quarantine.uri,
        )
        self._run(job)
        judgement.check(_summary(quarantine.uri), _refused(quarantine.uri), job.split, application.classes)
        _describe(examples, found.newest)

    def _run(self, job: flow.Job) -> None:
        try:
            with self._make_beam_pipeline() as pipeline:
                flow.run(pipeline, job)
        except Exception as error:
            found = failures.plain(error, STAGE)
            if found is error:
                raise
            raise found from error


def _configured(exec_properties: dict[str, Any]) -> Application:
    """The application with the resolved settings of this run in place of its own."""
    settings = json.loads(exec_properties["settings"])
    return dataclasses.replace(
        discovery.load(exec_properties["application"]),
        ingest=IngestSettings(**settings["ingest"]),
        split=SplitSettings(**settings["split"]),
    )


def _expected_items(source: Source, paths: list[str]) -> int:
    """How many items there are, by a look at the folders; 0 where they are not on this machine."""
    try:
        return source.inspect(*paths).items
    except DataError:
        if any(fileio.exists(path) for path in paths):
            raise
        _log.info("cannot count the items of %s beforehand", ", ".join(paths))
        return 0


def _summary(quarantine_uri: str) -> dict[str, Any]:
    with fileio.open(f"{quarantine_uri}/{flow.SUMMARY_FILE}") as file:
        summary: dict[str, Any] = json.loads(file.read())
    return summary


def _refused(quarantine_uri: str) -> list[dict[str, Any]]:
    with fileio.open(f"{quarantine_uri}/{flow.REFUSED_FILE}") as file:
        return [json.loads(line) for line in file.read().splitlines()]


def _describe(examples: Artifact, newest: Span) -> None:
    """Sets what StatisticsGen, Transform, Trainer and Evaluator read from an Examples artifact."""
    examples.split_names = artifact_utils.encode_split_names(list(features.SPLITS))
    examples.span = newest.number
    examples.version = newest.version
    examples_utils.set_payload_format(examples, example_gen_pb2.PayloadFormat.FORMAT_TF_EXAMPLE)
    examples_utils.set_file_format(examples, "tfrecords_gzip")
