"""TFMA on the test split, as TFX's Evaluator runs it, with a baseline that may be absent.

TFX's own needs a Resolver to leave a baseline out, which open-source Kubeflow refuses. This one takes what
`components.baseline` gives and drops it where it holds no model. It has no output `blessing`: `components.bless`
decides.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import apache_beam as beam
import pyarrow as pa
import tensorflow as tf
import tensorflow_model_analysis as tfma
from google.protobuf import json_format
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.writers import metrics_plots_and_validations_writer
from tfx.dsl.components.base import base_beam_component, base_beam_executor, executor_spec
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, standard_artifacts, standard_component_specs
from tfx.types.artifact import Artifact
from tfx.types.channel import BaseChannel, Channel
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils import path_utils
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from applications import discovery
from applications.progress import report
from applications.settings import EvaluateSettings
from components import earlier_model, split_records
from components.beam_options import OptionsOnce
from evaluation import eval_config
from schemas import features

BASELINE = standard_component_specs.BASELINE_MODEL_KEY
BATCH = 128  # items asked at a time
CONFIG_FILE = "eval_config.json"  # TFMA's name
RESULTS = {
    tfma.METRICS_KEY: metrics_plots_and_validations_writer.convert_slice_metrics_to_proto,
    tfma.PLOTS_KEY: metrics_plots_and_validations_writer.convert_slice_plots_to_proto,
}


class EvaluatorSpec(ComponentSpec):
    """Inputs, outputs and parameters of `Evaluator`."""

    PARAMETERS: ClassVar[dict[str, Any]] = {
        "application": ExecutionParameter(type=str),
        "settings": ExecutionParameter(type=str),
        "code_version": ExecutionParameter(type=str),
    }
    INPUTS: ClassVar[dict[str, Any]] = {
        standard_component_specs.EXAMPLES_KEY: ChannelParameter(type=standard_artifacts.Examples),
        standard_component_specs.MODEL_KEY: ChannelParameter(type=standard_artifacts.Model),
        BASELINE: ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    OUTPUTS: ClassVar[dict[str, Any]] = {
        standard_component_specs.EVALUATION_KEY: ChannelParameter(type=standard_artifacts.ModelEvaluation),
    }


class Executor(base_beam_executor.BaseBeamExecutor):
    """Does with TFMA what TFX's executor does, in half of its Beam steps: each has its price, however few the items.

    Left out is what nobody reads here: features that are neither label, group nor slice; features the model would
    transform; attributions and validations. Records are batched where they are read, and the few results are written
    by one step each.
    """

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Evaluates the candidate, and the baseline where there is one, on the test split.

        Args:
            input_dict: `examples`, `model`, and perhaps `baseline_model`.
            output_dict: `evaluation`.
            exec_properties: as `EvaluatorSpec.PARAMETERS`.
        """
        application = discovery.load(exec_properties["application"])
        settings = EvaluateSettings(**json.loads(exec_properties["settings"])["evaluate"])
        examples = Path(artifact_utils.get_single_uri(input_dict[standard_component_specs.EXAMPLES_KEY]))
        candidate = artifact_utils.get_single_uri(input_dict[standard_component_specs.MODEL_KEY])
        models = [path_utils.serving_model_path(candidate)]
        baseline = artifact_utils.get_single_instance(input_dict[BASELINE]) if input_dict.get(BASELINE) else None
        earlier = earlier_model.find(baseline, application.classes)
        if earlier.path:
            models.append(earlier.path)
        else:
            note = earlier.note or "there is no earlier model to compare with"
            report("note", text=f"{note[0].upper()}{note[1:]}.")
        names = {features.LABEL_ID, features.GROUP, *itertools.chain.from_iterable(application.slices)}
        with beam.Pipeline(options=OptionsOnce(self._beam_pipeline_args)) as pipeline:
            files = pipeline | beam.Create(split_records.split_files(examples, features.TEST), reshuffle=False)
            batches = files | "ReadBatches" >> beam.FlatMap(read_batches, sorted(names))
            output = artifact_utils.get_single_uri(output_dict[standard_component_specs.EVALUATION_KEY])
            evaluate(batches, models, eval_config.build(application, settings), output)


def read_batches(file: str, names: Sequence[str]) -> Iterator[dict[str, pa.RecordBatch]]:
    """Reads the Examples of a TFRecord file as TFMA's extracts.

    Args:
        file: a name that ends in ".gz" means compressed.
        names: of the features to keep; one that no Example of a batch has is left out.

    Yields:
        An Arrow batch of at most 128 items: the features, and the serialized Examples as if they were a feature of
        the name of the signature's input. (Where TFMA has them as what they are, it first calls the signature in a way
        that fails, with an error that has all of them in its text.)
    """
    decoder = ExamplesToRecordBatchDecoder()
    for serialized in split_records.batches([file], BATCH):
        decoded = decoder.DecodeBatch(serialized)
        chosen = decoded.select([name for name in names if name in decoded.schema.names])
        inputs = pa.array([[each] for each in serialized], pa.large_list(pa.large_binary()))
        yield {tfma.ARROW_RECORD_BATCH_KEY: chosen.append_column(eval_config.SIGNATURE_INPUT, inputs)}


def evaluate(batches: beam.PCollection, models: Sequence[str], config: config_pb2.EvalConfig, output: str) -> None:
    """Adds to a pipeline what computes and writes TFMA's metrics and plots; writes the config at once.

    Args:
        batches: as `read_batches` gives them.
        models: folder of the candidate's SavedModel, and perhaps of the baseline's.
        config: of one model.
        output: folder that `tfma.load_eval_result` will read.
    """
    config = tfma.utils.update_eval_config_with_defaults(config, has_baseline=len(models) > 1, rubber_stamp=True)
    tfma.utils.verify_eval_config(config)
    shared = [
        tfma.default_eval_shared_model(path, model_name=spec.name, eval_config=config)
        for path, spec in zip(models, config.model_specs, strict=True)
    ]
    model = shared[0] if len(shared) == 1 else shared
    extracts = batches
    for extractor in (
        tfma.extractors.FeaturesExtractor(config),
        tfma.extractors.LabelsExtractor(config),
        tfma.extractors.ExampleWeightsExtractor(config),
        tfma.extractors.PredictionsExtractor(config, model),
        tfma.extractors.UnbatchExtractor(),
        tfma.extractors.SliceKeyExtractor(eval_config=config),
    ):
        extracts |= extractor.stage_name >> extractor.ptransform
    (evaluator,) = tfma.default_evaluators(eval_config=config, eval_shared_model=model)
    found = extracts | evaluator.stage_name >> evaluator.ptransform
    for key, to_proto in RESULTS.items():
        protos = (
            found[key] | f"Serialize {key}" >> beam.Map(_serialized, to_proto) | f"Gather {key}" >> beam.GroupByKey()
        )
        _ = protos | f"Write {key}" >> beam.Map(_write, f"{output}/{key}-00000-of-00001.tfrecord")
    run = config_pb2.EvalRun(eval_config=config, version=tfma.__version__)
    run.model_locations.update({spec.name: path for path, spec in zip(models, config.model_specs, strict=True)})
    fileio.makedirs(output)
    with fileio.open(f"{output}/{CONFIG_FILE}", "w") as file:
        file.write(json_format.MessageToJson(run))


def _serialized(result: Any, to_proto: Callable[..., Any]) -> tuple[None, bytes]:
    return None, to_proto(result, add_metrics_callbacks=[]).SerializeToString()


def _write(gathered: tuple[None, Iterable[bytes]], path: str) -> None:
    with tf.io.TFRecordWriter(path) as writer:
        for proto in gathered[1]:
            writer.write(proto)


class Evaluator(base_beam_component.BaseBeamComponent):
    """Evaluates a model on the test split with TFMA: slices, and group bootstrap intervals."""

    SPEC_CLASS = EvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        *,
        examples: BaseChannel,
        model: BaseChannel,
        application: str,
        settings: str,
        baseline_model: BaseChannel | None = None,
        code_version: str = "",
    ) -> None:
        """Makes the component.

        Args:
            examples: raw Examples with a test split.
            model: the candidate.
            application: name of the application; gives classes and slices.
            settings: JSON with the section `evaluate` of the configuration.
            baseline_model: what `components.baseline` gives; may hold no model.
            code_version: digest of the code behind this stage, for the cache.
        """
        spec = EvaluatorSpec(
            examples=examples,
            model=model,
            baseline_model=baseline_model,
            application=application,
            settings=settings,
            code_version=code_version,
            evaluation=Channel(type=standard_artifacts.ModelEvaluation),
        )
        super().__init__(spec=spec)
