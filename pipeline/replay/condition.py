"""The part of CEL, the Common Expression Language, that compilers put into conditions of pipeline specs."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from applications.errors import StageError

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>\d+\.\d+(?:[eE][-+]?\d+)?|\d+)|
    (?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|
    (?P<name>[A-Za-z_]\w*)|
    (?P<sign>&&|\|\||==|!=|<=|>=|[-+*/%<>!()\[\].,?:])
    )""",
    re.VERBOSE,
)


def _divided(one: float, other: float) -> float:
    """Divides as CEL does: whole numbers towards zero."""
    if isinstance(one, int) and isinstance(other, int):
        return abs(one) // abs(other) * (1 if (one < 0) == (other < 0) else -1)
    return one / other


_LEVELS: tuple[dict[str, Callable[[Any, Any], Any]], ...] = (
    {
        "==": operator.eq,
        "!=": operator.ne,
        "<=": operator.le,
        ">=": operator.ge,
        "<": operator.lt,
        ">": operator.gt,
        "in": lambda item, group: item in group,
    },
    {"+": operator.add, "-": operator.sub},
    {"*": operator.mul, "/": _divided, "%": lambda one, other: one - other * _divided(one, other)},
)
_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "int": int,
    "double": float,
    "string": lambda value: value if isinstance(value, str) else json.dumps(value),
    "bool": lambda value: value == "true" if isinstance(value, str) else bool(value),
    "size": len,
    "parseJson": json.loads,
}
_CONSTANTS = {"true": True, "false": False, "null": None}


class ConditionError(StageError):
    """A condition that cannot be evaluated."""


def evaluate(expression: str, names: Mapping[str, Any]) -> Any:
    """Evaluates an expression.

    Known are literals, names, `.field`, `[key]`, `! - * / % + -`, comparisons, `in`, `&& ||`, `? :`, and the functions
    int, double, string, bool, size and parseJson.

    Args:
        expression: such as `(inputs.artifacts['model'].artifacts[0].metadata['blessed'] == 1.0)`.
        names: values of the outermost names; fields and keys are looked up in mappings and lists.

    Raises:
        ConditionError: it is not understood, or a key is missing.
    """
    parser = _Parser(expression, names)
    try:
        value = parser.choice()
        parser.end()
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise ConditionError(
            f"the condition {expression} cannot be evaluated ({type(error).__name__}: {error}). "
            "Look at what the task before it left."
        ) from error
    return value


def holds(expression: str, names: Mapping[str, Any]) -> bool:
    """Evaluates a condition; raises `ConditionError`, also where its value is neither true nor false."""
    value = evaluate(expression, names)
    if not isinstance(value, bool):
        raise ConditionError(f"the condition {expression} must be true or false, got {value!r}.")
    return value


class _Parser:
    """A recursive descent that computes as it goes; both sides of `&&` and `||` are always computed."""

    def __init__(self, expression: str, names: Mapping[str, Any]) -> None:
        self._names = names
        self._tokens = list(_tokens(expression))
        self._place = 0

    def choice(self) -> Any:
        """Returns the value of a whole expression."""
        value = self._either()
        if not self._takes("?"):
            return value
        first = self.choice()
        self._expect(":")
        second = self.choice()
        return first if value else second

    def end(self) -> None:
        """Refuses what is left over."""
        if self._place < len(self._tokens):
            raise ValueError(f"unexpected {self._tokens[self._place][1]!r}")

    def _either(self) -> Any:
        value = self._both()
        while self._takes("||"):
            other = self._both()
            value = value or other
        return value

    def _both(self) -> Any:
        value = self._level(0)
        while self._takes("&&"):
            other = self._level(0)
            value = value and other
        return value

    def _level(self, number: int) -> Any:
        if number == len(_LEVELS):
            return self._unary()
        value = self._level(number + 1)
        while (sign := self._peek()) in _LEVELS[number]:
            self._place += 1
            value = _LEVELS[number][sign](value, self._level(number + 1))
        return value

    def _unary(self) -> Any:
        if self._takes("!"):
            value = self._unary()
            if not isinstance(value, bool):
                raise TypeError(f"! needs true or false, got {value!r}")
            return not value
        if self._takes("-"):
            return -self._unary()
        return self._member()

    def _member(self) -> Any:
        value = self._primary()
        while True:
            if self._takes("."):
                value = value[self._next("name")]
            elif self._takes("["):
                key = self.choice()
                self._expect("]")
                value = value[int(key)] if isinstance(value, list) else value[key]
            else:
                return value

    def _primary(self) -> Any:
        if self._takes("("):
            value = self.choice()
            self._expect(")")
            return value
        kind, text = self._tokens[self._place] if self._place < len(self._tokens) else ("", "the end")
        self._place += 1
        if kind == "number":
            return float(text) if re.search("[.eE]", text) else int(text)
        if kind == "text":
            return re.sub(r"\\(.)", r"\1", text[1:-1])
        if kind != "name":
            raise ValueError(f"unexpected {text!r}")
        if self._takes("("):
            argument = self.choice()
            self._expect(")")
            return _FUNCTIONS[text](argument)
        return _CONSTANTS[text] if text in _CONSTANTS else self._names[text]

    def _peek(self) -> str:
        return self._tokens[self._place][1] if self._place < len(self._tokens) else ""

    def _takes(self, sign: str) -> bool:
        is_there = self._peek() == sign and self._tokens[self._place][0] == "sign"
        self._place += is_there
        return is_there

    def _expect(self, sign: str) -> None:
        if not self._takes(sign):
            raise ValueError(f"expected {sign!r}, got {self._peek() or 'the end'!r}")

    def _next(self, kind: str) -> str:
        found, text = self._tokens[self._place] if self._place < len(self._tokens) else ("", "the end")
        if found != kind:
            raise ValueError(f"expected a {kind}, got {text!r}")
        self._place += 1
        return text


def _tokens(expression: str) -> list[tuple[str, str]]:
    found, place = [], 0
    text = expression.rstrip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise ConditionError(f"the condition {expression} is not understood at {text[place:].lstrip()[:10]!r}.")
        found.append((str(match.lastgroup), match.group(str(match.lastgroup))))
        place = match.end()
    return found
