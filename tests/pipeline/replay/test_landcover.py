"""A real application, compiled for Kubeflow and replayed: what it pushes is what a local run pushes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

APPLICATION = "satellite/landcover"
SETTINGS = (
    "train.width=8",
    "blessing.at_least=0.0",
    "blessing.worst_class_at_least=0.0",
    "blessing.calibration_error_at_most=1.0",
    "blessing.must_not_drop_by=0.05",
)
GOOD, WORSE = ("train.epochs=12",), ("train.epochs=1", "train.steps_per_epoch=1")


def earthloop(*words):
    command = [sys.executable, "-m", "pipeline.cli.main", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def settings(*own):
    return [word for setting in (*SETTINGS, *own) for word in ("--set", setting)]


class World:
    """Data, what a local run made of them, and two replays in a row, the second of a model trained for one step."""

    def __init__(self, root):
        self.data, self.serving, self.root = root / "chips", root / "serving", root
        earthloop("synthesize", APPLICATION, "--out", self.data, "--items", 400)
        local = settings(*GOOD)
        earthloop("run", APPLICATION, "--data", self.data, "--out", root / "local", *local)
        self.first = self.replay("good", *GOOD)
        self.second = self.replay("worse", *WORSE)

    def replay(self, name, *own):
        """Compiles and replays; returns the record of the replay."""
        spec = self.root / f"{name}.yaml"
        words = settings(*own, f"push.destination={self.serving}")
        earthloop("compile", APPLICATION, "--engine", "kubeflow", "--out", spec, "--data", self.data, *words)
        printed = earthloop("replay", spec, "--out", self.root / "replay")
        [line] = [line for line in printed.splitlines() if line.startswith("  record  ")]
        return json.loads((self.root / line.removeprefix("  record  ")).read_text())

    def verdict(self, record):
        """Returns what the stage bless says."""
        [made] = outputs(record, "bless")["verdict"]
        folder = self.root / "replay" / "store" / made["uri"].replace("://", "/")
        return json.loads((folder / "verdict.json").read_text())


def outputs(record, name):
    return next(task["outputs"] for task in record["tasks"] if task["name"] == name)


def model_json(serving):
    [version] = (serving / "satellite-landcover").iterdir()
    return json.loads((version / "model.json").read_text())


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("world"))


def test_every_task_of_the_compiled_pipeline_runs(world):
    for record in (world.first, world.second):
        assert {task["state"] for task in record["tasks"]} <= {"done", "cached"}
        assert outputs(record, "report-outcome")["outcome"][0]["metadata"]["state"] == "SUCCEEDED"


def test_the_pushed_model_scores_to_the_digit_what_the_local_runs_does(world):
    local, replayed = model_json(world.root / "local" / "serving"), model_json(world.serving)
    assert replayed["metrics"] == local["metrics"]
    assert replayed["classes"] == local["classes"]


def test_the_second_replay_holds_its_model_against_the_one_that_the_first_pushed(world):
    [pushed] = outputs(world.first, "push")["pushed_model"]
    assert pushed["metadata"]["pushed"] == 1
    assert outputs(world.first, "baseline")["model"][0]["metadata"]["version"] == ""
    assert outputs(world.second, "baseline")["model"][0]["metadata"]["version"] == pushed["metadata"]["pushed_version"]


def test_a_worse_model_is_neither_blessed_nor_pushed(world):
    verdict = world.verdict(world.second)
    assert verdict["verdict"] == "not blessed"
    assert "below the earlier model's" in verdict["sentence"]
    assert outputs(world.second, "push")["pushed_model"][0]["metadata"]["pushed"] == 0
    assert len(list((world.serving / "satellite-landcover").iterdir())) == 1
