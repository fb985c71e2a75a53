"""Which task may start."""

from __future__ import annotations

import pytest

from pipeline.kubeflow_spec import KubeflowSpec
from pipeline.replay.schedule import Schedule
from pipeline.replay.spec import parse

ANYWAY = {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}


@pytest.fixture
def schedule(pipeline):
    """Tasks `first` and `side`, `second` behind the first, and `goodbye` behind all of them."""
    pipeline.add("first").add("side").add("second", dependentTasks=["first"])
    pipeline.add("goodbye", dependentTasks=["first", "second", "side"], triggerPolicy=ANYWAY)
    return Schedule(parse(KubeflowSpec(pipeline=pipeline.document(), platform={})))


def test_what_waits_for_nothing_starts_first(schedule):
    assert schedule.ready() == ["first", "side"]
    schedule.set("first", "cached")
    assert schedule.ready() == ["side", "second"]


def test_after_a_failure_nothing_starts_but_the_exit_handler_when_all_is_quiet(schedule):
    schedule.set("first", "failed")
    schedule.set("side", "running")
    assert schedule.ready() == []
    schedule.set("side", "done")
    assert schedule.ready() == ["goodbye"]
    assert schedule.states["second"] == "waiting"


def test_what_is_behind_a_skipped_task_is_skipped_but_for_the_exit_handler(schedule):
    schedule.set("first", "skipped")
    schedule.set("side", "done")
    assert schedule.ready() == ["goodbye"]
    assert schedule.states["second"] == "skipped"
