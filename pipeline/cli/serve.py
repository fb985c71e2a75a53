"""`earthloop serve`: pushed models behind TensorFlow Serving's interface, on this machine."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pathlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from pipeline import served_models
from pipeline.cli.options import debug_option, shown
from pipeline.cli.quiet import without_startup_lines

if TYPE_CHECKING:
    from serving.model_server.server import ModelServer

_EXAMPLES = """\b
Examples:
  earthloop serve
  earthloop serve satellite/landcover --rest-port 8501
  earthloop serve out/satellite/landcover/serving -- --request_log_dir=requests
"""


@click.command("serve", epilog=_EXAMPLES)
@click.argument("models", metavar="[MODEL_OR_FOLDER]... [-- FLAG...]", nargs=-1)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for every network.")
@click.option("--port", type=int, default=8500, show_default=True, help="TCP port for gRPC; 0 for none.")
@click.option("--rest-port", type=int, default=8501, show_default=True, help="TCP port for REST; 0 for none.")
@debug_option
def serve_command(models: tuple[str, ...], host: str, port: int, rest_port: int) -> None:
    """Serves models over gRPC and REST, as TensorFlow Serving does.

    A model is an application whose run has pushed one, its folder of versions, or a folder of models; without any,
    all that is pushed below out/. New versions are loaded as they appear. What follows -- goes to the server as it
    is: every flag of tensorflow_model_server (`earthloop-model-server --help` lists them). Ctrl-C ends it.
    """
    first = next((place for place, word in enumerate(models) if word.startswith("--")), len(models))
    names, flags = models[:first], models[first:]
    found = {} if _names_models(flags) else served_models.find(names, pathlib.Path.cwd())
    given = [f"--host={host}", f"--port={port}", f"--rest_api_port={rest_port}", "--enable_grpc_healthcheck_service"]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is imported
    click.echo("loading TensorFlow and the models …", err=True)
    with without_startup_lines():
        from serving.model_server import flags as server_flags
        from serving.model_server import server

        importlib.import_module("tensorflow")

    with _config_file(found) as config:
        options = server_flags.parse([*given, *config, *flags])
        server.run(options, on_start=lambda running: _tell(running, found))


def _names_models(flags: Sequence[str]) -> bool:
    """Whether the server's own flags say which models there are."""
    return any(flag.startswith(("--model_config_file", "--model_base_path")) for flag in flags)


@contextlib.contextmanager
def _config_file(models: Mapping[str, pathlib.Path]) -> Iterator[list[str]]:
    """Yields the flags that name the models; their file is there as long as the server may read it."""
    if not models:
        yield []
        return
    with tempfile.TemporaryDirectory(prefix="earthloop-serve-") as folder:
        path = pathlib.Path(folder) / "models.config"
        path.write_text(config_text(models), encoding="utf-8")
        yield [f"--model_config_file={path}"]


def config_text(models: Mapping[str, pathlib.Path]) -> str:
    """Returns the models as a text-format ModelServerConfig."""
    # JSON's way to write a string, without its \u escapes, is also the text format's.
    listed = [
        f"  config {{ name: {_quoted(name)} base_path: {_quoted(str(path))} model_platform: 'tensorflow' }}\n"
        for name, path in models.items()
    ]
    return f"model_config_list {{\n{''.join(listed)}}}\n"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _tell(running: ModelServer, folders: Mapping[str, pathlib.Path]) -> None:
    """Says where the server listens, what it serves, and how to ask."""
    host = running.options.host
    if running.grpc_port:
        click.echo(f"gRPC  {host}:{running.grpc_port}")
    if running.rest_port:
        click.echo(f"REST  http://{host}:{running.rest_port}")
    names = running.manager.models()
    for name in names:
        versions = ", ".join(str(one.version) for one in running.manager.status(name) if one.state.name == "AVAILABLE")
        click.echo(f"model {name}, version {versions}{f'  ({shown(folders[name])})' if name in folders else ''}")
    if names and running.rest_port:
        click.echo(f"\nNext: curl http://{host}:{running.rest_port}/v1/models/{names[0]}")
    if names and running.grpc_port:
        click.echo(f"      earthloop ask {names[0]} FILE… --host {host}:{running.grpc_port}")
