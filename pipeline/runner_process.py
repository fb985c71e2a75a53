"""The local runner as its parent sees it: started, listened to, stopped, and missed when it dies."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any, TypeAlias

Event: TypeAlias = dict[str, Any]
COMMAND = (sys.executable, "-m", "pipeline.local_runner")
GRACE_S = 10.0  # seconds between asking the runner to stop and making it


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended: `complete`, `failed` or `interrupted`, and why."""

    state: str
    error: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunnerProcess:
    """How to start the runner.

    Attributes:
        log: file that takes what the runner writes besides events.
        environment: variables of the runner's process.
        keep_open: file descriptors it inherits, such as the lock's.
        command: program and arguments, to which the request's path is added.
    """

    log: pathlib.Path
    environment: Mapping[str, str]
    keep_open: Sequence[int] = ()
    command: Sequence[str] = COMMAND

    def run(self, request: pathlib.Path, on_event: Callable[[Event], None]) -> Outcome:
        """Runs one request to its end.

        Ctrl-C, SIGTERM or SIGHUP here asks the runner to stop and waits for it, at most `GRACE_S` seconds; a second
        Ctrl-C does not wait.

        Args:
            request: JSON file for `pipeline.local_runner`.
            on_event: called with each event in order.

        Returns:
            what the runner's `end` event said, or what can be told when it died without one.
        """
        with self.log.open("a", encoding="utf-8") as log, signals_as_interrupt():
            process = subprocess.Popen(
                [*self.command, str(request)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=dict(self.environment),
                pass_fds=tuple(self.keep_open),
                start_new_session=True,
            )
            try:
                return self._listen(process, log, on_event)
            except KeyboardInterrupt:
                return self._stop(process, log, on_event)
            finally:
                _kill(process)

    def _listen(self, process: subprocess.Popen[str], log: IO[str], on_event: Callable[[Event], None]) -> Outcome:
        """Passes events on until the runner is gone."""
        end: Event = {}
        for event in _events(process, log):
            if event["event"] == "end":
                end = event
                break
            on_event(event)
        if end:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=GRACE_S)
            return Outcome(state=end["state"], error=end.get("error") or "")
        return Outcome(state="failed", error=self._death(process.wait()))

    def _stop(self, process: subprocess.Popen[str], log: IO[str], on_event: Callable[[Event], None]) -> Outcome:
        """Asks the runner to stop, and makes it when it takes too long or Ctrl-C is pressed again."""
        process.terminate()
        timer = threading.Timer(GRACE_S, _kill, [process])
        timer.daemon = True
        timer.start()
        with contextlib.suppress(KeyboardInterrupt):
            self._listen(process, log, on_event)
        timer.cancel()
        return Outcome(state="interrupted")

    def _death(self, status: int) -> str:
        """Returns what can be told of a runner that ended without saying so."""
        if status < 0:
            name = signal.Signals(-status).name
            why = ", perhaps because memory ran out" if -status == signal.SIGKILL else ""
            what = f"the local runner was ended by {name}{why}"
        else:
            what = f"the local runner ended with status {status} before the run was over"
        return f"{what}; its log is {self.log}"


def _events(process: subprocess.Popen[str], log: IO[str]) -> Iterator[Event]:
    """Yields the runner's events; whatever else a library prints goes to the log."""
    if process.stdout is None:
        return
    for line in process.stdout:
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if isinstance(event, dict) and "event" in event:
            yield event
        else:
            log.write(line)
            log.flush()


def _kill(process: subprocess.Popen[str]) -> None:
    """Ends the runner if it still runs."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def signals_as_interrupt() -> Iterator[None]:
    """Makes SIGTERM and SIGHUP do what Ctrl-C does, and Ctrl-C too where whoever started us had it ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: object) -> None:
        """Does what Ctrl-C does."""
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
