"""`earthloop runs`: what was run, when, and what came of it."""

from __future__ import annotations

import datetime
import json
import pathlib
from typing import Any

import click

from applications import discovery
from pipeline import output_folder, run_record
from pipeline.cli.options import application_argument, debug_option, folders, out_option, shown
from pipeline.output_folder import OutputFolder
from pipeline.progress_view import duration
from pipeline.run_record import RunRecord

_HEADER = ("run", "started (UTC)", "state", "verdict", "accuracy", "time")


@click.command("runs", epilog="\b\nExample:\n  earthloop runs satellite/landcover")
@application_argument(required=False)
@out_option
@debug_option
def runs_command(application: str | None, out: pathlib.Path | None) -> None:
    """Lists the runs of an output folder, or of all folders below out/, the newest first."""
    if application is not None:
        discovery.load(application)
    is_any = False
    for folder in folders(application, out):
        rows = [row(folder, run_id) for run_id in run_record.run_ids(folder)]
        if not rows:
            continue
        click.echo(("\n" if is_any else "") + f"{shown(folder.path)}:")
        for line in table([_HEADER, *rows]):
            click.echo(line)
        is_any = True
    if not is_any:
        click.echo("No runs yet. Next: earthloop run APP (`earthloop list` shows the applications)")


def row(folder: OutputFolder, run_id: str) -> tuple[str, ...]:
    """Returns one run as the words of its row; a record that cannot be read says so."""
    try:
        record = run_record.read(folder, run_id)
    except run_record.Unreadable:
        return (run_id, "", "unreadable", "", "", "")
    state = record["state"]
    if state == "running" and not output_folder.is_held(folder):
        state = "died"
    if state == "complete" and record["to_stage"]:
        state = f"complete to {record['to_stage']}"
    verdict = (record["verdict"] or {}).get("verdict", "")
    started = record["started_utc"][:16].replace("T", " ")
    return (run_id, started, state, verdict, _accuracy(folder, record), _time(record))


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Returns rows as lines with aligned columns."""
    widths = [max(len(line[column]) for line in rows) for column in range(len(rows[0]))]
    return [
        "  " + "  ".join(f"{word:<{width}}" for word, width in zip(line, widths, strict=True)).rstrip() for line in rows
    ]


def _accuracy(folder: OutputFolder, record: dict[str, Any]) -> str:
    """Returns the accuracy on the test split with its interval, "" where it is not known."""
    path = RunRecord(folder, record).product("bless", "verdict", "metrics.json")
    if path is None:
        return ""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["metrics"]["accuracy"]
        return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _time(record: dict[str, Any]) -> str:
    """Returns how long a run took, "" while that is not known."""
    if not record["ended_utc"]:
        return ""
    began, ended = (datetime.datetime.fromisoformat(record[key]) for key in ("started_utc", "ended_utc"))
    return duration((ended - began).total_seconds())
