"""A real Prometheus scrapes a running server, evaluates our rules on it, and answers what the dashboard asks."""

from __future__ import annotations

import contextlib
import functools
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
import yaml

from serving.model_server import dashboards

pytestmark = pytest.mark.slow
WAIT_S = 90


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def eventually(holds):
    """Waits until something is true; returns it."""
    end = time.monotonic() + WAIT_S
    while True:
        with contextlib.suppress(OSError):
            if found := holds():
                return found
        assert time.monotonic() < end, "it does not become true"
        time.sleep(0.2)


@contextlib.contextmanager
def running(command, log):
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=dashboards.ROOT, stdout=file, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def ask(port, path, body=None):
    """Returns status and text."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=body and json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture
def server(half_plus_two, tmp_path):
    """A server of one model with metrics; its port and its process."""
    port = free_port()
    (tmp_path / "monitoring.config").write_text("prometheus_config { enable: true }")
    command = [
        *(sys.executable, "-m", "serving.model_server.main", f"--rest_api_port={port}", "--port=0"),
        *("--model_name=m", f"--model_base_path={half_plus_two}"),
        f"--monitoring_config_file={tmp_path / 'monitoring.config'}",
    ]
    with running(command, tmp_path / "server.log") as process:
        eventually(lambda: ask(port, "/v1/models/m/metadata")[0] == 200)
        yield port, process


@pytest.fixture
def prometheus(server, tmp_path):
    """A Prometheus that scrapes the server each second with our rules; a function that asks its API."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not there; apt-get install prometheus")
    folder = dashboards.ROOT / dashboards.FOLDER
    settings = yaml.safe_load((folder / "prometheus.yaml").read_text(encoding="utf-8"))
    settings["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    settings["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{server[0]}"]}]
    settings["rule_files"] = [str(folder / "rules.yaml")]
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    port = free_port()
    command = [
        *("prometheus", f"--config.file={tmp_path / 'prometheus.yaml'}", f"--storage.tsdb.path={tmp_path / 'data'}"),
        f"--web.listen-address=127.0.0.1:{port}",
    ]

    def api(path, **parameters):
        status, text = ask(port, f"/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
        assert status == 200, text
        return json.loads(text)["data"]

    with running(command, tmp_path / "prometheus.log"):
        eventually(lambda: ask(port, "/-/ready")[0] == 200)
        yield api


def value(api, expression):
    """The one number that PromQL gives; None for none."""
    found = api("query", query=expression)["result"]
    return float(found[0]["value"][1]) if found else None


def alerts(api):
    """State of each alert, once all groups were evaluated without an error."""
    groups = api("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert [rule["name"] for rule in rules if rule.get("lastError")] == []
    if any(rule["health"] != "ok" for rule in rules):
        return None
    return {rule["name"]: rule["state"] for rule in rules if rule["type"] == "alerting"}


def test_prometheus_scrapes_the_server_and_evaluates_every_rule(server, prometheus):
    port, process = server
    for x in range(20):
        assert ask(port, "/v1/models/m:predict", {"instances": [float(x)]})[0] == 200
    assert ask(port, "/v1/models/m:predict", {"instances": ["no number"]})[0] == 400
    count = ':tensorflow:serving:request_count{job="earthloop-serving", model_name="m", status="%s"}'
    eventually(lambda: (value(prometheus, count % "OK") or 0) >= 20)
    assert value(prometheus, count % "INVALID_ARGUMENT") == 1
    assert value(prometheus, ':tensorflow:serving:request_latency_count{API="predict", entrypoint="REST"}') == 20
    assert value(prometheus, "earthloop_serving_model_version") == 2
    assert value(prometheus, "earthloop_serving_model_ready") == 1
    states = eventually(lambda: alerts(prometheus))
    assert len(states) == 13
    assert {name for name, state in states.items() if state == "firing"} == set()

    process.kill()
    eventually(lambda: alerts(prometheus)["EarthloopServingDown"] == "pending")


def test_prometheus_answers_what_the_dashboard_asks(server, prometheus):
    port, _ = server
    eventually(lambda: value(prometheus, "up") == 1)
    for _ in range(3):  # counters grow between scrapes
        ask(port, "/v1/models/m:predict", {"instances": [1.0]})
        time.sleep(1.1)
    expressions = {
        target["expr"]: panel["title"]
        for panel in dashboards.dashboard()["panels"]
        for target in panel.get("targets", ())
    }
    words = {"$__rate_interval": "1m", "$job": "earthloop-serving", "$model": ".*"}
    empty = set()
    for expression, title in expressions.items():
        asked = functools.reduce(lambda text, word: text.replace(*word), words.items(), expression)
        if not prometheus("query", query=asked)["result"]:
            empty.add(title)
    # what nothing has happened to yet: no failure, no tf.Example, no log; all else has something to show
    assert empty <= {
        "Share that did not end well",
        "tf.Examples",
        "Turned away by a full queue (embedded server)",
        "Attempts to load that failed",
        "Request log",
    }
