"""Watches data and says when a run is due: when they changed, and nothing has changed since for a while.

Polls, as notices of changes do not reach network mounts and object stores. Light: the runs are processes of their own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Protocol

from applications import spans
from applications.data_fingerprint import fingerprint_of
from applications.errors import EarthloopError
from pipeline.config import RunConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
    """What the data look like at one moment.

    Attributes:
        digest: other when the data are.
        files: count.
        size_mib: MiB of all files.
        problem: why they cannot be used, as a sentence; "" where they can.
    """

    digest: str = ""
    files: int = 0
    size_mib: float = 0.0
    problem: str = ""

    def __str__(self) -> str:
        """Returns it in words."""
        return f"{self.files:,} files ({self.size_mib:,.1f} MiB)"


class Watch:
    """What is known of the data, and whether a run is due. Times are seconds of any steady clock.

    A change is whatever differs between two looks; the first look counts as one, as nobody knows how old the data are.
    """

    def __init__(self, settle_s: float) -> None:
        """Begins.

        Args:
            settle_s: seconds without a change before a run may start; 0 or more.
        """
        self._settle_s = settle_s
        self._last = Look()
        self._changed_at = 0.0
        self._is_new = False  # whether there are changes that no run has taken in
        self._holder = ""
        self.is_running = False

    def look(self, now: float, found: Look) -> list[str]:
        """Takes one look in.

        Args:
            now: when it began.
            found: the look.

        Returns:
            What to say of it; nothing where it is no news.
        """
        before, self._last = self._last, found
        if found.problem:
            return [] if found.problem == before.problem else [f"no run can start: {found.problem}"]
        if before.problem:
            self._changed_at, self._is_new = now, True  # what comes back may come back piece by piece
            return [f"the data can be used again: {found}"]
        if found.digest == before.digest:
            return []
        was_new, self._changed_at, self._is_new = self._is_new, now, True
        if was_new:
            return []  # files that go on arriving are one piece of news
        return [f"found {found}" if not before.digest else f"the data changed: {found}{self._what_next()}"]

    def is_due(self, now: float) -> bool:
        """Returns whether a run should start, `now` being when the latest look began."""
        is_quiet = now - self._changed_at >= self._settle_s
        return self._is_new and is_quiet and not self.is_running and not self._last.problem

    def delay_s(self, every_s: float, now: float) -> float:
        """Returns in how many seconds to look again: earlier than usual where a run could start by then."""
        left_s = self._changed_at + self._settle_s - now
        is_waiting = self._is_new and not self.is_running and not self._last.problem
        return min(every_s, left_s) if is_waiting and left_s > 0 else every_s

    def start(self) -> list[str]:
        """Notes that a run starts on what the latest look found."""
        self.is_running, self._is_new, self._holder = True, False, ""
        return [f"a run starts on {self._last}"]

    def end(self, *, is_taken_in: bool = True) -> None:
        """Notes that the run is over.

        Args:
            is_taken_in: whether it came to read the data; else they are as new as before.
        """
        self.is_running = False
        self._is_new = self._is_new or not is_taken_in

    def postpone(self, holder: str) -> list[str]:
        """Notes that a run is due and cannot start, as another holds the output folder.

        Returns:
            What to say: once for each holder.
        """
        is_news, self._holder = holder != self._holder, holder
        return (
            [f"a run is due, but the output folder is in use by {holder}; it starts when that ends"] if is_news else []
        )

    def _what_next(self) -> str:
        if self.is_running:
            return "; the next run takes that in"
        return f"; a run starts when nothing changes for {self._settle_s:g} s"


@dataclasses.dataclass(frozen=True, kw_only=True)
class End:
    """How a run ended.

    Attributes:
        code: its exit code.
        words: what to say.
        is_counted: whether it ran, or tried to: not where nothing had changed.
        is_taken_in: whether it came to read the data: not where another run held the output folder.
    """

    code: int
    words: str
    is_counted: bool = True
    is_taken_in: bool = True


class Run(Protocol):
    """A run that goes on."""

    def wait(self, timeout_s: float) -> End | None:
        """Waits until it ends, at most so long; None where it still goes on."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class World:
    """What the watcher has to do with.

    Attributes:
        look: looks at the data; never raises.
        start: starts a run.
        holder: says who else holds the output folder; "" for nobody.
        clock: steady time, seconds.
        sleep: waits so many seconds.
        say: tells an event.
        show: tells, where somebody looks, that all is quiet.
    """

    look: Callable[[], Look]
    start: Callable[[], Run]
    holder: Callable[[], str]
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    say: Callable[[str], None]
    show: Callable[[], None]


def follow(world: World, watch: Watch, *, every_s: float, runs: int = 0) -> int:
    """Watches.

    Args:
        world: what there is to do with.
        watch: a new one.
        every_s: seconds between two looks, above 0; at least as long as a look takes.
        runs: how many to wait for; 0 never ends.

    Returns:
        The exit code of the last run.
    """
    run: Run | None = None
    done = 0
    while True:
        now = world.clock()
        _say(world, watch.look(now, world.look()))
        if watch.is_due(now):
            run = _start(world, watch)
        if run is None:
            world.show()
        took_s = world.clock() - now
        delay_s = max(watch.delay_s(every_s, now), took_s)
        if run is None:
            world.sleep(delay_s)
        elif end := run.wait(delay_s):
            run = None
            watch.end(is_taken_in=end.is_taken_in)
            world.say(end.words)
            done += end.is_counted
            if runs and done >= runs:
                return end.code


def look_at(config: RunConfig) -> Look:
    """Looks at the data of a run, by the names, sizes and times of their files; whatever is wrong becomes a `problem`.

    Args:
        config: whose data path or pattern it is.
    """
    try:
        found = spans.resolve(config.data, config.spans)
        seen = fingerprint_of(spans.folders(config.data, found))
    except (EarthloopError, OSError) as error:
        return Look(problem=str(error))
    except Exception as error:  # a library of an object store: an outage must not end the watching
        return Look(problem=f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")
    if not seen.files:
        return Look(problem=f"there are no files in {config.data!r} yet")
    return Look(digest=seen.digest, files=seen.files, size_mib=seen.size_mib)


def _start(world: World, watch: Watch) -> Run | None:
    """Starts the run that is due, unless another holds the output folder."""
    if holder := world.holder():
        _say(world, watch.postpone(holder))
        return None
    _say(world, watch.start())
    return world.start()


def _say(world: World, lines: list[str]) -> None:
    for line in lines:
        world.say(line)
