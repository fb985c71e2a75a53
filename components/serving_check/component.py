"""The TFX component that stands where InfraValidator would: is the exported model fit to serve?"""

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Examples, InfraBlessing, Model, ModelRun
from tfx.utils import path_utils

from applications import discovery
from applications.progress import report as report_progress
from applications.settings import ServingCheckSettings
from components.artifacts import ServingReport
from components.serving_check import checks, requests
from components.serving_check.checks import Check, Plan
from components.serving_check.isolation import CleanProcess, CleanProcessError
from schemas import features
from serving import graph_ops
from serving.manifest import ManifestError

REPORT_FILE = "serving_check.json"
TRAINER_FILE = "trainer_predictions.json"
SINGLES = 64  # items that are also sent one at a time; the latency is theirs
PAIRED = 16  # items that are also sent two at a time
_MOST_FINDINGS = 8  # forbidden ops named in the sentence

_logger = logging.getLogger(__name__)


@component
def ServingCheck(  # noqa: PLR0913, PLR0917 - each input and parameter is one argument to TFX
    model: InputArtifact[Model],
    examples: InputArtifact[Examples],
    model_run: InputArtifact[ModelRun],
    blessing: OutputArtifact[InfraBlessing],
    report: OutputArtifact[ServingReport],
    application: Parameter[str],
    settings: Parameter[str],
    code_version: Parameter[str],
) -> None:
    """Sends real requests to a model in a clean process; a failure blesses nothing and stops nothing.

    Args:
        model: the exported model.
        examples: raw Examples; test items are sent, validation items compared with the trainer's predictions.
        model_run: holds `trainer_predictions.json`.
        blessing: gets `INFRA_BLESSED` or `INFRA_NOT_BLESSED` and the property `blessed`, as InfraValidator writes them.
        report: gets `serving_check.json`.
        application: name of the application.
        settings: JSON with the section `serving_check` of the configuration.
        code_version: digest of the code behind this stage, for the cache.
    """
    del code_version
    limits = ServingCheckSettings(**json.loads(settings)["serving_check"])
    folder = Path(path_utils.serving_model_path(model.uri))
    with CleanProcess(limits.timeout_s) as process:
        plan = make_plan(discovery.load(application).classes, Path(examples.uri), Path(model_run.uri), limits)
        result = check(folder, plan, process)
    write_result(result, Path(blessing.uri), Path(report.uri))
    blessing.set_int_custom_property("blessed", int(result["passed"]))
    report_progress("note", text=result["sentence"])


def make_plan(classes: tuple[str, ...], examples: Path, model_run: Path, settings: ServingCheckSettings) -> Plan:
    """Chooses what is sent.

    Args:
        classes: label names, in the order of the model's outputs.
        examples: folder with `Split-test` and `Split-validation`.
        model_run: folder with `trainer_predictions.json`; without it "trainer agrees" fails.
        settings: how many requests, and the limits.
    """
    items = requests.sample(examples / f"Split-{features.TEST}", settings.requests)
    trainer_path = model_run / TRAINER_FILE
    trainer: dict[str, Any] = {"sha256": [], "probabilities": []}
    if trainer_path.exists():
        trainer = json.loads(trainer_path.read_text(encoding="utf-8"))
    found = requests.find(examples / f"Split-{features.VALIDATION}", trainer["sha256"])
    pairs = [pair for pair in zip(trainer["sha256"], trainer["probabilities"], strict=True) if pair[0] in found]
    calls = {
        checks.TEST: items,
        checks.ONE: items[:SINGLES],
        checks.TWO: items[:PAIRED],
        checks.UNREADABLE: requests.with_damage(items) if items else [],
        checks.TRAINER: [found[sha256] for sha256, _ in pairs],
    }
    probabilities = np.asarray([row for _, row in pairs], np.float32).reshape(
        len(pairs), len(pairs[0][1]) if pairs else len(classes)
    )
    missing = [sha256 for sha256 in trainer["sha256"] if sha256 not in found]
    return Plan(classes=classes, calls=calls, trainer=probabilities, settings=settings, missing=missing)


def check(model: Path, plan: Plan, process: CleanProcess) -> dict[str, Any]:
    """Checks a SavedModel.

    Args:
        model: folder of the SavedModel.
        plan: what is sent and expected.
        process: is asked, unless the graph alone tells that the model must not be loaded.

    Returns:
        The contents of `serving_check.json`. `latency_ms` is empty, and `memory_mib`, `load_s` and
        `max_probability_difference` are None where the model could not be loaded or asked.
    """
    found, record = [_graph_check(model)], None
    if found[0].passed and not plan.calls[checks.TEST]:
        found.append(
            Check("requests", False, "the test split is empty, so there is nothing to send. Give the run more items")
        )
    elif found[0].passed:
        try:
            sizes = {checks.ONE: 1, checks.TWO: 2, checks.UNREADABLE: len(plan.calls[checks.UNREADABLE])}
            record = process.ask(model, plan.calls, checks.SIGNATURES, sizes)
            found += checks.judge(record, plan)
        except CleanProcessError as error:
            found.append(Check("clean process", False, f"the clean process {error}"))
    return {
        "passed": all(each.passed for each in found),
        "sentence": sentence(found, record),
        "checks": [dataclasses.asdict(each) for each in found],
        "ops": _ops(model),
        **_measured(record, plan),
    }


def sentence(found: list[Check], record: dict[str, Any] | None) -> str:
    """Says in one sentence whether a model is fit to serve, and which check failed by how much."""
    failed = [each for each in found if not each.passed]
    if failed or record is None:
        reasons = "; ".join(f"{each.name}: {each.detail}" for each in failed)
        return f"Not fit to serve: {len(failed)} of {len(found)} checks failed. {reasons}."
    latency = max(value["p99"] for value in record["latency_ms"].values())
    return (
        f"Fit to serve: all {len(found)} checks passed in a process with only TensorFlow "
        f"(load {record['load_s']:.1f} s, p99 {latency:.1f} ms for one image, peak {record['memory_mib']:.0f} MiB)."
    )


def write_result(result: dict[str, Any], blessing: Path, report: Path) -> None:
    """Writes `serving_check.json` and the file by which TFX knows a blessing."""
    for folder in (blessing, report):
        folder.mkdir(parents=True, exist_ok=True)
    (report / REPORT_FILE).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    (blessing / ("INFRA_BLESSED" if result["passed"] else "INFRA_NOT_BLESSED")).touch()
    _logger.log(logging.INFO if result["passed"] else logging.WARNING, "%s", result["sentence"])


def _graph_check(model: Path) -> Check:
    name = "graph ops"
    try:
        findings = graph_ops.forbidden_ops(model)
        count = len(graph_ops.ops(model))
    except ManifestError as error:
        return Check(name, False, str(error))
    if not findings:
        return Check(name, True, f"all {count} kinds of ops only compute")
    texts = [f"{each.op} in {each.where} {each.reason}" for each in findings[:_MOST_FINDINGS]]
    more = f"; and {len(findings) - _MOST_FINDINGS} more" if len(findings) > _MOST_FINDINGS else ""
    return Check(name, False, f"{'; '.join(texts)}{more}. The model was not loaded")


def _ops(model: Path) -> list[str]:
    try:
        return graph_ops.ops(model)
    except ManifestError:
        return []


def _measured(record: dict[str, Any] | None, plan: Plan) -> dict[str, Any]:
    if record is None:
        return {
            "latency_ms": {},
            "throughput_per_s": {},
            "memory_mib": None,
            "load_s": None,
            "max_probability_difference": None,
        }
    return {
        "latency_ms": record["latency_ms"],
        "throughput_per_s": record["throughput_per_s"],
        "memory_mib": record["memory_mib"],
        "load_s": record["load_s"],
        "max_probability_difference": checks.trainer_difference(record, plan),
        "requests": {name: len(items) for name, items in plan.calls.items()},
        "machine": {"device": "CPU", "threads": record["threads"], **record["versions"]},
    }
