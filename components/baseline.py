"""Looks the newest pushed model up where we push, so that a candidate is held against it.

Our own component, as open-source Kubeflow has no Resolver; it reads the serving folder, not ML Metadata.
"""

import json
import logging
import shutil
from pathlib import Path

from tfx.dsl.component.experimental.annotations import OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Model
from tfx.utils import path_utils

from serving import model_json
from serving.manifest import ManifestError
from serving.versions import ModelFolder

ABSENT_FILE = "absent.json"

_logger = logging.getLogger(__name__)


@component
def Baseline(
    model: OutputArtifact[Model],
    destination: Parameter[str],
    model_name: Parameter[str],
    state: Parameter[str],
    code_version: Parameter[str] = "",
    made_from: Parameter[str] = "",
) -> None:
    """Copies the newest sound version out of the serving folder.

    Args:
        model: gets the copy, under `Format-Serving`, and the property `version`; or `absent.json` alone.
        destination: the serving folder.
        model_name: the name a server knows the model by.
        state: `serving.versions.state` of the destination; the cache answers while it is unchanged.
        code_version: digest of the code behind this stage, for the cache.
        made_from: versions made from exactly this are the candidate itself, pushed before, and are passed over.
    """
    del state, code_version
    version = copy_newest(ModelFolder(destination=Path(destination), model=model_name), Path(model.uri), made_from)
    model.set_string_custom_property("version", str(version or ""))


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
