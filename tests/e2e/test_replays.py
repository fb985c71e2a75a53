"""Every application, compiled for Kubeflow and replayed from the file alone: it pushes what a local run pushes.

`pytest -m replay`. The applications take turns on two cores, so that all of them need about as long as one.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import subprocess
import sys

import pytest

from applications import discovery

pytestmark = [pytest.mark.slow, pytest.mark.replay]

ITEMS = 200
SETTINGS = (
    "train.width=8",
    "train.epochs=30",
    "blessing.at_least=0.0",  # so it is the comparison with the earlier model alone that refuses a worse one
    "blessing.worst_class_at_least=0.0",
    "blessing.calibration_error_at_most=1.0",
    "blessing.must_not_drop_by=0.05",
)
WORSE = ("--param", "epochs=1")
ALWAYS = {"spans", "baseline", "report-outcome"}  # what runs to find out that nothing changed, and to say so


class World:
    """Data of one application, what a local run made of them, and three replays of its compiled pipeline in a row."""

    def __init__(self, name, root):
        self.name, self.root = name, root
        self.data, self.serving = root / "data", root / "serving"
        words = [word for setting in SETTINGS for word in ("--set", setting)]
        self.earthloop("synthesize", name, "--out", self.data, "--items", ITEMS)
        self.earthloop("run", name, "--data", self.data, "--out", root / "local", *words)
        words += ["--set", f"push.destination={self.serving}"]
        self.earthloop(
            *("compile", name, "--engine", "kubeflow", "--out", root / "spec.yaml", "--data", self.data, *words)
        )
        self.first, _ = self.replay()
        self.pushed = self.versions()
        self.unchanged, self.said = self.replay()
        self.worse, _ = self.replay(*WORSE)

    def earthloop(self, *words):
        command = [sys.executable, "-m", "pipeline.cli.main", *map(str, words)]
        folder = os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")]))
        done = subprocess.run(
            command,
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": folder},
            capture_output=True,
            text=True,
            check=False,
            timeout=1200,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def replay(self, *words):
        """Replays once, a task at a time; returns the record and what was printed."""
        printed = self.earthloop("replay", "spec.yaml", "--out", self.root / "replay", "--at-once", 1, *words)
        [line] = [line for line in printed.splitlines() if line.startswith("  record  ")]
        return json.loads((self.root / line.removeprefix("  record  ")).read_text()), printed

    def versions(self):
        return sorted((self.serving / discovery.load(self.name).model_name).glob("[0-9]*"))

    def stored(self, record, task, key):
        """Returns where an artifact lies."""
        [made] = outputs(record, task)[key]
        return self.root / "replay" / "store" / made["uri"].replace("://", "/")


def outputs(record, name):
    return next(task["outputs"] for task in record["tasks"] if task["name"] == name)


def states(record):
    return {task["name"]: task["state"] for task in record["tasks"]}


def pushed_model(folder):
    [version] = folder.glob("[0-9]*")
    return json.loads((version / "model.json").read_text())


@pytest.fixture(scope="module")
def making(tmp_path_factory):
    """The worlds in the making, at the same time."""
    names = discovery.names()
    roots = {name: tmp_path_factory.mktemp(name.replace("/", "-")) for name in names}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        yield {name: pool.submit(World, name, roots[name]) for name in names}


@pytest.fixture(params=discovery.names())
def world(request, making):
    return making[request.param].result()


def test_every_task_of_the_compiled_pipeline_runs(world):
    for record in (world.first, world.worse):
        assert set(states(record).values()) <= {"done", "cached"}
        assert outputs(record, "report-outcome")["outcome"][0]["metadata"]["state"] == "SUCCEEDED"


def test_the_first_replay_finds_no_earlier_model_and_pushes_a_blessed_one(world):
    assert outputs(world.first, "baseline")["model"][0]["metadata"]["version"] == ""
    verdict = json.loads((world.stored(world.first, "bless", "verdict") / "verdict.json").read_text())
    assert verdict["verdict"] == "blessed"
    [pushed] = outputs(world.first, "push")["pushed_model"]
    assert (pushed["metadata"]["pushed"], len(world.pushed)) == (1, 1)
    assert world.pushed[0].name == pushed["metadata"]["pushed_version"]


def test_the_pushed_model_scores_to_the_last_digit_what_the_local_runs_does(world):
    local = pushed_model(world.root / "local" / "serving" / discovery.load(world.name).model_name)
    replayed = pushed_model(world.pushed[0].parent)
    assert replayed["metrics"] == local["metrics"]
    assert replayed["classes"] == local["classes"]


def test_the_model_says_what_it_was_made_from_on_a_cluster_too(world):
    told = pushed_model(world.pushed[0].parent)
    [window] = outputs(world.first, "spans")["window"]
    assert told["data"]["fingerprint"] == window["metadata"]["fingerprint"]
    assert len(told["made_from"]) == 16


def test_with_nothing_changed_nothing_is_trained_and_the_replay_says_so(world):
    found = states(world.unchanged)
    assert {name for name, state in found.items() if state == "done"} == ALWAYS
    assert {state for name, state in found.items() if name not in ALWAYS} == {"skipped"}
    assert "Nothing changed since " in world.said
    assert f"{len(ALWAYS)} done, {len(found) - len(ALWAYS)} skipped" in world.said


def test_a_worse_model_is_held_against_the_first_and_neither_blessed_nor_pushed(world):
    assert outputs(world.worse, "baseline")["model"][0]["metadata"]["version"] == world.pushed[0].name
    verdict = json.loads((world.stored(world.worse, "bless", "verdict") / "verdict.json").read_text())
    assert verdict["verdict"] == "not blessed"
    assert "below the earlier model's" in verdict["sentence"]
    assert outputs(world.worse, "push")["pushed_model"][0]["metadata"]["pushed"] == 0
    assert world.versions() == world.pushed
