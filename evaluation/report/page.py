"""Draws a report as one HTML file that opens offline: no script, no request, every figure inline."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from evaluation.report import diagrams, figures, findings, words

TEMPLATES = Path(__file__).parent / "templates"

# Group → its sections: id, title, key of the report that fills it ("" for always there), stage that makes it.
GROUPS = {
    "The decision": (
        ("verdict", "Verdict", "verdict", "bless"),
        ("key-figures", "Key figures", "metrics", "bless"),
        ("metrics", "Metrics", "metrics", "bless"),
        ("classes", "Per class", "metrics", "bless"),
        ("confusion", "Confusion matrix", "metrics", "bless"),
        ("calibration", "Calibration", "metrics", "bless"),
        ("slices", "Slices", "metrics", "bless"),
        ("errors", "Worst errors", "metrics", "bless"),
        ("baseline", "Against the baseline", "metrics", "bless"),
    ),
    "The model": (
        ("training", "Training", "training", "train"),
        ("serving", "Serving check", "serving_check", "serving-check"),
    ),
    "The data": (
        ("statistics", "Data statistics", "statistics", "statistics"),
        ("anomalies", "Anomalies", "anomalies", "validate"),
        ("splits", "Split audit", "audit", "split-audit"),
        ("quarantine", "Quarantine", "quarantine", "ingest"),
    ),
    "The run": (
        ("lineage", "Lineage", "", ""),
        ("time", "Time and energy", "", ""),
        ("card", "Data and model card", "", ""),
        ("configuration", "Configuration", "", ""),
        ("software", "Software and machine", "", ""),
    ),
}


def render(report: Mapping[str, Any]) -> str:
    """Returns the page of a report.

    Args:
        report: what `collect.collect` returned; `run` may hold the run's `record.json`. A part that is missing is
            named as missing, with the stage that would have made it.

    Returns:
        HTML. The same report always gives the same bytes. All text of the report is escaped.
    """
    report = {**report, "pictures": _pictures(report.get("pictures"))}
    groups = {
        group: [
            {"id": name, "title": title, "missing": findings.missing(report, key, stage)}
            for name, title, key, stage in rows
        ]
        for group, rows in GROUPS.items()
    }
    sections = {entry["id"]: entry for entries in groups.values() for entry in entries}
    page = _environment().get_template("report.html.j2")
    return page.render(report=report, run=report.get("run") or {}, sections=sections, groups=groups)


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "decimal": words.decimal, "interval": words.interval_text, "percent": words.percent, "count": words.count_of,
        "duration": words.duration, "energy": words.energy, "size": words.size, "name": words.title_of,
        "meaning": words.meaning_of, "date": words.date, "yaml": _yaml, "breakable": _breakable,
    }  # fmt: skip
    environment.globals |= {"figures": figures, "diagrams": diagrams, "findings": findings, "style": _style}
    return environment


def _pictures(found: Any) -> dict[str, dict[str, str]]:
    """Keeps pictures that are data URIs of images: a report that was edited by hand must not make a page call out."""
    kinds = found if isinstance(found, dict) else {}
    return {
        kind: {name: Markup(uri) if _is_image(uri) else "" for name, uri in (kinds.get(kind) or {}).items()}
        for kind in ("items", "classes")
    }


def _is_image(uri: object) -> bool:
    head, _, data = str(uri).partition(";base64,")
    return (
        head in {"data:image/jpeg", "data:image/png"}
        and data.replace("+", "").replace("/", "").replace("=", "").isalnum()
    )


def _style() -> Markup:
    return Markup((TEMPLATES / "report.css").read_text(encoding="utf-8"))


def _yaml(value: Any) -> str:
    import yaml

    return yaml.safe_dump(_plain(value), sort_keys=False, allow_unicode=True, width=100) if value else ""


def _breakable(name: Any) -> Markup:
    """Lets a long name break between its words, as in Herbaceous|Vegetation and sea_|lake."""
    return Markup("<wbr>").join(re.split(r"(?<=[a-z])(?=[A-Z])|(?<=[_/])", str(name)))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
