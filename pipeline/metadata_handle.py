"""TFX's handle on ML Metadata, made fit for servers: two traps that SQLite does not have.

TFX pairs what the store returns with what it asked for by place, though only SQLite happens to keep the order: with
PostgreSQL a cached stage would pass its outputs on under each other's names. And ML Metadata's PostgreSQL backend
writes a text with a backslash as broken SQL, whose rest the server would execute: it takes the quotes off a literal
that libpq has begun with E'. JSON has backslashes wherever a quote or a line break is inside a text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from tfx.orchestration import metadata

BACKSLASH, STAND_IN = "\\", "\uf05c"  # of private use; Cygwin and WSL write it for a backslash in file names


class Handle(metadata.Metadata):
    """Use it where TFX asks for a `Metadata`."""

    @property
    def store(self) -> Any:
        """The store, while the handle is entered."""
        store = super().store
        return Store(WithoutBackslash(store) if self.connection_config.HasField("postgresql") else store)


class Store:
    """A `MetadataStore` that answers in the order in which it was asked."""

    def __init__(self, store: Any) -> None:
        self._store = store

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


class WithoutBackslash:
    """A `MetadataStore` to which no backslash is given: `STAND_IN` is written for it, and read back as one."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return _translated(found) if callable(found) else found


def _translated(method: Callable[..., Any]) -> Callable[..., Any]:
    def call(*given: Any, **named: Any) -> Any:
        """Calls the method without a backslash in what is given, and with those that were meant in what comes back."""
        answer = method(*replaced(given, BACKSLASH, STAND_IN), **replaced(named, BACKSLASH, STAND_IN))
        return replaced(answer, STAND_IN, BACKSLASH)

    return call


def replaced(value: Any, old: str, new: str) -> Any:
    """Returns a copy with one piece of text for another in every text: of messages, lists, tuples and dictionaries.

    Keys stay as they are. Anything else comes back itself.
    """
    if isinstance(value, str):
        return value.replace(old, new)
    if isinstance(value, Message):
        copy = type(value)()
        copy.CopyFrom(value)
        _replace(copy, old, new)
        return copy
    if isinstance(value, list | tuple):
        return type(value)(replaced(each, old, new) for each in value)
    return {key: replaced(each, old, new) for key, each in value.items()} if isinstance(value, dict) else value


def _replace(message: Message, old: str, new: str) -> None:
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_STRING:
            if isinstance(value, str):
                setattr(message, field.name, value.replace(old, new))
            else:
                value[:] = [text.replace(old, new) for text in value]
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            for inner in _parts(value):
                _replace(inner, old, new)


def _parts(value: Any) -> list[Message]:
    """Returns the messages that a field of messages holds: one, several, or the values of a map."""
    found = [value] if isinstance(value, Message) else value.values() if isinstance(value, Mapping) else value
    return [each for each in found if isinstance(each, Message)]


def _in_order(ids: list[int], found: Iterable[Any]) -> list[Any]:
    by_id = {item.id: item for item in found}
    return [by_id[number] for number in ids if number in by_id]
