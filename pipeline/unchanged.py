"""Whether a run would only repeat the last one: then nothing needs to start, not even the import of TFX."""

from __future__ import annotations

from typing import Any

from pipeline import config as configuration
from pipeline.output_folder import OutputFolder
from pipeline.run_record import RunRecord, records
from pipeline.source_hash import tree_digest, weights_digest
from serving import made_from

_PAGE_STAGE = "report"


def fingerprint(config: configuration.RunConfig, data_digest: str) -> str:
    """Digests all that a run's results depend on: configuration, data, code and the weights it starts from.

    Returns:
        16 hexadecimal digits.
    """
    return made_from.digest(
        configuration.to_dict(config), data_digest, tree_digest(), weights_digest(config.train.weights)
    )


def same_run(
    folder: OutputFolder, run_fingerprint: str, *, from_stage: str = "", to_stage: str = ""
) -> dict[str, Any] | None:
    """Returns the record of the last complete run of the same stages, if nothing changed since.

    Nothing changed when it had this fingerprint and its products are all still there.
    """
    for record in records(folder):
        if record["state"] != "complete" or (record["from_stage"], record["to_stage"]) != (from_stage, to_stage):
            continue
        is_same = record["fingerprint"] == run_fingerprint and missing_product(folder, record) is None
        return record if is_same else None
    return None


def missing_product(folder: OutputFolder, record: dict[str, Any]) -> str | None:
    """Returns the first product of a run that is gone or changed, or None.

    Looked at are the pushed version and the report (sizes), the folders of all artifacts, and whether a version
    was pushed or removed since. A run that was killed between its stage `report` and its page has no page.
    """
    if not record["report"] and any(stage["name"] == _PAGE_STAGE for stage in record["stages"]):
        return "report.html"
    for path, size in record["products"].items():
        found = folder.path / path
        if not found.is_file() or found.stat().st_size != size:
            return str(path)
    for outputs in record["artifacts"].values():
        for path in (path for paths in outputs.values() for path in paths):
            if not (folder.path / path).exists():
                return str(path)
    run = RunRecord(folder, record)
    return None if run.serving_state() == record["serving_state"] else str(run.model_folder().path)
