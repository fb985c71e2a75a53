"""`earthloop run`: checks, then starts the local runner, shows what it does, and says how it ended."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import sys
from collections.abc import Iterable
from typing import Any

import click

from applications import data_fingerprint, discovery, spans
from applications.errors import UsageError
from applications.spec import Application
from pipeline import config as configuration
from pipeline import (
    metadata,
    output_folder,
    preflight,
    run_record,
    runner_process,
    synthetic_sample,
    unchanged,
)
from pipeline.cli import summary
from pipeline.cli.options import DEBUG, application_argument, debug_option, out_option, shown
from pipeline.output_folder import Lock, OutputFolder
from pipeline.progress_view import open_view
from pipeline.run_record import RunRecord, write_atomically
from pipeline.runner_process import Outcome, RunnerProcess

NOT_BLESSED = 3  # exit code of --require-blessed
RUNNER = runner_process.COMMAND
_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONUNBUFFERED": "1"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """What a run is asked to do beyond its configuration."""

    out: pathlib.Path | None = None
    from_stage: str = ""
    to_stage: str = ""
    fresh: bool = False
    require_blessed: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ready:
    """A run that passed all checks that can be made beforehand."""

    config: configuration.RunConfig
    folder: OutputFolder
    data: dict[str, Any]
    fingerprint: str


@click.command("run", epilog="\b\nExample:\n  earthloop run satellite/landcover --data chips --set train.epochs=10")
@application_argument()
@click.option(
    "--data",
    metavar="PATH",
    help="Raw data: folder, URI, or a pattern of spans such as 'field/{SPAN}'.  [default: a synthetic sample is made]",
)
@out_option
@click.option(
    "--config", "config_file", type=click.Path(path_type=pathlib.Path), metavar="FILE", help="Settings as YAML."
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="One setting; may be repeated.")
@click.option(
    "--from",
    "from_stage",
    default="",
    metavar="STAGE",
    help="Run this stage and those that depend on it, as far as their results are not known; the rest is taken over.",
)
@click.option("--to", "to_stage", default="", metavar="STAGE", help="Stop after this stage.")
@click.option("--fresh", is_flag=True, help="Run every stage, also those whose results are known.")
@click.option("--require-blessed", is_flag=True, help=f"Exit with {NOT_BLESSED} unless the model is blessed.")
@debug_option
def run_command(
    application: str, data: str | None, config_file: pathlib.Path | None, overrides: tuple[str, ...], **asked: Any
) -> None:
    """Takes data through the whole pipeline to a blessed, pushed, checked model and its report.

    A run that is given again does only what changed. A model that is not blessed is a finished run: exit code 0,
    and nothing is pushed.
    """
    found = discovery.load(application)
    if data == "":
        raise UsageError(f"--data must name a folder or URI, got {data!r}. Leave --data out to run on synthetic data.")
    config = configuration.resolve(found, data=data or "", config_file=config_file, overrides=overrides)
    code = run(found, config, Asked(**asked))
    click.get_current_context().exit(code)


def run(application: Application, config: configuration.RunConfig, asked: Asked) -> int:
    """Does one run; returns the exit code."""
    preflight.check_stages(config, asked.from_stage, asked.to_stage)
    preflight.check_weights(config)
    preflight.check_destination(config)
    metadata.check(config.metadata)
    items = None
    if config.data:
        config = _with_full_path(config)
        items = preflight.check_data(application, config)
    folder = output_folder.prepare((asked.out or output_folder.default_path(application.name)).absolute())
    with output_folder.hold(folder) as lock:
        ready = _ready(application, config, folder, items)
        same = unchanged.same_run(folder, ready.fingerprint, from_stage=asked.from_stage, to_stage=asked.to_stage)
        if same is not None and not asked.fresh:
            return _say_unchanged(folder, same, asked)
        base = preflight.base_run(folder, ready.config, ready.data["fingerprint"], asked.from_stage, asked.to_stage)
        record = _new_record(application, ready, asked, base)
        lock.note(record.run_id)
        return _execute(record, ready, asked, lock)


def _with_full_path(config: configuration.RunConfig) -> configuration.RunConfig:
    """Makes a local data path independent of the working folder."""
    if data_fingerprint.is_remote(config.data):
        return config
    return dataclasses.replace(config, data=os.path.abspath(os.path.expanduser(config.data)))


def _ready(application: Application, config: configuration.RunConfig, folder: OutputFolder, items: int | None) -> Ready:
    """Makes the synthetic sample where there is no data, and fingerprints all that the run depends on."""
    if not config.data:
        count = application.synthetic_items
        click.echo(
            f"No --data given: this run uses {count} synthetic items in {shown(folder.synthetic_data)}. "
            "Its scores say nothing about the real world."
        )
        synthetic_sample.ensure(application, folder.synthetic_data, items=count)
        config = dataclasses.replace(config, data=str(folder.synthetic_data))
        items = preflight.check_data(application, config)
    folders = spans.folders(config.data, found_spans := spans.resolve(config.data, config.spans))
    found = data_fingerprint.fingerprint_of(folders)
    pattern = config.data if data_fingerprint.is_remote(config.data) else shown(pathlib.Path(config.data))
    if said := spans.words(pattern, found_spans):
        click.echo(f"Reads {said}: {found.files} files, {found.size_mib:.1f} MiB.")
    return Ready(
        config=config,
        folder=folder,
        data={
            "path": config.data,
            "fingerprint": found.digest,
            "items": items if items is not None else found.files,
            **({"spans": list(folders)} if said else {}),
        },
        fingerprint=unchanged.fingerprint(config, found.digest),
    )


def _say_unchanged(folder: OutputFolder, record: dict[str, Any], asked: Asked) -> int:
    """Says that there is nothing to do."""
    count = sum(stage["state"] in run_record.FINISHED_STAGES for stage in record["stages"])
    click.echo(f"Nothing changed since run {record['run_id']}: all {count} stages reused.")
    _say(summary.complete_lines(folder, record))
    return _exit_code(record, asked)


def _new_record(application: Application, ready: Ready, asked: Asked, base_run_id: str) -> RunRecord:
    """Writes the record of the run that begins, and the request for the runner beside it."""
    config = configuration.to_dict(ready.config)
    record = RunRecord.create(
        ready.folder.path,
        application.name,
        config,
        run_id=output_folder.new_run_id(ready.folder),
        fingerprint=ready.fingerprint,
        data=ready.data,
        from_stage=asked.from_stage,
        to_stage=asked.to_stage,
        base_run_id=base_run_id,
        versions=preflight.versions(),
        machine=preflight.machine(),
    )
    request = {
        "application": application.name,
        "out": str(ready.folder.path),
        "run_id": record.run_id,
        "config": config,
        "data_fingerprint": ready.data["fingerprint"],
        "from_stage": asked.from_stage,
        "to_stage": asked.to_stage,
        "fresh": asked.fresh,
        "base_run_id": base_run_id,
    }
    write_atomically(record.path / "request.json", json.dumps(request, indent=1) + "\n")
    return record


def _execute(record: RunRecord, ready: Ready, asked: Asked, lock: Lock) -> int:
    """Runs the local runner to its end and says how it ended."""
    view = open_view(sys.stdout)
    runner = RunnerProcess(
        log=record.log("runner"),
        environment={**os.environ, **_QUIET},
        keep_open=(lock.fileno(),),
        command=RUNNER,
    )
    try:
        outcome = runner.run(record.path / "request.json", view.take)
    finally:
        view.close()
    finished = _finished_record(ready.folder, record.run_id, outcome)
    return _conclude(finished, outcome, view.progress.unfinished(), asked)


def _finished_record(folder: OutputFolder, run_id: str, outcome: Outcome) -> RunRecord:
    """Returns the record as the runner left it; a runner that died could not finish it."""
    record = RunRecord.open(folder.path, run_id)
    if record.data["state"] == "running":
        from pipeline.outcome import of

        record.finish(outcome.state, error=outcome.error or None, **of(record))
    return record


def _conclude(record: RunRecord, outcome: Outcome, unfinished: list[str], asked: Asked) -> int:
    """Prints the last lines of a run and returns its exit code."""
    if outcome.state == "interrupted":
        click.echo(summary.interrupted_line(unfinished), err=True)
        return 130
    if outcome.state != "complete":
        _say(summary.failed_lines(record.folder, record.data, outcome.error), is_error=True)
        _say_logs(record)
        return 1
    _say(summary.complete_lines(record.folder, record.data))
    return _exit_code(record.data, asked)


def _say_logs(record: RunRecord) -> None:
    """With --debug, shows the end of the logs of failed stages."""
    if not click.get_current_context().meta.get(DEBUG):
        return
    for stage in record.data["stages"]:
        if stage["state"] == "failed":
            click.echo(f"\n{stage['name']}.log:\n{summary.log_tail(record.log(stage['name']))}", err=True)


def _exit_code(record: dict[str, Any], asked: Asked) -> int:
    """Returns 0, or 3 where a blessed model was required and there is none."""
    is_blessed = (record.get("verdict") or {}).get("verdict") == "blessed"
    return NOT_BLESSED if asked.require_blessed and not is_blessed else 0


def _say(lines: Iterable[str], *, is_error: bool = False) -> None:
    """Prints lines."""
    for line in lines:
        click.echo(line, err=is_error)
