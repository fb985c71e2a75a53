"""Options that several commands share, and how paths are shown."""

from __future__ import annotations

import pathlib
import shlex
from collections.abc import Callable
from typing import Any, TypeVar

import click

from applications import discovery
from applications.errors import UsageError
from pipeline import output_folder
from pipeline.output_folder import OutputFolder

DEBUG = "earthloop.debug"  # key in the context's `meta`
F = TypeVar("F", bound=Callable[..., Any])


def out_option(function: F) -> F:
    """Adds `--out DIR`."""
    return click.option(
        "--out",
        type=click.Path(path_type=pathlib.Path),
        metavar="DIR",
        help="Output folder.  [default: out/<system>/<application>]",
    )(function)


def debug_option(function: F) -> F:
    """Adds `--debug`, which `pipeline.cli.main` looks for."""
    return click.option(
        "--debug", is_flag=True, expose_value=False, callback=_note_debug, help="Show where an error arose."
    )(function)


def _note_debug(ctx: click.Context, _parameter: click.Parameter, is_asked: bool) -> None:
    ctx.meta[DEBUG] = is_asked


def application_argument(*, required: bool = True) -> Callable[[F], F]:
    """Adds the application's name."""
    return click.argument("application", metavar="APP" if required else "[APP]", required=required)


def one_folder(application: str | None, out: pathlib.Path | None) -> OutputFolder:
    """Returns the output folder that a command means.

    Raises:
        UsageError: neither an application nor a folder is given.
    """
    if out is None and application is None:
        known = ", ".join(discovery.names())
        raise UsageError(f"the command needs an application or --out DIR, got neither; the applications are {known}.")
    return OutputFolder(out if out is not None else output_folder.default_path(str(application)))


def folders(application: str | None, out: pathlib.Path | None) -> list[OutputFolder]:
    """Returns the output folders a command means: the one that is named, or all below `out/`."""
    if out is not None or application is not None:
        return [one_folder(application, out)]
    return [OutputFolder(runs.parent) for runs in sorted(pathlib.Path("out").glob("*/*/runs"))]


def shown(path: pathlib.Path) -> str:
    """Returns a path relative to the working folder where it lies below it."""
    here, full = pathlib.Path.cwd(), path.absolute()
    return str(full.relative_to(here)) if full.is_relative_to(here) else str(full)


def command_line(name: str, application: str, folder: OutputFolder) -> str:
    """Returns a line to type, with `--out` only where it is not the usual place."""
    words = ["earthloop", name, application]
    if folder.path.absolute() != output_folder.default_path(application).absolute():
        words += ["--out", shown(folder.path)]
    return shlex.join(words)
