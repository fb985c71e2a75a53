"""TFX's Evaluator (TFMA) on the test split, with a baseline that may be absent.

TFX's own needs a Resolver to leave a baseline out, which open-source Kubeflow refuses. This one takes what
`components.baseline` gives and drops it where it holds no model. It has no output `blessing`: `components.bless`
decides.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar

from google.protobuf import json_format
from tfx.components.evaluator import executor as tfx_evaluator
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import artifact_utils, standard_artifacts, standard_component_specs
from tfx.types.artifact import Artifact
from tfx.types.channel import BaseChannel, Channel
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from applications import discovery
from applications.progress import report
from applications.settings import EvaluateSettings
from components import earlier_model
from evaluation import eval_config
from schemas import features

BASELINE = standard_component_specs.BASELINE_MODEL_KEY


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


class Executor(tfx_evaluator.Executor):
    """Builds the EvalConfig, drops an absent baseline, and lets TFX's executor do the rest."""

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
        inputs = dict(input_dict)
        baseline = artifact_utils.get_single_instance(inputs[BASELINE]) if inputs.get(BASELINE) else None
        earlier = earlier_model.find(baseline, application.classes)
        if not earlier.path:
            inputs.pop(BASELINE, None)
            note = earlier.note or "there is no earlier model to compare with"
            report("note", text=f"{note[0].upper()}{note[1:]}.")
        config = json_format.MessageToJson(eval_config.build(application, settings))
        parameters = {
            standard_component_specs.EVAL_CONFIG_KEY: config,
            standard_component_specs.EXAMPLE_SPLITS_KEY: json.dumps([features.TEST]),
        }
        super().Do(inputs, output_dict, parameters)


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
