"""Earthloop's own TFX components.

The artifact types are attributes of this package because Kubeflow imports an artifact by its TYPE_NAME.
"""

from components.artifacts import (
    DataWindow,
    Predictions,
    Quarantine,
    RunOutcome,
    RunReport,
    ServingReport,
    SplitAudit,
    Verdict,
)

__all__ = [
    "DataWindow",
    "Predictions",
    "Quarantine",
    "RunOutcome",
    "RunReport",
    "ServingReport",
    "SplitAudit",
    "Verdict",
]
