"""`earthloop synthesize`: a small sample of raw data whose truth is known."""

from __future__ import annotations

import pathlib

import click

from applications import discovery
from pipeline import output_folder, synthetic_sample
from pipeline.cli.options import application_argument, debug_option, shown


@click.command("synthesize", epilog="\b\nExample:\n  earthloop synthesize satellite/landcover --out chips --items 600")
@application_argument()
@click.option(
    "--out",
    type=click.Path(path_type=pathlib.Path),
    metavar="DIR",
    help="Folder for the sample.  [default: out/<system>/<application>/sample]",
)
@click.option(
    "--items", type=click.IntRange(min=1), metavar="N", help="How many items.  [default: what the application says]"
)
@click.option(
    "--seed", type=int, default=synthetic_sample.SEED, show_default=True, metavar="N", help="Same seed, same files."
)
@debug_option
def synthesize_command(application: str, out: pathlib.Path | None, items: int | None, seed: int) -> None:
    """Makes a synthetic sample in the real layout of an application's data, with the truth in truth.json."""
    found = discovery.load(application)
    path = out if out is not None else output_folder.default_path(found.name) / "sample"
    output_folder.prepare(path.parent)
    count = items or found.synthetic_items
    is_new = synthetic_sample.ensure(found, path, items=count, seed=seed)
    click.echo(f"{count} synthetic items {'are now' if is_new else 'were already'} in {shown(path)} (seed {seed}).")
    click.echo(f"Next: earthloop run {found.name} --data {shown(path)}")
