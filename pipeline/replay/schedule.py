"""Which tasks of a pipeline may start now, with conditions, nested DAGs and exit handlers; no processes."""

from __future__ import annotations

from typing import Literal

from pipeline.replay.spec import ROOT, Spec

State = Literal["waiting", "running", "done", "cached", "failed", "skipped"]
_WELL = ("done", "cached")


class Schedule:
    """The states of a replay's tasks.

    A task starts when all it waits for, and all that the DAGs around it wait for, ended well. It is skipped where one
    of these was: the backend gives Argo `depends: X.Succeeded`, and what is omitted so fails nothing. After a failure
    nothing starts but exit handlers, and these when nothing they wait for can go on.
    """

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self.states: dict[str, State] = dict.fromkeys(spec.leaves(), "waiting")
        self._skipped: set[str] = set()  # DAGs

    @property
    def has_failed(self) -> bool:
        """Whether any task failed."""
        return "failed" in self.states.values()

    @property
    def running(self) -> list[str]:
        """Lists the tasks that run now."""
        return [path for path, state in self.states.items() if state == "running"]

    def set(self, path: str, state: State) -> None:
        """Notes the state of a task; a DAG can only be skipped, and all in it with it."""
        if self._spec.nodes[path].is_dag:
            self._skipped.add(path)
        for leaf in self._spec.leaves(path):
            self.states[leaf] = state

    def ready(self) -> list[str]:
        """Lists the tasks that may start, in the order of the pipeline; those behind a skipped one become skipped."""
        found = []
        for path in self.states:
            if self.states[path] != "waiting":
                continue
            if any(self.state(each) == "skipped" for each in self._needs(path)) and not self._runs_anyway(path):
                self.states[path] = "skipped"
            elif self._is_ready(path):
                found.append(path)
        return found

    def state(self, path: str) -> State:
        """Returns the state of a task, or that of a DAG which follows from its tasks."""
        if not self._spec.nodes[path].is_dag:
            return self.states[path]
        if path in self._skipped:
            return "skipped"
        states = {self.states[leaf] for leaf in self._spec.leaves(path)}
        for state in ("failed", "running", "waiting"):
            if state in states:
                return state
        return "done"  # in Argo a DAG ended well even where tasks in it were skipped

    def skipped_need(self, path: str) -> str:
        """Returns the name of the first task or DAG that a task waits for and that was skipped; "" for none."""
        found = [each for each in self._needs(path) if self.state(each) == "skipped"]
        return self._spec.nodes[found[0]].name if found else ""

    def _needs(self, path: str) -> list[str]:
        return [each for node in self._spec.around(path) for each in node.needs]

    def _runs_anyway(self, path: str) -> bool:
        return any(node.runs_anyway for node in self._spec.around(path))

    def _is_ready(self, path: str) -> bool:
        needs = self._needs(path)
        if self._runs_anyway(path):
            return all(self._is_over(each) for each in needs)
        return not self.has_failed and all(self.state(each) in _WELL for each in needs)

    def _is_over(self, path: str) -> bool:
        """Whether nothing at or below a path runs or can still start."""
        waiting = () if self.has_failed else ("waiting",)
        return not any(self.states[leaf] in ("running", *waiting) for leaf in self._spec.leaves(path or ROOT))
