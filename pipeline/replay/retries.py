"""When a task that failed is tried again: what Argo makes of a spec's retry policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pipeline.replay.spec import Node


@dataclasses.dataclass(frozen=True, kw_only=True)
class Retries:
    """A retry policy.

    Attributes:
        count: how many attempts may follow the first.
        first_pause_s: seconds before the second attempt.
        factor: by which each further pause grows; 0 for none.
        for_s: so many seconds after the first attempt began nothing is tried any more. A spec that does not say it
            gets 0 from Kubeflow Pipelines' compiler, and Argo then tries nothing again, whatever the count.
    """

    count: int = 0
    first_pause_s: float = 0.0
    factor: float = 0.0
    for_s: float = 0.0

    @classmethod
    def of(cls, node: Node) -> Retries:
        """Reads the policy of a task."""
        told: Mapping[str, Any] = node.task.get("retryPolicy") or {}
        return cls(
            count=int(told.get("maxRetryCount", 0)),
            first_pause_s=_seconds(told.get("backoffDuration")),
            factor=float(told.get("backoffFactor", 0.0)),
            for_s=_seconds(told.get("backoffMaxDuration")),
        )

    @property
    def why_none(self) -> str:
        """Says that a count stands in the spec which a cluster does not heed; "" else."""
        if not self.count or self.for_s:
            return ""
        return (
            f". It is not tried again, nor would a cluster do so, although maxRetryCount is {self.count}: "
            "its retryPolicy has no backoffMaxDuration"
        )

    def pause_s(self, attempts: int, passed_s: float) -> float | None:
        """Returns how long to wait before the next attempt, in seconds; None where there is none.

        Args:
            attempts: that have failed.
            passed_s: seconds since the first of them began.
        """
        pause_s = self.first_pause_s * (self.factor ** (attempts - 1) if self.factor > 0 else 1.0)
        return pause_s if attempts <= self.count and passed_s + pause_s <= self.for_s else None


def _seconds(text: Any) -> float:
    """Returns a duration of the JSON form of protocol buffers, `60s`, in seconds; 0.0 where there is none."""
    return float(str(text).removesuffix("s")) if text else 0.0
