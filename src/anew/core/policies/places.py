"""Values that know their file and line, also when documents are laid over each other."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

Path = tuple[str | int, ...]


class Place(NamedTuple):
    """The file, the line (from 1) and the path in that file of a value."""

    source: str
    line: int
    path: Path = ()


class Problem(NamedTuple):
    """One mistake and its place; as text `file:line: when.rules[0].kind: message`."""

    place: Place
    message: str

    def __str__(self) -> str:
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.place.path)
        parts = (f"{self.place.source}:{self.place.line}", " ".join(path.removeprefix(".").split()), self.message)
        return ": ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Placed:
    """A value and its place. `data` is a mapping or list of placed values, or a scalar of JSON."""

    data: Any
    place: Place

    def plain(self) -> Any:
        """The value as JSON data."""
        match self.data:
            case dict():
                return {key: value.plain() for key, value in self.data.items()}
            case list():
                return [item.plain() for item in self.data]
            case scalar:
                return scalar

    def get(self, part: str | int) -> "Placed | None":
        """The value of this key or index, None if there is none."""
        match self.data, part:
            case dict() as mapping, _:
                return mapping.get(part)
            case list() as items, int() if 0 <= part < len(items):
                return items[part]
            case _:
                return None

    def problem(self, path: Path, message: str) -> Problem:
        """A problem at this path below; a missing value has the line of its nearest parent."""
        value, place = self, self.place
        for part in path:
            value = value and value.get(part)
            place = place._replace(path=(*place.path, part)) if value is None else value.place
        return Problem(place, message)


def overlay(base: Placed, over: Placed) -> Placed:
    """`over` laid on `base`: mappings are merged key by key, unless they are of different `kind`; all else replaces."""
    if not isinstance(base.data, dict) or not isinstance(over.data, dict):
        return over
    kinds = base.get("kind"), over.get("kind")
    if kinds[0] and kinds[1] and kinds[0].plain() != kinds[1].plain():
        return over
    both = {key: overlay(base.data[key], over.data[key]) for key in base.data.keys() & over.data.keys()}
    return Placed(base.data | over.data | both, over.place)


def in_order(problems: Iterable[Problem]) -> tuple[str, ...]:
    """The problems as texts, each once, file by file in the order of their lines."""
    ordered = sorted(problems, key=lambda problem: (*problem.place[:2], str(problem)))
    return tuple(dict.fromkeys(map(str, ordered)))
