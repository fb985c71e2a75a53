"""A whole replay: starts tasks as they become ready, tells what happens, and writes down how it ended."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import datetime
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from applications.errors import EarthloopError
from pipeline.replay import cache, inputs, launcher
from pipeline.replay.cache import Cache
from pipeline.replay.inputs import Context, Outputs
from pipeline.replay.launcher import Job, Launcher
from pipeline.replay.schedule import Schedule
from pipeline.replay.spec import Spec
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
        return Cache(self.path / "cache")

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
    """

    parameters: Mapping[str, Any]
    at_once: int = 2
    fresh: bool = False


class Replay:
    """One execution of a pipeline.

    Attributes:
        run_id: its name.
        failed: path of the task that failed first, "" if none did.
        error: why it failed.
    """

    def __init__(self, spec: Spec, folder: ReplayFolder, asked: Asked, tell: Tell) -> None:
        self.run_id = folder.new_run_id()
        self.failed, self.error = "", ""
        self._spec, self._folder, self._asked, self._tell = spec, folder, asked, tell
        self._schedule = Schedule(spec)
        self._context = Context(spec=spec, run_id=self.run_id, parameters=asked.parameters)
        self._launcher = Launcher()
        self._running: dict[Future[tuple[Outputs, Usage]], tuple[str, str, float]] = {}  # path, cache key, start
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
                    self._schedule.set(each.path, "skipped")
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
        )
        self._schedule.set(path, "running")
        self._tell({"event": "stage", "stage": self._names[path], "state": "running"})
        self._running[pool.submit(self._launcher.run, job)] = (path, key, time.monotonic())

    def _wait(self) -> None:
        """Waits a moment for tasks to end."""
        done, _ = concurrent.futures.wait(
            self._running, timeout=_LOOK_S, return_when=concurrent.futures.FIRST_COMPLETED
        )
        for future in done:
            path, key, started_s = self._running.pop(future)
            measured: dict[str, Any] = {"wall_s": round(time.monotonic() - started_s, 3)}
            try:
                outputs, usage = future.result()
            except (EarthloopError, OSError) as error:
                self._fail(path, str(error), measured)
                continue
            if key:
                self._folder.cache.put(key, outputs)
            measured |= {"cpu_s": round(usage.cpu_s, 3), "peak_memory_mib": round(usage.peak_memory_mib, 1)}
            self._finish(path, "done", outputs, measured)

    def _finish(self, path: str, state: str, outputs: Outputs, measured: dict[str, Any]) -> None:
        self._schedule.set(path, "cached" if state == "cached" else "done")
        self._context.outputs[path] = outputs
        self._note_end(path, "COMPLETE")
        self._measured[path] = measured
        self._tell({"event": "stage", "stage": self._names[path], "state": state, **measured})

    def _fail(self, path: str, error: str, measured: dict[str, Any]) -> None:
        self._schedule.set(path, "failed")
        self._note_end(path, "FAILED")
        self._measured[path] = {**measured, "error": error}
        if not self.failed:
            self.failed, self.error = path, error
        self._tell({"event": "stage", "stage": self._names[path], "state": "failed", "error": error, **measured})

    def _note_end(self, path: str, state: str) -> None:
        """Notes how a task ended, and how the DAGs around it will: one failure is the failure of all."""
        for node in self._spec.around(path):
            if self._context.states.get(node.path) != "FAILED":
                self._context.states[node.path] = state

    def _tell_skipped(self, before: Sequence[str]) -> None:
        for (path, state), earlier in zip(self._schedule.states.items(), before, strict=True):
            if state == "skipped" != earlier:
                self._tell({"event": "stage", "stage": self._names[path], "state": "skipped"})

    def _interrupt(self) -> None:
        self._launcher.stop()
        for path, _, started_s in self._running.values():
            wall_s = round(time.monotonic() - started_s, 3)
            self._tell({"event": "stage", "stage": self._names[path], "state": "interrupted", "wall_s": wall_s})

    def _task_folder(self, path: str) -> Path:
        return self._folder.replay(self.run_id) / path.replace("/", ".")

    def _write(self, state: str) -> None:
        """Writes what happened, and where outputs are, beside the logs."""
        tasks = [
            {"name": self._names[path], "state": found, **self._measured.get(path, {}), "outputs": self._outputs(path)}
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
