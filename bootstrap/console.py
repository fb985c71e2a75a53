"""How set-up talks: progress lines with times, and errors that are one plain paragraph."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

NO_NETWORK = {  # what pip, uv and apt say: what it means; the first that is found counts
    "certificate verify failed": "its certificate was not accepted; see PIP_CERT",
    "peer certificate": "its certificate was not accepted; see PIP_CERT",
    "connection refused": "connection refused",
    "name resolution": "the host name was not resolved",
    "name or service not known": "the host name was not resolved",
    "could not resolve": "the host name was not resolved",
    "failure resolving": "the host name was not resolved",
    "dns error": "the host name was not resolved",
    "network is unreachable": "the network is unreachable",
    "timed out": "no answer in time",
    "connecttimeout": "no answer in time",
    "connect to proxy": "the proxy did not let it through",
    "tunnel error": "the proxy did not let it through",
    "new connection": "no connection",
    "could not connect": "no connection",
    "unable to connect": "no connection",
    "connection failed": "no connection",
    "error sending request": "no connection",
}


class SetupError(Exception):
    """Set-up cannot go on; the text says the rule, what was found, and what to do next."""


class CommandFailed(SetupError):
    """A program that set-up called ended with an error; `output` holds all that it said."""

    def __init__(self, command: Sequence[str | Path], status: int, output: str) -> None:
        last = " / ".join([line.strip() for line in output.splitlines() if line.strip()][-4:])
        super().__init__(
            f"'{Path(command[0]).name} {' '.join(str(word) for word in command[1:4])} …' ended with status {status}: "
            f"{last or 'it said nothing'}. Run it again; if that fails too, 'make clean-all' starts anew."
        )
        self.output = output

    @property
    def network_reason(self) -> str:
        """Why a server was not reached, in plain words; "" where the failure was another one."""
        said = self.output.lower()
        return next((meaning for sign, meaning in NO_NETWORK.items() if sign in said), "")


def say(text: str) -> None:
    """Prints one line to standard error at once."""
    sys.stderr.write(f"set-up: {text}\n")
    sys.stderr.flush()


@contextmanager
def timed(title: str) -> Iterator[None]:
    """Prints what begins and, when it is done, the seconds it took."""
    say(f"{title} …")
    start = time.monotonic()
    yield
    say(f"{title}: done in {time.monotonic() - start:.1f} s")


class Programs:
    """Runs programs that hold on to the set-up's lock, so that an orphan of a killed set-up is waited for."""

    def __init__(self, lock: int | None = None, heartbeat_s: float = 10.0) -> None:
        self._keep = () if lock is None else (lock,)
        self._heartbeat_s = heartbeat_s

    def run(
        self,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        written: Callable[[], float] | None = None,
    ) -> str:
        """Runs a program to its end, with a sign of life every ten seconds.

        Args:
            command: the program and its arguments.
            env: its whole environment; the caller's own where None.
            cwd: its working folder.
            written: gives the GB written so far, for the sign of life.

        Returns:
            What it wrote to standard output and standard error.

        Raises:
            CommandFailed: it ended with a status other than 0.
        """
        start = time.monotonic()
        process = subprocess.Popen(
            [str(word) for word in command],
            env=None if env is None else dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            pass_fds=self._keep,
        )
        try:
            while True:
                try:
                    output = process.communicate(timeout=self._heartbeat_s)[0]
                    break
                except subprocess.TimeoutExpired:
                    size = 0.0 if written is None else written()
                    more = f", {size:.1f} GB written" if size > 0.05 else ""  # noqa: PLR2004 (rounds to 0.1)
                    say(f"  still working, {time.monotonic() - start:.0f} s{more}")
        except BaseException:
            process.terminate()
            process.wait()
            raise
        if process.returncode != 0:
            raise CommandFailed(command, process.returncode, output)
        return output
