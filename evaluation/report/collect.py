"""Gathers what the stages of a run left into one record, `report.json`, without importing TensorFlow or TFX."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import applications
from applications.errors import DataError, UnknownName
from evaluation.report import statistics, thumbnails
from evaluation.report.card import read_card

REPORT_VERSION = 1
BASELINE_FOLDER = "Format-Serving"  # in the baseline's artifact, as TFX lays a model out
REFUSED_SHOWN = 100  # refused files that are listed by name; the rest is counted

# Field of ReportInputs → stage, output key, what the output is.
ARTIFACTS = {
    "window": ("spans", "window", "Data read"),
    "examples": ("ingest", "examples", "Examples"),
    "quarantine": ("ingest", "quarantine", "Refused files"),
    "audit": ("split-audit", "audit", "Split audit"),
    "statistics": ("statistics", "statistics", "Data statistics"),
    "schema": ("schema", "result", "Schema"),
    "anomalies": ("validate", "anomalies", "Anomalies"),
    "transform_graph": ("transform", "transform_graph", "Transform graph"),
    "hyperparameters": ("tune", "best_hyperparameters", "Tuned settings"),
    "model": ("train", "model", "Model"),
    "model_run": ("train", "model_run", "Training history"),
    "baseline": ("baseline", "model", "Baseline model"),
    "evaluation": ("evaluate", "evaluation", "Evaluation (TFMA)"),
    "predictions": ("predict", "predictions", "Predictions"),
    "verdict": ("bless", "verdict", "Verdict"),
    "serving_report": ("serving-check", "report", "Serving check"),
    "pushed_model": ("push", "pushed_model", "Pushed model"),
}

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReportInputs:
    """Where the parts of a report are; a part that a run never made is None.

    Attributes:
        application: name of the application.
        configuration: the resolved configuration of the run.
        code_version: of the code that made the run.
    """

    application: str
    configuration: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    code_version: str = ""
    window: Path | None = None
    examples: Path | None = None
    quarantine: Path | None = None
    audit: Path | None = None
    statistics: Path | None = None
    schema: Path | None = None
    anomalies: Path | None = None
    transform_graph: Path | None = None
    hyperparameters: Path | None = None
    model: Path | None = None
    model_run: Path | None = None
    baseline: Path | None = None
    evaluation: Path | None = None
    predictions: Path | None = None
    verdict: Path | None = None
    serving_report: Path | None = None
    pushed_model: Path | None = None


def inputs_of_record(out: Path, record: Mapping[str, Any]) -> ReportInputs:
    """Returns the inputs that a run's record names, for a run that ended before its report stage.

    Args:
        out: the run's output folder, which the paths of the record start from.
        record: content of `record.json`.
    """
    made = record.get("artifacts") or {}
    folders: dict[str, Any] = {}
    for field, (stage, output, _) in ARTIFACTS.items():
        if paths := (made.get(stage) or {}).get(output):
            folders[field] = out / paths[-1]
    bare = ReportInputs(application=str(record.get("application", "")), configuration=record.get("config") or {})
    return dataclasses.replace(bare, **folders)


def collect(inputs: ReportInputs) -> dict[str, object]:
    """Returns everything the page shows, as JSON-able values; a part that is missing or unreadable is None.

    Args:
        inputs: folders of the run's artifacts.

    Returns:
        `version`, `application`, `card`, `code_version`, `configuration`, `verdict`, `metrics`, `pictures`
        (`items`: SHA-256 → data URI; `classes`: class → data URI), `window`, `statistics`, `anomalies`, `audit`,
        `quarantine`, `training`, `baseline`, `serving_check`, `pushed`, `hyperparameters`, `artifacts`, and `run`
        (None; the runner sets it to its `record.json`).
    """
    metrics = _json_in(inputs.verdict, "metrics.json")
    worst = {str(item.get("sha256")) for item in (metrics or {}).get("worst_errors", [])}
    items, classes = thumbnails.collect_thumbnails(inputs.examples, worst) if inputs.examples else ({}, {})
    return {
        "version": REPORT_VERSION,
        "application": _application(inputs.application),
        "card": _card(inputs.application),
        "code_version": inputs.code_version,
        "configuration": dict(inputs.configuration),
        "verdict": _json_in(inputs.verdict, "verdict.json"),
        "metrics": metrics,
        "pictures": {"items": items, "classes": classes},
        "window": _json_in(inputs.window, "window.json"),
        "statistics": _readable(inputs.statistics, statistics.summarise),
        "anomalies": _readable(inputs.anomalies, statistics.anomalies),
        "audit": _json_in(inputs.audit, "audit.json"),
        "quarantine": _quarantine(inputs.quarantine),
        "training": _json_in(inputs.model_run, "history.json"),
        "baseline": _baseline(inputs.baseline),
        "serving_check": _json_in(inputs.serving_report, "serving_check.json"),
        "pushed": _pushed(inputs.pushed_model),
        "hyperparameters": _json_in(inputs.hyperparameters, "best_hyperparameters.txt"),
        "artifacts": list(_artifacts(inputs)),
        "run": None,
    }


def _json_in(folder: Path | None, name: str) -> Any:
    """Returns the content of a JSON file, or None where it is missing or cut off (the run may have been killed)."""
    if folder is None or not (folder / name).is_file():
        return None
    try:
        return json.loads((folder / name).read_text(encoding="utf-8"))
    except ValueError as error:
        logger.warning("%s/%s is left out of the report, as it is not JSON: %s", folder.name, name, error)
        return None


def _readable(folder: Path | None, read: Callable[[Path], Any]) -> Any:
    if folder is None:
        return None
    try:
        return read(folder)
    except DataError as error:
        logger.warning("left out of the report: %s", error)
        return None


def _quarantine(folder: Path | None) -> dict[str, Any] | None:
    summary = _json_in(folder, "summary.json")
    if folder is None or summary is None:
        return None
    refused: list[dict[str, Any]] = []
    count, file = 0, folder / "refused.jsonl"
    if file.is_file():
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                count += 1
                if len(refused) < REFUSED_SHOWN:
                    refused.append(json.loads(line))
    return {"summary": summary, "refused": refused, "refused_count": count}


def _baseline(folder: Path | None) -> Any:
    """Returns `version` and `metrics` of the baseline, or the `reason` why there is none."""
    if folder is None:
        return None
    card = _json_in(folder / BASELINE_FOLDER, "model.json")
    return (
        {key: card.get(key) for key in ("model", "version", "created_utc", "metrics")}
        if card
        else _json_in(folder, "absent.json")
    )


def _pushed(folder: Path | None) -> Any:
    """Returns name, version and number of files of the pushed model, or the `reason` why nothing was pushed."""
    card = _json_in(folder, "model.json")
    if card is None:
        return _json_in(folder, "not_pushed.json")
    return {**{key: card.get(key) for key in ("model", "version", "created_utc")}, "files": len(card.get("files", {}))}


def _artifacts(inputs: ReportInputs) -> Iterator[dict[str, Any]]:
    for field, (stage, output, kind) in ARTIFACTS.items():
        folder: Path | None = getattr(inputs, field)
        if folder is not None and folder.exists():
            files = list(_files(folder))
            place = "/".join(folder.parts[-3:]) if folder.is_absolute() else folder.as_posix()
            yield {
                "stage": stage,
                "output": output,
                "kind": kind,
                "place": place,
                "files": len(files),
                "bytes": sum(file.stat().st_size for file in files),
            }


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in sorted(folder.rglob("*")) if file.is_file())


def _application(name: str) -> dict[str, Any]:
    from applications import discovery

    try:
        spec = discovery.load(name)
    except UnknownName:  # of a report made elsewhere, or of an application that was removed since
        return {"name": name}
    keys = ("name", "title", "summary", "task", "modality", "group_by")
    return {**{key: getattr(spec, key) for key in keys}, "classes": list(spec.classes)}


def _card(name: str) -> dict[str, Any] | None:
    file = Path(applications.__file__).parent / name / "README.md" if name else None
    return read_card(file.read_text(encoding="utf-8")) if file and file.is_file() else None
