"""The report stage as TFX runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tfx.types import Channel, standard_artifacts

from applications.errors import ConfigError
from components.artifacts import RunReport, Verdict
from components.report import Report, ReportExecutor


def test_every_input_may_be_absent() -> None:
    stage = Report(application="satellite/landcover", verdict=Channel(type=Verdict), baseline=None)
    assert list(stage.inputs) == ["verdict"]
    assert stage.outputs["report"].type is RunReport


def test_unknown_input_is_refused_with_a_near_name() -> None:
    with pytest.raises(
        ConfigError, match=r"the report has no input 'verdit'; there are: window, examples.*Did you mean 'verdict'"
    ):
        Report(application="satellite/landcover", verdit=Channel(type=Verdict))


def test_input_of_the_wrong_type_is_refused() -> None:
    with pytest.raises(TypeError, match="verdict"):
        Report(application="satellite/landcover", verdict=Channel(type=standard_artifacts.Model))


def test_stage_writes_the_page_and_its_json(tmp_path: Path) -> None:
    verdict, report = Verdict(), RunReport()
    verdict.uri, report.uri = str(tmp_path / "verdict"), str(tmp_path / "report")
    (tmp_path / "verdict").mkdir()
    said = {"verdict": "cannot tell", "sentence": "The interval straddles the limit.", "checks": []}
    (tmp_path / "verdict" / "verdict.json").write_text(json.dumps(said), encoding="utf-8")
    properties = {"application": "satellite/landcover", "configuration": '{"version": 1}', "code_version": "abc123"}
    ReportExecutor().Do({"verdict": [verdict], "statistics": []}, {"report": [report]}, properties)
    kept = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert kept["verdict"] == said
    assert kept["configuration"] == {"version": 1}
    text = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "Cannot tell" in text
    assert "The interval straddles the limit." in text
    assert "abc123" in text
