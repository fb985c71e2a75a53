"""Shows a run while it goes on: a live table on a terminal, one line per event elsewhere."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TextIO

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

_GLYPHS = {
    "waiting": ("·", "."),
    "running": ("▸", ">"),
    "done": ("✓", "+"),
    "cached": ("↺", "="),
    "failed": ("✗", "x"),
    "skipped": ("–", "-"),
    "interrupted": ("■", "!"),
}
_STYLES = {"running": "bold cyan", "done": "green", "cached": "green", "failed": "bold red", "interrupted": "yellow"}
_SCORES = ("val_accuracy", "accuracy", "val_loss", "loss")
_PLAIN_EVERY_S = 5.0  # seconds between two plain lines about the items of one stage


def duration(seconds: float) -> str:
    """Returns a time for people: `0.4 s`, `42 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds < 10:  # noqa: PLR2004 - below ten a tenth matters
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:  # noqa: PLR2004 - a minute
        return f"{whole} s"
    if whole < 3600:  # noqa: PLR2004 - an hour
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def progress_text(event: Mapping[str, Any]) -> str:
    """Returns a progress event in words, such as `epoch 3/30, val_accuracy 0.712, 2 min 10 s left`."""
    if event.get("kind") == "note":
        return str(event.get("text", ""))
    parts = [
        f"{event.get('kind', 'step')} {event.get('done', '?')}" + (f"/{event['total']}" if event.get("total") else "")
    ]
    score = next((name for name in _SCORES if isinstance(event.get(name), int | float)), None)
    if score is not None:
        parts.append(f"{score} {event[score]:.3f}")
    if isinstance(event.get("left_s"), int | float):
        parts.append(f"{duration(event['left_s'])} left")
    return ", ".join(parts)


@dataclasses.dataclass
class StageLine:
    """One stage as it is shown."""

    name: str
    state: str = "waiting"
    started: float = 0.0  # of the view's clock, seconds
    wall_s: float | None = None
    peak_memory_mib: float | None = None
    note: str = ""


class Progress:
    """What the events so far say."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.server = ""
        self.stages: dict[str, StageLine] = {}

    def take(self, event: Mapping[str, Any]) -> None:
        """Takes one event in."""
        if event["event"] == "server":
            self.server = event["state"]
        elif event["event"] == "plan":
            self.stages = {name: self.stages.get(name, StageLine(name)) for name in event["stages"]}
        elif event["event"] == "progress":
            self._line(event["stage"]).note = progress_text(event)
        elif event["event"] == "stage":
            self._take_stage(self._line(event["stage"]), event)

    def unfinished(self) -> list[str]:
        """Lists the stages that run now or were stopped while they ran."""
        return [line.name for line in self.stages.values() if line.state in ("running", "interrupted")]

    def elapsed_s(self, line: StageLine) -> float | None:
        """Returns how long a stage took, or has run so far, in seconds; None before it starts."""
        if line.state == "running":
            return self.clock() - line.started
        return line.wall_s

    def _line(self, name: str) -> StageLine:
        return self.stages.setdefault(name, StageLine(name))

    def _take_stage(self, line: StageLine, event: Mapping[str, Any]) -> None:
        line.state = event["state"]
        if line.state == "running":
            line.started = self.clock()
        else:
            line.wall_s = event.get("wall_s")
            line.peak_memory_mib = event.get("peak_memory_mib")
        if line.state == "failed":
            line.note = ""


class View(Protocol):
    """Something that shows a run's events."""

    progress: Progress

    def take(self, event: Mapping[str, Any]) -> None:
        """Shows one event."""

    def close(self) -> None:
        """Leaves the screen as it should stay."""


class PlainView:
    """One line per event, without control characters: for logs, pipes and CI."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.progress = Progress(clock)
        self._stream = stream
        self._said: dict[str, float] = {}

    def take(self, event: Mapping[str, Any]) -> None:
        """Writes the line of one event; items are told at most every five seconds per stage."""
        self.progress.take(event)
        text = self._text(event)
        if text:
            self._stream.write(text + "\n")
            self._stream.flush()

    def close(self) -> None:
        """Does nothing: every line stands."""

    def _text(self, event: Mapping[str, Any]) -> str:
        if event["event"] == "server" and event["state"] == "importing":
            return "starting: importing TFX takes some seconds"
        if event["event"] == "plan":
            return f"stages: {', '.join(event['stages'])}"
        if event["event"] == "progress" and self._is_due(event):
            return f"{event['stage']:<14} {progress_text(event)}"
        if event["event"] == "stage":
            reason = event.get("error") or event.get("why")
            why = f": {reason.splitlines()[0]}" if reason else ""  # the last lines say all of it
            return f"{event['stage']:<14} {event['state']}{self._measures(event)}{why}"
        return ""

    def _is_due(self, event: Mapping[str, Any]) -> bool:
        if event.get("kind") != "items" or event.get("done") == event.get("total"):
            return True
        now = self.progress.clock()
        if now - self._said.get(event["stage"], -_PLAIN_EVERY_S) < _PLAIN_EVERY_S:
            return False
        self._said[event["stage"]] = now
        return True

    @staticmethod
    def _measures(event: Mapping[str, Any]) -> str:
        parts = []
        if event.get("wall_s") is not None:
            parts.append(duration(event["wall_s"]))
        if event.get("peak_memory_mib") is not None:
            parts.append(f"{event['peak_memory_mib']:.0f} MiB")
        return f" ({', '.join(parts)})" if parts else ""


class LiveView:
    """A table that is drawn anew while the run goes on."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        from rich.console import Console
        from rich.live import Live

        self.progress = Progress(clock)
        self._is_unicode = (stream.encoding or "").lower().replace("-", "").startswith("utf")
        self._console = Console(file=stream)
        self._is_closed = False
        self._live: Live = Live(
            console=self._console, get_renderable=self.table, refresh_per_second=4, vertical_overflow="crop"
        )
        self._live.start()

    def take(self, event: Mapping[str, Any]) -> None:
        """Takes one event in; the table follows within a quarter of a second."""
        self.progress.take(event)

    def close(self) -> None:
        """Draws the last state, whole, and leaves it on the screen."""
        self._is_closed = True
        self._live.vertical_overflow = "visible"
        self._live.stop()

    def table(self) -> Table:
        """Returns the table as it is now."""
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, show_header=bool(self.progress.stages))
        table.add_column("stage", no_wrap=True)
        table.add_column("time", justify="right", no_wrap=True)
        table.add_column("memory", justify="right", no_wrap=True)
        table.add_column("", overflow="ellipsis", no_wrap=True)
        if not self.progress.stages:
            table.add_row(Text("starting: importing TFX takes some seconds", style="dim"))
        room = len(self.progress.stages) if self._is_closed else self._console.size.height - 2  # header, cursor
        for line in fitting(list(self.progress.stages.values()), room):
            glyph = _GLYPHS.get(line.state, ("?", "?"))[0 if self._is_unicode else 1]
            elapsed = self.progress.elapsed_s(line)
            memory = "" if line.peak_memory_mib is None else f"{line.peak_memory_mib:.0f} MiB"
            note = line.note if line.state == "running" else line.state if line.state != "waiting" else ""
            table.add_row(
                Text(f"{glyph} {line.name}", style=_STYLES.get(line.state, "dim")),
                "" if elapsed is None else duration(elapsed),
                memory,
                Text(note, style="" if line.state == "running" else "dim"),
            )
        return table


def fitting(lines: list[StageLine], room: int) -> list[StageLine]:
    """Returns as many stages as a small window has room for: what is over goes first, then what comes last."""
    too_many = len(lines) - max(room, 1)
    over = [line.name for line in lines if line.state not in ("running", "waiting", "failed")][: max(too_many, 0)]
    return [line for line in lines if line.name not in over][: max(room, 1)]


def open_view(stream: TextIO) -> View:
    """Returns the live view for a terminal, the plain one for anything else."""
    return LiveView(stream) if stream.isatty() else PlainView(stream)
