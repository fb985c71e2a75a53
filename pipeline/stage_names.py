"""The stages in order: node ids, and the words that `--from` and `--to` take. Light, for the command line."""

from __future__ import annotations

STAGES = (
    "spans",
    "baseline",
    "ingest",
    "split-audit",
    "schema",
    "statistics",
    "validate",
    "transform",
    "tune",
    "train",
    "evaluate",
    "predict",
    "bless",
    "serving-check",
    "push",
    "report",
)

# Sections of the configuration that a stage reads; a test holds it against the stages themselves.
SECTIONS_OF_STAGE = {
    "spans": ("spans",),
    "ingest": ("ingest", "split"),
    "split-audit": ("ingest", "evaluate"),
    "validate": ("validate",),
    "transform": ("image",),
    "tune": ("image", "train", "tune"),
    "train": ("image", "train"),
    "evaluate": ("evaluate",),
    "bless": ("blessing", "evaluate"),
    "serving-check": ("serving_check",),
}
