"""The synthetic sample that stands in for data in a run without `--data`: made once, whole or not at all."""

from __future__ import annotations

import json
import pathlib
import shutil
from typing import Any

from applications import discovery
from applications.errors import DataError
from applications.spec import Application
from pipeline import source_hash
from pipeline.output_folder import explain_os_error

MARK = ".synthetic.json"  # hidden, so that no reader takes it for data
SEED = 1


def ensure(application: Application, path: pathlib.Path, *, items: int, seed: int = SEED) -> bool:
    """Makes the sample at `path` unless the same one is there.

    Args:
        application: what to make a sample of.
        path: the sample's folder.
        items: how many.
        seed: the same seed gives the same files.

    Returns:
        whether it was made now.

    Raises:
        DataError: `path` holds something else.
    """
    mark = _mark(application, items, seed)
    if path.exists() and any(path.iterdir()):
        if _read_mark(path) is None:
            raise DataError(
                f"the folder of a synthetic sample must be new or hold an earlier one, but {path} holds other files. "
                f"To use them give --data {path}; else move them away."
            )
        if _read_mark(path) == mark:
            return False
    write(application, path, mark)
    return True


def write(application: Application, path: pathlib.Path, mark: dict[str, Any]) -> None:
    """Writes the sample beside its place and moves it there when it is whole."""
    incoming = path.with_name(f".{path.name}-incoming")
    try:
        shutil.rmtree(incoming, ignore_errors=True)
        incoming.mkdir(parents=True)
        discovery.source(application).synthesize(str(incoming), items=mark["items"], seed=mark["seed"])
        (incoming / MARK).write_text(json.dumps(mark) + "\n", encoding="utf-8")
        if path.exists():
            shutil.rmtree(path)
        incoming.rename(path)
    except OSError as error:
        shutil.rmtree(incoming, ignore_errors=True)
        raise explain_os_error(error, path.parent) from error


def _mark(application: Application, items: int, seed: int) -> dict[str, Any]:
    """Returns all that the sample depends on, the synthesizer's code included."""
    module = application.source.rpartition(".")[0]
    code = source_hash.digest_of(module, f"applications.{application.name.replace('/', '.')}.app")
    return {"application": application.name, "items": items, "seed": seed, "code": code}


def _read_mark(path: pathlib.Path) -> dict[str, Any] | None:
    """Returns what an earlier sample says of itself, or None."""
    try:
        found = json.loads((path / MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
