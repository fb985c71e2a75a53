"""The nodes of Argo behind a run, and the names of their pods, which a Kubeflow Pipelines server does not tell.

What it does tell of each node is a display name and the ids of others that follow it. An id is the workflow's name and
the FNV-1a hash of the node's full name, such as `w.root.tfx-dag.train.executor`; so full names are found by trying
which of them give an id that is there. A pod's name is the workflow's, that of the template, and the same hash.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Collection, Iterator

_FNV_OFFSET, _FNV_PRIME, _FNV_BITS = 0x811C9DC5, 0x01000193, 0xFFFFFFFF
_LONGEST_PREFIX = 242  # characters of a pod's name before its hash; Argo cuts off what is beyond
_ONCE, _AGAIN = "system-container-impl", "retry-system-container-impl"  # templates; the latter of tasks with retries
_DRIVERS = ("system-container-driver", "system-dag-driver")
_IMPORTER = "system-importer"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pod:
    """A pod of a task.

    Attributes:
        task: name of the task.
        what: "" for the only attempt, "attempt 2", or "driver": the part of Kubeflow's that comes before the task.
        names: what it may be called, the likeliest first; clusters with old names call pods by the node's id.
    """

    task: str
    what: str
    names: tuple[str, ...]

    @property
    def title(self) -> str:
        """Names it for people."""
        return f"{self.task}{f', {self.what}' if self.what else ''}"


class Nodes:
    """The nodes of one run.

    Attributes:
        workflow: its name; "" where the server tells no ids.
    """

    def __init__(self, displayed: Collection[str], ids: Collection[str]) -> None:
        """Finds the full names.

        Args:
            displayed: display names of all nodes.
            ids: of all nodes that follow another.
        """
        self._ids = frozenset(ids)
        stems = collections.Counter(each.rpartition("-")[0] for each in self._ids)
        self.workflow = stems.most_common(1)[0][0] if stems else ""
        self._names: dict[str, str] = {}  # display name by full name
        self._find(sorted(set(displayed)))

    def pods(self, task: str) -> list[Pod]:
        """Returns the pods of a task in the order in which they began; its driver's where there are no others."""
        found: list[Pod] = []
        for full, name in self._names.items():
            if name == task:
                found += self._pods(full, task)
        return found

    def _find(self, displayed: list[str]) -> None:
        todo = [self.workflow] if self.workflow else []
        while todo:
            above = todo.pop(0)
            for name in displayed:
                full = f"{above}.{name}"
                if full not in self._names and self._has(full):
                    self._names[full] = name
                    todo.append(full)

    def _pods(self, full: str, task: str) -> Iterator[Pod]:
        executor = f"{full}.executor"
        if self._has(f"{executor}(0)"):
            number = 0
            while self._has(attempt := f"{executor}({number})"):
                number += 1
                yield self._pod(task, f"attempt {number}", attempt, [_AGAIN])
        elif self._has(executor):
            yield self._pod(task, "", executor, [_ONCE, _AGAIN])
        elif any(other.startswith(f"{full}.") for other in self._names):
            return  # a DAG, which is no pod
        elif self._has(f"{full}-driver"):
            yield self._pod(task, "driver", f"{full}-driver", _DRIVERS)
        else:
            yield self._pod(task, "", full, _DRIVERS if task.endswith("-driver") else [_IMPORTER, *_DRIVERS])

    def _has(self, full: str) -> bool:
        return f"{self.workflow}-{fnv1a(full)}" in self._ids

    def _pod(self, task: str, what: str, full: str, templates: Collection[str]) -> Pod:
        number = fnv1a(full)
        names = [f"{f'{self.workflow}-{template}'[:_LONGEST_PREFIX]}-{number}" for template in templates]
        return Pod(task=task, what=what, names=(*names, f"{self.workflow}-{number}"))


def fnv1a(text: str) -> int:
    """Returns the 32-bit FNV-1a hash of a text's UTF-8 bytes."""
    found = _FNV_OFFSET
    for byte in text.encode():
        found = (found ^ byte) * _FNV_PRIME & _FNV_BITS
    return found
