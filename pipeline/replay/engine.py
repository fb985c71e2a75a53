"""A whole replay: starts tasks as they become ready, tells what happens, and writes down how it ended."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import datetime
import json
import queue
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Literal

from applications.errors import EarthloopError
from pipeline.replay import cache, inputs, launcher
from pipeline.replay.cache import Cache
from pipeline.replay.inputs import Context, Outputs
from pipeline.replay.launcher import Job, Launcher
from pipeline.replay.notes import LogNotes
from pipeline.replay.schedule import Schedule
from pipeline.replay.spec import Node, Spec
from pipeline.replay.storage import Storage
from pipeline.run_record import write_atomically
from pipeline.stage_process import Usage

RECORD_FILE = "record.json"
_LOOK_S = 0.5  # seconds after which a wait lets Ctrl-C through

Tell = Callable[[Mapping[str, Any]], None]


@dataclasses.dataclass(frozen=True)
class ReplayFolder:
    """The parts of a folder that replays of one or several pipelines share."""

    path: Path

    @property
    def storage(self) -> Storage:
        """The object store."""
        return Storage(self.path / "store")

    @property
    def cache(self) -> Cache:
        """What tasks left, by fingerprint."""
        return Cache(self.path / "cache", self.storage)

    def replay(self, run_id: str) -> Path:
        """The folder of one replay: `record.json`, and a folder per task."""
        return self.path / "replays" / run_id

    def new_run_id(self) -> str:
        """Returns an unused id made of the time, UTC."""
        stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
        number, found = 1, stamp
        while self.replay(found).exists():
            number += 1
            found = f"{stamp}-{number}"
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """How a replay is done.

    Attributes:
        parameters: values of the pipeline's parameters.
        at_once: how many tasks may run at the same time.
        fresh: whether to run tasks although the cache has their outputs.
        longest_pause_s: between two attempts at a task, in seconds, where the spec asks for more.
    """

    parameters: Mapping[str, Any]
    at_once: int = 2
    fresh: bool = False
    longest_pause_s: float = 5.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Begun:
    """A task that runs.

    Attributes:
        path: of the task.
        key: under which the cache takes what it leaves; "" for not at all.
        started_s: `time.monotonic()` when it began.
        notes: what its log tells of its progress.
    """

    path: str
    key: str
    started_s: float
    notes: LogNotes


class Replay:
    """One execution of a pipeline.

    Attributes:
        run_id: its name.
        failed: path of the task that failed first, "" if none did.
        error: why it failed.
        skipped: why, by the name of each task that was.
    """

    def __init__(self, spec: Spec, folder: ReplayFolder, asked: Asked, tell: Tell) -> None:
        self.run_id = folder.new_run_id()
        self.failed, self.error = "", ""
        self._spec, self._folder, self._asked, self._tell = spec, folder, asked, tell
        self._schedule = Schedule(spec)
        self._context = Context(spec=spec, run_id=self.run_id, parameters=asked.parameters)
        self._launcher = Launcher()
        self.skipped: dict[str, str] = {}
        self._running: dict[Future[tuple[Outputs, Usage]], _Begun] = {}
        self._said: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()  # path and line, from the jobs' threads
        self._measured: dict[str, dict[str, Any]] = {}
        names = [spec.nodes[path].name for path in spec.leaves()]
        self._names = {
            path: spec.nodes[path].name if names.count(spec.nodes[path].name) == 1 else path for path in spec.leaves()
        }

    @property
    def states(self) -> dict[str, str]:
        """The state of each task by its name."""
        return {self._names[path]: state for path, state in self._schedule.states.items()}

    def log(self, path: str) -> Path:
        """Returns where a task's log is."""
        return self._task_folder(path) / launcher.LOG_FILE

    def run(self) -> str:
        """Runs to the end.

        Returns:
            "complete", "failed" or "interrupted".
        """
        self._tell({"event": "plan", "stages": list(self._names.values())})
        state = "failed"
        with concurrent.futures.ThreadPoolExecutor(self._asked.at_once) as pool:
            try:
                while self._start(pool) or self._running:
                    self._wait()
                state = "failed" if self._schedule.has_failed else "complete"
            except KeyboardInterrupt:
                state = "interrupted"
                self._interrupt()
            finally:
                self._launcher.stop()
                self._write(state)
        return state

    def _start(self, pool: concurrent.futures.Executor) -> bool:
        """Starts what is ready and has room; returns whether anything changed."""
        has_changed = False
        before = list(self._schedule.states.values())
        for path in self._schedule.ready():
            if len(self._running) >= self._asked.at_once:
                break
            if self._schedule.states[path] == "waiting":  # else a DAG around it has just been skipped
                has_changed = True
                self._drive(path, pool)
        self._tell_skipped(before)
        return has_changed or before != list(self._schedule.states.values())

    def _drive(self, path: str, pool: concurrent.futures.Executor) -> None:
        """Does the driver's part for one task, and hands it to the launcher unless it is skipped or known."""
        node = self._spec.nodes[path]
        try:
            for each in self._spec.around(path):
                if not self._context.will_run(each.path):
                    self._skip(each)
                    return
            found = self._context.inputs(path)
            uses_cache = cache.is_wanted(node) and "importer" not in node.executor
            key = cache.fingerprint(node, found) if uses_cache else ""
            known = self._folder.cache.get(key) if key and not self._asked.fresh else None
            folder = self._task_folder(path)
            outputs = inputs.provisioned(self._spec, node, self.run_id, folder / launcher.STAGING_FOLDER)
        except EarthloopError as error:
            self._fail(path, f"{self._names[path]}: {error}", {})
            return
        if known is not None:
            self._finish(path, "cached", known, {"wall_s": 0.0})
            return
        job = Job(
            node=node,
            executor_input={"inputs": found, "outputs": outputs},
            folder=folder,
            storage=self._folder.storage,
            longest_pause_s=self._asked.longest_pause_s,
            note=lambda text: self._said.put((path, text)),
        )
        self._schedule.set(path, "running")
        self._tell({"event": "stage", "stage": self._names[path], "state": "running"})
        begun = _Begun(path=path, key=key, started_s=time.monotonic(), notes=LogNotes(job.log))
        self._running[pool.submit(self._launcher.run, job)] = begun

    def _wait(self) -> None:
        """Waits a moment for tasks to end."""
        done, _ = concurrent.futures.wait(
            self._running, timeout=_LOOK_S, return_when=concurrent.futures.FIRST_COMPLETED
        )
        self._tell_notes()
        for future in done:
            begun = self._running.pop(future)
            path = begun.path
            measured: dict[str, Any] = {"wall_s": round(time.monotonic() - begun.started_s, 3)}
            try:
                outputs, usage = future.result()
            except (EarthloopError, OSError) as error:
                self._context.note_end(path, "FAILED", by_launcher=True)
                self._fail(path, str(error), measured)
                continue
            if begun.key:
                self._folder.cache.put(begun.key, outputs)
            measured |= {"cpu_s": round(usage.cpu_s, 3), "peak_memory_mib": round(usage.peak_memory_mib, 1)}
            self._finish(path, "done", outputs, measured)

    def _tell_notes(self) -> None:
        """Tells how far the tasks are, and of attempts that failed."""
        while not self._said.empty():
            path, text = self._said.get()
            self._tell({"event": "progress", "stage": self._names[path], "kind": "note", "text": text})
        for begun in self._running.values():
            for note in begun.notes.new():
                self._tell({**note, "event": "progress", "stage": self._names[begun.path]})

    def _finish(self, path: str, state: Literal["done", "cached"], outputs: Outputs, measured: dict[str, Any]) -> None:
        self._schedule.set(path, state)
        self._context.outputs[path] = outputs
        is_imported = "importer" in self._spec.nodes[path].executor
        self._context.note_end(path, "COMPLETE", by_launcher=state == "done" and not is_imported)
        self._measured[path] = measured
        self._tell({"event": "stage", "stage": self._names[path], "state": state, **measured})

    def _fail(self, path: str, error: str, measured: dict[str, Any]) -> None:
        self._schedule.set(path, "failed")
        self._measured[path] = {**measured, "error": error}
        if not self.failed:
            self.failed, self.error = path, error
        self._tell({"event": "stage", "stage": self._names[path], "state": "failed", "error": error, **measured})

    def _skip(self, node: Node) -> None:
        """Notes that the condition of a task, or of a DAG and so of all in it, does not hold."""
        self._schedule.set(node.path, "skipped")
        self._context.note_end(node.path, "CANCELED", by_launcher=False)
        for path in self._spec.leaves(node.path):
            self.skipped[self._names[path]] = f"the condition does not hold: {node.condition}"

    def _tell_skipped(self, before: Sequence[str]) -> None:
        for (path, state), earlier in zip(self._schedule.states.items(), before, strict=True):
            if state == "skipped" != earlier:
                name = self._names[path]
                why = self.skipped.setdefault(name, f"it needs {self._schedule.skipped_need(path)}, which was skipped")
                self._tell({"event": "stage", "stage": name, "state": "skipped", "why": why})

    def _interrupt(self) -> None:
        self._launcher.stop()
        for begun in self._running.values():
            wall_s = round(time.monotonic() - begun.started_s, 3)
            self._tell({"event": "stage", "stage": self._names[begun.path], "state": "interrupted", "wall_s": wall_s})

    def _task_folder(self, path: str) -> Path:
        return self._folder.replay(self.run_id) / path.replace("/", ".")

    def _write(self, state: str) -> None:
        """Writes what happened, and where outputs are, beside the logs."""
        tasks = [
            {
                "name": self._names[path],
                "state": found,
                **({"why": self.skipped[self._names[path]]} if self._names[path] in self.skipped else {}),
                **self._measured.get(path, {}),
                "outputs": self._outputs(path),
            }
            for path, found in self._schedule.states.items()
        ]
        record = {
            "pipeline": self._spec.name,
            "run_id": self.run_id,
            "state": state,
            "parameters": dict(self._asked.parameters),
            "tasks": tasks,
        }
        folder = self._folder.replay(self.run_id)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / RECORD_FILE, json.dumps(record, indent=1, ensure_ascii=False) + "\n")

    def _outputs(self, path: str) -> dict[str, Any]:
        """Returns a task's outputs by key: parameters' values, and of artifacts URI and metadata."""
        left = self._context.outputs.get(path, Outputs())
        artifacts = {
            key: [{"uri": each["uri"], "metadata": each["metadata"]} for each in found]
            for key, found in left.artifacts.items()
        }
        return {**artifacts, **left.parameters}
