import json

import pytest

pytest.importorskip("tfx")

from components.artifacts import RunOutcome
from components.outcome import ReportOutcome, describe


def status(state, message=""):
    return json.dumps({"state": state, "pipelineTaskName": "tfx-dag", "error": {"message": message}})


@pytest.mark.parametrize(
    ("told", "state", "sentence"),
    [
        (status("SUCCEEDED"), "SUCCEEDED", "Run spring of a/b completed."),
        (status("COMPLETE"), "SUCCEEDED", "Run spring of a/b completed."),
        (status("FAILED", "out of memory"), "FAILED", "Run spring of a/b failed: out of memory"),
        (status("CANCELED"), "CANCELLED", "Run spring of a/b was cancelled."),
        (
            status("RUNNING"),
            "UNKNOWN",
            "Run spring of a/b ended; its last stages were skipped or answered from the cache.",
        ),
        ("", "UNKNOWN", "Run spring of a/b ended; the server does not tell how."),
    ],
)
def test_the_end_of_a_run_is_a_sentence(told, state, sentence):
    found = describe("a/b", "spring", "1234", told)
    assert (found["state"], found["sentence"], found["run_id"]) == (state, sentence, "1234")


def test_a_run_without_a_name_is_told_by_its_id():
    assert describe("a/b", "", "1234", status("FAILED"))["sentence"] == "Run 1234 of a/b failed."


def test_the_outcome_is_written_and_is_a_property(tmp_path, caplog):
    outcome = RunOutcome()
    outcome.uri = str(tmp_path / "outcome")
    properties = {"application": "a/b", "run_name": "spring", "run_id": "1", "status": status("FAILED", "no memory")}
    ReportOutcome.EXECUTOR_SPEC.executor_class().Do({}, {"outcome": [outcome]}, properties)
    written = json.loads((tmp_path / "outcome" / "outcome.json").read_text())
    assert (written["state"], written["error"]) == ("FAILED", "no memory")
    assert outcome.get_string_custom_property("state") == "FAILED"
    assert "Run spring of a/b failed: no memory" in caplog.text
