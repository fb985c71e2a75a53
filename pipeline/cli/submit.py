"""`earthloop submit`: a compiled pipeline goes to a Kubeflow Pipelines server and is run there."""

from __future__ import annotations

import datetime
import pathlib
from typing import TYPE_CHECKING, Any

import click

from applications.errors import UsageError
from pipeline import kubeflow_lint, kubeflow_spec
from pipeline.cli.cluster_options import Access, server_options
from pipeline.cli.options import debug_option
from pipeline.replay import values

if TYPE_CHECKING:
    from pipeline.kubeflow_client import Server, Wanted
    from pipeline.kubeflow_follow import Run

_CRON_FIELDS = 6  # KFP's begin with the second
_FAILED = 1  # exit code
_TAIL = 30  # lines of a failed task's log


@click.command(
    "submit",
    epilog="\b\nExample:\n  earthloop submit landcover.yaml --host http://localhost:8080 --param epochs=20 --wait",
)
@click.argument("file", metavar="FILE.yaml", type=click.Path(path_type=pathlib.Path))
@server_options
@click.option("--experiment", default="", metavar="NAME", help="Groups runs.  [default: the pipeline's name]")
@click.option("--run-name", default="", metavar="NAME", help="What people call the run.  [default: pipeline and time]")
@click.option("--param", "given", multiple=True, metavar="NAME=VALUE", help="A pipeline parameter; may be repeated.")
@click.option(
    "--every", default="", metavar="CRON|SECONDS", help="Run it again and again; cron has six fields, the second first."
)
@click.option("--wait", is_flag=True, help="Follow the run; exit code 1 when it did not succeed.")
@debug_option
def submit_command(  # noqa: PLR0913 - each option is one argument to click
    *,
    access: Access,
    file: pathlib.Path,
    experiment: str,
    run_name: str,
    given: tuple[str, ...],
    every: str,
    wait: bool,
) -> None:
    """Uploads a compiled pipeline to a Kubeflow Pipelines server and runs it there, once or again and again.

    The file is checked first, as by `earthloop lint`, and so are names and types of the parameters. Where the server
    has the pipeline, the file becomes a new version of it.
    """
    if every and wait:
        raise UsageError(
            f"--every {every} makes a recurring run, which has no end to --wait for. Leave one of them out."
        )
    schedule = schedule_of(every) if every else None
    spec = kubeflow_spec.read(file)
    parameters = parameters_of(spec, given, run_name)
    kubeflow_lint.require_clean(spec, file.name, list(parameters))
    name = str(spec.pipeline["pipelineInfo"]["name"])

    from pipeline.kubeflow_client import Wanted  # imports kfp

    server = access.server()
    uploaded = server.upload(file, name)
    click.echo(f"Pipeline {name}: {uploaded.what}, version {uploaded.version_id}.")
    wanted = Wanted(
        uploaded=uploaded,
        experiment=experiment or name,
        name=run_name or f"{name} {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M:%S}",
        parameters=parameters,
    )
    if schedule is not None:
        made = server.repeat(wanted, schedule)
        click.echo(f"Recurring run {made}. The server's page stops it: {server.host}/#/recurringrun/details/{made}")
        return
    _start(server, wanted, wait=wait)


def _start(server: Server, wanted: Wanted, *, wait: bool) -> None:
    """Starts one run, and follows it where asked."""
    from pipeline import kubeflow_follow

    run_id = server.start(wanted)
    look = f"earthloop cluster-run {run_id} --host {server.host}"
    click.echo(f"Run {run_id}: {server.page_of(run_id)}")
    if not wait:
        click.echo(f"Next: {look}")
        return
    try:
        run = kubeflow_follow.follow(lambda: server.run(run_id), click.echo)
    except BaseException:
        click.echo(f"The run on the server goes on. Look at it with: {look}", err=True)
        raise
    if run.state == "succeeded":
        click.echo(f"Succeeded: {len(run.tasks)} tasks.")
        return
    _tell_ends(server, run)
    why = f": {run.error}" if run.error else "."
    click.echo(f"The run is {run.state}{why}\nIts logs: {look} --logs", err=True)
    click.get_current_context().exit(_FAILED)


def _tell_ends(server: Server, run: Run) -> None:
    """Prints the last lines of the logs of the tasks that failed, as far as somebody hands them out."""
    from pipeline import kubeflow_logs
    from pipeline.kubeflow_errors import ServerError

    if not any(task.state == "failed" for task in run.tasks):
        return
    latest = {pod.task: pod for pod in kubeflow_logs.pods(run, "")}  # of several attempts the last
    for pod in latest.values():
        try:
            lines = kubeflow_logs.read(server, run, pod).rstrip().splitlines()
        except ServerError as error:
            click.echo(f"No log of {pod.title}: {error}", err=True)
            continue
        click.echo("\n".join([f"\nThe last lines of {pod.title}:", *lines[-_TAIL:], ""]), err=True)


def parameters_of(spec: kubeflow_spec.KubeflowSpec, given: tuple[str, ...], run_name: str) -> dict[str, Any]:
    """Returns the values to send: those that are given, and the run's name where the pipeline wants to know it.

    Raises:
        UnknownName: the pipeline has no such parameter.
        UsageError: a value is not of its type, or one without default is missing.
    """
    definitions = next(spec.dags()).parameters
    if run_name and "run_name" in definitions:
        given = (f"run_name={run_name}", *given)
    found = values.pipeline_parameters(definitions, given)
    names = {word.partition("=")[0] for word in given}
    return {name: value for name, value in found.items() if name in names}


def schedule_of(text: str) -> int | str:
    """Reads `--every`: whole seconds, or a cron expression.

    Raises:
        UsageError: it is neither; one of five fields is told with the sixth.
    """
    if text.isascii() and text.isdigit() and int(text):
        return int(text)
    fields = text.split()
    if len(fields) == _CRON_FIELDS:
        return " ".join(fields)
    hint = f" Perhaps you mean '0 {' '.join(fields)}'." if len(fields) == _CRON_FIELDS - 1 else ""
    raise UsageError(
        "--every must be whole seconds above 0, or six cron fields (second minute hour day month weekday), "
        f"got {text!r}.{hint}"
    )
