"""`earthloop list` and `earthloop describe`: what can be predicted, and with which settings."""

from __future__ import annotations

import dataclasses

import click

from applications import discovery
from applications.spec import Application
from pipeline import config as configuration
from pipeline.cli.options import application_argument, debug_option
from pipeline.config_values import text_of
from pipeline.stage_names import STAGES


@click.command("list", epilog="\b\nExample:\n  earthloop list")
@debug_option
def list_command() -> None:
    """Shows the applications there are."""
    found = [discovery.load(name) for name in discovery.names()]
    width = max((len(application.name) for application in found), default=0)
    for application in found:
        click.echo(f"{application.name:<{width}}  {application.summary}")
        click.echo(f"{'':<{width}}  {application.task}, {len(application.classes)} classes")
    click.echo("\nNext: earthloop describe APP, or earthloop run APP")


@click.command("describe", epilog="\b\nExample:\n  earthloop describe satellite/landcover")
@application_argument()
@debug_option
def describe_command(application: str) -> None:
    """Shows one application: what it predicts, its classes, and every setting with its value.

    A setting is changed with --set on the command line or in a YAML file given with --config.
    """
    found = discovery.load(application)
    click.echo(f"{found.name}: {found.title}\n{found.summary}\n")
    for name, text in _facts(found):
        click.echo(f"{name:<16} {text}")
    click.echo("\nSettings (change one with --set section.key=value, or in a file given with --config):")
    config = configuration.resolve(found)
    for section in configuration.sections():
        click.echo(f"{section}:")
        values = getattr(config, section)
        for field in dataclasses.fields(values):
            click.echo(f"  {field.name}: {text_of(getattr(values, field.name))}")
    click.echo(f"\nNext: earthloop run {found.name}, or with your own data: earthloop run {found.name} --data PATH")


def _facts(application: Application) -> list[tuple[str, str]]:
    """Returns what the spec says beside its settings."""
    slices = ", ".join(" × ".join(names) for names in application.slices)
    return [
        ("task", f"{application.task} of {application.modality}s"),
        ("classes", ", ".join(application.classes)),
        ("split by", application.group_by),
        ("evaluated by", slices or "all items together"),
        ("data card", f"applications/{application.name}/README.md"),
        ("schema", application.schema_path),
        ("stages", ", ".join(name for name in STAGES if name != "tune" or application.tune.enabled)),
    ]
