"""Looks which data there are: the spans that a run reads, and their fingerprint.

Our own component, as open-source Kubeflow never calls the driver in which TFX resolves spans.
"""

import json
import logging
from pathlib import Path

from tfx.dsl.component.experimental.annotations import OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component

from applications.errors import StageError
from applications.progress import report
from applications.settings import SpanSettings
from components.artifacts import DataWindow
from components.window import look

_logger = logging.getLogger(__name__)


@component
def ResolveSpans(
    window: OutputArtifact[DataWindow],
    data_path: Parameter[str],
    settings: Parameter[str],
    data_fingerprint: Parameter[str] = "",
    code_version: Parameter[str] = "",
) -> None:
    """Writes `window.json`, from which all other stages learn what the data are.

    Args:
        window: gets `window.json`, and the properties `fingerprint`, `spans` (their number) and `newest_span`.
        data_path: folder or URI of the raw data, or a pattern of such.
        settings: JSON, `{"spans": {…}}`, the resolved settings.
        data_fingerprint: what it was when the run began, so that the cache notices a change; "" where this is never
            cached.
        code_version: digest of the code behind this stage, for the cache.

    Raises:
        StageError: the data have changed since.
    """
    del code_version
    found = look(data_path, SpanSettings(**json.loads(settings)["spans"]))
    if data_fingerprint not in ("", found.fingerprint):
        raise StageError(
            f"the data must stay as they are while a run begins, but {data_path} has changed since it was looked at "
            f"({data_fingerprint}, now {found.fingerprint}). Run again when nothing writes there any more."
        )
    found.write(Path(window.uri))
    window.set_string_custom_property("fingerprint", found.fingerprint)
    window.set_int_custom_property("spans", len(found.spans))
    window.set_int_custom_property("newest_span", found.newest.number)
    if found.sentence:
        _logger.info("%s", found.sentence)
        report("note", text=found.sentence)
