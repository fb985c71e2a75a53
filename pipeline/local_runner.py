"""Runs a pipeline on this machine: `python -m pipeline.local_runner REQUEST.json`.

The command line starts it as a process of its own and reads one JSON event a line from its standard output.
It imports TFX once, then forks a process per stage (`pipeline.stage_process`). Exit status: 0 complete,
1 a stage failed, 130 interrupted (by SIGTERM, or because whoever started it is gone).
"""

from __future__ import annotations

import dataclasses
import functools
import gc
import json
import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from applications import discovery
from applications.errors import EarthloopError
from applications.settings import LocalSettings
from pipeline import energy, outcome, run_record, stage_process
from pipeline.config import RunConfig, from_dict
from pipeline.run_record import RunRecord
from pipeline.scheduler import Schedule
from pipeline.stage_process import StageProcess, Usage
from serving import versions

_logger = logging.getLogger(__name__)

_LOOK_S = 0.2  # seconds between looks at whether someone asked to stop
_GRACE_S = 5.0  # seconds between asking a stage to stop and making it
EXIT_CODES = {"complete": 0, "failed": 1, "interrupted": 130}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What the command line asks for, as JSON in a file.

    Attributes:
        application: its name.
        out: the output folder.
        run_id: names the run and its folder `<out>/runs/<run_id>`.
        config: the resolved configuration.
        data_fingerprint: changes when the data does.
        from_stage: first stage to run; "" starts at the beginning.
        to_stage: last stage to run; "" goes to the end.
        fresh: whether to run stages although the cache has their outputs.
        base_run_id: the complete run whose outputs `from_stage` builds on.
    """

    application: str
    out: str
    run_id: str
    config: dict[str, Any]
    data_fingerprint: str
    from_stage: str = ""
    to_stage: str = ""
    fresh: bool = False
    base_run_id: str = ""

    @classmethod
    def read(cls, path: Path) -> Request:
        """Reads a request from a JSON file."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    @property
    def destination(self) -> Path:
        """The serving folder."""
        named = self.config["push"]["destination"]
        return Path(named) if named else Path(self.out) / "serving"


class Stages(Protocol):
    """What a run runs: TFX nodes, or anything else in a test."""

    @property
    def upstream(self) -> Mapping[str, Sequence[str]]:
        """For each stage, in order, those it depends on."""

    @property
    def guards(self) -> Mapping[str, Sequence[str]]:
        """For some stages, those they depend on that only give them leave to go on."""

    @property
    def skipped(self) -> frozenset[str]:
        """Stages whose outputs are there already, or not wanted."""

    def launch(self, stage: str) -> Mapping[str, Any]:
        """Runs one stage in a process of its own; returns `{"state": "done" or "cached", "outputs": {key: [uri]}}`."""


class LocalRun:
    """One run: starts stages as their inputs become ready, and tells what happens."""

    def __init__(self, record: RunRecord, settings: LocalSettings) -> None:
        self._record = record
        self._settings = settings
        self._running: dict[str, StageProcess] = {}
        self._usage: dict[str, Usage] = {}
        self._stop_asked = False
        self._is_loading = False
        self.error = ""  # why the run failed, for people
        self.has_ended_by_force = False  # whether a stage was stopped or killed, and so could not clean up

    def run(self, load: Callable[[], Stages]) -> str:
        """Runs to the end.

        Args:
            load: imports and compiles what is to run; takes seconds.

        Returns:
            "complete", "failed" or "interrupted".
        """
        signal.signal(signal.SIGTERM, self._ask_to_stop)
        joules_before = energy.package_joules()
        state = "failed"
        try:
            self._emit({"event": "server", "state": "importing"})
            stages = self._load(load)
            schedule = self._plan(stages)
            while not schedule.is_over and not self._stop_asked:
                self._start(schedule, stages)
                self._wait(schedule)
            state = self._end_state(schedule)
        except EarthloopError as error:
            self.error = str(error)
        except KeyboardInterrupt:
            state = "interrupted"
        finally:
            self._stop_stages(list(self._running))
            self._account_energy(joules_before)
        return state

    def _ask_to_stop(self, _signal_number: int, _frame: object) -> None:
        self._stop_asked = True
        if self._is_loading:  # nothing runs yet, so nothing need be ended in order
            raise KeyboardInterrupt

    def _load(self, load: Callable[[], Stages]) -> Stages:
        self._is_loading = True
        gc.disable()  # nothing becomes garbage while modules load, and looking for it takes a third of the time
        try:
            return load()
        finally:
            self._is_loading = False
            gc.freeze()  # a forked stage shares the modules instead of copying them at its first collection
            gc.enable()

    def _plan(self, stages: Stages) -> Schedule:
        self._emit({"event": "server", "state": "ready"})
        self._emit({"event": "plan", "stages": list(stages.upstream)})
        for stage in stages.upstream:
            if stage in stages.skipped:
                self._emit({"event": "stage", "stage": stage, "state": "skipped"})
        return Schedule(
            stages.upstream, at_once=self._settings.stages_at_once, skip=stages.skipped, guards=stages.guards
        )

    def _start(self, schedule: Schedule, stages: Stages) -> None:
        for stage in schedule.startable():
            schedule.set(stage, "running")
            self._emit({"event": "stage", "stage": stage, "state": "running"})
            work = functools.partial(stages.launch, stage)
            self._running[stage] = stage_process.fork_stage(stage, work, self._record.log(stage))

    def _wait(self, schedule: Schedule) -> None:
        """Waits a moment for stages to say something or to end; ends those whose work is lost."""
        select.select([process.pipe for process in self._running.values()], [], [], _LOOK_S)
        for process in list(self._running.values()):
            has_ended = process.has_ended()  # asked before the last reading, which then misses nothing
            self._hear(process)
            if has_ended or process.has_closed:
                self._finish(process, schedule)
        self._stop_stages(lost := schedule.lost)
        for name in lost:
            schedule.set(name, "failed")

    def _hear(self, process: StageProcess) -> None:
        for message in process.read():
            if message["kind"] in ("result", "error"):
                process.outcome = message
            else:
                self._emit({"event": "progress", "stage": process.name, **message})

    def _finish(self, process: StageProcess, schedule: Schedule) -> None:
        outcome = process.outcome
        status, usage = process.wait()
        os.close(process.pipe)
        del self._running[process.name]
        self._usage[process.name] = usage
        event = {"event": "stage", "stage": process.name, **self._measured(process, usage)}
        if outcome.get("kind") == "result":
            schedule.set(process.name, "done")
            self._emit({**event, "state": outcome["state"], "outputs": self._relative(outcome["outputs"])})
            return
        schedule.set(process.name, "failed")
        self.has_ended_by_force |= not outcome
        error = outcome.get("text") or _death(status)
        if not outcome.get("expected"):
            error = f"{error} (the whole story is in {self._record.log(process.name)})"
        self.error = self.error or (error if error.startswith(f"{process.name} ") else f"{process.name}: {error}")
        self._emit({**event, "state": "failed", "error": error})

    def _measured(self, process: StageProcess, usage: Usage) -> dict[str, Any]:
        estimated = energy.estimate(usage.cpu_s, self._settings.watts_per_core)
        return {
            "wall_s": round(time.monotonic() - process.started_s, 3),
            "cpu_s": round(usage.cpu_s, 3),
            "peak_memory_mib": round(usage.peak_memory_mib, 1),
            **dataclasses.asdict(estimated),
        }

    def _stop_stages(self, names: Sequence[str]) -> None:
        """Ends stages that still run."""
        stopped = [self._running.pop(name) for name in names if name in self._running]
        self.has_ended_by_force |= bool(stopped)
        for process in stopped:
            process.stop(signal.SIGTERM)
        deadline = time.monotonic() + _GRACE_S
        for process in stopped:
            while not process.has_ended():
                if time.monotonic() > deadline:
                    process.stop(signal.SIGKILL)
                time.sleep(0.02)
            os.close(process.pipe)
            wall_s = round(time.monotonic() - process.started_s, 3)
            self._emit({"event": "stage", "stage": process.name, "state": "interrupted", "wall_s": wall_s})

    def _end_state(self, schedule: Schedule) -> str:
        if self._stop_asked:
            return "interrupted"
        return "failed" if schedule.has_failed else "complete"

    def _account_energy(self, joules_before: float | None) -> None:
        joules_after = energy.package_joules()
        if joules_before is None or joules_after is None or joules_after <= joules_before:
            return
        all_cpu_s = sum(usage.cpu_s for usage in self._usage.values())
        for stage, usage in self._usage.items():
            measured = energy.share(joules_after - joules_before, usage.cpu_s, all_cpu_s)
            self._record.stage(stage, **dataclasses.asdict(measured))

    def _relative(self, outputs: Mapping[str, list[str]]) -> dict[str, list[str]]:
        return {key: [self._record.relative(uri) for uri in uris] for key, uris in outputs.items()}

    def _emit(self, event: Mapping[str, Any]) -> None:
        """Tells an event to whoever watches and keeps it in the record."""
        self._record.take(event)
        send(event)


def load_stages(request: Request, config: RunConfig, record: RunRecord) -> Stages:
    """Imports TFX, compiles the pipeline and decides what is to run."""
    from pipeline import build, metadata, tfx_nodes
    from pipeline.stages import Placement

    application = discovery.load(request.application)
    made_from = record.data["fingerprint"]
    destination = str(request.destination)
    placement = Placement(
        artifacts=str(Path(request.out) / "artifacts"),
        destination=destination,
        data_fingerprint=request.data_fingerprint,
        baseline_state=versions.state(destination, application.model_name, made_from),
        pushed_state=versions.state(destination, application.model_name),
        made_from=made_from,
    )
    pipeline = build.create_pipeline(application, config, placement)
    pipeline.enable_cache = not request.fresh
    connection = metadata.connection_config(config.metadata, Path(request.out))
    earlier = run_record.close_dead(record)
    if earlier or config.metadata.backend != "sqlite":  # of a server it is found out here whether it lets us in
        tidy(connection, record, earlier)
    nodes = tfx_nodes.compile_nodes(pipeline, connection, request.run_id)
    if request.to_stage:
        nodes = nodes.up_to(request.to_stage)
    if request.from_stage:
        nodes = nodes.starting_at(request.from_stage, request.base_run_id)
        _run_aside(functools.partial(nodes.reuse_outputs, request.base_run_id), record.log("prepare"))
    return nodes


def tidy(connection: Any, record: RunRecord, run_ids: Sequence[str]) -> None:
    """Puts right what runs that are over left behind; none of them goes on while this one holds the folder."""
    from pipeline import leftovers

    _run_aside(functools.partial(leftovers.tidy, connection, record.folder.artifacts, run_ids), record.log("tidy"))


def _tidy_own(config: RunConfig, record: RunRecord) -> None:
    """Does that for the run that ends now; what fails here is done by the next run, or by `earthloop doctor`."""
    from pipeline import metadata

    try:
        tidy(metadata.connection_config(config.metadata, record.folder.path), record, [record.run_id])
    except Exception as error:
        _logger.warning("what the stopped stages left could not be removed: %s", error, exc_info=True)


def _run_aside(work: stage_process.Work, log: Path) -> None:
    """Runs something that talks to the metadata store in a process of its own: this one must stay fit to fork."""
    process = stage_process.fork_stage(log.stem, work, log)
    messages = []
    while not process.has_closed:
        select.select([process.pipe], [], [])
        messages += process.read()
    status, _ = process.wait()
    os.close(process.pipe)
    for message in messages:
        if message["kind"] == "error":
            raise EarthloopError(message["text"])
    if status:
        raise EarthloopError(f"the runner's own step {log.stem!r} failed: {_death(status)}; see {log}")


def send(event: Mapping[str, Any]) -> None:
    """Writes one event to whoever started this process; when they are gone the run still ends in order."""
    try:
        sys.stdout.write(json.dumps(event, default=str) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Runs a request file; returns the exit status."""
    stage_process.die_with_parent(signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    request = Request.read(Path(arguments[0]))
    record = RunRecord.open(Path(request.out), request.run_id)
    config = from_dict(request.config)
    run = LocalRun(record, config.local)
    state = run.run(lambda: load_stages(request, config, record))
    if run.has_ended_by_force:
        _tidy_own(config, record)
    record.finish(state, error=run.error or None, **outcome.of(record))
    if state != "interrupted":  # the page of the run before stays the latest
        _write_report(record)
    send({"event": "end", "state": state, "error": run.error})
    return EXIT_CODES[state]


def _write_report(record: RunRecord) -> None:
    """Writes the page; a page that cannot be drawn must not turn a finished run into a failed one."""
    try:
        outcome.write_report(record)
    except Exception as error:
        _logger.exception("the report could not be written")
        text = f"the report could not be written ({stage_process.error_text(error)}); see {record.log('runner')}"
        send({"event": "progress", "stage": "report", "kind": "note", "text": text})


def _death(status: int) -> str:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        hint = "; was there too little memory?" if number == signal.SIGKILL else ""
        return f"the stage was ended by signal {number} ({signal.Signals(number).name}){hint}"
    return f"the stage ended with exit status {os.WEXITSTATUS(status)} and said nothing"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
