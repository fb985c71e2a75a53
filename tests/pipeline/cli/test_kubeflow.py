from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest
import yaml

APP = "satellite/landcover"
GOLDEN = "tests/golden/satellite-landcover.yaml"
PROBE = """
import sys
from pipeline.cli.main import main
code = main(sys.argv[1:])
heavy = {"tensorflow", "tfx", "kfp", "google.protobuf", "apache_beam", "keras", "numpy"} & set(sys.modules)
sys.exit(f"{code} {heavy}" if code or heavy else 0)
"""


def test_a_sound_spec_is_told_to_be_so_without_importing_anything_heavy(project, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROBE, "lint", str(project / GOLDEN)],
        env={**os.environ, "PYTHONPATH": str(project)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    count = len(next(yaml.safe_load_all((project / GOLDEN).read_text()))["deploymentSpec"]["executors"])
    assert done.stdout.endswith(f"satellite-landcover.yaml: {count} executors, no faults found.\n")


def test_faults_are_told_one_a_line_and_the_exit_code_is_one(earthloop, project):
    documents = list(yaml.safe_load_all((project / GOLDEN).read_text()))
    documents[0]["pipelineInfo"]["name"] = "Land_Cover"
    del documents[0]["root"]["inputDefinitions"]["parameters"]["data"]["defaultValue"]
    del documents[0]["root"]["inputDefinitions"]["parameters"]["data"]["isOptional"]
    pathlib.Path("broken.yaml").write_text(yaml.safe_dump_all(documents))
    code, text = earthloop("lint", "broken.yaml")
    assert code == 1
    lines = text.splitlines()
    assert lines[0].endswith("got 'Land_Cover'. Rename the pipeline. [pipeline-name]")
    assert lines[1].startswith("root, parameter data: it has no default")
    assert lines[-1] == "broken.yaml: 2 faults."
    assert (
        earthloop("lint", "broken.yaml", "--param", "data=/earthloop/d")[1].splitlines()[-1] == "broken.yaml: 1 fault."
    )


def test_a_file_that_is_not_there_is_named(earthloop):
    code, text = earthloop("lint", "gone.yaml")
    assert (code, "Error: a pipeline spec must be a readable YAML file, got 'gone.yaml'" in text) == (2, True)


def test_compile_writes_a_file_that_the_lint_takes(earthloop):
    pytest.importorskip("tfx")
    pathlib.Path("mine.yaml").write_text(
        "image: mine:7\nevery_stage:\n  volumes: [{claim: c, mount_path: /earthloop}]\n"
    )
    code, text = earthloop(
        *("compile", APP, "--engine", "kubeflow", "--out", "o/spec.yaml", "--data", "/earthloop/chips"),
        *("--deployment", "mine.yaml", "--set", "train.epochs=3", "--run-name", "spring"),
    )
    assert code == 0, text
    assert "o/spec.yaml: 16 executors, no faults found; parameters: at_least, data, epochs" in text
    assert "\nThe folder o is new.\n" in text
    assert "Note:" not in text
    head = pathlib.Path("o/spec.yaml").read_text().splitlines()
    assert "#    epochs: 3; At most so many passes over the training split." in head
    spec = next(yaml.safe_load_all(pathlib.Path("o/spec.yaml").read_text()))
    assert spec["deploymentSpec"]["executors"]["train_executor"]["container"]["image"] == "mine:7"
    assert earthloop("lint", "o/spec.yaml")[0] == 0


@pytest.mark.slow
def test_compile_keeps_what_tensorflow_tells_of_itself_from_the_terminal(project, tmp_path):
    pytest.importorskip("tfx")
    words = ("compile", APP, "--engine", "kubeflow", "--out", "spec.yaml", "--data", "/earthloop/chips")
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli.main", *words],
        env={**os.environ, "PYTHONPATH": str(project)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_file_that_was_cut_off_is_told_as_such(earthloop, project):
    text = (project / GOLDEN).read_text()
    pathlib.Path("half.yaml").write_text("\n".join(text.splitlines()[:300]))
    code, printed = earthloop("lint", "half.yaml")
    assert code == 1
    assert "it has components and no deploymentSpec, pipelineInfo, root: it looks cut off." in printed


def test_compile_refuses_what_it_cannot_do_before_it_imports_anything(earthloop):
    words = ("compile", APP, "--engine", "kubeflow", "--out")
    code, text = earthloop(*words, "spec.json", "--data", "/earthloop/d")
    assert (code, "--out must end in .yaml, got 'spec.json': the server takes no JSON." in text) == (2, True)
    code, text = earthloop(*words, "spec.yaml", "--data", "/earthloop/d", "--deployment", "gone.yaml")
    assert (code, "--deployment must be a readable YAML file, got 'gone.yaml'" in text) == (2, True)
    assert earthloop("compile", APP, "--engine", "airflow", "--out", "spec.yaml")[0] == 2
