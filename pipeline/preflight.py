"""What can be known to fail before anything heavy starts: the data, the stages, the base of a partial run."""

from __future__ import annotations

import importlib.metadata
import json
import os
import pathlib
import platform
from collections.abc import Sequence
from typing import Any

from applications import discovery, spans
from applications.data_fingerprint import is_remote
from applications.errors import DataError, DataPathError, UnknownName, UsageError
from applications.spec import Application
from pipeline import run_record
from pipeline.config import RunConfig, to_dict
from pipeline.output_folder import OutputFolder
from pipeline.partial_run import reused, upstream_of
from pipeline.stage_names import SECTIONS_OF_STAGE, STAGES

_PACKAGES = ("tfx", "tensorflow", "keras", "apache-beam", "ml-metadata", "tensorflow-model-analysis", "numpy")


def check_stages(config: RunConfig, from_stage: str, to_stage: str) -> None:
    """Refuses stages that do not exist or are the wrong way round.

    Raises:
        UnknownName: no such stage; the text names the near one.
        UsageError: `from_stage` lies behind `to_stage`.
    """
    known = _stages(config)
    for name in (from_stage, to_stage):
        if name == "tune" and name not in known:
            raise UsageError(f"stage {name!r} must be asked for before it can be named; add --set tune.enabled=true.")
        if name and name not in known:
            raise UnknownName("stage", name, known)
    if from_stage and to_stage and known.index(from_stage) > known.index(to_stage):
        raise UsageError(
            f"--from must name a stage before --to, got --from {from_stage} --to {to_stage}; "
            f"the order is {', '.join(known)}."
        )


def check_weights(config: RunConfig) -> None:
    """Refuses starting weights that are not there.

    Raises:
        UsageError: `train.weights` names no file.
    """
    path = config.train.weights
    if path and not is_remote(path) and not pathlib.Path(path).is_file():
        raise UsageError(
            f"train.weights must name an existing .weights.h5 file, got {path!r}. Check the path; a run leaves its "
            "weights as artifacts/train/model_run/*/network.weights.h5 in its output folder."
        )


def check_destination(config: RunConfig) -> None:
    """Refuses a serving folder that nothing can be pushed to.

    Raises:
        UsageError: `push.destination` is a URI, or a path that cannot be made or written to.
    """
    _check_no_uri(config.push.destination)
    given = config.push.destination
    path = pathlib.Path(given).absolute()
    while given and not path.exists():
        path = path.parent
    if given and not (path.is_dir() and os.access(path, os.W_OK | os.X_OK)):
        what = "may not be written to" if path.is_dir() else "is a file"
        raise UsageError(f"push.destination must be a folder that can be written to, got {given!r}, but {path} {what}.")


def check_for_cluster(config: RunConfig) -> None:
    """Refuses what cannot be compiled for a cluster.

    Raises:
        UsageError: no data are named, they are ready records, the path is a pattern that means nothing, or
            `push.destination` is a URI.
    """
    _check_no_uri(config.push.destination)
    if not config.data:
        raise UsageError(
            "compile needs the data as the pods see them, a mounted folder or a URI, got ''. Give --data PATH; it "
            "becomes the default of the pipeline's parameter `data`."
        )
    if config.ingest.format == "tfrecord":
        raise UsageError(
            "ingest.format must be 'raw' for Kubeflow Pipelines, got 'tfrecord': how ready records are split is read "
            "off the folder, and only the pods see that. Give the raw files with --data."
        )
    if spans.is_pattern(config.data):
        spans.check(config.data)


def _check_no_uri(destination: str) -> None:
    if is_remote(destination):
        raise UsageError(
            f"push.destination must be a folder on this machine or on a mounted volume, got {destination!r}: a version "
            "appears by a rename, which object stores do not have. Push to a folder and copy the version from there."
        )


def check_data(application: Application, config: RunConfig) -> int | None:
    """Looks at the data's layout without reading its files.

    Returns:
        the number of items, or None where that is not known before they are read (TFRecords).

    Raises:
        DataPathError: the path is missing or of the wrong kind, or no folder matches a pattern.
        DataError: the layout is not what the application expects.
        UsageError: the path is a pattern that means nothing.
    """
    if config.ingest.format == "tfrecord":
        if not is_remote(config.data):
            _check_records(pathlib.Path(config.data))
        return None
    found = spans.folders(config.data, spans.resolve(config.data, config.spans))
    return discovery.source(application).inspect(*found.values()).items


def base_run(folder: OutputFolder, config: RunConfig, data_digest: str, from_stage: str, to_stage: str = "") -> str:
    """Returns the run whose earlier stages `--from` builds on; "" where it builds on none.

    Its data and the settings that those stages read must be the ones asked for now: the record of this run, its
    report and the pushed model's description would otherwise tell settings that the model never had.

    Raises:
        UsageError: there is no such run, or it differs in what the skipped stages depend on.
    """
    needed = reused(upstream_of(_stages(config)), from_stage, to_stage)
    if not needed:
        return ""
    found, lacking = run_record.base_run(folder, needed)
    if lacking:
        who = f"run {found} lacks {', '.join(lacking)}" if found else "there is no run yet"
        raise UsageError(
            f"--from {from_stage} takes the results of {', '.join(needed)} over from one earlier run in {folder.path}, "
            f"but {who}. Run once without --from."
        )
    _check_base(run_record.read(folder, found), to_dict(config), data_digest, (from_stage, needed))
    return found


def _stages(config: RunConfig) -> list[str]:
    return [name for name in STAGES if name != "tune" or config.tune.enabled]


def _check_base(
    base: dict[str, Any], config: dict[str, Any], data_digest: str, given: tuple[str, Sequence[str]]
) -> None:
    """Refuses a base whose data or settings are not those asked for, as far as the stages reused depend on them."""
    config = json.loads(json.dumps(config))  # as a record keeps it
    from_stage, needed = given
    if base["data"]["fingerprint"] != data_digest:
        raise UsageError(
            f"--from {from_stage} would build on run {base['run_id']}, which read other data "
            f"({base['data']['path']}) than this one ({config['data']}). Run without --from."
        )
    for stage in needed:
        for section in SECTIONS_OF_STAGE.get(stage, ()):
            for key, value in config[section].items():
                earlier = base["config"].get(section, {}).get(key)
                if earlier != value:
                    raise UsageError(
                        f"--from {from_stage} would build on run {base['run_id']}, whose stage {stage} had "
                        f"{section}.{key}={earlier}, not {value}. Give --from {stage}, or leave --from out."
                    )


def versions() -> dict[str, str]:
    """Returns the versions of the packages that matter to a result."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """Returns the machine's usable cores, memory in GiB, and system."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"cores": cores, "memory_gib": round(memory, 1), "system": f"{platform.system()} {platform.release()}"}


def _check_records(path: pathlib.Path) -> None:
    """Refuses a path of TFRecords that is missing, no folder, or empty."""
    if not path.exists():
        raise DataPathError(f"the data path must exist, but there is no {str(path)!r}. Check --data.")
    if not path.is_dir():
        raise DataPathError(f"the data path must be a folder of TFRecord files, but {str(path)!r} is a file.")
    if not any(entry.is_file() and not entry.name.startswith(".") for entry in path.rglob("*")):
        raise DataError(f"the data path must hold TFRecord files, but {str(path)!r} is empty. Check --data.")
