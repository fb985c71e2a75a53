"""Our artifact types. Each is also an attribute of the package `components`, as its TYPE_NAME says.

None has PROPERTIES: for types that are not TFX's own, Kubeflow has only custom properties.
"""

from __future__ import annotations

from tfx.types.artifact import Artifact


class DataWindow(Artifact):
    """The data that a run reads: `window.json`.

    Custom properties: `fingerprint`, `spans` (their number), `newest_span`.
    """

    TYPE_NAME = "components.DataWindow"


class Quarantine(Artifact):
    """Refused items: `refused.jsonl` (one `Refusal` a line) and `summary.json`."""

    TYPE_NAME = "components.Quarantine"


class SplitAudit(Artifact):
    """What was found when the splits were held against each other: `audit.json`.

    Custom property `is_clean`: 1 when nothing leaks, else 0.
    """

    TYPE_NAME = "components.SplitAudit"


class Predictions(Artifact):
    """Per-item answers on the test split: `predictions.parquet`."""

    TYPE_NAME = "components.Predictions"


class Verdict(Artifact):
    """The decision on a model with the sentence that explains it: `verdict.json`.

    Custom property `verdict`: "blessed", "not blessed" or "cannot tell".
    """

    TYPE_NAME = "components.Verdict"


class ServingReport(Artifact):
    """What the exported model did in a clean process: `serving_check.json`."""

    TYPE_NAME = "components.ServingReport"


class RunReport(Artifact):
    """The page for people: `report.html`, and all it shows as `report.json`."""

    TYPE_NAME = "components.RunReport"


class RunOutcome(Artifact):
    """How a run on Kubeflow ended: `outcome.json`."""

    TYPE_NAME = "components.RunOutcome"
