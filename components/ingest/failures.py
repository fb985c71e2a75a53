"""Finds the plain sentence inside the wrapping that Beam puts around an exception."""

from __future__ import annotations

import errno
import re

from applications.errors import EarthloopError, OutputError, StageError

_LINE = re.compile(
    r"^(?P<name>[A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt)|applications\.errors\.\w+): (?P<text>.+)$"
)
_BEAM_NOTE = re.compile(r" ?\[while running [^\n]*\]?")


def plain(error: BaseException, stage: str) -> EarthloopError:
    """Returns the error to show instead of one that Beam raised.

    Args:
        error: what the pipeline raised.
        stage: which stage ran, for the text.

    Returns:
        Our own error where one lies underneath, an `OutputError` where the disk refused, else a `StageError` with the
        innermost message.
    """
    chain = _chain(error)
    for link in chain:
        if isinstance(link, EarthloopError):
            link.args = (_BEAM_NOTE.sub("", str(link)).strip(),)
            return link
    for link in chain:
        if isinstance(link, OSError) and link.errno in (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT):
            return _output_error(stage, str(link))
    name, text = _last_line(str(chain[-1]), type(chain[-1]).__name__)
    if name.startswith("applications.errors."):
        return StageError(text)
    if any(words in text for words in ("No space left", "Read-only file system", "Permission denied")):
        return _output_error(stage, text)
    return StageError(f"{stage} stopped on {name}: {text}. The log of the stage has the whole trace.")


def _output_error(stage: str, text: str) -> OutputError:
    return OutputError(f"{stage} cannot write: {text}. Free some space or name another folder with --out.")


def _chain(error: BaseException) -> list[BaseException]:
    links = [error]
    while (inner := links[-1].__cause__ or links[-1].__context__) is not None and inner not in links:
        links.append(inner)
    return links


def _last_line(text: str, name: str) -> tuple[str, str]:
    """The last line of a trace that reads like an exception, or the first line of a text that is none."""
    plain_text = _BEAM_NOTE.sub("", text).strip()
    for line in reversed(plain_text.splitlines()):
        match = _LINE.match(line.strip())
        if match:
            return match["name"], match["text"].strip()
    return name, (plain_text.splitlines() or ["no message"])[0]
