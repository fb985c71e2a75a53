"""`earthloop ask`: files to a running model server, labels back."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import itertools
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from applications import discovery
from applications.errors import DataError, DataPathError, UsageError, near_name
from pipeline.cli.options import debug_option
from pipeline.run_record import model_name

if TYPE_CHECKING:
    from serving.client import Answer, Client, Model, Options

_GRPC_PORT, _REST_PORT = 8500, 8501
_NO_LABEL = 1
_TABLE = ".csv"
_IN_FOLDERS = frozenset({".jpg", ".jpeg", ".png", ".wav", ".flac", ".ogg", ".mp3"})  # other files there are passed over
_EXAMPLES = """\b
Examples:
  earthloop ask satellite-landcover chip.jpg
  earthloop ask satellite-landcover chips
  earthloop ask satellite-landcover chips/*.jpg --rest --json
"""


@click.command("ask", epilog=_EXAMPLES)
@click.argument("model", metavar="MODEL")
@click.argument("files", metavar="FILE_OR_FOLDER...", nargs=-1, required=True, type=click.Path(path_type=pathlib.Path))
@click.option(
    "--host",
    default="",
    metavar="ADDRESS",
    help="host:port, http://host:port, with TLS grpcs:// or https://.  [default: localhost:8500]",
)
@click.option("--rest/--grpc", "is_rest", default=False, help="Ask over REST, or over gRPC.  [default: grpc]")
@click.option("--version", type=int, metavar="N", help="Ask this version.  [default: the newest]")
@click.option("--label", default="", metavar="NAME", help="Ask the version with this label, such as canary.")
@click.option(
    "--token-file",
    type=click.Path(path_type=pathlib.Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Holds a bearer token.",
)
@click.option(
    "--ca-file",
    type=click.Path(path_type=pathlib.Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Certificates to trust, PEM, for grpcs:// and https://.  [default: the system's]",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="For each request.",
)
@click.option("--json", "is_json", is_flag=True, help="A JSON object per line, for programs.")
@debug_option
def ask_command(model: str, files: tuple[pathlib.Path, ...], *, is_json: bool, **options: object) -> None:
    """Has a running server label images, sounds or the rows of a CSV table.

    MODEL is the name on the server; that of an application is understood, too. Of a folder, all images and sounds in
    it and below are asked about. Answers are printed as they arrive. Exit code 1 if a file got no label.
    """
    paths = find_files(files)
    from serving.client import Client

    target, settings, chosen = _read_options(model, **options)  # type: ignore[arg-type]
    width = max(len("FILE"), *(len(str(path)) for path in paths))
    head = "" if is_json else f"{'FILE':<{width}}   SCORE  LABEL\n"
    are_all_answered = True
    with Client(target, settings) as client, _guessing(chosen.name):
        for answer in _ask(client, chosen, paths):
            click.echo(head + (_as_json(answer) if is_json else _as_line(answer, width)))
            head = ""
            are_all_answered &= answer.is_answered
    if not are_all_answered:
        click.get_current_context().exit(_NO_LABEL)


def find_files(given: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    """Returns the files, and those in folders: images and sounds, by name, without what begins with a dot.

    Raises:
        DataPathError: one is not there, or a folder has none.
    """
    found = []
    for path in given:
        inside = sorted(filter(_is_item, path.rglob("*"))) if path.is_dir() else [path] if path.is_file() else []
        if not inside:
            raise DataPathError(
                f"a folder must have images or sounds in it ({', '.join(sorted(_IN_FOLDERS))}), but {path} has none. "
                "Name its files."
                if path.is_dir()
                else f"every FILE must be there, but {path} is not. Check its path from this folder."
            )
        found += inside
    return found


def _is_item(path: pathlib.Path) -> bool:
    return path.suffix.lower() in _IN_FOLDERS and not path.name.startswith(".") and path.is_file()


def _read_options(  # noqa: PLR0913 - one for each option of the command
    model: str,
    *,
    host: str,
    is_rest: bool,
    version: int | None,
    label: str,
    token_file: pathlib.Path | None,
    ca_file: pathlib.Path | None,
    timeout_s: float,
) -> tuple[str, Options, Model]:
    """Returns the address, the client's options and the model."""
    from serving.client import Model, Options

    if version is not None and label:
        raise UsageError(f"--version and --label exclude each other, got {version} and {label!r}. Leave one out.")
    target = host or "localhost"
    if is_rest and "://" not in target:
        target = f"http://{target}" if ":" in target else f"http://{target}:{_REST_PORT}"
    elif "://" not in target and ":" not in target:
        target = f"{target}:{_GRPC_PORT}"
    token = token_file.read_text(encoding="utf-8").strip() if token_file else ""
    settings = Options(timeout_s=timeout_s, token=token, ca_file=ca_file)
    return target, settings, Model(model_name(model), version, label)


@contextlib.contextmanager
def _guessing(name: str) -> Iterator[None]:
    """Adds to the error about a model that is not there the name of an application's that is like it."""
    from serving.client import ClientError
    from serving.model_server.errors import Code

    try:
        yield
    except ClientError as error:
        known = [model_name(application) for application in discovery.names()]
        guess = near_name(name, known).strip()
        if error.code is not Code.NOT_FOUND or name in known or not guess:
            raise
        raise ClientError(error.code, error.message, next_step=guess) from error


def _ask(client: Client, model: Model, files: Sequence[pathlib.Path]) -> Iterator[Answer]:
    """Asks for some files at once, and for each table on its own; yields the answers in the order of the files."""
    for is_table, group in itertools.groupby(files, key=lambda path: path.suffix.lower() == _TABLE):
        paths, size = list(group), 1 if is_table else client.options.rows_per_request
        for start in range(0, len(paths), size):
            part = paths[start : start + size]
            yield from _label_rows(client, model, *part) if is_table else _label(client, model, part)


def _label_rows(client: Client, model: Model, path: pathlib.Path) -> Iterator[Answer]:
    for row in client.ask_table(model, read_columns(path)):
        yield dataclasses.replace(row, name=f"{path}:{int(row.name) + 1}")


def _label(client: Client, model: Model, paths: Sequence[pathlib.Path]) -> Iterator[Answer]:
    """Asks once about some files; one that cannot be read costs its own label alone."""
    from serving.client import Answer

    contents: list[bytes] = []
    unreadable: dict[int, str] = {}
    for place, path in enumerate(paths):
        try:
            contents.append(path.read_bytes())
        except OSError as error:
            unreadable[place] = f"cannot be read: {error.strerror}"
    answers = iter(client.ask(model, contents) if contents else [])
    for place, path in enumerate(paths):
        if place in unreadable:
            yield Answer(name=str(path), reason=unreadable[place])
        else:
            yield dataclasses.replace(next(answers), name=str(path))


def read_columns(path: pathlib.Path) -> dict[str, list[float] | list[str]]:
    """Reads a table with a header line; columns that are numbers throughout become such.

    Raises:
        DataError: it is not CSV in UTF-8, it has no row, or a row has not as many fields as the header.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"a table must be CSV in UTF-8, but {path} is not ({error}). Save it as such.") from error
    if len(rows) <= 1:
        raise DataError(f"a table must have a header line and rows, but {path} has none.")
    wrong = next((place for place, row in enumerate(rows) if len(row) != len(rows[0])), None)
    if wrong is not None:
        raise DataError(
            f"every row of a table must have as many fields as its header, {len(rows[0])}, but row {wrong} of {path} "
            f"has {len(rows[wrong])}. Mend the row."
        )
    return {name: _numbers([row[place] for row in rows[1:]]) for place, name in enumerate(rows[0])}


def _numbers(values: list[str]) -> list[float] | list[str]:
    try:
        return [float(value) for value in values]
    except ValueError:
        return values


def _as_json(answer: Answer) -> str:
    named = {"file" if key == "name" else key: value for key, value in dataclasses.asdict(answer).items()}
    return json.dumps(named, ensure_ascii=False)


def _as_line(answer: Answer, width: int) -> str:
    """Returns file, probability and label in columns; or the value of a regression; or why there is no label."""
    if answer.label:
        return f"{answer.name:<{width}}  {answer.score:>6.1%}  {answer.label}"
    if answer.value is not None:
        return f"{answer.name:<{width}}  {answer.value:>6g}"
    return f"{answer.name:<{width}}  {'–':>6}  {answer.reason or 'no answer'}"
