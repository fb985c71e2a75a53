"""`earthloop replay`: executes a compiled pipeline without a cluster."""

from __future__ import annotations

import os
import pathlib
import signal
import sys

import click

from pipeline import kubeflow_lint, kubeflow_spec, output_folder
from pipeline.cli import summary
from pipeline.cli.options import debug_option, shown
from pipeline.output_folder import OutputFolder
from pipeline.progress_view import open_view
from pipeline.replay import spec as replay_spec
from pipeline.replay import values
from pipeline.replay.engine import RECORD_FILE, Asked, Replay, ReplayFolder

_TAIL = 30  # lines of the failing task's log
_EXIT_CODES = {"complete": 0, "failed": 1, "interrupted": 130}


@click.command("replay", epilog="\b\nExample:\n  earthloop replay landcover.yaml --param epochs=3")
@click.argument("file", metavar="FILE", type=click.Path(path_type=pathlib.Path))
@click.option("--param", "given", multiple=True, metavar="NAME=VALUE", help="A pipeline parameter; may be repeated.")
@click.option(
    "--out",
    type=click.Path(path_type=pathlib.Path),
    metavar="DIR",
    help="Folder for object store, cache and logs.  [default: out/replay/<pipeline>]",
)
@click.option("--fresh", is_flag=True, help="Run every task, also those whose results the cache has.")
@click.option(
    "--at-once", type=click.IntRange(min=1), default=2, show_default=True, metavar="N", help="Tasks at the same time."
)
@click.option(
    "--longest-pause",
    "longest_pause_s",
    type=click.FloatRange(min=0),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="Between two attempts at a task that fails, where the file asks for more.",
)
@debug_option
def replay_command(
    *,
    file: pathlib.Path,
    given: tuple[str, ...],
    out: pathlib.Path | None,
    fresh: bool,
    at_once: int,
    longest_pause_s: float,
) -> None:
    """Executes a compiled pipeline (YAML) on this machine, as Kubeflow Pipelines' driver and launcher would.

    Every task runs its container's own command in a process of its own, with this Python in place of the image's.
    The object store is a folder, and stays: a second replay finds what the first one cached and pushed. Images,
    resources, secrets and volumes have no part in it.
    """
    found = kubeflow_spec.read(file)
    spec = replay_spec.parse(found)
    asked = Asked(
        parameters=values.pipeline_parameters(spec.parameters, given),
        at_once=at_once,
        fresh=fresh,
        longest_pause_s=longest_pause_s,
    )
    if faults := kubeflow_lint.lint(found, list(asked.parameters)):
        click.echo(f"Note: a cluster would refuse it; `earthloop lint {shown(file)}` says why. The first: {faults[0]}")
    path = pathlib.Path(os.path.abspath(out if out is not None else pathlib.Path("out") / "replay" / spec.name))
    output_folder.prepare(path)
    with output_folder.hold(OutputFolder(path)):
        click.get_current_context().exit(_replay(spec, ReplayFolder(path), asked))


def _replay(spec: replay_spec.Spec, folder: ReplayFolder, asked: Asked) -> int:
    """Does one replay and says how it ended; returns the exit code."""
    if spec.left_out:
        click.echo(f"Left out, as there is no Kubernetes here: what the platform asks for {', '.join(spec.left_out)}.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: containers must not outlive this
    view = open_view(sys.stdout)
    replay = Replay(spec, folder, asked, view.take)
    try:
        state = replay.run()
    finally:
        view.close()
    record = shown(folder.replay(replay.run_id) / RECORD_FILE)
    if state == "failed":
        _say_failure(replay, record)
    elif state == "interrupted":
        click.echo("Interrupted. Finished tasks that the cache may answer are kept.", err=True)
    else:
        _say_complete(replay, folder, record)
    return _EXIT_CODES[state]


def _say_failure(replay: Replay, record: str) -> None:
    log = replay.log(replay.failed)
    tail = summary.log_tail(log, _TAIL)
    if tail:
        click.echo(f"\nThe last lines of {shown(log)}:\n{tail}\n", err=True)
    click.echo(f"Failed: {replay.error}\n  record  {record}", err=True)
    click.echo(
        "Mend what the text says and give the same command: tasks that the cache has are not repeated.", err=True
    )


def _say_complete(replay: Replay, folder: ReplayFolder, record: str) -> None:
    states = list(replay.states.values())
    parts = [f"{states.count(state)} {state}" for state in ("done", "cached", "skipped") if state in states]
    click.echo(f"Complete: {len(states)} tasks ({', '.join(parts)}).")
    for why in dict.fromkeys(replay.skipped.values()):
        names = [name for name, reason in replay.skipped.items() if reason == why]
        click.echo(f"  skipped {', '.join(names)}: {why}")
    click.echo(f"  record  {record}")
    click.echo(f"  store   {shown(folder.storage.folder)}")
