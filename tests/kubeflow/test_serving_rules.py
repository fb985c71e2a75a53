"""The alerts: checked and unit-tested by promtool, and each of them has such a test."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
import yaml


@pytest.fixture(scope="module")
def monitoring(project):
    return project / "kubeflow" / "serving" / "monitoring"


@pytest.fixture(scope="module")
def rules(monitoring):
    groups = yaml.safe_load((monitoring / "rules.yaml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.fixture(scope="module")
def cases(monitoring):
    return yaml.safe_load((monitoring / "rules_test.yaml").read_text(encoding="utf-8"))["tests"]


def promtool(*arguments):
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not there; apt-get install prometheus has it")
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


def test_prometheus_takes_the_rules(monitoring):
    status, said = promtool("check", "rules", "--lint=all", "--lint-fatal", str(monitoring / "rules.yaml"))
    assert status == 0, said


def test_alerts_fire_when_they_must_and_are_silent_otherwise(monitoring):
    status, said = promtool("test", "rules", str(monitoring / "rules_test.yaml"))
    assert status == 0, said


def test_an_alert_that_did_not_fire_would_be_noticed(monitoring, tmp_path):
    shutil.copyfile(monitoring / "rules_test.yaml", tmp_path / "rules_test.yaml")
    text = (monitoring / "rules.yaml").read_text(encoding="utf-8")
    (tmp_path / "rules.yaml").write_text(text.replace("up{job=", "down{job="), encoding="utf-8")
    status, said = promtool("test", "rules", str(tmp_path / "rules_test.yaml"))
    assert status != 0
    assert "EarthloopServingDown" in said


def test_the_configuration_for_one_machine_is_taken(monitoring, tmp_path):
    for name in ("prometheus.yaml", "rules.yaml"):
        shutil.copyfile(monitoring / name, tmp_path / name)
    status, said = promtool("check", "config", str(tmp_path / "prometheus.yaml"))
    assert status == 0, said


def test_every_alert_has_a_case_in_which_it_alone_fires(rules, cases):
    fired = {
        label
        for case in cases
        for asked in case["promql_expr_test"]
        if len(asked["exp_samples"]) == 1
        for label in re.findall(r'alertname="(\w+)"', asked["exp_samples"][0]["labels"])
    }
    assert fired == {rule["alert"] for rule in rules if "alert" in rule}


def test_the_case_of_healthy_servers_has_every_metric_that_rules_read(rules, cases):
    healthy = " ".join(series["series"] for series in cases[0]["input_series"])
    read = {name for rule in rules for name in re.findall(r"(?<![\w:])(?::tensorflow:|earthloop_)[\w:]+", rule["expr"])}
    assert read
    assert {name for name in read if name not in healthy} == set()


def test_every_alert_says_how_bad_it_is_and_what_is_wrong(rules):
    for rule in rules:
        if "alert" in rule:
            assert rule["alert"].startswith("EarthloopServing")
            assert rule["labels"]["severity"] in {"critical", "warning"}
            assert set(rule["annotations"]) == {"summary", "description"}


def test_rules_and_scrape_configuration_name_one_job(rules, monitoring, project):
    jobs = {job for rule in rules for job in re.findall(r'job="([^"]+)"', rule["expr"])}
    [scraped] = yaml.safe_load((monitoring / "prometheus.yaml").read_text(encoding="utf-8"))["scrape_configs"]
    service = next(
        yaml.safe_load_all((project / "kubeflow" / "serving" / "base" / "service.yaml").read_text(encoding="utf-8"))
    )
    assert jobs == {scraped["job_name"]} == {service["metadata"]["name"]}


def test_the_page_lists_every_alert(rules, project):
    page = (project / "docs" / "serving-kubernetes.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(EarthloopServing\w+)`", page, flags=re.MULTILINE)
    assert sorted(listed) == sorted(rule["alert"] for rule in rules if "alert" in rule)
