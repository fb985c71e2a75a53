"""`earthloop watch`: a run whenever new data have arrived."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import math
import os
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import TextIO

import click

from applications import data_fingerprint, discovery, spans
from applications.errors import UsageError
from pipeline import config as configuration
from pipeline import output_folder, run_record
from pipeline.cli.options import application_argument, debug_option, out_option
from pipeline.output_folder import OutputFolder
from pipeline.runner_process import signals_as_interrupt
from pipeline.watch import End, Watch, World, follow, look_at

RUN = (sys.executable, "-m", "pipeline.cli.main", "run")
INTERRUPTED = 130


@click.command("watch", epilog="\b\nExample:\n  earthloop watch satellite/landcover --data 'chips/{SPAN}' --settle 120")
@application_argument()
@click.option("--data", metavar="PATH", help="Raw data: folder, URI, or a pattern of such, as docs/continuous.md says.")
@out_option
@click.option(
    "--config", "config_file", type=click.Path(path_type=pathlib.Path), metavar="FILE", help="Settings as YAML."
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="One setting; may be repeated.")
@click.option(
    "--every", "every_s", type=float, default=10.0, show_default=True, metavar="SECONDS", help="Time between two looks."
)
@click.option(
    "--settle",
    "settle_s",
    type=float,
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="A run starts when nothing has changed for so long.",
)
@click.option("--runs", type=int, default=0, metavar="N", help="End after so many runs.  [default: go on for ever]")
@debug_option
def watch_command(
    application: str,
    data: str | None,
    out: pathlib.Path | None,
    config_file: pathlib.Path | None,
    overrides: tuple[str, ...],
    **times: float,
) -> None:
    """Watches data, and runs whenever they have changed and then been quiet for a while.

    It begins with a run, unless the last one is of these very data and settings. A run that fails is repeated when
    the data change again. Ctrl-C ends the run that goes on, in order, and the watching; exit code 130. With --runs
    the exit code is that of the last run.
    """
    _check_times(**times)
    config = configuration.resolve(
        discovery.load(application), data=data or "", config_file=config_file, overrides=overrides
    )
    if not config.data:
        raise UsageError("watch needs data to look at, got none. Give --data with a folder, a URI or a pattern.")
    if spans.is_pattern(config.data):
        spans.check(config.data)
    given = {"--data": data, "--out": out, "--config": config_file}
    words = [application, *(str(word) for pair in given.items() if pair[1] for word in pair)]
    words += [word for override in overrides for word in ("--set", override)]
    if not data_fingerprint.is_remote(config.data):  # a run does so, too
        config = dataclasses.replace(config, data=os.path.expanduser(config.data))
    folder = OutputFolder((out or output_folder.default_path(application)).absolute())
    click.get_current_context().exit(_watch(config, folder, words, **times))


def _check_times(every_s: float, settle_s: float, runs: float) -> None:
    """Refuses what is no time or no number of runs."""
    if not (math.isfinite(every_s) and every_s > 0):
        raise UsageError(f"--every must be above 0 seconds, got {every_s:g}. Leave it out for a look every 10 seconds.")
    if not (math.isfinite(settle_s) and settle_s >= 0):
        raise UsageError(f"--settle must be 0 seconds or more, got {settle_s:g}. Leave it out to wait for 60 seconds.")
    if runs < 0:
        raise UsageError(f"--runs must be 1 or more runs, got {runs:g}. Leave it out to go on for ever.")


def _watch(
    config: configuration.RunConfig,
    folder: OutputFolder,
    words: Sequence[str],
    *,
    every_s: float,
    settle_s: float,
    runs: float,
) -> int:
    """Watches until it is told to stop; returns the exit code."""
    screen = Screen(sys.stdout, config.data)
    child = Child(folder, words)
    world = World(
        look=lambda: look_at(config),
        start=lambda: child.start(screen),
        holder=lambda: held_by(folder),
        clock=time.monotonic,
        sleep=time.sleep,
        say=screen.say,
        show=lambda: screen.show(lambda: last_run(folder)),
    )
    screen.say(
        f"watching {config.data}: a look every {every_s:g} s, a run when nothing has changed for {settle_s:g} s. "
        "Ctrl-C ends it."
    )
    with signals_as_interrupt():
        try:
            return follow(world, Watch(settle_s), every_s=every_s, runs=int(runs))
        except KeyboardInterrupt:
            child.stop(screen)
            screen.say("watching has ended")
            return INTERRUPTED
        finally:  # it has a session of its own: whoever reads our lines may be gone, and nobody would end it
            child.stop(screen)


class Screen:
    """Lines with their UTC time; on a terminal, a line below them that says that all is quiet."""

    def __init__(self, stream: TextIO, data: str) -> None:
        self._stream = stream
        self._data = data
        self._is_live = stream.isatty()
        self._held: list[str] | None = None  # lines that wait for the end of a run, which draws on the terminal itself

    def say(self, text: str) -> None:
        """Writes the line of one event."""
        line = f"{_utc():%Y-%m-%d %H:%M:%SZ}  {text}"
        if self._held is not None:
            self._held.append(line)
            return
        self._clear()
        click.echo(line, file=self._stream)
        self._stream.flush()

    def show(self, last: Callable[[], str]) -> None:
        """Draws the quiet line anew, with what `last` says of the last run."""
        if not self._is_live:
            return
        text = f"waiting for new data in {self._data}, last look {_utc():%H:%M:%S}Z{last()}"
        self._clear()
        click.echo(text[: shutil.get_terminal_size().columns - 1], file=self._stream, nl=False)
        self._stream.flush()

    def hold(self) -> None:
        """Leaves a terminal to a run."""
        self._clear()
        self._held = [] if self._is_live else None

    def release(self) -> None:
        """Takes the terminal back and writes what was held."""
        held, self._held = self._held or [], None
        for line in held:
            click.echo(line, file=self._stream)

    def _clear(self) -> None:
        if self._is_live:
            click.echo("\r\x1b[2K", file=self._stream, nl=False)


@dataclasses.dataclass
class Child:
    """`earthloop run` as a process of its own: it takes no memory while nothing runs, and may crash by itself.

    Attributes:
        folder: the output folder.
        words: what follows `earthloop run`.
    """

    folder: OutputFolder
    words: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    screen: Screen | None = None
    runs_before: frozenset[str] = frozenset()

    def start(self, screen: Screen) -> Child:
        """Starts a run. In a session of its own, so that Ctrl-C reaches it once, from here."""
        self.screen, self.runs_before = screen, frozenset(run_record.run_ids(self.folder))
        screen.hold()
        self.process = subprocess.Popen([*RUN, *self.words], stdin=subprocess.DEVNULL, start_new_session=True)
        return self

    def wait(self, timeout_s: float) -> End | None:
        """Waits for its end; see `pipeline.watch.Run`."""
        if self.process is None or self.screen is None:
            return None
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        self.process = None
        self.screen.release()
        return ended(self.folder, self.runs_before, code)

    def stop(self, screen: Screen) -> None:
        """Asks a run that goes on to end, and waits for it; a second Ctrl-C makes it hurry."""
        while self.process is not None:
            with contextlib.suppress(KeyboardInterrupt):
                self.process.terminate()
                self.process.wait()
                self.process = None
        screen.release()


def ended(folder: OutputFolder, runs_before: frozenset[str], code: int) -> End:
    """Says how a run ended, by its exit code and by the record it left."""
    new = [run_id for run_id in run_record.run_ids(folder) if run_id not in runs_before]
    if new and code == 0:
        return End(code=code, words=f"run {new[0]} is complete{last_run(folder, ': ')}")
    if code == 0:
        return End(code=0, words="nothing has changed since the last run; waiting for new data", is_counted=False)
    if not new and (holder := held_by(folder)):
        words = f"the output folder is in use by {holder}; the run starts when that ends"
        return End(code=code, words=words, is_counted=False, is_taken_in=False)
    what = f"run {new[0]}" if new else "the run"
    how = f"was ended by signal {-code}" if code < 0 else f"failed with exit code {code}"
    return End(code=code if code > 0 else 1, words=f"{what} {how}; it is repeated when the data change again")


def last_run(folder: OutputFolder, before: str = ", last run ") -> str:
    """Returns how the last run ended, with `before` before it, such as "blessed, pushed as version 7".

    "" where there is none that can be read; of many runs no more than the newest is.
    """
    for run_id in run_record.run_ids(folder):
        with contextlib.suppress(run_record.Unreadable):
            record = run_record.read(folder, run_id)
            verdict = (record["verdict"] or {}).get("verdict") or record["state"]
            pushed = f", pushed as version {record['pushed']['version']}" if record["pushed"] else ""
            return f"{before}{verdict}{pushed}"
    return ""


def held_by(folder: OutputFolder) -> str:
    """Says who holds an output folder, in words; "" for nobody."""
    if not output_folder.is_held(folder):
        return ""
    other = output_folder.holder(folder)
    run = f" ({other['run_id']})" if other.get("run_id") else ""
    return f"process {other.get('pid')} on {other.get('host')}{run}" if other else "another process"


def _utc() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
