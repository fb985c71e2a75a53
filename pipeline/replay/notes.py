"""How far a task is, as its container tells in its log: lines of `applications.progress`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from applications.progress import LOGGER_NAME

_LINE = re.compile(rf"(?:^|:){re.escape(LOGGER_NAME)}:(\{{.*\}})$")


class LogNotes:
    """Reads on in a growing log."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._place = 0  # bytes that are read

    def new(self) -> Iterator[dict[str, Any]]:
        """Yields what was told since the last call; a line that is still being written comes with the next one."""
        try:
            with self._log.open("rb") as log:
                log.seek(self._place)
                text = log.read()
        except OSError:
            return
        whole = text[: text.rfind(b"\n") + 1]
        self._place += len(whole)
        for line in whole.decode("utf-8", "replace").splitlines():
            if told := _told(line):
                yield told


def _told(line: str) -> dict[str, Any]:
    """Returns what one line tells, {} where it is about something else."""
    match = _LINE.search(line)
    try:
        told = json.loads(match[1]) if match else {}
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
