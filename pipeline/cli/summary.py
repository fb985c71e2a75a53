"""The last lines of a run: the verdict, where things are, and what to type next."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator
from typing import Any

from pipeline.cli.options import command_line, shown
from pipeline.output_folder import OutputFolder
from pipeline.run_record import RunRecord
from pipeline.stage_names import STAGES

_HEADS = {"blessed": "Blessed", "not blessed": "Not blessed", "cannot tell": "Cannot tell"}


def verdict_line(record: dict[str, Any]) -> str:
    """Returns the verdict with its reason in one line; says so where the run did not come to one."""
    verdict = record.get("verdict")
    if not verdict:
        return "No verdict: the run ended before the model was judged."
    head = _HEADS.get(verdict["verdict"], str(verdict["verdict"]).capitalize())
    sentence = str(verdict["sentence"]).strip()
    return sentence if sentence.lower().startswith(head.lower()) else f"{head}: {sentence}"


def complete_lines(folder: OutputFolder, record: dict[str, Any]) -> Iterator[str]:
    """Yields what to say after a run that came to its end."""
    run = RunRecord(folder, record)
    yield verdict_line(record)
    if record.get("pushed"):
        yield f"  model   {shown(run.absolute(record['pushed']['path']))}"
    elif (record.get("verdict") or {}).get("verdict") == "blessed":
        yield f"  not pushed: {_why_not_pushed(run)}"
    if record.get("report"):
        yield f"  report  {shown(run.absolute(record['report']))}"
    yield f"  record  {shown(run.path / 'record.json')}"
    yield f"Next: {next_step(folder, record)}"


def _why_not_pushed(run: RunRecord) -> str:
    """Returns the push stage's own words."""
    said = run.product("push", "pushed_model", "not_pushed.json")
    if said is None:
        return "the run did not get that far"
    return str(json.loads(said.read_text(encoding="utf-8"))["reason"])


def next_step(folder: OutputFolder, record: dict[str, Any]) -> str:
    """Returns what to type after a complete run."""
    application = record["application"]
    if record.get("to_stage") and record["to_stage"] != STAGES[-1]:
        return "the same command without --to goes on from there"
    if record.get("report"):
        return f"{command_line('report', application, folder)} --open"
    return command_line("runs", application, folder)


def failed_lines(folder: OutputFolder, record: dict[str, Any], error: str) -> Iterator[str]:
    """Yields what to say after a run that failed."""
    run = RunRecord(folder, record)
    yield f"Failed: {error}"
    for stage in record["stages"]:
        if stage["state"] == "failed":
            yield f"  log     {shown(run.log(stage['name']))}"
    yield f"  record  {shown(run.path / 'record.json')}"
    yield "Finished stages are kept. Mend what the text says, then give the same command: it goes on from there."


def interrupted_line(running: list[str]) -> str:
    """Returns what to say after Ctrl-C."""
    where = f"during {' and '.join(running)}" if running else "before the first stage"
    return f"Interrupted {where}. Finished stages are kept; the same command goes on from there."


def log_tail(path: pathlib.Path, lines: int = 60) -> str:
    """Returns the last lines of a log, "" where there is none."""
    try:
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
