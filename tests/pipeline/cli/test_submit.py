from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest
import yaml

from applications.errors import UsageError
from pipeline.cli.submit import schedule_of

GOLDEN = "tests/golden/satellite-landcover.yaml"
PROBE = """
import sys
from pipeline.cli.main import main
code = main(sys.argv[1:])
heavy = {"tensorflow", "tfx", "kfp", "kfp_server_api", "google.protobuf", "urllib3", "numpy"} & set(sys.modules)
sys.exit(f"{code} {heavy}" if code or heavy else 0)
"""


@pytest.fixture
def spec(earthloop, project):
    pathlib.Path("landcover.yaml").write_text((project / GOLDEN).read_text())
    return "landcover.yaml"


def test_a_pipeline_is_submitted_with_its_parameters(earthloop, spec, kubeflow):
    code, text = earthloop("submit", spec, "--host", kubeflow.url, "--param", "epochs=7", "--run-name", "spring")
    assert (code, text) == (
        0,
        "Pipeline satellite-landcover: new pipeline, version versions-1.\n"
        f"Run runs-1: {kubeflow.url}/#/runs/details/runs-1\n"
        f"Next: earthloop cluster-run runs-1 --host {kubeflow.url}\n",
    )
    (made,) = kubeflow.runs
    assert made.display_name == "spring"
    assert made.runtime_config.parameters == {"epochs": 7, "run_name": "spring"}
    assert kubeflow.versions[0].pipeline_spec["pipelineInfo"]["name"] == "satellite-landcover"
    assert kubeflow.experiments[0].display_name == "satellite-landcover"
    assert "new version, version versions-2." in earthloop("submit", spec, "--host", kubeflow.url)[1]


def test_waiting_ends_with_what_became_of_the_run(earthloop, spec, kubeflow, kubeflow_module):
    task = kubeflow_module.task
    kubeflow.looks = [("RUNNING", [task("ingest", "RUNNING")]), ("SUCCEEDED", [task("ingest", "SUCCEEDED", 4)])]
    code, text = earthloop("submit", spec, "--host", kubeflow.url, "--wait")
    assert code == 0
    assert text.splitlines()[2:] == ["ingest  running", "ingest  succeeded (4 s)", "Succeeded: 1 tasks."]
    kubeflow.looks = [("FAILED", [task("train", "FAILED", 4, "out of memory")])]
    code, text = earthloop("submit", spec, "--host", kubeflow.url, "--wait")
    assert code == 1
    assert text.splitlines()[2:] == [
        "train  failed (4 s): out of memory",
        "The run is failed.",
        f"Its logs: earthloop cluster-run runs-2 --host {kubeflow.url} --logs",
    ]


STATES = {
    "root": "FAILED",
    "root.ingest": "SUCCEEDED",
    "root.ingest.executor": "SUCCEEDED",
    "root.train": "FAILED",
    "root.train.executor": "FAILED",
}


@pytest.fixture
def failed(earthloop, spec, kubeflow, kubeflow_module):
    """A run whose task `train` failed; returns the names of the pods of both tasks."""
    kubeflow.looks = [("FAILED", kubeflow_module.graph("w-1", STATES))]
    earthloop("submit", spec, "--host", kubeflow.url)
    return [
        f"w-1-system-container-impl-{kubeflow_module.number(f'w-1.root.{name}.executor')}"
        for name in ("ingest", "train")
    ]


def test_waiting_prints_the_end_of_a_failed_tasks_log(earthloop, spec, kubeflow, failed):
    kubeflow.logs[failed[1]] = "".join(f"line {number}\n" for number in range(40))
    code, text = earthloop("submit", spec, "--host", kubeflow.url, "--wait")
    assert code == 1
    assert "\nThe last lines of train:\nline 10\nline 11\n" in text
    assert "line 39\n\nThe run is failed.\n" in text
    kubeflow.logs.clear()
    code, text = earthloop("submit", spec, "--host", kubeflow.url, "--wait")
    assert code == 1
    assert f"No log of train: {kubeflow.url} has no log of train. the user interface: HTTP 500" in text


def test_logs_are_printed_of_failed_tasks_or_of_the_one_that_is_named(earthloop, kubeflow, failed):
    kubeflow.logs.update(zip(failed, ("read\nwritten\n", "out of memory\n"), strict=True))
    words = ("cluster-run", "runs-1", "--host", kubeflow.url)
    assert earthloop(*words, "--logs") == (0, "--- train\nout of memory\n")
    assert earthloop(*words, "--logs", "ingest") == (0, "--- ingest\nread\nwritten\n")
    assert earthloop(*words, "--logs", "ingest", "--tail", "1") == (0, "--- ingest\nwritten\n")
    code, text = earthloop(*words, "--logs", "trian")
    assert (code, "no task of the run 'trian'; there are: ingest, train. Did you mean 'train'?" in text) == (2, True)
    code, text = earthloop(*words, "--tail", "1")
    assert (code, "is about logs, which are not asked for. Give --logs too." in text) == (2, True)
    del kubeflow.logs[failed[1]]
    code, text = earthloop(*words, "--logs")
    assert (code, "has no log of train." in text, "kubectl logs -n kubeflow -l pipeline/runid=runs-1" in text) == (
        1,
        True,
        True,
    )


def test_a_server_that_tells_no_pods_is_told(earthloop, spec, kubeflow, kubeflow_module):
    kubeflow.looks = [("FAILED", [kubeflow_module.task("train", "FAILED", 4)])]
    earthloop("submit", spec, "--host", kubeflow.url)
    code, text = earthloop("cluster-run", "runs-1", "--host", kubeflow.url, "--logs", "train")
    assert code == 1
    assert text.startswith("The server tells no pods of this run. Ask the cluster: kubectl logs -n kubeflow -l pipe")


def test_who_stops_waiting_is_told_that_the_run_goes_on(earthloop, spec, kubeflow, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.kubeflow_follow.follow", interrupt)
    code, text = earthloop("submit", spec, "--host", kubeflow.url, "--wait")
    assert code == 130
    assert "The run on the server goes on. Look at it with: earthloop cluster-run runs-1" in text


def test_a_recurring_run_is_made_and_its_page_named(earthloop, spec, kubeflow):
    code, text = earthloop("submit", spec, "--host", kubeflow.url, "--every", "0 30 4 * * *")
    assert code == 0
    assert f"Recurring run recurring_runs-1. The server's page stops it: {kubeflow.url}/#/recurringrun/" in text
    assert kubeflow.recurring_runs[0].trigger.cron_schedule.cron == "0 30 4 * * *"
    assert kubeflow.runs == []


def test_nothing_is_sent_where_parameters_or_pipeline_are_wrong(earthloop, spec, kubeflow):
    words = ("submit", spec, "--host", kubeflow.url)
    code, text = earthloop(*words, "--param", "epoch=7")
    assert (code, "no pipeline parameter 'epoch'; there are:" in text, "Did you mean 'epochs'?" in text) == (
        2,
        True,
        True,
    )
    code, text = earthloop(*words, "--param", "epochs=many")
    assert (code, "--param epochs must be a whole number, got 'many'" in text) == (2, True)
    code, text = earthloop(*words, "--every", "3600", "--wait")
    assert (code, "makes a recurring run, which has no end to --wait for" in text) == (2, True)
    documents = list(yaml.safe_load_all(pathlib.Path(spec).read_text()))
    documents[0]["pipelineInfo"]["name"] = "Land_Cover"
    pathlib.Path("broken.yaml").write_text(yaml.safe_dump_all(documents))
    code, text = earthloop("submit", "broken.yaml", "--host", kubeflow.url)
    assert (code, "broken.yaml would fail on the cluster:\n" in text, "Rename the pipeline." in text) == (2, True, True)
    assert kubeflow.asked == []


def test_runs_are_listed_and_one_is_shown(earthloop, spec, kubeflow, kubeflow_module):
    host = ("--host", kubeflow.url)
    assert earthloop("cluster-runs", *host) == (0, "No runs yet. Next: earthloop submit FILE.yaml\n")
    earthloop("submit", spec, *host, "--run-name", "spring")
    train = kubeflow_module.task("train", "FAILED", 65, "killed", {"model": ["17"]})
    kubeflow.looks = [("FAILED", [kubeflow_module.task("ingest", "SUCCEEDED", 4), train])]
    kubeflow.artifacts["17"] = {"uri": "minio://bucket/train/model"}
    code, text = earthloop("cluster-run", "runs-1", *host)
    assert code == 0
    assert text.splitlines() == [
        "spring: failed, 1 min 30 s",
        "  created  2026-03-01 12:00",
        f"  page     {kubeflow.url}/#/runs/details/runs-1",
        "tasks",
        "  ingest  succeeded  4.0 s",
        "  train   failed     1 min 05 s  killed",
        "artifacts",
        "  train  model  minio://bucket/train/model",
        f"Next: earthloop cluster-run runs-1 --host {kubeflow.url} --logs",
    ]
    assert earthloop("cluster-runs", *host)[1].splitlines() == [
        "  run     name    created (UTC)     state   time",
        "  runs-1  spring  2026-03-01 12:00  failed  1 min 30 s",
    ]
    code, text = earthloop("cluster-run", "runs-9", *host)
    assert (code, "refused to show run runs-9: HTTP 404: not found. Look the id up" in text) == (1, True)


def test_secrets_come_from_files_or_the_environment(earthloop, kubeflow, monkeypatch):
    words = ("cluster-runs", "--host", kubeflow.url, "--auth")
    kubeflow.token = "abc"
    code, text = earthloop(*words, "token")
    assert (code, "--auth token needs a secret: give --token-file FILE, or set EARTHLOOP_KFP_TOKEN." in text) == (
        2,
        True,
    )
    code, text = earthloop(*words, "none", "--token-file", "token")
    assert (code, "--token-file belongs to --auth token, got --auth none." in text) == (2, True)
    monkeypatch.setenv("EARTHLOOP_KFP_TOKEN", "abc\n")
    assert earthloop(*words, "token")[0] == 0
    pathlib.Path("token").write_text("abc\n")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", "token")
    assert earthloop(*words, "cluster")[0] == 0
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", "gone")
    assert "the token's file must be a readable file, got 'gone'" in earthloop(*words, "cluster")[1]
    kubeflow.token, kubeflow.password = "", "s3cret"
    assert "--auth dex needs the user" in earthloop(*words, "dex")[1]
    pathlib.Path("password").write_text("s3cret\n")
    assert earthloop(*words, "dex", "--user", "me", "--password-file", "password")[0] == 0
    monkeypatch.setenv("EARTHLOOP_KFP_PASSWORD", "wrong")
    assert "does not take user 'me' with this password" in earthloop(*words, "dex", "--user", "me")[1]


def test_a_schedule_is_seconds_or_six_fields():
    assert schedule_of("3600") == 3600
    assert schedule_of(" 0  0 4 * * MON ") == "0 0 4 * * MON"
    with pytest.raises(UsageError, match=r"got '0 4 \* \* \*'. Perhaps you mean '0 0 4 \* \* \*'."):
        schedule_of("0 4 * * *")
    for text in ("0", "-5", "daily"):
        with pytest.raises(UsageError, match="--every must be whole seconds above 0, or six cron fields"):
            schedule_of(text)


def test_help_imports_nothing_heavy(project, tmp_path):
    for command in ("submit", "cluster-runs", "cluster-run"):
        done = subprocess.run(
            [sys.executable, "-c", PROBE, command, "--help"],
            env={**os.environ, "PYTHONPATH": str(project)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr, "--host URL" in done.stdout) == (0, "", True)
