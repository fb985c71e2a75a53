"""What Kubernetes and Grafana need of our alerts and metrics: `python -m serving.model_server.dashboards` writes it.

The dashboard `kubeflow/serving/monitoring/dashboards/serving.json` is made from `dashboard_panels.py`, and
`prometheusrule.yaml` from `rules.yaml` beside it. `--check` compares instead. Needs the checkout.
"""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import yaml

from serving.model_server.dashboard_panels import SECTIONS, Panel

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FOLDER = "kubeflow/serving/monitoring"
RULES = f"{FOLDER}/rules.yaml"
_COLUMNS, _PANEL_WIDTH, _PANEL_HEIGHT = 24, 8, 8  # Grafana's grid has 24 columns
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def dashboard() -> dict[str, Any]:
    """Returns the dashboard as Grafana's JSON, with variables for the source of data, the job and the model."""
    panels: list[dict[str, Any]] = []
    top = 0
    for section, found in SECTIONS.items():
        panels.append(_row(section, top, len(panels) + 1))
        top += 1
        for position, panel in enumerate(found):
            row, column = divmod(position * _PANEL_WIDTH, _COLUMNS)
            panels.append(_graph(panel, column, top + row * _PANEL_HEIGHT, len(panels) + 1))
        top += -(-len(found) * _PANEL_WIDTH // _COLUMNS) * _PANEL_HEIGHT
    return {
        "uid": "earthloop-serving",
        "title": "Earthloop: serving",
        "tags": ["earthloop"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "utc",
        "templating": {"list": _variables()},
        "panels": panels,
    }


def _variables() -> list[dict[str, Any]]:
    return [
        {"name": "datasource", "label": "Source", "type": "datasource", "query": "prometheus", "hide": 0},
        _variable("job", "Job", "label_values(up, job)", current="earthloop-serving"),
        _variable(
            "model",
            "Model",
            'label_values(:tensorflow:serving:request_count{job=~"$job"}, model_name)',
            current="$__all",
        ),
    ]


def _variable(name: str, label: str, query: str, *, current: str) -> dict[str, Any]:
    shown = "All" if current == "$__all" else current
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "current": {"text": shown, "value": current},
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "refresh": 2,
        "sort": 1,
    }


def _row(title: str, top: int, number: int) -> dict[str, Any]:
    place = {"h": 1, "w": _COLUMNS, "x": 0, "y": top}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}


def _graph(panel: Panel, left: int, top: int, number: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.note,
        "datasource": _SOURCE,
        "gridPos": {"h": _PANEL_HEIGHT, "w": _PANEL_WIDTH, "x": left, "y": top},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + position), "datasource": _SOURCE, "expr": expression, "legendFormat": legend}
            for position, (expression, legend) in enumerate(panel.lines)
        ],
    }


def prometheus_rule(rules: str) -> str:
    """Returns the PrometheusRule of the Prometheus operator that holds the groups of a file of rules.

    Args:
        rules: text of `rules.yaml`.
    """
    made = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "earthloop-serving"},
        "spec": {"groups": yaml.safe_load(rules)["groups"]},
    }
    text = yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=1_000)
    return f"# Made from rules.yaml by `python -m serving.model_server.dashboards`; do not edit.\n{text}"


def files() -> dict[str, str]:
    """Returns the text of each file by its path relative to the project's root."""
    return {
        f"{FOLDER}/dashboards/serving.json": json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n",
        f"{FOLDER}/prometheusrule.yaml": prometheus_rule((ROOT / RULES).read_text(encoding="utf-8")),
    }


def main(arguments: Sequence[str]) -> int:
    """Writes the files, or with `--check` says which differ; returns 1 if some do."""
    differing = [
        path
        for path, text in files().items()
        if not (ROOT / path).is_file() or (ROOT / path).read_text(encoding="utf-8") != text
    ]
    if "--check" in arguments:
        if differing:
            sys.stderr.write(
                f"{', '.join(differing)} must be as the code and {RULES} say. "
                "Run `python -m serving.model_server.dashboards`.\n"
            )
        return 1 if differing else 0
    for path in differing:
        (ROOT / path).write_text(files()[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
