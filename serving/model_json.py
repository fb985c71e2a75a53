"""`model.json`: what a pushed model is, how good it is, what it was made from, and its manifest."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from serving import manifest
from serving.manifest import ManifestError

FILE_NAME = "model.json"
FORMAT = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelJson:
    """The contents of `model.json`.

    Attributes:
        model: the name a server knows the model by.
        version: number of the version, UTC seconds at which it was pushed.
        application: `<system>/<application>`.
        classes: label names, in the order of the model's `probabilities`.
        configuration: the resolved configuration of the run.
        metrics: metric name to {"value", "low", "high"}, on the test split.
        verdict: the decision with its sentence and checks.
        data: fingerprints and sizes of the data behind model and metrics.
        files: relative path to SHA-256 of every file beside `model.json`.
        made_from: digest of everything the model is made from; "" where it is not known.
        created_utc: ISO 8601, ending in "Z".
        format: version of this layout.
    """

    model: str
    version: int
    application: str
    classes: tuple[str, ...]
    configuration: Mapping[str, Any]
    metrics: Mapping[str, Any]
    verdict: Mapping[str, Any]
    data: Mapping[str, Any]
    files: Mapping[str, str]
    made_from: str = ""
    created_utc: str = dataclasses.field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    format: int = FORMAT

    def write(self, folder: Path) -> None:
        """Writes `model.json` into a folder."""
        text = json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False)
        (folder / FILE_NAME).write_text(text + "\n", encoding="utf-8")


def read(folder: Path) -> ModelJson:
    """Reads the `model.json` of a version.

    Raises:
        ManifestError: it is missing, is no JSON, lacks a field, or has a format this code does not know.
    """
    path = folder / FILE_NAME
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ManifestError(
            f"a pushed version must hold {FILE_NAME}, but {path} cannot be read ({error}). Push again."
        ) from error
    except ValueError as error:
        raise ManifestError(f"{FILE_NAME} must be JSON, but {path} is not ({error}). Push again.") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        found = values.get("format") if isinstance(values, dict) else values
        raise ManifestError(
            f"format of {path} must be {FORMAT}, got {found!r}. Read it with the Earthloop that wrote it."
        )
    known = {field.name for field in dataclasses.fields(ModelJson)}
    try:
        model = ModelJson(**{key: value for key, value in values.items() if key in known})
        return dataclasses.replace(model, classes=tuple(model.classes), files=dict(model.files))
    except (TypeError, ValueError) as error:
        raise ManifestError(f"{path} must have the fields that a push writes, but: {error}. Push again.") from error


def verify(folder: Path) -> ModelJson:
    """Reads `model.json` and compares every other file of the version with its manifest.

    Raises:
        ManifestError: the version is not what was pushed; the text names each file.
    """
    model = read(folder)
    manifest.verify(folder, model.files, leave_out=(FILE_NAME,))
    return model
