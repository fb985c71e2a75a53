"""Looks the newest pushed model up where we push, so that a candidate is held against it.

Our own component, as open-source Kubeflow has no Resolver; it reads the serving folder, not ML Metadata. There it also
sees whether this run would only make the model again that was considered last; on Kubeflow the rest of the run hangs on
that (docs/decisions/0011-spans-and-skipping.md).
"""

import json
import logging
import shutil
from pathlib import Path

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Model
from tfx.utils import path_utils

from applications.data_fingerprint import is_remote
from applications.errors import StageError
from applications.progress import report
from components.artifacts import DataWindow
from components.window import read
from serving import considered, model_json
from serving import made_from as making
from serving.manifest import ManifestError
from serving.versions import ModelFolder

ABSENT_FILE = "absent.json"
IS_NEW = "is_new"  # property of the artifact that conditions ask for

_logger = logging.getLogger(__name__)


@component
def Baseline(  # noqa: PLR0913, PLR0917 - each input, output and parameter is one argument to TFX
    window: InputArtifact[DataWindow],
    model: OutputArtifact[Model],
    destination: Parameter[str],
    model_name: Parameter[str],
    state: Parameter[str],
    code_version: Parameter[str] = "",
    made_from: Parameter[str] = "",
    configuration: Parameter[str] = "",
    made_with: Parameter[str] = "",
    run_unchanged: Parameter[bool] = False,
) -> None:
    """Copies the newest sound version out of the serving folder, and says whether there is anything new to train on.

    Args:
        window: the data of this run.
        model: gets the copy, under `Format-Serving`, and the properties `version` and `is_new` (0 where nothing
            changed since the last model that was considered, else 1); or `absent.json` alone.
        destination: the serving folder.
        model_name: the name a server knows the model by.
        state: `serving.versions.state` of the destination; the cache answers while it is unchanged.
        code_version: digest of the code behind this stage, for the cache.
        made_from: versions made from exactly this are the candidate itself, pushed before, and are passed over; ""
            where it is found out here, from `configuration`, `made_with` and the data.
        configuration: the resolved configuration as JSON.
        made_with: as `serving.made_from.of_stage` takes it.
        run_unchanged: whether to go on although nothing changed.

    Raises:
        StageError: the destination is a URI.
    """
    del state, code_version
    _require_folder(destination)
    folder = ModelFolder(destination=Path(destination), model=model_name)
    mine = making.of_stage(made_from, configuration, made_with, read(Path(window.uri)).fingerprint)
    last = considered.read(folder)
    is_same = considered.is_same(last, mine, folder)
    version = copy_newest(folder, Path(model.uri), mine)
    model.set_string_custom_property("version", str(version or ""))
    model.set_int_custom_property(IS_NEW, int(run_unchanged or not is_same))
    if is_same and last is not None and configuration:
        _say(last, goes_on=bool(run_unchanged))


def _require_folder(destination: str) -> None:
    """Refuses a URI, which a submitter may give: before a training, not behind it.

    Raises:
        StageError: it is one.
    """
    if is_remote(destination):
        raise StageError(
            f"the serving folder must be a folder on a volume that the pods mount, got {destination!r}: a version "
            "appears by a rename, which object stores do not have. Start the run with another push_destination."
        )


def _say(last: considered.Considered, *, goes_on: bool) -> None:
    """Says that nothing changed, and what follows from that."""
    was = f"version {last.pushed_version} was pushed" if last.pushed_version else f"the model was {last.verdict}"
    if last.verdict == "blessed" and not last.pushed_version:
        was += ", but failed the serving check"
    elif last.verdict == "cannot tell":
        was = "it could not be told whether the model is good enough"
    text = f"Nothing changed since {last.ended_utc}, when {was}: "
    text += "run_unchanged is true, so it is trained again." if goes_on else "nothing is trained."
    _logger.info("%s", text)
    report("note", text=text)


def copy_newest(folder: ModelFolder, artifact: Path, made_from: str = "") -> int | None:
    """Copies the newest version whose files are what its manifest says.

    A broken version is passed over with a warning, and the next older one is tried: a damaged disk must not
    decide whether a candidate is good enough.

    Args:
        folder: all versions of the model.
        artifact: folder to fill: `Format-Serving/` with the version, or `absent.json` where there is none.
        made_from: versions made from exactly this are passed over; "" passes over none.

    Returns:
        The number of the version, or None.
    """
    artifact.mkdir(parents=True, exist_ok=True)
    target = Path(path_utils.serving_model_dir(str(artifact)))
    broken = []
    for version in reversed(folder.versions()):
        try:
            if made_from and model_json.read(folder.version_path(version)).made_from == made_from:
                continue
            shutil.copytree(folder.version_path(version), target)
            model_json.verify(target)
        except (ManifestError, OSError) as error:
            shutil.rmtree(target, ignore_errors=True)
            broken.append(version)
            _logger.warning(
                "version %d of %s cannot be the baseline; the next older one is tried. The reason: %s",
                version,
                folder.model,
                error,
            )
            continue
        return version
    reason = f"no version of {folder.model} in {folder.destination}"
    reason += f" can be used; broken: {', '.join(map(str, broken))}" if broken else " to compare with"
    (artifact / ABSENT_FILE).write_text(json.dumps({"reason": reason, "broken": broken}) + "\n", encoding="utf-8")
    return None
