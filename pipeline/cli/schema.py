"""`earthloop schema infer`: a schema proposed from data, for a person to curate."""

from __future__ import annotations

import contextlib
import os
import pathlib
import sys
from collections.abc import Iterator

import click

from applications import discovery
from pipeline import config as configuration
from pipeline import output_folder, preflight
from pipeline.cli.options import application_argument, debug_option, shown
from pipeline.run_record import write_atomically


@click.group("schema", epilog="\b\nExample:\n  earthloop schema infer satellite/landcover --data chips")
def schema_command() -> None:
    """Proposes a schema for new data."""


@schema_command.command(
    "infer",
    short_help="propose a schema from raw data",
    epilog="\b\nExample:\n  earthloop schema infer satellite/landcover --data chips --out landcover.pbtxt",
)
@application_argument()
@click.option("--data", metavar="PATH", required=True, help="Raw data: folder or URI.")
@click.option(
    "--out",
    type=click.Path(path_type=pathlib.Path),
    metavar="FILE",
    help="Where to write it.  [default: out/<system>/<application>/schema.pbtxt]",
)
@debug_option
def infer_command(application: str, data: str, out: pathlib.Path | None) -> None:
    """Reads all items, computes their statistics, and proposes a schema that a person then curates."""
    found = discovery.load(application)
    config = configuration.resolve(found, data=data)
    items = preflight.check_data(found, config)
    path = out if out is not None else output_folder.default_path(found.name) / "schema.pbtxt"
    output_folder.prepare(path.parent)
    click.echo(f"Reading {items} items; importing TensorFlow takes some seconds.")
    with _stderr_in(path.with_name(f"{path.name}.log")):
        from components import schema  # imports Beam and TensorFlow Data Validation

        text = schema.infer(found, config.data)
    write_atomically(path, text)
    click.echo(f"A proposed schema is in {shown(path)}.")
    click.echo(f"Next: read it, tighten domains and presence, and keep it as {found.schema_path}")


@contextlib.contextmanager
def _stderr_in(log: pathlib.Path) -> Iterator[None]:
    """Keeps what native libraries write to the error stream in a file, which stays only if the block fails."""
    sys.stderr.flush()
    kept = os.dup(2)
    with log.open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield
        log.unlink()
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
