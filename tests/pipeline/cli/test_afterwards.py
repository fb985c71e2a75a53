"""Commands about runs that were: report, runs, doctor, synthesize."""

from __future__ import annotations

import json
import pathlib

import pytest

from pipeline import output_folder
from pipeline.output_folder import OutputFolder
from pipeline.run_record import RunRecord

APP = "satellite/landcover"


@pytest.fixture
def finished(earthloop, chips, fake):
    earthloop("run", APP, "--data", chips, "--out", "o")
    return pathlib.Path("o")


def test_runs_are_a_table_with_verdict_and_accuracy(earthloop, finished):
    record = RunRecord.create(finished, APP, {"version": 1}, run_id="20990101T000000Z")
    code, text = earthloop("runs", "--out", finished)
    lines = text.splitlines()
    assert code == 0
    assert lines[0] == "o:"
    assert lines[1].split() == ["run", "started", "(UTC)", "state", "verdict", "accuracy", "time"]
    assert lines[2].split()[0] == record.run_id
    assert "died" in lines[2]
    assert "complete  blessed  0.910 (0.900 to 0.920)" in lines[3]


def test_a_run_that_was_asked_to_stop_early_says_how_far_it_came(earthloop, finished, chips):
    earthloop("run", APP, "--data", chips, "--out", "o", "--to", "bless")
    assert "complete to bless  blessed" in earthloop("runs", "--out", finished)[1].splitlines()[2]


def test_a_damaged_record_does_not_hide_the_others(earthloop, finished):
    (finished / "runs/20990101T000000Z").mkdir()
    text = earthloop("runs", "--out", finished)[1]
    assert "20990101T000000Z  " in text
    assert "unreadable" in text
    assert "blessed" in text


def test_no_runs_yet_says_what_to_type(earthloop):
    assert earthloop("runs") == (0, "No runs yet. Next: earthloop run APP (`earthloop list` shows the applications)\n")


def test_the_report_is_made_again_with_the_record_in_it(earthloop, finished):
    folder = finished / "artifacts/report/report/9"
    folder.mkdir(parents=True)
    from evaluation.report import collect

    content = collect.collect(collect.ReportInputs(application=APP, configuration={}))
    (folder / "report.json").write_text(json.dumps(content))
    record = RunRecord(OutputFolder(finished), json.loads(next(finished.glob("runs/*/record.json")).read_text()))
    record.artifacts("report", {"report": [folder]})
    code, text = earthloop("report", "--out", finished)
    assert code == 0, text
    assert "Blessed: accuracy 0.91 reaches 0.85." in text
    assert record.run_id in (finished / "report.html").read_text()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("train: the loss is NaN", "Failed: train: the loss is NaN"),
        ("the local runner was ended by SIGKILL", "Failed in train: the local runner was ended by SIGKILL"),
    ],
)
def test_the_report_of_a_failed_run_names_the_stage_and_its_log(earthloop, error, told):
    record = RunRecord.create("o", APP, {"version": 1}, run_id="20990101T000000Z", stages=["ingest", "train"])
    record.stage("train", state="failed", error="the loss is NaN")
    record.finish("failed", error=error)
    code, text = earthloop("report", "--out", "o")
    assert code == 0
    assert text.splitlines()[:2] == [told, "  log     o/runs/20990101T000000Z/logs/train.log"]


def test_a_report_needs_a_run(earthloop):
    code, text = earthloop("report", APP)
    assert (code, "a report needs a run, but there is none in out/satellite/landcover" in text) == (1, True)


def test_the_doctor_finds_nothing_after_a_good_run(earthloop, finished):
    (finished / "metadata.sqlite").unlink(missing_ok=True)
    assert earthloop("doctor", "--out", finished) == (0, "o: nothing wrong.\n")


def test_the_doctor_leaves_a_run_in_progress_alone(earthloop, finished):
    with output_folder.hold(OutputFolder(finished), run_id="x"):
        code, text = earthloop("doctor", "--out", finished, "--fix")
    assert (code, "run x is going on" in text) == (0, True)


def test_the_doctor_says_what_is_wrong_and_mends_it(earthloop, finished):
    RunRecord.create(finished, APP, {"version": 1}, run_id="20990101T000000Z")
    code, text = earthloop("doctor", "--out", finished)
    assert code == 1
    assert "run 20990101T000000Z says it is running, but its process is gone." in text
    assert text.endswith("Next: earthloop doctor --out o --fix\n")
    code, text = earthloop("doctor", "--out", finished, "--fix")
    assert (code, "Marked run 20990101T000000Z as interrupted" in text) == (0, True)
    assert earthloop("doctor", "--out", finished)[0] == 0


def test_a_sample_is_synthesized_where_one_says(earthloop):
    code, text = earthloop("synthesize", APP, "--out", "sample", "--items", "60", "--seed", "3")
    assert code == 0
    assert text.endswith(f"Next: earthloop run {APP} --data sample\n")
    assert pathlib.Path("sample/truth.json").is_file()
    assert (
        "were already in sample" in earthloop("synthesize", APP, "--out", "sample", "--items", "60", "--seed", "3")[1]
    )


def test_a_sample_never_overwrites_other_files(earthloop):
    pathlib.Path("mine").mkdir()
    pathlib.Path("mine/thesis.txt").write_text("x")
    code, text = earthloop("synthesize", APP, "--out", "mine")
    assert (code, "holds other files" in text) == (1, True)
    assert pathlib.Path("mine/thesis.txt").is_file()


def test_where_no_browser_starts_the_page_is_named(earthloop, finished, monkeypatch):
    asked = []
    monkeypatch.setattr("webbrowser.open", lambda address: bool(asked.append(address)))
    code, text = earthloop("report", "--out", finished, "--open")
    assert code == 0
    assert text.splitlines()[-1] == "Next: open that file yourself; no browser could be started here."
    assert asked[0].startswith("file:///")
