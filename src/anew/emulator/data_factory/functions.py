"""The functions of Data Factory's expression language that depend on their arguments only."""

import json
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast


class ExpressionError(ValueError):
    """An expression that cannot be parsed or evaluated; its text appears in the run's message."""


@dataclass(frozen=True)
class Function:
    """A function of the language: how many arguments it takes (most None: any number), and how it computes a value."""

    least: int
    most: int | None
    compute: Callable[[str, list[Any]], Any]

    def __call__(self, name: str, arguments: list[Any]) -> Any:
        """The value for these arguments; errors call the function by the name that the expression used.

        Raises ExpressionError.
        """
        count, least, most = len(arguments), self.least, self.most
        if count < least or (most is not None and count > most):
            wanted = str(least) if least == most else f"{least} or more"
            raise ExpressionError(f"The function '{name}' expects {wanted} argument(s), got {count}.")
        return self.compute(name, arguments)


def to_text(value: Any) -> str:
    """A value as interpolation prints it: strings as they are, booleans as True/False, the rest as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value)
    return json.dumps(value, separators=(",", ":"))


def _booleans(name: str, arguments: list[Any]) -> list[bool]:
    for argument in arguments:
        if not isinstance(argument, bool):
            raise ExpressionError(f"The function '{name}' expects Boolean arguments, got {to_text(argument)!r}.")
    return arguments


def _same(left: Any, right: Any) -> bool:
    # To Python 1 == True; the expression language does not mix the two types.
    return isinstance(left, bool) == isinstance(right, bool) and left == right


def _contains(name: str, arguments: list[Any]) -> bool:
    collection, item = arguments
    if isinstance(collection, str):
        return to_text(item) in collection
    if isinstance(collection, list):
        return any(_same(element, item) for element in cast("list[Any]", collection))
    if isinstance(collection, Mapping):
        return item in cast("Mapping[Any, Any]", collection)
    raise ExpressionError(f"The function '{name}' cannot search {to_text(collection)!r}.")


def _int(name: str, arguments: list[Any]) -> int:
    try:
        return int(arguments[0])
    except (TypeError, ValueError):
        raise ExpressionError(f"The function '{name}' cannot convert {to_text(arguments[0])!r}.") from None


def _json(name: str, arguments: list[Any]) -> Any:
    try:
        return json.loads(to_text(arguments[0]))
    except ValueError:
        raise ExpressionError(f"The function '{name}' cannot parse {to_text(arguments[0])!r}.") from None


def _comparison(holds: Callable[[Any, Any], bool]) -> Function:
    def compare(name: str, arguments: list[Any]) -> bool:
        left, right = arguments
        numbers = all(isinstance(side, int | float) and not isinstance(side, bool) for side in arguments)
        if not numbers and not (isinstance(left, str) and isinstance(right, str)):
            raise ExpressionError(f"The function '{name}' cannot compare {to_text(left)!r} with {to_text(right)!r}.")
        return holds(left, right)

    return Function(2, 2, compare)


FUNCTIONS: Mapping[str, Function] = {
    "and": Function(2, None, lambda name, given: all(_booleans(name, given))),
    "coalesce": Function(1, None, lambda _, given: next((each for each in given if each is not None), None)),
    "concat": Function(1, None, lambda _, given: "".join(map(to_text, given))),
    "contains": Function(2, 2, _contains),
    "createarray": Function(0, None, lambda _, given: given),
    "equals": Function(2, 2, lambda _, given: _same(given[0], given[1])),
    "greater": _comparison(operator.gt),
    "greaterorequals": _comparison(operator.ge),
    "if": Function(3, 3, lambda name, given: given[1] if _booleans(name, given[:1])[0] else given[2]),
    "int": Function(1, 1, _int),
    "json": Function(1, 1, _json),
    "less": _comparison(operator.lt),
    "lessorequals": _comparison(operator.le),
    "not": Function(1, 1, lambda name, given: not _booleans(name, given)[0]),
    "or": Function(2, None, lambda name, given: any(_booleans(name, given))),
    "string": Function(1, 1, lambda _, given: to_text(given[0])),
}
