"""`earthloop doctor`: what a killed run left behind, and how to put it right."""

from __future__ import annotations

import contextlib
import pathlib

import click

from applications import discovery
from pipeline import output_folder
from pipeline.cli.options import application_argument, debug_option, folders, out_option, shown
from pipeline.output_folder import OutputFolder


@click.command("doctor", epilog="\b\nExample:\n  earthloop doctor --fix")
@application_argument(required=False)
@out_option
@click.option("--fix", "is_fixing", is_flag=True, help="Mend what is found.")
@debug_option
def doctor_command(application: str | None, out: pathlib.Path | None, is_fixing: bool) -> None:
    """Looks for what a killed run left behind, in one output folder or in all below out/.

    Exit code 1 when something is found and not mended.
    """
    if application is not None:
        discovery.load(application)
    left = 0
    found = folders(application, out)
    for folder in found:
        left += examine(folder, is_fixing=is_fixing)
    if not found:
        click.echo("No output folder below out/: nothing to look at.")
    click.get_current_context().exit(1 if left else 0)


def examine(folder: OutputFolder, *, is_fixing: bool) -> int:
    """Says what is wrong in one folder and mends it where asked; returns how many problems are left."""
    name = shown(folder.path)
    if not folder.path.is_dir():
        click.echo(f"{name}: there is no such folder.")
        return 1
    if output_folder.is_held(folder):
        holder = output_folder.holder(folder)
        click.echo(
            f"{name}: run {holder.get('run_id') or 'unknown'} is going on (process {holder.get('pid')}); not touched."
        )
        return 0
    from pipeline import doctor

    with contextlib.ExitStack() as stack:
        problems = doctor.problems(folder)
        if is_fixing and problems:
            stack.enter_context(output_folder.hold(folder))
        if not problems:
            click.echo(f"{name}: nothing wrong.")
        left = 0
        for problem in problems:
            click.echo(f"{name}: {problem.text}")
            if is_fixing and problem.fix is not None:
                click.echo(f"  {problem.fix()}")
            else:
                left += 1
    if left and not is_fixing:
        click.echo(f"Next: earthloop doctor --out {name} --fix")
    return left
