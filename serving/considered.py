"""The last model that was considered for a serving folder, pushed or not: `<serving>/<model>/.considered.json`.

A run that would make the same model again can tell from it that nothing changed. A model server passes over the name.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import socket
from datetime import UTC, datetime

from serving.versions import ModelFolder

FILE_NAME = ".considered.json"

_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Considered:
    """A model whose run went to its end.

    Attributes:
        made_from: digest of all that it is made from (`serving.made_from`).
        verdict: "blessed", "not blessed" or "cannot tell".
        pushed_version: the version it is; 0 where it was not pushed.
        newest_version: in the folder when that was noted, 0 where there was none: what a next model is held against.
            None in a note that does not say.
        ended_utc: when that was decided; ISO 8601, ending in "Z".
    """

    made_from: str
    verdict: str
    pushed_version: int
    newest_version: int | None = None
    ended_utc: str = dataclasses.field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))

    def write(self, folder: ModelFolder) -> None:
        """Writes the file, whole or not at all; a folder that cannot be written to is only worth a warning."""
        writer = f"{socket.gethostname()}-{os.getpid()}"  # all pods have the same few numbers
        path, partial = folder.path / FILE_NAME, folder.path / f"{FILE_NAME}.{writer}"
        try:
            folder.path.mkdir(parents=True, exist_ok=True)
            noted = dataclasses.replace(self, newest_version=folder.newest() or 0)
            partial.write_text(json.dumps(dataclasses.asdict(noted)) + "\n", encoding="utf-8")
            partial.replace(path)
        except OSError as error:
            _logger.warning("%s cannot be written, so the next run will not see that nothing changed: %s", path, error)


def read(folder: ModelFolder) -> Considered | None:
    """Returns what was considered last; None where nothing was, or where the file is not what `write` left."""
    path = folder.path / FILE_NAME
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return Considered(**told)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError) as error:
        _logger.warning("%s is passed over: %s", path, error)
        return None


def is_same(considered: Considered | None, made_from: str, folder: ModelFolder) -> bool:
    """Returns whether that model was considered already, and the newest version is still the one of that time.

    It is another where somebody has removed the pushed one, or the one that a refused model was held against.
    """
    if considered is None or not made_from or considered.made_from != made_from:
        return False
    versions = folder.versions()
    if considered.pushed_version and considered.pushed_version not in versions:
        return False
    return considered.newest_version in {None, max(versions, default=0)}
