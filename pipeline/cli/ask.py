"""`earthloop ask`: files to a running model server, labels back."""

from __future__ import annotations

import csv
import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from applications.errors import DataPathError, UsageError
from pipeline.cli.options import debug_option
from pipeline.run_record import model_name

if TYPE_CHECKING:
    from serving.client import Answer, Client, Model, Options

_GRPC, _REST = "localhost:8500", "http://localhost:8501"
_NO_LABEL = 1
_EXAMPLES = """\b
Examples:
  earthloop ask satellite-landcover chip.jpg
  earthloop ask satellite-landcover chips/*.jpg --rest --json
"""


@click.command("ask", epilog=_EXAMPLES)
@click.argument("model", metavar="MODEL")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=pathlib.Path))
@click.option(
    "--host", default="", metavar="ADDRESS", help="host:port, or http://host:port.  [default: localhost:8500]"
)
@click.option("--rest/--grpc", "is_rest", default=False, help="Ask over REST, or over gRPC.  [default: grpc]")
@click.option("--version", type=int, metavar="N", help="Ask this version.  [default: the newest]")
@click.option("--label", default="", metavar="NAME", help="Ask the version with this label, such as canary.")
@click.option("--token-file", type=click.Path(path_type=pathlib.Path), metavar="FILE", help="Holds a bearer token.")
@click.option(
    "--timeout", "timeout_s", type=float, default=30.0, show_default=True, metavar="SECONDS", help="For each request."
)
@click.option("--json", "is_json", is_flag=True, help="A JSON object per line, for programs.")
@debug_option
def ask_command(model: str, files: tuple[pathlib.Path, ...], *, is_json: bool, **options: object) -> None:
    """Has a running server label images, sounds or the rows of a CSV table.

    MODEL is the name on the server; that of an application is understood, too. Exit code 1 if a file got no label.
    """
    _check_files(files)
    from serving.client import Client

    target, settings, chosen = _read_options(model, **options)  # type: ignore[arg-type]
    with Client(target, settings) as client:
        answers = _ask(client, chosen, files)
    lines = _json_lines(answers) if is_json else _table(answers)
    for line in lines:
        click.echo(line)
    if not all(answer.is_answered for answer in answers):
        click.get_current_context().exit(_NO_LABEL)


def _check_files(files: Sequence[pathlib.Path]) -> None:
    missing = [path for path in files if not path.is_file()]
    if missing:
        raise DataPathError(
            f"every FILE must be a file, but {missing[0]} is {'a folder' if missing[0].is_dir() else 'not there'}"
            f"{f' (and {len(missing) - 1} more)' if len(missing) > 1 else ''}. Give the paths of files."
        )


def _read_options(  # noqa: PLR0913 - one for each option of the command
    model: str,
    *,
    host: str,
    is_rest: bool,
    version: int | None,
    label: str,
    token_file: pathlib.Path | None,
    timeout_s: float,
) -> tuple[str, Options, Model]:
    """Returns the address, the client's options and the model."""
    from serving.client import Model, Options

    if version is not None and label:
        raise UsageError("--version and --label exclude each other, got both. Leave one out.")
    target = host or (_REST if is_rest else _GRPC)
    if is_rest and "://" not in target:
        target = f"http://{target}"
    token = token_file.read_text(encoding="utf-8").strip() if token_file else ""
    return target, Options(timeout_s=timeout_s, token=token), Model(model_name(model), version, label)


def _ask(client: Client, model: Model, files: Sequence[pathlib.Path]) -> list[Answer]:
    """Asks for all files at once, and for each table on its own; returns the answers in the order of the files."""
    plain = [path for path in files if path.suffix.lower() != ".csv"]
    labelled = iter(client.ask(model, plain) if plain else [])
    found: list[Answer] = []
    for path in files:
        if path.suffix.lower() != ".csv":
            found.append(next(labelled))
            continue
        rows = client.ask_table(model, read_columns(path))
        found += [dataclasses.replace(row, name=f"{path}:{int(row.name) + 1}") for row in rows]
    return found


def read_columns(path: pathlib.Path) -> dict[str, list[float] | list[str]]:
    """Reads a table with a header line; columns that are numbers throughout become such.

    Raises:
        DataPathError: it has no row.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise DataPathError(f"a table must have a header line and rows, but {path} has none.")
    return {name: _numbers([row[name] for row in rows]) for name in rows[0]}


def _numbers(values: list[str]) -> list[float] | list[str]:
    try:
        return [float(value) for value in values]
    except ValueError:
        return values


def _json_lines(answers: Sequence[Answer]) -> list[str]:
    return [json.dumps(_as_dict(answer), ensure_ascii=False) for answer in answers]


def _as_dict(answer: Answer) -> Mapping[str, object]:
    return {"file" if key == "name" else key: value for key, value in dataclasses.asdict(answer).items()}


def _table(answers: Sequence[Answer]) -> list[str]:
    """Returns the answers as aligned lines: file, label, probability; or why there is no label."""
    files = max(len("FILE"), *(len(answer.name) for answer in answers))
    labels = max(len("LABEL"), *(len(answer.label) for answer in answers))
    lines = [f"{'FILE':<{files}}  {'LABEL':<{labels}}  SCORE"]
    for answer in answers:
        if answer.value is not None and not answer.label:
            lines.append(f"{answer.name:<{files}}  {'':<{labels}}  {answer.value:g}")
        elif answer.label:
            lines.append(f"{answer.name:<{files}}  {answer.label:<{labels}}  {answer.score:.1%}")
        else:
            lines.append(f"{answer.name:<{files}}  {'–':<{labels}}  {answer.reason or 'no answer'}")
    return lines
