from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from pipeline import output_folder
from pipeline.output_folder import OutputFolder

APP = "satellite/landcover"


@pytest.fixture
def run(earthloop, chips, fake):
    def call(*more):
        return earthloop("run", APP, "--data", chips, "--out", "o", *more)

    return call


def record(out="o"):
    return json.loads(max(pathlib.Path(out).glob("runs/*/record.json")).read_text())


def test_a_run_says_what_happens_and_where_things_are(run):
    code, text = run("--set", "train.epochs=3")
    assert code == 0
    lines = text.splitlines()
    assert "train          epoch 1/2, val_accuracy 0.500, 1 min 05 s left" in lines
    assert "push           done (1.5 s, 100 MiB)" in lines
    assert "Blessed: accuracy 0.91 reaches 0.85." in lines
    assert "  model   o/serving/satellite-landcover/7" in lines
    assert lines[-1] == f"Next: earthloop runs {APP} --out o"
    assert "\x1b" not in text
    assert record()["config"]["train"]["epochs"] == 3
    assert record()["data"]["items"] == 50
    assert record()["machine"]["cores"] >= 1


def test_the_request_tells_the_runner_all_it_needs(run, chips):
    run("--to", "train", "--fresh")
    request = json.loads(next(pathlib.Path("o").glob("runs/*/request.json")).read_text())
    assert (request["application"], request["to_stage"], request["fresh"]) == (APP, "train", True)
    assert request["config"]["data"] == str(chips)
    assert len(request["data_fingerprint"]) == 16
    assert pathlib.Path(request["out"]).is_absolute()


def test_an_unchanged_run_starts_nothing(run, monkeypatch):
    run()
    run_id = record()["run_id"]
    monkeypatch.setattr("pipeline.cli.run.RUNNER", ("false",))
    code, text = run()
    assert code == 0
    assert text.startswith(f"Nothing changed since run {run_id}: all 4 stages reused.\nBlessed: ")
    assert record()["run_id"] == run_id


@pytest.mark.parametrize("change", ["data", "setting", "fresh", "pushed", "artifact", "stages", "code", "size"])
def test_whatever_changed_starts_a_run(run, chips, monkeypatch, change):
    run()
    more = []
    if change == "data":
        (chips / "River" / "new.jpg").write_bytes(b"x")
    elif change in ("setting", "fresh", "stages"):
        more = {"setting": ["--set", "train.seed=2"], "fresh": ["--fresh"], "stages": ["--to", "push"]}[change]
    elif change == "pushed":
        shutil.rmtree("o/serving/satellite-landcover/7")
    elif change == "size":
        pathlib.Path("o/serving/satellite-landcover/7/saved_model.pb").write_bytes(b"m")
    elif change == "artifact":
        shutil.rmtree("o/artifacts/bless")
    else:
        monkeypatch.setattr("pipeline.unchanged.tree_digest", lambda: "other")
    _, text = run(*more)
    assert "Nothing changed" not in text
    assert len(list(pathlib.Path("o/runs").iterdir())) == 2


def test_how_the_machine_is_used_changes_no_result(run):
    run()
    assert "Nothing changed" in run("--set", "local.stages_at_once=1")[1]


def test_a_model_that_is_not_blessed_is_a_finished_run(run, monkeypatch):
    monkeypatch.setenv("FAKE_VERDICT", "not blessed")
    code, text = run()
    assert (code, "Not blessed: accuracy" in text) == (0, True)
    assert run("--require-blessed")[0] == 3


def test_a_failed_stage_is_explained_with_its_log(run, monkeypatch):
    monkeypatch.setenv("FAKE_SCENARIO", "fails")
    code, text = run()
    assert code == 1
    assert "Failed: train: the loss is NaN. Lower train.learning_rate." in text
    assert "logs/train.log" in text
    assert "then give the same command: it goes on from there." in text
    assert "Traceback" not in text


def test_a_runner_that_dies_is_told_with_its_log(run, monkeypatch):
    monkeypatch.setenv("FAKE_SCENARIO", "killed")
    code, text = run()
    assert code == 1
    assert "the local runner was ended by SIGKILL, perhaps because memory ran out; its log is" in text
    assert record()["state"] == "failed"
    assert "a library says something" in next(pathlib.Path("o").glob("runs/*/logs/runner.log")).read_text()


def test_ctrl_c_stops_the_runner_and_leaves_a_resumable_run(chips, fake, tmp_path, project):
    runner = f"run.RUNNER = (sys.executable, {str(fake)!r})"
    script = f"import sys; from pipeline.cli import main, run; {runner}; sys.exit(main.main())"
    process = subprocess.Popen(
        [sys.executable, "-c", script, "run", APP, "--data", str(chips), "--out", str(tmp_path / "o")],
        env={**os.environ, "FAKE_SCENARIO": "hangs"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    for line in process.stdout:
        if line.startswith("train"):
            break
    os.killpg(process.pid, signal.SIGINT)
    text, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Interrupted during train. Finished stages are kept; the same command goes on from there." in text
    assert "Traceback" not in text
    assert record(tmp_path / "o")["state"] == "interrupted"
    assert not output_folder.is_held(OutputFolder(tmp_path / "o"))


def test_a_second_run_in_the_same_folder_is_refused(run):
    folder = output_folder.prepare(pathlib.Path("o"))
    with output_folder.hold(folder):
        code, text = run()
    assert code == 1
    assert f"in use by process {os.getpid()}" in text


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (shutil.rmtree, "does not exist"),
        (lambda chips: (shutil.rmtree(chips), chips.write_text("")), "is a file"),
        (lambda chips: (chips / "River").rename(chips / "Rivers"), "River"),
        (lambda chips: [path.unlink() for path in (chips / "River").iterdir()], "River"),
        (lambda chips: [shutil.rmtree(path) for path in chips.iterdir() if path.name != "River"], "River"),
        (lambda chips: [path.unlink() for path in chips.glob("River/[1-4].jpg")], "River"),
    ],
    ids=["missing", "file", "unknown class", "empty class", "one class", "too few"],
)
def test_bad_data_is_refused_before_anything_is_written(run, chips, spoil, words):
    spoil(chips)
    code, text = run()
    assert (code, words in text) == (1, True), text
    assert not pathlib.Path("o").exists()


def test_stages_are_checked_before_the_run(run):
    code, text = run("--from", "trian")
    assert (code, "Did you mean 'train'?" in text) == (2, True)
    code, text = run("--from", "push", "--to", "train")
    assert (code, "--from must name a stage before --to" in text) == (2, True)
    code, text = run("--to", "tune")
    assert (code, "add --set tune.enabled=true" in text) == (2, True)
    code, text = run("--from", "train")
    assert (code, "takes the results of spans, ingest, " in text, "there is no run yet" in text) == (2, True, True)


def test_wrong_settings_are_bad_usage(run):
    code, text = run("--set", "train.epochs=many")
    assert (code, "train.epochs must be a whole number, got 'many'" in text) == (2, True)


def test_without_data_a_synthetic_sample_is_made_once(earthloop, fake, monkeypatch):
    made = []

    class Toy:
        def inspect(self, *paths):
            from applications.formats.source import Inventory

            return Inventory({"River": sum(1 for path in paths for _ in pathlib.Path(path).glob("River/*"))})

        def synthesize(self, out_dir, *, items, seed):
            made.append((items, seed))
            (pathlib.Path(out_dir) / "River").mkdir()
            (pathlib.Path(out_dir) / "River/1.jpg").write_bytes(b"x")

    monkeypatch.setattr("applications.discovery.source", lambda application: Toy())
    code, text = earthloop("run", APP)
    assert code == 0
    assert text.startswith("No --data given: this run uses 1200 synthetic items in out/satellite/landcover/data.")
    assert text.splitlines()[-1] == f"Next: earthloop runs {APP}"
    assert "Nothing changed" in earthloop("run", APP)[1]
    assert made == [(1200, 1)]


def test_an_unchanged_run_takes_about_a_second_at_most(run, chips, project):
    run()
    script = "import sys; from pipeline.cli.main import main; sys.exit(main())"
    taken = []
    for _ in range(3):
        begin = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-c", script, "run", APP, "--data", str(chips), "--out", "o"],
            env={**os.environ, "PYTHONPATH": str(project)},
            capture_output=True,
            text=True,
            check=True,
        )
        taken.append(time.perf_counter() - begin)
    assert done.stdout.startswith("Nothing changed")
    assert not [name for name in ("tensorflow", "tfx", "apache_beam") if f"| {name}\n" in done.stderr]
    assert min(taken) < 1.5


def test_an_empty_data_path_is_not_taken_for_none(earthloop, fake):
    code, text = earthloop("run", APP, "--data", "", "--out", "o")
    assert (code, text) == (
        2,
        "Error: --data must name a folder or URI, got ''. Leave --data out to run on synthetic data.\n",
    )
    assert not pathlib.Path("o").exists()


def test_a_pattern_reads_the_newest_spans_and_says_which(earthloop, chips, fake, tmp_path):
    for span in (2, 3, 10):
        shutil.copytree(chips, tmp_path / "here" / "field" / str(span))
    words = ("run", APP, "--data", "field/{SPAN}", "--set", "spans.last=2", "--out", "o")
    code, text = earthloop(*words)
    assert code == 0
    assert text.startswith("Reads 2 spans from 3 to 10 of field/{SPAN}: 100 files, 0.0 MiB.\n")
    assert record()["data"] == {
        "path": str(tmp_path / "here" / "field" / "{SPAN}"),
        "fingerprint": record()["data"]["fingerprint"],
        "items": 100,
        "spans": ["3", "10"],
    }
    assert "Nothing changed since" in earthloop(*words)[1]
    shutil.copytree(chips, tmp_path / "here" / "field" / "11")
    code, text = earthloop(*words)
    assert text.startswith("Reads spans 10 to 11 of field/{SPAN}: 100 files")
    assert "Nothing changed" not in text


def test_a_pattern_of_uris_is_told_as_it_was_given(earthloop, fake, monkeypatch):
    file = SimpleNamespace(path="s3://b/field/3/River/1.jpg", size_in_bytes=1, last_updated_in_seconds=1.0)
    monkeypatch.setattr("applications.remote.match", lambda _: [file])
    monkeypatch.setattr("pipeline.preflight.check_data", lambda *_: 1)
    _, text = earthloop("run", APP, "--data", "s3://b/field/{SPAN}", "--out", "o")
    assert text.startswith("Reads span 3 of s3://b/field/{SPAN}: 1 files")


def test_a_pattern_that_names_nothing_starts_nothing(earthloop, fake, tmp_path):
    code, text = earthloop("run", APP, "--data", "field/{SPAN}", "--out", "o")
    assert (code, text) == (
        1,
        f"Error: the folder that holds the spans of '{tmp_path}/here/field/{{SPAN}}' must exist, but there is no "
        f"'{tmp_path}/here/field'. Check --data.\n",
    )
    code, text = earthloop("run", APP, "--data", "field/{SPN}", "--out", "o")
    assert (code, "no pattern word '{SPN}'" in text, "Did you mean '{SPAN}'?" in text) == (2, True, True)
    assert not pathlib.Path("o").exists()
