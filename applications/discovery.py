"""Finds applications by their folders: whoever has an `app.py` under `applications/<system>/` exists."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import applications
from applications.errors import ConfigError, UnknownName
from applications.formats.source import Source
from applications.spec import NAME_PATTERN, Application


def names() -> tuple[str, ...]:
    """Names of all applications, sorted, such as `satellite/landcover`; reads folders, imports nothing."""
    found = set()
    for root in applications.__path__:
        for spec in Path(root).glob("*/*/app.py"):
            name = f"{spec.parent.parent.name}/{spec.parent.name}"
            if NAME_PATTERN.fullmatch(name):
                found.add(name)
    return tuple(sorted(found))


def load(name: str) -> Application:
    """Imports the spec of one application.

    Args:
        name: as `names` gives it.

    Raises:
        UnknownName: there is no such folder.
        ConfigError: its `app.py` cannot be imported, defines no `APPLICATION`, or one with another name.
    """
    if name not in names():
        raise UnknownName("application", name, names())
    place = f"applications/{name}/app.py"
    module = _module(f"applications.{name.replace('/', '.')}.app", place)
    application = getattr(module, "APPLICATION", None)
    if not isinstance(application, Application):
        raise ConfigError(
            f"{place} must define APPLICATION = Application(...), found {type(application).__name__}. "
            "Take applications/satellite/landcover/app.py as a pattern."
        )
    if application.name != name:
        raise ConfigError(
            f"{place}: APPLICATION.name must be its folder, {name!r}, got {application.name!r}. "
            "Change the name or move the folder."
        )
    return application


def source(application: Application) -> Source:
    """Makes the object that reads and synthesizes the data of an application.

    Raises:
        ConfigError: `application.source` names no class that can be imported.
    """
    place = f"applications/{application.name}/app.py"
    dotted, _, class_name = application.source.rpartition(".")
    if not dotted:
        raise ConfigError(
            f"{place}: source must be a dotted name like 'package.module.Class', got {application.source!r}."
        )
    found = getattr(_module(dotted, place), class_name, None)
    if not isinstance(found, type):
        raise ConfigError(f"{place}: source names {application.source!r}, but {dotted} has no class {class_name!r}.")
    made: Source = found(application)
    return made


def _module(dotted: str, place: str) -> ModuleType:
    try:
        return importlib.import_module(dotted)
    except (ImportError, SyntaxError) as error:
        raise ConfigError(f"{place}: cannot import {dotted} ({error}). Mend that file and try again.") from error
