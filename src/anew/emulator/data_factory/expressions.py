"""Data Factory's expression language: a tokeniser, a recursive-descent parser and an evaluator, all pure.

A string that starts with ``@`` is one expression, ``@{...}`` inside a string is interpolated, ``@@`` at the start is a
literal ``@``. Text such as ``${{inputs.x}}`` holds no ``@`` and so passes through untouched.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from anew.emulator.data_factory.functions import FUNCTIONS, ExpressionError, to_text

_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^']|'')*')|(?P<number>-?\d+(?:\.\d+)?)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<op>\?\.|[().,\[\]]))"
)


@dataclass(frozen=True)
class Scope:
    """The values that an expression may read: the run, its variables, the outcomes of finished activities, the time."""

    pipeline: Mapping[str, Any]
    variables: Mapping[str, Any] = field(default_factory=dict[str, Any])
    activities: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    now: datetime | None = None


@dataclass(frozen=True)
class _Literal:
    value: Any


@dataclass(frozen=True)
class _Call:
    name: str
    arguments: tuple["_Node", ...]


@dataclass(frozen=True)
class _Member:
    target: "_Node"
    key: "_Node"
    optional: bool


_Node = _Literal | _Call | _Member


def resolve(value: Any, scope: Scope) -> Any:
    """Evaluate every expression in a JSON value; ``{"type": "Expression", "value": ...}`` becomes its value.

    Raises ExpressionError.
    """
    if isinstance(value, str):
        return evaluate(value, scope)
    if isinstance(value, list):
        return [resolve(item, scope) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        document = cast("dict[str, Any]", value)
        if document.get("type") == "Expression" and document.keys() == {"type", "value"}:
            return resolve(document["value"], scope)
        return {key: resolve(item, scope) for key, item in document.items()}
    return value


def evaluate(text: str, scope: Scope) -> Any:
    """The value of a string of a pipeline definition: itself, an expression's value, or an interpolation.

    Raises ExpressionError when the expression is malformed or names a value that does not exist.
    """
    if text.startswith("@@"):
        return text[1:]
    if text.startswith("@") and not text.startswith("@{"):
        node, rest = _Parser(text, 1).whole()
        if rest != len(text):
            raise ExpressionError(f"Unexpected text {text[rest:]!r} after the expression {text[:rest]!r}.")
        return _value(node, scope)
    return _interpolate(text, scope)


def _interpolate(text: str, scope: Scope) -> str:
    parts: list[str] = []
    position = 0
    while (start := text.find("@{", position)) >= 0:
        if start and text[start - 1] == "@":
            parts.append(text[position : start - 1] + "@{")
            position = start + 2
            continue
        node, end = _Parser(text, start + 2).whole()
        if not text.startswith("}", end):
            raise ExpressionError(f"The interpolation that starts at {text[start:]!r} is not closed by '}}'.")
        parts.extend((text[position:start], to_text(_value(node, scope))))
        position = end + 1
    return "".join(parts) + text[position:]


class _Parser:
    """expression := (literal | name '(' arguments ')') ( '.' name | '?.' name | '[' expression ']' )*."""

    def __init__(self, text: str, position: int) -> None:
        self._text = text
        self._position = position

    def whole(self) -> tuple[_Node, int]:
        """The expression at the position, and where the text after it starts."""
        node = self._expression()
        while self._text[self._position : self._position + 1].isspace():
            self._position += 1
        return node, self._position

    def _expression(self) -> _Node:
        node = self._primary()
        while True:
            if (dot := self._accept(".")) or self._accept("?."):
                kind, name = self._next()
                if kind != "name":
                    raise self._unexpected(name, "a name")
                node = _Member(node, _Literal(name), optional=not dot)
            elif self._accept("["):
                node = _Member(node, self._expression(), optional=False)
                self._expect("]")
            else:
                return node

    def _primary(self) -> _Node:
        kind, text = self._next()
        if kind == "string":
            return _Literal(text[1:-1].replace("''", "'"))
        if kind == "number":
            return _Literal(json.loads(text))
        if kind != "name":
            raise self._unexpected(text)
        if text.lower() in ("true", "false", "null"):
            return _Literal(json.loads(text.lower()))
        self._expect("(")
        return _Call(text, self._arguments())

    def _arguments(self) -> tuple[_Node, ...]:
        if self._accept(")"):
            return ()
        arguments = [self._expression()]
        while self._accept(","):
            arguments.append(self._expression())
        self._expect(")")
        return tuple(arguments)

    def _next(self) -> tuple[str, str]:
        match = _TOKEN.match(self._text, self._position)
        if match is None or match.lastgroup is None:
            raise self._unexpected(self._text[self._position : self._position + 1])
        self._position = match.end()
        return match.lastgroup, match.group(match.lastgroup)

    def _accept(self, operator: str) -> bool:
        match = _TOKEN.match(self._text, self._position)
        if match is None or match.group("op") != operator:
            return False
        self._position = match.end()
        return True

    def _expect(self, operator: str) -> None:
        if not self._accept(operator):
            raise self._unexpected(self._text[self._position : self._position + 1], f"'{operator}'")

    def _unexpected(self, found: str, wanted: str = "a value or a function call") -> ExpressionError:
        what = f"found {found!r}" if found else "the expression ends"
        return ExpressionError(f"Cannot parse {self._text!r} at position {self._position}: expected {wanted}, {what}.")


def _value(node: _Node, scope: Scope) -> Any:
    match node:
        case _Literal(value):
            return value
        case _Member(target, key, optional):
            return _member(_value(target, scope), _value(key, scope), optional)
        case _Call(name, arguments):
            return _call(name, [_value(argument, scope) for argument in arguments], scope)


def _member(target: Any, key: Any, optional: bool) -> Any:
    if isinstance(target, Mapping):
        items = cast("Mapping[Any, Any]", target)
        if key in items:
            return items[key]
        if optional:
            return None
        available = ", ".join(str(name) for name in items)
        raise ExpressionError(f"Property '{key}' does not exist, available properties are '{available}'.")
    if isinstance(target, list) and isinstance(key, int):
        values = cast("list[Any]", target)
        if -len(values) <= key < len(values):
            return values[key]
        raise ExpressionError(f"Index {key} is outside an array of {len(values)} elements.")
    if target is None and optional:
        return None
    raise ExpressionError(f"Property '{key}' cannot be selected from {to_text(target)!r}.")


def _call(name: str, arguments: list[Any], scope: Scope) -> Any:
    lowered = name.lower()
    if lowered == "pipeline" and not arguments:
        return scope.pipeline
    if lowered == "activity" and len(arguments) == 1:
        return _named(scope.activities, arguments[0], "activity")
    if lowered == "variables" and len(arguments) == 1:
        return _named(scope.variables, arguments[0], "variable")
    if lowered == "utcnow" and not arguments:
        return (scope.now or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"
    if lowered not in FUNCTIONS:
        raise ExpressionError(f"The function '{name}' with {len(arguments)} argument(s) is not supported.")
    return FUNCTIONS[lowered](name, arguments)


def _named(items: Mapping[str, Any], name: Any, kind: str) -> Any:
    if name not in items:
        raise ExpressionError(f"The {kind} '{name}' is not defined or has not run yet.")
    return items[name]
