"""The figures of the report, as inline SVG strings: the same numbers always give the same bytes.

They are drawn directly rather than by a plotting library: the page follows its reader's dark mode and
stays sharp on a phone, and `earthloop report` answers without half a second of import.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from evaluation.report import svg
from evaluation.report.words import count_of, decimal, title_of

CLASS_ROW_PX = 22.0
LABEL_ROOM_PX = 40.0
MARKERS = ("circle", "square", "triangle")


def is_number(value: object) -> bool:
    """Whether `value` is a finite int or float."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def interval(
    estimate: Mapping[str, Any] | None, limit: float | None = None, span: tuple[float, float] = (0, 1)
) -> Markup:
    """Returns a small bar for a table: a dot at the value, a line over its interval, a stroke at the limit.

    Args:
        estimate: `value`, `low`, `high`; without a value the bar is an empty string.
        limit: drawn as a vertical stroke.
        span: values at the bar's two ends.
    """
    found = estimate or {}
    if not is_number(found.get("value")):
        return Markup("")
    width, middle = 120.0, 8.0
    place = svg.Scale(low=span[0], high=span[1], start=4, end=width - 4)
    parts = [svg.line((4, middle), (width - 4, middle), "track")]
    if span[0] < 0 < span[1]:
        parts.append(svg.line((place(0), 2), (place(0), 14), "zero"))
    label = decimal(found["value"])
    if is_number(found.get("low")) and is_number(found.get("high")):
        parts.append(svg.line((place(found["low"]), middle), (place(found["high"]), middle), "span"))
        label += f", interval {decimal(found['low'])} to {decimal(found['high'])}"
    if is_number(limit):
        parts.append(svg.line((place(float(limit or 0)), 1), (place(float(limit or 0)), 15), "limit"))
        label += f", limit {decimal(limit)}"
    parts.append(svg.element("circle", cx=place(found["value"]), cy=middle, r=3.5, css="dot"))
    return svg.figure(width, 16, label, parts, css="bar")


def histogram(buckets: Sequence[Sequence[float]], span: tuple[float, float]) -> Markup:
    """Returns a small histogram for a table.

    Args:
        buckets: each `[low, high, count]`.
        span: values at the two ends of the picture, so that the splits of one feature can be compared.
    """
    if not buckets or max(bucket[2] for bucket in buckets) <= 0:
        return Markup("")
    width, height = 120.0, 30.0
    across = svg.Scale(low=span[0], high=span[1], start=1, end=width - 1)
    up = svg.Scale(low=0, high=max(bucket[2] for bucket in buckets), start=0, end=height - 3)
    parts = [svg.line((0, height - 1), (width, height - 1), "axis")]
    for low, high, count in buckets:
        if count > 0:
            wide = max(1.5, across(high) - across(low) - 0.5)
            left = min(across(low), width - 1 - wide)
            parts.append(
                svg.element("rect", x=left, y=height - 1 - up(count), width=wide, height=up(count), css="fill")
            )
    return svg.figure(width, height, f"histogram from {decimal(span[0])} to {decimal(span[1])}", parts, css="bar")


def share_bar(share: float, label: str) -> Markup:
    """Returns a small filled bar for a table, `share` of its width (0 to 1)."""
    width = 120.0
    full = max(1.0, min(1.0, share) * width) if share > 0 else 0.0
    parts = [svg.line((0, 13), (width, 13), "axis"), svg.element("rect", x=0, y=3, width=full, height=10, css="fill")]
    return svg.figure(width, 16, label, parts, css="bar")


def reliability(calibration: Mapping[str, Any]) -> Markup:
    """Returns the reliability diagram: stated probability against share that was right, and how many items there are.

    Args:
        calibration: `bins` of `from`, `to`, `confidence`, `accuracy`, `count`; empty bins are left out.
    """
    bins = [item for item in calibration.get("bins", []) if item.get("count") and is_number(item.get("accuracy"))]
    if not bins:
        return Markup("")
    across = svg.Scale(low=0, high=1, start=46, end=346)
    up = svg.Scale(low=0, high=1, start=266, end=16)
    parts = _grid(across, up, (0, 0.25, 0.5, 0.75, 1), (0, 0.25, 0.5, 0.75, 1))
    parts.append(svg.line((across(0), up(0)), (across(1), up(1)), "ideal"))
    parts.append(svg.text(across(0.06), up(0.13), "ideal", "note"))
    most = max(item["count"] for item in bins)
    for item in bins:
        x, y = across(item["confidence"]), up(item["accuracy"])
        parts.append(svg.line((x, up(item["confidence"])), (x, y), "gap"))
    parts.append(svg.path([(across(item["confidence"]), up(item["accuracy"])) for item in bins], "series"))
    for item in bins:
        about = f"{item['count']} items said {decimal(item['confidence'])}, {decimal(item['accuracy'])} were right"
        x, y, radius = across(item["confidence"]), up(item["accuracy"]), 3 + 6 * math.sqrt(item["count"] / most)
        parts.append(svg.element("circle", svg.element("title", about), cx=x, cy=y, r=radius, css="dot see-through"))
    parts += _count_strip(bins, across, top=290, height=34)
    parts.append(svg.text(196, 342, "probability the model states", "label", "middle"))
    parts.append(svg.text(46, 9, "share that was right", "label"))
    label = f"Reliability diagram of {len(bins)} bins; " + "; ".join(
        f"stated {decimal(item['confidence'])}, right {decimal(item['accuracy'])}" for item in bins
    )
    return svg.figure(360, 348, label, parts)


def _count_strip(bins: Sequence[Mapping[str, Any]], across: svg.Scale, top: float, height: float) -> list[Markup]:
    most = max(item["count"] for item in bins)
    parts = [svg.line((across(0), top + height), (across(1), top + height), "axis")]
    for item in bins:
        tall = max(1.0, height * item["count"] / most)
        left, right = across(item["from"]), across(item["to"])
        parts.append(
            svg.element("rect", x=left + 0.5, y=top + height - tall, width=right - left - 1, height=tall, css="fill")
        )
    parts.append(svg.text(40, top + 10, count_of(most), "label", "end"))
    parts.append(svg.text(40, top + height, "items", "label", "end"))
    return parts


def curves(epochs: Sequence[Mapping[str, Any]], keys: Sequence[str], title: str, best: int | None) -> Markup:
    """Returns one panel of the training curves.

    Args:
        epochs: rows of the history; `epoch` counts from the first row's value.
        keys: one or two columns: training (whole line), validation (dashed line).
        title: of the panel.
        best: the epoch whose weights were kept, marked by a vertical line.
    """
    rows = [row for row in epochs if any(is_number(row.get(key)) for key in keys)]
    values = [row[key] for row in rows for key in keys if is_number(row.get(key))]
    if not values:
        return Markup("")
    places = [float(row.get("epoch", index + 1)) for index, row in enumerate(rows)]
    low, high = _padded(min(values), max(values))
    across = svg.Scale(low=places[0], high=places[-1], start=46, end=330)
    up = svg.Scale(low=low, high=high, start=172, end=30)
    whole = sorted({round(tick) for tick in svg.ticks(places[0], places[-1], 5)})
    parts = _grid(across, up, whole, svg.ticks(low, high, 4))
    if best is not None and places[0] <= best <= places[-1]:
        parts.append(svg.line((across(best), 30), (across(best), 172), "best"))
        near_end = across(best) > across.end - LABEL_ROOM_PX
        parts.append(
            svg.text(
                across(best) + (4 if near_end else 0), 26, f"kept: {best}", "note", "end" if near_end else "middle"
            )
        )
    for key, css in zip(keys, ("series", "series second"), strict=False):
        points = [(across(x), up(row[key])) for x, row in zip(places, rows, strict=True) if is_number(row.get(key))]
        parts.append(svg.path(points, css))
        parts.append(
            svg.element(
                "circle", cx=points[-1][0], cy=points[-1][1], r=3.0, css="dot" if css == "series" else "dot second"
            )
        )
    parts.append(svg.text(46, 14, title, "heading"))
    parts.append(svg.text(188, 204, "epoch", "label", "middle"))
    last = ", ".join(
        f"{title_of(key)} {rows[0].get(key, 0):.3g} to {rows[-1].get(key, 0):.3g}" for key in keys if key in rows[-1]
    )
    return svg.figure(340, 210, f"{title} over {len(rows)} epochs: {last}", parts)


def class_shares(splits: Mapping[str, Mapping[str, Any]], classes: Sequence[str]) -> Markup:
    """Returns a dot plot of each class's share in each split; the splits differ by shape as well as colour."""
    shares = {
        name: {label: n / max(1, sum(split["classes"].values())) for label, n in split["classes"].items()}
        for name, split in splits.items()
        if split.get("classes")
    }
    if not shares or not classes:
        return Markup("")
    most = max(value for split in shares.values() for value in split.values()) * 1.08 or 1.0
    across = svg.Scale(low=0, high=most, start=136, end=350)
    bottom = 30 + CLASS_ROW_PX * len(classes)
    parts: list[Markup] = []
    for tick in svg.ticks(0, most, 4):
        parts.append(svg.line((across(tick), 26), (across(tick), bottom), "grid"))
        parts.append(svg.text(across(tick), bottom + 14, f"{tick * 100:g} %", "label", "middle"))
    for row, label in enumerate(classes):
        y = 30 + CLASS_ROW_PX * (row + 0.5)
        parts.append(svg.text(128, y + 4, shorten(label, 20), "label strong", "end"))
        parts.append(svg.line((136, y), (350, y), "track"))
        parts += [marker(across(split.get(label, 0.0)), y, place) for place, split in enumerate(shares.values())]
    for place, name in enumerate(shares):
        parts += [marker(140 + 78 * place, 10, place), svg.text(148 + 78 * place, 14, name, "label")]
    return svg.figure(366, bottom + 22, f"Share of {len(classes)} classes in the splits {', '.join(shares)}", parts)


def compared(rows: Sequence[tuple[str, Mapping[str, Any]]], label: str, span: tuple[float, float]) -> Markup:
    """Returns estimates with their intervals, one under the other on one axis; a zero line where the axis crosses it.

    Args:
        rows: name and `value`, `low`, `high` of each.
        label: read aloud in place of the picture.
        span: values at the two ends of the axis.
    """
    rows = [(name, found) for name, found in rows if is_number(found.get("value"))]
    if not rows:
        return Markup("")
    room = 0.06 * (span[1] - span[0]) or 1.0
    low, high = span[0] - room, span[1] + room
    across = svg.Scale(low=low, high=high, start=126, end=346)
    bottom = 10 + 30.0 * len(rows)
    parts: list[Markup] = []
    for tick in svg.ticks(low, high, 4):
        parts.append(svg.line((across(tick), 6), (across(tick), bottom), "zero" if tick == 0 else "grid"))
        parts.append(svg.text(across(tick), bottom + 14, svg.tick_text(tick), "label", "middle"))
    for place, (name, found) in enumerate(rows):
        y = 30.0 * place + 26
        parts.append(svg.text(118, y + 4, shorten(name, 20), "label strong", "end"))
        if is_number(found.get("low")) and is_number(found.get("high")):
            parts.append(svg.line((across(found["low"]), y), (across(found["high"]), y), "span"))
        parts.append(svg.element("circle", cx=across(found["value"]), cy=y, r=4.5, css="dot"))
        parts.append(svg.text(across(found["value"]), y - 8, decimal(found["value"]), "label strong", "middle"))
    return svg.figure(360, bottom + 20, label, parts)


def marker(x: float, y: float, place: int) -> Markup:
    """Returns the mark of the split at `place`: a circle, a square or a triangle."""
    shape = MARKERS[place % len(MARKERS)]
    if shape == "circle":
        return svg.element("circle", cx=x, cy=y, r=4.5, css="mark m0")
    if shape == "square":
        return svg.element("rect", x=x - 4, y=y - 4, width=8, height=8, css="mark m1")
    return svg.element(
        "polygon", points=f"{x:.1f},{y - 5.5:.1f} {x + 5:.1f},{y + 4:.1f} {x - 5:.1f},{y + 4:.1f}", css="mark m2"
    )


def shorten(words: str, length: int) -> str:
    """Returns at most `length` characters, the last of them … where something was cut."""
    return words if len(words) <= length else words[: length - 1] + "…"


def _grid(across: svg.Scale, up: svg.Scale, columns: Sequence[float], rows: Sequence[float]) -> list[Markup]:
    parts: list[Markup] = []
    for value in rows:
        parts.append(svg.line((across.start, up(value)), (across.end, up(value)), "grid"))
        parts.append(svg.text(across.start - 6, up(value) + 4, svg.tick_text(value), "label", "end"))
    for value in columns:
        parts.append(svg.text(across(value), up.start + 16, svg.tick_text(value), "label", "middle"))
    parts.append(svg.line((across.start, up.start), (across.end, up.start), "axis"))
    return parts


def _padded(low: float, high: float) -> tuple[float, float]:
    room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return low - room if low < 0 or low > room else min(0.0, low), high + room
