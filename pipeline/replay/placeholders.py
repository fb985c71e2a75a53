"""Fills the placeholders in a container's command and arguments."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from applications.errors import StageError
from pipeline.replay import values
from pipeline.replay.inputs import as_json
from pipeline.replay.storage import local_path

_PLACEHOLDER = re.compile(r"\{\{\$(.*?)\}\}")
_CONDITIONAL = '{"IfPresent":'


def fill(words: Sequence[str], executor_input: Mapping[str, Any], staging: Path) -> list[str]:
    """Returns the words of a command line with their placeholders filled.

    Known are those of the launcher: `{{$}}`, `{{$.inputs.parameters['n']}}`, `{{$.inputs.artifacts['n'].uri}}` and
    `.path`, the same of outputs, `{{$.outputs.parameters['n'].output_file}}`; and `{"IfPresent": …}` as a word of its
    own. `{{$.json_escape[1]}}` is Vertex AI's and not known to it.

    Args:
        words: command and arguments as the spec has them.
        executor_input: with `inputs` and `outputs`.
        staging: the folder that stands for the root of the container's file system.

    Raises:
        StageError: a placeholder that the launcher would leave as it is.
    """
    known = _known(executor_input, staging)
    given = executor_input["inputs"]["parameterValues"]
    found = []
    for word in words:
        if word.lstrip().startswith(_CONDITIONAL):
            found += [_filled(each, known) for each in _chosen(word, given)]
        else:
            found.append(_filled(word, known))
    return found


def _filled(word: str, known: Mapping[str, str]) -> str:
    def replacement(match: re.Match[str]) -> str:
        """Returns what stands for one placeholder."""
        if match.group(1) not in known:
            names = ", ".join(f"{{{{${each}}}}}" for each in known)
            raise StageError(
                f"no value for the placeholder {match.group(0)}, which the launcher would pass on as it is; "
                f"there are: {names}."
            )
        return known[match.group(1)]

    return _PLACEHOLDER.sub(replacement, word)


def _chosen(word: str, given: Mapping[str, Any]) -> list[str]:
    clause = json.loads(word)["IfPresent"]
    found = clause.get("Then" if clause["InputName"] in given else "Else") or []
    return [found] if isinstance(found, str) else list(found)


def _known(executor_input: Mapping[str, Any], staging: Path) -> dict[str, str]:
    """Returns every placeholder, without its braces and dollar, and what stands for it."""
    inputs, outputs = executor_input["inputs"], executor_input["outputs"]
    found = {"": as_json(executor_input)}
    for name, value in inputs["parameterValues"].items():
        found[f".inputs.parameters['{name}']"] = values.as_text(value)
    for side, lists in (("inputs", inputs["artifacts"]), ("outputs", outputs["artifacts"])):
        for name, each in lists.items():
            if each["artifacts"]:
                uri = each["artifacts"][0]["uri"]
                found[f".{side}.artifacts['{name}'].uri"] = uri
                found[f".{side}.artifacts['{name}'].path"] = str(local_path(uri, staging))
    for name, each in outputs["parameters"].items():
        found[f".outputs.parameters['{name}'].output_file"] = each["outputFile"]
    return found
