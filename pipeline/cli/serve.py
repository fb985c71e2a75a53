"""`earthloop serve`: pushed models behind TensorFlow Serving's interface, on this machine."""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import pathlib
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from applications.errors import EarthloopError
from pipeline import served_models
from pipeline.cli.options import debug_option, shown
from pipeline.cli.quiet import without_startup_lines
from serving.model_server import flags as server_flags
from serving.model_server.main import PROGRAM, versions

if TYPE_CHECKING:
    from serving.model_server.server import ModelServer
    from serving.model_server.server_options import ServerOptions

_ABOUT = ("--help", "--version")  # flags of the server that ask it about itself
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
    found = {} if _names_models(flags) or set(_ABOUT) & set(flags) else served_models.find(names, pathlib.Path.cwd())
    given = [f"--host={host}", f"--port={port}", f"--rest_api_port={rest_port}", "--enable_grpc_healthcheck_service"]
    with _config_file(found) as config:
        options = server_flags.parse([*given, *config, *flags])
        if options.help or options.version:
            click.echo(server_flags.usage(PROGRAM) if options.help else versions(), nl=False)
            return
        _check_ports(options)
        _run(options, found)


def _run(options: ServerOptions, folders: Mapping[str, pathlib.Path]) -> None:
    """Imports TensorFlow, which takes seconds, and serves until a signal."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is imported
    click.echo("loading TensorFlow …", err=True)
    with without_startup_lines():
        from serving.model_server import server

        importlib.import_module("tensorflow").config.list_physical_devices()  # else it looks for GPUs later, aloud
    click.echo(f"loading {', '.join(folders) or 'the models'} …", err=True)
    with _log_lines() as log:
        server.run(options, on_start=lambda running: _tell(running, folders, log))


def _check_ports(options: ServerOptions) -> None:
    """Tells a port that is taken at once, not after the models have been loaded.

    Raises:
        EarthloopError: one is taken, or the address is none of this machine's.
    """
    for what, port, option in (("gRPC", options.port, "--port"), ("REST", options.rest_api_port, "--rest-port")):
        if not port:
            continue
        family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
        try:
            socket.create_server((options.host, port), family=family).close()
        except OSError as error:
            raise EarthloopError(
                f"{what} must have an address that is free, but {options.host}:{port} cannot be listened on "
                f"({str(error.strerror).partition(' (')[0]}). Stop what uses it, or give another {option} (or --host)."
            ) from error


@contextlib.contextmanager
def _log_lines() -> Iterator[logging.Logger]:
    """Shows what the server logs: warnings, and more from when the yielded logger's level says so."""
    log, handler = logging.getLogger("serving.model_server"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    log.addHandler(handler)
    try:
        yield log
    finally:
        log.removeHandler(handler)
        log.setLevel(logging.NOTSET)


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


def _tell(running: ModelServer, folders: Mapping[str, pathlib.Path], log: logging.Logger) -> None:
    """Says where the server listens, what it serves, and how to ask; from now on its log says what changes."""
    host, safe = running.options.host, "s" if running.options.ssl_config_file else ""
    rest, grpc = f"http{safe}://{host}:{running.rest_port}", f"{'grpcs://' if safe else ''}{host}:{running.grpc_port}"
    if running.grpc_port:
        click.echo(f"gRPC  {host}:{running.grpc_port}")
    if running.rest_port:
        click.echo(f"REST  {rest}")
    names = running.manager.models()
    for name in names:
        loaded = ", ".join(str(one.version) for one in running.manager.status(name) if one.state.name == "AVAILABLE")
        click.echo(f"model {name}, version {loaded}{f'  ({shown(folders[name])})' if name in folders else ''}")
    click.echo("\nCtrl-C ends it. Next, in another terminal:")
    if names and running.rest_port:
        click.echo(f"  curl {rest}/v1/models/{names[0]}")
    if names and running.grpc_port:
        click.echo(f"  earthloop ask {names[0]} FILE… --host {grpc}")
    log.setLevel(logging.INFO)
