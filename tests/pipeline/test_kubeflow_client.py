from __future__ import annotations

import os
import shutil
import socket
import subprocess

import pytest

pytest.importorskip("kfp")

from applications.errors import ConfigError
from pipeline import kubeflow_connection, kubeflow_follow
from pipeline.kubeflow_auth import Login
from pipeline.kubeflow_client import Address, Server, Uploaded, Wanted
from pipeline.kubeflow_errors import ServerError, Unanswered

NOBODY = Login()
SPEC = "pipelineInfo: {name: landcover}\ndefaultPipelineRoot: minio://bucket/root\n"


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "landcover.yaml"
    path.write_text(SPEC)
    return path


def connect(kubeflow, login=NOBODY, **more):
    return Server(Address(host=kubeflow.url, **more), login)


def wanted(uploaded, **parameters):
    return Wanted(uploaded=uploaded, experiment="spring", name="first", parameters=parameters)


def test_a_pipeline_is_uploaded_once_and_then_its_versions_unless_nothing_changed(kubeflow, spec):
    server = connect(kubeflow)
    first = server.upload(spec, "landcover")
    assert first == Uploaded(pipeline_id="pipelines-1", version_id="versions-1", what="new pipeline")
    second = server.upload(spec, "landcover")
    assert second == Uploaded(pipeline_id="pipelines-1", version_id="versions-2", what="new version")
    assert server.upload(spec, "landcover") == Uploaded(
        pipeline_id="pipelines-1", version_id="versions-2", what="as it was"
    )
    assert [pipeline.display_name for pipeline in kubeflow.pipelines] == ["landcover"]
    assert kubeflow.versions[1].display_name.startswith("landcover-")
    assert kubeflow.versions[1].pipeline_spec["defaultPipelineRoot"] == "minio://bucket/root"


def test_a_run_has_its_version_parameters_and_experiment(kubeflow, spec):
    server = connect(kubeflow)
    uploaded = server.upload(spec, "landcover")
    assert server.start(wanted(uploaded, epochs=3, data="/earthloop/d")) == "runs-1"
    server.start(wanted(uploaded))
    made = kubeflow.runs[0]
    assert made.display_name == "first"
    assert made.runtime_config.parameters == {"epochs": 3, "data": "/earthloop/d"}
    assert made.pipeline_version_reference.pipeline_version_id == "versions-1"
    assert [experiment.display_name for experiment in kubeflow.experiments] == ["spring"]  # made once
    assert made.experiment_id == "experiments-1"


@pytest.mark.parametrize("every", [3600, "0 0 4 * * *"])
def test_a_recurring_run_is_one_at_a_time_and_makes_up_for_nothing(kubeflow, spec, every):
    server = connect(kubeflow)
    assert server.repeat(wanted(server.upload(spec, "landcover"), epochs=2), every) == "recurring_runs-1"
    (made,) = kubeflow.recurring_runs
    if isinstance(every, int):
        assert made.trigger.periodic_schedule.interval_second == "3600"
    else:
        assert made.trigger.cron_schedule.cron == every
    assert (made.max_concurrency, made.no_catchup, made.mode) == ("1", True, "ENABLE")
    assert made.runtime_config.parameters == {"epochs": 2}


def test_following_tells_each_change_of_a_task_once(kubeflow, kubeflow_module, spec):
    server, task = connect(kubeflow), kubeflow_module.task
    run_id = server.start(wanted(server.upload(spec, "landcover")))
    kubeflow.looks = [
        ("PENDING", []),
        ("RUNNING", [task("root-driver", "RUNNING"), task("ingest", "RUNNING")]),
        ("RUNNING", [task("root-driver", "SUCCEEDED"), task("ingest", "RUNNING"), task("executor", "RUNNING")]),
        ("RUNNING", [task("ingest", "SUCCEEDED", 12), task("train", "RUNNING")]),
        ("FAILED", [task("ingest", "SUCCEEDED", 12), task("train", "FAILED", 3, "OOM\nkilled")]),
    ]
    lines = []
    run = kubeflow_follow.follow(lambda: server.run(run_id), lines.append)
    assert lines == [
        "ingest  running",
        "ingest  succeeded (12 s)",
        "train   running",
        "train   failed (3 s): OOM killed",
    ]
    assert (run.state, run.seconds, [each.name for each in run.tasks]) == ("failed", 90.0, ["ingest", "train"])


def test_following_outlasts_a_server_that_is_away_but_not_for_ever(kubeflow, spec, monkeypatch):
    server = connect(kubeflow)
    run_id = server.start(wanted(server.upload(spec, "landcover")))
    kubeflow.refuse("GET", f"/runs/{run_id}", 503, times=10)
    lines = []
    assert kubeflow_follow.follow(lambda: server.run(run_id), lines.append).state == "succeeded"
    assert len(lines) == 1
    assert lines[0].startswith(f"no answer, trying on for 10 min: {kubeflow.url} cannot show run runs-1 now: HTTP 503")
    monkeypatch.setattr(kubeflow_follow, "PATIENCE_S", 0.0)
    kubeflow.refuse("GET", f"/runs/{run_id}", 503)
    with pytest.raises(Unanswered, match="HTTP 503"):
        kubeflow_follow.follow(lambda: server.run(run_id), lines.append)


def test_a_failed_driver_is_shown_as_its_task_never_began(kubeflow, kubeflow_module, spec):
    server = connect(kubeflow)
    run_id = server.start(wanted(server.upload(spec, "landcover")))
    kubeflow.looks = [("FAILED", [kubeflow_module.task("train-driver", "FAILED", 1, "no input")])]
    assert [(task.name, task.error) for task in server.run(run_id).tasks] == [("train-driver", "no input")]


def test_questions_are_repeated_and_what_makes_something_is_not(kubeflow, spec):
    server = connect(kubeflow)
    uploaded = server.upload(spec, "landcover")
    kubeflow.refuse("GET", "/runs", 503, times=2)
    assert server.runs(5) == []
    assert kubeflow.count("GET", "/runs") == 3
    kubeflow.refuse("POST", "/runs", 503, text='{"message": "starting"}')
    with pytest.raises(Unanswered, match="cannot start the run now: HTTP 503: starting. Wait"):
        server.start(wanted(uploaded))
    assert kubeflow.count("POST", "/runs") == 1


def test_artifacts_are_told_by_the_server_or_by_the_root_of_the_run(kubeflow, spec):
    server = connect(kubeflow)
    run = server.run(server.start(wanted(server.upload(spec, "landcover"))))
    assert server.artifact_uri("17") == ""
    kubeflow.artifacts["17"] = {"artifact_id": "17", "uri": "minio://bucket/root/landcover/x/train/model"}
    assert server.artifact_uri("17") == "minio://bucket/root/landcover/x/train/model"
    assert server.root_of(run) == "minio://bucket/root/landcover/runs-1/"


def test_runs_of_one_experiment_are_listed_and_an_unknown_one_is_named(kubeflow, spec):
    server = connect(kubeflow)
    server.start(wanted(server.upload(spec, "landcover")))
    assert [run.name for run in server.runs(5, "spring")] == ["first"]
    with pytest.raises(ServerError, match="no experiment 'autumn'. Leave --experiment out"):
        server.runs(5, "autumn")


def test_a_token_is_sent_and_one_in_a_file_is_read_anew(kubeflow, tmp_path):
    kubeflow.token = "abc"
    assert connect(kubeflow, Login(token="abc")).runs(1) == []
    file = tmp_path / "token"
    file.write_text("abc\n")
    server = connect(kubeflow, Login(token_file=file))
    kubeflow.token = "renewed"
    file.write_text("renewed")
    assert server.runs(1) == []
    assert kubeflow.asked[-1][2]["authorization"] == "Bearer renewed"
    file.unlink()
    with pytest.raises(ConfigError, match="the token's file must be a readable file, got .*No such file"):
        connect(kubeflow, Login(token_file=file))


def test_no_secret_is_in_the_text_of_a_login():
    assert "abc" not in repr(Login(token="abc", user="me", password="abc"))
    with pytest.raises(ConfigError, match="the token must be one line without control characters. Write it anew."):
        Login(token="abc\ndef")


def test_who_is_not_known_is_told_how_to_log_in(kubeflow):
    kubeflow.token = "abc"
    text = (
        "refused to say whether it is well: HTTP 401: Request header error: no user identity. "
        "Give --auth token, dex or cluster"
    )
    with pytest.raises(ServerError, match=text):
        connect(kubeflow)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (403, "refused to list the runs: HTTP 403: no. It may not be known who you are .*--namespace names another"),
        (404, "refused to list the runs: HTTP 404: no. .*it ends in /pipeline"),
        (400, "refused to list the runs: HTTP 400: no. Change what it names"),
        (500, "refused to list the runs: HTTP 500: no. .*deployment ml-pipeline"),
        (302, "leads on to another page when asked to list the runs: HTTP 302. .* if it is a login: give --auth"),
    ],
)
def test_a_refusal_says_what_to_do(kubeflow, status, text):
    server = connect(kubeflow)
    kubeflow.refuse("GET", "/runs", status)
    with pytest.raises(ServerError, match=text):
        server.runs(1)
    assert kubeflow.count("GET", "/runs") == 1


def test_an_answer_that_cannot_be_read_is_told(kubeflow):
    server = connect(kubeflow)
    kubeflow.refuse("GET", "/runs", 200, text='{"runs": [{"created_at": "soon"}]}')
    with pytest.raises(
        ServerError, match="asked to list the runs, and its answer cannot be read: Failed to parse `soon`"
    ):
        server.runs(1)
    kubeflow.refuse("GET", "/runs/a", 200, text='{"created_at": 5}')
    with pytest.raises(
        ServerError, match="asked to show run a, and its answer cannot be read: .*It may be another server"
    ):
        server.run("a")


def test_a_refused_version_is_told_in_the_servers_words(kubeflow, spec):
    server = connect(kubeflow)
    server.upload(spec, "landcover")
    kubeflow.refuse("POST", "/upload_version", 400, text='{"message": "Unsupported schema version 2.0.0"}')
    with pytest.raises(ServerError, match=r"refused to take version 'landcover-\w+': HTTP 400: Unsupported schema"):
        server.upload(spec, "landcover")


def test_dex_gives_a_session_for_user_and_password(kubeflow):
    kubeflow.password = "s3cret"
    server = connect(kubeflow, Login(user="me@example.org", password="s3cret"))
    assert server.runs(1) == []
    assert kubeflow.asked[-1][2]["cookie"] == "session=good"
    with pytest.raises(ServerError, match="does not take user 'me@example.org' with this password"):
        connect(kubeflow, Login(user="me@example.org", password="wrong"))
    with pytest.raises(ServerError, match="leads on to /dex/auth when asked to say whether it is well: HTTP 302"):
        connect(kubeflow)


def test_a_server_without_form_says_so(kubeflow):
    with pytest.raises(ServerError, match="shows no form that asks for a password"):
        connect(kubeflow, Login(user="me", password="s3cret"))


def test_a_host_where_nobody_listens_is_named(monkeypatch):
    monkeypatch.setattr(kubeflow_connection, "BACKOFF_S", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = Address(host=f"http://127.0.0.1:{port}/")
    with pytest.raises(
        Unanswered, match=rf"http://127.0.0.1:{port} cannot be reached to say .*Connection refused.*port-f"
    ):
        Server(address, NOBODY)
    with pytest.raises(Unanswered, match="cannot be reached to log in: .*Connection refused"):
        Server(address, Login(user="me", password="x"))


def test_a_server_that_never_answers_is_given_up(kubeflow, spec, monkeypatch):
    server = connect(kubeflow)
    uploaded = server.upload(spec, "landcover")
    monkeypatch.setattr(kubeflow_connection, "ANSWER_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server._client._run_api.api_client.configuration.host = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr(Server, "_experiment", lambda *_: "experiments-1")
        with pytest.raises(Unanswered, match="did not answer when asked to start the run: .*It is not known whether"):
            server.start(wanted(uploaded))


def test_another_server_is_not_taken_for_one(kubeflow):
    kubeflow.refuse("GET", "/healthz", 200, text="<html>hello</html>")
    with pytest.raises(ServerError, match="not the address of a Kubeflow Pipelines API: it answers with a page"):
        connect(kubeflow)


def test_a_server_for_several_users_needs_a_namespace(kubeflow):
    kubeflow.multi_user = True
    with pytest.raises(ConfigError, match="has a namespace for each user: say which with --namespace"):
        connect(kubeflow)
    assert connect(kubeflow, namespace="team").namespace == "team"


def test_an_address_needs_its_scheme_and_certificates_a_file(tmp_path):
    with pytest.raises(ConfigError, match="--host must be a URL such as .* got 'kubeflow.example.org'"):
        Address(host="kubeflow.example.org")
    with pytest.raises(ConfigError, match="--ca-file must be a file with certificates"):
        Address(host="https://x", ca_file=tmp_path / "gone.pem")


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")
def test_a_certificate_is_trusted_only_with_its_ca_file(kubeflow_module, tmp_path, monkeypatch):
    monkeypatch.setattr(kubeflow_connection, "BACKOFF_S", 0.0)
    certificate = tmp_path / "server.pem"
    made = subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "2"),
            *("-keyout", str(tmp_path / "key.pem"), "-out", str(certificate)),
        ],
        capture_output=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    server = kubeflow_module.Server(tls=(certificate, tmp_path / "key.pem"))
    try:
        server.password = "s3cret"
        login = Login(user="me", password="s3cret")
        assert connect(server, login, ca_file=certificate).runs(1) == []
        for who in (login, NOBODY):
            with pytest.raises(ServerError, match="no trusted TLS connection came about: .*self-signed.*--ca-file"):
                connect(server, who)
    finally:
        server.close()


def test_what_kfps_own_command_line_left_behind_is_not_used(kubeflow, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    connect(kubeflow, namespace="team")
    assert os.listdir(tmp_path) == []
