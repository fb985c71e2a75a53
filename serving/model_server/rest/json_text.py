"""Reads JSON texts as RapidJSON does in TensorFlow Serving: NaN and infinities, and what follows the value is ignored.

Strict texts, nearly all there are, are read by msgspec. What that refuses is read again here, more slowly, for what
TensorFlow Serving takes beyond JSON, and for the words and the place of an error. Two things differ from RapidJSON: of
a key that is given twice the last value counts, and texts must be UTF-8.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import msgspec

from serving.model_server.errors import Code, ServingError

_STRICT = msgspec.json.Decoder()
_BOM = b"\xef\xbb\xbf"
_SPACE = re.compile(r"[ \t\r\n]*")
# A string to its end, or to the end of the text; or a number word that Python's reader does not know.
_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)'
_WORDS = re.compile(rf"{_STRING}|-?Inf(?:inity)?|-NaN", re.DOTALL)
_BRACKETS = re.compile(rf"{_STRING}|[\[\]{{}}]", re.DOTALL)
_MAX_SCAN_CHARS = 1 << 16  # before an error, looked at for the sake of its wording
_MISSING = {"{": "Missing a comma or } after an object member.", "[": "Missing a comma or ] after an array element."}
_WORDING = {
    "Expecting value": "Invalid value.",
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Illegal trailing comma before end of object": "Missing a name for object member.",
    "Illegal trailing comma before end of array": "Invalid value.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Invalid control character at": "Invalid encoding in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
}


def parse(text: bytes) -> Any:
    """Reads one JSON value.

    Args:
        text: UTF-8, with or without a byte order mark.

    Returns:
        The value; numbers without point and exponent are `int`.

    Raises:
        ServingError: INVALID_ARGUMENT, in RapidJSON's words and with the place in bytes.
    """
    try:
        return _STRICT.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _parse_leniently(text)


def invalid_text(words: str, offset: int) -> ServingError:
    """Returns the error of a text that is no JSON; `offset` is in bytes."""
    return ServingError(Code.INVALID_ARGUMENT, f"JSON Parse error: {words} at offset: {offset}")


def _parse_leniently(raw: bytes) -> Any:
    try:
        text = raw.removeprefix(_BOM).decode()
    except UnicodeDecodeError as error:
        raise invalid_text("Invalid encoding in string.", error.start) from error
    if "Inf" in text or "-NaN" in text:
        text = _WORDS.sub(_known_word, text)
    start = _SPACE.match(text).end()  # type: ignore[union-attr]
    if start == len(text):
        raise ServingError(Code.INVALID_ARGUMENT, "JSON Parse error: The document is empty")
    try:
        return _LENIENT.raw_decode(text, start)[0]
    except json.JSONDecodeError as error:
        raise invalid_text(_wording(error), len(text[: error.pos].encode(errors="surrogatepass"))) from error
    except RecursionError as error:
        raise ServingError(Code.INVALID_ARGUMENT, "JSON Parse error: nested too deeply") from error
    except ValueError as error:  # more digits than Python reads
        raise ServingError(Code.INVALID_ARGUMENT, f"JSON Parse error: {error}") from error


def _known_word(found: re.Match[str]) -> str:
    word = found.group()
    if word.startswith('"'):
        return word
    if word == "-NaN":
        return "NaN"
    return "-Infinity" if word.startswith("-") else "Infinity"


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError("Number too big to be stored in double.")
    return value


def _wording(error: json.JSONDecodeError) -> str:
    if error.msg != "Expecting ',' delimiter":
        return _WORDING.get(error.msg, error.msg)
    open_ones = []
    for found in _BRACKETS.finditer(error.doc, 0, min(error.pos, _MAX_SCAN_CHARS)):
        bracket = found.group()
        if bracket in _MISSING:
            open_ones.append(bracket)
        elif bracket in "]}" and open_ones:
            open_ones.pop()
    return _MISSING[open_ones[-1] if open_ones else "{"]


_LENIENT = json.JSONDecoder(parse_float=_finite)
