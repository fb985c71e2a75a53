"""TFX's handle on ML Metadata, made fit for servers: two traps that SQLite does not have.

TFX pairs what the store returns with what it asked for by place, though only SQLite happens to keep the order: with
PostgreSQL a cached stage would pass its outputs on under each other's names. And ML Metadata's PostgreSQL backend
cannot write a text that needs a backslash, such as the traceback of a failed stage.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata

_RESULT = "__execution_result__"  # custom property in which TFX keeps how an execution ended, as JSON


class Handle(metadata.Metadata):
    """Use it where TFX asks for a `Metadata`."""

    @property
    def store(self) -> Any:
        """The store, while the handle is entered."""
        return Store(super().store, has_no_backslash=self.connection_config.HasField("postgresql"))


class Store:
    """A `MetadataStore` that answers in the order in which it was asked."""

    def __init__(self, store: Any, *, has_no_backslash: bool = False) -> None:
        self._store = store
        self._has_no_backslash = has_no_backslash

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def get_artifacts_by_id(self, artifact_ids: Iterable[int], *more: Any, **named: Any) -> list[Any]:
        """Returns the artifacts in the order of `artifact_ids`; unknown ones are left out."""
        ids = list(artifact_ids)
        return _in_order(ids, self._store.get_artifacts_by_id(ids, *more, **named))

    def get_artifact_types_by_id(self, type_ids: Iterable[int], *more: Any, **named: Any) -> list[Any]:
        """Returns a type for each of `type_ids`, in their order."""
        ids = list(type_ids)
        return _in_order(ids, self._store.get_artifact_types_by_id(ids, *more, **named))

    def put_execution(self, execution: metadata_store_pb2.Execution, *more: Any, **named: Any) -> Any:
        """Writes an execution, with a result that the backend can write."""
        if self._has_no_backslash and _RESULT in execution.custom_properties:
            value = execution.custom_properties[_RESULT]
            value.string_value = without_backslash(value.string_value)
        return self._store.put_execution(execution, *more, **named)


def without_backslash(text: str) -> str:
    """Returns JSON of nearly the same meaning that needs no backslash: white space is one blank, quotes are single."""
    return json.dumps(_plain(json.loads(text)), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        printable = "".join(letter if letter.isprintable() else " " for letter in value)
        return " ".join(printable.replace("\\", "/").replace('"', "'").split())
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def _in_order(ids: list[int], found: Iterable[Any]) -> list[Any]:
    by_id = {item.id: item for item in found}
    return [by_id[number] for number in ids if number in by_id]
