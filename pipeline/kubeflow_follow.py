"""A run on Kubeflow Pipelines as people want to see it: its tasks, what changed since they were last looked at."""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Callable, Iterator
from typing import Any

from pipeline.kubeflow_errors import Unanswered
from pipeline.kubeflow_nodes import Nodes

FINAL_STATES = ("succeeded", "skipped", "failed", "canceled")
OMITTED = "omitted"  # Argo's word for a task behind a skipped or failed one; the server has none for it
PATIENCE_S = 600.0  # so long a server may be away while its run goes on: it restarts, a tunnel is opened again
_POLL_S = (2.0, 15.0)  # seconds between two looks: at the beginning, and when the run is long


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """One task of a run.

    Attributes:
        key: the same at every look.
        name: as in the pipeline.
        state: KFP's, in small letters, or `OMITTED`; "" before it has one.
        seconds: how long it ran; None while that is not known.
        error: its last error, "" for none.
        artifacts: ids by the name of the output.
        pod: its name, "" where the server does not tell; those read so far do not.
    """

    key: str
    name: str
    state: str
    seconds: float | None
    error: str
    artifacts: dict[str, list[str]]
    pod: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """One run, as the server tells it now.

    Attributes:
        run_id: its id.
        name: what people call it.
        state: KFP's, in small letters; "" before it has one.
        created: UTC; None where the server does not say.
        seconds: from its creation to its end; None while it goes on.
        error: "" for none.
        tasks: in the order in which they began.
        pipeline: id of its pipeline and of that's version; ("", "") where it came without one.
        root: where its artifacts lie, if whoever started it has said so.
        nodes: of Argo, behind the tasks.
    """

    run_id: str
    name: str
    state: str
    created: datetime.datetime | None
    seconds: float | None
    error: str
    tasks: tuple[Task, ...]
    pipeline: tuple[str, str]
    root: str
    nodes: Nodes

    @property
    def is_over(self) -> bool:
        """Nothing changes any more."""
        return self.state in FINAL_STATES


def run_of(found: Any) -> Run:
    """Makes a run of KFP's `V2beta1Run`, most of whose fields may be missing."""
    details = (found.run_details.task_details if found.run_details else None) or []
    ids = [child.pod_name for task in details for child in task.child_tasks or [] if child.pod_name]
    nodes = Nodes([task.display_name or "" for task in details], ids)
    ordered = sorted(details, key=lambda task: (task.start_time is None, str(task.start_time), str(task.display_name)))
    version = found.pipeline_version_reference
    state = _state(found.state)
    return Run(
        run_id=found.run_id or "",
        name=found.display_name or "",
        state=state,
        created=found.created_at,
        seconds=_seconds(found.created_at, found.finished_at),
        error=_error(found.error),
        tasks=tuple(_task(task, state) for task in ordered if not _is_inner(task, nodes.workflow)),
        pipeline=(version.pipeline_id or "", version.pipeline_version_id or "") if version else ("", ""),
        root=(found.runtime_config.pipeline_root if found.runtime_config else None) or "",
        nodes=nodes,
    )


def follow(look: Callable[[], Run], tell: Callable[[str], None]) -> Run:
    """Looks at a run until it is over, and tells every change of a task's state in a line.

    Args:
        look: asks the server.
        tell: takes a line.

    Raises:
        Unanswered: the server was away for longer than `PATIENCE_S`.
    """
    known: dict[str, str] = {}
    pause_s, away_since = _POLL_S[0], 0.0
    while True:
        try:
            run = look()
        except Unanswered as error:
            if not away_since:
                tell(f"no answer, trying on for {PATIENCE_S / 60:.0f} min: {error}")
                away_since = time.monotonic()
            if time.monotonic() - away_since >= PATIENCE_S:
                raise
        else:
            away_since = 0.0
            for line in _changes(run, known):
                tell(line)
            if run.is_over:
                return run
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.2, _POLL_S[1])


def _changes(run: Run, known: dict[str, str]) -> Iterator[str]:
    """Yields a line for every task in another state than the known one, and notes it."""
    width = max((len(task.name) for task in run.tasks), default=0)
    for task in run.tasks:
        if task.state and known.get(task.key) != task.state:
            known[task.key] = task.state
            why = f": {task.error}" if task.error else ""
            time_taken = f" ({task.seconds:.0f} s)" if task.seconds is not None and task.state in FINAL_STATES else ""
            yield f"{task.name:<{width}}  {task.state}{time_taken}{why}"


def _task(found: Any, run_state: str) -> Task:
    state = _state(found.state)
    return Task(
        key=found.pod_name or found.task_id or found.display_name or "",
        name=found.display_name or found.task_id or "",
        state=state or (OMITTED if run_state in FINAL_STATES else ""),
        seconds=_seconds(found.start_time, found.end_time),
        error=_error(found.error),
        artifacts={name: list(each.artifact_ids or []) for name, each in (found.outputs or {}).items() if each},
        pod=found.pod_name or "",
    )


def _is_inner(task: Any, workflow: str) -> bool:
    """Returns whether a node of Argo's is KFP's own: drivers, pods inside of a task, hooks, and the DAGs around all.

    A driver that failed is shown, as its task then never began.
    """
    name = task.display_name or ""
    if name.endswith("-driver"):
        return _state(task.state) != "failed"
    is_entry = name == (workflow or task.pod_name)  # Argo calls the first node by the workflow's name
    return is_entry or name == "root" or name.partition("(")[0] == "executor" or name.endswith(".onExit")


def _state(found: Any) -> str:
    text = str(found or "").lower()
    return "" if text == "runtime_state_unspecified" else text


def _error(found: Any) -> str:
    return " ".join(str(found.message).split()) if found and found.message else ""


def _seconds(began: datetime.datetime | None, ended: datetime.datetime | None) -> float | None:
    """Returns the time between, None where one is not known: the server's zero time lies before any other."""
    return (ended - began).total_seconds() if began and ended and ended >= began else None
