from __future__ import annotations

import pytest

from applications import discovery
from pipeline import config as configuration
from pipeline import unchanged
from pipeline.run_record import RunRecord

APP = "satellite/landcover"


@pytest.fixture
def finished(tmp_path):
    """A complete run with a page."""
    config = configuration.to_dict(configuration.resolve(discovery.load(APP)))
    record = RunRecord.create(tmp_path, APP, config, run_id="20261121T034500Z", fingerprint="f", stages=["report"])
    record.stage("report", state="done")
    (record.path / "report.html").write_text("page")
    record.update(report=record.relative(record.path / "report.html"))
    record.finish("complete")
    return record


def test_a_complete_run_of_the_same_fingerprint_is_found(finished):
    assert unchanged.same_run(finished.folder, "f")["run_id"] == finished.run_id
    assert unchanged.same_run(finished.folder, "other") is None


def test_a_run_killed_before_its_page_was_written_is_done_again(finished):
    finished.update(report=None)
    assert unchanged.missing_product(finished.folder, finished.data) == "report.html"
    assert unchanged.same_run(finished.folder, "f") is None


def test_a_page_that_was_removed_or_cut_is_noticed(finished):
    (finished.path / "report.html").write_text("pa")
    assert unchanged.missing_product(finished.folder, finished.data) == finished.data["report"]


def test_other_starting_weights_under_the_same_name_are_another_run(tmp_path):
    start = tmp_path / "start.weights.h5"
    config = configuration.resolve(discovery.load(APP), overrides=[f"train.weights={start}"])
    found = []
    for content in (b"1", b"2", b"1"):
        start.write_bytes(content)
        found.append(unchanged.fingerprint(config, "data"))
    assert found[0] == found[2] != found[1]
