"""Says how a run on Kubeflow ended, however it ended: the pipeline's exit handler."""

import json
import logging
from pathlib import Path
from typing import Any

from tfx.dsl.component.experimental.annotations import OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component

from components.artifacts import RunOutcome

OUTCOME_FILE = "outcome.json"
_WORDS = {
    "SUCCEEDED": "completed",
    "FAILED": "failed",
    "CANCELLED": "was cancelled",
    "RUNNING": "ended; its last stages were skipped or answered from the cache",
}

_logger = logging.getLogger(__name__)


@component
def ReportOutcome(
    outcome: OutputArtifact[RunOutcome],
    application: Parameter[str],
    run_name: Parameter[str],
    run_id: Parameter[str],
    status: Parameter[str] = "",
) -> None:
    """Writes `outcome.json` and the sentence in it to the log.

    Args:
        outcome: gets `outcome.json`, and the property `state`.
        application: name of the application.
        run_name: what people call the run.
        run_id: Kubeflow's own id of it.
        status: Kubeflow's `PipelineTaskFinalStatus` as JSON; "" where the server does not tell.
    """
    found = describe(application, run_name, run_id, status)
    Path(outcome.uri).mkdir(parents=True, exist_ok=True)
    Path(outcome.uri, OUTCOME_FILE).write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    outcome.set_string_custom_property("state", found["state"])
    _logger.log(logging.ERROR if found["state"] == "FAILED" else logging.INFO, "%s", found["sentence"])


def describe(application: str, run_name: str, run_id: str, status: str) -> dict[str, Any]:
    """Returns what is known of the end of a run, with a sentence for people.

    Args:
        application: name of the application.
        run_name: what people call the run.
        run_id: Kubeflow's own id of it.
        status: `PipelineTaskFinalStatus` as JSON, or "".

    Returns:
        `application`, `run_name`, `run_id`, `state` ("SUCCEEDED", "FAILED", "CANCELLED", or "UNKNOWN"), `error`,
        `sentence`.
    """
    told = json.loads(status) if status else {}
    state = {"COMPLETE": "SUCCEEDED", "CANCELED": "CANCELLED"}.get(told.get("state", ""), told.get("state", "UNKNOWN"))
    error = (told.get("error") or {}).get("message", "")
    sentence = f"Run {run_name or run_id} of {application} {_WORDS.get(state, 'ended; the server does not tell how')}"
    return {
        "application": application,
        "run_name": run_name,
        "run_id": run_id,
        "state": "UNKNOWN" if state == "RUNNING" else state,  # the handler runs, so nothing else does
        "error": error,
        "sentence": f"{sentence}: {error}" if error else f"{sentence}.",
    }
