"""What comes before a version's first answer: its manifest, its ops, its size, loading, and warm-up."""

from __future__ import annotations

import dataclasses
import logging
import time
from pathlib import Path

from serving import model_json
from serving.graph_ops import forbidden_ops
from serving.manifest import ManifestError
from serving.model_server import warm_up
from serving.model_server.errors import Code, ServingError
from serving.model_server.events import Listener, WarmUp, tell
from serving.model_server.saved_model import Runtime, SavedModelServable
from serving.model_server.servable import Servable
from serving.model_server.tflite import FILE_NAME as TFLITE
from serving.model_server.tflite import TfliteServable

_LOG = logging.getLogger(__name__)
_RAM_PER_FILE_BYTE = 1.2  # TensorFlow Serving's estimate of what a model takes
_OPS_TOLD = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """How versions are loaded.

    Attributes:
        runtime: how TensorFlow runs.
        is_manifest_required: whether a version without `model.json` is refused.
        prefers_tflite: whether `model.tflite` is loaded where there is one.
        tflite_interpreters: per version.
        is_warm_up_enabled: whether every signature is run once on no rows, and warm-up requests are replayed.
        warm_up_iterations: times each of them is.
    """

    runtime: Runtime = dataclasses.field(default_factory=Runtime)
    is_manifest_required: bool = False
    prefers_tflite: bool = False
    tflite_interpreters: int = 1
    is_warm_up_enabled: bool = True
    warm_up_iterations: int = 1


class Loader:
    """Loads versions; what `Manager` takes as `load`."""

    def __init__(self, options: LoadOptions | None = None, on_event: Listener | None = None) -> None:
        """Takes the settings.

        Args:
            options: how versions are loaded.
            on_event: told of every warm-up.
        """
        self._options = options or LoadOptions()
        self._on_event = on_event

    def __call__(self, model: str, version: int, folder: Path) -> Servable:
        """Checks, loads and warms up one version.

        Args:
            model: its name.
            version: its number.
            folder: where it lies.

        Raises:
            ServingError: DATA_LOSS, it is not what was pushed; FAILED_PRECONDITION, it has no manifest or an op that
                may not be served; RESOURCE_EXHAUSTED, it does not fit into memory; else as TensorFlow or a warm-up
                request says.
        """
        check_manifest(folder, is_required=self._options.is_manifest_required)
        check_memory(model, version, folder)
        servable = self._load(model, version, folder)
        try:
            self._warm_up(servable, folder)
        except BaseException:
            servable.close()
            raise
        return servable

    def _load(self, model: str, version: int, folder: Path) -> Servable:
        if self._options.prefers_tflite and (folder / TFLITE).is_file():
            return TfliteServable(model, version, folder, self._options.tflite_interpreters)
        check_ops(folder)
        return SavedModelServable(model, version, folder, self._options.runtime)

    def _warm_up(self, servable: Servable, folder: Path) -> None:
        if not self._options.is_warm_up_enabled:
            return
        warm_up.touch(servable)
        if not (folder / warm_up.FILE).is_file():
            return
        started, records, failure = time.monotonic(), 0, None
        try:
            records = warm_up.replay(servable, folder, self._options.warm_up_iterations)
            _LOG.info("%d warm-up requests of %s answered", records, folder)
        except ServingError as error:
            failure = error
            raise
        finally:
            seconds = time.monotonic() - started
            tell(
                self._on_event,
                WarmUp(model=servable.name, path=folder, seconds=seconds, records=records, error=failure),
            )


def check_manifest(folder: Path, *, is_required: bool) -> None:
    """Compares a version with the manifest in its `model.json`, where it has one.

    Args:
        folder: of the version.
        is_required: whether it must have one.

    Raises:
        ServingError: FAILED_PRECONDITION when it must and has not; DATA_LOSS when a file differs.
    """
    if not (folder / model_json.FILE_NAME).is_file():
        if is_required:
            raise ServingError(
                Code.FAILED_PRECONDITION,
                f"--require_manifest: a version must hold {model_json.FILE_NAME}, but {folder} does not. Push it with "
                "earthloop run, or start the server without that flag.",
            )
        return
    try:
        model_json.verify(folder)
    except (ManifestError, OSError) as error:
        raise ServingError(Code.DATA_LOSS, str(error)) from error


def check_ops(folder: Path) -> None:
    """Refuses a SavedModel that may do more than compute.

    Raises:
        ServingError: FAILED_PRECONDITION with the first ops and why; NOT_FOUND when there is no SavedModel.
    """
    try:
        findings = forbidden_ops(folder)
    except ManifestError as error:
        code = Code.INVALID_ARGUMENT if (folder / "saved_model.pb").is_file() else Code.NOT_FOUND
        raise ServingError(code, str(error)) from error
    if findings:
        told = "; ".join(f"{one.op} ({one.where}) {one.reason}" for one in findings[:_OPS_TOLD])
        more = f"; and {len(findings) - _OPS_TOLD} more" if len(findings) > _OPS_TOLD else ""
        raise ServingError(
            Code.FAILED_PRECONDITION, f"a model may only compute, but in {folder}: {told}{more}. Export it without."
        )


def check_memory(model: str, version: int, folder: Path) -> None:
    """Refuses a version whose files alone are larger than what memory is free; elsewhere than on Linux, nothing.

    Raises:
        ServingError: RESOURCE_EXHAUSTED.
    """
    free = _free_bytes()
    needed = _RAM_PER_FILE_BYTE * sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if free is not None and needed > free:
        raise ServingError(
            Code.RESOURCE_EXHAUSTED,
            f"Insufficient resources to load servable {{name: {model} version: {version}}}: it needs about "
            f"{needed / 1e6:.0f} MB of memory, {free / 1e6:.0f} MB are free. Serve fewer versions, or on a larger "
            "machine.",
        )


def _free_bytes() -> int | None:
    """Returns what the machine, or the container's limit, leaves; None where neither can be read."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return None
    try:
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        used = int((group / "memory.current").read_text(encoding="ascii"))
        cached = next(
            int(line.split()[1])
            for line in (group / "memory.stat").read_text(encoding="ascii").splitlines()
            if line.startswith("file ")
        )
    except (OSError, ValueError, StopIteration):  # no container, or "max"
        return free
    return min(free, limit - used + cached)
