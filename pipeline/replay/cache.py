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
from pipeline.replay.storage import Storage
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
    """What tasks left in this and earlier replays: a file per fingerprint.

    The backend does not look whether what it answers is still in the object store: there the task behind fails, and
    whoever emptied the bucket knows why. On a laptop somebody has just tidied up a folder, so here that is a miss.

    Attributes:
        folder: holds the files.
        storage: the object store in which the outputs lie.
    """

    folder: Path
    storage: Storage

    def get(self, key: str) -> Outputs | None:
        """Returns what a task of that fingerprint left, None where none has run or where its files are gone."""
        try:
            found = json.loads((self.folder / f"{key}.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        if "stored" not in found or not all(self.storage.has(uri) for uri in found["stored"]):
            return None
        return Outputs(artifacts=found["artifacts"], parameters=found["parameters"])

    def put(self, key: str, outputs: Outputs) -> None:
        """Keeps what a task left, and which of it lies in the store: an artifact without files never did."""
        self.folder.mkdir(parents=True, exist_ok=True)
        uris = [each["uri"] for found in outputs.artifacts.values() for each in found]
        kept = dataclasses.asdict(outputs) | {"stored": [uri for uri in uris if self.storage.has(uri)]}
        write_atomically(self.folder / f"{key}.json", json.dumps(kept, indent=1) + "\n")
