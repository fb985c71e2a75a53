"""Which versions of a model its folder and its version policy ask for."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from serving.model_server.errors import Code, ServingError

_LOG = logging.getLogger(__name__)
_NUMBER = re.compile(r"[0-9]{1,19}")
_MAX_VERSION = 2**63 - 1
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def local_path(model: str, base_path: str) -> Path:
    """Returns the folder that a base path of a configuration means.

    Raises:
        ServingError: it is relative, on a file system that this server does not read, or no path at all.
    """
    if base_path.startswith("file://"):
        base_path = base_path.removeprefix("file://")
    if match := _SCHEME.match(base_path):
        raise ServingError(
            Code.INVALID_ARGUMENT,
            f"the embedded server reads models from local folders, but base_path of model {model} is on "
            f"{match.group()}. Mount or copy the folder, or serve it with tensorflow/serving.",
        )
    if "\0" in base_path:
        raise ServingError(
            Code.INVALID_ARGUMENT, f"base_path of model {model} must hold no NUL character, got {base_path!r}"
        )
    if not base_path.startswith("/"):
        raise ServingError(
            Code.INVALID_ARGUMENT,
            f"Expected model {model} to have an absolute path or URI; got base_path()={base_path}",
        )
    return Path(base_path)


def versions_found(base_path: Path) -> dict[int, Path]:
    """Lists the version folders below a base path.

    Args:
        base_path: the model's folder.

    Returns:
        Version to folder; other names than digits, and files, do not count. Of "1" and "01" the first is taken.

    Raises:
        ServingError: INVALID_ARGUMENT, when the folder is missing or may not be read.
    """
    try:
        names = sorted(entry.name for entry in os.scandir(base_path) if entry.is_dir())
    except OSError as error:
        raise ServingError(
            Code.INVALID_ARGUMENT, f"Could not find base path {base_path} ({error.strerror or error})"
        ) from error
    found: dict[int, Path] = {}
    for name in names:
        if not _NUMBER.fullmatch(name) or int(name) > _MAX_VERSION:
            continue
        if int(name) in found:
            _LOG.warning("version %d of %s is there twice; %s is taken", int(name), base_path, name)
        found[int(name)] = base_path / name
    return found


def wanted(versions: Collection[int], policy: Any) -> set[int]:
    """Chooses by the version policy.

    Args:
        versions: what the folder holds.
        policy: `ServableVersionPolicy`: `latest` (one version unless it says how many), `all`, or `specific`; not
            set means the latest one.

    Returns:
        Those of `versions` to serve.
    """
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return set(versions)
    if kind == "specific":
        return set(policy.specific.versions) & set(versions)
    return set(sorted(versions)[-max(policy.latest.num_versions, 1) :])


class Folders:
    """Looks into the folders of models; what is wrong with one is logged once, not at every look."""

    def __init__(self) -> None:
        self._told: dict[str, str] = {}

    def look(self, config: Any) -> Mapping[int, Path] | None:
        """Reads a model's folder and chooses the versions to serve.

        Args:
            config: `ModelConfig`, with a base path that `local_path` accepts.

        Returns:
            Version to folder, empty where there is none; None when the folder is missing or cannot be read, and what
            is served should stay.
        """
        base_path = local_path(config.name, config.base_path)
        try:
            found = versions_found(base_path)
        except ServingError as error:
            self._tell(config.name, f"{error} for servable {config.name}")
            return None
        chosen = wanted(found, config.model_version_policy)
        self._tell(config.name, _shortcoming(config, chosen, base_path))
        return {version: found[version] for version in sorted(chosen)}

    def _tell(self, model: str, words: str) -> None:
        if words and self._told.get(model) != words:
            _LOG.warning("%s", words)
        self._told[model] = words


def _shortcoming(config: Any, chosen: Collection[int], base_path: Path) -> str:
    missing = sorted(set(config.model_version_policy.specific.versions) - set(chosen))
    if missing:
        versions = ", ".join(map(str, missing))
        return f"versions {versions} of servable {config.name} are to be served but are not in {base_path}"
    if not chosen:
        return (
            f"No versions of servable {config.name} found under base path {base_path}. Each version is a folder whose "
            f"name is a number, such as {base_path}/1"
        )
    return ""
