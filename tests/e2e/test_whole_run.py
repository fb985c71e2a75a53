"""One run from synthetic photographs to a pushed model, as a user would start it, and what may happen after it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

APPLICATION = "satellite/landcover"
QUICK = ["train.epochs=2", "train.width=8", "blessing.at_least=0.0", "blessing.worst_class_at_least=0.0"]
ITEMS = "300"


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "pipeline.cli.main", *words]


def earthloop(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), capture_output=True, text=True, check=False, timeout=600)


def run_words(data: Path, out: Path, *settings: str) -> list[str]:
    words = ["run", APPLICATION, "--data", str(data), "--out", str(out)]
    for setting in [*QUICK, *settings]:
        words += ["--set", setting]
    return words


def records(out: Path) -> list[dict]:
    return [json.loads((folder / "record.json").read_text()) for folder in sorted((out / "runs").iterdir())]


def states(record: dict) -> dict[str, str]:
    return {stage["name"]: stage["state"] for stage in record["stages"]}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world") / "chips"
    made = earthloop("synthesize", APPLICATION, "--out", str(folder), "--items", ITEMS)
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="module")
def first(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "out"
    done = earthloop(*run_words(data, out))
    assert done.returncode == 0, done.stdout + done.stderr
    return out, done.stdout


def test_the_run_ends_with_a_verdict_and_says_where_everything_is(first):
    out, printed = first
    assert "Blessed: accuracy" in printed
    for word in ("model", "report", "record", "Next: earthloop"):
        assert word in printed
    assert set(states(records(out)[0]).values()) == {"done"}


def test_the_pushed_version_is_whole_and_says_what_it_is(first):
    from serving import model_json

    out, _ = first
    [version] = (out / "serving" / "satellite-landcover").glob("[0-9]*")
    model_json.verify(version)
    about = json.loads((version / "model.json").read_text())
    assert about["application"] == APPLICATION
    assert 0 <= about["metrics"]["accuracy"]["low"] <= about["metrics"]["accuracy"]["high"] <= 1


def test_every_refused_file_is_counted_with_its_true_reason(first, data):
    out, _ = first
    [folder] = (out / "artifacts" / "ingest" / "quarantine").iterdir()
    refused = [json.loads(line) for line in (folder / "refused.jsonl").read_text().splitlines()]
    truth = json.loads((data / "truth.json").read_text())
    expected = {item["origin"]: item["reason"] for item in truth["damaged"]}
    assert {item["origin"]: item["reason"] for item in refused} == expected


def test_time_memory_and_energy_of_every_stage_are_recorded(first):
    out, _ = first
    for stage in records(out)[0]["stages"]:
        assert stage["wall_s"] > 0, stage
        assert stage["peak_memory_mib"] > 50, stage
        assert stage["energy_source"] in ("estimate", "counter")


def test_an_unchanged_rerun_starts_nothing(first, data):
    out, _ = first
    before = len(records(out))
    again = earthloop(*run_words(data, out))
    assert again.returncode == 0
    assert "Nothing changed since run" in again.stdout
    assert len(records(out)) == before


def test_a_raised_bar_reruns_the_verdict_alone_and_pushes_nothing(first, data):
    out, _ = first
    stricter = earthloop(*run_words(data, out, "blessing.at_least=0.999"))
    assert stricter.returncode == 0
    assert "Not blessed: accuracy" in stricter.stdout or "Cannot tell: accuracy" in stricter.stdout
    found = states(records(out)[-1])
    assert {stage for stage, state in found.items() if state == "cached"} >= {
        "ingest",
        "transform",
        "train",
        "split-audit",
    }
    assert found["bless"] == "done"
    assert len(list((out / "serving" / "satellite-landcover").glob("[0-9]*"))) == 1


@pytest.mark.slow
def test_a_run_killed_in_training_goes_on_from_there(data, tmp_path):
    out = tmp_path / "out"
    process = subprocess.Popen(
        command(*run_words(data, out, "train.epochs=200", "train.patience=200")), stdout=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if "epoch 1/" in line:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(2)
    done = earthloop(*run_words(data, out))
    assert done.returncode == 0, done.stdout + done.stderr
    found = states(records(out)[-1])
    assert found["ingest"] == "cached"
    assert found["train"] == "done"
    assert "nothing wrong" in earthloop("doctor", "--out", str(out)).stdout


@pytest.mark.slow
def test_ctrl_c_ends_cleanly_and_says_how_to_go_on(data, tmp_path):
    out = tmp_path / "out"
    process = subprocess.Popen(
        command(*run_words(data, out, "train.epochs=200", "train.patience=200")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if "epoch 1/" in line:
            break
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Interrupted during train" in error
    assert "Traceback" not in error
    assert records(out)[-1]["state"] == "interrupted"


@pytest.mark.slow
def test_a_loss_that_is_not_a_number_stops_the_run_with_advice(data, tmp_path):
    done = earthloop(*run_words(data, tmp_path / "out", "train.learning_rate=1e12"))
    assert done.returncode == 1
    assert "learning_rate" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_two_runs_in_one_folder_are_kept_apart(data, tmp_path):
    out = tmp_path / "out"
    process = subprocess.Popen(command(*run_words(data, out)), stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    second = earthloop(*run_words(data, out))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert second.returncode == 1
    assert f"process {process.pid} on" in second.stderr
