"""One stage in one process, forked from a server that has already imported TFX.

The import is paid once, stages use both cores without sharing an interpreter lock, and the operating system's
own account of each process gives its time and memory. Nothing may run a TensorFlow op or open a gRPC channel
in the server before it forks.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import json
import logging
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from applications.errors import EarthloopError
from applications.progress import LOGGER_NAME
from pipeline.output_folder import disk_trouble

_LONGEST_TEXT = 600  # characters of a foreign error; the log has all of it
_PR_SET_PDEATHSIG = 1

Work = Callable[[], Mapping[str, Any]]


@dataclasses.dataclass(kw_only=True)
class StageProcess:
    """A running stage as its parent sees it.

    Attributes:
        name: the stage.
        pid: its process, which leads a process group of its own.
        pipe: read end of a pipe on which the child writes one JSON object a line.
        started_s: `time.monotonic()` when it was forked.
        outcome: the child's last word, kind "result" or "error"; empty until it is heard.
        has_closed: whether the child has closed its end of the pipe, which it does by ending.
    """

    name: str
    pid: int
    pipe: int
    started_s: float
    outcome: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    has_closed: bool = False
    _pending: bytes = b""
    _exit: tuple[int, Usage] | None = None

    def has_ended(self) -> bool:
        """Returns whether the process is gone; processes it left behind are ended then, as they may hold its pipe."""
        if self._exit is None:
            pid, status, account = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self._exit = status, Usage.of(account)
                self.stop(signal.SIGKILL)
        return self._exit is not None

    def wait(self) -> tuple[int, Usage]:
        """Waits until the process is gone; returns its status as `os.wait` gives it, and what it took."""
        if self._exit is None:
            _, status, account = os.wait4(self.pid, 0)
            self._exit = status, Usage.of(account)
        return self._exit

    def read(self) -> list[dict[str, Any]]:
        """Reads what the child has written since the last call, without waiting."""
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self.pipe, 1 << 16):
                self._pending += chunk
            self.has_closed = True
        *lines, self._pending = self._pending.split(b"\n")
        return [json.loads(line) for line in lines if line]

    def stop(self, signal_number: int = signal.SIGTERM) -> None:
        """Sends a signal to the stage and whatever it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal_number)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Usage:
    """What a finished stage took: seconds of processor time and MiB of resident memory at its peak."""

    cpu_s: float
    peak_memory_mib: float

    @classmethod
    def of(cls, account: resource.struct_rusage) -> Usage:
        """Reads the operating system's account of one process; its finished children are in it."""
        per_mib = 1 << 20 if sys.platform == "darwin" else 1 << 10
        return cls(cpu_s=account.ru_utime + account.ru_stime, peak_memory_mib=account.ru_maxrss / per_mib)


def fork_stage(name: str, work: Work, log: Path) -> StageProcess:
    """Runs `work` in a forked process.

    Args:
        name: the stage.
        work: returns a JSON-able mapping, sent to the parent as `{"kind": "result", ...}`.
        log: file that takes all the child prints and logs; it is overwritten.

    Returns:
        The handle of the running process.
    """
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        _run_and_exit(work, write_end, log)
    os.close(write_end)
    return StageProcess(name=name, pid=pid, pipe=read_end, started_s=time.monotonic())


def die_with_parent(signal_number: int) -> None:
    """Asks Linux to send this process a signal when its parent ends; elsewhere does nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal_number)


def _run_and_exit(work: Work, write_end: int, log: Path) -> None:
    """Does the child's whole life; never returns."""
    code = 1
    try:
        os.setsid()
        die_with_parent(signal.SIGKILL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _redirect_output(log)
        logging.getLogger(LOGGER_NAME).addHandler(_PipeHandler(write_end))
        logging.getLogger(LOGGER_NAME).setLevel(logging.INFO)
        try:
            _send(write_end, {"kind": "result", **work()})
            code = 0
        except BaseException as error:  # the child's last frame: whatever it is must reach the parent
            traceback.print_exc()
            _send(write_end, {"kind": "error", "text": error_text(error), "expected": is_expected(error)})
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _redirect_output(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)


class _PipeHandler(logging.Handler):
    """Sends each progress record to the parent."""

    def __init__(self, write_end: int) -> None:
        super().__init__()
        self._write_end = write_end

    def emit(self, record: logging.LogRecord) -> None:
        """Sends one record; the handler's lock keeps lines of several threads whole."""
        progress = getattr(record, "progress", None)
        if progress is not None:
            _send(self._write_end, progress)


def _send(write_end: int, message: Mapping[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):  # the parent is gone, and with it whoever would read this
        os.write(write_end, json.dumps(message, default=str).encode() + b"\n")


def is_expected(error: BaseException) -> bool:
    """Whether an error, or one that led to it, is one of ours, whose text is meant for people."""
    return _ours(error) is not None


def error_text(error: BaseException) -> str:
    """Returns the text for people: ours if one of our errors is behind it, else type and message, cut where long."""
    ours = _ours(error)
    if ours is not None:
        return str(ours)
    text = f"{type(error).__name__}: {error}".strip()
    text = text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
    trouble = disk_trouble(error)
    return f"{trouble} ({text})" if trouble else text


def _ours(error: BaseException | None) -> EarthloopError | None:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, EarthloopError):
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None
