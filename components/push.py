"""Adds a model to the serving folder, if it was blessed and found fit to serve.

Stands where TFX's Pusher would, which writes file by file under the final name: a server could see half a version.
"""

import dataclasses
import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfx.components.util import model_utils
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import InfraBlessing, Model, ModelBlessing, PushedModel
from tfx.utils import path_utils

from applications import discovery
from applications.progress import report
from applications.spans import is_pattern
from applications.spec import Application
from components import window as data_window
from components.artifacts import DataWindow, Verdict
from components.window import Window
from serving import made_from as making
from serving import manifest, model_json
from serving.considered import Considered
from serving.manifest import ManifestError
from serving.model_json import ModelJson
from serving.versions import ModelFolder

PUSHED_FILE, NOT_PUSHED_FILE = "pushed.json", "not_pushed.json"

_logger = logging.getLogger(__name__)


@component
def Push(  # noqa: PLR0913, PLR0917 - each input, output and parameter is one argument to TFX
    model: InputArtifact[Model],
    model_blessing: InputArtifact[ModelBlessing],
    infra_blessing: InputArtifact[InfraBlessing],
    verdict: InputArtifact[Verdict],
    window: InputArtifact[DataWindow],
    pushed_model: OutputArtifact[PushedModel],
    application: Parameter[str],
    destination: Parameter[str],
    configuration: Parameter[str],
    keep_versions: Parameter[int],
    code_version: Parameter[str] = "",
    made_from: Parameter[str] = "",
    made_with: Parameter[str] = "",
    state: Parameter[str] = "",
) -> None:
    """Pushes a blessed model as a new version; the same files are never pushed twice in a row.

    Pushed or not, it is noted in the serving folder that this model was considered.

    Args:
        model: the exported model.
        model_blessing: what the evaluation says.
        infra_blessing: what the serving check says.
        verdict: `verdict.json` and `metrics.json`, for `model.json`.
        window: the data behind the model.
        pushed_model: gets `pushed.json` and `model.json`, or `not_pushed.json`, and TFX's properties
            `pushed` (1 or 0), `pushed_destination` and `pushed_version`.
        application: name of the application.
        destination: the serving folder.
        configuration: the resolved configuration as JSON.
        keep_versions: how many versions stay, this one included; 0 keeps all.
        code_version: digest of the code behind this stage, for the cache.
        made_from: digest of everything the model is made from; `components.baseline` passes over its own kind. ""
            where it is found out here, from `configuration`, `made_with` and the data.
        made_with: as `serving.made_from.of_stage` takes it.
        state: `serving.versions.state` of the destination; where it changed, the cache does not answer, so that a
            version somebody removed is pushed again.
    """
    del code_version, state
    artifact = Path(pushed_model.uri)
    artifact.mkdir(parents=True, exist_ok=True)
    evidence = read_evidence(Path(verdict.uri))
    reason = why_not(
        is_blessed=model_utils.is_model_blessed(model_blessing),
        is_fit_to_serve=model_utils.is_infra_validated(infra_blessing),
        sentence=evidence.verdict.get("sentence", ""),
    )
    data = data_window.read(Path(window.uri))
    mine = making.of_stage(made_from, configuration, made_with, data.fingerprint)
    spec = discovery.load(application)
    folder = ModelFolder(destination=Path(destination), model=spec.model_name)
    verdict_word = str(evidence.verdict.get("verdict", ""))
    pushed_model.set_int_custom_property("pushed", 0 if reason else 1)
    if reason:
        (artifact / NOT_PUSHED_FILE).write_text(json.dumps({"reason": reason}) + "\n", encoding="utf-8")
        _report(f"Not pushed: {reason}")
        Considered(made_from=mine, verdict=verdict_word, pushed_version=0).write(folder)
        return
    about = describe(spec, json.loads(configuration), data, evidence, mine)
    version = push(Path(path_utils.serving_model_path(model.uri)), folder, about, keep_versions)
    Considered(made_from=mine, verdict=verdict_word, pushed_version=version).write(folder)
    _tell(pushed_model, folder.version_path(version), version)


@dataclasses.dataclass(frozen=True)
class Evidence:
    """The verdict on a model and the metrics behind it."""

    verdict: Mapping[str, Any]
    metrics: Mapping[str, Any]


def read_evidence(folder: Path) -> Evidence:
    """Reads `verdict.json` and `metrics.json`."""
    verdict, metrics = (
        json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in ("verdict", "metrics")
    )
    return Evidence(verdict, metrics)


def why_not(*, is_blessed: bool, is_fit_to_serve: bool, sentence: str) -> str:
    """Says why a model is not pushed, or "" when it is."""
    reasons = [] if is_blessed else [sentence or "the model is not blessed."]
    if not is_fit_to_serve:
        reasons.append(
            "The exported model failed the serving check; see serving_check.json of the stage serving-check."
        )
    return " ".join(reasons)


def describe(
    application: Application,
    configuration: Mapping[str, Any],
    data: Window,
    evidence: Evidence,
    made_from: str,
) -> ModelJson:
    """Makes `model.json`, all but the version and the manifest."""
    metrics = evidence.metrics
    return ModelJson(
        model=application.model_name,
        version=0,
        application=application.name,
        classes=application.classes,
        configuration=configuration,
        metrics=metrics["metrics"],
        verdict=evidence.verdict,
        data={
            "fingerprint": data.fingerprint,
            **({"pattern": data.pattern, "spans": list(data.folders)} if is_pattern(data.pattern) else {}),
            **{f"test_{name}": metrics[name] for name in ("items", "groups") if name in metrics},
        },
        files={},
        made_from=made_from,
    )


def push(model: Path, folder: ModelFolder, about: ModelJson, keep_versions: int) -> int:
    """Publishes a model as a new version, unless the newest version already has exactly its files.

    So a push that was killed after the version appeared, but before it was recorded, is not repeated.

    Args:
        model: folder of the SavedModel.
        folder: all versions of the model; need not exist yet.
        about: what `model.json` says; version and manifest are filled in.
        keep_versions: how many of the newest versions stay; 0 keeps all.

    Returns:
        The version that holds these files.

    Raises:
        OutputError: the destination cannot be written to or is full.
        ManifestError: the model holds a link, or its copy differs from it.
    """
    files = manifest.digests(model)

    def write(incoming: Path, version: int) -> None:
        """Fills the folder of the new version."""
        shutil.copytree(model, incoming, dirs_exist_ok=True)
        manifest.verify(incoming, files)
        dataclasses.replace(about, version=version, files=files).write(incoming)

    version = _newest_if_same(folder, files)
    if version is None:
        version = folder.publish(write)
        _report(f"Pushed version {version} of {folder.model} to {folder.version_path(version)}.")
    else:
        _report(f"Version {version} of {folder.model} has exactly these files already; no new version is made.")
    removed = folder.remove_older(keep_versions)
    if removed:
        _report(f"Removed {len(removed)} older versions of {folder.model}: {', '.join(map(str, removed))}.")
    return version


def _tell(pushed_model: PushedModel, path: Path, version: int) -> None:
    """Says in the artifact where the model went."""
    artifact = Path(pushed_model.uri)
    pushed_model.set_string_custom_property("pushed_destination", str(path))
    pushed_model.set_string_custom_property("pushed_version", str(version))
    told = json.dumps({"path": str(path), "version": version})
    (artifact / PUSHED_FILE).write_text(told + "\n", encoding="utf-8")
    shutil.copyfile(path / model_json.FILE_NAME, artifact / model_json.FILE_NAME)


def _newest_if_same(folder: ModelFolder, files: Mapping[str, str]) -> int | None:
    newest = folder.newest()
    if newest is None:
        return None
    try:
        return newest if model_json.verify(folder.version_path(newest)).files == files else None
    except ManifestError as error:
        _logger.warning("the newest version is broken and a new one is pushed: %s", error)
        return None


def _report(text: str) -> None:
    _logger.info("%s", text)
    report("note", text=text)
