from __future__ import annotations

import json
import re

import pytest
import yaml

from serving.model_server import dashboards
from serving.model_server.batch_queues import BatchingParameters, BatchQueues
from serving.model_server.metrics import Metrics
from serving.model_server.monitoring import watch

ROWS_OF_GRAFANA = 24
_OF_A_HISTOGRAM = re.compile(r"_(bucket|sum|count)$")
_RECORDED = "earthloop:"  # made by a rule, not by a server
_BY_PROMETHEUS = "up"


def metric_names(expression):
    """The metrics that PromQL asks for, as the server names them: histograms without the ending of a series."""
    bare = re.sub(r'"[^"]*"', "", expression)
    names = re.findall(r"(?<![\w:$])(?::tensorflow:|earthloop[_:]|process_|up\b)[\w:]*", bare)
    return {name for name in names if not name.startswith(_RECORDED)}


def expressions():
    """Every PromQL expression of the rules and of the dashboard."""
    rules = yaml.safe_load((dashboards.ROOT / dashboards.RULES).read_text(encoding="utf-8"))
    for group in rules["groups"]:
        for rule in group["rules"]:
            yield rule["expr"]
    for panel in dashboards.dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


@pytest.fixture
def exported(no_manager):
    """Name to kind of everything that the page of a server can hold."""
    metrics = Metrics()
    watch(metrics, no_manager, BatchQueues(BatchingParameters()))
    page = metrics.render().decode()
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", page, flags=re.MULTILINE))


@pytest.fixture
def no_manager():
    class NoModels:
        def models(self):
            return ()

    return NoModels()


def test_every_metric_that_rules_and_dashboard_read_is_exported(exported):
    read = set().union(*(metric_names(expression) for expression in expressions())) - {_BY_PROMETHEUS}
    assert len(read) > 15
    unknown = {
        name for name in read if name not in exported and exported.get(_OF_A_HISTOGRAM.sub("", name)) != "histogram"
    }
    assert unknown == set()


def test_every_metric_that_only_this_server_has_is_on_the_dashboard(exported):
    shown = set().union(
        *(
            metric_names(target["expr"])
            for panel in dashboards.dashboard()["panels"]
            for target in panel.get("targets", ())
        )
    )
    assert {name for name in exported if name.startswith("earthloop_serving_")} <= shown


def test_metrics_are_found_in_expressions_and_words_in_quotes_are_not():
    found = metric_names('sum(rate(:tensorflow:serving:x_bucket{job="up", a=~"process_y"}[5m])) / up')
    assert found == {":tensorflow:serving:x_bucket", "up"}


def test_generated_files_are_as_the_code_says():
    assert dashboards.main(["--check"]) == 0


def test_a_file_that_differs_is_named(tmp_path, monkeypatch, capsys):
    rules = tmp_path / dashboards.RULES
    rules.parent.mkdir(parents=True)
    rules.write_text((dashboards.ROOT / dashboards.RULES).read_text(encoding="utf-8"), encoding="utf-8")
    (rules.parent / "dashboards").mkdir()
    monkeypatch.setattr(dashboards, "ROOT", tmp_path)
    assert dashboards.main(["--check"]) == 1
    assert f"{dashboards.FOLDER}/prometheusrule.yaml must be as the code" in capsys.readouterr().err
    assert dashboards.main([]) == 0
    assert dashboards.main(["--check"]) == 0


def test_the_rule_of_the_operator_holds_the_groups():
    made = yaml.safe_load(dashboards.prometheus_rule("groups: [{name: g, rules: [{alert: A, expr: up == 0}]}]"))
    assert made["kind"] == "PrometheusRule"
    assert made["spec"] == {"groups": [{"name": "g", "rules": [{"alert": "A", "expr": "up == 0"}]}]}


def test_graphs_lie_in_the_grid_and_on_nothing_else():
    taken = set()
    for panel in dashboards.dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (column, row)
            for column in range(place["x"], place["x"] + place["w"])
            for row in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= ROWS_OF_GRAFANA
        taken |= cells


def test_panels_have_numbers_and_sources_of_their_own_and_expressions_use_known_variables():
    made = dashboards.dashboard()
    numbers = [panel["id"] for panel in made["panels"]]
    assert len(set(numbers)) == len(numbers)
    known = {variable["name"] for variable in made["templating"]["list"]} | {"__rate_interval"}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(made["panels"])))
    assert used == known


def test_probes_are_no_part_of_latencies():
    latencies = [text for text in expressions() if "request_latency_bucket" in text]
    assert latencies
    assert all('API=~"(?i:predict|classify|regress)"' in text for text in latencies)
