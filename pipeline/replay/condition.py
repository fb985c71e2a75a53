"""The part of CEL, the Common Expression Language, that compilers put into conditions of pipeline specs."""

from __future__ import annotations

import functools
import json
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from applications.errors import StageError

Value: TypeAlias = Callable[[], Any]  # a part of an expression; computed when it is called

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
_ERRORS = (LookupError, TypeError, ValueError, ArithmeticError)  # of a value; in CEL the other side may absorb them


class ConditionError(StageError):
    """A condition that cannot be evaluated."""


def evaluate(expression: str, names: Mapping[str, Any]) -> Any:
    """Evaluates an expression.

    Known are literals, names, `.field`, `[key]`, `! - * / % + -`, comparisons, `in`, `&& ||`, `? :`, and the functions
    int, double, string, bool, size and parseJson. As in CEL, `false &&` anything and `true ||` anything have their
    value on either side, even where the other side is an error, and only the branch that is chosen by `?` is computed.

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
        return value()
    except _ERRORS as error:
        raise ConditionError(
            f"the condition {expression} cannot be evaluated ({type(error).__name__}: {error}). "
            "Look at what the task before it left."
        ) from error


def holds(expression: str, names: Mapping[str, Any]) -> bool:
    """Evaluates a condition; raises `ConditionError`, also where its value is neither true nor false."""
    value = evaluate(expression, names)
    if not isinstance(value, bool):
        raise ConditionError(f"the condition {expression} must be true or false, got {value!r}.")
    return value


def _computed(function: Callable[..., Any], *parts: Value) -> Any:
    return function(*(part() for part in parts))


def _item(group: Any, key: Any) -> Any:
    return group[int(key)] if isinstance(group, list) else group[key]


def _joined(one: Value, other: Value, *, decides: bool) -> bool:
    """Returns `&&` (decided by false) or `||` (decided by true) of two sides; either side may decide."""
    trouble: Exception | None = None
    for side in (one, other):
        try:
            value = _truth(side(), "|| needs" if decides else "&& needs")
        except _ERRORS as error:
            trouble = trouble or error
            continue
        if value is decides:
            return decides
    if trouble is not None:
        raise trouble
    return not decides


def _truth(value: Any, who: str) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{who} true or false, got {value!r}")
    return value


class _Parser:
    """A recursive descent that makes a function of each part, so that what is not asked for is not computed."""

    def __init__(self, expression: str, names: Mapping[str, Any]) -> None:
        self._names = names
        self._tokens = list(_tokens(expression))
        self._place = 0

    def choice(self) -> Value:
        """Returns a whole expression."""
        asked = self._either()
        if not self._takes("?"):
            return asked
        first = self.choice()
        self._expect(":")
        second = self.choice()
        return lambda: first() if _truth(asked(), "? needs") else second()

    def end(self) -> None:
        """Refuses what is left over."""
        if self._place < len(self._tokens):
            raise ValueError(f"unexpected {self._tokens[self._place][1]!r}")

    def _either(self) -> Value:
        found = self._both()
        while self._takes("||"):
            found = functools.partial(_joined, found, self._both(), decides=True)
        return found

    def _both(self) -> Value:
        found = self._level(0)
        while self._takes("&&"):
            found = functools.partial(_joined, found, self._level(0), decides=False)
        return found

    def _level(self, number: int) -> Value:
        if number == len(_LEVELS):
            return self._unary()
        found = self._level(number + 1)
        while (sign := self._peek()) in _LEVELS[number]:
            self._place += 1
            found = functools.partial(_computed, _LEVELS[number][sign], found, self._level(number + 1))
        return found

    def _unary(self) -> Value:
        if self._takes("!"):
            denied = self._unary()
            return lambda: not _truth(denied(), "! needs")
        if self._takes("-"):
            return functools.partial(_computed, operator.neg, self._unary())
        return self._member()

    def _member(self) -> Value:
        found = self._primary()
        while True:
            if self._takes("."):
                name = self._next("name")
                found = functools.partial(_computed, operator.getitem, found, functools.partial(str, name))
            elif self._takes("["):
                key = self.choice()
                self._expect("]")
                found = functools.partial(_computed, _item, found, key)
            else:
                return found

    def _primary(self) -> Value:
        if self._takes("("):
            found = self.choice()
            self._expect(")")
            return found
        kind, text = self._tokens[self._place] if self._place < len(self._tokens) else ("", "the end")
        self._place += 1
        if kind == "number":
            return functools.partial(float if re.search("[.eE]", text) else int, text)
        if kind == "text":
            return functools.partial(re.sub, r"\\(.)", r"\1", text[1:-1])
        if kind != "name":
            raise ValueError(f"unexpected {text!r}")
        if self._takes("("):
            argument = self.choice()
            self._expect(")")
            return functools.partial(_computed, _FUNCTIONS[text], argument)
        return functools.partial(operator.getitem, _CONSTANTS if text in _CONSTANTS else self._names, text)

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
