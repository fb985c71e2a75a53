from __future__ import annotations

import json
import threading

import pytest

from applications.errors import OutputError, UnknownName
from pipeline import run_record
from pipeline.output_folder import OutputFolder
from pipeline.run_record import RunRecord, Unreadable

CONFIG = {"version": 1, "push": {"destination": ""}}


@pytest.fixture
def record(tmp_path):
    return RunRecord.create(tmp_path, "ocean/foam", CONFIG, run_id="20260101T000000Z", stages=["ingest", "train"])


def stored(record):
    return json.loads((record.path / "record.json").read_text())


def test_a_new_record_is_running_and_has_its_configuration_beside_it(record):
    found = stored(record)
    assert (found["version"], found["state"], found["application"]) == (1, "running", "ocean/foam")
    assert [stage["state"] for stage in found["stages"]] == ["waiting", "waiting"]
    assert "destination: ''" in (record.path / "config.yaml").read_text()
    assert record.logs.is_dir()


def test_a_stage_gets_its_times_from_its_states(record):
    record.take({"event": "stage", "stage": "ingest", "state": "running"})
    done = {
        "event": "stage",
        "stage": "ingest",
        "state": "done",
        "wall_s": 2.5,
        "outputs": {"examples": [record.folder.path / "artifacts/x"]},
    }
    record.take(done)
    stage = stored(record)["stages"][0]
    assert stage["started_utc"] <= stage["ended_utc"]
    assert stage["wall_s"] == 2.5
    assert stored(record)["artifacts"] == {"ingest": {"examples": ["artifacts/x"]}}


def test_events_are_kept_in_order_one_a_line(record):
    record.take({"event": "progress", "stage": "train", "kind": "epoch", "done": 1, "total": 3})
    record.take({"event": "server", "state": "ready"})
    lines = [json.loads(line) for line in (record.path / "events.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["run", "progress", "server"]
    assert lines[1]["done"] == 1
    assert lines[1]["time_utc"].endswith("Z")


def test_a_finished_run_leaves_no_stage_running_or_waiting(record):
    record.stage("ingest", state="running")
    record.finish("interrupted")
    assert [stage["state"] for stage in stored(record)["stages"]] == ["interrupted", "skipped"]
    assert stored(record)["ended_utc"]


def test_products_are_noted_with_their_sizes(record):
    version = record.model_folder().path / "3"
    version.mkdir(parents=True)
    (version / "saved_model.pb").write_bytes(b"12345")
    record.finish("complete", pushed={"path": str(version), "version": "3"})
    assert stored(record)["products"] == {"serving/ocean-foam/3/saved_model.pb": 5}
    assert stored(record)["pushed"]["path"] == "serving/ocean-foam/3"


def test_misspelt_fields_are_refused(record):
    with pytest.raises(UnknownName, match="Did you mean 'wall_s'"):
        record.stage("ingest", walls_s=1)
    with pytest.raises(UnknownName, match="Did you mean 'verdict'"):
        record.update(verdct=None)


def test_a_reader_never_sees_half_a_record(record):
    def write():
        for number in range(200):
            record.stage("train", wall_s=float(number), error="x" * 2000)

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        assert run_record.read(record.folder, record.run_id)["run_id"] == record.run_id
    writer.join()
    assert [path.name for path in record.path.iterdir() if path.name.startswith(".")] == []


def test_a_damaged_record_is_named_and_passed_over_in_lists(record):
    (record.path / "record.json").write_text('{"version": 1, "run_')
    with pytest.raises(Unreadable, match="is not a record"):
        RunRecord.open(record.folder.path, record.run_id)
    assert run_record.records(record.folder) == []
    with pytest.raises(Unreadable, match="no record of run nope"):
        RunRecord.open(record.folder.path, "nope")


def test_runs_are_listed_newest_first(tmp_path):
    for run_id in ("20260101T000000Z", "20260101T000000Z-10", "20260101T000000Z-2", "20251231T235959Z"):
        RunRecord.create(tmp_path, "ocean/foam", CONFIG, run_id=run_id)
    assert run_record.run_ids(OutputFolder(tmp_path)) == [
        "20260101T000000Z-10",
        "20260101T000000Z-2",
        "20260101T000000Z",
        "20251231T235959Z",
    ]


def test_a_partial_run_builds_on_the_newest_run_that_has_what_it_needs(tmp_path):
    folder = OutputFolder(tmp_path)
    assert run_record.base_run(folder, ["ingest", "transform"]) == ("", ["ingest", "transform"])
    states = {"1": ["done", "done"], "2": ["cached", "failed"], "3": ["skipped", "done"], "4": ["failed", "skipped"]}
    for run_id, (ingest, transform) in states.items():
        from_stage = "transform" if run_id == "3" else ""
        record = RunRecord.create(
            tmp_path, "ocean/foam", CONFIG, run_id=run_id, stages=["ingest", "transform"], from_stage=from_stage
        )
        record.stage("ingest", state=ingest)
        record.stage("transform", state=transform)
    assert run_record.base_run(folder, ["ingest", "transform"]) == ("3", [])
    assert run_record.base_run(folder, ["ingest", "bless"]) == ("3", ["bless"])


def test_dead_runs_are_ended_and_those_since_the_last_complete_one_listed(tmp_path):
    ids = [f"2026010{day}T000000Z" for day in range(1, 6)]
    runs = [RunRecord.create(tmp_path, "ocean/foam", CONFIG, run_id=run_id) for run_id in ids]
    for run, state in zip(runs, ["failed", "complete", "failed"], strict=False):
        run.finish(state)
    assert run_record.close_dead(runs[4]) == [ids[3], ids[2]]
    assert RunRecord.open(tmp_path, ids[3]).data["state"] == "interrupted"
    assert RunRecord.open(tmp_path, ids[4]).data["state"] == "running"


def test_a_write_that_fails_names_the_file_that_was_meant(tmp_path):
    with pytest.raises(OutputError, match=r"cannot write to .*nowhere/page\.html: No such file"):
        run_record.write_atomically(tmp_path / "nowhere" / "page.html", "x")
