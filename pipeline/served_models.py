"""Which models `earthloop serve` means: those that runs have pushed, a serving folder's, or one model's folder."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterable, Sequence

from applications import discovery
from applications.errors import UsageError, near_name
from pipeline import output_folder
from pipeline.run_record import model_name

_VERSION = re.compile(r"[0-9]+")
_FIRST = "satellite/landcover"


def find(names: Sequence[str], here: pathlib.Path) -> dict[str, pathlib.Path]:
    """Finds models.

    Args:
        names: applications or their models' names, folders of a model (with version folders), serving folders (with
            models), or output folders; none means all that is pushed below `out/`.
        here: the working folder.

    Returns:
        The absolute folder of each model, by its name.

    Raises:
        UsageError: one of the names leads to no model, nothing is pushed, or two models have one name.
    """
    if not names:
        found = list(_in_serving_folders(sorted((here / "out").glob("*/*/serving"))))
        if not found:
            raise UsageError(
                f"there must be a pushed model below {here / 'out'}, but there is none. {_run_first(_FIRST)}"
            )
    else:
        found = [folder for name in names for folder in _of_name(name, here)]
    models: dict[str, pathlib.Path] = {}
    for folder in found:
        other = models.setdefault(folder.name, folder)
        if other != folder:
            raise UsageError(
                f"each model must have a name of its own, but {other} and {folder} are both {folder.name!r}. "
                "Serve one of them, or rename a folder."
            )
    return models


def versions(folder: pathlib.Path) -> list[int]:
    """Returns the versions in a model's folder, newest first."""
    return sorted((int(path.name) for path in folder.iterdir() if _is_version(path)), reverse=True)


def _of_name(name: str, here: pathlib.Path) -> list[pathlib.Path]:
    path = (here / name).absolute()
    application = next((known for known in discovery.names() if name in (known, model_name(known))), "")
    if path.is_dir():
        found = [path] if _is_model(path) else list(_in_serving_folders([path, path / "serving"]))
        what = "neither versions nor models"
    elif application:
        path = (here / output_folder.default_path(application)).absolute() / "serving"
        found, what = list(_in_serving_folders([path])), "no pushed model"
    else:
        raise UsageError(
            f"a model must be given as a folder or an application, but {name!r} is neither; the applications are "
            f"{', '.join(discovery.names())}.{near_name(name, discovery.names())}"
        )
    if not found:
        raise UsageError(f"{name!r} must lead to a model, but {path} has {what} in it. {_run_first(application)}")
    return found


def _run_first(application: str) -> str:
    return f"Push one with `earthloop run {application or _FIRST}`, or name a folder with versions in it."


def _in_serving_folders(folders: Iterable[pathlib.Path]) -> Iterable[pathlib.Path]:
    for folder in folders:
        if folder.is_dir():
            yield from sorted(path.absolute() for path in folder.iterdir() if _is_model(path))


def _is_model(path: pathlib.Path) -> bool:
    return path.is_dir() and any(map(_is_version, path.iterdir()))


def _is_version(path: pathlib.Path) -> bool:
    return bool(_VERSION.fullmatch(path.name)) and path.is_dir()
