"""The command `earthloop`: finds the command by name, and turns every error into a sentence and an exit code.

Exit codes: 0 done, 1 an error with its text, 2 bad usage, 3 `--require-blessed` and the model is not, 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from applications.errors import EarthloopError, near_name
from pipeline.output_folder import explain_os_error

# Each command: the module that defines it, and its line in the list of commands. A module is imported only when used.
COMMANDS = {
    "list": ("pipeline.cli.applications", "show the applications there are"),
    "describe": ("pipeline.cli.applications", "show one application: classes, settings, data card"),
    "synthesize": ("pipeline.cli.synthesize", "make a synthetic sample of an application's data"),
    "run": ("pipeline.cli.run", "take data through the whole pipeline to a blessed, pushed, checked model"),
    "watch": ("pipeline.cli.watch", "run whenever new data have arrived"),
    "report": ("pipeline.cli.report", "make the page of a run again"),
    "serve": ("pipeline.cli.serve", "answer requests with pushed models, as TensorFlow Serving does"),
    "ask": ("pipeline.cli.ask", "have a running server label files"),
    "runs": ("pipeline.cli.runs", "list the runs of an output folder"),
    "doctor": ("pipeline.cli.doctor", "find and mend what a killed run left behind"),
    "schema": ("pipeline.cli.schema", "propose a schema for new data"),
    "compile": ("pipeline.cli.kubeflow", "write the pipeline as a cluster takes it"),
    "lint": ("pipeline.cli.kubeflow", "say what of a compiled pipeline a cluster would refuse"),
    "replay": ("pipeline.cli.replay", "execute a compiled pipeline on this machine, without a cluster"),
    "submit": ("pipeline.cli.submit", "run a compiled pipeline on a cluster, once or again and again"),
    "cluster-runs": ("pipeline.cli.cluster_runs", "list the runs on a cluster"),
    "cluster-run": ("pipeline.cli.cluster_runs", "show one run on a cluster: tasks, artifacts, logs"),
}
_WIDTH = 100  # characters of help text
_NO_SUCH_FILE = 2


class LazyGroup(click.Group):
    """Knows its commands by name and imports one only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the names in the order in which one meets them."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports the module of one command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        found = getattr(importlib.import_module(COMMANDS[cmd_name][0]), f"{cmd_name.replace('-', '_')}_command")
        return found if isinstance(found, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Refuses an unknown command with the near name."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(
                f"no command {args[0]!r}; there are: {', '.join(COMMANDS)}.{near_name(args[0], list(COMMANDS))}",
                ctx=ctx,
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


def _print_version(ctx: click.Context, _parameter: click.Parameter, is_asked: bool) -> None:
    if is_asked and not ctx.resilient_parsing:
        from importlib import metadata

        try:
            click.echo(f"earthloop {metadata.version('earthloop')}")
        except metadata.PackageNotFoundError:
            click.echo("earthloop, not installed: run `make setup` in the project's folder")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": _WIDTH},
    epilog="\b\nStart here, on synthetic data:\n  earthloop run satellite/landcover",
)
@click.option(
    "--version",
    is_flag=True,
    callback=_print_version,
    expose_value=False,
    is_eager=True,
    help="Show the version and exit.",
)
def cli() -> None:
    """Earthloop trains, judges and pushes models that watch wildlife, oceans and land."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line.

    Args:
        arguments: the words after `earthloop`; those of this process by default.

    Returns:
        the exit code.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        found = cli.main(args=words, prog_name="earthloop", standalone_mode=False)
        return found if isinstance(found, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted.", err=True)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read our output has gone: not an error
        return 0
    except Exception as error:  # the last frame: every error becomes a sentence
        return _explain(error, is_debug="--debug" in words)


def _explain(error: Exception, *, is_debug: bool) -> int:
    """Prints an error's text, with the traceback where asked, and returns the exit code."""
    if is_debug:
        traceback.print_exception(error)
    if isinstance(error, OSError) and not isinstance(error, EarthloopError) and error.errno != _NO_SUCH_FILE:
        error = explain_os_error(error, Path(error.filename or "."))
    if isinstance(error, EarthloopError):
        click.echo(f"Error: {error}", err=True)
        return error.exit_code
    click.echo(
        f"Error: this is a fault of Earthloop, not of your input: {type(error).__name__}: {error}\n"
        "Give the command again with --debug to see where, and report it.",
        err=True,
    )
    return 1


def script() -> Any:
    """The console script."""
    sys.exit(main())


if __name__ == "__main__":
    script()
