"""What the launcher does in a task's pod: inputs are fetched, the container's command runs, outputs are stored."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from applications.errors import StageError
from pipeline.kubeflow_entrypoint import STAGING_ROOT
from pipeline.replay import placeholders, values
from pipeline.replay.inputs import Outputs, as_json
from pipeline.replay.retries import Retries
from pipeline.replay.spec import Node
from pipeline.replay.storage import Storage, local_path
from pipeline.stage_process import Usage

LOG_FILE = "task.log"
INPUT_FILE = "executor_input.json"
STAGING_FOLDER = "staging"

_PYTHON = ("python", "python3")
_GRACE_S = 5.0  # seconds between asking a container to stop and making it
_IDS = 2**53  # ids of artifacts are below this, as JSON keeps whole numbers exact that far


class TaskFailed(StageError):
    """A container that did not end well; the text is the last it said."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """One task that is ready to run.

    Attributes:
        node: the task.
        executor_input: its inputs, and its outputs as `inputs.provisioned` makes them for `staging`.
        folder: of this task in this replay: log, inputs and staging folder.
        storage: the object store.
        longest_pause_s: before another attempt, in seconds; the spec may ask for minutes.
        note: takes a line about what goes on; called in the thread that runs the job.
    """

    node: Node
    executor_input: Mapping[str, Any]
    folder: Path
    storage: Storage
    longest_pause_s: float = 0.0
    note: Callable[[str], None] = lambda text: None

    @property
    def log(self) -> Path:
        """Takes all that the container prints, over all its attempts."""
        return self.folder / LOG_FILE

    @property
    def staging(self) -> Path:
        """Stands for the root of the container's file system; removed when the task is done, kept when it fails."""
        return self.folder / STAGING_FOLDER


class Launcher:
    """Runs jobs, several at a time where several threads call it, and can end all of them."""

    def __init__(self) -> None:
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def run(self, job: Job) -> tuple[Outputs, Usage]:
        """Runs one job, again where it fails and its retry policy lets it.

        Returns:
            What it left, and what its last attempt took.

        Raises:
            TaskFailed: its last attempt failed too, or it was stopped.
            StageError: its command has an unknown placeholder, or what it says of its outputs is not usable.
        """
        job.folder.mkdir(parents=True, exist_ok=True)
        (job.folder / INPUT_FILE).write_text(json.dumps(job.executor_input, indent=1) + "\n", encoding="utf-8")
        if "importer" in job.node.executor:
            return _imported(job), Usage(cpu_s=0.0, peak_memory_mib=0.0)
        policy, began_s, attempt = Retries.of(job.node), time.monotonic(), 1
        while True:
            _stage(job)
            status, usage = self._execute(job, attempt)
            if status == 0:
                break
            pause_s = policy.pause_s(attempt, time.monotonic() - began_s)
            if pause_s is None or self._stopped.is_set():
                raise TaskFailed(_failure(job, status, attempt) + policy.why_none)
            self._pause(job, pause_s, f"attempt {attempt} of {policy.count + 1} failed")
            attempt += 1
        outputs = collected(job)
        shutil.rmtree(job.staging)
        return outputs, usage

    def stop(self) -> None:
        """Ends every container; `run` raises in the threads that wait for them."""
        with self._lock:
            self._stopped.set()
            running = list(self._processes)
        for process in running:
            _signal(process, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE_S
        while self._processes and time.monotonic() < deadline:
            time.sleep(0.02)
        for process in running:
            _signal(process, signal.SIGKILL)

    def _pause(self, job: Job, pause_s: float, why: str) -> None:
        """Waits before another attempt, as long as the spec says but not longer than whoever sits here would."""
        shortened = f" (a cluster waits {pause_s:.0f} s)" if pause_s > job.longest_pause_s else ""
        pause_s = min(pause_s, job.longest_pause_s)
        job.note(f"{why}; the next in {pause_s:.0f} s{shortened}")
        self._stopped.wait(pause_s)

    def _execute(self, job: Job, attempt: int) -> tuple[int, Usage]:
        """Runs the container's command once, in a process group of its own; returns its exit status."""
        with job.log.open("ab") as log:
            if attempt > 1:
                log.write(f"\n--- attempt {attempt} ---\n".encode())
                log.flush()
            with self._lock:
                if self._stopped.is_set():
                    raise TaskFailed(f"{job.node.name} was stopped before it began.")
                process = _started(job, log.fileno())
                self._processes.add(process)
            _, status, account = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            _signal(process, signal.SIGKILL)  # what it left behind
            with self._lock:
                self._processes.discard(process)
        return process.returncode, Usage.of(account)


def _started(job: Job, log: int) -> subprocess.Popen[bytes]:
    """Starts the container's command; the image's `python` is this interpreter."""
    container = job.node.container
    words = placeholders.fill(
        [*container.get("command", []), *container.get("args", [])], job.executor_input, job.staging
    )
    if not words:
        raise StageError(
            f"the container of task {job.node.name!r} has no command: it runs what its image says, which the replay "
            "does not have. Give it a command."
        )
    if words[0] in _PYTHON:
        words[0] = sys.executable
    try:
        return subprocess.Popen(
            words,
            cwd=job.staging,
            env=_environment(job),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    except OSError as error:
        raise TaskFailed(f"{words[0]!r}, the command of {job.node.name}, cannot be run ({error.strerror}).") from error


def _environment(job: Job) -> dict[str, str]:
    """Returns the environment of a container: this one, the spec's own, and where its artifacts are."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    given = {each["name"]: str(each.get("value", "")) for each in job.node.container.get("env", [])}
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONUNBUFFERED": "1"}
    return {**os.environ, "PATH": path, **quiet, **given, STAGING_ROOT: str(job.staging)}


def _stage(job: Job) -> None:
    """Fetches the inputs into an empty staging folder and makes the folders in which outputs will lie."""
    shutil.rmtree(job.staging, ignore_errors=True)
    job.staging.mkdir(parents=True)
    for found in job.executor_input["inputs"]["artifacts"].values():
        for each in found["artifacts"]:
            job.storage.download(each["uri"], local_path(each["uri"], job.staging))
    outputs = job.executor_input["outputs"]
    for each in outputs["parameters"].values():
        Path(each["outputFile"]).parent.mkdir(parents=True, exist_ok=True)
    for found in outputs["artifacts"].values():
        local_path(found["artifacts"][0]["uri"], job.staging).parent.mkdir(parents=True, exist_ok=True)
    Path(outputs["outputFile"]).parent.mkdir(parents=True, exist_ok=True)


def collected(job: Job) -> Outputs:
    """Stores what a container wrote, and returns it as the tasks behind it get it.

    Raises:
        StageError: the file about its outputs cannot be read, or an output parameter is missing or of a wrong type.
    """
    said = _said(job)
    outputs = job.executor_input["outputs"]
    artifacts = {}
    for key, found in outputs["artifacts"].items():
        [own] = said.get("artifacts", {}).get(key, {}).get("artifacts", [])[:1] or [{}]
        told = {**found["artifacts"][0], "uri": own.get("uri") or found["artifacts"][0]["uri"]}
        metadata = {"display_name": key, **told.get("metadata", {}), **own.get("metadata", {})}
        job.storage.upload(local_path(told["uri"], job.staging), told["uri"])
        where = f"the metadata of output {key!r} of task {job.node.name!r}"
        told |= {"name": _new_id(), "metadata": values.through_metadata(metadata, where)}
        artifacts[key] = [told]
    parameters = {
        key: _output_parameter(job, key, Path(each["outputFile"]), said) for key, each in outputs["parameters"].items()
    }
    return Outputs(artifacts=artifacts, parameters=parameters)


def _said(job: Job) -> dict[str, Any]:
    """Returns ExecutorOutput, {} where the container wrote none."""
    file = Path(job.executor_input["outputs"]["outputFile"])
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise StageError(f"task {job.node.name!r} must write ExecutorOutput as JSON into {file}: {error}.") from error
    if not isinstance(found, dict):
        raise StageError(f"task {job.node.name!r} must write ExecutorOutput, an object, into {file}, got {found!r}.")
    return found


def _output_parameter(job: Job, key: str, file: Path, said: Mapping[str, Any]) -> Any:
    kind = job.node.component["outputDefinitions"]["parameters"][key].get("parameterType", "STRING")
    where = f"output {key!r} of task {job.node.name!r}"
    if key in said.get("parameterValues", {}):
        return values.converted(values.number(said["parameterValues"][key]), kind, where)
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise StageError(
            f"{where} must be written to the file named by its placeholder output_file, or into ExecutorOutput; "
            "the container did neither."
        ) from error
    return values.read(text if kind == "STRING" else text.strip(), kind, where)


def _imported(job: Job) -> Outputs:
    """Returns the artifact of an importer, under the same id each time unless it asks for a new one.

    Raises:
        StageError: its URI has no scheme, or nothing of that name is in the store of the replay.
    """
    importer = job.node.executor["importer"]
    told = importer["artifactUri"]
    given = job.executor_input["inputs"]["parameterValues"]
    uri = str(told["constant"] if "constant" in told else given[told["runtimeParameter"]])
    path = job.storage.path(uri)
    if not job.storage.has(uri):
        raise StageError(
            f"importer {job.node.name!r} refers to {uri}, of which the replay has no copy. Put one at {path}."
        )
    [key] = job.node.component["outputDefinitions"]["artifacts"]
    where = f"the metadata of importer {job.node.name!r}"
    artifact = {
        "uri": uri,
        "type": importer["typeSchema"],
        "metadata": values.through_metadata(importer.get("metadata", {}), where),
    }
    is_new = importer.get("reimport", False)
    digest = hashlib.sha256(as_json(artifact).encode()).digest()
    artifact["name"] = _new_id() if is_new else str(int.from_bytes(digest[:6], "big"))
    return Outputs(artifacts={key: [artifact]})


def _new_id() -> str:
    return str(secrets.randbelow(_IDS - 1) + 1)


def _failure(job: Job, status: int, attempts: int) -> str:
    """Returns why a task failed, in the last words of its log."""
    lines = job.log.read_text(encoding="utf-8", errors="replace").splitlines()
    said = [line.strip() for line in lines if line.strip()]
    last = f": {said[-1].removeprefix('Error: ')}" if said else ""
    how = f"was ended by signal {-status} ({signal.Signals(-status).name})" if status < 0 else f"exit status {status}"
    times = f", {attempts} attempts" if attempts > 1 else ""
    return f"{job.node.name} failed ({how}{times}){last}"


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    """Sends a signal to a container's process group, which may be gone."""
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return
