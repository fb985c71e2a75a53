"""The stages in order: node ids, and the words that `--from` and `--to` take. Light, for the command line."""

from __future__ import annotations

STAGES = (
    "ingest",
    "split-audit",
    "schema",
    "statistics",
    "validate",
    "transform",
    "tune",
    "train",
    "baseline",
    "evaluate",
    "predict",
    "bless",
    "serving-check",
    "push",
    "report",
)
