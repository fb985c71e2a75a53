"""Whether a container can import the class of an artifact. Found by reading, never by importing."""

from __future__ import annotations

import ast
import functools
import importlib.util
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import yaml

from applications.errors import near_name

_TITLE = re.compile(r"[a-z][a-z0-9-_]{2,20}\.[A-Z][a-zA-Z0-9-_]{2,49}")
_NOT_PYTHON = ("system", "google")  # namespaces of KFP's own types, which no TFX executor imports
_TFX_TYPES = "orchestration/kubeflow/v2/artifact_types"  # in the package tfx: a file per type


def problem(artifact_type: Mapping[str, Any]) -> tuple[str, str] | None:
    """Returns what is wrong with a type, and the remedy; None where nothing is.

    Args:
        artifact_type: ArtifactTypeSchema in its JSON form.
    """
    title = _title(artifact_type)
    if not title:
        return "its type has no title.", "Give it schemaTitle or instanceSchema."
    namespace, _, name = title.rpartition(".")
    if namespace in _NOT_PYTHON:
        return None
    if not _TITLE.fullmatch(title):
        return (
            f"its type is {title!r}, which does not look like `namespace.Title`: the namespace of 3 to 21 lower-case "
            "letters, the title of 3 to 50 with a capital.",
            "Set TYPE_NAME of the artifact's class so.",
        )
    known = _tfx_names() if namespace == "tfx" else _names(namespace)
    if known is None:
        return (
            f"its type is {title!r}, but there is no package {namespace!r} here, so the container cannot import it.",
            "Install that package, or set TYPE_NAME to where the class can be imported.",
        )
    if name not in known:
        return (
            f"its type is {title!r}, but {namespace} has no {name}.{near_name(name, sorted(known))}",
            f"Import the class in {namespace}/__init__.py: the container imports it by that very name.",
        )
    return None


def _title(artifact_type: Mapping[str, Any]) -> str:
    if "schemaTitle" in artifact_type:
        return str(artifact_type["schemaTitle"])
    return _schema_title(str(artifact_type.get("instanceSchema") or ""))


@functools.cache
def _schema_title(schema: str) -> str:
    try:
        found = yaml.safe_load(schema)
    except yaml.YAMLError:
        return ""
    return str(found.get("title", "")) if isinstance(found, dict) else ""


@functools.cache
def _tfx_names() -> frozenset[str] | None:
    """Names the types that TFX ships for Kubeflow; None where TFX is not installed."""
    file = _package_file("tfx")
    folder = file.parent / _TFX_TYPES if file else None
    return frozenset(path.stem for path in folder.glob("*.yaml")) if folder and folder.is_dir() else None


@functools.cache
def _names(package: str) -> frozenset[str] | None:
    """Names what a module binds at its top; None where there is no such module."""
    file = _package_file(package)
    if file is None:
        return None
    found: set[str] = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found.update(target.id for target in node.targets if isinstance(target, ast.Name))
    return frozenset(found)


def _package_file(package: str) -> pathlib.Path | None:
    """Finds a top-level module's source without importing it."""
    try:
        found = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    return pathlib.Path(found.origin) if found and found.origin and found.origin.endswith(".py") else None
