"""What is known of each run, on disk and readable at any moment: record, configuration, events and logs.

The command line creates a record before it starts the local runner; the runner opens it by its id, fills it
in and finishes it. Files are replaced as a whole, so a reader never sees half of one.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import pathlib
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from applications.errors import OutputError, UnknownName
from pipeline.output_folder import OutputFolder, explain_os_error
from pipeline.partial_run import reused, upstream_of
from serving import versions

VERSION = 1
FINISHED_STAGES = ("done", "cached")
_STAGE_FIELDS = (
    "state",
    "started_utc",
    "ended_utc",
    "wall_s",
    "cpu_s",
    "peak_memory_mib",
    "energy_j",
    "energy_source",
    "error",
)


def model_name(application: str) -> str:
    """Returns the name a server knows an application's model by, such as `satellite-landcover`."""
    return application.replace("/", "-").replace("_", "-")


def utc_now() -> str:
    """Returns the time as `2026-11-21T03:45:00.123Z`."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Unreadable(OutputError):
    """A run's record is missing or damaged."""


class RunRecord:
    """The record of one run. Methods may be called from several threads of one process.

    Attributes:
        folder: the output folder.
        run_id: such as `20261121T034500Z`.
    """

    def __init__(self, folder: OutputFolder, data: dict[str, Any]) -> None:
        self.folder = folder
        self.run_id: str = data["run_id"]
        self._data = data
        self._guard = threading.RLock()

    @classmethod
    def create(cls, out: str | pathlib.Path, application: str, config: Mapping[str, Any], **more: Any) -> RunRecord:
        """Starts a record in state `running` and writes `config.yaml` beside it.

        Args:
            out: the output folder.
            application: `<system>/<application>`.
            config: resolved, as `pipeline.config.to_dict` gives it.
            **more: `run_id` (required) and any of `fingerprint`, `data`, `stages` (names in order),
                `from_stage`, `to_stage`, `base_run_id`, `versions`, `machine`.
        """
        import yaml

        folder = OutputFolder(pathlib.Path(out))
        stages = more.pop("stages", ())
        data = {
            "version": VERSION,
            "run_id": more.pop("run_id"),
            "application": application,
            "state": "running",
            "started_utc": utc_now(),
            "ended_utc": None,
            "error": None,
            "fingerprint": "",
            "from_stage": "",
            "to_stage": "",
            "base_run_id": "",
            "config": dict(config),
            "data": {"path": "", "fingerprint": "", "items": None},
            "stages": [_waiting(name) for name in stages],
            "artifacts": {},
            "verdict": None,
            "pushed": None,
            "report": None,
            "products": {},
            "serving_state": "",
            "versions": {},
            "machine": {},
            **more,
        }
        record = cls(folder, data)
        try:
            record.logs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explain_os_error(error, folder.path) from error
        write_atomically(record.path / "config.yaml", yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))
        record.save()
        record.event("run", state="running")
        return record

    @classmethod
    def open(cls, out: str | pathlib.Path, run_id: str) -> RunRecord:
        """Reads a record, to go on with it.

        Raises:
            Unreadable: there is no such record, or it is damaged.
        """
        folder = OutputFolder(pathlib.Path(out))
        return cls(folder, read(folder, run_id))

    @property
    def data(self) -> dict[str, Any]:
        """The record's contents; change them through the methods."""
        return self._data

    @property
    def path(self) -> pathlib.Path:
        """The run's own folder, `<out>/runs/<run_id>`."""
        return self.folder.run(self.run_id)

    @property
    def logs(self) -> pathlib.Path:
        """The folder of the logs, one file per stage."""
        return self.path / "logs"

    def log(self, stage: str) -> pathlib.Path:
        """The log file of one stage; `runner` is the runner's own."""
        return self.logs / f"{stage}.log"

    def update(self, **fields: Any) -> None:
        """Replaces top-level fields, such as `machine`, `versions` or `data`."""
        with self._guard:
            for name in fields:
                if name not in self._data:
                    raise UnknownName("field of a run's record", name, list(self._data))
            self._data.update(fields)
            self.save()

    def plan(self, stages: Iterable[str]) -> None:
        """Sets the stages of this run, in order, all waiting."""
        self.update(stages=[_waiting(name) for name in stages])

    def stage(self, name: str, **fields: Any) -> dict[str, Any]:
        """Sets fields of a stage (`state`, `wall_s` in seconds, `peak_memory_mib` in MiB, `energy_j` in joules …).

        Times of start and end are filled in by the state. A new state is also an event.

        Returns:
            a copy of the stage's entry.
        """
        with self._guard:
            entry = self._stage(name)
            for field in fields:
                if field not in _STAGE_FIELDS:
                    raise UnknownName("field of a stage", field, _STAGE_FIELDS)
            state = fields.get("state")
            if state == "running":
                fields.setdefault("started_utc", utc_now())
            elif state is not None and state != "waiting":
                fields.setdefault("ended_utc", utc_now())
            entry.update(fields)
            self.save()
            if state is not None:
                self.event("stage", stage=name, state=state, **({"error": entry["error"]} if entry["error"] else {}))
            return dict(entry)

    def artifacts(self, stage: str, outputs: Mapping[str, Iterable[str | pathlib.Path]]) -> None:
        """Notes where a stage's outputs lie; paths below the output folder are kept relative to it."""
        with self._guard:
            self._data["artifacts"][stage] = {
                key: [self.relative(path) for path in paths] for key, paths in outputs.items()
            }
            self.save()

    def take(self, event: Mapping[str, Any]) -> None:
        """Notes one event of the local runner: `plan`, `stage` (with its `outputs`), `progress` or `server`."""
        fields = {key: value for key, value in event.items() if key not in ("event", "stage")}
        if event["event"] == "plan":
            self.plan(event["stages"])
        elif event["event"] == "stage":
            outputs = fields.pop("outputs", None)
            if outputs is not None:
                self.artifacts(event["stage"], outputs)
            self.stage(event["stage"], **fields)
        elif event["event"] == "progress":
            self.progress(event["stage"], **fields)
        else:
            self.event(event["event"], **fields)

    def progress(self, stage: str, kind: str, **fields: Any) -> None:
        """Notes how far a stage is; see `applications.progress.report`."""
        self.event("progress", stage=stage, kind=kind, **fields)

    def event(self, event: str, **fields: Any) -> None:
        """Appends one line to `events.jsonl`."""
        line = json.dumps({"time_utc": utc_now(), "event": event, **fields}, default=str) + "\n"
        with self._guard, (self.path / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(line)

    def finish(self, state: str, **fields: Any) -> None:
        """Ends the run.

        Args:
            state: `complete`, `failed` or `interrupted`. Stages still running or waiting are marked so
                (`failed` leaves waiting ones `skipped`).
            **fields: any of `error`, `verdict` (`{"verdict", "sentence"}`) and `pushed` (`{"path", "version"}`).
        """
        with self._guard:
            for entry in self._data["stages"]:
                if entry["state"] == "running":
                    entry["state"] = "interrupted" if state == "interrupted" else "failed"
                    entry["ended_utc"] = utc_now()
                elif entry["state"] == "waiting":
                    entry["state"] = "skipped"
            if fields.get("pushed"):
                fields["pushed"] = {**fields["pushed"], "path": self.relative(fields["pushed"]["path"])}
            self.update(state=state, ended_utc=utc_now(), serving_state=self.serving_state(), **fields)
            self.update(products=products(self))
            self.event("run", state=state, **({"error": fields["error"]} if fields.get("error") else {}))

    def save(self) -> None:
        """Writes `record.json` as a whole."""
        with self._guard:
            write_atomically(self.path / "record.json", json.dumps(self._data, indent=1, default=str) + "\n")

    def relative(self, path: str | pathlib.Path) -> str:
        """Returns a path relative to the output folder where it lies below it, else as it is; "/" everywhere."""
        given = pathlib.Path(path)
        for root in (self.folder.path, self.folder.path.resolve()):
            if given.is_relative_to(root):
                return given.relative_to(root).as_posix()
        return str(path)

    def absolute(self, path: str) -> pathlib.Path:
        """Returns where a path of the record lies on disk."""
        return self.folder.path / path

    def product(self, stage: str, output: str, file: str) -> pathlib.Path | None:
        """Returns where a file of a stage's output lies, or None when there is none."""
        for path in self._data["artifacts"].get(stage, {}).get(output, ()):
            found = self.absolute(path) / file
            if found.is_file():
                return found
        return None

    def model_folder(self) -> versions.ModelFolder:
        """Returns the folder of the application's pushed versions."""
        destination = self.folder.destination(self._data["config"].get("push", {}).get("destination", ""))
        return versions.ModelFolder(destination=destination, model=model_name(self._data["application"]))

    def serving_state(self) -> str:
        """Returns a digest of the pushed versions as they are now."""
        folder = self.model_folder()
        return versions.state(str(folder.destination), folder.model)

    def _stage(self, name: str) -> dict[str, Any]:
        for entry in self._data["stages"]:
            if entry["name"] == name:
                found: dict[str, Any] = entry
                return found
        entry = _waiting(name)
        self._data["stages"].append(entry)
        return entry


def products(record: RunRecord) -> dict[str, int]:
    """Lists what a run leaves for people and servers, with sizes in bytes: the pushed version and the report."""
    data = record.data
    paths = [record.absolute(data["report"])] if data["report"] else []
    if data["pushed"]:
        paths += sorted(record.absolute(data["pushed"]["path"]).rglob("*"))
    return {record.relative(path): path.stat().st_size for path in paths if path.is_file()}


def read(folder: OutputFolder, run_id: str) -> dict[str, Any]:
    """Reads one record.

    Raises:
        Unreadable: it is missing, damaged, or of a version this program does not know.
    """
    path = folder.run(run_id) / "record.json"
    try:
        data = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise Unreadable(f"no record of run {run_id} in {folder.path}; `earthloop runs` lists them.") from error
    except msgspec.DecodeError as error:
        raise Unreadable(f"{path} is not a record ({error}). `earthloop doctor --fix` sets it aside.") from error
    if not isinstance(data, dict) or data.get("version") != VERSION or data.get("run_id") != run_id:
        raise Unreadable(f"{path} is not a record of version {VERSION} of run {run_id}; another Earthloop wrote it.")
    return data


def run_ids(folder: OutputFolder) -> list[str]:
    """Lists the ids of all runs, the newest first."""
    if not folder.runs.is_dir():
        return []
    names = [entry.name for entry in folder.runs.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    return sorted(names, key=_age, reverse=True)


def records(folder: OutputFolder) -> list[dict[str, Any]]:
    """Reads all readable records, the newest first."""
    found = []
    for run_id in run_ids(folder):
        try:
            found.append(read(folder, run_id))
        except Unreadable:
            continue
    return found


def last_complete(folder: OutputFolder) -> dict[str, Any] | None:
    """Returns the newest record in state `complete`, or None."""
    return next((record for record in records(folder) if record["state"] == "complete"), None)


def close_dead(record: RunRecord) -> list[str]:
    """Ends the records of earlier runs that say they are running; `record` is of the one that holds the folder now.

    Returns:
        ids of the runs since the last complete one: any of them may have left half-written results.
    """
    since: list[str] = []
    for run_id in run_ids(record.folder):
        if run_id == record.run_id:
            continue
        try:
            earlier = RunRecord.open(record.folder.path, run_id)
        except Unreadable:
            continue
        if earlier.data["state"] == "complete":
            break
        if earlier.data["state"] == "running":
            earlier.finish("interrupted", error="the process was killed")
        since.append(run_id)
    return since


def base_run(folder: OutputFolder, needed: Sequence[str]) -> tuple[str, list[str]]:
    """Returns the run that has the products of most of the `needed` stages, its own or its base's, and those it lacks.

    Of several it is the newest; where there is no run, it is "".
    """
    found, lacking = "", list(needed)
    for record in records(folder):
        names = [stage["name"] for stage in record["stages"]]
        have = {stage["name"] for stage in record["stages"] if stage["state"] in FINISHED_STAGES}
        if record["from_stage"] in names:
            have |= set(reused(upstream_of(names), record["from_stage"], record["to_stage"]))
        missing = [name for name in needed if name not in have]
        if not found or len(missing) < len(lacking):
            found, lacking = str(record["run_id"]), missing
    return found, lacking


def write_atomically(path: pathlib.Path, text: str) -> None:
    """Replaces a file as a whole; a reader sees the old text or the new one.

    Raises:
        OutputError: it cannot be written (read-only, full).
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):  # on a read-only disk even this fails, with the name nobody knows
            temporary.unlink(missing_ok=True)
        raise explain_os_error(error, path) from error


def _waiting(name: str) -> dict[str, Any]:
    """Returns the entry of a stage that has not started."""
    return {"name": name, **dict.fromkeys(_STAGE_FIELDS), "state": "waiting"}


def _age(run_id: str) -> tuple[str, int]:
    """Orders `…Z` before `…Z-2` before `…Z-10`."""
    stamp, _, number = run_id.partition("-")
    return stamp, int(number) if number.isdigit() else 1
