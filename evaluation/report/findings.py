"""What the numbers of a report say, in a sentence each; the page shows them above its figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.report.figures import is_number
from evaluation.report.words import count_of, decimal, duration, energy, interval_text, percent, title_of

ENDED_BADLY = ("failed", "interrupted")
SECONDS_PER_1000_ITEMS = 1000
SMALL = 0.25  # a check whose numbers stay below is drawn on a scale of its own


def missing(report: Mapping[str, Any], key: str, stage: str) -> str:
    """Returns why a part of the report is not there, or "" when it is there.

    Args:
        report: the whole report.
        key: of the part; "" for a part that is always there.
        stage: that makes the part.
    """
    if not key or report.get(key):
        return ""
    stages = {entry.get("name"): entry for entry in (report.get("run") or {}).get("stages", [])}
    own = stages.get(stage, {}).get("state", "")
    if own in ENDED_BADLY:
        return f"The stage {stage} {_ended(stages[stage])}, so this part was not made."
    if own == "skipped":
        return f"The stage {stage} was skipped, so this part was not made."
    if own in ("done", "cached"):
        return f"The stage {stage} ended, but its result cannot be read; see the run's log of the stage report."
    for entry in stages.values():
        if entry.get("state") in ENDED_BADLY:
            return f"The run stopped before {stage}: the stage {entry.get('name')} {_ended(entry)}."
    return f"The run stopped before {stage}, or left that stage out, so this part was not made."


def _ended(stage: Mapping[str, Any]) -> str:
    return "was interrupted" if stage.get("state") == "interrupted" else "failed"


def failures(run: Mapping[str, Any]) -> list[str]:
    """Returns a sentence for every stage that failed or was interrupted, with its error."""
    stopped = [stage for stage in run.get("stages", []) if stage.get("state") in ENDED_BADLY]
    return [
        f"The stage {stage.get('name')} {_ended(stage)}"
        + (f": {str(stage['error']).strip()}" if stage.get("error") else ".")
        for stage in stopped
    ]


def check_name(report: Mapping[str, Any], check: Mapping[str, Any]) -> str:
    """Returns the name of a check for people; the check "metric" is named after the metric of the configuration."""
    name = check.get("name", "")
    if name == "metric":
        return title_of(((report.get("configuration") or {}).get("blessing") or {}).get("metric") or name)
    return title_of(name)


def all_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Returns every metric of the whole test split, the calibration error among them."""
    error = (metrics.get("calibration") or {}).get("expected_calibration_error")
    return {**(metrics.get("metrics") or {}), **({"expected_calibration_error": error} if error else {})}


def artifacts(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the artifacts of the report and, without their sizes, the further ones that the run's record names."""
    rows = [dict(row) for row in report.get("artifacts") or []]
    known = {(row["stage"], row["output"]) for row in rows}
    for stage, outputs in ((report.get("run") or {}).get("artifacts") or {}).items():
        for output, places in outputs.items():
            if places and (stage, output) not in known:
                rows.append({"stage": stage, "output": output, "kind": title_of(output), "place": places[-1]})
    order = [entry.get("name") for entry in (report.get("run") or {}).get("stages", [])]
    return sorted(rows, key=lambda row: order.index(row["stage"]) if row["stage"] in order else len(order))


def worst_class(metrics: Mapping[str, Any]) -> str:
    """Says which class is found least often."""
    rows = [row for row in metrics.get("per_class", []) if is_number((row.get("recall") or {}).get("value"))]
    if not rows:
        return ""
    worst = min(rows, key=lambda row: row["recall"]["value"])
    recall = worst["recall"]
    return (
        f"The weakest class is {worst['label']}: {percent(recall['value'])} of its "
        f"{count_of(worst.get('support'))} items were found (interval {interval_text(recall)})."
    )


def worst_confusion(metrics: Mapping[str, Any]) -> str:
    """Says which class is most often taken for which other."""
    labels = [row.get("label", "") for row in metrics.get("per_class", [])]
    cells = [
        (count, true, guess)
        for true, row in enumerate(metrics.get("confusion", []))
        for guess, count in enumerate(row)
        if true != guess and count
    ]
    if not cells or len(labels) != len(metrics.get("confusion", [])):
        return "" if cells else "No item was taken for another class."
    count, true, guess = max(cells, key=lambda cell: (cell[0], -cell[1], -cell[2]))
    total = sum(metrics["confusion"][true])
    return (
        f"The most frequent mistake: {labels[true]} taken for {labels[guess]}, {count_of(count)} of {count_of(total)} "
        f"items ({percent(count / total)})."
    )


def calibration(metrics: Mapping[str, Any]) -> str:
    """Says how far stated probabilities are off, and in which direction."""
    found = metrics.get("calibration") or {}
    error = found.get("expected_calibration_error") or {}
    if not is_number(error.get("value")):
        return ""
    bins = [item for item in found.get("bins", []) if item.get("count") and is_number(item.get("accuracy"))]
    lean = sum(item["count"] * (item["accuracy"] - item["confidence"]) for item in bins)
    direction = "rather too modest" if lean > 0 else "rather too sure of itself"
    return (
        f"The stated probability is off by {decimal(error['value'])} on average "
        f"(interval {interval_text(error)}); the model is {direction}."
    )


def confusion_rows(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the confusion matrix as rows of cells with `count` and `share` of the row (0 to 1)."""
    labels = [row.get("label", "") for row in metrics.get("per_class", [])]
    rows = []
    for place, counts in enumerate(metrics.get("confusion", [])):
        total = sum(counts) or 1
        cells = [
            {"count": count, "share": count / total, "is_right": guess == place} for guess, count in enumerate(counts)
        ]
        rows.append(
            {"label": labels[place] if place < len(labels) else str(place), "cells": cells, "total": sum(counts)}
        )
    return rows


def slice_groups(metrics: Mapping[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Returns the slices by feature: name and rows with `value`, `items`, `metrics`."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for entry in metrics.get("slices", []):
        parts = [part.partition("=") for part in str(entry.get("slice", "")).split(",")]
        name = " × ".join(part[0].strip() for part in parts)
        value = ", ".join(part[2].strip() for part in parts)
        groups.setdefault(name, []).append(
            {"value": value, "items": entry.get("items"), "metrics": entry.get("metrics") or {}}
        )
    return list(groups.items())


def span_of(
    estimates: Sequence[Mapping[str, Any] | None], whole: tuple[float, float] | None = None
) -> tuple[float, float]:
    """Returns the range that holds every value and interval, and `whole` where it is given."""
    ends = [found[key] for found in estimates if found for key in ("value", "low", "high") if is_number(found.get(key))]
    ends += list(whole or ())
    return (min(ends), max(ends)) if ends else (0.0, 1.0)


def check_span(check: Mapping[str, Any]) -> tuple[float, float]:
    """Returns the range of the picture of one check: 0 to 1, or close around numbers that are small or below zero."""
    low, high = span_of([check, {"value": check.get("limit")}])
    if low >= 0 and high > SMALL:
        return 0.0, max(1.0, high)
    room = 0.15 * (max(high, 0.0) - min(low, 0.0)) or 1.0
    return min(low - room, 0.0) if low < 0 else 0.0, max(high + room, 0.0)


def table_span(estimates: Sequence[Mapping[str, Any] | None]) -> tuple[float, float]:
    """Returns the range of the pictures of a table: from the tenth below the least value to 1 (or the largest)."""
    low, high = span_of(estimates)
    return (math.floor(low * 10) / 10, max(1.0, high)) if estimates else (0.0, 1.0)


def slice_span(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Returns the range of the pictures of a table of slices."""
    return table_span([found for row in rows for found in row["metrics"].values()])


def histogram_span(feature: Mapping[str, Any]) -> tuple[float, float]:
    """Returns the least and the largest value of a numeric feature over all splits."""
    ends = [
        split[key]
        for split in feature.get("splits", {}).values()
        for key in ("min", "max")
        if is_number(split.get(key))
    ]
    return (min(ends), max(ends)) if ends else (0.0, 1.0)


def class_names(report: Mapping[str, Any]) -> list[str]:
    """Returns the classes in the application's order; those of the data where the application is not known."""
    if known := (report.get("application") or {}).get("classes"):
        return list(known)
    splits = ((report.get("audit") or {}).get("splits") or {}).values()
    return sorted({label for split in splits for label in split.get("classes", {})})


def lineage(report: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, float]]:
    """Returns the state of every stage, and the wall times of those that ran, seconds."""
    stages = (report.get("run") or {}).get("stages")
    if stages:
        states = {stage["name"]: str(stage.get("state")) for stage in stages}
        return states, {stage["name"]: stage["wall_s"] for stage in stages if is_number(stage.get("wall_s"))}
    made = {artifact["stage"] for artifact in report.get("artifacts") or []}
    names = (
        "ingest",
        "split-audit",
        "statistics",
        "schema",
        "validate",
        "transform",
        "train",
        "baseline",
        "evaluate",
        "predict",
    )
    return {name: "done" if name in made else "no output" for name in (*names, "bless", "serving-check", "push")}, {}


def totals(run: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the sums over the stages of a run.

    Returns:
        `wall_s`, `cpu_s` and `energy_j` summed over the stages, `peak_memory_mib` (largest stage), `is_estimate`,
        `sentence`; empty without stages that ran.
    """
    stages = [stage for stage in run.get("stages", []) if is_number(stage.get("wall_s"))]
    if not stages:
        return {}
    found: dict[str, Any] = {
        key: sum(stage[key] for stage in stages if is_number(stage.get(key))) for key in ("wall_s", "cpu_s", "energy_j")
    }
    found["peak_memory_mib"] = max(
        (stage["peak_memory_mib"] for stage in stages if is_number(stage.get("peak_memory_mib"))), default=None
    )
    found["is_estimate"] = any(stage.get("energy_source") == "estimate" for stage in stages)
    longest = max(stages, key=lambda stage: stage["wall_s"])
    items = (run.get("data") or {}).get("items")
    per_items = f", {energy(found['energy_j'] * SECONDS_PER_1000_ITEMS / items)} per 1,000 items" if items else ""
    found["sentence"] = (
        f"The stages worked {duration(found['wall_s'])} in all, {longest.get('name')} the longest "
        f"({percent(longest['wall_s'] / (found['wall_s'] or 1), 0)}). Energy: {energy(found['energy_j'])}"
        f"{' (estimate)' if found['is_estimate'] else ' (measured)'}{per_items}."
    )
    return found
