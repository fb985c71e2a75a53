from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.scheduler import Schedule, ancestors, descendants

DIAMOND = {"read": [], "left": ["read"], "right": ["read"], "end": ["left", "right"]}


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    count = draw(st.integers(1, 9))
    names = [f"s{number}" for number in range(count)]
    return {
        name: draw(st.lists(st.sampled_from(names[:place]), unique=True)) if place else []
        for place, name in enumerate(names)
    }


@given(upstream=graphs(), at_once=st.integers(1, 4))
def test_every_stage_runs_once_after_its_upstream_and_never_too_many_at_once(upstream, at_once):
    schedule = Schedule(upstream, at_once=at_once)
    finished: list[str] = []
    running: list[str] = []
    while not schedule.is_over:
        for name in schedule.startable():
            assert set(upstream[name]) <= set(finished)
            schedule.set(name, "running")
            running.append(name)
        assert 1 <= len(running) <= at_once
        finished.append(running.pop(0))
        schedule.set(finished[-1], "done")
    assert sorted(finished) == sorted(upstream)


def test_nothing_starts_after_a_failure_but_what_runs_may_end():
    schedule = Schedule(DIAMOND, at_once=2)
    schedule.set("read", "done")
    schedule.set("left", "running")
    schedule.set("right", "failed")
    assert schedule.startable() == []
    assert not schedule.is_over
    schedule.set("left", "done")
    assert schedule.is_over
    assert schedule.has_failed


def test_a_skipped_stage_counts_as_done_for_those_behind_it():
    schedule = Schedule(DIAMOND, at_once=4, skip=["read"])
    assert schedule.startable() == ["left", "right"]


def test_the_longest_chain_goes_first():
    upstream = {"read": [], "short": ["read"], "long": ["read"], "longer": ["long"], "end": ["longer"]}
    schedule = Schedule(upstream, at_once=1)
    schedule.set("read", "done")
    assert schedule.startable() == ["long"]


@given(upstream=graphs())
def test_a_stage_is_behind_exactly_those_that_are_before_it(upstream):
    for name in upstream:
        assert all(name in descendants(upstream, before) for before in ancestors(upstream, name))
        assert name in ancestors(upstream, name)


GUARDED = {"read": [], "judge": ["read"], "learn": ["read", "judge"], "end": ["learn"]}


def test_a_guarded_stage_may_start_early_but_nothing_behind_it_before_the_guard_is_done():
    schedule = Schedule(GUARDED, at_once=2, guards={"learn": ["judge"]})
    schedule.set("read", "done")
    assert schedule.startable() == ["judge", "learn"]
    schedule.set("judge", "running")
    schedule.set("learn", "done")
    assert schedule.startable() == []
    schedule.set("judge", "done")
    assert schedule.startable() == ["end"]


def test_a_guarded_stage_is_lost_when_its_guard_fails():
    schedule = Schedule(GUARDED, at_once=2, guards={"learn": ["judge"]})
    schedule.set("read", "done")
    schedule.set("learn", "running")
    schedule.set("judge", "running")
    assert schedule.lost == []
    schedule.set("judge", "failed")
    assert schedule.lost == ["learn"]


def test_with_one_stage_at_a_time_the_guard_goes_first():
    schedule = Schedule(GUARDED, at_once=1, guards={"learn": ["judge"]})
    schedule.set("read", "done")
    assert schedule.startable() == ["judge"]
