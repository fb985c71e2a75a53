"""How TensorFlow Serving names and quotes JSON values in its error texts."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

_MAX_QUOTED_BYTES = 256  # a token that begins before this is quoted to its end
_INDENT = "    "
_WORDS: dict[type, str] = {dict: "Object", list: "Array", str: "String"}


def type_word(value: Any) -> str:
    """Returns RapidJSON's name of a value's type, such as `Number`."""
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return str(value)
    return _WORDS.get(type(value), "Number")


def quoted(value: Any) -> str:
    """Writes a value as TensorFlow Serving quotes it: indented objects, lists in one line, cut off when long."""
    written: list[str] = []
    length = 0
    for token, is_counted in _tokens(value, 0):
        if is_counted and length >= _MAX_QUOTED_BYTES:
            break
        if not token:  # a number JSON cannot say: the writer stops
            break
        written.append(token)
        length += len(token.encode(errors="replace"))
    return "".join(written)


def _tokens(value: Any, level: int) -> Iterator[tuple[str, bool]]:
    """Yields pieces of the text, and whether a piece is a token of its own, before which the length is looked at."""
    if isinstance(value, dict):
        yield "{", True
        for number, (key, item) in enumerate(value.items()):
            yield f"{',' if number else ''}\n{_INDENT * (level + 1)}{_scalar(key)}", True
            yield ": ", False
            yield from _tokens(item, level + 1)
        yield (f"\n{_INDENT * level}}}" if value else "}"), True
    elif isinstance(value, list):
        yield "[", True
        for number, item in enumerate(value):
            if number:
                yield ", ", False
            yield from _tokens(item, level + 1)
        yield "]", True
    else:
        yield _scalar(value), True


def _scalar(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    return json.dumps(value, ensure_ascii=False)
