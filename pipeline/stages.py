"""One function per stage: which component it is, what it takes and which code it stands on.

A stage's `code_version` is a digest of the project's code behind it, so an edited model or metric is never
answered from the cache.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any

from tfx.components import Trainer, Transform, Tuner
from tfx.dsl.components.base.base_node import BaseNode
from tfx.proto import trainer_pb2, transform_pb2
from tfx.types import BaseChannel

from applications.spec import Application
from components.baseline import Baseline
from components.bless import Bless
from components.evaluator import Evaluator
from components.ingest.component import Ingest
from components.ingest.ready import import_example_gen
from components.predict import Predict
from components.push import Push
from components.report import INPUTS, Report
from components.schema import schema_importer
from components.serving_check.component import ServingCheck
from components.spans import ResolveSpans
from components.split_audit import AuditSplits
from components.statistics import Statistics
from components.validation import Validate
from evaluation.report.collect import ARTIFACTS
from pipeline.config import RunConfig, to_dict
from pipeline.source_hash import digest_of, files_below, tree_digest, weights_digest
from schemas import features


@dataclasses.dataclass(frozen=True, kw_only=True)
class Placement:
    """What differs from engine to engine: where things are kept, and the state of what lies outside the run.

    Attributes:
        artifacts: root of the artifacts; path or URI.
        destination: serving folder to push to; path or URI.
        data_fingerprint: changes when the data does; "" where only the stages see the data.
        baseline_state: changes when the versions pushed by others than this very run do.
        pushed_state: changes when any pushed version does.
        made_from: digest of all that this run's model is made from; a version pushed from exactly that is the
            candidate itself, not a baseline. "" where the stages find it out.
        skips_unchanged: whether the stage `baseline` decides if there is anything new to train on, and all stages
            behind it hang on that. Where it does not, whoever starts the run has looked.
    """

    artifacts: str
    destination: str
    data_fingerprint: str
    baseline_state: str
    pushed_state: str
    made_from: str
    skips_unchanged: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wiring:
    """What the stages are made from, and those made so far."""

    application: Application
    config: RunConfig
    placement: Placement
    nodes: dict[str, BaseNode] = dataclasses.field(default_factory=dict)

    def output(self, stage: str, key: str) -> BaseChannel:
        """Returns one output of a stage made before."""
        return self.nodes[stage].outputs[key]

    def settings(self, *sections: str) -> str:
        """Returns some sections of the configuration as JSON, so that a stage reruns only for its own settings."""
        values = to_dict(self.config)
        return json.dumps({section: values[section] for section in sections}, sort_keys=True, ensure_ascii=False)

    def whole_configuration(self) -> str:
        """Returns all of the configuration as JSON."""
        return json.dumps(to_dict(self.config), sort_keys=True, ensure_ascii=False)

    def made_with(self) -> str:
        """Returns what a stage needs beside configuration and data to find `made_from` out; "" where it need not."""
        if self.placement.made_from:
            return ""
        weights = weights_digest(self.config.train.weights)
        return json.dumps({"code_version": tree_digest(), "weights_digest": weights}, sort_keys=True)

    def source_module(self) -> str:
        """Returns the module of the application's source."""
        return self.application.source.rpartition(".")[0]

    def code(self, *modules: str, files: Iterable[str] = ()) -> str:
        """Digests the code behind some modules, with what the spec alone says (and no setting overrides)."""
        spec = self.application
        facts = (spec.classes, spec.group_by, spec.slices, spec.source)
        return hashlib.sha256(f"{digest_of(*modules, files=files)} {facts}".encode()).hexdigest()[:16]


def spans(wiring: Wiring) -> BaseNode:
    """Which data there are: the spans that are read, and their fingerprint."""
    return ResolveSpans(
        data_path=wiring.config.data,
        settings=wiring.settings("spans"),
        data_fingerprint=wiring.placement.data_fingerprint,
        code_version=wiring.code("components.spans"),
    )


def ingest(wiring: Wiring) -> BaseNode:
    """Raw files (or ready records) to examples, split by group."""
    if wiring.config.ingest.format == "tfrecord":
        return import_example_gen(wiring.config.data, wiring.config.split)
    return Ingest(
        window=wiring.output("spans", "window"),
        application=wiring.application.name,
        settings=wiring.settings("ingest", "split"),
        code_version=wiring.code("components.ingest.executor", wiring.source_module()),
    )


def split_audit(wiring: Wiring) -> BaseNode:
    """Holds the splits against each other: no group and no look-alike in two of them."""
    return AuditSplits(
        examples=wiring.output("ingest", "examples"),
        settings=wiring.settings("ingest", "evaluate"),
        code_version=wiring.code("components.split_audit"),
    )


def schema(wiring: Wiring) -> BaseNode:
    """The curated schema of the application."""
    return schema_importer(wiring.application)


def statistics(wiring: Wiring) -> BaseNode:
    """TFDV statistics of every split."""
    return Statistics(
        examples=wiring.output("ingest", "examples"),
        schema=wiring.output("schema", "result"),
        code_version=wiring.code("components.statistics"),
    )


def validate(wiring: Wiring) -> BaseNode:
    """Statistics against schema; anomalies stop the run or warn, as the configuration says."""
    return Validate(
        statistics=wiring.output("statistics", "statistics"),
        schema=wiring.output("schema", "result"),
        settings=wiring.settings("validate"),
        code_version=wiring.code("components.validation"),
    )


def transform(wiring: Wiring) -> BaseNode:
    """The TFT graph that training and serving share; nothing is materialised, nor read where nothing is analysed."""
    module = f"transform.{wiring.application.modality}"
    return Transform(
        examples=wiring.output("ingest", "examples"),
        schema=wiring.output("schema", "result"),
        preprocessing_fn=f"{module}.preprocessing_fn",
        splits_config=transform_pb2.SplitsConfig(analyze=[features.TRAIN], transform=[]),
        materialize=False,
        disable_statistics=True,
        custom_config=_custom_config(wiring, (module,), "image"),
    )


def tune(wiring: Wiring) -> BaseNode:
    """Looks for better training settings; only on request."""
    return Tuner(tuner_fn=f"{_trainer(wiring)}.tuner_fn", **_training_inputs(wiring, "image", "train", "tune"))


def train(wiring: Wiring) -> BaseNode:
    """Trains on the train split; early stopping looks at the validation split."""
    inputs = _training_inputs(wiring, "image", "train")
    if "tune" in wiring.nodes:
        inputs["hyperparameters"] = wiring.output("tune", "best_hyperparameters")
    if wiring.config.train.warm_start:
        inputs["base_model"] = wiring.output("baseline", "model")
    return Trainer(run_fn=f"{_trainer(wiring)}.run_fn", **inputs)


def baseline(wiring: Wiring) -> BaseNode:
    """The newest pushed model, looked up where we push."""
    asked: dict[str, Any] = {}
    if wiring.placement.skips_unchanged:
        asked = {"configuration": wiring.whole_configuration(), "run_unchanged": False}
    return Baseline(
        window=wiring.output("spans", "window"),
        destination=wiring.placement.destination,
        model_name=wiring.application.model_name,
        state=wiring.placement.baseline_state,
        code_version=wiring.code("components.baseline"),
        made_from=wiring.placement.made_from,
        made_with=wiring.made_with(),
        **asked,
    )


def evaluate(wiring: Wiring) -> BaseNode:
    """TFMA on the test split, with slices and bootstrap intervals, against the baseline where there is one."""
    return Evaluator(
        examples=wiring.output("ingest", "examples"),
        model=wiring.output("train", "model"),
        baseline_model=wiring.output("baseline", "model"),
        application=wiring.application.name,
        settings=wiring.settings("evaluate"),
        code_version=wiring.code("components.evaluator"),
    )


def predict(wiring: Wiring) -> BaseNode:
    """Candidate's and baseline's answers on every test item."""
    return Predict(
        examples=wiring.output("ingest", "examples"),
        model=wiring.output("train", "model"),
        baseline=wiring.output("baseline", "model"),
        application=wiring.application.name,
        code_version=wiring.code("components.predict"),
    )


def bless(wiring: Wiring) -> BaseNode:
    """The verdict and the sentence that explains it."""
    return Bless(
        evaluation=wiring.output("evaluate", "evaluation"),
        predictions=wiring.output("predict", "predictions"),
        audit=wiring.output("split-audit", "audit"),
        application=wiring.application.name,
        settings=wiring.settings("blessing", "evaluate"),
        code_version=wiring.code("components.bless"),
    )


def serving_check(wiring: Wiring) -> BaseNode:
    """Real requests to the exported model in a process that has only TensorFlow."""
    return ServingCheck(
        model=wiring.output("train", "model"),
        examples=wiring.output("ingest", "examples"),
        model_run=wiring.output("train", "model_run"),
        application=wiring.application.name,
        settings=wiring.settings("serving_check"),
        code_version=wiring.code("components.serving_check.component"),
    )


def push(wiring: Wiring) -> BaseNode:
    """A new version in the serving folder, if blessed and found fit to serve."""
    return Push(
        model=wiring.output("train", "model"),
        model_blessing=wiring.output("bless", "blessing"),
        infra_blessing=wiring.output("serving-check", "blessing"),
        verdict=wiring.output("bless", "verdict"),
        window=wiring.output("spans", "window"),
        application=wiring.application.name,
        destination=wiring.placement.destination,
        configuration=wiring.whole_configuration(),
        keep_versions=wiring.config.push.keep_versions,
        code_version=wiring.code("components.push"),
        made_from=wiring.placement.made_from,
        made_with=wiring.made_with(),
        state=wiring.placement.pushed_state,
    )


def report(wiring: Wiring) -> BaseNode:
    """The page for people."""
    made = {
        field: wiring.nodes[stage].outputs.get(key)
        for field, (stage, key, _) in ARTIFACTS.items()
        if stage in wiring.nodes and field in INPUTS
    }
    card = f"applications/{wiring.application.name}/README.md"
    return Report(
        application=wiring.application.name,
        configuration=wiring.whole_configuration(),
        code_version=wiring.code("components.report", files=[*files_below("evaluation/report/templates"), card]),
        **made,
    )


BUILDERS: dict[str, Callable[[Wiring], BaseNode]] = {
    "spans": spans,
    "baseline": baseline,  # what comes behind it may hang on what it finds
    "ingest": ingest,
    "split-audit": split_audit,
    "schema": schema,
    "statistics": statistics,
    "validate": validate,
    "transform": transform,
    "tune": tune,
    "train": train,
    "evaluate": evaluate,
    "predict": predict,
    "bless": bless,
    "serving-check": serving_check,
    "push": push,
    "report": report,
}


def _trainer(wiring: Wiring) -> str:
    return f"trainer.{wiring.application.task}"


def _custom_config(wiring: Wiring, modules: tuple[str, ...], *sections: str) -> dict[str, Any]:
    """The part of the configuration that a TFX component hands to our function, with the digest of its code."""
    values = to_dict(wiring.config)
    return {
        "application": wiring.application.name,
        **{section: values[section] for section in sections},
        "code_version": wiring.code(*modules),
    }


def _training_inputs(wiring: Wiring, *sections: str) -> dict[str, Any]:
    custom_config = _custom_config(wiring, (_trainer(wiring),), *sections)
    custom_config["weights_digest"] = weights_digest(wiring.config.train.weights)  # the setting is but a path
    return {
        "examples": wiring.output("ingest", "examples"),
        "transform_graph": wiring.output("transform", "transform_graph"),
        "schema": wiring.output("schema", "result"),
        "train_args": trainer_pb2.TrainArgs(splits=[features.TRAIN]),
        "eval_args": trainer_pb2.EvalArgs(splits=[features.VALIDATION]),
        "custom_config": custom_config,
    }
