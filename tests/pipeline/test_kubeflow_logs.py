from __future__ import annotations

import pytest

pytest.importorskip("kfp")

from applications.errors import UnknownName
from pipeline import kubeflow_logs
from pipeline.kubeflow_auth import Login
from pipeline.kubeflow_client import Address, Server, Uploaded, Wanted
from pipeline.kubeflow_errors import ServerError

W = "tree-x7k2p"
STATES = {
    "root-driver": "SUCCEEDED",
    "root": "FAILED",
    "root.stages-driver": "SUCCEEDED",
    "root.stages": "FAILED",
    "root.stages.ingest-driver": "SUCCEEDED",
    "root.stages.ingest": "SUCCEEDED",
    "root.stages.ingest.executor": "SUCCEEDED",
    "root.stages.train-driver": "SUCCEEDED",
    "root.stages.train": "FAILED",
    "root.stages.train.executor": "FAILED",
    "root.stages.train.executor(0)": "FAILED",
    "root.stages.train.executor(1)": "FAILED",
    "root.stages.push-driver": None,
    "root.stages.push": None,
    "root.stages.onExit": "SUCCEEDED",
}


@pytest.fixture
def run(kubeflow, kubeflow_module):
    """A server, and a run of which two attempts at `train` failed."""
    kubeflow.looks = [("FAILED", kubeflow_module.graph(W, STATES))]
    server = Server(Address(host=kubeflow.url, namespace="team"), Login())
    uploaded = Uploaded(pipeline_id="p", version_id="v", what="")
    return server, server.run(server.start(Wanted(uploaded=uploaded, experiment="e", name="n", parameters={})))


def pod_name(module, full, template="system-container-impl"):
    return f"{W}-{template}-{module.number(f'{W}.{full}')}"


def test_only_tasks_of_the_pipeline_are_shown_and_what_argo_left_out_is_omitted(run):
    assert [(task.name, task.state) for task in run[1].tasks] == [
        ("ingest", "succeeded"),
        ("push", "omitted"),
        ("stages", "failed"),
        ("train", "failed"),
    ]


def test_without_a_name_the_pods_of_failed_tasks_are_chosen(run, kubeflow_module):
    pods = kubeflow_logs.pods(run[1], "")
    assert [pod.title for pod in pods] == ["train, attempt 1", "train, attempt 2"]
    name = pod_name(kubeflow_module, "root.stages.train.executor(1)", "retry-system-container-impl")
    assert pods[1].names[0] == name
    assert [pod.title for pod in kubeflow_logs.pods(run[1], "ingest")] == ["ingest"]


def test_an_unknown_task_and_one_that_never_began_are_told(run):
    with pytest.raises(UnknownName, match="no task of the run 'trian'; .*Did you mean 'train'?"):
        kubeflow_logs.pods(run[1], "trian")
    with pytest.raises(ServerError, match="task 'push' was omitted, .*: it has no log."):
        kubeflow_logs.pods(run[1], "push")


@pytest.mark.parametrize(("shows", "asked"), [("all", ["/k8s/pod/logs"]), ("ui", ["/k8s/pod/logs"]), ("api", None)])
def test_a_log_comes_from_whichever_part_has_it(run, kubeflow, kubeflow_module, shows, asked):
    server, found = run
    name = pod_name(kubeflow_module, "root.stages.ingest.executor")
    kubeflow.logs[name] = "read 400 chips\n{not JSON\n"
    kubeflow.shows = shows
    [pod] = kubeflow_logs.pods(found, "ingest")
    before = len(kubeflow.asked)
    assert kubeflow_logs.read(server, found, pod) == "read 400 chips\n{not JSON\n"
    paths = [path for _, path, _ in kubeflow.asked[before:]]
    assert paths == (asked or ["/k8s/pod/logs", f"/apis/v1alpha1/runs/{found.run_id}/nodes/{name}/log"])


def test_a_log_that_nobody_has_says_who_was_asked_and_where_else_to_look(run, kubeflow):
    server, found = run
    [pod] = kubeflow_logs.pods(found, "ingest")
    with pytest.raises(ServerError) as caught:
        kubeflow_logs.read(server, found, pod)
    text = str(caught.value)
    assert text.startswith(f"{kubeflow.url} has no log of ingest. the user interface: HTTP 500: Could not get main co")
    assert f"the API server: Failed to read logs for run {found.run_id}" in text
    assert (
        f"kubectl logs -n team -l pipeline/runid={found.run_id} -c main --prefix --tail=-1; or look into the object "
        "store for ingest/*/executor-logs below the run's folder."
    ) in text


def test_a_page_is_no_log(run, kubeflow):
    server, found = run
    kubeflow.refuse("GET", "/k8s/pod/logs", 200, text="<html>log in</html>")
    kubeflow.shows = "ui"
    [pod] = kubeflow_logs.pods(found, "ingest")
    with pytest.raises(ServerError, match="the user interface: it answers with a page; the API server: HTTP 404"):
        kubeflow_logs.read(server, found, pod)


def test_the_session_is_sent_along(run, kubeflow, kubeflow_module):
    _, found = run
    kubeflow.token = "abc"
    kubeflow.logs[pod_name(kubeflow_module, "root.stages.ingest.executor")] = "hello\n"
    server = Server(Address(host=kubeflow.url), Login(token="abc"))
    assert kubeflow_logs.read(server, found, kubeflow_logs.pods(found, "ingest")[0]) == "hello\n"
