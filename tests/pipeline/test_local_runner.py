from __future__ import annotations

import io
import json
import os
import signal
import threading
import time
import types

import pytest

from applications.errors import StageError
from applications.settings import LocalSettings
from pipeline.local_runner import LocalRun
from pipeline.run_record import RunRecord


class FakeStages:
    skipped = frozenset()
    guards = types.MappingProxyType({})

    def __init__(self, **special):
        self.upstream = {"read": [], "learn": ["read"], "look": ["read"], "end": ["learn", "look"]}
        self.special = special

    def launch(self, stage):
        if stage in self.special:
            self.special[stage]()
        return {"state": "done", "outputs": {"out": [f"artifacts/{stage}/out/1"]}}


@pytest.fixture
def record(tmp_path):
    config = {"push": {"destination": ""}}
    return RunRecord.create(tmp_path, "satellite/landcover", config, run_id="20260101T000000Z")


@pytest.fixture(autouse=True)
def _keep_signals():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def run(record, **special):
    local = LocalRun(record, LocalSettings(stages_at_once=2))
    state = local.run(lambda: FakeStages(**special))
    return state, local.error, {entry["name"]: entry for entry in record.data["stages"]}


def test_a_run_completes_with_time_memory_and_outputs_of_every_stage(record, capfd):
    state, error, stages = run(record)
    assert (state, error) == ("complete", "")
    assert {entry["state"] for entry in stages.values()} == {"done"}
    assert all(
        entry["wall_s"] >= 0 and entry["peak_memory_mib"] > 1 and entry["energy_j"] >= 0 for entry in stages.values()
    )
    assert record.data["artifacts"]["learn"] == {"out": ["artifacts/learn/out/1"]}
    events = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [event.get("stages") for event in events if event["event"] == "plan"] == [["read", "learn", "look", "end"]]


def test_independent_stages_run_at_the_same_time(record):
    _, _, stages = run(record, learn=lambda: time.sleep(0.5), look=lambda: time.sleep(0.5))
    assert stages["look"]["started_utc"] < stages["learn"]["ended_utc"]
    assert stages["learn"]["started_utc"] < stages["look"]["ended_utc"]


def refuse():
    raise StageError("6 of 9 items are bad.")


def test_a_failed_stage_stops_those_behind_it_and_its_words_are_the_error(record):
    state, error, stages = run(record, learn=refuse)
    assert (state, error) == ("failed", "learn: 6 of 9 items are bad.")
    assert stages["learn"]["error"] == "6 of 9 items are bad."
    assert stages["look"]["state"] == "done"
    assert stages["end"]["state"] == "waiting"


class GuardedStages(FakeStages):
    def __init__(self, **special):
        super().__init__(**special)
        self.upstream = {"read": [], "judge": ["read"], "learn": ["read", "judge"], "end": ["learn"]}
        self.guards = {"learn": ["judge"]}


def test_a_guarded_stage_starts_beside_its_guard_but_nothing_behind_it_does(record):
    special = {"judge": lambda: time.sleep(0.4)}
    assert LocalRun(record, LocalSettings(stages_at_once=2)).run(lambda: GuardedStages(**special)) == "complete"
    judge, learn, end = (record.stage(name) for name in ("judge", "learn", "end"))
    assert learn["started_utc"] < judge["ended_utc"] <= end["started_utc"]


def test_a_guard_that_fails_ends_what_it_guards_at_once(record):
    local = LocalRun(record, LocalSettings(stages_at_once=2))
    started = time.monotonic()
    state = local.run(lambda: GuardedStages(judge=refuse, learn=lambda: time.sleep(60)))
    assert (state, local.error) == ("failed", "judge: 6 of 9 items are bad.")
    assert time.monotonic() - started < 30
    assert [record.stage(name)["state"] for name in ("judge", "learn", "end")] == ["failed", "interrupted", "waiting"]


def test_a_killed_stage_is_noticed_though_a_process_of_its_own_lives_on(record):
    def leave_a_child():
        if os.fork() == 0:
            time.sleep(60)
        os.kill(os.getpid(), signal.SIGKILL)

    state, error, stages = run(record, learn=leave_a_child)
    assert (state, stages["learn"]["state"]) == ("failed", "failed")
    assert "SIGKILL" in error


def test_a_stage_killed_from_outside_is_told_as_such(record):
    state, error, _ = run(record, learn=lambda: os.kill(os.getpid(), signal.SIGKILL))
    assert state == "failed"
    assert "learn: the stage was ended by signal 9 (SIGKILL); was there too little memory?" in error


def test_sigterm_stops_the_running_stage_and_the_run_is_interrupted(record):
    runner = os.getpid()
    started = time.monotonic()
    state, _, stages = run(record, learn=lambda: (os.kill(runner, signal.SIGTERM), time.sleep(60)))
    assert state == "interrupted"
    assert stages["learn"]["state"] == "interrupted"
    assert time.monotonic() - started < 30


def test_only_stages_that_could_not_clean_up_are_cleaned_up_after(record):
    local = LocalRun(record, LocalSettings())
    local.run(lambda: FakeStages(learn=refuse))
    assert not local.has_ended_by_force
    local.run(lambda: FakeStages(learn=lambda: os.kill(os.getpid(), signal.SIGKILL)))
    assert local.has_ended_by_force


def test_a_text_that_names_its_stage_is_not_given_the_name_twice(record):
    def too_many_bad():
        raise StageError("learn refused 6 of 9 items.")

    assert run(record, learn=too_many_bad)[1] == "learn refused 6 of 9 items."


def test_a_stop_during_the_import_does_not_wait_for_it(record):
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
    started = time.monotonic()
    assert LocalRun(record, LocalSettings()).run(lambda: time.sleep(60)) == "interrupted"
    assert time.monotonic() - started < 10


def test_events_that_nobody_hears_do_not_end_the_run(record, monkeypatch):
    class Gone(io.StringIO):
        def flush(self):
            raise BrokenPipeError

    monkeypatch.setattr("sys.stdout", Gone())
    assert run(record)[0] == "complete"
