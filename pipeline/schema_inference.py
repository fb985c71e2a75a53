"""Proposes a schema from data: the same reading and the same statistics as a run's, then TFDV's inference."""

from __future__ import annotations

import pathlib
import tempfile

import apache_beam as beam
import tensorflow_data_validation as tfdv
from apache_beam.options.pipeline_options import PipelineOptions
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from applications import discovery
from applications.formats.source import EXAMPLES
from applications.spec import Application
from schemas import features

_OPTIONS = ("--runner=FnApiRunner",)  # DirectRunner would try to download and execute a binary first


def infer(application: Application, data: str) -> str:
    """Reads raw data and proposes its schema.

    Args:
        application: whose source reads the data, and whose classes the label may take.
        data: path or URI.

    Returns:
        the schema as protobuf text.
    """
    with tempfile.TemporaryDirectory() as folder:
        records = pathlib.Path(folder) / "examples"
        _write_records(application, data, records)
        statistics = tfdv.generate_statistics_from_tfrecord(
            data_location=f"{records}-*", pipeline_options=PipelineOptions(list(_OPTIONS))
        )
    schema = tfdv.infer_schema(statistics, infer_feature_shape=True)
    _name_classes(schema, application)
    header = f"# Proposed from data by `earthloop schema infer {application.name}`; curate before use.\n"
    return header + str(text_format.MessageToString(schema))


def _write_records(application: Application, data: str, records: pathlib.Path) -> None:
    """Writes the accepted items as TFRecords of Examples."""
    with beam.Pipeline(options=PipelineOptions(list(_OPTIONS))) as pipeline:
        found = pipeline | discovery.source(application).examples(data)
        _ = (
            found[EXAMPLES]
            | "Serialize" >> beam.Map(lambda example: example.SerializeToString())
            | "Write" >> beam.io.WriteToTFRecord(str(records), file_name_suffix=".gz")
        )


def _name_classes(schema: schema_pb2.Schema, application: Application) -> None:
    """Lets the label take the application's classes, also those the data lacks."""
    for feature in schema.feature:
        if feature.name == features.LABEL:
            feature.ClearField("domain_info")
            feature.string_domain.value.extend(application.classes)
