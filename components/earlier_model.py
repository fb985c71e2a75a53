"""Whether there is a baseline that the candidate can be held against."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tfx.types.artifact import Artifact
from tfx.utils import path_utils

from serving import model_json

SAVED_MODEL_FILE = "saved_model.pb"


@dataclasses.dataclass(frozen=True)
class EarlierModel:
    """The baseline as an evaluation sees it.

    Attributes:
        path: folder of its SavedModel; "" where there is none to compare with.
        version: its version; "" where there is none or it is unknown.
        note: why an earlier model that exists is not compared with, as a clause; else "".
    """

    path: str = ""
    version: str = ""
    note: str = ""


def find(baseline: Artifact | None, classes: tuple[str, ...]) -> EarlierModel:
    """Looks into a baseline artifact.

    "No baseline" arrives as a folder without a SavedModel, and on Kubeflow as a folder that does not exist. A
    model of other classes, or of the same in another order, cannot be scored on today's labels.

    Args:
        baseline: the artifact that `components.baseline` filled, or None.
        classes: of the application today, in order.
    """
    if baseline is None:
        return EarlierModel()
    folder = Path(path_utils.serving_model_path(baseline.uri))
    if not (folder / SAVED_MODEL_FILE).exists():
        return EarlierModel()
    version = baseline.get_string_custom_property("version")
    if (folder / model_json.FILE_NAME).exists() and model_json.read(folder).classes != classes:
        called = f" (version {version})" if version else ""
        note = f"the earlier model{called} knows other classes, so the two are not compared"
        return EarlierModel(version=version, note=note)
    return EarlierModel(str(folder), version)
