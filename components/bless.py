"""Decides on a model: blessed, not blessed, or cannot tell, with the sentence that explains it."""

import json
from pathlib import Path
from typing import Any

from tfx.components.evaluator import constants
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import ModelBlessing, ModelEvaluation

from applications import discovery
from applications.progress import report
from applications.settings import BlessingSettings, EvaluateSettings
from components.artifacts import Predictions, SplitAudit, Verdict
from evaluation import blessing as rules
from evaluation import eval_config, predictions, scorecard

AUDIT_FILE, VERDICT_FILE, METRICS_FILE = "audit.json", "verdict.json", "metrics.json"


@component
def Bless(  # noqa: PLR0913, PLR0917 - each input, output and parameter is one argument to TFX
    evaluation: InputArtifact[ModelEvaluation],
    predictions: InputArtifact[Predictions],
    audit: InputArtifact[SplitAudit],
    blessing: OutputArtifact[ModelBlessing],
    verdict: OutputArtifact[Verdict],
    application: Parameter[str],
    settings: Parameter[str],
    code_version: Parameter[str] = "",
) -> None:
    """Holds the candidate against the rules of the section `blessing` of the configuration.

    Args:
        evaluation: TFMA's own result, which the predictions must agree with.
        predictions: answers on the test split.
        audit: whether anything leaks between the splits.
        blessing: gets `BLESSED` or `NOT_BLESSED` and the property `blessed`, as TFX's Evaluator writes them.
        verdict: gets `verdict.json` and `metrics.json`, and the property `verdict`.
        application: name of the application; gives the slices.
        settings: JSON with the sections `blessing` and `evaluate` of the configuration.
        code_version: digest of the code behind this stage, for the cache.
    """
    del code_version
    card = decide(
        Path(predictions.uri),
        audit=Path(audit.uri),
        evaluated=eval_config.read_metrics(evaluation.uri),
        slices=discovery.load(application).slices,
        settings=json.loads(settings),
    )
    is_blessed = write(card, blessing=Path(blessing.uri), verdict=Path(verdict.uri))
    sentence = card["verdict"]["sentence"]
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, int(is_blessed))
    blessing.set_string_custom_property(constants.ARTIFACT_PROPERTY_BLESSING_MESSAGE_KEY, sentence)
    verdict.set_string_custom_property("verdict", card["verdict"]["verdict"])
    report("note", text=sentence)


def decide(
    folder: Path,
    *,
    audit: Path,
    evaluated: dict[str, dict[str, float | None]],
    slices: tuple[tuple[str, ...], ...],
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Reads the files and scores them.

    Args:
        folder: holds `predictions.parquet`.
        audit: folder that should hold `audit.json`; a model without an audit is not blessed.
        evaluated: TFMA's own metrics.
        slices: of the application.
        settings: sections `blessing` and `evaluate` of the configuration.

    Returns:
        What `evaluation.scorecard.scorecard` returns.
    """
    audit_file = audit / AUDIT_FILE
    return scorecard.scorecard(
        predictions.read(str(folder / predictions.FILE_NAME)),
        evaluate=EvaluateSettings(**settings["evaluate"]),
        rules=BlessingSettings(**settings["blessing"]),
        audit=json.loads(audit_file.read_text(encoding="utf-8")) if audit_file.exists() else {},
        evaluated=evaluated,
        slices=slices,
    )


def write(card: dict[str, Any], *, blessing: Path, verdict: Path) -> bool:
    """Writes the files of both artifacts and returns whether the model is blessed."""
    is_blessed = bool(card["verdict"]["verdict"] == rules.BLESSED)
    name = constants.BLESSED_FILE_NAME if is_blessed else constants.NOT_BLESSED_FILE_NAME
    blessing.mkdir(parents=True, exist_ok=True)
    (blessing / name).write_text("", encoding="utf-8")
    verdict.mkdir(parents=True, exist_ok=True)
    for file, content in ((VERDICT_FILE, card["verdict"]), (METRICS_FILE, card["metrics"])):
        text = json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False)
        (verdict / file).write_text(text, encoding="utf-8")
    return is_blessed
