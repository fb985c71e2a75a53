"""Whether there is a baseline that the candidate can be held against."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tfx.types.artifact import Artifact
from tfx.utils import path_utils

from serving import learnt_from, model_json

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


def has_seen(path: str, sha256: Sequence[str], groups: Sequence[str]) -> npt.NDArray[np.bool_] | None:
    """Says which of today's test items a model, or the weights it started from, has learnt from.

    Its splits may have been others: another seed or other fractions deal all groups anew, and an item that joins a
    near-duplicate cluster may rename it. On such items its score is flattered, and so is that on their near-copies.

    Args:
        path: folder of its SavedModel; "" for none.
        sha256: of each test item.
        groups: the split unit of each test item.

    Returns:
        bool `[items]`, true for every item of a group of which it has learnt from any; None where there is no model,
        or it does not say what it learnt from.
    """
    known = learnt_from.read(Path(path)) if path else None
    if known is None:
        return None
    touched = {group for digest, group in zip(sha256, groups, strict=True) if digest[: learnt_from.DIGITS] in known}
    return np.array([group in touched for group in groups], np.bool_)
