"""The curated schema of an application: read, checked, given to the pipeline; and a proposal for new data."""

import pathlib
import tempfile

import apache_beam as beam
import tensorflow_data_validation as tfdv
from apache_beam.options.pipeline_options import PipelineOptions
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2
from tfx.dsl.component.experimental.annotations import OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.io import fileio
from tfx.types.standard_artifacts import Schema

import schemas
from applications import discovery, spans
from applications.errors import ConfigError, DataError, near_name
from applications.settings import SpanSettings
from applications.spec import Application
from components.ingest import flow
from components.ingest.portions import Portions
from schemas import features

ROOT = pathlib.Path(schemas.__file__).resolve().parent.parent
SCHEMA_FILE = "schema.pbtxt"
SOURCE_PROPERTY = "source"  # custom property of the artifact: path of the curated file, for error texts
TRAINING, SERVING = "TRAINING", "SERVING"  # environments; in the second there is nothing but the image

_BEAM_OPTIONS = ("--runner=FnApiRunner",)
_IDENTITIES = (features.ORIGIN, features.SHA256, features.GROUP, features.PERCEPTUAL_HASH)
_BANDS = ("dark", "middle", "bright")


@component
def CuratedSchema(
    result: OutputArtifact[Schema], text: Parameter[str], source: Parameter[str], code_version: Parameter[str] = ""
) -> None:
    """Writes the schema that it is given; being a parameter, an edited schema is noticed by the cache.

    Args:
        result: gets `schema.pbtxt`, and the property `source`.
        text: the schema as protobuf text, checked before.
        source: path of the curated file, relative to the project.
        code_version: digest of the code behind this stage, for the cache.
    """
    del code_version
    fileio.makedirs(result.uri)
    with fileio.open(f"{result.uri}/{SCHEMA_FILE}", "w") as file:
        file.write(text)
    result.set_string_custom_property(SOURCE_PROPERTY, source)


def schema_importer(application: Application) -> BaseNode:
    """Makes the node that brings the curated schema of an application into the pipeline, as its output `result`.

    Raises:
        ConfigError: the schema is missing, cannot be read, or does not match the spec.
    """
    return CuratedSchema(text=read(application), source=application.schema_path)


def read(application: Application, root: pathlib.Path = ROOT) -> str:
    """Reads and checks the curated schema of an application.

    Args:
        application: whose `schema_path` and classes are used.
        root: the folder that holds `schemas/`.

    Returns:
        The text of the file.

    Raises:
        ConfigError: it is missing, cannot be read, or does not match the spec; the text says what to run.
    """
    path = root / application.schema_path
    propose = f"earthloop schema infer {application.name} --data PATH --out {application.schema_path}"
    if not path.is_file():
        raise ConfigError(
            f"{application.name} needs a schema, but {application.schema_path} is missing. Propose one with "
            f"`{propose}`, then read and tighten it."
        )
    text = path.read_text(encoding="utf-8")
    try:
        schema = text_format.Parse(text, schema_pb2.Schema())
    except text_format.ParseError as error:
        raise ConfigError(
            f"{application.schema_path} must be a tensorflow.metadata.v0.Schema as protobuf text, but it cannot be "
            f"read at {str(error).rstrip('. ')}. Mend that line, or propose a new schema with `{propose}`."
        ) from error
    check(schema, application)
    return text


def check(schema: schema_pb2.Schema, application: Application) -> None:
    """Holds a schema against the spec.

    Args:
        schema: the curated one.
        application: its spec.

    Raises:
        ConfigError: a feature every image application has is missing, or the label's domain is not the spec's classes.
    """
    place = application.schema_path
    by_name = {feature.name: feature for feature in schema.feature}
    for key in (features.IMAGE, features.LABEL, features.LABEL_ID, features.SHA256, features.GROUP, features.ORIGIN):
        if key not in by_name:
            raise ConfigError(f"{place} must describe the feature {key!r}.{near_name(key, list(by_name))} Add it.")
    listed = _label_values(schema, by_name[features.LABEL])
    missing = [name for name in application.classes if name not in listed]
    extra = [name for name in listed if name not in application.classes]
    if missing or extra:
        words = [f"lacks {', '.join(missing)}"] if missing else []
        words += [f"lists {', '.join(extra)}, which {application.name} does not have"] if extra else []
        raise ConfigError(
            f"{place}: the domain of {features.LABEL!r} must be the classes of the spec, but it {' and '.join(words)}."
            f"{near_name(extra[0], missing) if extra else ''} "
            f"Make it equal to `classes` in applications/{application.name}/app.py."
        )
    label_id = by_name[features.LABEL_ID]
    highest = len(application.classes) - 1
    if label_id.HasField("int_domain") and (label_id.int_domain.min, label_id.int_domain.max) != (0, highest):
        raise ConfigError(
            f"{place}: the int_domain of {features.LABEL_ID!r} must be 0 to {highest}, one per class, "
            f"got {label_id.int_domain.min} to {label_id.int_domain.max}."
        )


def _label_values(schema: schema_pb2.Schema, label: schema_pb2.Feature) -> list[str]:
    if label.HasField("string_domain"):
        return list(label.string_domain.value)
    return [value for domain in schema.string_domain if domain.name == label.domain for value in domain.value]


def infer(application: Application, data: str, beam_options: tuple[str, ...] = _BEAM_OPTIONS) -> str:
    """Proposes a schema for raw data: ingests them as a run would, and lets TFDV infer from their statistics.

    Args:
        application: its source reads the data.
        data: path or URI of the raw files, or a pattern of such, of which all spans are read.
        beam_options: of both Beam pipelines.

    Returns:
        Protobuf text with a comment on top, for a person to read, tighten and keep.

    Raises:
        DataError: there is nothing readable to infer from.
    """
    with tempfile.TemporaryDirectory() as folder:
        job = flow.Job(
            portions=Portions(discovery.source(application), spans.folders(data, spans.resolve(data, SpanSettings()))),
            group_by=application.group_by,
            ingest=application.ingest,
            split=application.split,
            items=0,
            examples_uri=f"{folder}/examples",
            quarantine_uri=f"{folder}/quarantine",
        )
        with beam.Pipeline(options=PipelineOptions(list(beam_options))) as pipeline:
            flow.run(pipeline, job)
        if not list(pathlib.Path(folder, "examples").glob("Split-*/*")):
            raise DataError(f"no item of {data} can be read, so there is nothing to infer a schema from.")
        statistics = tfdv.generate_statistics_from_tfrecord(
            f"{folder}/examples/*/*.gz", pipeline_options=PipelineOptions(list(beam_options))
        )
    return proposal(statistics, application)


def proposal(statistics: statistics_pb2.DatasetFeatureStatisticsList, application: Application) -> str:
    """Turns statistics into a schema, adding what is known of our features and no sample can tell.

    Args:
        statistics: of ingested examples, all splits together.
        application: whose classes are the label's domain.
    """
    schema = tfdv.infer_schema(statistics, infer_feature_shape=True)
    schema.default_environment.extend([TRAINING, SERVING])
    for feature in schema.feature:
        _refine(feature, application)
    used = {feature.domain for feature in schema.feature}
    kept = [domain for domain in schema.string_domain if domain.name in used]
    del schema.string_domain[:]
    schema.string_domain.extend(kept)
    return (
        f"# Schema of {application.name}, proposed by `earthloop schema infer` from "
        f"{int(statistics.datasets[0].num_examples)} items.\n"
        "# Read it before you keep it: what is rare in these items may be normal in the next.\n"
        f"{text_format.MessageToString(schema)}"
    )


def _refine(feature: schema_pb2.Feature, application: Application) -> None:
    """Replaces what inference guessed from values by what our feature keys mean."""
    if feature.name == features.IMAGE:
        feature.image_domain.SetInParent()
    else:
        feature.not_in_environment.append(SERVING)
    if feature.name in _IDENTITIES:
        feature.ClearField("domain_info")
    if feature.name == features.LABEL:
        feature.string_domain.value.extend(application.classes)
    if feature.name == features.LABEL_ID:
        feature.int_domain.min, feature.int_domain.max = 0, len(application.classes) - 1
        feature.int_domain.is_categorical = True
    if feature.name in (features.HEIGHT_PX, features.WIDTH_PX):
        feature.int_domain.min = 1
    if feature.name in (features.BRIGHTNESS, features.CONTRAST):
        feature.float_domain.disallow_nan = feature.float_domain.disallow_inf = True
        feature.float_domain.min = 0.0
        feature.float_domain.max = 1.0 if feature.name == features.BRIGHTNESS else 0.5
    if feature.name == features.BRIGHTNESS_BAND:
        feature.string_domain.value.extend(_BANDS)
