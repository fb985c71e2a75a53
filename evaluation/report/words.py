"""Numbers and names as people read them: decimals, percentages, times, sizes, energy."""

from __future__ import annotations

import math
import re
from typing import Any

NOTHING = "–"
LARGE = 100  # from here a number needs no more than one decimal place
MINUTE_S, HOUR_S = 60, 3600
JOULES_PER_WH = 3600.0
BYTES_PER_STEP = 1024

METRICS = {
    "accuracy": ("Accuracy", "share of items whose best class is the right one"),
    "balanced_accuracy": (
        "Balanced accuracy",
        "mean of the classes' recalls: rare classes count as much as common ones",
    ),
    "macro_f1": ("Macro F1", "mean of the classes' F1, each the balance of precision and recall"),
    "expected_calibration_error": (
        "Calibration error",
        "how far the stated probability is from the share that was right, on average",
    ),
    "log_loss": ("Log loss", "surprise at the right answer, in nats; lower is better, 0 is perfect"),
    "worst_class_recall": ("Worst class recall", "recall of the class that is found least often"),
}
CHECKS = {
    "worst_class": "Weakest class",
    "baseline": "Against the baseline",
    "calibration": "Calibration error",
    "agreement": "Agrees with TFMA",
    "learnt_from": "Test items it has learnt from",
}
ACRONYMS = {"f1": "F1", "ece": "ECE", "id": "id", "auc": "AUC", "px": "(px)", "sha256": "SHA-256"}


def decimal(value: Any, places: int = 3) -> str:
    """Returns a number for reading: `0.915`, `1,234.5`, `0.00012`; an en dash where there is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return NOTHING
    size = abs(value)
    if isinstance(value, int) or (size >= LARGE and value == int(value)):
        words = f"{int(value):,}"
    elif 0 < size < 0.5 * 10**-places:
        words = f"{value:.1e}".replace("e-0", "e-")
    else:
        words = f"{value:,.{places}f}" if size < LARGE else f"{value:,.{min(places, 1)}f}"
    return words.replace("-", "\N{MINUS SIGN}")


def interval_text(estimate: Any) -> str:
    """Returns `0.901 to 0.928` for an estimate with `low` and `high`, otherwise an en dash."""
    found = estimate if isinstance(estimate, dict) else {}
    low, high = decimal(found.get("low")), decimal(found.get("high"))
    return NOTHING if NOTHING in (low, high) else f"{low} to {high}"


def percent(value: Any, places: int = 1) -> str:
    """Returns a fraction as `12.5 %`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return NOTHING
    return f"{value * 100:.{places}f}\N{NO-BREAK SPACE}%".replace("-", "\N{MINUS SIGN}")


def count_of(value: Any) -> str:
    """Returns a whole number with separators, `4,800`."""
    return f"{int(value):,}" if isinstance(value, (int, float)) and math.isfinite(value) else NOTHING


def duration(seconds: Any) -> str:
    """Returns a time as `0.8 s`, `42 s`, `3 min 05 s` or `1 h 12 min`."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not math.isfinite(seconds):
        return NOTHING
    if seconds < 10:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < MINUTE_S:
        return f"{whole} s"
    if whole < HOUR_S:
        return f"{whole // MINUTE_S} min {whole % MINUTE_S:02d} s"
    return f"{whole // HOUR_S} h {whole % HOUR_S // MINUTE_S:02d} min"


def energy(joules: Any) -> str:
    """Returns an energy as `310 J` or, from 3,600 J, `1.25 Wh`."""
    if isinstance(joules, bool) or not isinstance(joules, (int, float)) or not math.isfinite(joules):
        return NOTHING
    return f"{joules:,.0f} J" if joules < JOULES_PER_WH else f"{joules / JOULES_PER_WH:.2f} Wh"


def size(count: Any) -> str:
    """Returns a number of bytes as `812 B`, `4.2 KiB`, `1.5 GiB`."""
    if isinstance(count, bool) or not isinstance(count, (int, float)):
        return NOTHING
    left = float(count)
    for unit in ("B", "KiB", "MiB"):
        if left < BYTES_PER_STEP:
            return f"{left:.0f} {unit}" if unit == "B" else f"{left:.1f} {unit}"
        left /= BYTES_PER_STEP
    return f"{left:.1f} GiB"


def title_of(name: Any) -> str:
    """Returns a key as words: `val_accuracy` is "Validation accuracy", `macro_f1` is "Macro F1"."""
    if str(name) in METRICS:
        return METRICS[str(name)][0]
    if str(name) in CHECKS:
        return CHECKS[str(name)]
    words = re.sub(r"^val_", "validation_", str(name)).replace("_", " ").split()
    plain = " ".join(ACRONYMS.get(word, word) for word in words)
    return plain[:1].upper() + plain[1:]


def meaning_of(name: str) -> str:
    """Returns one line that explains a metric, or "" for one that has none."""
    return METRICS.get(name, ("", ""))[1]


def date(utc: Any) -> str:
    """Returns an ISO time as `2026-11-21 03:45 UTC`; other text unchanged."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(:\d\d(\.\d+)?)?(Z|\+00:00)", str(utc or ""))
    return f"{found[1]} {found[2]} UTC" if found else str(utc or NOTHING)


def markup_free(markdown: str) -> str:
    """Returns Markdown as plain text: links as `text (address)`, no emphasis, no code marks."""
    plain = re.sub(r"!\[([^\]]*)\]\([^)]*\)", r"\1", markdown)
    plain = re.sub(r"\[([^\]]+)\]\(([^)]+)\)", r"\1 (\2)", plain)
    plain = re.sub(r"<(https?://[^>]+)>", r"\1", plain)
    return re.sub(r"(\*\*|__|`)", "", plain).strip()
