"""The functions of Data Factory's expression language that need nothing but their arguments."""

import json
from collections.abc import Callable, Mapping
from typing import Any, cast


class ExpressionError(ValueError):
    """An expression that cannot be parsed or evaluated; its text is what the run's message shows."""


Function = Callable[[str, list[Any]], Any]


def to_text(value: Any) -> str:
    """A value as interpolation prints it: strings as they are, booleans as True/False, the rest as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value)
    return json.dumps(value, separators=(",", ":"))


def _arity(name: str, arguments: list[Any], least: int, most: int | None = None) -> None:
    if len(arguments) < least or (most is not None and len(arguments) > most):
        wanted = str(least) if least == most else f"{least} or more" if most is None else f"{least} to {most}"
        raise ExpressionError(f"The function '{name}' expects {wanted} argument(s), got {len(arguments)}.")


def _booleans(name: str, arguments: list[Any]) -> list[bool]:
    for argument in arguments:
        if not isinstance(argument, bool):
            raise ExpressionError(f"The function '{name}' expects Boolean arguments, got {to_text(argument)!r}.")
    return arguments


def _same(left: Any, right: Any) -> bool:
    # Python holds 1 == True; the expression language does not mix the two types.
    return isinstance(left, bool) == isinstance(right, bool) and left == right


def _equals(name: str, arguments: list[Any]) -> bool:
    _arity(name, arguments, 2, 2)
    return _same(arguments[0], arguments[1])


def _or(name: str, arguments: list[Any]) -> bool:
    _arity(name, arguments, 2)
    return any(_booleans(name, arguments))


def _and(name: str, arguments: list[Any]) -> bool:
    _arity(name, arguments, 2)
    return all(_booleans(name, arguments))


def _not(name: str, arguments: list[Any]) -> bool:
    _arity(name, arguments, 1, 1)
    return not _booleans(name, arguments)[0]


def _if(name: str, arguments: list[Any]) -> Any:
    _arity(name, arguments, 3, 3)
    return arguments[1] if _booleans(name, arguments[:1])[0] else arguments[2]


def _contains(name: str, arguments: list[Any]) -> bool:
    _arity(name, arguments, 2, 2)
    collection, item = arguments
    if isinstance(collection, str):
        return to_text(item) in collection
    if isinstance(collection, list):
        return any(_same(element, item) for element in cast("list[Any]", collection))
    if isinstance(collection, Mapping):
        return item in cast("Mapping[Any, Any]", collection)
    raise ExpressionError(f"The function '{name}' cannot search {to_text(collection)!r}.")


def _create_array(_name: str, arguments: list[Any]) -> list[Any]:
    return arguments


def _concat(name: str, arguments: list[Any]) -> str:
    _arity(name, arguments, 1)
    return "".join(to_text(argument) for argument in arguments)


def _string(name: str, arguments: list[Any]) -> str:
    _arity(name, arguments, 1, 1)
    return to_text(arguments[0])


def _int(name: str, arguments: list[Any]) -> int:
    _arity(name, arguments, 1, 1)
    try:
        return int(arguments[0])
    except (TypeError, ValueError):
        raise ExpressionError(f"The function '{name}' cannot convert {to_text(arguments[0])!r}.") from None


def _json(name: str, arguments: list[Any]) -> Any:
    _arity(name, arguments, 1, 1)
    try:
        return json.loads(to_text(arguments[0]))
    except ValueError:
        raise ExpressionError(f"The function '{name}' cannot parse {to_text(arguments[0])!r}.") from None


def _coalesce(name: str, arguments: list[Any]) -> Any:
    _arity(name, arguments, 1)
    return next((argument for argument in arguments if argument is not None), None)


def _comparison(holds: Callable[[Any, Any], bool]) -> Function:
    def compare(name: str, arguments: list[Any]) -> bool:
        _arity(name, arguments, 2, 2)
        left, right = arguments
        numbers = all(isinstance(side, int | float) and not isinstance(side, bool) for side in arguments)
        if not numbers and not (isinstance(left, str) and isinstance(right, str)):
            raise ExpressionError(f"The function '{name}' cannot compare {to_text(left)!r} with {to_text(right)!r}.")
        return holds(left, right)

    return compare


FUNCTIONS: Mapping[str, Function] = {
    "and": _and,
    "coalesce": _coalesce,
    "concat": _concat,
    "contains": _contains,
    "createarray": _create_array,
    "equals": _equals,
    "greater": _comparison(lambda left, right: left > right),
    "greaterorequals": _comparison(lambda left, right: left >= right),
    "if": _if,
    "int": _int,
    "json": _json,
    "less": _comparison(lambda left, right: left < right),
    "lessorequals": _comparison(lambda left, right: left <= right),
    "not": _not,
    "or": _or,
    "string": _string,
}
