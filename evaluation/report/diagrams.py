"""Two pictures of the run: which stage fed which, and when each one worked."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from evaluation.report import svg
from evaluation.report.words import HOUR_S, MINUTE_S, duration

# Column and row of each stage; arrows that others imply (ingest → evaluate, …) are left out. A test holds them against
# the pipeline.
PLACES = {
    "spans": (1, 0), "ingest": (1, 1), "schema": (2, 1), "split-audit": (0, 2), "transform": (1, 2),
    "statistics": (2, 2), "tune": (0, 3), "validate": (2, 3), "train": (1, 4), "baseline": (2, 4),
    "serving-check": (0, 5), "evaluate": (1, 5), "predict": (2, 5), "bless": (1, 6), "push": (1, 7), "report": (1, 8),
}  # fmt: skip
AROUND = (("split-audit", "bless"), ("spans", "baseline"))  # drawn along the left and the right edge
ARROWS = (
    *AROUND, ("spans", "ingest"), ("ingest", "split-audit"), ("ingest", "transform"), ("ingest", "statistics"),
    ("schema", "transform"), ("schema", "statistics"), ("statistics", "validate"), ("transform", "tune"),
    ("validate", "tune"), ("tune", "train"), ("transform", "train"), ("validate", "train"), ("train", "serving-check"),
    ("train", "evaluate"), ("train", "predict"), ("baseline", "evaluate"), ("baseline", "predict"),
    ("evaluate", "bless"), ("predict", "bless"), ("bless", "push"), ("serving-check", "push"), ("push", "report"),
)  # fmt: skip
IMPLIED_BY_TUNE = (("transform", "train"), ("validate", "train"))
BOX_WIDE, BOX_TALL = 104.0, 36.0
MOST_TICKS = 5
SIGNS = {
    "done": "✓", "cached": "↺", "failed": "✕", "interrupted": "✕", "skipped": "–", "waiting": "·", "running": "…",
    "no output": "·",
}  # fmt: skip


def lineage(states: Mapping[str, str], times_s: Mapping[str, float]) -> Markup:
    """Returns the stages as boxes and what they hand on as arrows.

    Args:
        states: stage name → its state; stages that are absent are not drawn (tuning, when it is off).
        times_s: stage name → wall time, seconds.
    """
    drawn = {name: place for name, place in PLACES.items() if name in states}
    if not drawn:
        return Markup("")
    parts = [_arrow_head()]
    for start, end in arrows(drawn):
        draw = _arrow_around if (start, end) in AROUND else _arrow
        parts.append(draw(drawn[start], drawn[end]))
    for name, place in drawn.items():
        parts += _box(name, place, states[name], times_s.get(name))
    rows = max(row for _, row in drawn.values()) + 1
    label = "Stages and their states: " + ", ".join(f"{name} {states[name]}" for name in drawn)
    return svg.figure(350, rows * 60, label, parts)


def arrows(stages: Collection[str]) -> list[tuple[str, str]]:
    """Returns which of the given stages waits for which other, as pairs; those that others imply are left out."""
    left_out = IMPLIED_BY_TUNE if "tune" in stages else ()
    return [pair for pair in ARROWS if set(pair) <= set(stages) and pair not in left_out]


def timeline(stages: Sequence[Mapping[str, Any]]) -> Markup:
    """Returns one bar a stage, placed at its start and as long as it took; bars start at 0 where no start is known.

    Args:
        stages: `name`, `state`, `wall_s`, `started_utc` as in a run's record.
    """
    rows = [stage for stage in stages if isinstance(stage.get("wall_s"), (int, float))]
    if not rows:
        return Markup("")
    starts = _starts_s(rows)
    total = max(start + stage["wall_s"] for start, stage in zip(starts, rows, strict=True)) or 1.0
    across = svg.Scale(low=0, high=total, start=96, end=306)
    bottom = 8 + 22.0 * len(rows)
    parts: list[Markup] = []
    for tick in _time_ticks_s(total):
        parts.append(svg.line((across(tick), 4), (across(tick), bottom), "grid"))
        parts.append(svg.text(across(tick), bottom + 14, _clock(tick), "label", "middle"))
    for place, (start, stage) in enumerate(zip(starts, rows, strict=True)):
        y, left, state = 22.0 * place + 10, across(start), stage.get("state", "")
        wide = max(2.0, across(start + stage["wall_s"]) - left)
        css = "fill bad" if state in {"failed", "interrupted"} else "fill quiet" if state == "cached" else "fill"
        words = duration(stage["wall_s"]) + (f" {state}" if css != "fill" else "")
        parts.append(svg.text(90, y + 11, stage.get("name", ""), "label strong", "end"))
        parts.append(svg.element("rect", x=left, y=y, width=wide, height=14, rx=2, css=css))
        fits_right = left + wide + 4 + 6.2 * len(words) < 366  # noqa: PLR2004
        parts.append(
            svg.text(
                left + wide + 4 if fits_right else left - 4, y + 11, words, "label", "start" if fits_right else "end"
            )
        )
    label = "Time per stage: " + ", ".join(f"{stage.get('name')} {duration(stage['wall_s'])}" for stage in rows)
    return svg.figure(366, bottom + 20, label, parts)


def _time_ticks_s(total: float) -> list[float]:
    steps = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400, 43_200, 86_400)
    step = next((step for step in steps if total / step <= MOST_TICKS), total)
    return [step * place for place in range(int(total / step) + 1)]


def _clock(seconds: float) -> str:
    if seconds < MINUTE_S:
        return f"{seconds:g} s"
    return f"{seconds / MINUTE_S:g} min" if seconds < HOUR_S else f"{seconds / HOUR_S:g} h"


def _starts_s(rows: Sequence[Mapping[str, Any]]) -> list[float]:
    try:
        times = [datetime.datetime.fromisoformat(str(stage.get("started_utc"))).timestamp() for stage in rows]
    except ValueError:
        return [0.0] * len(rows)
    return [time - min(times) for time in times]


def _corner(place: tuple[int, int]) -> tuple[float, float]:
    return 12 + 112.0 * place[0], 6 + 60.0 * place[1]


def _arrow_head() -> Markup:
    shape = svg.element("path", d="M0 0 L8 4 L0 8 z", css="arrow-head")
    head = svg.element("marker", shape, id="arrow-head", markerWidth=8, markerHeight=8, refX=7, refY=4, orient="auto",
                       markerUnits="userSpaceOnUse")  # fmt: skip
    return svg.element("defs", head)


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> Markup:
    left, top = _corner(start)
    to_left, to_top = _corner(end)
    if start[1] == end[1]:  # in one row: to the left, from side to side
        way = f"M{left:.0f} {top + BOX_TALL / 2:.0f} H{to_left + BOX_WIDE + 2:.0f}"
    elif start[0] == end[0]:
        way = f"M{left + BOX_WIDE / 2:.0f} {top + BOX_TALL:.0f} V{to_top - 1:.0f}"
    elif end[1] - start[1] > 1:  # past a row: down first, then in from the left
        x, y = left + BOX_WIDE / 2, to_top + BOX_TALL / 2
        way = f"M{x:.0f} {top + BOX_TALL:.0f} V{y:.0f} H{to_left - 2:.0f}"
    else:
        x1, y1, x2, y2 = left + BOX_WIDE / 2, top + BOX_TALL, to_left + BOX_WIDE / 2, to_top - 1
        x2 += 16 * (start[0] - end[0])
        way = f"M{x1:.0f} {y1:.0f} C{x1:.0f} {y1 + 14:.0f} {x2:.0f} {y2 - 14:.0f} {x2:.0f} {y2:.0f}"
    return svg.element("path", d=way, css="arrow", marker_end="url(#arrow-head)")


def _arrow_around(start: tuple[int, int], end: tuple[int, int]) -> Markup:
    top, bottom = _corner(start)[1] + BOX_TALL / 2, _corner(end)[1] + BOX_TALL / 2
    left, to_left = _corner(start)[0], _corner(end)[0]
    if start[0] == 0:
        way = f"M10 {top:.0f} H4 V{bottom:.0f} H{to_left - 2:.0f}"
    else:
        way = f"M{left + BOX_WIDE:.0f} {top:.0f} H347 V{bottom:.0f} H{to_left + BOX_WIDE + 1:.0f}"
    return svg.element("path", d=way, css="arrow", marker_end="url(#arrow-head)")


def _box(name: str, place: tuple[int, int], state: str, wall_s: float | None) -> list[Markup]:
    left, top = _corner(place)
    css = {"failed": "box bad", "interrupted": "box bad", "done": "box good", "cached": "box good"}.get(state, "box")
    words = duration(wall_s) if wall_s is not None and state == "done" else state
    below = f"{SIGNS.get(state, '')} {words}"
    return [
        svg.element("rect", x=left, y=top, width=BOX_WIDE, height=BOX_TALL, rx=6, css=css),
        svg.text(left + BOX_WIDE / 2, top + 15, name, "label strong", "middle"),
        svg.text(left + BOX_WIDE / 2, top + 29, below, "label", "middle"),
    ]
