"""The folder a model server reads: `<serving>/<model>/<version>/`, as TensorFlow Serving lays it out.

A version appears by one rename, complete, and disappears by one rename; a reader never sees part of it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import os
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from applications.errors import OutputError
from serving import model_json
from serving.manifest import ManifestError

INCOMING, OUTGOING = ".incoming-", ".outgoing-"  # a server ignores names that are not numbers
_TRIES = 5  # numbers tried when another process publishes at the same moment
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_LEFTOVER = re.compile(r"\.(?:incoming|outgoing)-[0-9]+-(?:(?P<host>.+)-)?(?P<pid>[0-9]+)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """All versions of one model in a local serving folder.

    Attributes:
        destination: the serving folder; need not exist yet.
        model: the name a server knows the model by, such as `satellite-landcover`.
    """

    destination: Path
    model: str

    @property
    def path(self) -> Path:
        """`<destination>/<model>`."""
        return self.destination / self.model

    def version_path(self, version: int) -> Path:
        """`<destination>/<model>/<version>`."""
        return self.path / str(version)

    def versions(self) -> list[int]:
        """Lists the versions, oldest first; only folders whose name is a number count, as for a server."""
        try:
            entries = list(os.scandir(self.path))
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(int(entry.name) for entry in entries if _NUMBER.fullmatch(entry.name) and entry.is_dir())

    def newest(self) -> int | None:
        """Returns the highest version, or None when there is none."""
        return max(self.versions(), default=None)

    def next_version(self, now: datetime | None = None) -> int:
        """Returns the number for a new version.

        Args:
            now: aware time; the present by default.

        Returns:
            `now` in whole UTC seconds since 1970, or one more than the newest version where a clock has gone back.
        """
        seconds = int((now or datetime.now(UTC)).timestamp())
        return max(seconds, (self.newest() or 0) + 1)

    def publish(self, write: Callable[[Path, int], None]) -> int:
        """Adds a version that a reader sees complete or not at all, also after a power cut.

        Args:
            write: fills a new, empty folder with the files of the version; called with the folder and the number.
                Called again with the next number if another process publishes the same one first.

        Returns:
            The number of the new version.

        Raises:
            OutputError: the destination cannot be written to or is full. Nothing half-written is left.
        """
        with _clear_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            for _ in range(_TRIES):
                version = self.next_version()
                if self._publish_as(version, write):
                    return version
        raise OutputError(
            f"five versions of {self.model} in a row were published by others while this one was written to "
            f"{self.path}. Let one run push to a serving folder at a time, then run again."
        )

    def remove_older(self, keep: int) -> list[int]:
        """Removes the oldest versions; each is renamed away first, so no reader lists a version that lacks files.

        Args:
            keep: how many of the newest versions stay; 0 keeps all.

        Returns:
            The removed versions, oldest first.
        """
        doomed = self.versions()[:-keep] if keep > 0 else []
        with _clear_errors(self.path):
            for version in doomed:
                hidden = self.path / f"{OUTGOING}{version}-{_writer()}"
                with contextlib.suppress(FileNotFoundError):  # another machine removes it, too
                    self.version_path(version).rename(hidden)
                    shutil.rmtree(hidden)
        return doomed

    def leftovers(self) -> list[Path]:
        """Lists half-written and half-removed folders of processes that no longer run on this machine.

        Those of other machines are left out: whether their processes run cannot be seen from here.
        """
        found = self.path.glob(".*") if self.path.is_dir() else iter(())
        return sorted(path for path in found if (match := _LEFTOVER.fullmatch(path.name)) and _is_left(match))

    def _publish_as(self, version: int, write: Callable[[Path, int], None]) -> bool:
        """Writes and renames; False when another process took the number in the meantime."""
        incoming = self.path / f"{INCOMING}{version}-{_writer()}"
        shutil.rmtree(incoming, ignore_errors=True)
        try:
            incoming.mkdir()
            write(incoming, version)
            _flush_tree(incoming)
            incoming.rename(self.version_path(version))
        except OSError as error:
            shutil.rmtree(incoming, ignore_errors=True)
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST) and self.version_path(version).exists():
                return False
            raise
        except BaseException:
            shutil.rmtree(incoming, ignore_errors=True)
            raise
        _flush(self.path)
        return True


def state(destination: str, model: str, made_from: str = "") -> str:
    """Digests what is pushed, so that a lookup of the newest version is repeated only when that changes.

    Args:
        destination: the serving folder; need not exist.
        model: the model's name.
        made_from: versions that were made from exactly this do not count (see `components.baseline`).

    Returns:
        16 hexadecimal digits over the versions, their `model.json` and the sizes of their files; a few milliseconds.
    """
    folder = ModelFolder(destination=Path(destination), model=model)
    digest = hashlib.sha256()
    for version in folder.versions():
        if made_from and _made_from(folder.version_path(version)) == made_from:
            continue
        digest.update(f"{version}\n".encode())
        for path in sorted(folder.version_path(version).rglob("*")):
            with contextlib.suppress(FileNotFoundError):  # another run may remove it
                digest.update(f"{path.name} {path.stat().st_size}\n".encode())
                digest.update(path.read_bytes() if path.name == model_json.FILE_NAME else b"")
    return digest.hexdigest()[:16]


def _writer() -> str:
    """Names this process among all machines that share a folder: pods all have the same few numbers."""
    return f"{_host()}-{os.getpid()}"


def _host() -> str:
    return re.sub(r"[^\w.-]", "_", socket.gethostname())


def _is_left(match: re.Match[str]) -> bool:
    """Returns whether a folder is of this machine, and of a process that has ended."""
    return match["host"] in (None, _host()) and not is_running(int(match["pid"]))


def _made_from(version_path: Path) -> str:
    try:
        return model_json.read(version_path).made_from
    except ManifestError:
        return ""


def _flush_tree(folder: Path) -> None:
    """Waits until every file and folder is on the disk: a rename must not survive a power cut that its files do not."""
    for root, _, files in os.walk(folder):
        for name in files:
            _flush(Path(root) / name)
        _flush(Path(root))


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_running(pid: int) -> bool:
    """Returns whether a process of this machine runs; one that may not be looked at does."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


@contextlib.contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    """Says in a sentence why a destination cannot be used."""
    try:
        yield
    except OSError as error:
        reasons = {
            errno.EACCES: "it may not be written to. Change its permissions",
            errno.EPERM: "it may not be written to. Change its permissions",
            errno.EROFS: "its file system is read-only",
            errno.ENOSPC: "its disk is full. Free some space, or set push.keep_versions to remove older versions",
            errno.EDQUOT: "its disk quota is used up. Free some space",
            errno.ENOTDIR: "part of the path is a file, not a folder",
            errno.EEXIST: "it is a file, not a folder",
        }
        reason = reasons.get(error.errno or 0)
        if reason is None:
            raise
        raise OutputError(
            f"a model must be pushed to a folder that can be written to, but {path} cannot be used: {reason}, "
            "or set push.destination to another folder."
        ) from error
