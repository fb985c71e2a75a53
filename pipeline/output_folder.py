"""The folder a run writes to: its parts, whether it can be used, and the lock that keeps a second run out."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import errno
import fcntl
import json
import os
import pathlib
import shutil
import socket
import tempfile
from collections.abc import Iterator
from typing import IO, Any

from applications.errors import OutputError

_FULL = ("No space left on device", "disk is full", "Disk quota exceeded")
_NOT_WRITABLE = ("PermissionError", "PermissionDeniedError", "Read-only file system", "readonly database")
WILDCARDS = "*?[\\"
MIN_FREE_MIB = 500  # a small run with its intermediate examples and model stays below this


@dataclasses.dataclass(frozen=True)
class OutputFolder:
    """The parts of one output folder; nothing is created by naming them."""

    path: pathlib.Path

    @property
    def lock(self) -> pathlib.Path:
        """Held while a run or a repair works here."""
        return self.path / ".lock"

    @property
    def metadata(self) -> pathlib.Path:
        """ML Metadata's SQLite file."""
        return self.path / "metadata.sqlite"

    @property
    def artifacts(self) -> pathlib.Path:
        """What the stages write: `<stage>/<output>/<id>/`."""
        return self.path / "artifacts"

    @property
    def serving(self) -> pathlib.Path:
        """Pushed models: `<model>/<version>/`."""
        return self.path / "serving"

    @property
    def report(self) -> pathlib.Path:
        """The page of the latest run."""
        return self.path / "report.html"

    @property
    def synthetic_data(self) -> pathlib.Path:
        """The sample made when a run is given no data."""
        return self.path / "data"

    @property
    def runs(self) -> pathlib.Path:
        """One folder per run."""
        return self.path / "runs"

    def run(self, run_id: str) -> pathlib.Path:
        """The folder of one run: its configuration, record, events and logs."""
        return self.runs / run_id

    def destination(self, configured: str = "") -> pathlib.Path:
        """The serving folder: `push.destination` where it is configured, else the one in here."""
        return pathlib.Path(configured) if configured else self.serving


def default_path(application: str) -> pathlib.Path:
    """Returns where a run writes when it is not told: `out/<system>/<application>`, below the working folder."""
    return pathlib.Path("out") / application


def new_run_id(folder: OutputFolder, now: datetime.datetime | None = None) -> str:
    """Returns an unused id such as `20261121T034500Z`; `-2` and so on is added when the second is taken."""
    stamp = (now or datetime.datetime.now(datetime.UTC)).astimezone(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    taken = {entry.name for entry in folder.runs.iterdir()} if folder.runs.is_dir() else set()
    number, run_id = 1, stamp
    while run_id in taken:
        number += 1
        run_id = f"{stamp}-{number}"
    return run_id


def prepare(path: pathlib.Path, *, min_free_mib: int = MIN_FREE_MIB) -> OutputFolder:
    """Creates the folder where needed and checks that a run can write there.

    Args:
        path: the output folder.
        min_free_mib: MiB that must be free.

    Raises:
        OutputError: its path has a wildcard, it is a file, cannot be written to, or its disk is nearly full.
    """
    if set(WILDCARDS) & set(str(path)):
        raise OutputError(
            f"the path of the output folder must have none of {' '.join(WILDCARDS)}, which TensorFlow reads as "
            f"wildcards, got {path}. Give another with --out DIR."
        )
    if path.exists() and not path.is_dir():
        raise OutputError(f"the output must be a folder, but {path} is a file. Give another with --out DIR.")
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path) as probe:
            probe.write(b"earthloop")
    except OSError as error:
        raise explain_os_error(error, path) from error
    free = free_mib(path)
    if free < min_free_mib:
        raise OutputError(
            f"a run needs at least {min_free_mib} MiB free, but the disk of {path} has {free} MiB. "
            "Free some space (`earthloop doctor` finds left-overs) or give another folder with --out DIR."
        )
    return OutputFolder(path)


def free_mib(path: pathlib.Path) -> int:
    """Returns the free space on the disk of `path` in MiB, as an ordinary user may use it."""
    return shutil.disk_usage(path).free // 2**20


def explain_os_error(error: OSError, path: pathlib.Path) -> OutputError:
    """Turns a failed write into a sentence with the next step."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(
            f"no space left on the disk of {path}. Free some space and give the same command again; finished stages "
            "are kept."
        )
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return OutputError(
            f"the output folder must be writable, but {path} is not ({os.strerror(error.errno)}). "
            "Give another with --out DIR, or change its permissions."
        )
    return OutputError(f"cannot write to {path}: {os.strerror(error.errno or 0)}. Give another folder with --out DIR.")


def disk_trouble(error: BaseException) -> str:
    """Returns what to do about an error of the disk, whichever library raised it; "" where it is none."""
    text = f"{type(error).__name__}: {error}"
    if any(words in text for words in _FULL):
        return "no space is left on the disk; free some and give the same command again"
    if any(words in text for words in _NOT_WRITABLE):
        return "a file or folder cannot be written; change its permissions or give another folder with --out DIR"
    return ""


class Lock:
    """A held lock; `fileno` may be inherited by the process that does the work, which then holds it too."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def fileno(self) -> int:
        """The open file's descriptor, for `pass_fds`."""
        return self._file.fileno()

    def note(self, run_id: str) -> None:
        """Says in the lock file which run holds it."""
        _write_holder(self._file, run_id)


@contextlib.contextmanager
def hold(folder: OutputFolder, *, run_id: str = "") -> Iterator[Lock]:
    """Holds the folder's lock for the time of the block.

    The lock belongs to the processes that have its file open and goes with them, even after SIGKILL.

    Raises:
        OutputError: another process holds it; the text names it. Or the file system knows no locks.
    """
    try:
        file = folder.lock.open("a+", encoding="utf-8")
    except OSError as error:
        raise explain_os_error(error, folder.path) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(_held_text(folder)) from error
        except OSError as error:
            raise OutputError(
                f"{folder.path} must be on a file system with locks ({error.strerror}). Give a local folder with --out."
            ) from error
        _write_holder(file, run_id)
        try:
            yield Lock(file)
        finally:
            file.seek(0)
            file.truncate()


def is_held(folder: OutputFolder) -> bool:
    """Returns whether some process holds the folder's lock now."""
    try:
        file = folder.lock.open("r+", encoding="utf-8")
    except OSError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        return False


def holder(folder: OutputFolder) -> dict[str, Any]:
    """Returns what the lock file says: `pid`, `host`, `started_utc`, `run_id`; {} when it says nothing."""
    try:
        found = json.loads(folder.lock.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_holder(file: IO[str], run_id: str) -> None:
    """Writes who holds the lock, for the other's message."""
    file.seek(0)
    file.truncate()
    started = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "started_utc": started, "run_id": run_id}))
    file.flush()


def _held_text(folder: OutputFolder) -> str:
    """Returns the sentence for the one who comes second."""
    other = holder(folder)
    who = "another run"
    if other:
        who = f"process {other.get('pid')} on {other.get('host')}, started {other.get('started_utc')}"
    return (
        f"one run at a time may use an output folder, and {folder.path} is in use by {who}. "
        "Wait for it to end, stop it with Ctrl-C, or give another folder with --out DIR."
    )
