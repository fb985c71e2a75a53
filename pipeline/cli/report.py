"""`earthloop report`: the page of a run, made again."""

from __future__ import annotations

import pathlib
import webbrowser
from collections.abc import Iterator

import click

from applications import discovery
from applications.errors import DataPathError
from pipeline import run_record
from pipeline.cli import summary
from pipeline.cli.options import application_argument, debug_option, one_folder, out_option, shown
from pipeline.output_folder import OutputFolder
from pipeline.run_record import RunRecord


@click.command("report", epilog="\b\nExample:\n  earthloop report satellite/landcover --open")
@application_argument(required=False)
@out_option
@click.option("--run", "run_id", metavar="ID", help="Which run.  [default: the latest complete one, else the latest]")
@click.option("--open/--no-open", "is_opened", default=False, show_default=True, help="Show the page in a browser.")
@debug_option
def report_command(application: str | None, out: pathlib.Path | None, run_id: str | None, is_opened: bool) -> None:
    """Makes the page of a run again: one file that opens offline."""
    if application is not None:
        discovery.load(application)
    folder = one_folder(application, out)
    record = RunRecord.open(folder.path, run_id) if run_id else _latest(folder)
    from pipeline import outcome

    path = outcome.write_report(record)
    for line in (*_how_it_ended(record), f"  report  {shown(path)}", f"  run     {record.run_id}"):
        click.echo(line)
    if not is_opened:
        click.echo("Next: open that file in a browser, or add --open.")
    elif not webbrowser.open(path.absolute().as_uri()):
        click.echo("Next: open that file yourself; no browser could be started here.")


def _how_it_ended(record: RunRecord) -> Iterator[str]:
    """Yields the verdict, or of a run that failed which stages did, why, and where their logs are."""
    failed = [stage["name"] for stage in record.data["stages"] if stage["state"] == "failed"]
    if record.data["state"] != "failed":
        yield summary.verdict_line(record.data)
        return
    error = str(record.data["error"])
    is_named = not failed or error.startswith(tuple(failed))
    yield f"Failed: {error}" if is_named else f"Failed in {' and '.join(failed)}: {error}"
    for name in failed:
        yield f"  log     {shown(record.log(name))}"


def _latest(folder: OutputFolder) -> RunRecord:
    """Returns the latest complete run's record, or the latest of all.

    Raises:
        DataPathError: there is no run.
    """
    found = run_record.last_complete(folder) or next(iter(run_record.records(folder)), None)
    if found is None:
        raise DataPathError(
            f"a report needs a run, but there is none in {shown(folder.path)}. Start one with `earthloop run APP`, "
            "or name another folder with --out DIR."
        )
    return RunRecord(folder, found)
