"""How a run ended, read from what its stages left: verdict, pushed version, and the page that shows it all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from evaluation.report import page
from evaluation.report.collect import collect, inputs_of_record
from pipeline.run_record import RunRecord, products, write_atomically


def of(record: RunRecord) -> dict[str, Any]:
    """Returns the `verdict` and `pushed` of a run, each None where the run did not get so far."""
    return {"verdict": verdict(record), "pushed": pushed(record)}


def verdict(record: RunRecord) -> dict[str, str] | None:
    """Returns `{"verdict", "sentence"}`, or None before the stage `bless`."""
    found = _json_in(record, "bless", "verdict", "verdict.json")
    return {"verdict": found["verdict"], "sentence": found["sentence"]} if found else None


def pushed(record: RunRecord) -> dict[str, str] | None:
    """Returns `{"path", "version"}` of the version that a server would load, or None where nothing was pushed."""
    found = _json_in(record, "push", "pushed_model", "pushed.json")
    return {"path": found["path"], "version": str(found["version"])} if found else None


def write_report(record: RunRecord) -> Path:
    """Writes the page of a finished run, complete or not, into the run's folder and as the folder's latest.

    The stage `report` has gathered everything but what is only known at the end: how long each stage took and
    how the run ended. For a run that did not get to that stage, what there is is gathered here.

    Returns:
        `<out>/runs/<run_id>/report.html`; `<out>/report.html` is the same page.
    """
    content = _json_in(record, "report", "report", "report.json") or collect(
        inputs_of_record(record.folder.path, record.data)
    )
    text = page.render({**content, "run": record.data})
    path = record.path / "report.html"
    write_atomically(path, text)
    write_atomically(record.folder.path / "report.html", text)
    record.update(report=record.relative(path))
    record.update(products=products(record))
    return path


def _json_in(record: RunRecord, stage: str, key: str, name: str) -> dict[str, Any] | None:
    paths = record.data["artifacts"].get(stage, {}).get(key, [])
    path = record.absolute(paths[0]) / name if paths else None
    if path is None or not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
