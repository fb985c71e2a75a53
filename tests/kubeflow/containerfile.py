"""Reads a Dockerfile with the parser of BuildKit, and .dockerignore by Docker's rules."""

from __future__ import annotations

import dataclasses
import pathlib
import re

import dockerfile

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """One instruction: its name in small letters, its flags, its words."""

    name: str
    words: tuple[str, ...]
    flags: tuple[str, ...] = ()

    @property
    def source_stage(self) -> str:
        """The stage that a COPY takes from; "" where it takes from the build's context."""
        return next((flag.removeprefix("--from=") for flag in self.flags if flag.startswith("--from=")), "")

    @property
    def mounts(self) -> list[dict[str, str]]:
        """What a RUN mounts, each as its fields."""
        given = [flag.removeprefix("--mount=") for flag in self.flags if flag.startswith("--mount=")]
        return [dict(field.partition("=")[::2] for field in each.split(",")) for each in given]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Names and values of an ENV or LABEL."""
        return [(name, value.strip('"')) for name, value in zip(self.words[::2], self.words[1::2], strict=True)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """What stands between two FROMs."""

    name: str
    base: str  # a stage or an image
    steps: tuple[Step, ...]


def read(path: pathlib.Path) -> tuple[dict[str, str], dict[str, Stage]]:
    """Returns the arguments before the first FROM, and the stages by name in their order."""
    arguments: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    current = ("", "", [])
    for command in dockerfile.parse_file(str(path)):
        name = command.cmd.lower()
        if name == "from":
            if current[0]:
                stages[current[0]] = Stage(name=current[0], base=current[1], steps=tuple(current[2]))
            image, _, title = command.value
            current = (title, fill(image, arguments), [])
        elif not current[0]:
            key, _, value = command.value[0].partition("=")
            arguments[key] = value.strip('"')
        else:
            current[2].append(Step(name=name, words=command.value, flags=command.flags))
    stages[current[0]] = Stage(name=current[0], base=current[1], steps=tuple(current[2]))
    return arguments, stages


def fill(text: str, variables: dict[str, str]) -> str:
    """Puts the values of variables in; one that is not set is empty."""
    return _VARIABLE.sub(lambda match: variables.get(match[1] or match[2], ""), text)


class Ignored:
    """Which files of the context are not sent: the last rule that fits a path, or a folder around it, counts."""

    def __init__(self, text: str) -> None:
        lines = [line.strip() for line in text.splitlines()]
        self._rules = [
            (line.startswith("!"), _expression(line.removeprefix("!"))) for line in lines if line and line[0] != "#"
        ]

    def __contains__(self, path: object) -> bool:
        whole = pathlib.PurePosixPath(str(path))
        parts = [str(each) for each in (whole, *whole.parents) if str(each) != "."]
        is_ignored = False
        for is_exception, expression in self._rules:
            if any(expression.fullmatch(part) for part in parts):
                is_ignored = not is_exception
        return is_ignored


def _expression(pattern: str) -> re.Pattern[str]:
    made = (
        re.escape(pattern).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*").replace(r"\[", "[").replace(r"\]", "]")
    )
    return re.compile(made)
