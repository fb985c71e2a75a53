"""`earthloop cluster-runs` and `earthloop cluster-run`: what became of runs on a Kubeflow Pipelines server."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from applications.errors import UsageError
from pipeline.cli.cluster_options import Access, server_options
from pipeline.cli.options import debug_option
from pipeline.cli.runs import table
from pipeline.progress_view import duration

if TYPE_CHECKING:
    from pipeline.kubeflow_client import Server
    from pipeline.kubeflow_follow import Run

_ALL = "*"  # no name of a task
_HEADER = ("run", "name", "created (UTC)", "state", "time")


@click.command("cluster-runs", epilog="\b\nExample:\n  earthloop cluster-runs --host http://localhost:8080")
@server_options
@click.option("--experiment", default="", metavar="NAME", help="Only runs of this one.")
@click.option("--count", type=click.IntRange(1, 200), default=20, show_default=True, metavar="N", help="At most.")
@debug_option
def cluster_runs_command(*, access: Access, experiment: str, count: int) -> None:
    """Lists the newest runs on a Kubeflow Pipelines server."""
    found = access.server().runs(count, experiment)
    if not found:
        click.echo("No runs yet. Next: earthloop submit FILE.yaml")
        return
    for line in table([_HEADER, *(_row(run) for run in found)]):
        click.echo(line)


@click.command(
    "cluster-run",
    epilog="\b\nExample:\n  earthloop cluster-run 4f2c… --host http://localhost:8080\n"
    "  earthloop cluster-run 4f2c… --host http://localhost:8080 --logs train",
)
@click.argument("run_id", metavar="ID")
@server_options
@click.option(
    "--logs",
    "logs_of",
    is_flag=False,
    flag_value=_ALL,
    default=None,
    metavar="[TASK]",
    help="Print the log of a task; without its name, those of the tasks that failed, or of all where none did.",
)
@click.option("--tail", type=click.IntRange(min=1), metavar="N", help="Of each log only the last lines.")
@debug_option
def cluster_run_command(*, access: Access, run_id: str, logs_of: str | None, tail: int | None) -> None:
    """Shows one run on a Kubeflow Pipelines server: its tasks, where its artifacts lie, where its logs are."""
    if tail and logs_of is None:
        raise UsageError(f"--tail {tail} is about logs, which are not asked for. Give --logs too.")
    server = access.server()
    run = server.run(run_id)
    if logs_of is not None:
        _tell_logs(server, run, "" if logs_of == _ALL else logs_of, tail or 0)
        return
    _, name, created, state, time_taken = _row(run)
    click.echo(f"{name}: {state}{f', {time_taken}' if time_taken else ''}\n  created  {created}")
    click.echo(f"  page     {server.page_of(run.run_id)}")
    if run.error:
        click.echo(f"  error    {run.error}")
    if run.tasks:
        click.echo("tasks")
        times = ["" if task.seconds is None else duration(task.seconds) for task in run.tasks]
        rows: list[tuple[str, ...]] = [
            (task.name, task.state, took, task.error) for task, took in zip(run.tasks, times, strict=True)
        ]
        for line in table(rows):
            click.echo(line)
    _tell_artifacts(server, run)
    again = shlex.join(["earthloop", "cluster-run", run.run_id, "--host", server.host, "--logs"])
    click.echo(f"Next: {again}")


def _tell_logs(server: Server, run: Run, wanted: str, tail: int) -> None:
    """Prints logs under headings; those that cannot be had are told on stderr, and the exit code is 1 then."""
    from pipeline import kubeflow_logs
    from pipeline.kubeflow_errors import ServerError, Unanswered

    pods = kubeflow_logs.pods(run, wanted)
    if not pods:
        click.echo(f"The server tells no pods of this run. {kubeflow_logs.elsewhere(server, run, wanted)}", err=True)
    has_all = bool(pods)
    for pod in pods:
        try:
            lines = kubeflow_logs.read(server, run, pod).splitlines()
        except Unanswered:
            raise
        except ServerError as error:
            click.echo(f"{error}", err=True)
            has_all = False
            continue
        click.echo("\n".join([f"--- {pod.title}", *lines[-tail:]]))
    if not has_all:
        click.get_current_context().exit(1)


def _tell_artifacts(server: Server, run: Run) -> None:
    """Prints where each artifact lies, or the folder where the server does not know them one by one."""
    known: list[tuple[str, ...]] = [
        (task.name, output, uri)
        for task in run.tasks
        for output, ids in task.artifacts.items()
        for each in ids
        if (uri := server.artifact_uri(each))
    ]
    click.echo("artifacts")
    for line in table(known) if known else []:
        click.echo(line)
    if not known:
        click.echo(f"  below {server.root_of(run) or 'the pipeline root that the cluster is set up with'}")


def _row(run: Run) -> tuple[str, str, str, str, str]:
    created = f"{run.created:%Y-%m-%d %H:%M}" if run.created else ""
    time_taken = "" if run.seconds is None else duration(run.seconds)
    return (run.run_id, run.name, created, run.state or "not started", time_taken)
