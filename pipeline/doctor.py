"""What a killed run leaves behind, found and mended."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import shutil
from collections.abc import Callable, Iterator

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from applications.settings import MetadataSettings
from pipeline import leftovers, metadata, output_folder, run_record
from pipeline.output_folder import OutputFolder
from pipeline.run_record import RunRecord
from serving.versions import ModelFolder

_LIVE = metadata_store_pb2.Artifact.LIVE


@dataclasses.dataclass(frozen=True)
class Problem:
    """Something wrong.

    Attributes:
        text: what, in one sentence.
        fix: mends it and says what it did; None where only a person can.
    """

    text: str
    fix: Callable[[], str] | None = None


def problems(folder: OutputFolder) -> list[Problem]:
    """Looks through an output folder in which no run is going on; changes nothing."""
    return [
        *_lock(folder),
        *_runs(folder),
        *_metadata(folder),
        *_serving(folder),
        *_samples(folder),
        *_disk(folder),
    ]


def _lock(folder: OutputFolder) -> Iterator[Problem]:
    holder = output_folder.holder(folder)
    if holder:

        def empty() -> str:
            """Empties the lock file."""
            folder.lock.write_text("", encoding="utf-8")
            return "Emptied the lock file."

        yield Problem(f"the lock file still names process {holder.get('pid')}, which is gone.", empty)


def _runs(folder: OutputFolder) -> Iterator[Problem]:
    for run_id in run_record.run_ids(folder):
        try:
            record = RunRecord.open(folder.path, run_id)
        except run_record.Unreadable:
            yield Problem(
                f"run {run_id} has no record that can be read.", functools.partial(_set_aside, folder.run(run_id))
            )
            continue
        if record.data["state"] == "running":
            yield Problem(
                f"run {run_id} says it is running, but its process is gone.", functools.partial(_end_run, record)
            )


def _end_run(record: RunRecord) -> str:
    record.finish("interrupted", error="the process was killed")
    return f"Marked run {record.run_id} as interrupted; the same command goes on from its finished stages."


def _set_aside(path: pathlib.Path) -> str:
    aside = path.with_name(f".broken-{path.name}")
    path.rename(aside)
    return f"Set it aside as {aside.name}; remove it when nothing in it is needed."


def _metadata(folder: OutputFolder) -> Iterator[Problem]:
    """Compares ML Metadata's SQLite file with the artifact folders; other backends are left alone."""
    if not folder.metadata.is_file():
        return
    try:
        store = MetadataStore(metadata.connection_config(MetadataSettings(), folder.path))
        executions, artifacts = store.get_executions(), store.get_artifacts()
    except Exception as error:  # ml_metadata raises bare errors of its own kind for a damaged file
        yield Problem(
            f"{folder.metadata.name} cannot be read ({error}). Move it away together with artifacts/ and run again."
        )
        return
    for execution in executions:
        if execution.last_known_state in leftovers.RUNNING:
            stage = leftovers.stage_name(store, execution)
            yield Problem(
                f"execution {execution.id} of stage {stage} says it is running, but no run is.",
                functools.partial(_fail_execution, store, execution),
            )
    yield from _artifacts(folder, store, {_path(item): item for item in artifacts if item.state == _LIVE})


def _artifacts(
    folder: OutputFolder, store: MetadataStore, published: dict[pathlib.Path, metadata_store_pb2.Artifact]
) -> Iterator[Problem]:
    """Compares what was published with what is there; what a run's record names is never taken for half-written."""
    root = folder.path.resolve()
    outside = {path: item for path, item in published.items() if not path.is_relative_to(root)}
    if outside:
        yield Problem(
            f"ML Metadata has {len(outside)} artifacts outside this folder, such as {min(outside)}: it was moved or "
            "copied. Move it back, or let them be forgotten.",
            functools.partial(_forget_artifacts, store, list(outside.values())),
        )
    for path, artifact in published.items():
        if path.is_relative_to(root) and not path.exists():
            yield Problem(
                f"{path.relative_to(root)} is gone, though ML Metadata has it.",
                functools.partial(_forget_artifacts, store, [artifact]),
            )
    known = published.keys() | _recorded(folder)
    for path in _artifact_folders(folder):
        if path not in known:
            yield Problem(
                f"{path.relative_to(root)} was never finished: no execution published it.",
                functools.partial(_remove, path),
            )


def _recorded(folder: OutputFolder) -> set[pathlib.Path]:
    """Returns the artifact folders that the records of all runs name."""
    return {
        (folder.path / path).resolve()
        for record in run_record.records(folder)
        for outputs in record["artifacts"].values()
        for paths in outputs.values()
        for path in paths
    }


def _artifact_folders(folder: OutputFolder) -> Iterator[pathlib.Path]:
    """Yields `<stage>/<output>/<id>` folders; TFX's own hidden folders are left out."""
    for path in sorted(folder.artifacts.resolve().glob("*/*/*")):
        if path.is_dir() and not any(part.startswith(".") for part in path.parts[-3:]):
            yield path


def _path(artifact: metadata_store_pb2.Artifact) -> pathlib.Path:
    return pathlib.Path(artifact.uri.removeprefix("file://")).resolve()


def _fail_execution(store: MetadataStore, execution: metadata_store_pb2.Execution) -> str:
    leftovers.fail(store, execution)
    return f"Marked execution {execution.id} as failed."


def _forget_artifacts(store: MetadataStore, artifacts: list[metadata_store_pb2.Artifact]) -> str:
    for artifact in artifacts:
        artifact.state = metadata_store_pb2.Artifact.DELETED
    store.put_artifacts(artifacts)
    return "Marked as deleted; the next run makes what it needs again."


def _remove(path: pathlib.Path) -> str:
    shutil.rmtree(path)
    return f"Removed the folder {path.parent.name}/{path.name}."


def _serving(folder: OutputFolder) -> Iterator[Problem]:
    """Finds versions that were never pushed to their end, here and where the last run pushed to."""
    destinations = {folder.serving}
    for record in run_record.records(folder)[:1]:
        destinations.add(RunRecord(folder, record).model_folder().destination)
    for destination in sorted(destinations):
        for model in sorted(destination.iterdir()) if destination.is_dir() else ():
            for path in ModelFolder(destination=destination, model=model.name).leftovers():
                yield Problem(f"{model.name}/{path.name} is half a version.", functools.partial(_remove, path))


def _samples(folder: OutputFolder) -> Iterator[Problem]:
    for path in sorted(folder.path.glob(".*-incoming")):
        if path.is_dir():
            yield Problem(f"{path.name} is half a synthetic sample.", functools.partial(_remove, path))


def _disk(folder: OutputFolder) -> Iterator[Problem]:
    free = output_folder.free_mib(folder.path)
    if free < output_folder.MIN_FREE_MIB:
        yield Problem(f"only {free} MiB are free on its disk; a run needs {output_folder.MIN_FREE_MIB} MiB.")
