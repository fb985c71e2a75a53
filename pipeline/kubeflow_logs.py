"""The log of a task that ran on Kubeflow Pipelines, from whichever part of the installation hands it out."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from applications.errors import UnknownName
from pipeline.kubeflow_errors import ServerError, Unanswered
from pipeline.kubeflow_follow import OMITTED
from pipeline.kubeflow_nodes import Pod

if TYPE_CHECKING:
    from pipeline.kubeflow_follow import Run

_PAGE = "html"


class Asks(Protocol):
    """The part of `kubeflow_client.Server` that is used here."""

    host: str
    namespace: str

    def text(self, path: str, query: dict[str, str], what: str) -> tuple[str, str]:
        """Returns content type and text of an answer; raises `ServerError`."""


def pods(run: Run, wanted: str) -> list[Pod]:
    """Returns the pods whose logs are asked for: of one task, or with "" of those that failed, else of all.

    Args:
        run: whose.
        wanted: name of a task, or "".

    Raises:
        UnknownName: the run has no such task.
        ServerError: the task never began.
    """
    if wanted and wanted not in {task.name for task in run.tasks}:
        raise UnknownName("task of the run", wanted, [task.name for task in run.tasks])
    failed = [task for task in run.tasks if task.state == "failed"]
    chosen = [task for task in run.tasks if task.name == wanted] if wanted else failed or run.tasks
    begun = [task for task in chosen if task.state != OMITTED]
    if wanted and not begun:
        raise ServerError(f"task {wanted!r} was omitted, as one before it was skipped or failed: it has no log.")
    found = []
    for task in begun:
        made = run.nodes.pods(task.name)
        if not made and task.pod:
            made = [Pod(task=task.name, what="", names=(task.pod,))]
        found += made
    return found


def read(server: Asks, run: Run, pod: Pod) -> str:
    """Returns a pod's log.

    First the user interface is asked, which also looks into the object store, then the API server. Addresses often
    lead to one of them alone.

    Raises:
        Unanswered: nobody answers.
        ServerError: neither has it; the text says what each said, and where else it may be.
    """
    said: list[str] = []
    for name in pod.names:
        for who, path, query in _places(server, run, name):
            try:
                kind, text = server.text(path, query, f"show the log of {pod.task}")
            except Unanswered:
                raise
            except ServerError as error:
                said.append(f"{who}: {_own_words(str(error))}")
                continue
            trouble = "it answers with a page" if _PAGE in kind or text.lstrip()[:1] == "<" else _trouble(text)
            if not trouble:
                return text
            said.append(f"{who}: {trouble}")
    raise ServerError(
        f"{server.host} has no log of {pod.task}. {'; '.join(dict.fromkeys(said))}. The pod may be gone, or its name "
        f"may differ. {elsewhere(server, run, pod.task)}"
    )


def elsewhere(server: Asks, run: Run, task: str = "") -> str:
    """Returns where logs are that no server hands out.

    Args:
        server: of the run.
        run: whose.
        task: its name, "" for all.
    """
    words = ["kubectl", "logs", "-n", server.namespace or "kubeflow", "-l", f"pipeline/runid={run.run_id}"]
    return (
        f"Ask the cluster: {shlex.join(words)} -c main --prefix --tail=-1; or look into the object store for "
        f"{task or 'TASK'}/*/executor-logs below the run's folder."
    )


def _places(server: Asks, run: Run, name: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    query = {"podname": name, "runid": run.run_id}
    if server.namespace:
        query["podnamespace"] = server.namespace
    if run.created:
        query["createdat"] = f"{run.created:%Y-%m-%d}"
    yield "the user interface", "/k8s/pod/logs", query
    yield "the API server", f"/apis/v1alpha1/runs/{run.run_id}/nodes/{name}/log", {}


def _trouble(text: str) -> str:
    """Returns what went wrong; the API server says it in JSON, under status 200."""
    if not text.lstrip().startswith("{"):
        return ""
    try:
        found = json.loads(text)
    except ValueError:
        return ""
    return str(found["error_message"]).strip() if isinstance(found, dict) and "error_message" in found else ""


def _own_words(error: str) -> str:
    """Returns the part of a refusal between its status and its advice."""
    _, is_there, rest = error.partition("HTTP ")
    return f"HTTP {rest}".partition(". ")[0] if is_there else error
