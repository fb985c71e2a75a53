"""What a rule finds: one sentence on what fails, where, and what to do."""

from __future__ import annotations

import dataclasses

from pipeline.kubeflow_spec import ROOT, Dag


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that fails on the cluster.

    Attributes:
        rule: name of the rule.
        where: the part of the spec.
        what: a sentence.
        remedy: what to do, a sentence.
    """

    rule: str
    where: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what} {self.remedy}"


def fault(where: str, what: str, remedy: str) -> Fault:
    """Makes a fault; who calls the rule puts its name in."""
    return Fault(rule="", where=where, what=what, remedy=remedy)


def task_place(dag: Dag, name: str) -> str:
    """Names a task for people."""
    return f"task {name}" if dag.name == ROOT else f"task {name} of {dag.name}"
