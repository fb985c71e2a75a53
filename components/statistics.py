"""TFX's StatisticsGen in ten Beam steps: TFDV's own sums over every split, with options that suit images.

TFX's takes 123 steps for each split, most of them to count what it did; on some thousands of items that is nine tenths
of its time. TFDV's generators, which do the sums, are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import apache_beam as beam
import pyarrow as pa
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2
from tfx.components.statistics_gen.executor import DEFAULT_FILE_NAME
from tfx.dsl.components.base import base_beam_component, base_beam_executor, executor_spec
from tfx.dsl.io import fileio
from tfx.types import Artifact, BaseChannel, Channel, artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils import io_utils
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from components import split_records
from components.beam_options import OptionsOnce

_TOP_VALUES = 20  # shown per feature
_RANKED_VALUES = 1000  # held against a string domain; a rarer value than the thousandth would pass unseen
_BATCH_ITEMS, _BATCH_BYTES = 1000, 20 << 20  # of records that are summed at a time, whichever comes first


class StatisticsSpec(ComponentSpec):
    """Parameters, inputs and outputs of `Statistics`."""

    PARAMETERS: ClassVar[dict[str, Any]] = {"code_version": ExecutionParameter(type=str)}
    INPUTS: ClassVar[dict[str, Any]] = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "schema": ChannelParameter(type=standard_artifacts.Schema),
    }
    OUTPUTS: ClassVar[dict[str, Any]] = {"statistics": ChannelParameter(type=standard_artifacts.ExampleStatistics)}


class Sums(beam.CombineFn):
    """TFDV's generators over Arrow batches of Examples; their accumulators are kept side by side."""

    def __init__(self, schema: schema_pb2.Schema) -> None:
        """Chooses the generators.

        The schema's `image_domain` makes the image count as bytes: present or not, how many, how large; its content is
        not compared with itself. Top values come from sketches, exact for about a thousand different values.

        Args:
            schema: the curated one.
        """
        self._generators = stats_impl.get_generators(self.options(schema), in_memory=True)

    @staticmethod
    def options(schema: schema_pb2.Schema) -> tfdv.StatsOptions:
        """Returns what TFDV is asked for."""
        return tfdv.StatsOptions(
            schema=schema,
            num_top_values=_TOP_VALUES,
            num_rank_histogram_buckets=_RANKED_VALUES,
            num_values_histogram_buckets=2,
            use_sketch_based_topk_uniques=True,
        )

    def setup(self) -> None:
        """Prepares the generators."""
        for generator in self._generators:
            generator.setup()

    def create_accumulator(self) -> list[Any]:
        """Returns an accumulator of each generator."""
        return [generator.create_accumulator() for generator in self._generators]

    def add_input(self, accumulator: list[Any], batch: pa.RecordBatch) -> list[Any]:
        """Adds some Examples."""
        pairs = zip(self._generators, accumulator, strict=True)
        return [generator.add_input(part, batch) for generator, part in pairs]

    def merge_accumulators(self, accumulators: Iterable[list[Any]]) -> list[Any]:
        """Adds up."""
        parts = zip(*accumulators, strict=True)
        return [generator.merge_accumulators(part) for generator, part in zip(self._generators, parts, strict=True)]

    def compact(self, accumulator: list[Any]) -> list[Any]:
        """Makes an accumulator smaller, before it is sent."""
        return [generator.compact(part) for generator, part in zip(self._generators, accumulator, strict=True)]

    def extract_output(self, accumulator: list[Any]) -> statistics_pb2.DatasetFeatureStatisticsList:
        """Returns what the generators found, of one data set."""
        return stats_impl.extract_statistics_output(accumulator, self._generators)


class Executor(base_beam_executor.BaseBeamExecutor):
    """Sums up every split."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes TFX's `FeatureStats.pb` for every split.

        Args:
            input_dict: `examples` and `schema`.
            output_dict: `statistics`.
            exec_properties: as `StatisticsSpec.PARAMETERS`.
        """
        del exec_properties
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        schema_uri = artifact_utils.get_single_uri(input_dict["schema"])
        schema = io_utils.SchemaReader().read(io_utils.get_only_uri_in_dir(schema_uri))
        statistics = artifact_utils.get_single_instance(output_dict["statistics"])
        statistics.split_names = examples.split_names
        statistics.span = examples.span
        files = [
            (artifact_utils.get_split_uri([statistics], split), file)
            for split in artifact_utils.decode_split_names(examples.split_names)
            for file in split_records.split_files(Path(examples.uri), split)
        ]
        with beam.Pipeline(options=OptionsOnce(self._beam_pipeline_args)) as pipeline:
            batches = pipeline | beam.Create(files, reshuffle=False) | "ReadBatches" >> beam.FlatMap(read_batches)
            _ = batches | beam.CombinePerKey(Sums(schema)) | "Write" >> beam.Map(_write)


class Statistics(base_beam_component.BaseBeamComponent):
    """TFDV statistics of every split."""

    SPEC_CLASS = StatisticsSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(self, examples: BaseChannel, schema: BaseChannel, code_version: str = "") -> None:
        """Describes one computation.

        Args:
            examples: all splits.
            schema: the curated one.
            code_version: digest of the code behind this stage, for the cache.
        """
        spec = StatisticsSpec(
            examples=examples,
            schema=schema,
            code_version=code_version,
            statistics=Channel(type=standard_artifacts.ExampleStatistics),
        )
        super().__init__(spec=spec)


def read_batches(place_and_file: tuple[str, str]) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Reads a TFRecord file of Examples.

    Args:
        place_and_file: where the statistics of its split go, and the file; ".gz" at its end means compressed.

    Yields:
        That place and an Arrow batch; the first is empty, so that a split without items has statistics too.
    """
    place, file = place_and_file
    decoder = ExamplesToRecordBatchDecoder()
    yield place, decoder.DecodeBatch([])
    for serialized in split_records.batches([file], _BATCH_ITEMS, _BATCH_BYTES):
        yield place, decoder.DecodeBatch(serialized)


def _write(place_and_found: tuple[str, statistics_pb2.DatasetFeatureStatisticsList]) -> None:
    place, found = place_and_found
    fileio.makedirs(place)
    with fileio.open(f"{place}/{DEFAULT_FILE_NAME}", "wb") as file:
        file.write(found.SerializeToString(deterministic=True))
