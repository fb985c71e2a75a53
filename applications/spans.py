"""Data that arrive in portions: the folders that a pattern such as `field/{SPAN}/v{VERSION}` names.

The words in braces and what they mean are TFX's: a span is a whole number, a date as in `cam/{YYYY}-{MM}-{DD}` is the
span of that many days since 1970-01-01, and of each span only the newest version is read. `{SPAN:3}` stands for exactly
three digits.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import os
import re
from collections.abc import Iterator, Mapping, Sequence

from applications import remote
from applications.data_fingerprint import is_remote
from applications.errors import DataError, DataPathError, UnknownName, UsageError, near_name
from applications.settings import SpanSettings

SPAN, VERSION = "SPAN", "VERSION"
DATE = ("YYYY", "MM", "DD")
WORDS = (SPAN, VERSION, *DATE)
_EPOCH = datetime.date(1970, 1, 1)
_DIGITS = {"YYYY": 4, "MM": 2, "DD": 2}
_ANY_DIGITS = "1,18"  # more do not fit the whole numbers of an artifact's properties
_WORD = re.compile(r"\{([^{}/]*)\}")
_TOUCHING = re.compile(r"\{(?:SPAN|VERSION)\}\{(?:SPAN|VERSION)\}")
_SHOWN = 5  # names listed where nothing matches


@dataclasses.dataclass(frozen=True, order=True)
class Span:
    """One portion of the data.

    Attributes:
        number: of the span; 0 where the path is no pattern.
        version: of this span; 0 where the pattern has none.
        path: its folder, in the layout that the application's source reads.
    """

    number: int
    version: int
    path: str


@dataclasses.dataclass(frozen=True)
class _Match:
    """A folder that a pattern matches, and the digits that its words stand for."""

    path: str
    digits: Mapping[str, str]


def is_pattern(path: str) -> bool:
    """Returns whether a path has a word in braces."""
    return _WORD.search(path) is not None


def root(pattern: str) -> str:
    """Returns the folder before the first part with a word in braces; of a plain path, the path itself."""
    parts, fixed = _parts(pattern)
    return "/".join(parts[:fixed]) or ("/" if fixed else ".")


def name(pattern: str, span: Span) -> str:
    """Returns the folder of a span relative to its pattern's root, such as `3/v1`; "" of a plain path."""
    if not is_pattern(pattern):
        return ""
    above = root(pattern)
    return os.path.relpath(span.path, above) if not is_remote(pattern) else span.path.removeprefix(f"{above}/")


def folders(pattern: str, spans: Sequence[Span]) -> dict[str, str]:
    """Returns name → path of some spans of a pattern, in their order."""
    return {name(pattern, span): span.path for span in spans}


def words(pattern: str, spans: Sequence[Span]) -> str:
    """Says which spans these are: "spans 2 to 4 of field/{SPAN}"; "" of a plain path."""
    if not is_pattern(pattern):
        return ""
    labels = [_label(pattern, span) for span in spans]
    if len(labels) == 1:
        return f"span {labels[0]} of {pattern}"
    is_gapless = spans[-1].number - spans[0].number == len(spans) - 1
    count = "spans" if is_gapless else f"{len(spans)} spans from"
    return f"{count} {labels[0]} to {labels[-1]} of {pattern}"


def resolve(pattern: str, settings: SpanSettings) -> tuple[Span, ...]:
    """Returns the spans to read, oldest first: of each span the newest version, of all spans the newest `last`.

    Folders that do not match the pattern are passed over, as are files.

    Args:
        pattern: path or URI. A plain one is a single span, number 0, whether or not it is there.
        settings: how many are wanted.

    Raises:
        UsageError: the words in braces are not what a pattern can have.
        DataPathError: no folder matches.
        DataError: two folders are the same span, or a date does not exist.
    """
    if not is_pattern(pattern):
        return (Span(0, 0, pattern),)
    check(pattern)
    matches = list(_remote_matches(pattern) if is_remote(pattern) else _local_matches(pattern))
    found = _newest_versions(pattern, matches)
    return found[-settings.last :] if settings.last else found


def check(pattern: str) -> None:
    """Refuses a pattern that says no span, or says it twice.

    Raises:
        UnknownName: a word in braces is none of a pattern's.
        UsageError: words are missing, doubled, or do not go together.
    """
    given = [_split_word(text) for text in _WORD.findall(pattern)]
    found = [word for word, _ in given]
    for word, width in given:
        if word not in WORDS:
            raise _unknown(pattern, word)
        if width and (word in DATE or not re.fullmatch("[1-9][0-9]?", width)):
            raise _bad(pattern, f"{{{word}:{width}}} has no such width; {{SPAN:3}} stands for three digits")
        if found.count(word) > 1:
            raise _bad(pattern, f"{{{word}}} stands in it twice")
    dates = [word for word in DATE if word in found]
    if dates and SPAN in found:
        raise _bad(pattern, f"{{SPAN}} and {{{dates[0]}}} both say which span a folder is")
    if dates and len(dates) < len(DATE):
        missing = next(word for word in DATE if word not in found)
        raise _bad(pattern, f"a date takes {{YYYY}}, {{MM}} and {{DD}}, and {{{missing}}} is missing")
    if VERSION in found and not dates and SPAN not in found:
        raise _bad(pattern, "{VERSION} is a version of a span, and the span is missing")
    if _TOUCHING.search(pattern):
        raise _bad(pattern, "nothing tells where one number ends and the next begins")
    if is_remote(pattern) and root(pattern).endswith(":/"):
        raise _bad(pattern, "the bucket must have a name of its own")


def date_number(year: int, month: int, day: int) -> int:
    """Returns the span of a date: days since 1970-01-01; raises `ValueError` where there is no such day."""
    return (datetime.date(year, month, day) - _EPOCH).days


def number_date(number: int) -> datetime.date:
    """Returns the date of a span."""
    return _EPOCH + datetime.timedelta(days=number)


def _parts(pattern: str) -> tuple[list[str], int]:
    """Returns the parts of a path, and how many stand before the first with a word in braces."""
    parts = pattern.rstrip("/").split("/")
    return parts, next((place for place, part in enumerate(parts) if is_pattern(part)), len(parts))


def _label(pattern: str, span: Span) -> str:
    return (
        str(span.number)
        if SPAN in {_split_word(text)[0] for text in _WORD.findall(pattern)}
        else (number_date(span.number).isoformat())
    )


def _split_word(text: str) -> tuple[str, str]:
    """Splits `SPAN:3` into word and width."""
    word, _, width = text.partition(":")
    return word, width


def _newest_versions(pattern: str, matches: Sequence[_Match]) -> tuple[Span, ...]:
    """Returns the newest version of each span, oldest span first."""
    versions: dict[int, dict[int, _Match]] = collections.defaultdict(dict)
    for match in matches:
        number, version = _number(pattern, match), int(match.digits.get(VERSION, "0"))
        same = next(iter(versions[number].values()), match)
        doubled = versions[number].get(version) or (same if same.digits.get(SPAN) != match.digits.get(SPAN) else None)
        if doubled:
            raise DataError(
                f"each span must be one folder, but {doubled.path!r} and {match.path!r} are both span {number} of "
                f"{pattern!r}. Rename or remove one of them, or fix the width as {{SPAN:3}} does."
            )
        versions[number][version] = match
    return tuple(
        Span(number, max(found), found[max(found)].path) for number, found in sorted(versions.items()) if found
    )


def _number(pattern: str, match: _Match) -> int:
    if SPAN in match.digits:
        return int(match.digits[SPAN])
    try:
        return date_number(*(int(match.digits[word]) for word in DATE))
    except ValueError as error:
        raise DataError(
            f"folders that match {pattern!r} must be dates, but {match.path!r} is none ({error}). "
            "Rename it, or move it elsewhere."
        ) from error


def _expression(part: str) -> str:
    """Returns the regular expression of one part of a pattern."""
    pieces = []
    for place, piece in enumerate(_WORD.split(part)):
        if place % 2 == 0:  # between the words
            pieces.append(re.escape(piece))
            continue
        word, width = _split_word(piece)
        digits = width or _DIGITS.get(word)
        pieces.append(f"(?P<{word}>[0-9]{{{digits or _ANY_DIGITS}}})")
    return "".join(pieces)


def _local_matches(pattern: str) -> Iterator[_Match]:
    """Goes down level by level, so that nothing but folders on the way is listed."""
    top = root(pattern)
    if not os.path.isdir(top):
        raise _missing_root(pattern, top)
    parts, fixed = _parts(pattern)
    reached = [_Match(top, {})]
    for part in parts[fixed:]:
        expression = re.compile(_expression(part))
        below = [
            _Match(
                entry if above.path == "." else os.path.join(above.path, entry), {**above.digits, **found.groupdict()}
            )
            for above in reached
            for entry in _folders_in(above.path, part)
            if (found := expression.fullmatch(entry))
        ]
        if not below:
            raise _nothing(pattern, part, reached[0].path, _names_in(reached[0].path))
        reached = below
    yield from reached


def _folders_in(path: str, part: str) -> list[str]:
    if not is_pattern(part):
        return [part] if os.path.isdir(os.path.join(path, part)) else []
    with os.scandir(path) as scan:
        return sorted(entry.name for entry in scan if entry.is_dir())


def _names_in(path: str) -> list[str]:
    return sorted(entry for entry in os.listdir(path) if not entry.startswith("."))


def _remote_matches(pattern: str) -> Iterator[_Match]:
    """Finds the folders by the files below them, as an object store has no others."""
    glob = _WORD.sub("*", pattern.rstrip("/")) + "/**"
    expression = re.compile("(?P<folder>" + "/".join(map(_expression, _parts(pattern)[0])) + ")/")
    files = [item.path for item in remote.match(glob)]
    found = {match["folder"]: match.groupdict() for file in files if (match := expression.match(file))}
    if not found:
        top = root(pattern)
        below = [item.path for item in remote.match(f"{top}/**")]
        raise _nothing(pattern, "", top, sorted({file.removeprefix(f"{top}/").split("/")[0] for file in below}))
    for folder, digits in sorted(found.items()):
        yield _Match(folder, {word: text for word, text in digits.items() if word != "folder"})


def _unknown(pattern: str, word: str) -> UnknownName:
    error = UnknownName("pattern word", f"{{{word}}}", [f"{{{known}}}" for known in WORDS])
    hint = "" if "Did you mean" in str(error) else near_name(f"{{{word.upper()}}}", [f"{{{known}}}" for known in WORDS])
    error.args = (f"data path {pattern!r}: {error}{hint}",)
    return error


def _bad(pattern: str, why: str) -> UsageError:
    return UsageError(
        f"data path {pattern!r} must have one {{SPAN}} or one date {{YYYY}}-{{MM}}-{{DD}}, and at most one {{VERSION}} "
        f"beside it, but {why}. Mend --data; docs/continuous.md shows patterns."
    )


def _missing_root(pattern: str, top: str) -> DataPathError:
    parent = os.path.dirname(os.path.abspath(top))
    beside = sorted(os.listdir(parent)) if os.path.isdir(parent) else []
    hint = near_name(os.path.basename(os.path.abspath(top)), beside)
    return DataPathError(
        f"the folder that holds the spans of {pattern!r} must exist, but there is no {top!r}.{hint} Check --data."
    )


def _nothing(pattern: str, part: str, place: str, names: Sequence[str]) -> DataPathError:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    holds = f"holds {', '.join(names[:_SHOWN])}{more}" if names else "is empty"
    what = f"folder {part!r}" if part else "folder like that"
    return DataPathError(
        f"data path {pattern!r} must match at least one folder, but {place!r} has no {what}: it {holds}. Check --data."
    )
