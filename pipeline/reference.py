"""The pages that are made from the code: `python -m pipeline.reference` writes them, `--check` compares.

They are `docs/commands.md`, `docs/configuration.md`, `docs/openapi.json`, the table of applications in `README.md`,
and that of the model server's flags in `docs/serving.md`.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import io
import pathlib
import sys
import textwrap
import tokenize
from collections.abc import Iterator, Sequence
from typing import Any

import click

from applications import discovery
from pipeline import config as configuration
from pipeline import serving_reference
from pipeline.cli.main import COMMANDS, cli
from pipeline.config_values import field_types, text_of, type_words
from serving.model_server import openapi
from trainer.choices import CHOICES

ROOT = pathlib.Path(__file__).resolve().parent.parent
TABLE_BEGIN, TABLE_END = "<!-- applications: begin -->", "<!-- applications: end -->"
_MADE = "<!-- Made by `python -m pipeline.reference`; do not edit. -->\n"


def pages() -> dict[str, str]:
    """Returns the text of each page by its path relative to the project's root."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return {
        "docs/commands.md": commands_page(),
        "docs/configuration.md": configuration_page(),
        "README.md": with_table(readme),
        "docs/openapi.json": openapi.text(),
        "docs/serving.md": serving_reference.with_flags((ROOT / "docs/serving.md").read_text(encoding="utf-8")),
    }


def commands_page() -> str:
    """Returns the help of every command as Markdown."""
    parts = [_MADE, "# Commands\n", _help(cli, ("earthloop",))]
    context = click.Context(cli, info_name="earthloop")
    for name in COMMANDS:
        command = cli.get_command(context, name)
        if command is not None:
            parts.extend(_command_parts(command, ("earthloop", name)))
    parts.append(
        "## Exit codes\n\n0 done · 1 an error, with its text · 2 bad usage · 3 `--require-blessed` and the model is "
        "not blessed · 130 interrupted\n"
    )
    return "\n".join(parts)


def _command_parts(command: click.Command, names: tuple[str, ...]) -> Iterator[str]:
    """Yields a heading and the help of a command and its subcommands."""
    yield f"## {' '.join(names)}\n"
    yield _help(command, names)
    if isinstance(command, click.Group):
        for name, inner in sorted(command.commands.items()):
            yield from _command_parts(inner, (*names, name))


def _help(command: click.Command, names: tuple[str, ...]) -> str:
    """Returns a command's help as it is printed, at one width whatever the terminal."""
    context = click.Context(
        command,
        info_name=" ".join(names),
        terminal_width=100,
        max_content_width=100,
        help_option_names=["-h", "--help"],
    )
    return f"```text\n{command.get_help(context).rstrip()}\n```\n"


def configuration_page() -> str:
    """Returns every setting with its type, default and meaning as Markdown."""
    parts = [
        _MADE,
        "# Configuration\n",
        "A value comes, in this order, from the default, the application's `app.py`, the file given with `--config`, "
        "and `--set section.key=value`; the later one wins. `earthloop describe APP` shows the values of an "
        "application. Each run stores its resolved configuration as `runs/<run id>/config.yaml`, which can be given "
        "with `--config` again.\n",
        "```yaml\nversion: 1\ntrain:\n  epochs: 10\n  augment: [flip, rotate]\n```\n",
        "Lists on the command line are `--set train.augment=flip,rotate`, or `[]` for none. A local `data:` path in a "
        "file is relative to the working folder.\n",
    ]
    for name, kind in configuration.sections().items():
        parts.extend(_section_parts(name, kind))
    return "\n".join(parts)


def _section_parts(name: str, kind: type[Any]) -> Iterator[str]:
    """Yields the heading and the table of one section."""
    yield f"## {name}\n"
    yield f"{(inspect.getdoc(kind) or '').strip()}\n"
    notes, types = field_notes(kind), field_types(kind)
    rows = ["| setting | default | type | meaning |", "|---|---|---|---|"]
    for field in dataclasses.fields(kind):
        words = type_words(types[field.name]).replace("|", "\\|")
        names = CHOICES.get(f"{name}.{field.name}")
        words += f": {', '.join(names)}" if names else ""
        rows.append(f"| `{name}.{field.name}` | `{text_of(field.default)}` | {words} | {notes.get(field.name, '')} |")
    yield "\n".join(rows) + "\n"


def field_notes(kind: type[Any]) -> dict[str, str]:
    """Returns the comment behind each field of a dataclass in its source."""
    source = textwrap.dedent(inspect.getsource(kind))
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    body = ast.parse(source).body[0]
    fields = [node for node in ast.walk(body) if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)]
    return {
        node.target.id: comments[node.end_lineno]
        for node in fields
        if isinstance(node.target, ast.Name) and node.end_lineno in comments
    }


def with_table(readme: str) -> str:
    """Returns the README with the columns that come from the specs renewed; the other columns stay.

    A new application gets "not measured yet" as its score.
    """
    before, _, rest = readme.partition(TABLE_BEGIN)
    old, _, after = rest.partition(TABLE_END)
    kept = {cells[0]: cells[-2:] for cells in map(_cells, old.splitlines()) if len(cells) > 2}  # noqa: PLR2004 - name and two
    rows = ["| application | predicts | classes | data and licence | held-out score |", "|---|---|---|---|---|"]
    for name in discovery.names():
        application = discovery.load(name)
        licence, score = kept.get(f"`{name}`", ("see its data card", "not measured yet"))
        link = f"[{licence_text(licence)}](applications/{name}/README.md)"
        rows.append(f"| `{name}` | {application.title} | {len(application.classes)} | {link} | {score} |")
    return f"{before}{TABLE_BEGIN}\n" + "\n".join(rows) + f"\n{TABLE_END}{after}"


def licence_text(cell: str) -> str:
    """Returns the words of a cell that may be a link."""
    return cell.partition("](")[0].removeprefix("[")


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []


def main(arguments: Sequence[str]) -> int:
    """Writes the pages, or with `--check` says which differ; returns 1 if some do."""
    is_checking = "--check" in arguments
    differing = []
    for path, text in pages().items():
        file = ROOT / path
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            differing.append(path)
            if not is_checking:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
    if is_checking and differing:
        sys.stderr.write(f"{', '.join(differing)} must be as the code says. Run `python -m pipeline.reference`.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
