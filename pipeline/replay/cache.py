"""The cache of a replay, keyed as the backend keys its own."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.replay.inputs import Outputs
from pipeline.replay.spec import Node
from pipeline.run_record import write_atomically


def is_wanted(node: Node) -> bool:
    """Returns whether a task asks for the cache."""
    return bool(node.task.get("cachingOptions", {}).get("enableCache"))


def fingerprint(node: Node, inputs: Mapping[str, Any]) -> str:
    """Returns the key of a task: ids of its input artifacts, its parameters, outputs, image and command.

    Environment, resources and the code in the image have no part in it. A `cacheKey` in the spec replaces all of it.

    Args:
        node: the task.
        inputs: ExecutorInput.inputs.
    """
    options = node.task.get("cachingOptions", {})
    if options.get("cacheKey"):
        key: Any = [node.task["componentRef"]["name"], options["cacheKey"]]
    else:
        container = node.container
        key = {
            "artifacts": {
                name: [each["name"] for each in found["artifacts"]] for name, found in inputs["artifacts"].items()
            },
            "parameters": inputs["parameterValues"],
            "outputs": node.component.get("outputDefinitions", {}),
            "image": container.get("image", ""),
            "command": [*container.get("command", []), *container.get("args", [])],
        }
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class Cache:
    """What tasks left in this and earlier replays: a file per fingerprint."""

    folder: Path

    def get(self, key: str) -> Outputs | None:
        """Returns what a task of that fingerprint left, None where none has run."""
        try:
            return Outputs(**json.loads((self.folder / f"{key}.json").read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None

    def put(self, key: str, outputs: Outputs) -> None:
        """Keeps what a task left."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / f"{key}.json", json.dumps(dataclasses.asdict(outputs), indent=1) + "\n")
