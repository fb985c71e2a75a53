"""Our artifact types. Each is also an attribute of the package `components`, as its TYPE_NAME says."""

from __future__ import annotations

from tfx.types.artifact import Artifact, Property, PropertyType


class Quarantine(Artifact):
    """Refused items: `refused.jsonl` (one `Refusal` a line) and `summary.json`."""

    TYPE_NAME = "components.Quarantine"


class SplitAudit(Artifact):
    """What was found when the splits were held against each other: `audit.json`."""

    TYPE_NAME = "components.SplitAudit"
    PROPERTIES = {"is_clean": Property(type=PropertyType.INT)}  # 1 when nothing leaks


class Predictions(Artifact):
    """Per-item answers on the test split: `predictions.parquet`."""

    TYPE_NAME = "components.Predictions"


class Verdict(Artifact):
    """The decision on a model with the sentence that explains it: `verdict.json`."""

    TYPE_NAME = "components.Verdict"
    PROPERTIES = {"verdict": Property(type=PropertyType.STRING)}  # blessed, not blessed, cannot tell


class ServingReport(Artifact):
    """What the exported model did in a clean process: `serving_check.json`."""

    TYPE_NAME = "components.ServingReport"


class RunReport(Artifact):
    """The page for people: `report.html`, and all it shows as `report.json`."""

    TYPE_NAME = "components.RunReport"
